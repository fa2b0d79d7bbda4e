"""The rooms of one home for tests of the change flow: real records, policies, repository, sandbox and keys.

Nothing else runs: the event bus, the supervisor and the edge are away, which is a case of its own.
"""

from __future__ import annotations

import atexit
import functools
import shutil
import subprocess
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar, cast

from sqlalchemy import insert, select
from temporalio.testing import ActivityEnvironment
from tests.unit.changes.temporal import free_port, run

from ripple.changes.activities import StepContext, StepOutcome
from ripple.changes.applications import READY, Applications
from ripple.changes.calls import StepCall, StepResult
from ripple.changes.journal import Journal, now
from ripple.changes.steps.rooms import Rooms
from ripple.changes.stopwatch import Stopwatch
from ripple.changes.voters import Voters
from ripple.delivery.edge import Edge
from ripple.delivery.environments import Environments
from ripple.governance.audit import Audit
from ripple.governance.governor import Governor
from ripple.governance.keys import NodeKey
from ripple.model.errors import Unavailable
from ripple.model.governance import Principal, PrincipalKind
from ripple.model.paths import Home
from ripple.planes.events import Events
from ripple.planes.events.nats import NatsEvents
from ripple.planes.objects import Objects
from ripple.planes.policy import Policy
from ripple.planes.policy.regorus import RegorusPolicy
from ripple.planes.records import Records, timeline
from ripple.planes.records import tables as t
from ripple.planes.sandbox import Sandbox
from ripple.planes.sandbox.bubblewrap import BubblewrapSandbox
from ripple.supervisor.client import SupervisorClient
from ripple.supervisor.loopback import free_ports

ROOT = Path(__file__).parents[3]
TRACE = "0123456789abcdef0123456789abcdef"
OPERATOR = Principal(PrincipalKind.OPERATOR, "local", ("operator",))
AGENT = Principal(PrincipalKind.AGENT, "uhCAk1", ("agent",))
T = TypeVar("T")
MANIFEST = """
name: shop
test: {unit: [python3, -m, unittest, discover, tests]}
run: {command: [python3, -m, http.server, "8080"], ready: {http: /}}
"""


@dataclass
class Tasks:
    """What was started; ``away`` stands for a Temporal that does not answer."""

    started: list[tuple[str, str]] = field(default_factory=list)
    calls: list[StepCall] = field(default_factory=list)
    away: bool = False

    async def start_task(self, flow_id: str, name: str, call: StepCall) -> None:
        if self.away:
            raise Unavailable("cannot reach Temporal")
        self.started.append((flow_id, name))
        self.calls.append(call)


@dataclass
class Room:
    """The rooms, and short ways to look into them."""

    rooms: Rooms
    tasks: Tasks
    events: Events
    origin: Path

    @property
    def journal(self) -> Journal:
        return self.rooms.journal

    async def application(self) -> None:
        """Register ``shop`` as it would be after its adoption; its repository is made once."""
        if not self.origin.exists():
            make_origin(self.origin)
        row = {"name": "shop", "path": str(self.origin), "branch": "main", "manifest": {}, "state": READY}
        ports = dict(zip(("dev", "qa", "staging", "prod"), free_ports(4), strict=True))
        async with self.rooms.records.write() as connection:
            values = {**row, "ports": ports, "reasons": [], "added_at": now()}
            await connection.execute(insert(t.applications).values(**values))

    async def change(self, name: str = "chg-1", **given: Any) -> dict[str, Any]:
        """A running change of ``shop``."""
        row = {
            "id": name,
            "application": "shop",
            "kind": "code",
            "intent": "Say two instead of one.",
            "policy": "ripple-moe-embedded",
            "principal": "operator:local",
            "state": "running",
            "trace_id": TRACE,
            "created_at": now(),
            "reasons": [],
            **given,
        }
        await self.journal.create(row)
        return await self.journal.change(name)

    async def step(self, step: str, state: str = "passed", change: str = "chg-1", **given: Any) -> None:
        """A step of a change as a run left it."""
        row: dict[str, Any] = {
            "change_id": change,
            "step": step,
            "state": state,
            "started_at": now(),
            "ended_at": None,
            "duration_seconds": 1.0,
            "outside_seconds": 0.5,
            "inputs": {},
            "outputs": {},
            "reasons": [],
        }
        await self.journal.put_step({**row, **given})

    async def deployment(self, release: str, commit: str, environment: str = "dev", state: str = "stable") -> None:
        row = {"application": "shop", "environment": environment, "release": release, "state": state}
        more = {"component": "app.shop", "weight": 100, "commit": commit, "at": now()}
        async with self.rooms.records.write() as connection:
            await connection.execute(insert(t.deployments).values(**row, **more))

    async def release(self, digest: str) -> None:
        """A release that is not held."""
        values = dict.fromkeys(("commit", "tree", "toolchain", "artifact", "created_at"), "")
        async with self.rooms.records.write() as connection:
            row = {"digest": digest, "application": "shop", "held": False, **values}
            await connection.execute(insert(t.releases).values(**row))

    async def timeline(self, change: str = "chg-1") -> list[tuple[str, Any]]:
        return [(row.kind, row.data) for row in await timeline.after(self.rooms.records, change, 0)]

    async def audited(self, action: str) -> list[tuple[str, Any]]:
        """Outcome and data of every entry with this action, oldest first."""
        found = [one for one in await self.rooms.audit.page(limit=200) if one.action == action]
        return [(one.outcome, one.data) for one in reversed(found)]

    async def traced(self, action: str) -> list[tuple[str, str, str | None]]:
        """Principal, outcome and trace of every entry with this action, oldest first."""
        found = await self.rooms.audit.page(limit=200, filters={"action": action})
        return [(one.principal, one.outcome, one.trace_id) for one in reversed(found)]

    async def rows(self, table: Any) -> list[dict[str, Any]]:
        async with self.rooms.records.read() as connection:
            return [dict(row) for row in (await connection.execute(select(table))).mappings()]

    def commit(self, text: str, path: str = "word.py") -> str:
        """A commit of the operator's own; its name."""
        (self.origin / path).write_text(text)
        git(self.origin, "add", "-A")
        git(self.origin, "commit", "-qm", "the operator's")
        return git(self.origin, "rev-parse", "HEAD")


Scenario = Callable[[Room], Awaitable[T]]


def inside(folder: Path, scenario: Scenario[T], *, voters: bool = False) -> T:
    """Play one scenario in the rooms of ``folder``; voters are there if it asks for them, they take a while."""
    migrated()

    async def main() -> T:
        async with opened(folder, voters=voters) as room:
            return await scenario(room)

    return run(main())


@asynccontextmanager
async def opened(folder: Path, *, voters: bool) -> AsyncIterator[Room]:
    home = Home(folder / "home")
    if not home.database.exists():
        home.database.parent.mkdir(parents=True)
        shutil.copy(migrated(), home.database)
    records = Records.at(home.database)
    await records.open()
    events = Events(NatsEvents(f"nats://127.0.0.1:{free_port()}"))
    room = _made(home, records, events, folder / "origin")
    try:
        yield _with_voters(room) if voters else room
    finally:
        await records.close()


def step_context(change: dict[str, Any], step: str, approved_by: str = "") -> StepContext:
    """What a step function is given."""
    return StepContext(change, step, approved_by, Stopwatch())


async def as_activity(
    work: Callable[..., Awaitable[StepResult | StepOutcome]], *arguments: Any, attempt: int = 1
) -> Any:
    """Run a step or task as the worker would on this attempt."""
    environment = ActivityEnvironment()
    environment.info = replace(environment.info, attempt=attempt)
    return await environment.run(work, *arguments)


def make_origin(folder: Path) -> Path:
    """The operator's repository of a small application."""
    (folder / "tests").mkdir(parents=True)
    (folder / "ripple.app.yaml").write_text(MANIFEST)
    (folder / "word.py").write_text("WORD = 'one'\n")
    (folder / "tests" / "test_word.py").write_text("import unittest\n")
    for command in (["init", "-q", "-b", "main"], ["add", "-A"], ["commit", "-qm", "first"]):
        git(folder, *command)
    return folder


def git(folder: Path, *arguments: str) -> str:
    identity = ("-c", "user.name=Ann", "-c", "user.email=ann@example.invalid")
    done = subprocess.run(("git", *identity, *arguments), cwd=folder, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def _made(home: Home, records: Records, events: Events, origin: Path) -> Room:
    audit = Audit(records)
    governor = Governor(policies(), audit)
    tasks = Tasks()
    supervisor = SupervisorClient(home)
    sandbox = Sandbox(BubblewrapSandbox())
    objects = Objects.local(home.objects)
    edge = Edge(home.root / "caddy.sock", home.logs)
    rooms = Rooms(
        home=home,
        records=records,
        journal=Journal(records, events),
        applications=Applications(home, records, governor, tasks, free_ports),
        governor=governor,
        audit=audit,
        sandbox=sandbox,
        objects=objects,
        environments=Environments(records, supervisor, edge, sandbox, home),
        voters=cast("Voters", None),
        key=NodeKey.load_or_create(home.keys),
    )
    return Room(rooms, tasks, events, origin)


def _with_voters(room: Room) -> Room:
    rooms, supervisor = room.rooms, SupervisorClient(room.rooms.home)
    voters = Voters(rooms.home, rooms.records, rooms.governor, supervisor, ROOT / "manifests", rooms.objects)
    return replace(room, rooms=replace(rooms, voters=voters))


@functools.cache
def policies() -> Policy:
    """The policies as an instance loads them, loaded once."""
    policy = Policy(RegorusPolicy())
    policy.load_directory(ROOT / "policies")
    return policy


@functools.cache
def migrated() -> Path:
    """A database of the newest shape, made once."""
    made = Path(tempfile.mkdtemp(prefix="ripple-test-")) / "ripple.db"
    atexit.register(shutil.rmtree, made.parent, ignore_errors=True)

    async def make() -> None:
        records = Records.at(made)
        await records.open()
        await records.close()

    run(make())
    return made
