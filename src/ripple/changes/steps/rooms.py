"""The collaborators every step is given, and where a change keeps its files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ripple.changes.applications import Applications
from ripple.changes.journal import Journal
from ripple.changes.voters import Voters
from ripple.delivery.environments import Environments
from ripple.delivery.repository import Repository
from ripple.governance.audit import Audit
from ripple.governance.governor import Governor
from ripple.governance.keys import NodeKey
from ripple.model.governance import Principal, PrincipalKind
from ripple.model.paths import Home
from ripple.planes.objects import Objects
from ripple.planes.records import Records
from ripple.planes.sandbox import Sandbox

WORKER = Principal(PrincipalKind.SERVICE, "worker", ("service",))


@dataclass(frozen=True)
class Rooms:
    """Everything a step may use. Built once by the composition root."""

    home: Home
    records: Records
    journal: Journal
    applications: Applications
    governor: Governor
    audit: Audit
    sandbox: Sandbox
    objects: Objects
    environments: Environments
    voters: Voters
    key: NodeKey

    async def repository(self, change: Mapping[str, Any]) -> Repository:
        """Ripple's own clone of the change's application."""
        return self.applications.repository(await self.applications.row(change["application"]))

    def folder(self, change: Mapping[str, Any]) -> Path:
        """The change's scratch folder; removed when the change ends."""
        return self.home.applications / str(change["application"]) / "changes" / str(change["id"])
