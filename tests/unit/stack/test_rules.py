"""Each rule of the map refuses what breaks it, at its line, with a fix; and a whole map breaks none."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest
from tests.unit.stack.checkouts import broken, generate, make, row, whole

from ripple.model.errors import Invalid
from ripple.stack.checkout import check_checkout, since
from ripple.stack.files import write_whole

TOKEN = "ghp_" + "a1B2" * 9


def run(**given: Any) -> dict[str, Any]:
    return {"id": "bus", "command": ["{bin}/bus", "{ports.client}"], "ports": ["client"], **given}


def second(role: str, **given: Any) -> dict[str, Any]:
    return row("second", role, status="alternate", **{"reason": "it may take over", **given})


STATE = [{"path": "x", "backup": "none"}]
BROKEN: list[tuple[str, list[dict[str, Any]]]] = [
    ("R0.1", broken(0, status="optional", reason="because")),
    ("R0.10", [*whole(), row("other", "events")]),
    ("R0.10", broken(1, role="no.such.role")),
    ("R0.10", [*whole(), second("events", reason="")]),
    ("R0.3", [*whole(), row("door", "edge", provides=["mcp"])]),
    ("R0.3", [*whole(), row("inside", "agent.gateway", provides=["edge"], status="optional", reason="x")]),
    ("R0.4", [*whole(), row("solver", "tools.solver")]),
    ("R0.4", [*whole(), row("solver", "tools.solver", policy="ripple.nowhere")]),
    ("R0.6", broken(4, status="off", reason="because")),
    ("R0.7", [*whole(), row("cache", "cache.server", run=run(id="cache"))]),
    ("R0.8", broken(1, telemetry={"logs": "none"})),
    ("R0.9", broken(2, routes=[])),
    ("R0.9", broken(2, smoke=None, external={"why": "It is hosted.", "covered_by": "tests/none.py::test_it"})),
    ("R0.9", broken(2, smoke=None, external={"why": "It is hosted.", "covered_by": "../../etc/hostname"})),
    ("R0.11", broken(1, routes=[{"kind": "oci", "package": "bus", "version": "1"}])),
    ("R0.12", [*whole(), row("dht", "coordination.dht"), second("coordination.dht")]),
    ("R0.13", broken(1, routes=[{"kind": "pypi", "package": "bus", "platforms": ["linux-x86_64"]}])),
    ("R3.1", broken(1, answers={"owner": "nobody", "adoption": "first", "failure_modes": []})),
    ("R3.1", broken(1, answers=None)),
    ("R3.2.c", broken(1, summary=f"the key is {TOKEN}")),
    ("R3.2.c", broken(1, run=run(env={"BUS_PASSWORD": "hunter2"}))),
    ("R3.2.c", broken(1, secrets=["hunter2"])),
    ("CONTRACT", broken(0, consumes=["nothing-provides-this"])),
    ("PORT", [
        *broken(1, run=run(command=["bus", "--port=4222"])),
        row("cache", "cache.server", run=run(id="cache", command=["cache", "127.0.0.1:4222"]), state=STATE),
    ]),
    ("DECISION", broken(2, status="optional", reason="ADR 0999 says so")),
    ("SHAPE", broken(1, kind="thing")),
    ("SHAPE", broken(1, unknown="key")),
    ("SHAPE", [*whole(), row("bus", "cache.server")]),
]  # fmt: skip


def test_a_whole_map_breaks_no_rule(tmp_path: Path) -> None:
    assert check_checkout(make(tmp_path, whole())) == []


@pytest.mark.parametrize(("rule", "rows"), BROKEN, ids=[f"{rule}-{n}" for n, (rule, _) in enumerate(BROKEN)])
def test_what_breaks_a_rule_is_refused_by_it_and_by_no_other(
    tmp_path: Path, rule: str, rows: list[dict[str, Any]]
) -> None:
    found = check_checkout(make(tmp_path, rows))
    assert {one.rule for one in found} == {rule}, found
    assert all(one.message and one.fix and (tmp_path / one.file).exists() for one in found)


def test_a_refusal_names_the_line_of_what_is_wrong(tmp_path: Path) -> None:
    make(tmp_path, broken(1, run=run(env={"BUS_PASSWORD": "hunter2"})))
    (one,) = check_checkout(tmp_path)
    line = (tmp_path / one.file).read_text().splitlines()[one.line - 1]
    assert "BUS_PASSWORD" in line


def test_a_key_that_stands_twice_is_refused(tmp_path: Path) -> None:
    make(tmp_path, whole())
    stack = tmp_path / "manifests" / "stack.yaml"
    write_whole(stack, stack.read_text() + "\nroles:\n  events: again\n")
    assert any(one.rule == "SHAPE" and "'roles' stands twice" in one.message for one in check_checkout(tmp_path))


def test_a_generated_file_that_is_stale_is_refused(tmp_path: Path) -> None:
    make(tmp_path, whole())
    write_whole(tmp_path / "docs" / "STACK.md", "by hand")
    (one,) = check_checkout(tmp_path)
    assert (one.rule, one.file, one.fix) == ("FRESH", "docs/STACK.md", "./ripple stack generate")


def test_a_version_that_differs_between_files_is_refused(tmp_path: Path) -> None:
    make(tmp_path, whole())
    write_whole(tmp_path / "requirements.lock", "bus-bin==2.0 \\\n    --hash=sha256:00\n")
    (one,) = check_checkout(tmp_path)
    assert (one.rule, "1.0 here and 2.0 in requirements.lock" in one.message) == ("VERSION", True)


def test_a_model_client_outside_the_inference_plane_is_refused_unless_it_is_exempted(tmp_path: Path) -> None:
    make(tmp_path, whole())
    write_whole(tmp_path / "src" / "ripple" / "delivery" / "x.py", "import os\nimport openai\n")
    write_whole(tmp_path / "src" / "ripple" / "inference" / "y.py", "import openai\n")
    (one,) = check_checkout(tmp_path)
    assert (one.rule, one.file, one.line) == ("R0.2", "src/ripple/delivery/x.py", 2)
    stack = tmp_path / "manifests" / "stack.yaml"
    write_whole(stack, stack.read_text() + "\nexemptions:\n  inference: [src/ripple/delivery/x.py]\n")
    assert check_checkout(tmp_path) == []


def git(root: Path, *arguments: str) -> None:
    identity = ("-c", "user.name=A", "-c", "user.email=a@example.invalid")
    subprocess.run(("git", *identity, *arguments), cwd=root, check=True, capture_output=True)


def test_a_stack_change_has_to_touch_the_map_and_its_dated_log(tmp_path: Path) -> None:
    make(tmp_path, whole())
    write_whole(tmp_path / "docs" / "STACK-CHANGES.md", "# What changed\n")
    for command in (["init", "-q"], ["add", "-A"], ["commit", "-qm", "first"]):
        git(tmp_path, *command)
    assert since(tmp_path, "HEAD") == []
    rows = broken(1, routes=[{"kind": "pypi", "package": "bus-bin", "version": "2.0"}])
    text = make(tmp_path / "other", rows) / "manifests/components/09-layer.yaml"
    write_whole(tmp_path / "manifests/components/09-layer.yaml", text.read_text())
    assert {one.rule for one in since(tmp_path, "HEAD")} == {"RH.3"}
    assert len(since(tmp_path, "HEAD")) == 2
    generate(tmp_path)
    assert len(since(tmp_path, "HEAD")) == 1
    write_whole(tmp_path / "docs" / "STACK-CHANGES.md", "# What changed\n\nsomething, some day\n")
    assert len(since(tmp_path, "HEAD")) == 1, "a line without a date is none"
    write_whole(tmp_path / "docs" / "STACK-CHANGES.md", "# What changed\n\n- 2026-01-31: the bus does else\n")
    assert since(tmp_path, "HEAD") == []
    git(tmp_path, "add", "-A")
    git(tmp_path, "commit", "-qm", "second")
    rows_file = tmp_path / "manifests/components/09-layer.yaml"
    write_whole(rows_file, "# said by the way\n" + rows_file.read_text())
    write_whole(tmp_path / "docs" / "STACK-CHANGES.md", "# What changed\n\n- 2026-02-01: the bus does else\n")
    (one,) = since(tmp_path, "HEAD")
    assert "no new dated line" in one.message, "an old line with another date is no new one"
    write_whole(
        tmp_path / "docs" / "STACK-CHANGES.md",
        "# What changed\n\n- 2026-02-01: a comment\n- 2026-01-31: the bus does else\n",
    )
    assert since(tmp_path, "HEAD") == [], "a comment in a row changes nothing the map could say"
    git(tmp_path, "commit", "-qam", "third")
    assert since(tmp_path, "HEAD~1") == []
    with pytest.raises(Invalid, match="no-such-revision"):
        since(tmp_path, "no-such-revision")
