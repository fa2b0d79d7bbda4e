"""What one component is really started with: its row with every template replaced. Pure.

A launch's digest covers what the process itself can tell apart (command, environment, files, version and, for
Ripple's own processes, the code). Probes and restart rules may change without a restart; the PATH and the other
variables it inherits do not count either, or the same instance would differ from one shell to the next.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath

from ripple.model.component import Component, Probe
from ripple.model.digest import digest_json
from ripple.model.errors import Invalid
from ripple.supervisor.templates import Names, render


@dataclass(frozen=True)
class Launch:
    """One component, ready to be started.

    ``own`` is true for Ripple's own processes, which are those that run one of its modules.
    """

    id: str
    command: tuple[str, ...]
    env: Mapping[str, str]
    files: Mapping[str, str]
    sockets: tuple[str, ...]
    endpoints: Mapping[str, str]
    startup: Probe | None
    ready: Probe | None
    live: Probe | None
    deep: Probe | None
    own: bool
    digest: str

    @property
    def probes(self) -> tuple[Probe | None, ...]:
        """What is asked of it while it runs."""
        return self.startup, self.ready, self.live


def resolve(component: Component, names: Names, build: str) -> Launch:
    """The launch of ``component``; ``build`` identifies Ripple's own code.

    Raises:
        Invalid: a template names something unknown, the command is empty, or a file lies outside the state folder.
    """
    known, where = names.flat(), f"component {component.id}"
    command = tuple(render(part, known, where) for part in component.command)
    if not command or not command[0]:
        raise Invalid(f"{where} has no command; give it one")
    files = {_inside(path, where): render(text, known, where) for path, text in component.files.items()}
    env = {name: render(value, known, where) for name, value in component.env.items()}
    own = _is_own(component.command)
    digest = digest_json(
        {
            "command": list(command),
            "env": env,
            "files": files,
            "version": component.version,
            "build": build if own else "",
        }
    )
    return Launch(
        id=component.id,
        command=command,
        env=env,
        files=files,
        sockets=tuple(render(path, known, where) for path in component.sockets),
        endpoints={name: render(value, known, where) for name, value in component.endpoints.items()},
        startup=_probe(component.startup, known, where),
        ready=_probe(component.ready, known, where),
        live=_probe(component.live, known, where),
        deep=_probe(component.deep, known, where),
        own=own,
        digest=digest,
    )


def _is_own(command: tuple[str, ...]) -> bool:
    """Another program that Ripple's interpreter runs is foreign: it must not inherit what is the operator's."""
    return command[:2] == ("{python}", "-m") and "".join(command[2:3]).startswith("ripple.")


def _probe(probe: Probe | None, known: Mapping[str, str], where: str) -> Probe | None:
    if probe is None:
        return None
    rendered = {
        "target": render(probe.target, known, where),
        "command": tuple(render(part, known, where) for part in probe.command),
        "secret_file": render(probe.secret_file, known, where),
    }
    return probe.model_copy(update=rendered)


def _inside(path: str, where: str) -> str:
    parts = PurePosixPath(path).parts
    if not parts or path.startswith("/") or ".." in parts:
        raise Invalid(f"{where} has a file {path!r}; it must lie in the component's own state folder")
    return path
