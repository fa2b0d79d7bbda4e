"""``./ripple up|status|logs|down|doctor``: the instance as a whole."""

from __future__ import annotations

import time
from typing import Annotated, Any

import anyio
import typer

from ripple.model.component import ComponentState, ComponentStatus, Status
from ripple.model.errors import DeadlineExceeded, RippleError, Unavailable
from ripple.model.paths import Home
from ripple.stack.settings import choices_of, save_choices
from ripple.supervisor import start
from ripple.supervisor.budget import Fitting
from ripple.supervisor.client import SupervisorClient
from ripple.supervisor.trees import trees_of
from ripple.surfaces.cli.client import Api
from ripple.surfaces.cli.output import Json, people, progress, show_json, table

POLL_SECONDS = 0.05


def up(
    profile: Annotated[str, typer.Option(help="What to run: a file of manifests/profiles.")] = "laptop",
    models: Annotated[bool, typer.Option(help="Fetch and serve the default model.")] = True,
    timeout: Annotated[float, typer.Option(min=1, help="Seconds until everything must be ready.")] = 120,
    settings: Annotated[list[str] | None, typer.Option("--set", help="KEY=VALUE; see config list.")] = None,
    group: Annotated[str, typer.Option(help="Only start a group again that was stopped.")] = "",
    json: Json = False,
) -> None:
    """Start everything, wait until it is ready, and print the link that signs you in."""
    home = Home.of()
    if group:
        _start_group(home, group, timeout, as_json=json)
        return
    began = time.monotonic()
    ran = _runs(home)
    chosen = start.fitting(home, profile)
    if chosen.notice:
        people.print(chosen.notice, markup=False, highlight=False)
    profile = chosen.stack.profile.name
    _install_what_is_missing(home, chosen, quiet=json)
    changed = save_choices(home.choices, choices_of(profile, settings or []))
    start.ensure_running(home, profile, chosen=chosen)
    if ran and changed:
        for component in ("worker", "api"):
            anyio.run(SupervisorClient(home).restart, component)
    api = Api(home)  # before the wait: what it imports is loaded while the instance starts
    found = _wait_until_ready(home, timeout)
    seconds = time.monotonic() - began
    link = f"{api.url}/#/sign-in/{api.post('/api/sign-in-links')['token']}"
    if models:
        api.post("/api/models/default/add")
    if json:
        show_json({**found.model_dump(mode="json"), "link": link, "seconds": round(seconds, 3)})
        return
    people.print(f"Ripple is ready in {seconds:.1f} s. Open this link once to sign in:\n", highlight=False)
    people.print(f"  {link}\n", highlight=False, soft_wrap=True)
    people.print("./ripple status shows what runs, ./ripple down stops it.")


def status(json: Json = False) -> None:
    """What runs: its true name, version, state, ports and memory."""
    try:
        found = anyio.run(SupervisorClient(Home.of()).status)
    except Unavailable as error:
        if not json:
            raise
        show_json({"ready": False, "profile": "", "url": "", "components": [], "reason": str(error)})
        raise typer.Exit(1) from error
    if json:
        show_json(found.model_dump(mode="json"))
        return
    people.print(f"{'ready' if found.ready else 'not ready'}: profile {found.profile}, console {found.url}")
    table([_row(component) for component in found.components], _COLUMNS, "nothing runs")


def logs(
    component: str, lines: Annotated[int, typer.Option("--lines", "-n", min=1)] = 100, json: Json = False
) -> None:
    """The last lines a component wrote."""
    text = anyio.run(SupervisorClient(Home.of()).logs, component, lines)
    if json:
        show_json({"component": component, "text": text})
    else:
        people.print(text, markup=False, highlight=False)


def restart(
    component: str,
    group: Annotated[
        bool, typer.Option("--group", help="COMPONENT is a group: restart all that is in it.")
    ] = False,
    json: Json = False,
) -> None:
    """Restart one component, or with --group a whole group, each after what it requires."""
    Api(Home.of()).post(f"/api/{'groups' if group else 'components'}/{component}/restart")
    if json:
        show_json({"group" if group else "component": component})
    else:
        people.print(f"{component} is being restarted; ./ripple status shows when it is ready")


def down(
    group: Annotated[str, typer.Option(help="Only stop this group, until ./ripple up.")] = "", json: Json = False
) -> None:
    """Stop everything in order; nothing is lost."""
    if group:
        anyio.run(SupervisorClient(Home.of()).stop, group)
        if json:
            show_json({"stopped": True, "group": group})
        else:
            people.print(f"{group} is stopped; ./ripple up --group {group} starts it again")
        return
    with progress.status("stopping"):
        start.stop(Home.of())
    if json:
        show_json({"stopped": True})
    else:
        people.print("Everything is stopped. ./ripple up starts it again where it was.")


def doctor(
    deep: Annotated[bool, typer.Option("--deep", help="Also ask what runs whether it does its work.")] = False,
    json: Json = False,
) -> None:
    """What this machine offers and lacks; exit status 1 when something needed is missing."""
    from ripple.surfaces.cli.doctor import examine

    findings = anyio.run(examine, Home.of(), deep)
    if json:
        show_json({"ok": _enough(findings), "findings": findings})
    else:
        words = {(True, True): "yes", (True, False): "yes", (False, True): "NO", (False, False): "no"}
        rows = [{**found, "ok": words[found["ok"], found["needed"]]} for found in findings]
        table(rows, {"name": "what", "ok": "ok", "found": "found", "fix": "what to do"}, "")
    raise typer.Exit(0 if _enough(findings) else 1)


def _enough(findings: list[dict[str, Any]]) -> bool:
    """True when nothing that is needed is missing."""
    return all(found["ok"] or not found["needed"] for found in findings)


_COLUMNS = {
    "id": "id",
    "name": "name",
    "version": "version",
    "state": "state",
    "pid": "pid",
    "ready": "ready in",
    "memory": "memory",
    "where": "where",
    "note": "note",
}


def _install_what_is_missing(home: Home, chosen: Fitting, *, quiet: bool) -> None:
    """Install from the lock what the profile runs and Ripple's own environment does not bring."""
    missing = trees_of(home, start.MANIFESTS, chosen.stack.components).missing()
    if not missing:
        return
    # Imported late: mostly there is nothing to install, and everybody waits for the start.
    from ripple.surfaces.cli.installing import installer

    with installer(quiet=quiet) as one:
        for system in missing:
            anyio.run(one.install, system)


def _wait_until_ready(home: Home, timeout: float) -> Status:
    deadline = time.monotonic() + timeout
    client = SupervisorClient(home)
    with progress.status("starting") as line:
        while time.monotonic() < deadline:
            try:
                found = anyio.run(client.status)
            except Unavailable:
                time.sleep(POLL_SECONDS)
                continue
            if found.ready:
                return found
            _stop_if_hopeless(found)
            waiting = [component.id for component in found.components if component.state != "ready"]
            line.update(f"starting: {', '.join(waiting)}")
            time.sleep(POLL_SECONDS)
    raise DeadlineExceeded(f"not everything is ready after {timeout:.0f} s; ./ripple status says what is missing")


def _start_group(home: Home, group: str, timeout: float, *, as_json: bool) -> None:
    """Start a group that was stopped and wait until it is ready."""

    async def started() -> list[str]:
        client = SupervisorClient(home)
        await client.start(group)
        names = [one.id for one in (await client.status()).components if one.group == group]
        await client.wait(names, ComponentState.READY, timeout)
        return names

    with progress.status(f"starting {group}"):
        names = anyio.run(started)
    if as_json:
        show_json({"group": group, "components": names})
    else:
        people.print(f"{group} is ready: {', '.join(names)}", markup=False, highlight=False)


def _runs(home: Home) -> bool:
    try:
        anyio.run(SupervisorClient(home).status)
    except Unavailable:
        return False
    return True


def _stop_if_hopeless(found: Status) -> None:
    gone = [one for one in found.components if one.state == "gave_up" and "." not in one.id]
    if gone:
        raise RippleError(
            f"{gone[0].id} does not start: {gone[0].reason}; ./ripple logs {gone[0].id} shows what it wrote",
            code="unavailable",
        )


def _row(component: ComponentStatus) -> dict[str, Any]:
    ready = component.ready_seconds
    note = component.reason or (f"waits for {', '.join(component.waiting_for)}" if component.waiting_for else "")
    return {
        "id": component.id,
        "name": component.name,
        "version": component.version,
        "state": component.state.value,
        "pid": component.pid,
        "ready": f"{ready:.2f} s" if ready is not None else None,
        "memory": f"{component.rss_bytes / 1e6:.0f} MB" if component.rss_bytes else None,
        "where": ", ".join(component.endpoints.values()) or None,
        "note": note or None,
    }
