"""``python -m ripple.surfaces.worker``: the process that runs the flows' steps.

It answers ``/readyz`` on a unix socket once it polls Temporal, and starts flows of changes that were recorded
while Temporal was down.
"""

from __future__ import annotations

import ripple.surfaces.lean  # noqa: F401

# isort: split
import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta
from pathlib import Path

import structlog
from temporalio.client import Client
from temporalio.worker import UnsandboxedWorkflowRunner, Worker

from ripple.app import App, open_app
from ripple.changes.calls import TASK_QUEUE
from ripple.changes.flow import ChangeFlow, TaskFlow
from ripple.changes.steps.table import activities
from ripple.model.errors import RippleError
from ripple.model.paths import Home
from ripple.planes import flows
from ripple.supervisor.places import socket_folder

log = structlog.get_logger(__name__)
RESUME_SECONDS = 3.0
CONNECT_SECONDS = 60.0


async def run(home: Home) -> None:
    """Work until told to stop."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    app = await open_app(home, "worker")
    try:
        client = await flows.connect(app.temporal_endpoint(), CONNECT_SECONDS)
        async with _worker(client, app), _ready(socket_folder(home) / "worker.sock"):
            resuming = asyncio.create_task(_resume(app))
            await stop.wait()
            resuming.cancel()
    finally:
        await app.close()


def _worker(client: Client, app: App) -> Worker:
    return Worker(
        client,
        task_queue=TASK_QUEUE,
        workflows=[ChangeFlow, TaskFlow],
        activities=activities(app.rooms).definitions(),
        # The flows import only the standard library and our nouns; the sandbox would re-import both per run.
        workflow_runner=UnsandboxedWorkflowRunner(),
        max_concurrent_activities=app.resolved.settings.changes.steps_at_once,
        # A killed worker's flows go to the next one after this long, not after the default of ten seconds.
        sticky_queue_schedule_to_start_timeout=timedelta(seconds=1),
        max_heartbeat_throttle_interval=timedelta(seconds=1),
        default_heartbeat_throttle_interval=timedelta(seconds=1),
        graceful_shutdown_timeout=timedelta(seconds=2),
    )


@contextlib.asynccontextmanager
async def _ready(socket: Path) -> AsyncIterator[None]:
    """Answer on ``socket`` for as long as the block runs."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 2)
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\nconnection: close\r\n\r\nready\n")
            await writer.drain()
        writer.close()

    server = await asyncio.start_unix_server(answer, str(socket))
    try:
        yield
    finally:
        server.close()


async def _resume(app: App) -> None:
    """Once: what should run, runs again. From then on: no recorded change and no adoption lacks its flow.

    None of it keeps the others from being done, and no error ends it.
    """
    once = [app.environments.restore, app.voters.restore]
    always = [app.changes.resume_all, app.applications.resume_all]
    while True:
        once = [work for work in once if not await _did(work)]
        for work in always:
            await _did(work)
        await asyncio.sleep(RESUME_SECONDS)


async def _did(work: Callable[[], Awaitable[None]]) -> bool:
    try:
        await work()
    except RippleError as error:
        log.warning("resume_failed", work=work.__qualname__, error=str(error))
        return False
    except Exception:
        log.exception("resume_crashed", work=work.__qualname__)
        return False
    return True


if __name__ == "__main__":
    asyncio.run(run(Home.of()))
