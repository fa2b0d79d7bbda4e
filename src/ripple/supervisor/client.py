"""The client of the supervisor's control socket, for everybody else in Ripple."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import anyio

from ripple.model.component import Component, ComponentState, Status
from ripple.model.errors import (
    Broken,
    Conflict,
    DeadlineExceeded,
    Invalid,
    NotFound,
    Refused,
    RippleError,
    Unavailable,
)
from ripple.model.paths import Home
from ripple.supervisor.places import control_socket

ANSWER_SECONDS = 10.0
STOP_SECONDS = 120.0
DEEP_SECONDS = 120.0
MARGIN_SECONDS = 5.0
MAX_ANSWER_BYTES = 16 << 20
_KINDS: tuple[type[RippleError], ...] = (
    Refused, Invalid, NotFound, Conflict, Unavailable, DeadlineExceeded, Broken,
)  # fmt: skip
_ERRORS = {**{kind.code: kind for kind in _KINDS}, "unknown_key": Invalid}


class SupervisorClient:
    """Talks to the supervisor of the instance in ``home``; every call raises Unavailable when none runs."""

    def __init__(self, home: Home) -> None:
        self._home = home

    async def status(self) -> Status:
        """What runs now."""
        return Status.model_validate(await self.ask({"do": "status"}))

    async def logs(self, component: str, lines: int) -> str:
        """The last lines a component wrote (``supervisor``: the supervisor's own); NotFound if it is unknown."""
        return str(await self.ask({"do": "logs", "id": component, "lines": lines}))

    async def restart(self, component: str) -> None:
        """Give a component a fresh process; one that is about to get one is not restarted twice."""
        await self.ask({"do": "restart", "id": component})

    async def restart_group(self, group: str) -> None:
        """Give every component of a group a fresh process, each after what it requires, or NotFound."""
        await self.ask({"do": "restart", "group": group})

    async def start(self, group: str = "") -> None:
        """Start again what :meth:`stop` stopped: one group, or everything."""
        await self.ask({"do": "start", "group": group})

    async def stop(self, group: str) -> None:
        """Stop a group until it is started again; returns when its processes are gone, or NotFound."""
        await self.ask({"do": "stop", "group": group}, STOP_SECONDS)

    async def deep(self, components: Sequence[str] = ()) -> dict[str, str]:
        """What the deep probes of these components find now, or of all that have one: empty where all is well."""
        found: dict[str, str] = await self.ask({"do": "deep", "ids": list(components)}, DEEP_SECONDS)
        return found

    async def apply(self, component: Component) -> None:
        """Start a component or replace it; it is started again with the instance until it is removed.

        The same one running is left alone, one at rest is tried anew. Returns before it is ready.

        Raises:
            Refused: the id belongs to the profile, or it needs more memory than there is.
            Invalid: a template does not hold, or it requires what does not run here.
        """
        await self.ask({"do": "apply", "component": component.model_dump(mode="json")})

    async def remove(self, component: str) -> None:
        """Stop an added component and forget it; returns when its process is gone. NotFound if it is unknown."""
        await self.ask({"do": "remove", "id": component}, STOP_SECONDS)

    async def wait(self, components: Sequence[str], state: ComponentState, timeout_seconds: float) -> None:
        """Return as soon as all components are in ``state``.

        Raises:
            DeadlineExceeded: it took longer than ``timeout_seconds``.
            Unavailable: one has given up, exited or been stopped, so it will not get there.
            NotFound: one is unknown.
        """
        request = {"do": "wait", "ids": list(components), "state": state.value, "timeout_seconds": timeout_seconds}
        await self.ask(request, timeout_seconds + MARGIN_SECONDS)

    async def ask(self, request: dict[str, Any], seconds: float = ANSWER_SECONDS) -> Any:
        """One request and the value of its answer; what the supervisor raised is raised here."""
        try:
            with anyio.fail_after(seconds):
                answer = await self._exchange(json.dumps(request).encode() + b"\n")
        except TimeoutError as error:
            raise DeadlineExceeded(
                f"the supervisor in {self._home.root} did not answer {request['do']} within {seconds:g} s"
            ) from error
        except (OSError, anyio.BrokenResourceError, anyio.EndOfStream) as error:
            raise _absent(self._home) from error
        if "error" in answer:
            raise error_of(str(answer["error"]["code"]), str(answer["error"]["message"]))
        return answer["ok"]

    async def _exchange(self, request: bytes) -> dict[str, Any]:
        async with await anyio.connect_unix(control_socket(self._home)) as stream:
            await stream.send(request)
            received = bytearray()
            while not received.endswith(b"\n"):
                received += await stream.receive()
                if len(received) > MAX_ANSWER_BYTES:
                    raise RippleError("the supervisor's answer is too large")
        found: dict[str, Any] = json.loads(received)
        return found


def error_of(code: str, message: str) -> RippleError:
    """The error that the supervisor raised, from what it told of it."""
    kind: type[RippleError] = _ERRORS.get(code, RippleError)
    return kind(message, code=code)


def _absent(home: Home) -> Unavailable:
    return Unavailable(f"no supervisor runs for {home.root}; start it with ./ripple up")
