"""Asking a component whether it is up. Each probe returns what is wrong, or nothing when all is well.

Every protocol is spoken in its smallest form: a probe runs every few seconds for years.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Mapping
from pathlib import Path

from ripple.model.component import Probe
from ripple.supervisor.endpoints import mcp_handshake, models_of
from ripple.supervisor.httpwire import status_of
from ripple.supervisor.postgres import select_one
from ripple.supervisor.wire import connect, nats_pong, redis_pong

# A namespace that counts its flows can start one; the ports are open well before that.
_TEMPORAL_PATH = "/api/v1/namespaces/default/workflow-count"


async def ask(probe: Probe, env: Mapping[str, str]) -> str:
    """Why the component is not up, or an empty string. Never raises, never takes longer than the probe allows.

    Whatever a server answers is a failure at worst: an error here would end the questions for good, unseen.
    ``env`` is what the command of an ``exec`` probe runs with.
    """
    try:
        async with asyncio.timeout(probe.timeout_seconds):
            return await _ask(probe, env)
    except TimeoutError:
        return f"no answer within {probe.timeout_seconds:g} s"
    except (OSError, ValueError, EOFError, LookupError, asyncio.LimitOverrunError) as error:
        return str(error) or type(error).__name__
    except Exception as error:
        return f"asking {probe.kind} {probe.target} failed: {type(error).__name__}: {error}"


async def _ask(probe: Probe, env: Mapping[str, str]) -> str:
    match probe.kind:
        case "http":
            return await status_of(probe.target)
        case "temporal":
            return await status_of(f"http://{probe.target}{_TEMPORAL_PATH}")
        case "tcp":
            _, writer = await connect(probe.target)
            writer.close()
            return ""
        case "file":
            return "" if os.path.exists(probe.target) else f"there is no {probe.target}"  # noqa: PTH110, ASYNC240
        case "exec":
            return await _execute(probe, env)
        case "sql":
            return await select_one(probe.target, probe.user, probe.database, _secret(probe))
        case "redis":
            return await redis_pong(probe.target, probe.user, _secret(probe))
        case "nats":
            return await nats_pong(probe.target, probe.user, _secret(probe))
        case "openai":
            return await models_of(probe.target, _secret(probe))
        case "mcp":
            return await mcp_handshake(probe.target, _secret(probe))


def _secret(probe: Probe) -> str:
    return Path(probe.secret_file).read_text(encoding="utf-8").strip() if probe.secret_file else ""


async def _execute(probe: Probe, env: Mapping[str, str]) -> str:
    nothing = asyncio.subprocess.DEVNULL
    process = await asyncio.create_subprocess_exec(
        *probe.command, env=dict(env), stdin=nothing, stdout=nothing, stderr=nothing, start_new_session=True
    )
    try:
        code = await process.wait()
    except asyncio.CancelledError:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        raise
    return "" if code == 0 else f"{probe.command[0]} exited with status {code}"
