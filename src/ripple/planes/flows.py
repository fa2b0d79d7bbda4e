"""Durable flows: the seam is Temporal's own SDK. Here is only how to reach the server, in time or not at all."""

from __future__ import annotations

import asyncio
import time

from temporalio.client import Client
from temporalio.service import RPCError

from ripple.model.errors import Unavailable

NAMESPACE = "default"
ATTEMPT_SECONDS = 3.0
RETRY_SECONDS = 0.1


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


def _brief(error: BaseException) -> str:
    return str(error)[:200] or "it does not answer"
