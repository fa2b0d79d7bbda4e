"""What the smoke tests' tests share: systems made by hand, run in the real sandbox."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ripple.model.system import RouteKind, System
from ripple.planes.sandbox import Sandbox
from ripple.planes.sandbox.bubblewrap import BubblewrapSandbox
from ripple.stack.root import project_root
from ripple.stack.systems import load_map
from ripple.supervisor.install import Tree
from ripple.supervisor.smoke import Smoker, SmokeResult

SMOKER = Smoker(Sandbox(BubblewrapSandbox()))
OWN = Tree("own", "1", RouteKind.PYPI, Path(sys.prefix), Path(sys.executable))
"""Ripple's own environment as if it were an installed system."""


def step(**given: Any) -> dict[str, Any]:
    """A step that has to print ``done`` unless it says something else."""
    return {"expect": "^done$", **given}


def a_system(*steps: dict[str, Any], run: dict[str, Any] | None = None, **smoke: Any) -> System:
    """A system whose smoke test has these steps."""
    return System.model_validate(
        {
            "id": "thing",
            "name": "Thing",
            "kind": "spec",
            "role": "edge",
            "status": "optional",
            "summary": "a thing to be proven",
            "answers": {"owner": "nobody", "adoption": "first", "failure_modes": ["none"], "rollback": "none"},
            "smoke": {"purpose": "does its work", "timeout_seconds": 20, "steps": list(steps), **smoke},
            **({"run": run} if run else {}),
        }
    )


def ran(system: System, tree: Tree | None = None, others: Mapping[str, Tree] | None = None) -> SmokeResult:
    """What became of the system's smoke test."""
    assert system.smoke is not None
    main = SMOKER.run(system, system.smoke, tree, others or {})
    return asyncio.run(asyncio.wait_for(main, 120))


def row(name: str) -> System:
    """A row of the project's own map."""
    return load_map(project_root() / "manifests").get(name).system
