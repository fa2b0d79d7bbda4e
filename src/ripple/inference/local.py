"""The models of this machine: installed ones are served, one supervised llama.cpp process each.

A model is served only while policy allows it and its file has the hash it was locked to.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from importlib.metadata import version

import structlog

from ripple.governance.governor import Governor
from ripple.inference.catalogue import Catalogue, ModelRow
from ripple.inference.store import Store
from ripple.inference.voters import Voter
from ripple.model.candidate import Tier
from ripple.model.component import Component, ComponentState, ComponentStatus
from ripple.model.errors import RippleError, Unavailable
from ripple.model.governance import Principal, PrincipalKind
from ripple.model.paths import Home
from ripple.supervisor.client import SupervisorClient

SERVICE = Principal(PrincipalKind.SERVICE, "models", ("service",))
POLICY = "ripple/models"
ADAPTER = "openai"
ANSWER_SECONDS = 120.0
log = structlog.get_logger(__name__)


class LocalModels:
    """Fetches, checks, serves and lists the models of ``catalogue``."""

    def __init__(self, catalogue: Catalogue, home: Home, governor: Governor, supervisor: SupervisorClient) -> None:
        self.store = Store(home.models)
        self._catalogue = catalogue
        self._home = home
        self._governor = governor
        self._supervisor = supervisor
        self._tasks: dict[str, asyncio.Task[None]] = {}

    def has(self, name: str) -> bool:
        """Whether the catalogue has a model of that name."""
        return any(row.name == name for row in self._catalogue.models)

    def rows(self) -> list[dict[str, object]]:
        """Every model of the catalogue as the API shows it, with how far a running fetch came."""
        return [self.store.shown(row) for row in self._catalogue.models]

    def add(self, chosen: str) -> None:
        """Start fetching and serving a set or one model; one that is being added already is left alone.

        Raises:
            NotFound: there is no such set or model.
        """
        for row in self._catalogue.chosen(chosen):
            if row.name not in self._tasks:
                task = asyncio.create_task(self._added(row), name=row.name)
                self._tasks[row.name] = task
                task.add_done_callback(lambda ended: self._tasks.pop(ended.get_name(), None))

    async def restore(self) -> None:
        """Serve every installed model again; one that may not or cannot be is logged and left."""
        for row in self._catalogue.models:
            if self.store.installed(row):
                try:
                    await self.serve(row)
                except RippleError as error:
                    log.warning("model_not_served", model=row.name, reason=str(error))

    async def serve(self, row: ModelRow) -> None:
        """Hand the model's server to the supervisor, which keeps it running.

        Raises:
            Refused: policy does not allow this file.
            Broken: the file is not the one that was installed.
            Unavailable: no supervisor runs.
        """
        found = await self.store.verify(row)
        approved = [{"name": one.name, "sha256": self.store.sha256(one)} for one in self._catalogue.models]
        given = {"name": row.name, "sha256": found, "approved": approved}
        await self._governor.require(SERVICE, POLICY, given, action="model.serve", resource=f"model/{row.name}")
        await self._supervisor.apply(component_of(self._catalogue, row, self.store))

    async def states(self) -> dict[str, str]:
        """Per installed model why it cannot be asked now; empty for one that can."""
        found = [row for row in self._catalogue.models if self.store.installed(row)]
        if not found:
            return {}
        try:
            status = await self._supervisor.status()
        except Unavailable as error:
            return {row.name: str(error) for row in found}
        known = {one.id: one for one in status.components}
        return {row.name: _why_not(known.get(component_id(self._catalogue, row))) for row in found}

    async def voters(self) -> list[Voter]:
        """The voters of models that answer now."""
        ready = {name for name, reason in (await self.states()).items() if not reason}
        return self._voters([row for row in self._catalogue.models if row.name in ready])

    def _voters(self, rows: Sequence[ModelRow]) -> list[Voter]:
        ports = self._ports()
        return [
            Voter(
                name=row.name,
                tier=Tier.LOCAL,
                weight=row.weight,
                lineage=row.lineage,
                context_tokens=row.context_tokens,
                adapter=ADAPTER,
                model=row.name,
                base_url=f"http://127.0.0.1:{port}/v1",
                key_name=None,
                priority=100,
                specialization=row.specialization,
                timeout_seconds=ANSWER_SECONDS,
                output_tokens=row.output_tokens,
                takes_schema=True,
            )
            for row in rows
            if (port := ports.get(component_id(self._catalogue, row), {}).get("http"))
        ]

    def _ports(self) -> dict[str, dict[str, int]]:
        try:
            return dict(json.loads(self._home.endpoints.read_text()))
        except (OSError, ValueError):
            return {}

    async def _added(self, row: ModelRow) -> None:
        try:
            await self.store.fetch(row)
            await self.serve(row)
        except RippleError as error:
            self.store.failed(row, str(error))
            log.warning("model_not_added", model=row.name, reason=str(error))


def component_id(catalogue: Catalogue, row: ModelRow) -> str:
    """The supervisor's id of the model's server."""
    return f"{catalogue.server.id}.{row.name.lower()}"


def component_of(catalogue: Catalogue, row: ModelRow, store: Store) -> Component:
    """The row the supervisor starts for a model: the catalogue's server with this model's file and context."""
    server = catalogue.server
    path = str(store.path(row)).replace("{", "{{").replace("}", "}}")
    own = ("--model", path, "--alias", row.name, "--context", str(row.context_tokens))
    given = server.model_dump(exclude={"id", "name", "command"})
    return Component(
        id=component_id(catalogue, row),
        name=f"{server.name} serving {row.name}",
        version=version("xllamacpp"),
        command=(*server.command, *own),
        **given,
    )


def _why_not(found: ComponentStatus | None) -> str:
    if found is None:
        return "its server was never started; ./ripple models add it again"
    if found.state is ComponentState.READY:
        return ""
    return f"its server is {found.state.value}{f': {found.reason}' if found.reason else ''}"
