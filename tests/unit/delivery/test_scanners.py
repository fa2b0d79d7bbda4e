"""Real scanners over the example's tree: what is new is found, nothing in the tree can quieten them."""

from __future__ import annotations

import asyncio
import datetime
import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from tests.installed import program

from ripple.delivery.findings import Finding, NotScannedError, Scanner, changed_files
from ripple.delivery.scanners import scan
from ripple.delivery.trivy import Trivy, check_database, finding_of
from ripple.planes.policy import Policy
from ripple.planes.policy.regorus import RegorusPolicy
from ripple.planes.sandbox import Sandbox
from ripple.planes.sandbox.bubblewrap import BubblewrapSandbox

ROOT = Path(__file__).resolve().parents[3]
EXAMPLE = ROOT / "examples" / "checkout"
SECRET = "AKIA" + "IOSFODNN7EXAMPLF"
"""Spelled in pieces, so that this file is not what it tests for."""


@pytest.fixture(scope="module")
def sandbox() -> Sandbox:
    if not asyncio.run(Sandbox(BubblewrapSandbox()).rungs()):
        pytest.skip("not run: no sandbox works here; run ./ripple doctor")
    return Sandbox(BubblewrapSandbox())


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    return Path(shutil.copytree(EXAMPLE, tmp_path / "tree", ignore=shutil.ignore_patterns("__pycache__")))


def scanned(sandbox: Sandbox, tree: Path) -> dict[str, dict[str, Any]]:
    rows = asyncio.run(scan(sandbox, tree, EXAMPLE))
    json.dumps(rows)
    return {row["covers"]: row for row in rows}


def allowed(rows: dict[str, dict[str, Any]]) -> tuple[bool, tuple[str, ...]]:
    policy = Policy(RegorusPolicy())
    policy.load_directory(ROOT / "policies")
    decision = policy.decide("ripple/gates/security", {"environment": "prod", "scans": list(rows.values())})
    return decision.allowed, tuple(decision.reasons)


def test_a_harmless_change_is_clean_and_policy_lets_it_into_prod(sandbox: Sandbox, tree: Path) -> None:
    (tree / "checkout" / "fresh.py").write_text('"""New."""\n\nimport subprocess\n\nassert subprocess\n')
    rows = scanned(sandbox, tree)
    states = {covers: row["state"] for covers, row in rows.items()}
    unchanged = {"misconfig": "not_applicable", "vulnerabilities": "not_applicable"}
    assert states == {"code": "clean", "secrets": "clean", **unchanged}
    assert rows["code"]["known"] > 0, "the example's own tests use subprocess and assert"
    assert {note["rule"] for note in rows["code"]["notes"]} == {"B101", "B404"}
    assert allowed(rows)[0]


def test_weak_code_and_secrets_are_found_however_the_tree_tries_to_hide_them(sandbox: Sandbox, tree: Path) -> None:
    (tree / "checkout" / "fresh.py").write_text(
        f"import subprocess\n\n\ndef run(text):\n    subprocess.call(text, shell=True)  # nosec\n\n\n"
        f'KEY = "{SECRET}"  # pragma: allowlist secret\n'
    )
    (tree / ".bandit").write_text("[bandit]\nskips = B602,B404\nexclude = /checkout\n")
    (tree / "bandit.py").write_text('print(\'{"results": [], "errors": []}\')\n')
    (tree / "detect_secrets.py").write_text("print('{\"results\": {}}')\n")
    rows = scanned(sandbox, tree)
    (weak,) = rows["code"]["findings"]
    assert (weak["path"], weak["line"], weak["severity"], weak["rule"]) == ("checkout/fresh.py", 5, "HIGH", "B602")
    (secret,) = rows["secrets"]["findings"]
    assert (secret["path"], secret["line"], secret["rule"]) == ("checkout/fresh.py", 8, "AWS Access Key")
    assert SECRET not in json.dumps(rows)
    permitted, reasons = allowed(rows)
    assert not permitted
    assert any("B602" in reason for reason in reasons)


def test_what_the_base_has_is_known_also_when_it_moves(sandbox: Sandbox, tree: Path, tmp_path: Path) -> None:
    weak = tree / "checkout" / "fresh.py"
    weak.write_text("def run(text):\n    return eval(text)\n")
    base = Path(shutil.copytree(tree, tmp_path / "base"))
    weak.write_text('"""Longer."""\n\n\n' + weak.read_text())
    rows = {row["covers"]: row for row in asyncio.run(scan(sandbox, tree, base))}
    assert (rows["code"]["state"], rows["code"]["findings"]) == ("clean", [])
    weak.write_text(weak.read_text() + "\n\ndef again(text):\n    return eval(text)\n")
    rows = {row["covers"]: row for row in asyncio.run(scan(sandbox, tree, base))}
    assert [one["line"] for one in rows["code"]["findings"]] == [9]


def test_a_file_that_cannot_be_read_is_not_scanned_and_so_refused(sandbox: Sandbox, tree: Path) -> None:
    (tree / "checkout" / "odd.py").write_text("def (:\n")
    rows = scanned(sandbox, tree)
    assert rows["code"]["state"] == "not_scanned"
    assert "checkout/odd.py" in rows["code"]["reason"]
    assert not allowed(rows)[0]


def test_changed_dependencies_and_deployment_files_want_a_scan_that_is_not_there(
    sandbox: Sandbox, tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    (tree / "requirements.in").write_text("starlette\n")
    (tree / "Dockerfile").write_text("FROM debian\n")
    trivy = Trivy(sandbox, tree, EXAMPLE, changed_files(tree, EXAMPLE))
    for row in asyncio.run(rows_of(trivy)):
        assert row["state"] == "not_scanned"
        assert "trivy is not installed" in row["reason"]


async def rows_of(trivy: Trivy) -> list[dict[str, Any]]:
    return [await trivy.misconfiguration(), await trivy.vulnerabilities()]


def test_a_bad_image_is_found_by_the_real_trivy_and_its_ignore_files_are_not_obeyed(
    sandbox: Sandbox, tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(Path(program("trivy", "trivy")).parent), prepend=os.pathsep)
    (tree / "Dockerfile").write_text("#trivy:ignore:DS001\nFROM debian:latest\n")
    (tree / ".trivyignore").write_text("DS002\n")
    row = asyncio.run(Trivy(sandbox, tree, EXAMPLE, frozenset({"Dockerfile"})).misconfiguration())
    assert row["state"] == "findings"
    assert {"ignored", "DS002"} <= {one["rule"] for one in row["findings"]}


@pytest.mark.parametrize(
    ("updated", "why"),
    [
        (None, "no vulnerability database"),
        ("2020-01-01T00:00:00Z", "days old"),
        ("soon", "no date"),
        (3, "no date"),
    ],
)
def test_a_database_that_is_missing_old_or_undated_does_not_count(tmp_path: Path, updated: Any, why: str) -> None:
    metadata = tmp_path / "metadata.json"
    if updated is not None:
        metadata.write_text(json.dumps({"UpdatedAt": updated}))
    with pytest.raises(NotScannedError, match=why):
        check_database(metadata)


def test_a_database_of_today_counts(tmp_path: Path) -> None:
    now = datetime.datetime.now(datetime.UTC)
    (tmp_path / "metadata.json").write_text(json.dumps({"UpdatedAt": now.isoformat()}))
    check_database(tmp_path / "metadata.json")


def test_a_vulnerability_names_its_package_and_one_of_unknown_severity_is_refused() -> None:
    found = {"VulnerabilityID": "CVE-2000-1", "PkgName": "old", "InstalledVersion": "1.0", "Title": "breaks"}
    finding = finding_of("requirements.lock", found)
    assert finding.as_row()["title"] == "CVE-2000-1 old 1.0: breaks (requirements.lock)"
    clean = {"covers": ["code", "secrets", "misconfig"], "scanner": "x", "state": "clean"}
    row = Scanner("trivy", "1", "vulnerabilities").judged([finding], [])
    assert not allowed({"x": clean, "y": row})[0]


def test_the_gravest_findings_are_kept_when_there_are_too_many() -> None:
    many = [Finding("a", n, "MEDIUM", "m", "", ("m", str(n))) for n in range(500)]
    grave = Finding("z", 1, "CRITICAL", "c", "", ("c",))
    row = Scanner("trivy", "1", "vulnerabilities").judged([*many, grave], [])
    assert row["findings"][0]["rule"] == "c"
    assert len(row["findings"]) == 100


def test_findings_can_be_signed_whatever_the_file_held() -> None:
    row = Finding("a\udcff", 1, "HIGH", "B105", "password '\ud800'", ("k",)).as_row()
    assert row == json.loads(json.dumps(row, ensure_ascii=False).encode())


def test_changed_files_are_found_without_following_links(tmp_path: Path) -> None:
    mine, base = tmp_path / "mine", tmp_path / "base"
    for root in (mine, base):
        (root / "deep").mkdir(parents=True)
        (root / "deep" / "same").write_text("same")
        (root / "gone").write_text("here")
        (root / "link").symlink_to("gone")
    (mine / "gone").unlink()
    (mine / "link").unlink()
    (mine / "link").symlink_to("/etc/passwd")
    (mine / "deep" / "new").write_text("new")
    assert changed_files(mine, base) == {"gone", "link", "deep/new"}
