"""What this machine offers: each line is something that was tried now."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

import anyio

from ripple.model.errors import RippleError, Unavailable
from ripple.model.paths import Home
from ripple.planes.sandbox.bubblewrap import BubblewrapSandbox
from ripple.stack.root import project_root
from ripple.supervisor.client import SupervisorClient
from ripple.surfaces.cli.pinned import examine_pinned

ENOUGH_DISK_BYTES = 3 * 10**9
ANSWER_SECONDS = 10.0
BIN = Path(sys.prefix) / "bin"
AGAIN = "install the locked packages again: delete .venv and run ./ripple up"
NEEDED = {
    "nats-server": (("--version",), AGAIN),
    "temporal": (("--version",), AGAIN),
    "caddy": (("version",), AGAIN),
    "git": (("--version",), "install git with your system's package manager"),
}
OPTIONAL = {
    ("chromium", "chromium-browser", "google-chrome"): "needed only by ./ripple test for its browser tests: "
    "apt install chromium",
    ("trivy",): "needed only to scan dependencies for known vulnerabilities; without it they count as not scanned",
    ("claude",): "needed only for a provider of the adapter claude-code",
    ("codex",): "needed only for a provider of the adapter codex",
    ("copilot",): "needed only for a provider of the adapter github-copilot",
}


async def examine(home: Home, deep: bool = False) -> list[dict[str, Any]]:
    """Rows of name, ok, needed, found and fix. Nothing needed is missing when every needed row is ok.

    With ``deep`` what runs is asked whether it does its work, by the deep probes of its rows.
    """
    rows = [_row("python", sys.version_info >= (3, 11), sys.version.split()[0], "install Python 3.11 or newer")]
    rows += [await _program(name, *asked) for name, asked in NEEDED.items()]
    rows += [await _sandbox(), _console(), _home(home), _disk(home), await _instance(home)]
    rows += [_optional(names, fix) for names, fix in OPTIONAL.items()]
    rows += await examine_pinned(project_root() / "manifests")
    return [*rows, *(await _deep(home))] if deep else rows


async def _program(name: str, arguments: tuple[str, ...], fix: str) -> dict[str, Any]:
    """A program counts once it has said its version, not by being there."""
    place = shutil.which(name, path=str(BIN)) or shutil.which(name)
    if place is None:
        return _row(name, ok=False, found="not found", fix=fix)
    try:
        with anyio.fail_after(ANSWER_SECONDS):
            done = await anyio.run_process([place, *arguments], check=False)
    except (OSError, TimeoutError) as error:
        return _row(name, ok=False, found=f"{place} does not run: {error or 'no answer'}", fix=fix)
    said = (done.stdout or done.stderr).decode("utf-8", "replace").strip().partition("\n")[0]
    return _row(name, done.returncode == 0, said or f"{place} says nothing", fix)


async def _sandbox() -> dict[str, Any]:
    fix = "allow unprivileged user namespaces (sysctl kernel.unprivileged_userns_clone=1) or run as root"
    try:
        rungs = await BubblewrapSandbox().rungs()
    except RippleError as error:
        return _row("sandbox", ok=False, found=str(error), fix=fix)
    return _row("sandbox", bool(rungs), ", ".join(rungs) or "no rung works", fix)


def _console() -> dict[str, Any]:
    pages = project_root() / "console" / "dist"
    missing = [name for name in ("index.html", "app.js", "app.css") if not (pages / name).is_file()]
    found = f"{', '.join(missing)} missing in {pages}" if missing else str(pages)
    return _row("console", not missing, found, "./ripple up builds it")


def _home(home: Home) -> dict[str, Any]:
    """Whether the instance's folder can be written, tried by writing; a folder that is missing is not made."""
    place = _existing(home.root)
    try:
        with tempfile.TemporaryFile(dir=place):
            found = str(home.root) if place == home.root else f"{home.root} (will be made in {place})"
    except OSError as error:
        return _row(
            "home", ok=False, found=f"{place}: {error.strerror}", fix="set RIPPLE_HOME to a folder of yours"
        )
    return _row("home", ok=True, found=found, fix="")


def _disk(home: Home) -> dict[str, Any]:
    place = _existing(home.root)
    free = shutil.disk_usage(place).free
    found = f"{free / 1e9:.1f} GB free at {place}"
    return _row("disk", free > ENOUGH_DISK_BYTES, found, f"free at least {ENOUGH_DISK_BYTES / 1e9:.0f} GB there")


async def _instance(home: Home) -> dict[str, Any]:
    """Whether Ripple runs now. Not running is no fault; running without its allocated ports is."""
    try:
        status = await SupervisorClient(home).status()
    except Unavailable:
        return _row("instance", ok=True, found="not running", fix="")
    if not home.endpoints.is_file():
        return _row(
            "instance", ok=False, found=f"it runs, but {home.endpoints} is gone", fix="./ripple down, then up"
        )
    down = [component.id for component in status.components if component.state != "ready"]
    found = f"{', '.join(down)} not ready" if down else f"{len(status.components)} systems ready at {status.url}"
    return _row("instance", not down, found, "./ripple status says why")


async def _deep(home: Home) -> list[dict[str, Any]]:
    """One row for each component with a deep probe; none where nothing runs."""
    try:
        found = await SupervisorClient(home).deep()
    except Unavailable:
        return []
    return [
        _row(f"deep {name}", not failure, failure or "it does its work", f"./ripple logs {name} says why")
        for name, failure in found.items()
    ]


def _optional(names: tuple[str, ...], fix: str) -> dict[str, Any]:
    found = next((place for name in names if (place := shutil.which(name))), None)
    return _row(names[0], found is not None, found or "not found", fix, needed=False)


def _existing(folder: Path) -> Path:
    """The folder, or the nearest one above it that exists."""
    return next(one for one in (folder, *folder.parents) if os.path.lexists(one))


def _row(name: str, ok: bool, found: str, fix: str, *, needed: bool = True) -> dict[str, Any]:
    return {"name": name, "ok": ok, "needed": needed, "found": found, "fix": "" if ok else fix}
