"""One digest of all manifests: of their bytes and names, and of nothing else."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.stack.manifests.shipped import MANIFESTS

from ripple.model.errors import Invalid
from ripple.stack.manifests.hash import manifest_hash

NAMES = st.from_regex(r"[a-z]{1,3}(/[a-z]{1,3})?\.(json|yaml)", fullmatch=True)


def write(folder: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


def test_the_digest_is_of_one_line_for_each_file_sorted_by_path(tmp_path: Path) -> None:
    write(tmp_path, {"b/one.json": "1", "b.json": "2", "a.yaml": "3"})
    lines = "".join(
        f"{hashlib.sha256(text.encode()).hexdigest()}  {name}\n"
        for name, text in (("a.yaml", "3"), ("b.json", "2"), ("b/one.json", "1"))
    )
    assert manifest_hash(tmp_path) == hashlib.sha256(lines.encode()).hexdigest()


@settings(max_examples=25, deadline=None)
@given(files=st.dictionaries(NAMES, st.text(max_size=5), min_size=1, max_size=5), data=st.data())
def test_one_changed_byte_changes_it_and_the_order_of_writing_does_not(
    files: dict[str, str], data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    one, other = tmp_path_factory.mktemp("one"), tmp_path_factory.mktemp("other")
    write(one, files)
    write(other, dict(reversed(files.items())))
    assert manifest_hash(one) == manifest_hash(other)
    name = data.draw(st.sampled_from(sorted(files)))
    (other / name).write_text(files[name] + "x")
    assert manifest_hash(one) != manifest_hash(other)


def test_times_and_modes_do_not_count(tmp_path: Path) -> None:
    write(tmp_path, {"a.json": "1"})
    before = manifest_hash(tmp_path)
    (tmp_path / "a.json").chmod(0o600)
    os.utime(tmp_path / "a.json", (1, 1))
    (tmp_path / "empty").mkdir()
    assert manifest_hash(tmp_path) == before


def test_a_name_is_part_of_it(tmp_path: Path) -> None:
    one, other = write(tmp_path / "one", {"a.json": "1"}), write(tmp_path / "other", {"b.json": "1"})
    assert manifest_hash(one) != manifest_hash(other)


@pytest.mark.parametrize("target", ["a.json", "folder", "nowhere"])
def test_a_link_is_refused_wherever_it_leads(tmp_path: Path, target: str) -> None:
    write(tmp_path, {"a.json": "1", "folder/b.json": "2"})
    (tmp_path / "link").symlink_to(target)
    with pytest.raises(Invalid, match="no regular file"):
        manifest_hash(tmp_path)


def test_no_manifest_of_this_checkout_holds_the_digest_of_all() -> None:
    found = manifest_hash(MANIFESTS).encode()
    assert [path for path in MANIFESTS.rglob("*") if path.is_file() and found in path.read_bytes()] == []
