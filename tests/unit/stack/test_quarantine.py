"""What is only a reference or in quarantine stays off: nothing fetches it, names it or depends on it (ADR 22)."""

from __future__ import annotations

import pytest

from ripple.model.system import System, SystemStatus
from ripple.stack.load import load_manifest
from ripple.stack.root import project_root
from ripple.stack.systems import load_map

ROOT = project_root()
SYSTEMS = {row.system.id: row.system for row in load_map(ROOT / "manifests").rows}


def is_apart(system: System) -> bool:
    """Off, and with no way in: nothing to fetch, to run, or to be depended on for."""
    nothing = not system.routes and system.run is None and not system.provides and not system.consumes
    return system.status is SystemStatus.OFF and nothing


@pytest.mark.parametrize("name", ["quantum-agentics"])
def test_a_quarantined_system_is_off_and_nothing_depends_on_it(name: str) -> None:
    assert is_apart(SYSTEMS[name])
    assert [other.id for other in SYSTEMS.values() if other.smoke and name in other.smoke.needs] == []


@pytest.mark.parametrize("name", ["sentiment-monitoring-mlops"])
def test_a_reference_is_off_and_nothing_of_it_is_fetched(name: str) -> None:
    assert is_apart(SYSTEMS[name])
    texts = [
        path for path in (ROOT / "src").rglob("*.py") if name.replace("-", "_") in path.read_text(encoding="utf-8")
    ]
    assert texts == []


def test_no_profile_names_what_is_off() -> None:
    off = {system.id for system in SYSTEMS.values() if system.status is SystemStatus.OFF}
    runs = {system.run.id for system in SYSTEMS.values() if system.run and system.id in off} | off
    for path in sorted((ROOT / "manifests" / "profiles").glob("*.yaml")):
        assert set(load_manifest(path)["components"]) & runs == set(), path.name
