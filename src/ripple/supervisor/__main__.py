"""``python -m ripple.supervisor --profile NAME``: detaches, and returns once the supervisor answers.

With ``--foreground`` it stays, writes its log to standard error, and stops everything on SIGTERM or SIGINT.
"""

from __future__ import annotations

import ripple.supervisor.lean  # noqa: F401

# isort: split
import argparse
import asyncio
import contextlib
import json
import os
import signal
import sys
from pathlib import Path
from typing import TextIO, cast

import structlog

from ripple.model.errors import Conflict, RippleError, Unavailable
from ripple.model.paths import Home
from ripple.stack.components import Stack, load_stack
from ripple.stack.root import project_root
from ripple.supervisor.control import serving
from ripple.supervisor.daemon import Supervisor
from ripple.supervisor.fingerprint import fingerprint
from ripple.supervisor.launcher import Settings
from ripple.supervisor.lock import locked
from ripple.supervisor.places import control_socket, log_file, prepare
from ripple.supervisor.start import fitting
from ripple.supervisor.trees import trees_of

MANIFESTS = project_root() / "manifests"
LOCK_SECONDS = 2.0
"""Whoever only looks whether the instance is held, holds it for a moment."""
_READY = b"ready"


def main() -> int:
    """Run one supervisor; 1 with a JSON error as the last line of standard error when it cannot."""
    parser = argparse.ArgumentParser(prog="ripple-supervisor")
    parser.add_argument("--profile", default="laptop")
    parser.add_argument("--manifests", type=Path, default=MANIFESTS)
    parser.add_argument("--foreground", action="store_true")
    options = parser.parse_args()
    home = Home.of()
    try:
        prepare(home)
        stack = _stack(home, options)
        trees = trees_of(home, options.manifests, stack.components)
        build, inherited = fingerprint(options.manifests), dict(os.environ)
        settings = Settings(home, build, inherited, stack.profile.pass_env, trees)
    except RippleError as error:
        sys.stderr.write(_as_json(error) + "\n")
        return 1
    return _supervise(settings, stack, _Starter()) if options.foreground else _detach(settings, stack)


def _stack(home: Home, options: argparse.Namespace) -> Stack:
    """The profile that was asked for; in the foreground nobody has looked yet whether it fits into memory."""
    if options.foreground:
        return fitting(home, options.profile, options.manifests).stack
    return load_stack(options.manifests, options.profile)


class _Starter:
    """Whoever started this process and waits for one word: that all is well, or what is wrong."""

    def __init__(self, handle: int | None = None) -> None:
        self._handle = handle

    def tell(self, word: bytes) -> None:
        """Only the first word counts."""
        if self._handle is not None:
            with contextlib.suppress(OSError):
                os.write(self._handle, word)
            os.close(self._handle)
            self._handle = None


class _Lasting:
    """A stream for the log that outlives a full disk: what cannot be written is dropped, not raised."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        with contextlib.suppress(OSError):
            return self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        with contextlib.suppress(OSError):
            self._stream.flush()


def _detach(settings: Settings, stack: Stack) -> int:
    """Fork away from the terminal; this process waits for the daemon's word."""
    reading, writing = os.pipe()
    if os.fork():
        os.close(writing)
        with os.fdopen(reading, "rb") as pipe:
            said = pipe.read()
        if said == _READY:
            return 0
        sys.stderr.write(said.decode(errors="replace") or "it ended before it was ready")
        return 1
    os.close(reading)
    os.setsid()
    if os.fork():
        os._exit(0)
    os.chdir("/")
    _redirect(settings.home)
    os._exit(_supervise(settings, stack, _Starter(writing)))


def _redirect(home: Home) -> None:
    nothing = os.open(os.devnull, os.O_RDONLY)
    log = os.open(log_file(home, "supervisor"), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    for source, target in ((nothing, 0), (log, 1), (log, 2)):
        os.dup2(source, target)


def _supervise(settings: Settings, stack: Stack, starter: _Starter) -> int:
    _configure_log()
    log = structlog.get_logger(__name__)
    try:
        with locked(settings.home, LOCK_SECONDS):
            asyncio.run(_run(settings, stack, starter))
    except Conflict as error:
        # Somebody else was faster; whoever asked wants one to run, not this one.
        log.info("not_needed", reason=str(error))
        starter.tell(_READY)
    except RippleError as error:
        log.exception("failed")
        starter.tell(_as_json(error).encode())
        return 1
    except Exception as error:
        log.exception("failed")
        starter.tell(_as_json(Unavailable(f"the supervisor failed: {type(error).__name__}: {error}")).encode())
        return 1
    return 0


async def _run(settings: Settings, stack: Stack, starter: _Starter) -> None:
    supervisor, end, asked = Supervisor(settings, stack), asyncio.Event(), asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, asked.set)
    # A handler, since what is ignored stays ignored in every process started from here.
    asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, lambda: None)
    supervisor.open()
    small = asyncio.create_task(supervisor.keep_logs_small())
    async with serving(control_socket(settings.home), supervisor, end):
        starter.tell(_READY)
        waiting = [asyncio.create_task(event.wait()) for event in (end, asked)]
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        if not end.is_set():
            await supervisor.down()
    small.cancel()


def _configure_log() -> None:
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(),
        ],
        logger_factory=structlog.WriteLoggerFactory(file=cast("TextIO", _Lasting(sys.stderr))),
    )


def _as_json(error: RippleError) -> str:
    return json.dumps({"code": error.code, "message": str(error)})


if __name__ == "__main__":
    sys.exit(main())
