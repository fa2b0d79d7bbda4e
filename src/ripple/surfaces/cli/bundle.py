"""``./ripple bundle …``: systems on a disk, to install where there is no network."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import anyio
import typer

from ripple.model.system import System
from ripple.stack.components import load_profile
from ripple.stack.systems import StackMap
from ripple.supervisor.install.bundle import Bundle, check_bundle, create_bundle
from ripple.surfaces.cli.installing import chosen, installer, manifests, shown_progress, the_map
from ripple.surfaces.cli.output import Json, people, show_json

program = typer.Typer(no_args_is_help=True, help="Systems on a disk, for where there is no network.")
Profile = Annotated[str, typer.Option(help="The profile whose systems are taken when no id is given.")]
Names = Annotated[list[str] | None, typer.Argument(help="Ids; the profile's systems if none.")]


@program.command()
def create(
    out: Annotated[Path, typer.Argument(help="The folder to make; what it has already is kept.")],
    names: Names = None,
    profile: Profile = "laptop",
    json: Json = False,
) -> None:
    """Put what systems need into a folder that --assets-dir installs from."""
    found = the_map()
    systems = [placed.system for placed in chosen(names, found)] if names else _of_profile(profile, found)
    with installer(quiet=json) as one:
        bundle = anyio.run(create_bundle, one, systems, out.expanduser().absolute())
    _show(bundle, as_json=json)


@program.command()
def check(folder: Annotated[Path, typer.Argument(help="A bundle.")], json: Json = False) -> None:
    """Hash every file of a bundle."""
    with shown_progress(quiet=json) as tell:
        bundle = check_bundle(folder.expanduser().absolute(), tell)
    _show(bundle, as_json=json)


def _of_profile(profile: str, found: StackMap) -> list[System]:
    """The systems a profile runs that come by a route; what has none is Ripple itself."""
    components = load_profile(manifests(), profile).components
    placed = [row for name in components if (row := found.component(name)) is not None]
    return [row.system for row in placed if row.system.routes]


def _show(bundle: Bundle, *, as_json: bool) -> None:
    if as_json:
        facts: dict[str, Any] = {"folder": str(bundle.folder), "digest": bundle.digest, "size": bundle.size_bytes}
        show_json({**facts, "systems": list(bundle.systems), "files": len(bundle.files)})
        return
    size = f"{len(bundle.systems)} systems, {len(bundle.files)} files, {bundle.size_bytes / 1e6:.1f} MB"
    people.print(
        f"{bundle.folder}: {size}\nsha256 of its bundle.json: {bundle.digest}",
        markup=False, highlight=False, soft_wrap=True,
    )  # fmt: skip
