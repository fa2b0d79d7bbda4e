"""The verbs of every day. What the others need takes longer to load than these take to run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from ripple.model.paths import Home
from ripple.surfaces.cli import change, instance, phases, stack, voters
from ripple.surfaces.cli.client import Api
from ripple.surfaces.cli.output import Json, people, show_json, table
from ripple.surfaces.cli.waiting import wait_for_application

program = typer.Typer(
    no_args_is_help=True, add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False
)
application = typer.Typer(no_args_is_help=True, help="Applications Ripple looks after.")
audit = typer.Typer(no_args_is_help=True, help="The append-only log of who did what.")
config = typer.Typer(no_args_is_help=True, help="Settings and where they come from.")
program.add_typer(application, name="app")
program.add_typer(change.program, name="change")
program.add_typer(voters.providers, name="provider")
program.add_typer(voters.models, name="models")
program.add_typer(audit, name="audit")
program.add_typer(config, name="config")
program.add_typer(stack.program, name="stack")
program.add_typer(phases.program, name="phases")
for verb in (instance.up, instance.status, instance.logs, instance.restart, instance.down, instance.doctor):
    program.command()(verb)


@program.command()
def bench(
    name: Annotated[str, typer.Argument(help="Which benchmark: a file of benchmarks/, such as spine.")],
    runs: Annotated[int, typer.Option(min=1, help="Changes to measure.")] = 5,
    setup: Annotated[bool, typer.Option("--setup", help="Also time a first set-up in a fresh clone.")] = False,
    json: Json = False,
) -> None:
    """Measure this checkout's claims on this machine."""
    from ripple.surfaces.cli.bench import run_bench

    run_bench(name, runs, setup=setup, as_json=json)


@program.command()
def test(
    only: Annotated[str, typer.Argument(help="One part: lint, unit, conformance, e2e, console, browser.")] = "",
) -> None:
    """Run every check of this checkout, as CI does."""
    from ripple.surfaces.cli.checks import run_checks

    raise typer.Exit(run_checks(only))


@program.command()
def requirements(json: Json = False) -> None:
    """The specification's requirements: proven by which tests, or deferred why."""
    from ripple.stack.requirements import load_ledger, report
    from ripple.stack.root import project_root

    found = report(load_ledger(project_root()))
    if json:
        show_json(found)
        return
    people.print(
        f"{found['proven']} of {found['total']} requirements are proven, {found['deferred']} are deferred"
    )
    table(found["requirements"], {"id": "id", "state": "state", "tests": "tests", "reason": "reason"}, "none")


@application.command("add")
def add_application(
    path: Annotated[Path, typer.Argument(help="A Git repository with a ripple.app.yaml.")],
    copy: Annotated[bool, typer.Option(help="Copy the folder and make the copy a repository.")] = False,
    wait: Annotated[bool, typer.Option(help="Wait until it runs in all four environments.")] = True,
    json: Json = False,
) -> None:
    """Register an application: test it as it is and start it in every environment."""
    api = Api(Home.of())
    found = api.post("/api/applications", {"path": str(path.expanduser().absolute()), "copy": copy})
    if wait:
        found = wait_for_application(api, found["name"])
    _show_application(found, as_json=json)


@application.command("list")
def list_applications(json: Json = False) -> None:
    """All applications."""
    found = Api(Home.of()).get("/api/applications")
    if json:
        show_json(found)
        return
    columns = {"name": "name", "state": "state", "branch": "branch", "path": "path", "reasons": "reasons"}
    table(found["applications"], columns, "No application yet; ./ripple app add PATH")


@application.command("show")
def show_application(name: str, json: Json = False) -> None:
    """One application and what runs in its environments."""
    _show_application(Api(Home.of()).get(f"/api/applications/{name}"), as_json=json)


@application.command("adopt")
def adopt_application(name: str, json: Json = False) -> None:
    """Adopt an application again whose adoption failed."""
    api = Api(Home.of())
    api.post(f"/api/applications/{name}/adopt")
    _show_application(wait_for_application(api, name), as_json=json)


@audit.command("verify")
def verify_audit(json: Json = False) -> None:
    """Check the whole chain; exit status 1 when it is broken."""
    found = Api(Home.of()).get("/api/audit/verify")
    if json:
        show_json(found)
    elif found["ok"]:
        people.print(f"The audit log is whole: {found['entries']} entries, head {found['head']}")
    else:
        people.print(f"The audit log is BROKEN: {found['reason']}")
    raise typer.Exit(0 if found["ok"] else 1)


@audit.command("list")
def list_audit(limit: int = 50, q: str = "", json: Json = False) -> None:
    """The newest entries."""
    found = Api(Home.of()).get("/api/audit", limit=limit, q=q)
    if json:
        show_json(found)
        return
    columns = {
        "seq": "seq",
        "at": "at",
        "principal": "who",
        "action": "action",
        "resource": "what",
        "outcome": "how",
    }
    table(found["entries"], columns, "The audit log is empty.")


@audit.command("key")
def show_key(json: Json = False) -> None:
    """The public key that this node's evidence is signed with, to verify it elsewhere."""
    found = Api(Home.of()).get("/api/audit/key")
    if json:
        show_json(found)
        return
    people.print(found["key_id"], markup=False, highlight=False)
    people.print(found["public_key_pem"].rstrip(), markup=False, highlight=False)


@config.command("explain")
def explain(key: str, json: Json = False) -> None:
    """A setting's value and which source won: manifest, profile, environment or flag."""
    found = Api(Home.of()).get(f"/api/config/{key}")
    if json:
        show_json(found)
        return
    people.print(f"{key} = {found['value']!r} (from {found['source']})")
    table(found["all"], {"source": "source", "value": "value"}, "no source sets it")


@config.command("list")
def list_settings(json: Json = False) -> None:
    """Every setting, its value and which source won."""
    found = Api(Home.of()).get("/api/config")
    if json:
        show_json(found)
        return
    table(found["settings"], {"key": "key", "value": "value", "source": "source"}, "no setting")


def has(verb: str) -> bool:
    """Whether it is one of these verbs."""
    single = {one.name or getattr(one.callback, "__name__", "") for one in program.registered_commands}
    return verb in single or verb in {one.name for one in program.registered_groups}


def _show_application(found: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        show_json(found)
        return
    people.print(f"{found['name']} is {found['state']} ({found['path']}, branch {found['branch']})")
    for reason in found["reasons"]:
        people.print(f"  {reason}")
    rows = [
        {
            "environment": one["environment"],
            "url": one["url"],
            "commit": (one["stable"] or {}).get("commit"),
            "canary": (one["canary"] or {}).get("commit"),
            "healthy": "yes" if one["healthy"] else "no",
        }
        for one in found["environments"]
    ]
    columns = {
        "environment": "environment",
        "url": "url",
        "commit": "runs",
        "canary": "canary",
        "healthy": "healthy",
    }
    table(rows, columns, "")
