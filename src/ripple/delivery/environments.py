"""Environments: supervised, sandboxed instances behind weighted routes of the edge.

Rules of a deployment:

- ``deploy`` makes a release a canary: with the overlay's share of the traffic where something stable runs, with
  all of it where nothing does, with none where the overlay asks for no canary.
- ``promote`` makes the canary stable; what was stable is drained, stopped and kept on disk for a rollback.
- ``take_back`` ends a release in every environment, holds it, and starts again what ran before it.
- The row is written before the effect and every effect is repeatable, so any of these may be cut short and called
  again: the table says what should be, :meth:`Environments.restore` makes it so.
- A held release is not deployed until :meth:`Environments.unhold`.
- One call at a time per application, :meth:`Environments.restore` too: else it would sweep away what is just
  being deployed.
- An environment whose port a foreign process took gets another one; the others are served all the same.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace

import anyio.to_thread
import structlog

from ripple.delivery.deployments import (
    ACTIVE,
    Deployments,
    canary_of,
    predecessor_of,
    routes,
    stable_of,
    still_needed,
)
from ripple.delivery.edge import Edge
from ripple.delivery.instances import (
    COMPONENT_PREFIX,
    Launch,
    Places,
    Target,
    component_of,
    make_read_only,
)
from ripple.delivery.repository import Repository
from ripple.delivery.toolchain import Toolchain
from ripple.model.application import ApplicationManifest, EnvironmentOverlay
from ripple.model.component import ComponentState, ComponentStatus
from ripple.model.errors import Conflict, Invalid, NotFound, Refused, RippleError
from ripple.model.paths import Home
from ripple.model.release import ENVIRONMENTS, Deployment, DeploymentState, Release
from ripple.planes.records import Records
from ripple.planes.sandbox import Sandbox
from ripple.supervisor.client import SupervisorClient
from ripple.supervisor.loopback import free_ports, is_taken

log = structlog.get_logger(__name__)
DRAIN_SECONDS = 10.0
START_MARGIN_SECONDS = 5.0
LOG_LINES = 20


class Environments:
    """Deploys, promotes and rolls back. One caller at a time per application (the flow's lease)."""

    def __init__(
        self, records: Records, supervisor: SupervisorClient, edge: Edge, sandbox: Sandbox, home: Home
    ) -> None:
        self.edge = edge
        self.table = Deployments(records)
        self.places = Places(home)
        self._supervisor = supervisor
        self._sandbox = sandbox
        self._routing = asyncio.Lock()
        self._turns: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    def target(
        self,
        release: Release,
        environment: str,
        manifest: ApplicationManifest,
        overlay: EnvironmentOverlay,
        toolchain: Toolchain,
    ) -> Target:
        """A release on its way into one environment."""
        return Target(release, environment, manifest, overlay, toolchain)

    async def deploy(self, target: Target, repository: Repository) -> Deployment:
        """Run the release in the environment and give it its share of the traffic; returns its row.

        The files come from the repository by the release's tree hash. Doing it again changes nothing.

        Raises:
            Refused: the release is held, or does not become ready; the message ends with its log.
            Unavailable: the supervisor or the edge does not answer.
        """
        async with self._turns[target.application]:
            return await self._deploy(target, repository)

    async def _deploy(self, target: Target, repository: Repository) -> Deployment:
        digest = target.release.digest
        held = await self.table.hold_reason(digest)
        if held is not None:
            raise Refused(f"release {digest[:19]} is held: {held}; let it go with ./ripple change unhold first")
        await self._materialise(target, repository)
        rows = await self.table.all(target.application)
        row = _find(rows, target.environment, digest)
        if row is None or row.state not in ACTIVE:
            row = await self._begin(target, rows)
        launch = self.places.load(target.application, target.environment, digest)
        try:
            await self._start(launch)
        except Refused:
            await self._abandon(row)
            raise
        watched = self.places.progress(target.application, target.environment, digest).exists()
        if row.state is DeploymentState.CANARY and row.weight == 0 and not watched:
            row = replace(row, weight=_weight(target, rows))
            await self.table.put(row)
        await self.route()
        return row

    async def promote(self, target: Target) -> Deployment:
        """Give the release all traffic and retire what was stable. Doing it again changes nothing.

        Raises:
            Conflict: the release is not deployed here.
            Refused: its instance is not ready any more.
        """
        async with self._turns[target.application]:
            return await self._promote(target)

    async def _promote(self, target: Target) -> Deployment:
        rows = await self.table.all(target.application)
        row = _find(rows, target.environment, target.release.digest)
        if row is None or row.state not in ACTIVE:
            raise Conflict(f"{target.component} is not deployed, so it cannot be promoted; deploy it first")
        await self._start(self.places.load(row.application, row.environment, row.release))
        before = stable_of(rows, target.environment)
        promoted = replace(row, state=DeploymentState.STABLE, weight=100)
        retired = [replace(before, state=DeploymentState.RETIRED, weight=0)] if before and before != row else []
        if promoted != row or retired:
            await self.table.put(promoted, *retired)
        await self.route()
        await self._sweep(target.application)
        return promoted

    async def divert(self, target: Target) -> None:
        """Take all traffic from a canary at once; it stays deployed until it is taken back."""
        rows = await self.table.all(target.application)
        row = _find(rows, target.environment, target.release.digest)
        if row is not None and row.state is DeploymentState.CANARY:
            await self.table.put(replace(row, weight=0))
            await self.route()

    async def take_back(self, application: str, release: str, reason: str) -> list[str]:
        """End a release everywhere, hold it with ``reason``, and put back what ran before.

        Returns the environments it was taken from, last one first; called again with the same reason, the same
        list. Empty when it ran nowhere: then it is not held either.

        Raises:
            Refused: somewhere what ran before does not start; the release goes on running there, and is gone from
                everywhere else.
        """
        async with self._turns[application]:
            return await self._take_back(application, release, reason)

    async def _take_back(self, application: str, release: str, reason: str) -> list[str]:
        rows = await self.table.all(application)
        again = await self.table.hold_reason(release) == reason
        undone = [
            row
            for environment in reversed(ENVIRONMENTS)
            if (row := _find(rows, environment, release))
            and (row.state in ACTIVE or (again and row.state is DeploymentState.ROLLED_BACK))
        ]
        if any(row.state in ACTIVE for row in undone):
            await self.table.hold(release, reason)
            await self._cut_canaries(undone)
            try:
                await self._roll_back_all(undone)
            finally:
                await self._sweep(application)
        elif undone:
            await self._sweep(application)
        return [row.environment for row in undone]

    async def retire(self, application: str) -> None:
        """End everything of one application, for good."""
        async with self._turns[application]:
            rows = await self.table.all(application)
            active = [replace(row, state=DeploymentState.RETIRED, weight=0) for row in rows if row.state in ACTIVE]
            await self.table.put(*active)
            await self.route()
            await self._sweep(application)

    async def stable(self, application: str, environment: str) -> Deployment | None:
        """What gets the environment's traffic."""
        return stable_of(await self.table.all(application), environment)

    async def canary(self, application: str, environment: str) -> Deployment | None:
        """What is tried on a part of it."""
        return canary_of(await self.table.all(application), environment)

    async def held(self, release: str) -> str | None:
        """Why the release may not be deployed, None when it may."""
        return await self.table.hold_reason(release)

    async def unhold(self, release: str) -> None:
        """An operator lets a held release go again; NotFound when there is none."""
        await self.table.hold(release, None)

    async def url(self, application: str, environment: str) -> str:
        """Where the edge serves the environment."""
        return f"http://127.0.0.1:{await self.table.port(application, environment)}"

    async def route(self) -> None:
        """Make the edge serve what the table says, for all applications.

        Raises:
            Unavailable: the edge does not answer.
            Invalid: it takes no configuration, and not because of a port that somebody else has.
        """
        async with self._routing:
            try:
                await self._push()
            except Invalid:
                if not await self._leave_taken_ports():
                    raise
                await self._push()

    async def restore(self) -> None:
        """At start-up: start instances that should run and do not, stop those that should not, route."""
        for application in sorted({row.application for row in await self.table.all()}):
            async with self._turns[application]:
                running = await self._instances()
                for row in await self.table.all(application):
                    if row.state in ACTIVE and row.component not in running:
                        await self._reapply(row)
        await self.route()
        for application in sorted({row.application for row in await self.table.all()}):
            async with self._turns[application]:
                await self._sweep(application)

    async def _push(self) -> None:
        await self.edge.push(routes(await self.table.ports(), await self.table.all(), self.places.socket))

    async def _leave_taken_ports(self) -> bool:
        """Give each environment whose port a foreign process has another one; True when any was moved."""
        ours = await self.edge.ports()
        ports = await self.table.ports()
        taken = [place for place, port in sorted(ports.items()) if port not in ours and is_taken(port)]
        for place, port in zip(taken, free_ports(len(taken), avoid=ports.values()), strict=True):
            application, environment = place
            log.warning(
                "edge_port_moved", application=application, environment=environment, was=ports[place], now=port,
                reason="another process listens on it",
            )  # fmt: skip
            await self.table.move(application, environment, port)
        return bool(taken)

    async def _begin(self, target: Target, rows: Sequence[Deployment]) -> Deployment:
        """Write that the release is a canary without traffic, in place of one that was left behind."""
        left = canary_of(rows, target.environment)
        row = Deployment(
            target.application,
            target.environment,
            target.release.digest,
            DeploymentState.CANARY,
            target.component,
            0,
            target.release.commit,
            "",
        )
        self.places.progress(target.application, target.environment, target.release.digest).unlink(missing_ok=True)
        self.places.save(Launch.of(target))
        given_up = [replace(left, state=DeploymentState.ROLLED_BACK, weight=0)] if left else []
        await self.table.put(row, *given_up)
        return row

    async def _materialise(self, target: Target, repository: Repository) -> None:
        tree = self.places.tree(target.application, target.release.digest)
        if tree.is_dir():
            return
        tree.parent.mkdir(parents=True, exist_ok=True)
        await repository.checkout(target.release.tree, tree)
        await anyio.to_thread.run_sync(make_read_only, tree)

    async def _start(self, launch: Launch) -> None:
        """Have the instance ready; Refused with its log when it does not become so."""
        component = component_of(launch, self.places, self._sandbox)
        known = (await self._instances()).get(component.id)
        if known is None or known.state in _DOWN:
            await self._supervisor.apply(component)
        try:
            timeout = launch.startup_seconds + START_MARGIN_SECONDS
            await self._supervisor.wait([component.id], ComponentState.READY, timeout)
        except RippleError as error:
            status = (await self._instances()).get(component.id)
            said = await self._supervisor.logs(component.id, LOG_LINES)
            why = f"it is {status.state}: {status.reason}" if status else "it is gone"
            raise Refused(
                f"{launch.application} at {launch.commit[:12]} does not become ready in {launch.environment}: "
                f"{why}; {launch.ready_path} must answer 2xx within {launch.startup_seconds:.0f} s; "
                f"its log ends: {said.strip()}"
            ) from error

    async def _abandon(self, row: Deployment) -> None:
        """A release that did not start: no traffic, no process."""
        if row.state is DeploymentState.CANARY:
            await self.table.put(replace(row, state=DeploymentState.ROLLED_BACK, weight=0))
        await self._stop(row.component)

    async def _cut_canaries(self, rows: Sequence[Deployment]) -> None:
        """First of all no more traffic for what fails; the rest of a rollback may take its time."""
        cut = [replace(row, weight=0) for row in rows if row.state is DeploymentState.CANARY and row.weight]
        if cut:
            await self.table.put(*cut)
            await self.route()

    async def _roll_back_all(self, rows: Sequence[Deployment]) -> None:
        """Each of them, whatever becomes of the others; Refused with every reason at the end."""
        failed = []
        for row in rows:
            try:
                await self._roll_back(row)
            except (Refused, NotFound) as error:
                failed.append(f"{row.environment}: {error}")
        if failed:
            raise Refused(
                f"what ran before does not start, so release {rows[0].release[:19]} goes on running in "
                f"{'; '.join(failed)}; mend the application by a change, or roll back again"
            )

    async def _roll_back(self, row: Deployment) -> None:
        if row.state not in ACTIVE:
            return
        gone = replace(row, state=DeploymentState.ROLLED_BACK, weight=0)
        rows = await self.table.all(row.application)
        before = predecessor_of(rows, row.environment, row.release)
        if row.state is DeploymentState.STABLE and before is not None:
            await self._start(self.places.load(before.application, before.environment, before.release))
            await self.table.put(gone, replace(before, state=DeploymentState.STABLE, weight=100))
        else:
            await self.table.put(gone)
        await self.route()

    async def _reapply(self, row: Deployment) -> None:
        try:
            launch = self.places.load(row.application, row.environment, row.release)
        except NotFound as error:
            log.error("deployment_lost", component=row.component, error=str(error))
            return
        try:
            await self._supervisor.apply(component_of(launch, self.places, self._sandbox))
        except RippleError as error:
            if error.retryable:
                raise
            log.error("deployment_not_started", component=row.component, error=str(error))

    async def _sweep(self, application: str) -> None:
        """Drain and stop every instance of the application that has no active row, and drop unneeded files."""
        instances = await self._instances()
        rows = await self.table.all(application)
        active = {row.component for row in rows if row.state in ACTIVE}
        by_component = {row.component: row for row in rows}
        for component in instances:
            if component.startswith(f"{COMPONENT_PREFIX}{application}.") and component not in active:
                row = by_component.get(component)
                if row is not None:
                    socket = self.places.socket(row.application, row.environment, row.release)
                    await self.edge.drain(socket, DRAIN_SECONDS)
                await self._stop(component)
        await anyio.to_thread.run_sync(self.places.prune, application, still_needed(rows))

    async def _stop(self, component: str) -> None:
        try:
            await self._supervisor.remove(component)
        except NotFound:
            return

    async def _instances(self) -> dict[str, ComponentStatus]:
        status = await self._supervisor.status()
        return {one.id: one for one in status.components if one.id.startswith(COMPONENT_PREFIX)}


_DOWN = frozenset({ComponentState.GAVE_UP, ComponentState.STOPPED, ComponentState.EXITED})


def _find(rows: Sequence[Deployment], environment: str, release: str) -> Deployment | None:
    return next((row for row in rows if (row.environment, row.release) == (environment, release)), None)


def _weight(target: Target, rows: Sequence[Deployment]) -> int:
    stable = stable_of(rows, target.environment)
    if target.overlay.canary is None:
        return 0
    return target.overlay.canary.weight if stable is not None else 100
