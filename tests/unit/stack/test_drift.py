"""One difference at each level is reported at that level and at no other."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from tests.unit.stack.checkouts import make, whole

from ripple.model.component import ComponentState, ComponentStatus
from ripple.stack.drift import Installed, Instance, Level, Severity, Snapshot, compare
from ripple.stack.rules import Finding
from ripple.stack.systems import load_map
from ripple.stack.vendorlock import LockFinding


def component(name: str, state: ComponentState = ComponentState.READY, pid: int | None = 7) -> ComponentStatus:
    return ComponentStatus(id=name, name=name, version="1.0", state=state, pid=pid)


@pytest.fixture
def agreed(tmp_path: Path) -> Snapshot:
    """Everything agrees."""
    return Snapshot(
        map=load_map(make(tmp_path, whole()) / "manifests"),
        profile=("bus",),
        findings=(),
        lock=(),
        installed={"bus": Installed("1.0", current=True)},
        instance=Instance((component("bus"),), current=True),
        environments={"shop": {"dev": "a", "qa": "a", "staging": "a", "prod": "a"}},
    )


def test_where_everything_agrees_there_is_no_drift(agreed: Snapshot) -> None:
    found = compare(agreed)
    assert (found.findings, found.not_compared, found.exit_code) == ((), (), 0)


def changes(agreed: Snapshot) -> dict[Level, Snapshot]:
    down = component("bus", ComponentState.GAVE_UP, None)
    ill = component("bus", ComponentState.UNREADY)
    stale = Finding("docs/STACK.md", 0, "FRESH", "is not what its sources make", "./ripple stack generate")
    rule = Finding("manifests/components/x.yaml", 3, "R0.10", "is a second default", "make one alternate")
    return {
        Level.DOCUMENT: replace(agreed, findings=(stale,)),
        Level.MANIFEST: replace(agreed, findings=(rule,)),
        Level.LOCK: replace(agreed, lock=(LockFinding("bus", "is not locked", "./ripple lock update bus"),)),
        Level.INSTALLED: replace(agreed, installed={"bus": Installed("1.0", current=True, changed=("bin/bus",))}),
        Level.RUNNING: replace(agreed, instance=Instance((down,), current=True)),
        Level.HEALTHY: replace(agreed, instance=Instance((ill,), current=True)),
        Level.ENVIRONMENT: replace(agreed, environments={"shop": {"dev": "b", "qa": "a", "prod": "a"}}),
    }


@pytest.mark.parametrize("level", list(Level))
def test_one_difference_is_reported_at_its_level_and_at_no_other(agreed: Snapshot, level: Level) -> None:
    found = compare(changes(agreed)[level])
    assert [one.level for one in found.findings] == [level]
    assert found.exit_code == 2
    assert all(one.repair and one.message and one.subject for one in found.findings)


def test_what_runs_from_other_manifests_and_what_no_layer_knows_are_warnings(agreed: Snapshot) -> None:
    old = replace(agreed, instance=Instance((component("bus"),), current=False))
    assert [(one.level, one.severity) for one in compare(old).findings] == [(Level.RUNNING, Severity.WARNING)]
    extra = replace(agreed, installed={"gone": Installed("1.0", current=True)})
    assert [(one.level, one.severity) for one in compare(extra).findings] == [(Level.INSTALLED, Severity.WARNING)]
    other = replace(agreed, installed={"bus": Installed("1.0", current=False)})
    assert [(one.level, one.severity) for one in compare(other).findings] == [(Level.INSTALLED, Severity.WARNING)]


def test_a_level_that_could_not_be_looked_at_is_named_and_not_clean(agreed: Snapshot) -> None:
    found = compare(replace(agreed, instance=None, environments=None))
    assert found.findings == ()
    assert [text.split(":")[0] for text in found.not_compared] == ["running and healthy", "environment"]


def test_a_component_the_instance_does_not_know_is_not_running(agreed: Snapshot) -> None:
    found = compare(replace(agreed, instance=Instance((), current=True)))
    assert [(one.level, one.subject, one.repair) for one in found.findings] == [
        (Level.RUNNING, "bus", "./ripple restart bus")
    ]
