"""When the probes of what runs are asked: often while it starts, seldom once all is well.

Nobody waits for a probe that passes again, so it is asked every two seconds. Whoever waits for a start waits for
the next question, so it is asked at once and then ever more seldom, never later than a twentieth of the time that
has passed already.
"""

from __future__ import annotations

import asyncio
import enum
import time
from collections.abc import Awaitable, Callable, Mapping

from ripple.model.component import ComponentState, Probe
from ripple.supervisor.launch import Launch
from ripple.supervisor.plan import Unit

STEADY_SECONDS = 2.0
"""How often a ready probe is asked once it has passed; until then, as often as its row says."""
UNREADY_SECONDS = 0.25
PATIENT_SECONDS = 1.0
_SHARE = 0.05
_ROUNDS = 8


class Question(enum.StrEnum):
    """Which probe was asked."""

    STARTUP = "startup"
    READY = "ready"
    LIVE = "live"


class Asking:
    """One conversation with each running component; begun and ended on the supervisor's thread.

    ``ask`` puts a question, ``answered`` takes what was found and returns the unit as it is now.
    """

    def __init__(
        self,
        launches: Mapping[str, Launch],
        ask: Callable[[Launch, Probe], Awaitable[str]],
        answered: Callable[[str, Question, str], Unit],
    ) -> None:
        self._launches = launches
        self._ask = ask
        self._answered = answered
        self._tasks: dict[str, list[asyncio.Task[None]]] = {}
        self._passed: dict[str, float] = {}

    def begin(self, name: str, unit: Unit) -> None:
        """Ask a component that runs, from its first question on."""
        self.end(name)
        component, tasks = unit.component, []
        if component.startup is not None or component.ready is not None:
            tasks.append(asyncio.create_task(self._become_ready(name)))
        if component.live is not None:
            tasks.append(asyncio.create_task(self._stay_alive(name)))
        self._tasks[name] = tasks

    def end(self, name: str) -> None:
        """Ask it nothing more."""
        self._passed.pop(name, None)
        for task in self._tasks.pop(name, []):
            task.cancel()

    async def _become_ready(self, name: str) -> None:
        unit = None
        while (probe := self._launches[name].startup) is not None:
            unit = await self._put(name, Question.STARTUP, probe)
            if unit.state is not ComponentState.STARTING:
                break
            await asyncio.sleep(_pause(probe, unit))
        while (probe := self._launches[name].ready) is not None:
            unit = await self._put(name, Question.READY, probe)
            if unit.state is ComponentState.READY and not unit.missed_ready:
                self._passed[name] = time.monotonic()
            await asyncio.sleep(_pause(probe, unit))

    async def _stay_alive(self, name: str) -> None:
        while (probe := self._launches[name].live) is not None:
            await asyncio.sleep(probe.period_seconds)
            if self._just_answered(name, probe):
                self._answered(name, Question.LIVE, "")
            else:
                await self._put(name, Question.LIVE, probe)

    def _just_answered(self, name: str, probe: Probe) -> bool:
        """Whether the ready probe asks the same and passed since the live probe's last turn."""
        ready = self._launches[name].ready
        if ready is None or _question(ready) != _question(probe):
            return False
        return time.monotonic() - self._passed.get(name, float("-inf")) < probe.period_seconds

    async def _put(self, name: str, question: Question, probe: Probe) -> Unit:
        return self._answered(name, question, await self._ask(self._launches[name], probe))


def _question(probe: Probe) -> tuple[object, ...]:
    return probe.kind, probe.target, probe.command, probe.user, probe.database, probe.secret_file


def _pause(probe: Probe, unit: Unit) -> float:
    match unit.state:
        case ComponentState.READY:
            return max(probe.period_seconds, STEADY_SECONDS)
        case ComponentState.UNREADY:
            doubled = UNREADY_SECONDS * 2.0 ** min(unit.missed_ready // _ROUNDS, 3)
            return max(probe.period_seconds, min(doubled, STEADY_SECONDS))
        case _:
            passed = time.monotonic() - unit.began
            return max(probe.period_seconds, min(passed * _SHARE, PATIENT_SECONDS))
