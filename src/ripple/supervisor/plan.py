"""What to do with each component, decided over a snapshot. Pure: no clock, no randomness, no processes.

Rules:

- A wanted component starts once everything it requires is ready, or at once when it waits by itself. It goes on
  running when that is lost later; one that still waits goes on waiting, and says for what.
- It has started when its startup probe passes; from then on the ready and the live probe count. Without a startup
  probe, being ready for the first time is having started.
- It is ready when its ready probe passes, or as soon as it has started without one. A ready probe that fails
  ``failures`` times in a row makes it unready; the next pass makes it ready again. Neither restarts it.
- One that has not started within ``startup_seconds`` is stopped and that counts as a failure; so does a live probe
  that fails ``failures`` times in a row once it has started.
- A process that ends by itself is started again as ``restart.when`` says; an unknown exit status is a failure.
- After the n-th failure within ``window_seconds`` it waits at most initial * 2^(n-1), never more than
  ``max_seconds``; jitter takes up to half of that away. After more than ``give_up_after`` it is given up.
- A restart that is asked for, and one because the component is to be started with something else, is no failure,
  whatever ``restart.when`` says. What requires it and is to be restarted too stops first and waits for it. Asked
  for while it is being stopped, it is heard too: the component is wanted again.
- When a component with ``cascade`` has been started again, what requires it and ran before is started again too.
- A component is stopped after everything that requires it and is being stopped too. It gets its stop signal, and
  SIGKILL after ``stop_seconds``.
- There is never a second process: the next one starts when the one before is gone.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from ripple.model.component import Component, ComponentState

S = ComponentState
UP = frozenset({S.STARTING, S.READY, S.UNREADY})
ALIVE = UP | {S.STOPPING}
AT_REST = frozenset({S.GAVE_UP, S.EXITED, S.STOPPED})
_ASKED = "an operator asked for it"


@dataclass(frozen=True)
class Unit:
    """One component and what is known of its process.

    ``spec`` is the digest of what it is to be started with, ``running`` that of the process there is. ``deadline``
    is when the state ends by itself: the start-up limit, the SIGKILL, the end of a back-off. ``since`` is when the
    state began. ``generation`` counts its processes, and ``against`` holds those of what it requires when its own
    was started.
    """

    component: Component
    spec: str
    wanted: bool = True
    state: ComponentState = S.WAITING
    since: float = 0.0
    reason: str = ""
    running: str | None = None
    began: float = 0.0
    deadline: float | None = None
    ready_seconds: float | None = None
    failures: tuple[float, ...] = ()
    restarts: int = 0
    missed_ready: int = 0
    missed_live: int = 0
    again: bool = False
    blamed: bool = False
    generation: int = 0
    against: tuple[tuple[str, int], ...] = ()

    @property
    def id(self) -> str:
        """The component's id."""
        return self.component.id


class Verb(enum.StrEnum):
    """What the edge has to do."""

    START = "start"
    STOP = "stop"
    KILL = "kill"


@dataclass(frozen=True)
class Action:
    """One deed, and why."""

    verb: Verb
    id: str
    reason: str


def step(units: Mapping[str, Unit], now: float) -> tuple[dict[str, Unit], list[Action]]:
    """Everything that is to be done now, with the units as they are once it is under way.

    Each action is returned exactly once: what :func:`step` returned is the snapshot of the next call.
    """
    current, actions = dict(units), []
    moved = True
    while moved:
        moved = False
        for name, unit in current.items():
            after, action = _next(unit, current, now)
            if after is not unit:
                current[name] = after
                moved = True
            if action is not None:
                actions.append(action)
    return current, actions


def next_deadline(units: Iterable[Unit]) -> float | None:
    """When :func:`step` has to be called again although nothing happens."""
    return min((unit.deadline for unit in units if unit.deadline is not None), default=None)


def waits_for(unit: Unit, units: Mapping[str, Unit]) -> list[str]:
    """What keeps a waiting component from starting: the required ones that are not ready, or about to restart."""
    if unit.state is not S.WAITING or unit.component.waits_itself:
        return []
    return [name for name in unit.component.requires if not _can_be_used(units.get(name))]


def why_waiting(unit: Unit, units: Mapping[str, Unit]) -> str:
    """What a waiting component waits for, and why that is not ready; empty for all others."""
    return "; ".join(_awaited(name, units.get(name)) for name in waits_for(unit, units))


def adopted(unit: Unit, spec: str, now: float, ready_seconds: float | None) -> Unit:
    """A process of an earlier supervisor runs, started with ``spec``; it must prove itself ready again."""
    return replace(
        _started(unit, {}, now),
        running=spec,
        ready_seconds=ready_seconds,
        reason="was running already",
        generation=0,
        against=tuple((name, 0) for name in unit.component.requires),
    )


def exited(unit: Unit, now: float, code: int | None, jitter: float) -> Unit:
    """Its process is gone; ``code`` is None when nobody could tell, negative for a signal."""
    gone = replace(unit, running=None, deadline=None, missed_ready=0, missed_live=0, blamed=False)
    policy = unit.component.restart
    if not unit.wanted:
        return _in(gone, S.STOPPED, now, reason="", again=False)
    if unit.again:
        return _to_waiting(replace(gone, failures=()), _ASKED, now)
    if unit.state is S.STOPPING:
        return failed(gone, unit.reason, now, jitter) if unit.blamed else _to_waiting(gone, unit.reason, now)
    if unit.spec != unit.running:
        return _to_waiting(gone, "is to be started with something else", now)
    said = _spoken(code)
    if policy.when == "never" or (policy.when == "on_failure" and code == 0):
        return _in(gone, S.EXITED, now, reason=said)
    return failed(gone, said, now, jitter)


def failed(unit: Unit, reason: str, now: float, jitter: float) -> Unit:
    """One more failure of a component without a process; ``jitter`` is in [0, 1]."""
    policy = unit.component.restart
    gone = replace(unit, running=None, deadline=None, missed_ready=0, missed_live=0)
    if policy.when == "never":
        return _in(gone, S.EXITED, now, reason=reason)
    recent = (*(at for at in unit.failures if at > now - policy.window_seconds), now)
    if len(recent) > policy.give_up_after:
        given_up = f"{reason}; given up after {policy.give_up_after} restarts within {policy.window_seconds:g} s"
        return _in(gone, S.GAVE_UP, now, reason=given_up, failures=recent)
    # 2^30 initial delays are beyond any limit, and larger powers would overflow.
    limit = min(policy.max_seconds, policy.initial_seconds * 2.0 ** min(len(recent) - 1, 30))
    delay = limit * (1 - jitter / 2)
    return _in(gone, S.BACKOFF, now, reason=reason, failures=recent, deadline=now + delay)


def seen_startup(unit: Unit, now: float, failure: str) -> Unit:
    """The startup probe was asked; ``failure`` is empty when it passed, which it does once."""
    if unit.state is not S.STARTING or unit.component.startup is None:
        return unit
    if failure:
        return replace(unit, reason=f"not started: {failure}")
    if unit.component.ready is not None:
        return _in(unit, S.UNREADY, now, reason="it has started and was not ready yet", deadline=None)
    seconds = unit.ready_seconds if unit.ready_seconds is not None else now - unit.began
    return _in(unit, S.READY, now, reason="", deadline=None, ready_seconds=seconds)


def seen_ready(unit: Unit, now: float, failure: str) -> Unit:
    """The ready probe was asked; ``failure`` is empty when it passed."""
    if unit.state not in UP or (unit.state is S.STARTING and unit.component.startup is not None):
        return unit
    if not failure:
        seconds = unit.ready_seconds if unit.ready_seconds is not None else now - unit.began
        return _in(unit, S.READY, now, reason="", deadline=None, ready_seconds=seconds, missed_ready=0)
    probe = unit.component.ready
    missed = unit.missed_ready + 1
    if unit.state is S.READY and (probe is None or missed < probe.failures):
        return replace(unit, missed_ready=missed)
    state = S.STARTING if unit.state is S.STARTING else S.UNREADY
    return _in(unit, state, now, reason=f"not ready: {failure}", missed_ready=missed)


def seen_live(unit: Unit, failure: str) -> Unit:
    """The live probe was asked; it only counts once the component has started."""
    if unit.state not in (S.READY, S.UNREADY):
        return unit
    if not failure:
        return replace(unit, missed_live=0) if unit.missed_live else unit
    missed = unit.missed_live + 1
    probe = unit.component.live
    dead = probe is not None and missed >= probe.failures
    return replace(unit, missed_live=missed, reason=f"not alive: {failure}" if dead else unit.reason)


def restart_asked(unit: Unit, now: float) -> Unit:
    """An operator wants a fresh process; one that is about to start anyway is not started twice.

    One that is being stopped is wanted again, as one that has been stopped is.
    """
    if unit.state in ALIVE:
        return replace(unit, again=True, wanted=True)
    if unit.state in (S.BACKOFF, *AT_REST):
        return _to_waiting(replace(unit, failures=(), wanted=True), _ASKED, now)
    return unit


def applied(unit: Unit, component: Component, spec: str, now: float) -> Unit:
    """The component is to run as ``component`` now; one at rest is tried anew."""
    fresh = replace(unit, component=component, spec=spec, wanted=True)
    if unit.state in AT_REST or (unit.state is S.BACKOFF and unit.spec != spec):
        return _to_waiting(replace(fresh, failures=()), "", now)
    return fresh


def unwanted(unit: Unit) -> Unit:
    """It is to be stopped and to stay so."""
    return replace(unit, wanted=False)


def wanted(unit: Unit, now: float) -> Unit:
    """It is to run; nothing changes for one that is not stopped and was not to be."""
    if unit.wanted:
        return unit
    fresh = replace(unit, wanted=True, failures=())
    return _in(fresh, S.WAITING, now, reason=_ASKED) if unit.state in AT_REST else fresh


def _next(unit: Unit, units: Mapping[str, Unit], now: float) -> tuple[Unit, Action | None]:
    if unit.state in UP:
        return _next_up(unit, units, now)
    due = unit.deadline is not None and now >= unit.deadline
    if unit.state is S.STOPPING:
        if due:
            late = f"it did not stop within {unit.component.stop_seconds:g} s"
            return replace(unit, deadline=None), Action(Verb.KILL, unit.id, late)
        return unit, None
    if not unit.wanted:
        return (unit if unit.state is S.STOPPED else _in(unit, S.STOPPED, now, reason="", deadline=None)), None
    if unit.state is S.BACKOFF and due:
        return _in(unit, S.WAITING, now, deadline=None, restarts=unit.restarts + 1), None
    if unit.state is S.WAITING and not waits_for(unit, units):
        return _started(unit, units, now), Action(Verb.START, unit.id, unit.reason or "it is wanted")
    return unit, None


def _next_up(unit: Unit, units: Mapping[str, Unit], now: float) -> tuple[Unit, Action | None]:
    if not unit.wanted:
        if _dependents_stopping(unit, units):
            return unit, None
        return _stopping(unit, now, "it is not wanted any more")
    if unit.again:
        if _dependents_restarting(unit, units):
            return unit, None
        return _stopping(unit, now, "an operator asked for a restart")
    if unit.running != unit.spec:
        return _stopping(unit, now, "it is to be started with something else")
    if renewed := _renewed(unit, units):
        return _stopping(unit, now, f"{renewed}, which it requires, was started again")
    if unit.component.live is not None and unit.missed_live >= unit.component.live.failures:
        return _stopping(unit, now, unit.reason, blamed=True)
    if unit.state is S.STARTING and unit.deadline is not None and now >= unit.deadline:
        goal = "ready" if unit.component.startup is None else "started"
        late = f"not {goal} within {unit.component.startup_seconds:g} s"
        last = unit.reason.removeprefix(f"not {goal}: ")
        return _stopping(unit, now, f"{late}: {last}" if last else late, blamed=True)
    return unit, None


def _dependents_stopping(unit: Unit, units: Mapping[str, Unit]) -> bool:
    return any(
        unit.id in other.component.requires and not other.wanted and other.state in ALIVE
        for other in units.values()
    )


def _dependents_restarting(unit: Unit, units: Mapping[str, Unit]) -> bool:
    return any(
        unit.id in other.component.requires
        and (other.state is S.STOPPING or (other.again and other.state in UP and other.wanted))
        for other in units.values()
    )


def _renewed(unit: Unit, units: Mapping[str, Unit]) -> str:
    """A required component with ``cascade`` that has had another process since this one was started."""
    for name, generation in unit.against:
        other = units.get(name)
        if other is not None and other.component.cascade and other.generation > generation:
            return name
    return ""


def _can_be_used(required: Unit | None) -> bool:
    if required is None or required.state is not S.READY:
        return False
    return required.wanted and not required.again and required.running == required.spec


def _awaited(name: str, required: Unit | None) -> str:
    if required is None:
        return f"waits for {name}, which does not run here"
    state = "about to stop" if required.state is S.READY else required.state.value
    return f"waits for {name}, which is {state}{f': {required.reason}' if required.reason else ''}"


def _stopping(unit: Unit, now: float, reason: str, *, blamed: bool = False) -> tuple[Unit, Action]:
    after = _in(
        unit,
        S.STOPPING,
        now,
        reason=reason,
        deadline=now + unit.component.stop_seconds,
        again=False,
        blamed=blamed,
    )
    return after, Action(Verb.STOP, unit.id, reason)


def _started(unit: Unit, units: Mapping[str, Unit], now: float) -> Unit:
    asked = unit.component.startup is not None or unit.component.ready is not None
    return _in(
        unit,
        S.STARTING if asked else S.READY,
        now,
        reason="",
        running=unit.spec,
        began=now,
        deadline=now + unit.component.startup_seconds if asked else None,
        ready_seconds=None if asked else 0.0,
        missed_ready=0,
        missed_live=0,
        again=False,
        blamed=False,
        generation=unit.generation + 1,
        against=tuple((name, _met(units[name])) for name in unit.component.requires if name in units),
    )


def _met(required: Unit) -> int:
    """The process that whoever starts now will use: the one there is, or else the next one."""
    return required.generation if required.state in UP else required.generation + 1


def _to_waiting(unit: Unit, reason: str, now: float) -> Unit:
    return _in(unit, S.WAITING, now, reason=reason, deadline=None, restarts=unit.restarts + 1, again=False)


def _in(unit: Unit, state: ComponentState, now: float, **more: Any) -> Unit:
    """The unit in a state; one that it is in already goes on."""
    return replace(unit, state=state, since=unit.since if unit.state is state else now, **more)


def _spoken(code: int | None) -> str:
    if code is None:
        return "it ended by itself; an earlier supervisor started it, so its exit status is not known"
    return f"it was ended by signal {-code}" if code < 0 else f"it exited with status {code}"
