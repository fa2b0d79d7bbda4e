"""Having one supervisor per instance: start it, replace one that is out of date, stop everything."""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import anyio

from ripple.model.errors import Conflict, DeadlineExceeded, RippleError, Unavailable
from ripple.model.paths import Home
from ripple.stack.components import Stack, load_stack
from ripple.stack.root import project_root
from ripple.supervisor import budget
from ripple.supervisor.budget import Fitting, Room, free_mib, too_large
from ripple.supervisor.client import ANSWER_SECONDS, STOP_SECONDS, SupervisorClient, error_of
from ripple.supervisor.fingerprint import fingerprint
from ripple.supervisor.lock import holder, locked
from ripple.supervisor.places import MARK, log_file

MANIFESTS = project_root() / "manifests"
START_SECONDS = 60.0
POLL_SECONDS = 0.02


def fitting(home: Home, profile: str, manifests: Path = MANIFESTS) -> Fitting:
    """The profile that is to run when ``profile`` is asked for: a smaller one where memory does not suffice.

    Raises:
        NotFound: there is no such profile.
        Invalid: a manifest does not load; whatever runs goes on running.
        Refused: neither it nor a smaller one fits into memory; the message has the numbers.
    """
    loaded: dict[str, Stack] = {}

    def load(name: str) -> Stack:
        return loaded.get(name) or loaded.setdefault(name, load_stack(manifests, name))

    room = Room(free_mib())
    if not too_large(load(profile), room):
        return Fitting(load(profile))
    # Imported late: starting an instance does without it, and everybody waits for that.
    from ripple.supervisor.process import held_bytes

    return budget.fitting(profile, load, Room(room.free_mib, held_bytes(home) >> 20))


def ensure_running(
    home: Home, profile: str, manifests: Path = MANIFESTS, *, chosen: Fitting | None = None
) -> None:
    """Have a supervisor of this very code and profile answer for ``home``. Doing it again changes nothing.

    One of other code or another profile is replaced; what it started and what has not changed goes on running.
    What was stopped with its group is started again. ``chosen`` is what :func:`fitting` said, if it was asked.

    Raises:
        NotFound: there is no such profile.
        Invalid: a manifest does not load; whatever runs goes on running.
        Refused: there is not enough memory.
        Unavailable: the supervisor does not start or does not answer; the message says why.
    """
    profile = (chosen or fitting(home, profile, manifests)).stack.profile.name
    found = _identity(home)
    if found is not None and (found["profile"], found["build"]) == (profile, fingerprint(manifests)):
        _ask(home, {"do": "start"})
        return
    if found is not None:
        _ask(home, {"do": "hand_over"})
    if not _wait_until_free(home):
        _launch(home, profile, manifests)
        _wait_until_it_answers(home)
    found = _identity(home)
    if found is None or found["profile"] != profile:
        raise Conflict(f"another profile was started in {home.root} at the same moment; run ./ripple up again")


def stop(home: Home) -> None:
    """Stop everything of the instance in order; when it returns, no process of it is left, nor the supervisor.

    What a killed supervisor left behind is stopped too. Nothing happens when nothing runs.

    Raises:
        Unavailable: the supervisor holds the instance but does not answer, or does not end.
    """
    # Imported late: starting an instance does without it, and everybody waits for that.
    from ripple.supervisor.launcher import Launcher, Settings

    if not home.run.is_dir():
        return
    found = _identity(home)
    with _seen_off(home, found["pid"] if found is not None else _holding(home)):
        if found is not None:
            _ask(home, {"do": "down"}, STOP_SECONDS)
        _wait_until_free(home)
    with locked(home):
        Launcher(Settings(home, "", {})).recover(())


def _identity(home: Home) -> dict[str, Any] | None:
    try:
        found: dict[str, Any] = _ask(home, {"do": "identity"})
    except DeadlineExceeded as error:
        raise Unavailable(_stuck(home)) from error
    except Unavailable:
        return None
    return found


def _holding(home: Home) -> int | None:
    """The pid of the instance's supervisor while it does not answer: it has only begun, or ends.

    Not whoever only looks, and holds the instance for a moment too; nor another one with a dead one's number.
    """
    process = Path("/proc") / holder(home)
    with suppress(OSError):
        ours = os.fsencode(f"RIPPLE_HOME={home.root}") in (process / "environ").read_bytes().split(b"\0")
        if ours and b"ripple.supervisor" in (process / "cmdline").read_bytes().split(b"\0"):
            return int(process.name)
    return None


@contextmanager
def _seen_off(home: Home, pid: int | None) -> Iterator[None]:
    """After the block the process ``pid`` has ended: the lock is let go of a while before an interpreter has.

    Its handle is taken before the block, so that no other process can have its number.
    """
    try:
        process = os.pidfd_open(pid) if pid is not None and pid != os.getpid() else None
    except OSError:
        process = None
    try:
        yield
        if process is not None and not select.select([process], [], [], START_SECONDS)[0]:
            raise Unavailable(_stuck(home))
    finally:
        if process is not None:
            os.close(process)


def _ask(home: Home, request: dict[str, Any], seconds: float = ANSWER_SECONDS) -> Any:
    return anyio.run(SupervisorClient(home).ask, request, seconds)


def _wait_until_free(home: Home) -> bool:
    """Until nobody holds the instance, or until whoever does answers: then it is true."""
    deadline = time.monotonic() + START_SECONDS
    while home.run.is_dir():
        try:
            with locked(home):
                return False
        except Conflict as error:
            if _identity(home) is not None:
                return True
            if time.monotonic() > deadline:
                raise Unavailable(_stuck(home)) from error
        time.sleep(POLL_SECONDS)
    return False


def _launch(home: Home, profile: str, manifests: Path) -> None:
    """Start the daemon; its first process ends once the daemon answers, or cannot."""
    command = (sys.executable, "-m", "ripple.supervisor", "--profile", profile, "--manifests", str(manifests))
    # A mark would make the supervisor look like a process of the component that ran this, and what the operator
    # set for another Python is not meant for this one.
    inherited = {
        name: value for name, value in os.environ.items() if name != MARK and not name.startswith("PYTHON")
    }
    env = {**inherited, "RIPPLE_HOME": str(home.root), "PYTHONPATH": str(project_root() / "src")}
    try:
        done = subprocess.run(
            command, env=env, stdin=subprocess.DEVNULL, capture_output=True, timeout=START_SECONDS, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise Unavailable(_stuck(home)) from error
    if done.returncode != 0:
        raise _reported(done.stderr, home)


def _reported(said: bytes, home: Home) -> RippleError:
    last = said.decode(errors="replace").strip().rpartition("\n")[2]
    try:
        found = json.loads(last)
        return error_of(str(found["code"]), str(found["message"]))
    except (ValueError, KeyError, TypeError):
        return Unavailable(f"the supervisor did not start: {last[:300]}; see {log_file(home, 'supervisor')}")


def _wait_until_it_answers(home: Home) -> None:
    deadline = time.monotonic() + START_SECONDS
    while _identity(home) is None:
        if time.monotonic() > deadline:
            raise Unavailable(_stuck(home))
        time.sleep(POLL_SECONDS)


def _stuck(home: Home) -> str:
    return (
        f"the supervisor (pid {holder(home)}) of {home.root} does not answer; end it with kill -9 and run "
        f"./ripple up: what it started goes on running; see {log_file(home, 'supervisor')}"
    )
