"""Where a component's programs are: in Ripple's own environment, or in its system's tree in the prefix.

- A system runs from the environment when it has no routes, or is a package of the environment.
- Every other one runs from its tree, as its smoke test does, once that is installed as the lock says.

What installs is imported late: an instance that runs nothing but its environment's packages starts without it.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from ripple.model.component import Component
from ripple.model.errors import NotFound
from ripple.model.paths import Home
from ripple.model.system import System
from ripple.stack.systems import load_map

if TYPE_CHECKING:
    from ripple.supervisor.install import Installer

_PACKAGE = "{package."
"""A version that begins so is that of a package here: such a row does not even load where there is none."""
_NODE = "{node}"


@dataclass(frozen=True)
class Trees:
    """The systems with a tree in ``prefix``, by component; ``manifests`` hold the lock."""

    prefix: Path
    manifests: Path
    systems: Mapping[str, System] = field(default_factory=dict)

    def names(self, row: Component) -> dict[str, str]:
        """What ``{bin}``, ``{tree}``, ``{venv}`` and ``{node}`` stand for in a row; the last where it is used.

        Raises:
            NotFound: the system has no tree as the lock says.
            Unavailable: there is no Node.js.
        """
        system = self.systems.get(row.id)
        if system is None:
            used = _NODE in row.model_dump_json()
            here = {"bin": str(Path(sys.executable).parent), "tree": sys.prefix, "venv": sys.executable}
            return here | ({"node": _node()} if used else {})
        tree = self._installer.installed(system)
        if tree is None:
            raise NotFound(f"{system.id} is not installed; run ./ripple component install {system.id}")
        venv = str(tree.python or sys.executable)
        return {"bin": str(tree.bin), "tree": str(tree.root), "venv": venv, "node": _node()}

    def missing(self) -> list[System]:
        """The systems that are not installed as the lock says."""
        return [system for system in self.systems.values() if self._installer.installed(system) is None]

    @cached_property
    def _installer(self) -> Installer:
        from ripple.stack.vendorlock import load_lock
        from ripple.supervisor.install import Installer

        return Installer(self.prefix, load_lock(self.manifests))


NO_TREES = Trees(Path(), Path())
"""Everything runs from Ripple's own environment."""


def trees_of(home: Home, manifests: Path, components: Iterable[Component]) -> Trees:
    """The trees that these components of the map run from."""
    found = load_map(manifests)
    rows = ((one.id, found.component(one.id)) for one in components)
    systems = {name: row.system for name, row in rows if row is not None and not _runs_here(row.system)}
    return Trees(home.prefix, manifests, systems)


def _runs_here(system: System) -> bool:
    if not system.routes or (system.run is not None and system.run.version.startswith(_PACKAGE)):
        return True
    from ripple.supervisor.install.own import own_package

    return own_package(system) is not None


def _node() -> str:
    from ripple.supervisor.install.npm import node_program

    return node_program()
