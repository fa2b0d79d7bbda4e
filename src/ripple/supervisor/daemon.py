"""The supervisor's loop: what happens goes into the plan, what the plan wants is done.

Everything runs on one thread; a change of any component wakes whoever waits for one.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime

import structlog

from ripple.model.component import Component, ComponentState, ComponentStatus, Probe, Status
from ripple.model.errors import DeadlineExceeded, Invalid, NotFound, Refused, RippleError, Unavailable
from ripple.stack.components import Stack
from ripple.supervisor import budget, logfiles, plan, probes
from ripple.supervisor.asking import Asking, Question
from ripple.supervisor.launch import Launch
from ripple.supervisor.launcher import Launcher, Settings, signal_of
from ripple.supervisor.places import MARK, log_file
from ripple.supervisor.plan import Action, Unit, Verb
from ripple.supervisor.process import Process, resident_bytes

log = structlog.get_logger(__name__)
ROTATE_SECONDS = 2.0
MEMORY_SECONDS = 2.0
OWN_LOG = "supervisor"


class Supervisor:
    """Everything one instance runs. :meth:`open` it on the thread that will start the processes."""

    def __init__(self, settings: Settings, stack: Stack) -> None:
        self.build = settings.build
        self.profile = stack.profile
        self._ending = False
        self._handing_over = False
        self._launcher = Launcher(settings)
        self._fixed = {row.id for row in stack.components}
        self._rows = {row.id: row for row in (*self._added(), *stack.components)}
        self._units: dict[str, Unit] = {}
        self._launches: dict[str, Launch] = {}
        self._processes: dict[str, Process] = {}
        self._asking = Asking(self._launches, self._ask, self._answered)
        self._removing: set[str] = set()
        self._changed = asyncio.Event()
        self._timer: asyncio.TimerHandle | None = None
        self._epoch = time.time() - time.monotonic()
        self._rss: tuple[float, dict[str, int]] = (0.0, {})

    def open(self) -> None:
        """Adopt what runs, settle the ports, and start what is missing."""
        found = self._launcher.recover(self._rows)
        ports = self._launcher.ports
        ports.ensure(self._rows.values())
        for name in self._rows:
            if name not in found:
                self._say(ports.vacate(name))
        ports.save()
        for row in self._rows.values():
            self._introduce(row)
        now = time.monotonic()
        for name, (record, process) in found.items():
            if name in self._units:
                self._units[name] = plan.adopted(self._units[name], record.digest, now, record.ready_seconds)
                self._watch(name, process)
                log.info(
                    "adopted", component=name, pid=process.pid, unchanged=record.digest == self._units[name].spec
                )
        self.tick()

    def tick(self) -> None:
        """Do what is to be done now, and come back when the next deadline is due."""
        if self._handing_over:
            return
        pending = True
        while pending:
            before = self._units
            self._units, actions = plan.step(before, time.monotonic())
            for action in actions:
                self._act(action)
            self._forget()
            self._log_changes(before)
            pending = bool(actions)
        self._arm()
        self._wake()

    def status(self) -> Status:
        """What there is, now; memory is at most two seconds old."""
        memory = self._memory()
        shown = [self._status_of(unit, memory) for unit in self._units.values()]
        ready = all(
            unit.state is ComponentState.READY for name, unit in self._units.items() if name in self._fixed
        )
        return Status(
            ready=ready,
            profile=self.profile.name,
            url=self._launcher.render(self.profile.url),
            components=shown,
        )

    def logs(self, component: str, lines: int) -> str:
        """The last lines a component wrote, or the supervisor itself."""
        if component != OWN_LOG:
            self._unit(component)
        return logfiles.tail(log_file(self._launcher.home, component), lines)

    def restart(self, component: str) -> None:
        """Give a component a fresh process; nothing when it is about to get one anyway.

        Raises:
            Refused: it is being removed, or everything is being stopped.
        """
        self._must_not_end()
        unit = self._unit(component)
        if component in self._removing:
            raise Refused(f"{component} is being removed; add it again once it is gone")
        self._units[component] = plan.restart_asked(unit, time.monotonic())
        self.tick()

    def restart_group(self, group: str) -> None:
        """Give every component of the group a fresh process, each after what it requires."""
        self._must_not_end()
        for name in self._group(group):
            if name in self._removing:
                continue
            self._units[name] = plan.restart_asked(self._units[name], time.monotonic())
        self.tick()

    def start(self, group: str = "") -> None:
        """Want everything again, or the components of one group, that was stopped by :meth:`stop`.

        What could not be started at all is tried anew: its system may be installed by now.
        """
        self._must_not_end()
        for name in self._group(group) if group else tuple(self._units):
            if name in self._removing:
                continue
            self._units[name] = plan.wanted(self._units[name], time.monotonic())
            if name not in self._launches and name not in self._processes:
                self._introduce(self._rows[name])
        self.tick()

    async def stop(self, group: str) -> None:
        """Stop the components of a group until they are started again; returns when their processes are gone.

        One that somebody starts or restarts meanwhile is not waited for.

        What requires them and runs goes on running; what is not started yet waits.
        """
        self._must_not_end()
        names = self._group(group)
        for name in names:
            self._units[name] = plan.unwanted(self._units[name])
        self.tick()
        while any(name in self._processes and not self._units[name].wanted for name in names):
            await self._changed.wait()

    async def deep(self, components: Sequence[str] = ()) -> dict[str, str]:
        """Ask the deep probes of these components, or of all, now: what is wrong, empty where they do their work.

        Those without a deep probe are left out; one that does not run fails.
        """
        names = [self._unit(name).id for name in components] or list(self._units)
        asked = [self._launches[name] for name in names if name in self._launches]
        deep = [(launch, launch.deep) for launch in asked if launch.deep is not None]
        found = await asyncio.gather(*(self._ask_deep(launch, probe) for launch, probe in deep))
        return {launch.id: failure for (launch, _), failure in zip(deep, found, strict=True)}

    def apply(self, component: Component) -> None:
        """Start a component or replace it; the same one running is left alone. It outlives the supervisor.

        Raises:
            Refused: it has the id of a component of the profile, it needs more memory than there is, or everything
                is being stopped.
            Invalid: it requires what is not there, or a template does not hold.
        """
        self._must_not_end()
        if component.id in self._fixed or component.id == OWN_LOG:
            raise Refused(f"{component.id} belongs to profile {self.profile.name}; choose another id")
        missing = [name for name in component.requires if name not in self._units or name == component.id]
        if missing:
            raise Invalid(f"{component.id} requires {', '.join(missing)}, which does not run here")
        self._must_fit(component)
        had = dict(self._launcher.ports.of(component.id))
        self._launcher.ports.ensure([component])
        try:
            self._launcher.resolve(component)
        except Invalid:
            self._launcher.ports.put(component.id, had)
            raise
        self._launcher.ports.save()
        self._launcher.journal.add(component)
        self._rows[component.id] = component
        self._removing.discard(component.id)
        self._introduce(component)
        self.tick()

    async def remove(self, component: str) -> None:
        """Stop an added component and forget it; returns when its process is gone."""
        unit = self._unit(component)
        if component in self._fixed:
            raise Refused(f"{component} belongs to profile {self.profile.name}; stop the instance instead")
        self._launcher.journal.remove(component)
        self._removing.add(component)
        self._units[component] = plan.unwanted(unit)
        self.tick()
        while component in self._removing:
            await self._changed.wait()

    async def wait(self, components: Sequence[str], state: ComponentState, timeout_seconds: float) -> None:
        """Return when all components are in ``state``.

        Raises:
            NotFound: one is unknown, or was removed meanwhile.
            Unavailable: one is at rest in another state and will not get there.
            DeadlineExceeded: it took longer.
        """
        try:
            async with asyncio.timeout(timeout_seconds):
                while not all(self._has_reached(name, state) for name in components):
                    await self._changed.wait()
        except TimeoutError as error:
            late = [self._unit(name) for name in components if self._unit(name).state is not state]
            said = "; ".join(
                f"{unit.id} is {unit.state}{f': {unit.reason}' if unit.reason else ''}" for unit in late
            )
            raise DeadlineExceeded(f"not {state} within {timeout_seconds:g} s: {said}") from error

    async def down(self) -> None:
        """Stop everything in order; returns when no process is left."""
        self._ending = True
        for name, unit in self._units.items():
            self._units[name] = plan.unwanted(unit)
        self.tick()
        while self._processes:
            await self._changed.wait()

    def hand_over(self) -> None:
        """Let go of every process without stopping it: the next supervisor adopts it."""
        self._ending = self._handing_over = True
        loop = asyncio.get_running_loop()
        for name, process in self._processes.items():
            self._asking.end(name)
            loop.remove_reader(process.pidfd)
            process.release()
        self._processes.clear()
        self._wake()

    async def keep_logs_small(self) -> None:
        """Rotate logs for ever."""
        while True:
            await asyncio.sleep(ROTATE_SECONDS)
            for name in (*self._units, OWN_LOG):
                logfiles.rotate(log_file(self._launcher.home, name))

    def _added(self) -> list[Component]:
        """The components that were added, less those that cannot run with this profile any more."""
        added = self._launcher.journal.components()
        return [row for row in added if row.id not in self._fixed]

    def _must_not_end(self) -> None:
        if self._ending:
            raise Refused("the supervisor is stopping everything; start it again with ./ripple up")

    def _must_fit(self, component: Component) -> None:
        others = [unit.component for name, unit in self._units.items() if name != component.id and unit.wanted]
        free = budget.free_mib()
        if component.id in self._processes:
            # Its own process gives back what it holds before the next one starts.
            free += self._memory().get(component.id, 0) >> 20
        refused = budget.admitted(component, others, self.profile.budget_mib, free)
        if refused:
            raise Refused(f"{refused}; remove something, or raise budget_mib of profile {self.profile.name}")

    def _group(self, group: str) -> list[str]:
        found = [name for name, unit in self._units.items() if unit.component.group == group and group]
        if not found:
            known = sorted({unit.component.group for unit in self._units.values()} - {""})
            raise NotFound(f"no component is in group {group!r}; there are: {', '.join(known) or 'none'}")
        return found

    def _unit(self, component: str) -> Unit:
        if component not in self._units:
            raise NotFound(f"no component {component!r} runs here; there are: {', '.join(sorted(self._units))}")
        return self._units[component]

    def _introduce(self, row: Component) -> None:
        """Have a unit for the row as it is to be started now; a row that cannot be started is given up at once."""
        try:
            launch = self._launcher.resolve(row)
        except RippleError as error:
            self._unusable(self._units.get(row.id) or Unit(row, ""), error)
            return
        had, self._launches[row.id] = self._launches.get(row.id), launch
        known, now = self._units.get(row.id), time.monotonic()
        fresh = plan.applied(known, row, launch.digest, now) if known else Unit(row, launch.digest, since=now)
        self._units[row.id] = fresh
        if row.id in self._processes and had is not None and had.probes != launch.probes:
            self._asking.begin(row.id, fresh)

    def _unusable(self, unit: Unit, error: RippleError) -> None:
        """Give up what there is no launch for: trying it again by itself would change nothing."""
        log.error("component_unusable", component=unit.id, error=str(error))
        self._launches.pop(unit.id, None)
        gone = replace(unit, state=ComponentState.GAVE_UP, running=None, deadline=None)
        self._units[unit.id] = replace(gone, reason=str(error), since=time.monotonic())

    def _act(self, action: Action) -> None:
        unit = self._units[action.id]
        log.info(action.verb.value, component=action.id, reason=action.reason)
        match action.verb:
            case Verb.START:
                self._start(unit)
            case Verb.STOP:
                self._asking.end(action.id)
                self._processes[action.id].stop(signal_of(unit.component))
            case Verb.KILL:
                self._processes[action.id].kill()

    def _start(self, unit: Unit) -> None:
        name = unit.id
        try:
            moved = self._launcher.ports.vacate(name)
            if moved:
                self._say(moved)
                self._launcher.ports.save()
                self._renew()
            launch = self._launches[name] = self._launcher.resolve(unit.component)
            process = self._launcher.start(launch, unit.component)
        except NotFound as error:
            self._unusable(unit, error)
            return
        except (OSError, RippleError) as error:
            self._units[name] = plan.failed(unit, f"it cannot be started: {error}", time.monotonic(), _jitter())
            return
        self._units[name] = replace(unit, running=launch.digest, spec=launch.digest)
        self._watch(name, process)

    def _renew(self) -> None:
        """Ports moved: whoever was started with the old numbers is started again."""
        for name, unit in self._units.items():
            if name not in self._launches:
                continue
            # One whose system is gone says so when it is to be started itself.
            with contextlib.suppress(NotFound):
                self._launches[name] = self._launcher.resolve(unit.component)
                self._units[name] = replace(unit, spec=self._launches[name].digest)

    def _wake(self) -> None:
        """Have all who wait look again, once: an event that stays set would be waited for without end or pause."""
        self._changed.set()
        self._changed = asyncio.Event()

    def _watch(self, name: str, process: Process) -> None:
        self._processes[name] = process
        self._rss = (0.0, {})
        asyncio.get_running_loop().add_reader(process.pidfd, self._ended, name, process)
        if name in self._launches:
            self._asking.begin(name, self._units[name])

    def _ended(self, name: str, process: Process) -> None:
        asyncio.get_running_loop().remove_reader(process.pidfd)
        self._asking.end(name)
        del self._processes[name]
        code = process.bury()
        with contextlib.suppress(OSError):
            self._launcher.journal.ended(name)
        self._units[name] = plan.exited(self._units[name], time.monotonic(), code, _jitter())
        log.info("ended", component=name, pid=process.pid, code=code, state=self._units[name].state.value)
        self.tick()

    def _answered(self, name: str, question: Question, failure: str) -> Unit:
        """A probe was asked; what it found goes into the plan."""
        before = self._units[name]
        match question:
            case Question.STARTUP:
                after = plan.seen_startup(before, time.monotonic(), failure)
            case Question.READY:
                after = plan.seen_ready(before, time.monotonic(), failure)
            case Question.LIVE:
                after = plan.seen_live(before, failure)
        self._took(before, after)
        if before.ready_seconds is None and after.ready_seconds is not None:
            self._launcher.note_ready(name, after.ready_seconds)
        return after

    async def _ask(self, launch: Launch, probe: Probe) -> str:
        if probe.kind != "exec":
            return await probes.ask(probe, {})
        try:
            env = self._launcher.environment(launch, self._units[launch.id].component)
        except RippleError as error:
            return str(error)
        return await probes.ask(probe, {**env, MARK: self._processes[launch.id].mark})

    async def _ask_deep(self, launch: Launch, probe: Probe) -> str:
        if launch.id not in self._processes:
            return f"it does not run: it is {self._units[launch.id].state.value}"
        return await self._ask(launch, probe)

    def _took(self, before: Unit, after: Unit) -> None:
        """Keep what a probe found. A tick only when it can matter: most answers change nothing."""
        if after == before:
            return
        self._units[before.id] = after
        if after.state is not before.state:
            log.info("state", component=after.id, state=after.state.value, reason=after.reason)
        if after.state is not before.state or after.missed_live != before.missed_live:
            self.tick()

    def _forget(self) -> None:
        for name in list(self._removing):
            if name in self._units and self._units[name].state is ComponentState.STOPPED:
                for table in (self._units, self._launches, self._rows):
                    table.pop(name, None)
                self._launcher.ports.put(name, {})
                self._launcher.ports.save()
                logfiles.discard(log_file(self._launcher.home, name))
            if name not in self._units:
                self._removing.discard(name)

    def _arm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        due = plan.next_deadline(self._units.values())
        loop = asyncio.get_running_loop()
        self._timer = None if due is None else loop.call_later(max(0.0, due - time.monotonic()), self.tick)

    def _has_reached(self, name: str, state: ComponentState) -> bool:
        unit = self._unit(name)
        if unit.state is state:
            return True
        if unit.state in plan.AT_REST:
            why = unit.reason or "it was stopped"
            raise Unavailable(f"{name} is {unit.state} and will not be {state}: {why}; ./ripple logs {name}")
        return False

    def _status_of(self, unit: Unit, memory: Mapping[str, int]) -> ComponentStatus:
        launch, process = self._launches.get(unit.id), self._processes.get(unit.id)
        return ComponentStatus(
            id=unit.id,
            name=unit.component.name,
            version=unit.component.version,
            state=unit.state,
            pid=process.pid if process else None,
            ready_seconds=round(unit.ready_seconds, 3) if unit.ready_seconds is not None and process else None,
            rss_bytes=memory.get(unit.id),
            endpoints=dict(launch.endpoints) if launch else {},
            waiting_for=plan.waits_for(unit, self._units),
            restarts=unit.restarts,
            reason=plan.why_waiting(unit, self._units) or unit.reason,
            since=datetime.fromtimestamp(self._epoch + unit.since, UTC).isoformat(timespec="milliseconds"),
            group=unit.component.group,
        )

    def _memory(self) -> dict[str, int]:
        at, found = self._rss
        if time.monotonic() - at > MEMORY_SECONDS:
            found = resident_bytes({name: process.pid for name, process in self._processes.items()})
            self._rss = (time.monotonic(), found)
        return found

    def _log_changes(self, before: Mapping[str, Unit]) -> None:
        for name, unit in self._units.items():
            if name in before and before[name].state is not unit.state:
                log.info("state", component=name, state=unit.state.value, reason=unit.reason)

    @staticmethod
    def _say(notices: Sequence[str]) -> None:
        for notice in notices:
            log.warning("port_moved", notice=notice)


def _jitter() -> float:
    return random.random()  # noqa: S311 (it only spreads restarts)
