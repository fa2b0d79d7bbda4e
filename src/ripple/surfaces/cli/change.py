"""``./ripple change …``."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from ripple.model.paths import Home
from ripple.surfaces.cli.client import Api
from ripple.surfaces.cli.output import Json, people, show_json, table
from ripple.surfaces.cli.waiting import FINAL, wait_for_change

program = typer.Typer(no_args_is_help=True, help="Ask for changes and follow them.")
SHORT = ("id", "state", "reasons", "trace_id", "consensus", "gates", "environments")


@program.command()
def submit(
    *,
    app: Annotated[str, typer.Option(help="The application to change.")],
    intent: Annotated[str, typer.Option(help="What should change, in your words.")],
    policy: Annotated[str, typer.Option(help="Inference policy; the instance's default if left out.")] = "",
    kind: Annotated[str, typer.Option(help="code or config; worked out from the intent if left out.")] = "",
    wait: Annotated[bool, typer.Option("--wait", help="Wait until the change has ended.")] = False,
    timeout: Annotated[float, typer.Option(min=1, help="Seconds to wait.")] = 3600,
    exit_status: Annotated[bool, typer.Option("--exit-status", help="With --wait: 1 unless promoted.")] = False,
    json: Json = False,
) -> None:
    """Ask for a change."""
    api = Api(Home.of())
    body = {"application": app, "intent": intent, "policy": policy or None, "kind": kind or None}
    change_id = api.post("/api/changes", body)["id"]
    found = wait_for_change(api, change_id, timeout) if wait else api.get(f"/api/changes/{change_id}")
    if json:
        show_json({key: found[key] for key in SHORT})
    else:
        _show(found)
    raise typer.Exit(1 if wait and exit_status and found["state"] != "promoted" else 0)


@program.command("list")
def list_changes(app: str = "", limit: int = 50, json: Json = False) -> None:
    """The newest changes."""
    found = Api(Home.of()).get("/api/changes", application=app or None, limit=limit)
    if json:
        show_json(found)
        return
    columns = {"id": "id", "application": "app", "state": "state", "created_at": "asked", "intent": "intent"}
    table(found["changes"], columns, "No change yet; ./ripple change submit --app NAME --intent TEXT")


@program.command()
def show(change_id: str, json: Json = False) -> None:
    """Everything kept of one change."""
    found = Api(Home.of()).get(f"/api/changes/{change_id}")
    if json:
        show_json(found)
    else:
        _show(found)


@program.command()
def wait(change_id: str, timeout: float = 3600, json: Json = False) -> None:
    """Follow a change until it has ended."""
    found = wait_for_change(Api(Home.of()), change_id, timeout)
    if json:
        show_json(found)
    else:
        _show(found)


@program.command()
def approve(change_id: str, environment: str, json: Json = False) -> None:
    """Let a change into an environment that asks for a person."""
    _acted(Api(Home.of()).post(f"/api/changes/{change_id}/approve", {"environment": environment}), json)


@program.command()
def cancel(change_id: str, json: Json = False) -> None:
    """Stop a running change; what it deployed is undone."""
    _acted(Api(Home.of()).post(f"/api/changes/{change_id}/cancel"), json)


@program.command()
def rollback(change_id: str, json: Json = False) -> None:
    """Undo a change in every environment and hold its release."""
    _acted(Api(Home.of()).post(f"/api/changes/{change_id}/rollback"), json)


@program.command()
def unhold(release: str) -> None:
    """Let a held release be deployed again."""
    Api(Home.of()).post(f"/api/releases/{release}/unhold")
    people.print(f"release {release} may be deployed again")


@program.command()
def evidence(change_id: str, json: Json = False) -> None:
    """The signed statements of a change, each verified now."""
    found = Api(Home.of()).get(f"/api/changes/{change_id}/evidence")
    if json:
        show_json(found)
        return
    columns = {"id": "id", "gate": "gate", "environment": "environment", "verified": "verified"}
    table(found["envelopes"], columns, "no evidence yet: the change has not reached its gates")


def _acted(found: dict[str, Any], as_json: bool) -> None:
    if as_json:
        show_json(found)
    else:
        people.print(f"asked; ./ripple change wait {found['id']} follows it")


def _show(found: dict[str, Any]) -> None:
    people.print(f"[bold]{found['id']}[/] {found['state']}", highlight=False)
    for reason in found["reasons"]:
        people.print(f"  {reason}", markup=False, highlight=False)
    columns = {"step": "step", "state": "state", "duration_seconds": "seconds", "reasons": "reasons"}
    table(found["steps"], columns, "")
    columns = {"model": "model", "standing": "standing", "weight": "weight", "reasons": "why"}
    table(found["candidates"], columns, "")
    if found["state"] not in FINAL:
        people.print(f"still running; ./ripple change wait {found['id']}")
