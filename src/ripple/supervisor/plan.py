"""What to do with each component, decided over a snapshot. Pure: no clock, no randomness, no processes.

Rules:

- A wanted component starts once everything it requires is ready, or at once when it waits by itself. It goes on
  running when that is lost later.
- It is ready when its ready probe passes, or at once without one. A ready probe that fails ``failures`` times in a
  row makes it unready; the next pass makes it ready again. Neither restarts it.
- One that is not ready within ``startup_seconds`` is stopped and that counts as a failure; so does a live probe
  that fails ``failures`` times in a row once it has been ready.
- A process that ends by itself is started again as ``restart.when`` says; an unknown exit status is a failure.
- After the n-th failure within ``window_seconds`` it waits at most initial * 2^(n-1), never more than
  ``max_seconds``; jitter takes up to half of that away. After more than ``give_up_after`` it is given up.
- A restart that is asked for, and one because the component is to be started with something else, is no failure.
- A component is stopped after everything that requires it and is being stopped too. It gets its stop signal, and
  SIGKILL after ``stop_seconds``.
- There is never a second process: the next one starts when the one before is gone.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from ripple.model.component import Component, ComponentState

S = ComponentState
UP = frozenset({S.STARTING, S.READY, S.UNREADY})
ALIVE = UP | {S.STOPPING}
AT_REST = frozenset({S.GAVE_UP, S.EXITED, S.STOPPED})


@dataclass(frozen=True)
class Unit:
    """One component and what is known of its process.

    ``spec`` is the digest of what it is to be started with, ``running`` that of the process there is. ``deadline``
    is when the state ends by itself: the start-up limit, the SIGKILL, the end of a back-off.
    """

    component: Component
    spec: str
    wanted: bool = True
    state: ComponentState = S.WAITING
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
    """What keeps a waiting component from starting: the required ones that are not ready."""
    if unit.state is not S.WAITING or unit.component.waits_itself:
        return []
    return [name for name in unit.component.requires if name not in units or units[name].state is not S.READY]


def adopted(unit: Unit, spec: str, now: float, ready_seconds: float | None) -> Unit:
    """A process of an earlier supervisor runs, started with ``spec``; it must prove itself ready again."""
    return replace(_started(unit, now), running=spec, ready_seconds=ready_seconds, reason="was running already")


def exited(unit: Unit, now: float, code: int | None, jitter: float) -> Unit:
    """Its process is gone; ``code`` is None when nobody could tell, negative for a signal."""
    gone = replace(unit, running=None, deadline=None, missed_ready=0, missed_live=0)
    policy = unit.component.restart
    if not unit.wanted:
        return replace(gone, state=S.STOPPED, reason="", blamed=False)
    if unit.state is S.STOPPING:
        stopped = replace(gone, blamed=False)
        return failed(stopped, unit.reason, now, jitter) if unit.blamed else _to_waiting(stopped, unit.reason)
    if unit.spec != unit.running:
        return _to_waiting(gone, "is to be started with something else")
    said = _spoken(code)
    if policy.when == "never" or (policy.when == "on_failure" and code == 0):
        return replace(gone, state=S.EXITED, reason=said)
    return failed(gone, said, now, jitter)


def failed(unit: Unit, reason: str, now: float, jitter: float) -> Unit:
    """One more failure of a component without a process; ``jitter`` is in [0, 1]."""
    policy = unit.component.restart
    gone = replace(unit, running=None, deadline=None, missed_ready=0, missed_live=0)
    if policy.when == "never":
        return replace(gone, state=S.EXITED, reason=reason)
    recent = (*(at for at in unit.failures if at > now - policy.window_seconds), now)
    if len(recent) > policy.give_up_after:
        given_up = f"{reason}; given up after {policy.give_up_after} restarts within {policy.window_seconds:g} s"
        return replace(gone, state=S.GAVE_UP, reason=given_up, failures=recent)
    # 2^30 initial delays are beyond any limit, and larger powers would overflow.
    limit = min(policy.max_seconds, policy.initial_seconds * 2.0 ** min(len(recent) - 1, 30))
    delay = limit * (1 - jitter / 2)
    return replace(gone, state=S.BACKOFF, reason=reason, failures=recent, deadline=now + delay)


def seen_ready(unit: Unit, now: float, failure: str) -> Unit:
    """The ready probe was asked; ``failure`` is empty when it passed."""
    if unit.state not in UP:
        return unit
    if not failure:
        seconds = unit.ready_seconds if unit.ready_seconds is not None else now - unit.began
        return replace(unit, state=S.READY, reason="", deadline=None, ready_seconds=seconds, missed_ready=0)
    probe = unit.component.ready
    missed = unit.missed_ready + 1
    if unit.state is S.READY and (probe is None or missed < probe.failures):
        return replace(unit, missed_ready=missed)
    state = S.STARTING if unit.state is S.STARTING else S.UNREADY
    return replace(unit, state=state, reason=f"not ready: {failure}", missed_ready=missed)


def seen_live(unit: Unit, failure: str) -> Unit:
    """The live probe was asked; it only counts once the component has been ready."""
    if unit.state not in (S.READY, S.UNREADY):
        return unit
    if not failure:
        return replace(unit, missed_live=0) if unit.missed_live else unit
    missed = unit.missed_live + 1
    probe = unit.component.live
    dead = probe is not None and missed >= probe.failures
    return replace(unit, missed_live=missed, reason=f"not alive: {failure}" if dead else unit.reason)


def restart_asked(unit: Unit) -> Unit:
    """An operator wants a fresh process; one that is about to start anyway is not started twice."""
    if unit.state in UP:
        return replace(unit, again=True)
    if unit.state in (S.BACKOFF, *AT_REST):
        return _to_waiting(replace(unit, failures=(), wanted=True), "an operator asked for it")
    return unit


def applied(unit: Unit, component: Component, spec: str) -> Unit:
    """The component is to run as ``component`` now; one at rest is tried anew."""
    fresh = replace(unit, component=component, spec=spec, wanted=True)
    if unit.state in AT_REST or (unit.state is S.BACKOFF and unit.spec != spec):
        return _to_waiting(replace(fresh, failures=()), "")
    return fresh


def unwanted(unit: Unit) -> Unit:
    """It is to be stopped and to stay so."""
    return replace(unit, wanted=False)


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
        return (
            unit if unit.state is S.STOPPED else replace(unit, state=S.STOPPED, reason="", deadline=None)
        ), None
    if unit.state is S.BACKOFF and due:
        return replace(unit, state=S.WAITING, deadline=None, restarts=unit.restarts + 1), None
    if unit.state is S.WAITING and not waits_for(unit, units):
        return _started(unit, now), Action(Verb.START, unit.id, unit.reason or "it is wanted")
    return unit, None


def _next_up(unit: Unit, units: Mapping[str, Unit], now: float) -> tuple[Unit, Action | None]:
    if not unit.wanted:
        if _dependents_stopping(unit, units):
            return unit, None
        return _stopping(unit, now, "it is not wanted any more")
    if unit.again:
        return _stopping(unit, now, "an operator asked for a restart")
    if unit.running != unit.spec:
        return _stopping(unit, now, "it is to be started with something else")
    if unit.component.live is not None and unit.missed_live >= unit.component.live.failures:
        return _stopping(unit, now, unit.reason, blamed=True)
    if unit.state is S.STARTING and unit.deadline is not None and now >= unit.deadline:
        late = f"not ready within {unit.component.startup_seconds:g} s"
        last = unit.reason.removeprefix("not ready: ")
        return _stopping(unit, now, f"{late}: {last}" if last else late, blamed=True)
    return unit, None


def _dependents_stopping(unit: Unit, units: Mapping[str, Unit]) -> bool:
    return any(
        unit.id in other.component.requires and not other.wanted and other.state in ALIVE
        for other in units.values()
    )


def _stopping(unit: Unit, now: float, reason: str, *, blamed: bool = False) -> tuple[Unit, Action]:
    after = replace(
        unit,
        state=S.STOPPING,
        reason=reason,
        deadline=now + unit.component.stop_seconds,
        again=False,
        blamed=blamed,
    )
    return after, Action(Verb.STOP, unit.id, reason)


def _started(unit: Unit, now: float) -> Unit:
    waits = unit.component.ready is not None
    return replace(
        unit,
        state=S.STARTING if waits else S.READY,
        reason="",
        running=unit.spec,
        began=now,
        deadline=now + unit.component.startup_seconds if waits else None,
        ready_seconds=None if waits else 0.0,
        missed_ready=0,
        missed_live=0,
        again=False,
        blamed=False,
    )


def _to_waiting(unit: Unit, reason: str) -> Unit:
    return replace(unit, state=S.WAITING, reason=reason, deadline=None, restarts=unit.restarts + 1, again=False)


def _spoken(code: int | None) -> str:
    if code is None:
        return "it ended by itself; an earlier supervisor started it, so its exit status is not known"
    return f"it was ended by signal {-code}" if code < 0 else f"it exited with status {code}"
