"""The composition root: turns a home folder into the rooms of one process. Nobody else names a driver."""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from pydantic import SecretStr
from sqlalchemy import delete, func, insert, select

from ripple.changes.applications import Applications
from ripple.changes.attested import doubt
from ripple.changes.journal import Journal, now
from ripple.changes.phases.runs import Phases, Runs
from ripple.changes.service import Changes, Feed, Flows
from ripple.changes.stack import Stack
from ripple.changes.steps.rooms import WORKER, Rooms
from ripple.changes.voters import Voters
from ripple.delivery.edge import Edge
from ripple.delivery.environments import Environments
from ripple.governance.audit import Audit
from ripple.governance.governor import Governor
from ripple.governance.keys import NodeKey
from ripple.governance.sessions import Sessions
from ripple.model.component import ComponentState
from ripple.model.errors import RippleError, Unavailable
from ripple.model.paths import Home
from ripple.planes import telemetry
from ripple.planes.events import Events
from ripple.planes.events.nats import NatsEvents
from ripple.planes.objects import Objects
from ripple.planes.policy import Policy
from ripple.planes.policy.regorus import RegorusPolicy
from ripple.planes.records import Records
from ripple.planes.records import tables as t
from ripple.planes.sandbox import Sandbox, SandboxSpec
from ripple.planes.sandbox.bubblewrap import BubblewrapSandbox
from ripple.stack.phases import load_plan
from ripple.stack.root import project_root
from ripple.stack.settings import Resolved, resolve
from ripple.supervisor.client import SupervisorClient
from ripple.supervisor.loopback import free_ports
from ripple.supervisor.places import socket_folder

SUBMIT_SECONDS = 10.0
"""How long a request waits for Temporal; the worker starts the flow of a recorded change later all the same."""
MAX_SPANS = 100_000


@dataclass(frozen=True)
class App:
    """The rooms of one process, opened. Close it when the process ends."""

    rooms: Rooms
    events: Events
    sessions: Sessions
    supervisor: SupervisorClient
    changes: Changes
    stack: Stack
    phases: Phases
    feed: Feed
    resolved: Resolved
    operator_token: SecretStr

    @property
    def applications(self) -> Applications:
        """The operator's verbs on applications."""
        return self.rooms.applications

    @property
    def governor(self) -> Governor:
        """The choke point."""
        return self.rooms.governor

    @property
    def environments(self) -> Environments:
        """Where releases run."""
        return self.rooms.environments

    @property
    def voters(self) -> Voters:
        """Models and providers."""
        return self.rooms.voters

    @property
    def node_key(self) -> NodeKey:
        """What signs this node's evidence."""
        return self.rooms.key

    def temporal_endpoint(self) -> str:
        """``host:port`` of the durable-flow server."""
        return temporal_endpoint(self.rooms.home)

    async def check(self) -> None:
        """Raise Unavailable unless this process can serve: its database answers."""
        async with self.rooms.records.read() as connection:
            await connection.execute(select(1))

    async def with_health(self, application: dict[str, Any]) -> dict[str, Any]:
        """An application's view with ``healthy`` per environment; None where nothing runs or nobody can tell."""
        try:
            status = await self.supervisor.status()
        except Unavailable:
            states: dict[str, ComponentState] = {}
        else:
            states = {one.id: one.state for one in status.components}
        environments = [{**one, "healthy": _healthy(one["stable"], states)} for one in application["environments"]]
        return {**application, "environments": environments}

    def verified(self, row: Mapping[str, Any]) -> dict[str, Any]:
        """A stored statement with whether its signature holds now and it says what its row says."""
        shown = {key: row[key] for key in ("id", "gate", "environment", "envelope")}
        reason = doubt(row, self.node_key.public_pem)
        return {**shown, "verified": not reason, "reason": reason}

    async def audit_page(self, before: int | None, limit: int, q: str) -> dict[str, Any]:
        """Entries newest first and the head of the chain."""
        entries = await self.rooms.audit.page(before, limit, {"q": q} if q else None)
        return {"entries": [asdict(entry) for entry in entries], "head": (await self.rooms.audit.head()).hash}

    async def audit_verdict(self) -> dict[str, Any]:
        """The result of checking the whole chain."""
        return asdict(await self.rooms.audit.verify())

    async def spans(self, trace_id: str) -> list[dict[str, Any]]:
        """The kept spans of one trace in the order they began."""
        query = select(t.spans).where(t.spans.c.trace_id == trace_id).order_by(t.spans.c.start_ns).limit(1000)
        async with self.rooms.records.read() as connection:
            return [dict(row) for row in (await connection.execute(query)).mappings()]

    def explain(self, key: str) -> dict[str, Any]:
        """A setting, and which source won."""
        return self.resolved.explain(key)

    async def close(self) -> None:
        """Write what waits and let go of everything; what cannot be written is logged."""
        await telemetry.flush()
        await self.events.close()
        try:
            await self.rooms.audit.close()
        except RippleError as error:
            telemetry.log_failure("audit_not_closed", error)
        await self.rooms.records.close()
        telemetry.shutdown()


async def open_app(home: Home, process: str) -> App:
    """Open the rooms of one process of the instance in ``home``; ``process`` names it in logs and spans.

    Raises:
        Unavailable: the database, the supervisor's files or the operator's token are not there.
        Invalid: a manifest, setting or policy does not load.
    """
    root = project_root()
    resolved = resolve(root / "manifests", home.choices)
    records = Records.at(home.database)
    await records.open()
    keep = functools.partial(_keep_spans, records)
    telemetry.setup(process, keep=keep, otlp_endpoint=resolved.settings.telemetry.otlp_endpoint)
    audit = Audit(records)
    policy = Policy(RegorusPolicy())
    policy.load_directory(root / "policies")
    governor = Governor(policy, audit)
    events = Events(NatsEvents(f"nats://127.0.0.1:{_port(home, 'nats', 'client')}"))
    await events.open()
    supervisor = SupervisorClient(home)
    sandbox = Sandbox(BubblewrapSandbox(), functools.partial(_permit, governor))
    objects = Objects.local(home.objects)
    edge = Edge(socket_folder(home) / "caddy.sock", home.logs / "edge")
    journal = Journal(records, events)
    flow_starter = Flows(functools.partial(_connect, home))
    applications = Applications(home, records, governor, flow_starter, free_ports)
    rooms = Rooms(
        home=home,
        records=records,
        journal=journal,
        applications=applications,
        governor=governor,
        audit=audit,
        sandbox=sandbox,
        objects=objects,
        environments=Environments(records, supervisor, edge, sandbox, home),
        voters=Voters(home, records, governor, supervisor, root / "manifests", objects),
        key=NodeKey.load_or_create(home.keys),
    )
    changes = Changes(governor, journal, applications, flow_starter, resolved.settings.inference.default_policy)
    stack = Stack(home, governor, objects, flow_starter, applications)
    phases = Phases(governor, Runs(objects, rooms.key), flow_starter, load_plan(root / "manifests"))
    token = SecretStr(home.operator_token.read_text().strip())
    if process == "api":
        await keep_settings(records, resolved)
    sessions = Sessions(records, audit)
    feed = Feed(records, events, journal)
    return App(rooms, events, sessions, supervisor, changes, stack, phases, feed, resolved, token)


async def keep_settings(records: Records, resolved: Resolved) -> None:
    """Append every setting that differs from the last one kept: the history of this instance's configuration."""
    async with records.write() as connection:
        rows = (await connection.execute(select(t.settings).order_by(t.settings.c.id))).mappings()
        kept = {row["key"]: row["value"] for row in rows}
        fresh = [
            {"key": row["key"], "value": row["value"], "at": now(), "principal": f"source:{row['source']}"}
            for row in resolved.rows()
            if row["key"] not in kept or kept[row["key"]] != row["value"]
        ]
        if fresh:
            await connection.execute(insert(t.settings), fresh)


async def _keep_spans(records: Records, spans: Sequence[telemetry.SpanRow]) -> None:
    """Keep the newest :data:`MAX_SPANS` spans of all processes."""
    async with records.write() as connection:
        await connection.execute(insert(t.spans), [asdict(span) for span in spans])
        newest = (await connection.execute(select(func.max(t.spans.c.id)))).scalar_one()
        await connection.execute(delete(t.spans).where(t.spans.c.id <= newest - MAX_SPANS))


def temporal_endpoint(home: Home) -> str:
    """``host:port`` of the durable-flow server of this instance."""
    return f"127.0.0.1:{_port(home, 'temporal', 'grpc')}"


async def _permit(governor: Governor, spec: SandboxSpec, rungs: tuple[str, ...]) -> None:
    """Policy's word on one sandboxed run, written down before it starts."""
    asked = {"rung_wanted": spec.rung or rungs[0], "rungs_available": list(rungs), "network": spec.network}
    await governor.require(
        WORKER, "ripple/sandbox", asked, action="sandbox.run", resource=f"command/{spec.command[0]}"
    )


async def _connect(home: Home) -> Any:
    # Imported late: whoever starts a flow has loaded it, and the API's start does without it.
    from ripple.planes import flows

    return await flows.connect(temporal_endpoint(home), SUBMIT_SECONDS)


def _port(home: Home, component: str, name: str) -> int:
    try:
        return int(json.loads(home.endpoints.read_text())[component][name])
    except (OSError, ValueError, KeyError) as error:
        raise Unavailable(f"no port {name} of {component} in {home.endpoints}; start with ./ripple up") from error


def _healthy(stable: Mapping[str, Any] | None, states: Mapping[str, ComponentState]) -> bool | None:
    if stable is None or stable["component"] not in states:
        return None
    return states[stable["component"]] is ComponentState.READY
