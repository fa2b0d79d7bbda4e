"""Durable flows: the seam is Temporal's own SDK. Here is only how to reach the server, in time or not at all."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from temporalio.client import Client
from temporalio.common import WorkflowIDConflictPolicy, WorkflowIDReusePolicy
from temporalio.exceptions import WorkflowAlreadyStartedError
from temporalio.service import RPCError

from ripple.model.errors import Unavailable

NAMESPACE = "default"
ATTEMPT_SECONDS = 3.0
RETRY_SECONDS = 0.1
START_DEADLINE = timedelta(seconds=10)
DECIDE_SECONDS = timedelta(seconds=4)
"""How long a worker may take to say what comes next; a killed one's turn goes to another after this."""


async def connect(endpoint: str, seconds: float) -> Client:
    """A client of the Temporal server at ``endpoint`` (``host:port``) whose namespace has answered a question.

    The server opens its port a little before its namespace is there, so the port alone proves nothing. Tried
    again until ``seconds`` have passed; the client reconnects by itself afterwards, so callers keep one.

    Raises:
        Unavailable: no answer in time.
    """
    deadline = time.monotonic() + seconds
    while True:
        left = deadline - time.monotonic()
        try:
            async with asyncio.timeout(max(0.001, min(ATTEMPT_SECONDS, left))):
                client = await Client.connect(endpoint, namespace=NAMESPACE)
                await client.count_workflows()
                return client
        except (RuntimeError, ValueError, RPCError, TimeoutError) as error:
            if time.monotonic() + RETRY_SECONDS >= deadline:
                raise Unavailable(
                    f"cannot reach Temporal at {endpoint} within {seconds:g} s: {_brief(error)}; "
                    "see ./ripple status and ./ripple logs temporal"
                ) from error
        await asyncio.sleep(RETRY_SECONDS)


async def start(client: Client, flow: str, flow_id: str, queue: str, arguments: Sequence[Any]) -> None:
    """Start the flow called ``flow``; nothing when one with this id runs already.

    Raises:
        Unavailable: Temporal does not answer.
    """
    try:
        await client.start_workflow(
            flow,
            args=arguments,
            id=flow_id,
            task_queue=queue,
            id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE,
            id_conflict_policy=WorkflowIDConflictPolicy.FAIL,
            task_timeout=DECIDE_SECONDS,
            rpc_timeout=START_DEADLINE,
        )
    except WorkflowAlreadyStartedError:
        return
    except RPCError as error:
        raise Unavailable(f"cannot start {flow_id}: Temporal says {error.message}; it is retried") from error


async def signal(client: Client, flow: str, flow_id: str, queue: str, told: tuple[str, Sequence[Any]]) -> bool:
    """Tell a flow whose id is its argument a signal and its arguments; it is started where it has not been yet.

    False when it has ended.

    Raises:
        Unavailable: Temporal does not answer; it may be told again.
    """
    name, arguments = told
    try:
        await client.start_workflow(
            flow,
            args=[flow_id],
            id=flow_id,
            task_queue=queue,
            id_reuse_policy=WorkflowIDReusePolicy.REJECT_DUPLICATE,
            start_signal=name,
            start_signal_args=arguments,
            task_timeout=DECIDE_SECONDS,
            rpc_timeout=START_DEADLINE,
        )
    except WorkflowAlreadyStartedError:
        return False
    except RPCError as error:
        raise Unavailable(f"cannot tell change {flow_id} to {name}: {error.message}; try again") from error
    return True


def _brief(error: BaseException) -> str:
    return str(error)[:200] or "it does not answer"
