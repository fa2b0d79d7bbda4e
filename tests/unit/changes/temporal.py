"""A real Temporal server from its wheel for the tests of one file, on a port of its own, ended by its pid."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

from temporalio.client import Client
from temporalio.worker import UnsandboxedWorkflowRunner, Worker

from ripple.changes.calls import TASK_QUEUE
from ripple.changes.flow import ChangeFlow, TaskFlow
from ripple.planes import flows

T = TypeVar("T")
_SOON = timedelta(seconds=0.2)


def run(main: Coroutine[Any, Any, T], seconds: float = 60) -> T:
    """One event loop with a deadline."""
    return asyncio.run(asyncio.wait_for(main, seconds))


def free_port() -> int:
    """A port nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def temporal_server() -> Iterator[str]:
    """Its endpoint; the namespace is there once :func:`ripple.planes.flows.connect` returns."""
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="rpl-", ignore_cleanup_errors=True) as folder:
        process = subprocess.Popen(
            [
                *(Path(sys.executable).parent / "temporal", "server", "start-dev", "--headless"),
                *("--ip", "127.0.0.1", "--port", str(port), "--log-level", "never"),
                *("--dynamic-config-value", "frontend.enableServerVersionCheck=false"),
            ],
            env={"PATH": os.defpath, "HOME": folder, "TEMPORAL_VERSION_CHECK_DISABLED": "1"},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            yield f"127.0.0.1:{port}"
        finally:
            process.kill()
            process.wait(10)


@asynccontextmanager
async def working(endpoint: str, activities: list[Any]) -> AsyncIterator[Client]:
    """A client, while a worker runs the flows of changes with these activities."""
    client = await flows.connect(endpoint, 30)
    async with Worker(
        client,
        task_queue=TASK_QUEUE,
        workflows=[ChangeFlow, TaskFlow],
        activities=activities,
        workflow_runner=UnsandboxedWorkflowRunner(),
        max_heartbeat_throttle_interval=_SOON,
        default_heartbeat_throttle_interval=_SOON,
    ):
        yield client
