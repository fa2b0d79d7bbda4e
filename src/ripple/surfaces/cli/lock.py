"""``./ripple lock``: what every system is made of, by digest."""

from __future__ import annotations

from typing import Annotated, Any

import anyio
import typer

from ripple.model.system import System, this_platform
from ripple.stack.vendorlock import check_lock, drop_from_lock, load_lock, merged, update_lock
from ripple.supervisor.install import Installer
from ripple.surfaces.cli.installing import chosen, installer, manifests, the_map
from ripple.surfaces.cli.output import Json, show_json, table

program = typer.Typer(invoke_without_command=True, help="The lock of every system's files.")


@program.callback()
def lock(
    context: typer.Context,
    check: Annotated[
        bool, typer.Option("--check", help="Compare the lock with the map; 2 if they differ.")
    ] = False,
    json: Json = False,
) -> None:
    """Say whether the lock is what the map asks for; ``update`` changes it."""
    if context.invoked_subcommand is not None:
        return
    findings = check_lock(the_map(), load_lock(manifests()), this_platform())
    rows = [{"system": one.system, "problem": one.problem, "fix": one.fix} for one in findings]
    if json:
        show_json({"ok": not rows, "findings": rows})
    else:
        table(rows, {"system": "system", "problem": "problem", "fix": "fix"}, "The lock is what the map asks for.")
    raise typer.Exit(2 if check and rows else 0)


@program.command()
def update(
    names: Annotated[
        list[str] | None, typer.Argument(help="Ids; every system that is not locked if none.")
    ] = None,
    drop: Annotated[list[str] | None, typer.Option(help="Take a system out of the lock.")] = None,
    json: Json = False,
) -> None:
    """Resolve systems' routes for this platform, fetch their files and write down their digests."""
    if drop:
        drop_from_lock(manifests(), drop)
    found = the_map()
    asked = names or ([] if drop else _unlocked())
    wanted = [placed.system for placed in chosen(asked, found)] if asked else []
    with installer(quiet=json) as one:
        rows = [_update(one, system) for system in wanted if system.routes]
    if json:
        show_json({"systems": rows})
        return
    columns = {"id": "id", "locked": "locked", "files": "files", "failed": "not to be had"}
    table(rows, columns, "Nothing to lock.")


def _unlocked() -> list[str]:
    findings = check_lock(the_map(), load_lock(manifests()), this_platform())
    return sorted({one.system for one in findings if "--drop" not in one.fix})


def _update(one: Installer, system: System) -> dict[str, Any]:
    """Lock one system at once, so that what was found is kept when a later one fails or is interrupted."""
    resolved = anyio.run(one.resolve, system)
    platform = this_platform()
    routes = merged(system, resolved.routes, load_lock(manifests()), platform)
    update_lock(manifests(), platform, {system.id: routes})
    return {
        "id": system.id,
        "locked": [f"{route.route.value} {route.version}" for route in routes if route.files],
        "files": sum(len(route.files) for route in routes),
        "failed": list(resolved.attempts),
    }
