"""The immutable set of digests that moves through the environments."""

from __future__ import annotations

import enum
from dataclasses import dataclass

from ripple.model.digest import Digest, digest_json

ENVIRONMENTS = ("dev", "qa", "staging", "prod")
"""Promotion order (Spec §2). An environment is never skipped."""


@dataclass(frozen=True)
class Release:
    """What is deployed: application, Git commit and tree, and the digest of its toolchain lock."""

    application: str
    commit: str
    tree: str
    toolchain: str
    artifact: str = ""

    @property
    def digest(self) -> Digest:
        """What evidence is bound to. The commit is not part of it: equal content is the same release."""
        return digest_json({"application": self.application, "tree": self.tree, "toolchain": self.toolchain})


class DeploymentState(enum.StrEnum):
    """Where one release stands in one environment."""

    CANARY = "canary"
    STABLE = "stable"
    RETIRED = "retired"
    ROLLED_BACK = "rolled_back"


@dataclass(frozen=True)
class Deployment:
    """One release in one environment: a supervised, sandboxed process behind a weighted route (percent)."""

    application: str
    environment: str
    release: str
    state: DeploymentState
    component: str
    weight: int
    commit: str
    at: str
