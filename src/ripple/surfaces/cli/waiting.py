"""Waiting with visible progress: on standard error, one line per thing that happened."""

from __future__ import annotations

import time
from typing import Any

from ripple.model.errors import DeadlineExceeded, RippleError
from ripple.surfaces.cli.client import Api
from ripple.surfaces.cli.output import progress

FINAL = ("promoted", "rejected", "rolled_back", "cancelled")
POLL_SECONDS = 0.3


def wait_for_application(api: Api, name: str, seconds: float = 600) -> dict[str, Any]:
    """The application once it is no longer being adopted. Outages of the API are waited through."""
    deadline = time.monotonic() + seconds
    with progress.status(f"adopting {name}: testing it as it is, then starting it in every environment"):
        while time.monotonic() < deadline:
            found = _asked(api, f"/api/applications/{name}")
            if found and found["state"] != "adopting":
                return found
            time.sleep(POLL_SECONDS)
    raise DeadlineExceeded(
        f"application {name} is still being adopted after {seconds:.0f} s; ./ripple app show {name}"
    )


def wait_for_change(api: Api, change_id: str, seconds: float) -> dict[str, Any]:
    """The change once it has ended; steps are shown as they end. Outages of the API are waited through."""
    deadline = time.monotonic() + seconds
    shown: set[tuple[str, ...]] = set()
    with progress.status(f"change {change_id}: admitted") as line:
        while time.monotonic() < deadline:
            found = _asked(api, f"/api/changes/{change_id}")
            if found:
                _show_steps(found["steps"], shown)
                if found["state"] in FINAL:
                    return found
                line.update(f"change {change_id}: {found['step'] or 'between steps'}")
            time.sleep(POLL_SECONDS)
    raise DeadlineExceeded(
        f"change {change_id} has not ended after {seconds:.0f} s; ./ripple change show {change_id}"
    )


def _asked(api: Api, path: str) -> dict[str, Any] | None:
    """The answer, or None while the API cannot give one: it may be restarting."""
    try:
        found: dict[str, Any] = api.get(path)
    except RippleError as error:
        if not error.retryable:
            raise
        return None
    return found


def _show_steps(steps: list[dict[str, Any]], shown: set[tuple[str, ...]]) -> None:
    for step in steps:
        # A change that moves to a newer base runs its steps again: a step is known by when it began.
        key = (step["step"], step["state"], step["started_at"])
        if step["state"] == "running" or key in shown:
            continue
        shown.add(key)
        why = f": {step['reasons'][0]}" if step["reasons"] else ""
        seconds = step["duration_seconds"]
        took = f"{seconds:6.2f} s" if seconds is not None else "stopped "
        progress.print(
            f"{step['step']:<16} {step['state']:<8} {took}{why}", highlight=False, markup=False, soft_wrap=True
        )
