"""``./ripple component …``: systems of the map in this instance's prefix."""

from __future__ import annotations

import shutil
import sys
from typing import Annotated, Any

import anyio
import typer

from ripple.model.paths import Home
from ripple.model.system import System, this_platform
from ripple.stack.root import project_root
from ripple.stack.vendorlock import load_lock, pairs
from ripple.supervisor.install import Installer, Prefix, Tree
from ripple.supervisor.install.names import taken_names
from ripple.supervisor.install.own import mend_own, own_package
from ripple.surfaces.cli.installing import Assets, chosen, installer, manifests, the_map
from ripple.surfaces.cli.output import Json, people, show_json, table

program = typer.Typer(no_args_is_help=True, help="Systems of the map: find, install, check, mend, remove.")
Names = Annotated[list[str] | None, typer.Argument(help="Ids; all if none.")]
Name = Annotated[str, typer.Argument(help="A system's id.")]


@program.command()
def detect(names: Names = None, json: Json = False) -> None:
    """Where systems are: in the prefix, among the machine's own programs, or absent."""
    found = the_map()
    with installer(quiet=True) as one:
        rows = [_detected(placed.system, one) for placed in chosen(names or [], found)]
    if json:
        show_json({"systems": rows})
        return
    table(rows, {"id": "id", "where": "where", "version": "version", "path": "path"}, "The map is empty.")


@program.command()
def install(name: Name, assets_dir: Assets = None, json: Json = False) -> None:
    """Install a system from the lock; what is there already is left as it is."""
    system = the_map().get(name).system
    with installer(quiet=json, assets=assets_dir) as one:
        tree = anyio.run(one.install, system)
    text = f"{tree.system} {tree.version} ({tree.route.value}) is in {tree.root}"
    _show(_facts(tree), as_json=json, text="\n".join([text, *_held_elsewhere(tree)]))


@program.command()
def verify(name: Name, json: Json = False) -> None:
    """Compare an installed system with what was installed, byte by byte; exit status 2 if anything differs."""
    system = the_map().get(name).system
    with installer(quiet=json) as one:
        different = anyio.run(one.verify, system)
    if json:
        show_json({"id": name, "whole": not different, "different": different})
    else:
        people.print(f"{name} is whole" if not different else f"{name} differs; ./ripple component fix {name}")
        for line in different:
            people.print(f"  {line}", markup=False, highlight=False)
    raise typer.Exit(2 if different else 0)


@program.command()
def fix(name: Name, assets_dir: Assets = None, json: Json = False) -> None:
    """Install a system again if anything of it differs or is missing, in the prefix or in Ripple's environment."""
    system = the_map().get(name).system
    with installer(quiet=json, assets=assets_dir) as one:
        with one.downloads.telling(f"checking the files of {name} in Ripple's environment"):
            mended = anyio.run(mend_own, system, project_root())
        if own_package(system) is not None and one.installed(system) is None:
            text = f"{name} was laid down again: {'; '.join(mended[:3])}" if mended else f"{name} was whole"
            _show({"id": name, "root": sys.prefix, "different": mended}, as_json=json, text=text)
            return
        tree, different = anyio.run(one.fix, system)
        different = [*mended, *different]
    text = f"{name} was made again: {'; '.join(different[:3])}" if different else f"{name} was whole"
    text = "\n".join([text, *_held_elsewhere(tree)])
    _show({**_facts(tree), "different": different}, as_json=json, text=text)


@program.command()
def remove(name: Name, json: Json = False) -> None:
    """Remove every tree of a system, also what a killed installation left; what was fetched stays in the cache."""
    system = the_map().get(name).system
    with installer(quiet=json) as one:
        gone = anyio.run(one.remove, system.id)
    removed, half_laid = [str(tree.root) for tree in gone.trees], list(map(str, gone.half_laid))
    text = f"{name}: {len(removed)} trees removed" + (f", {len(half_laid)} half-laid ones" if half_laid else "")
    lines = [text, *half_laid, *(f"{program} is {heir}'s now" for program, heir in gone.names.items())]
    facts = {"id": name, "removed": removed, "half_laid": half_laid, "names": dict(gone.names)}
    _show(facts, as_json=json, text="\n".join(lines))


@program.command()
def info(name: Name, json: Json = False) -> None:
    """A system's row, what is locked of it and what is installed."""
    placed = the_map().get(name)
    system, platform = placed.system, this_platform()
    found = pairs(system, load_lock(manifests()), platform)
    rows: list[dict[str, Any]] = [
        {
            "route": pair.route.kind.value,
            "package": pair.route.package,
            "version": pair.locked.version if pair.locked else pair.route.version,
            "locked": f"{len(pair.locked.files)} files, {_mb(pair.locked.files)}" if pair.locked else pair.why,
        }
        for pair in found
    ]
    trees = [_facts(tree) for tree in Prefix(Home.of().prefix).trees(name)]
    if json:
        show_json(
            {"system": system.model_dump(mode="json"), "layer": placed.layer.id, "routes": rows, "trees": trees}
        )
        return
    people.print(
        f"[bold]{system.name}[/] ({system.id}), layer {placed.layer.id}, {system.status.value}", highlight=False
    )
    people.print(f"{system.summary}\n{system.licence}  {system.upstream}", markup=False, highlight=False)
    table(
        rows,
        {"route": "route", "package": "package", "version": "version", "locked": "locked"},
        "It has no route.",
    )
    table(trees, {"version": "installed", "route": "by", "root": "in"}, "It is not installed.")


def _detected(system: System, one: Installer) -> dict[str, Any]:
    tree = one.installed(system)
    if tree is not None:
        return {"id": system.id, "where": "prefix", "version": tree.version, "path": str(tree.root)}
    old = one.prefix.trees(system.id)
    if old:
        return {
            "id": system.id,
            "where": "prefix (not as locked)",
            "version": old[0].version,
            "path": str(old[0].root),
        }
    if (package := own_package(system)) is not None:
        return {"id": system.id, "where": "Ripple's environment", "version": package.version, "path": sys.prefix}
    names = [name for route in system.routes for name in route.provides]
    on_path = next((path for name in names if (path := shutil.which(name))), None)
    where = "machine" if on_path else "absent" if system.routes else "no route"
    return {"id": system.id, "where": where, "version": "", "path": on_path or ""}


def _facts(tree: Tree) -> dict[str, Any]:
    programs = sorted(path.name for path in tree.bin.iterdir()) if tree.bin.is_dir() else []
    return {
        "id": tree.system,
        "version": tree.version,
        "route": tree.route.value,
        "root": str(tree.root),
        "python": str(tree.python) if tree.python else None,
        "programs": programs,
        "held_elsewhere": [
            {"name": one.name, "holder": one.holder, "own": str(one.path)}
            for one in taken_names(Prefix(Home.of().prefix), tree)
        ],
    }


def _held_elsewhere(tree: Tree) -> list[str]:
    prefix = Prefix(Home.of().prefix)
    return [
        f"{prefix.bin / one.name} stays {one.holder}'s; that of {tree.system} is {one.path}"
        for one in taken_names(prefix, tree)
    ]


def _show(found: dict[str, Any], *, as_json: bool, text: str) -> None:
    if as_json:
        show_json(found)
    else:
        people.print(text, markup=False, highlight=False, soft_wrap=True)


def _mb(files: Any) -> str:
    return f"{sum(file.size for file in files) / 1e6:.1f} MB"
