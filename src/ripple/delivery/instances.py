"""One instance of a release in one environment: its files, its socket, and how the supervisor starts it.

What an instance needs is kept beside the release's files, so that a release which was replaced can be started
again without the application's repository, and with the sandbox of the Ripple that runs then.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from ripple.delivery.toolchain import Toolchain
from ripple.model.application import ApplicationManifest, EnvironmentOverlay, Load, Slo
from ripple.model.component import Component, Probe, Restart
from ripple.model.errors import NotFound
from ripple.model.paths import Home
from ripple.model.release import Release
from ripple.planes.sandbox import Limits, Sandbox, SandboxSpec
from ripple.stack.files import write_whole
from ripple.supervisor.places import socket_folder

PORT = 8080
"""Where every instance listens, inside its own network namespace."""
COMPONENT_PREFIX = "app."


@dataclass(frozen=True)
class Target:
    """A release on its way into one environment."""

    release: Release
    environment: str
    manifest: ApplicationManifest
    overlay: EnvironmentOverlay
    toolchain: Toolchain

    @property
    def application(self) -> str:
        """The application's name."""
        return self.release.application

    @property
    def component(self) -> str:
        """The supervisor's id of the instance."""
        return component_id(self.application, self.environment, self.release.digest)

    @property
    def slo(self) -> Slo:
        """The environment's objective."""
        return self.overlay.slo or self.manifest.slo

    @property
    def load(self) -> Load:
        """The environment's synthetic load."""
        return self.overlay.load or self.manifest.load


class Launch(BaseModel):
    """What starts one instance, as kept in ``ENVIRONMENT.json`` beside the release's tree."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    application: str
    environment: str
    release: str
    commit: str
    command: tuple[str, ...]
    env: dict[str, str]
    read_only: tuple[tuple[str, str], ...]
    ready_path: str
    startup_seconds: float
    memory_bytes: int

    @classmethod
    def of(cls, target: Target) -> Launch:
        """From a target; the overlay's variables win over the toolchain's."""
        standing = {"RIPPLE_ENVIRONMENT": target.environment, "PYTHONDONTWRITEBYTECODE": "1", "PORT": str(PORT)}
        return cls(
            application=target.application,
            environment=target.environment,
            release=target.release.digest,
            commit=target.release.commit,
            command=target.manifest.run.command,
            env={**target.toolchain.env, **target.overlay.env, **standing},
            read_only=tuple((str(host), inside) for host, inside in target.toolchain.binds),
            ready_path=target.manifest.run.ready.http,
            startup_seconds=target.manifest.run.ready.startup_seconds,
            memory_bytes=target.manifest.run.memory_bytes,
        )


class Places:
    """Where the files of releases and the sockets of instances lie."""

    def __init__(self, home: Home) -> None:
        self._home = home

    def releases(self, application: str) -> Path:
        """All releases of one application."""
        return self._home.applications / application / "releases"

    def folder(self, application: str, release: str) -> Path:
        """One release: its ``tree`` and one JSON file per environment."""
        return self.releases(application) / _short(release)

    def tree(self, application: str, release: str) -> Path:
        """The release's files, read-only."""
        return self.folder(application, release) / "tree"

    def progress(self, application: str, environment: str, release: str) -> Path:
        """How far the canary's window came."""
        return self.folder(application, release) / f"{environment}.canary.json"

    def socket(self, application: str, environment: str, release: str) -> Path:
        """The instance's unix socket, in a folder of its own, short enough for the kernel's 108 bytes."""
        name = hashlib.sha256(f"{application}\n{environment}\n{release}".encode()).hexdigest()[:12]
        return socket_folder(self._home) / "i" / name / "s"

    def save(self, launch: Launch) -> None:
        """Keep what starts the instance."""
        path = self._launch_file(launch.application, launch.environment, launch.release)
        write_whole(path, launch.model_dump_json(indent=1))

    def load(self, application: str, environment: str, release: str) -> Launch:
        """What started the instance; NotFound when its files are gone."""
        path = self._launch_file(application, environment, release)
        if not path.exists() or not self.tree(application, release).is_dir():
            raise NotFound(
                f"the files of release {release[:19]} of {application} are gone; deploy it anew by a change"
            )
        return Launch.model_validate_json(path.read_text())

    def prune(self, application: str, kept: set[str]) -> None:
        """Remove the files of releases that are not in ``kept``."""
        names = {_short(release) for release in kept}
        folder = self.releases(application)
        for path in folder.iterdir() if folder.is_dir() else ():
            if path.name not in names:
                _remove_read_only(path)

    def _launch_file(self, application: str, environment: str, release: str) -> Path:
        return self.folder(application, release) / f"{environment}.json"


def component_id(application: str, environment: str, release: str) -> str:
    """The supervisor's id of an instance."""
    return f"{COMPONENT_PREFIX}{application}.{environment}.{_short(release)[:8]}"


def component_of(launch: Launch, places: Places, sandbox: Sandbox) -> Component:
    """The row the supervisor starts: the application in its sandbox, reached through its socket."""
    socket = places.socket(launch.application, launch.environment, launch.release)
    spec = SandboxSpec(
        command=launch.command,
        worktree=places.tree(launch.application, launch.release),
        writable=False,
        read_only=tuple((Path(host), inside) for host, inside in launch.read_only),
        env=launch.env,
        limits=Limits(memory_bytes=launch.memory_bytes),
    )
    target = f"http+unix://{socket}|{launch.ready_path}"
    return Component(
        id=component_id(launch.application, launch.environment, launch.release),
        name=f"{launch.application} in {launch.environment}",
        version=launch.commit[:12],
        role="deployment",
        command=tuple(_literal(part) for part in sandbox.wrap(spec, socket, PORT)),
        sockets=(_literal(str(socket)),),
        startup_seconds=launch.startup_seconds,
        ready=Probe(kind="http", target=_literal(target)),
        live=Probe(kind="http", target=_literal(target), period_seconds=2, timeout_seconds=3, failures=5),
        restart=Restart(give_up_after=5, window_seconds=60),
    )


def make_read_only(root: Path) -> None:
    """Take the write permission from every file and folder below ``root``."""
    for folder, _, names in os.walk(root, topdown=False):
        for name in names:
            path = Path(folder) / name
            if not path.is_symlink():
                path.chmod(path.stat().st_mode & ~0o222)
        Path(folder).chmod(0o555)


def _remove_read_only(root: Path) -> None:
    for folder, _, _ in os.walk(root):
        Path(folder).chmod(0o755)
    shutil.rmtree(root, ignore_errors=True)


def _short(release: str) -> str:
    return release.removeprefix("sha256:")[:16]


def _literal(text: str) -> str:
    """A string of a component is a template; braces of an application's command are not."""
    return text.replace("{", "{{").replace("}", "}}")
