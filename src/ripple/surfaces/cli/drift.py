"""``./ripple drift``: what no longer agrees, from the documents to the environments."""

from __future__ import annotations

from dataclasses import asdict

import anyio
import typer

from ripple.delivery.stackstate import Stackstate, compare_all
from ripple.model.paths import Home
from ripple.stack.root import project_root
from ripple.surfaces.cli.client import Api
from ripple.surfaces.cli.output import Json, people, show_json, table


def drift(json: Json = False) -> None:
    """Compare document, manifest, lock, installed, running, healthy and environments; exit status 2 is drift."""
    home = Home.of()
    state = Stackstate(project_root(), home)
    found = anyio.run(compare_all, state, lambda: Api(home).get("/api/applications"))
    if json:
        show_json(asdict(found))
    else:
        rows = [asdict(one) for one in found.findings]
        columns = {
            "level": "level",
            "severity": "severity",
            "subject": "what",
            "message": "how",
            "repair": "repair",
        }
        table(rows, columns, "Everything that could be compared agrees.")
        for text in found.not_compared:
            people.print(f"not compared: {text}", markup=False, highlight=False)
    raise typer.Exit(found.exit_code)
