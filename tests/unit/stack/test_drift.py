"""One difference at each level is reported at that level and at no other."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from tests.unit.stack.checkouts import make, whole

from ripple.model.component import ComponentState, ComponentStatus
from ripple.stack.drift import Installed, Instance, Level, Running, Severity, Snapshot, compare
from ripple.stack.rules import Finding
from ripple.stack.systems import load_map
from ripple.stack.vendorlock import LockFinding


def component(name: str, state: ComponentState = ComponentState.READY, pid: int | None = 7) -> ComponentStatus:
    return ComponentStatus(id=name, name=name, version="1.0", state=state, pid=pid)


def places(**running: str) -> dict[str, dict[str, Running | None]]:
    """The environments of one application: ``a4`` is commit a since the fourth day."""
    return {"shop": {name: Running(text[0], f"2026-01-0{text[1]}T00:00:00Z") for name, text in running.items()}}


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
        environments=places(dev="a1", qa="a2", staging="a3", prod="a4"),
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
        Level.ENVIRONMENT: replace(agreed, environments=places(dev="a1", qa="a2", prod="a4")),
    }


@pytest.mark.parametrize("level", list(Level))
def test_one_difference_is_reported_at_its_level_and_at_no_other(agreed: Snapshot, level: Level) -> None:
    found = compare(changes(agreed)[level])
    assert [one.level for one in found.findings] == [level]
    assert found.exit_code == 2
    assert all(one.repair and one.message and one.subject for one in found.findings)


@pytest.mark.parametrize(
    ("running", "drifted"),
    [
        ({"dev": "b5", "qa": "a2", "staging": "a3", "prod": "a4"}, []),
        ({"dev": "a1"}, []),
        ({"dev": "a1", "qa": "b2"}, ["shop/qa"]),
        ({"dev": "a1", "qa": "a2", "staging": "a3", "prod": "b9"}, ["shop/prod"]),
        ({"prod": "a4"}, ["shop/prod"]),
    ],
    ids=["dev is ahead", "only dev", "qa went past dev", "prod went past staging", "nothing before prod"],
)
def test_an_environment_may_be_behind_the_one_before_it_and_never_past_it(
    agreed: Snapshot, running: dict[str, str], drifted: list[str]
) -> None:
    found = compare(replace(agreed, environments=places(**running)))
    assert [one.subject for one in found.findings] == drifted


def test_a_changed_byte_of_what_the_profile_runs_is_drift_with_the_verb_that_mends_it(agreed: Snapshot) -> None:
    found = compare(replace(agreed, own={"bus": Installed("1.0", current=True, changed=("bin/bus",))}))
    assert [(one.level, one.severity, one.repair) for one in found.findings] == [
        (Level.INSTALLED, Severity.ERROR, "./ripple component fix bus, then ./ripple restart bus")
    ]


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
