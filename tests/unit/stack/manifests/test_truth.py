"""Where the truth of each kind of fact is, and files that would say different things."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml12
from tests.unit.stack.manifests.shipped import MANIFESTS, ROOT, SPECIFICATION, changed, data, load

from ripple.model.errors import Invalid
from ripple.stack.manifests.check import manifest_documents, manifest_findings
from ripple.stack.manifests.holohash import Kind, encode
from ripple.stack.manifests.truth import KINDS, StackFile, broken_pointers, owner_of
from ripple.stack.systems import load_map

STACK = load("stack.yaml", StackFile)


def test_the_five_kinds_of_truth_have_the_specifications_words() -> None:
    assert [[kind.title(), STACK.truth[kind].says] for kind in KINDS] == SPECIFICATION["truth"]


def test_every_pointer_leads_to_a_file_and_to_a_role_that_some_system_has() -> None:
    filled = {row.system.role for row in load_map(MANIFESTS).rows}
    assert broken_pointers(STACK, lambda path: (ROOT / path).exists(), filled) == []


@pytest.mark.parametrize(
    ("values", "fault"),
    [
        ({"truth__policy__paths": ["rules"]}, "truth.policy: rules is not in the checkout"),
        ({"truth__run__roles": ["records.cloud"]}, "truth.run: records.cloud is no role"),
        ({"truth__run__roles": ["hardware.gpu"]}, "truth.run: no system has the role hardware.gpu"),
    ],
)
def test_a_pointer_that_leads_nowhere_is_found(values: dict[str, Any], fault: str) -> None:
    found = changed("stack.yaml", **values)
    assert isinstance(found, StackFile)
    filled = set(STACK.roles) - {"hardware.gpu"}
    assert broken_pointers(found, lambda path: (ROOT / path).exists(), filled) == [fault]


def test_a_stack_that_is_silent_of_one_kind_is_refused() -> None:
    found = data("stack.yaml")
    del found["truth"]["secrets"]
    with pytest.raises(Invalid, match="nothing of secrets"):
        changed("stack.yaml", truth=found["truth"])


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("policies/ripple/authz.rego", "policy"),
        ("manifests/components/09-messaging.yaml", "infra"),
        ("manifests/vendor.lock.json", "artifacts"),
        ("README.md", None),
        ("policies-of-others/x", None),
    ],
)
def test_a_file_belongs_to_the_truth_whose_pointer_is_the_longest(path: str, kind: str | None) -> None:
    assert owner_of(STACK, path) == kind


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A copy of the manifests and of what they point to."""
    shutil.copytree(MANIFESTS, tmp_path / "manifests")
    for pointer in {path for truth in STACK.truth.values() for path in truth.paths}:
        if not pointer.startswith("manifests"):
            (tmp_path / pointer).mkdir(parents=True)
    (tmp_path / "tables").mkdir()
    shutil.copy(ROOT / "tables" / "binaries.csv", tmp_path / "tables")
    return tmp_path


def edit(root: Path, name: str, change: Callable[[Any], object]) -> None:
    """Change one file of a checkout."""
    found = data(name)
    change(found)
    text = json.dumps(found) if name.endswith(".json") else yaml12.format_yaml(found)
    (root / "manifests" / name).write_text(text)


def test_the_manifests_as_they_stand_have_no_finding(checkout: Path) -> None:
    assert manifest_findings(checkout) == []


FINDINGS: list[tuple[str, Callable[[Any], object], str, str]] = [
    (
        "stack.yaml",
        lambda one: one["truth"]["policy"].update(paths=["rules"]),
        "TRUTH",
        "rules is not in the checkout",
    ),
    (
        "cloud/ci_pipeline.yaml",
        lambda one: one["jobs"]["test"]["steps"].append({"name": "x", "uses": "a/b@v1"}),
        "CI",
        "nothing pins",
    ),
    (
        "cloud/artifact_destinations.json",
        lambda one: one["destinations"][0].update(role="nothing.here"),
        "AGREE",
        "nothing.here, which stack.yaml does not list",
    ),
    (
        "distributed/compute_policy.yaml",
        lambda one: one["compute_policy"]["pools"]["cloud-ephemeral"].update(build_mode="by-hand"),
        "AGREE",
        "by-hand, which builder_image.json does not have",
    ),
    (
        "distributed/resource_policy.yaml",
        lambda one: one["resource_policy"]["presence"].update(expire_after_seconds=600),
        "AGREE",
        "after 600 s here and after 1200 s",
    ),
    ("holochain/dnas/policy_store.json", lambda one: one.update(name="policy_shop"), "SHAPE", "policy_shop"),
    ("holochain/networks.json", lambda one: one.update(defualt="local"), "SHAPE", "did you mean 'default'"),
    ("wsl2/assets.json", lambda one: one["assets"][0].update(sha256="no digest"), "SHAPE", "sha256"),
]


@pytest.mark.parametrize(("name", "change", "rule", "message"), FINDINGS, ids=[one[3] for one in FINDINGS])
def test_one_wrong_value_is_one_finding(
    checkout: Path, name: str, change: Callable[[Any], object], rule: str, message: str
) -> None:
    edit(checkout, name, change)
    (found,) = manifest_findings(checkout)
    assert (found.rule, message in found.message) == (rule, True), found
    assert found.fix


def test_a_file_that_is_missing_and_a_sixth_application_are_found(checkout: Path) -> None:
    (checkout / "manifests/wsl2/distro.json").unlink()
    shutil.copy(
        checkout / "manifests/holochain/dnas/policy_store.json", checkout / "manifests/holochain/dnas/extra.json"
    )
    assert [(one.file, one.rule) for one in manifest_findings(checkout)] == [
        ("manifests/holochain/dnas", "SHAPE"),
        ("manifests/wsl2/distro.json", "SHAPE"),
    ]


def test_an_index_is_made_again_when_a_definition_changes(checkout: Path) -> None:
    index = "manifests/holochain/dnas/index.json"
    assert manifest_documents(checkout)[index] == (ROOT / index).read_text()
    pinned = encode(Kind.DNA, b"x" * 32)
    edit(checkout, "holochain/dnas/policy_store.json", lambda one: one.update(hash=pinned))
    assert json.loads(manifest_documents(checkout)[index])["policy_store"] == pinned


def test_no_index_is_made_of_a_definition_that_does_not_hold(checkout: Path) -> None:
    edit(checkout, "holochain/dnas/policy_store.json", lambda one: one.update(hash="uhC0k..."))
    assert "manifests/holochain/dnas/index.json" not in manifest_documents(checkout)
    assert "no HoloHash" in manifest_findings(checkout)[0].message
