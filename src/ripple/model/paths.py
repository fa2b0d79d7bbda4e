"""Where an instance of Ripple keeps its state. Pure: computes paths, touches nothing."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import platformdirs


@dataclass(frozen=True)
class Home:
    """The folders of one instance, all below ``root`` (RIPPLE_HOME)."""

    root: Path

    @classmethod
    def of(cls, environment: Mapping[str, str] = os.environ) -> Home:
        """RIPPLE_HOME if set, else the platform's data folder."""
        chosen = environment.get("RIPPLE_HOME")
        return cls(Path(chosen).expanduser().absolute() if chosen else Path(platformdirs.user_data_dir("ripple")))

    @property
    def run(self) -> Path:
        """Sockets, pids, allocated ports, the operator's token (mode 0700)."""
        return self.root / "run"

    @property
    def state(self) -> Path:
        """One folder of durable state per component."""
        return self.root / "state"

    @property
    def logs(self) -> Path:
        """One log file per component."""
        return self.root / "logs"

    @property
    def keys(self) -> Path:
        """The node's signing key (mode 0700)."""
        return self.root / "keys"

    @property
    def secrets(self) -> Path:
        """Provider keys, one file each (mode 0700)."""
        return self.root / "secrets"

    @property
    def models(self) -> Path:
        """Model files, locked by hash."""
        return self.root / "models"

    @property
    def applications(self) -> Path:
        """Per application: bare repository, worktrees, toolchains, releases, edge logs."""
        return self.root / "applications"

    @property
    def toolchains(self) -> Path:
        """The unpacked wheels of applications' locks, one folder per lock."""
        return self.root / "toolchains"

    @property
    def prefix(self) -> Path:
        """Installed systems: their trees, the links to their programs, what was fetched."""
        return self.root / "prefix"

    @property
    def objects(self) -> Path:
        """The embedded object store."""
        return self.root / "objects"

    @property
    def database(self) -> Path:
        """The SQLite file of the records seam."""
        return self.state / "ripple.db"

    @property
    def operator_token(self) -> Path:
        """The bearer token of the local operator's command line (mode 0600)."""
        return self.run / "operator.token"

    @property
    def choices(self) -> Path:
        """JSON written by ``ripple up``: the profile, environment and flags this instance was started with."""
        return self.run / "choices.json"

    @property
    def endpoints(self) -> Path:
        """JSON written by the supervisor: ``{component: {port name: number}}``."""
        return self.run / "ports.json"
