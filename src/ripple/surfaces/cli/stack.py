"""``./ripple stack``: the map, its rules, and what is generated of it."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from ripple.stack.root import project_root
from ripple.surfaces.cli.output import Json, people, show_json, table

program = typer.Typer(no_args_is_help=True, help="The map of all systems, its rules, and what is made of it.")


@program.command()
def check(
    since: Annotated[
        str, typer.Option(help="Also refuse a stack change since this revision without its log.")
    ] = "",
    json: Json = False,
) -> None:
    """Refuse what breaks a rule of the map, by rule, file and line and with the fix; exit status 1 then."""
    from ripple.delivery.stackdocuments import check_stack

    findings = check_stack(project_root(), since)
    if json:
        show_json({"ok": not findings, "findings": [asdict(one) for one in findings]})
    else:
        for one in findings:
            where = f"{one.file}:{one.line}" if one.line else one.file
            people.print(f"{where}: {one.rule}: {one.message}\n    {one.fix}", markup=False, highlight=False)
        people.print(f"{len(findings)} findings" if findings else "the map breaks no rule")
    raise typer.Exit(1 if findings else 0)


@program.command()
def generate(json: Json = False) -> None:
    """Write every file that is made of the map; says which changed."""
    from ripple.delivery.stackdocuments import write_documents

    changed = write_documents(project_root())
    if json:
        show_json({"changed": changed})
        return
    for name in changed:
        people.print(f"wrote {name}", markup=False, highlight=False)
    people.print(f"{len(changed)} files changed")


@program.command("list")
def list_systems(
    layer: Annotated[str, typer.Option(help="Only this layer, such as 1.9.")] = "", json: Json = False
) -> None:
    """Every system: its layer, role, status and the routes to it."""
    from ripple.stack.systems import load_map

    rows = [
        {
            "id": one.system.id,
            "layer": one.layer.id,
            "role": one.system.role,
            "status": str(one.system.status),
            "routes": [str(route.kind) for route in one.system.routes],
            "summary": one.system.summary,
        }
        for one in load_map(Path(project_root()) / "manifests").rows
        if layer in ("", one.layer.id)
    ]
    if json:
        show_json({"systems": rows})
        return
    shown = [{**one, "routes": ", ".join(one["routes"])} for one in rows]
    columns = {
        "layer": "layer",
        "id": "id",
        "role": "role",
        "status": "status",
        "routes": "from",
        "summary": "what",
    }
    table(shown, columns, f"no system in layer {layer}")


@program.command("hash")
def hash_manifests(json: Json = False) -> None:
    """The one digest of all manifests, which builds and phases are bound to."""
    from ripple.stack.manifests.hash import manifest_hash

    found = manifest_hash(Path(project_root()) / "manifests")
    if json:
        show_json({"manifest_hash": found})
    else:
        people.print(found, markup=False, highlight=False)


@program.command()
def show(
    file: Annotated[str, typer.Argument(help="A path below manifests, such as cloud/mcp_tools.json.")],
    json: Json = False,
) -> None:
    """A manifest as Ripple reads it, checked and with every default filled in; always as JSON."""
    from ripple.inference.policy import POLICY_FILE, PolicyFile
    from ripple.stack.load import load_manifest, parse
    from ripple.stack.manifests.registry import load_file

    manifests = Path(project_root()) / "manifests"
    name = file.removeprefix("manifests/")
    if manifests / name == Path(project_root()) / POLICY_FILE:
        found = parse(PolicyFile, load_manifest(manifests / name), name)
        show_json(found.model_dump(mode="json", by_alias=True))
    else:
        show_json(load_file(manifests, name).model_dump(mode="json", by_alias=True))
