"""The flows seam on a real Temporal server: connected in time, or Unavailable in time."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
import time
from collections.abc import Coroutine, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

import pytest
from temporalio import workflow
from temporalio.client import Client
from temporalio.worker import UnsandboxedWorkflowRunner, Worker

from ripple.model.errors import Unavailable
from ripple.planes import flows

T = TypeVar("T")


class TemporalServer:
    """A Temporal server of our own on one port; killed and started again it is the same server."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def endpoint(self) -> str:
        return f"127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start, without waiting for anything."""
        self.process = subprocess.Popen(
            [
                *(Path(sys.executable).parent / "temporal", "server", "start-dev", "--headless"),
                *("--ip", "127.0.0.1", "--port", str(self.port)),
                *("--db-filename", str(self.folder / "temporal.db")),
                *("--sqlite-pragma", "journal_mode=WAL", "--sqlite-pragma", "synchronous=NORMAL"),
                *("--dynamic-config-value", "frontend.enableServerVersionCheck=false", "--log-level", "never"),
            ],
            env={"PATH": os.defpath, "HOME": str(self.folder), "TEMPORAL_VERSION_CHECK_DISABLED": "1"},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait(10)
            self.process = None


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TemporalServer]:
    found = TemporalServer(tmp_path_factory.mktemp("temporal"))
    yield found
    found.kill()


def run(main: Coroutine[Any, Any, T]) -> T:
    """One event loop with a deadline."""
    return asyncio.run(asyncio.wait_for(main, 180))


@workflow.defn
class Echo:
    """Waits for a word and returns it."""

    def __init__(self) -> None:
        self.word = ""

    @workflow.run
    async def run(self) -> str:
        await workflow.wait_condition(lambda: self.word != "")
        return self.word

    @workflow.signal
    def say(self, word: str) -> None:
        self.word = word


def gives_up(endpoint: str) -> float:
    """Seconds until connecting is unavailable; the quickest of three tells, for the machine may be busy."""
    took = []
    for _ in range(3):
        began = time.monotonic()
        with pytest.raises(Unavailable, match=rf"cannot reach Temporal at {endpoint} within 0\.5 s"):
            run(flows.connect(endpoint, 0.5))
        took.append(time.monotonic() - began)
    return min(took)


def test_without_a_server_connecting_is_unavailable_when_the_time_is_up(tmp_path: Path) -> None:
    assert gives_up(TemporalServer(tmp_path).endpoint) < 1.5


def test_a_server_that_never_answers_is_unavailable_when_the_time_is_up() -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen(8)
        assert gives_up(f"127.0.0.1:{silent.getsockname()[1]}") < 1.5


@pytest.mark.parametrize("endpoint", ["", "no port", "127.0.0.1:99999", "a b:1"])
def test_an_endpoint_that_is_none_is_unavailable(endpoint: str) -> None:
    with pytest.raises(Unavailable):
        run(flows.connect(endpoint, 0.2))


def test_connecting_can_be_cancelled(tmp_path: Path) -> None:
    async def main() -> None:
        connecting = asyncio.create_task(flows.connect(TemporalServer(tmp_path).endpoint, 30))
        await asyncio.sleep(0.1)
        connecting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await connecting

    began = time.monotonic()
    run(main())
    assert time.monotonic() - began < 15


def test_a_client_begun_before_its_server_runs_a_flow_through_kill_nine(server: TemporalServer) -> None:
    async def main() -> str:
        connecting = asyncio.create_task(flows.connect(server.endpoint, 40))
        await asyncio.sleep(0.2)
        await asyncio.to_thread(server.start)
        client = await connecting
        assert client.namespace == "default"
        async with worker(client):
            handle = await client.start_workflow(Echo.run, id="echo-1", task_queue="echo")
            await asyncio.to_thread(server.kill)
            await asyncio.to_thread(server.start)
            await flows.connect(server.endpoint, 40)
            # The first client was never told: it finds the server again by itself.
            await handle.signal(Echo.say, "still here", rpc_timeout=timedelta(seconds=40))
            return await handle.result()

    def worker(client: Client) -> Worker:
        return Worker(client, task_queue="echo", workflows=[Echo], workflow_runner=UnsandboxedWorkflowRunner())

    assert run(main()) == "still here"
