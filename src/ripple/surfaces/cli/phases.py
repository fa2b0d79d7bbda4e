"""``./ripple phases``: the phases of building a whole system, run as one durable task and followed here."""

from __future__ import annotations

import time
from typing import Annotated, Any

import typer
from rich.live import Live
from rich.table import Table
from rich.text import Text

from ripple.model.errors import RippleError
from ripple.model.paths import Home
from ripple.surfaces.cli.client import Api
from ripple.surfaces.cli.output import Json, people, progress, show_json, table

program = typer.Typer(no_args_is_help=True, help="P0 to P6, and the Windows binary: in order, with evidence.")
POLL_SECONDS = 0.5
AWAY_SECONDS = 120.0
_COLOURS = {"passed": "green", "failed": "red", "blocked": "yellow", "running": "cyan"}


@program.command()
def run(
    first: Annotated[str, typer.Option("--from", help="The phase to begin with.")] = "P0",
    last: Annotated[str, typer.Option("--to", help="The phase to end with.")] = "P6",
    json: Json = False,
) -> None:
    """Run the phases; a run that goes on already is followed. Exit status 1 when a task did not pass."""
    api = Api(Home.of())
    found = _followed(api, api.post("/api/phases", {"from": first, "to": last}), quiet=json)
    if json:
        show_json(found)
    else:
        _show(found)
    raise typer.Exit(0 if found["run"]["state"] == "passed" else 1)


@program.command()
def show(json: Json = False) -> None:
    """The newest run, task by task; before the first one, the plan."""
    found = Api(Home.of()).get("/api/phases")
    if json:
        show_json(found)
        return
    _show(found)


def _followed(api: Api, found: dict[str, Any], *, quiet: bool) -> dict[str, Any]:
    """The run after its end. The API may be away for a while: the run goes on without it."""
    seen = time.monotonic()
    with Live(console=progress, transient=True, auto_refresh=False) as live:
        while found["run"]["state"] == "running":
            if not quiet:
                live.update(_progress(found["tasks"]), refresh=True)
            time.sleep(POLL_SECONDS)
            try:
                found, seen = api.get("/api/phases"), time.monotonic()
            except RippleError as error:
                if not error.retryable or time.monotonic() - seen > AWAY_SECONDS:
                    raise
    return found


def _progress(tasks: list[dict[str, Any]]) -> Table:
    shown = Table(box=None, pad_edge=False, show_header=False)
    for one in tasks:
        state = Text(one["state"], style=_COLOURS.get(one["state"], "dim"))
        shown.add_row(one["phase"], one["title"], state, "; ".join(one["reasons"]))
    return shown


def _show(found: dict[str, Any]) -> None:
    if found["run"]:
        one = found["run"]
        people.print(
            f"run {one['id']} from {one['first']} to {one['last']}: {one['state']}, trace {one['trace_id']}"
        )
    columns = {"phase": "phase", "title": "task", "state": "state", "seconds": "seconds", "reasons": "why"}
    table(found["tasks"], columns, "no task")
