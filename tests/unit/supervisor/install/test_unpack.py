"""Whatever an archive says, nothing is written outside its folder."""

from __future__ import annotations

import contextlib
import io
import os
import stat
import tarfile
import tempfile
import zipfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.supervisor.install.serving import deb_of, tar_of

from ripple.model.errors import Invalid, Refused, RippleError
from ripple.supervisor.install.unpack import Limits, unpack, unpack_deb

PARTS = st.sampled_from(["a", "b", "c", "..", ".", "x", "/", "a/b", "../..", "/etc", "b/..", ""])
PATHS = st.lists(PARTS, min_size=1, max_size=4).map("/".join)
KINDS = st.sampled_from([tarfile.REGTYPE, tarfile.DIRTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE])


def written(path: Path, entries: list[tuple[str, bytes, str]]) -> Path:
    """A tar of (name, type, link target) entries; files hold their own name."""
    with tarfile.open(path, "w") as tar:
        for name, kind, to in entries:
            entry = tarfile.TarInfo(name)
            entry.type, entry.linkname, entry.mode = kind, to, 0o644
            body = name.encode() if kind == tarfile.REGTYPE else b""
            entry.size = len(body)
            tar.addfile(entry, io.BytesIO(body))
    return path


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(PATHS, KINDS, PATHS), max_size=7))
def test_no_archive_changes_anything_outside_its_folder(entries: list[tuple[str, bytes, str]]) -> None:
    with tempfile.TemporaryDirectory() as made:
        top = Path(made)
        outside, target = top / "outside", top / "deep" / "er" / "target"
        outside.mkdir()
        (outside / "a").write_text("untouched")
        archive = written(top / "made.tar", entries)
        with contextlib.suppress(RippleError):
            unpack(archive, target)
        everything = {path for path in top.rglob("*") if not path.is_relative_to(target)}
        assert everything - {target.parent, target.parent.parent} == {outside, outside / "a", archive}
        assert (outside / "a").read_text() == "untouched"
        for path in target.rglob("*"):
            if not path.is_symlink():
                assert path.resolve().is_relative_to(target.resolve())


@settings(max_examples=80, deadline=None)
@given(st.lists(st.tuples(PATHS, KINDS, PATHS), max_size=7))
def test_every_link_of_an_archive_that_was_accepted_stays_inside(entries: list[tuple[str, bytes, str]]) -> None:
    with tempfile.TemporaryDirectory() as made:
        target = Path(made) / "target"
        try:
            unpack(written(Path(made) / "made.tar", entries), target)
        except RippleError:
            return
        for path in target.rglob("*"):
            assert path.resolve().is_relative_to(target.resolve())


@pytest.mark.parametrize("name", ["/etc/passwd", "../up", "a/../../up", "a\\..\\up"])
def test_a_path_that_leads_out_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(Refused, match="leads out"):
        unpack(written(tmp_path / "t.tar", [(name, tarfile.REGTYPE, "")]), tmp_path / "target")


@pytest.mark.parametrize("to", ["/etc", "../..", "sub/../../.."])
def test_a_link_that_leads_out_is_refused(tmp_path: Path, to: str) -> None:
    with pytest.raises(Refused, match="leads out"):
        unpack(written(tmp_path / "t.tar", [("a/link", tarfile.SYMTYPE, to)]), tmp_path / "target")


def test_a_link_that_leads_out_only_through_a_later_one_is_refused(tmp_path: Path) -> None:
    entries = [
        ("z", tarfile.SYMTYPE, "d1/d2/y/../.."),
        ("d1/d2", tarfile.DIRTYPE, ""),
        ("d1/d2/y", tarfile.SYMTYPE, "../.."),
    ]
    with pytest.raises(Refused, match="leads out"):
        unpack(written(tmp_path / "t.tar", entries), tmp_path / "target")


@pytest.mark.parametrize("kind", [tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE])
def test_a_device_is_refused(tmp_path: Path, kind: bytes) -> None:
    with pytest.raises(Refused, match="neither file, folder nor link"):
        unpack(written(tmp_path / "t.tar", [("node", kind, "")]), tmp_path / "target")


def test_too_many_entries_are_refused(tmp_path: Path) -> None:
    archive = tmp_path / "t.tar.gz"
    archive.write_bytes(tar_of({str(number): "" for number in range(11)}))
    with pytest.raises(Refused, match="more than 10 entries"):
        unpack(archive, tmp_path / "target", limits=Limits(entries=10))


def test_a_bomb_is_stopped_at_its_limit(tmp_path: Path) -> None:
    archive = tmp_path / "t.tar.gz"
    archive.write_bytes(tar_of({"zeros": b"\0" * 5_000_000}))
    with pytest.raises(Refused, match="more than 1000000 bytes"):
        unpack(archive, tmp_path / "target", limits=Limits(total_bytes=1_000_000))
    assert sum(path.stat().st_size for path in (tmp_path / "target").iterdir()) <= 1_000_000


def test_a_zip_with_a_path_that_leads_out_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "t.zip", "w") as opened:
        opened.writestr("../up", "x")
    with pytest.raises(Refused, match="leads out"):
        unpack(tmp_path / "t.zip", tmp_path / "target")
    assert not (tmp_path / "up").exists()


def test_a_zip_with_a_link_that_leads_out_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "t.zip", "w") as opened:
        entry = zipfile.ZipInfo("link")
        entry.external_attr = (stat.S_IFLNK | 0o777) << 16
        opened.writestr(entry, "/etc")
    with pytest.raises(Refused, match="leads out"):
        unpack(tmp_path / "t.zip", tmp_path / "target")


def test_files_keep_only_the_right_to_be_run(tmp_path: Path) -> None:
    (tmp_path / "p.deb").write_bytes(deb_of("Package: p\n", {"usr/bin/p": "#!/bin/sh\n"}))
    unpack_deb(tmp_path / "p.deb", tmp_path / "target")
    assert stat.S_IMODE((tmp_path / "target/usr/bin/p").stat().st_mode) == 0o755


def test_an_absolute_link_of_a_debian_package_points_into_the_tree(tmp_path: Path) -> None:
    deb = deb_of("Package: p\n", {"usr/share/real": "content"}, {"etc/deep/link": "/usr/share/real"})
    (tmp_path / "p.deb").write_bytes(deb)
    unpack_deb(tmp_path / "p.deb", tmp_path / "target")
    assert (tmp_path / "target/etc/deep/link").read_text() == "content"
    assert not (tmp_path / "target/etc/deep/link").readlink().is_absolute()


def test_the_first_folder_is_left_out_when_asked(tmp_path: Path) -> None:
    (tmp_path / "t.tgz").write_bytes(tar_of({"package/lib/a.js": "1", "package/package.json": "{}"}))
    unpack(tmp_path / "t.tgz", tmp_path / "target", strip=1)
    assert sorted(path.name for path in (tmp_path / "target").iterdir()) == ["lib", "package.json"]


@pytest.mark.parametrize("data", [b"", b"nothing of the kind", b"PK\x03\x04broken", b"\x1f\x8bbroken"])
def test_what_is_no_archive_is_an_error_that_names_it(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "odd.tgz").write_bytes(data)
    with pytest.raises(Invalid, match=r"odd\.tgz"):
        unpack(tmp_path / "odd.tgz", tmp_path / "target")
    with pytest.raises(Invalid, match=r"odd\.tgz"):
        unpack_deb(tmp_path / "odd.tgz", tmp_path / "target")


def test_a_truncated_archive_is_an_error(tmp_path: Path) -> None:
    whole = tar_of({"a": os.urandom(100_000)})
    (tmp_path / "cut.tgz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(Invalid, match=r"cut\.tgz"):
        unpack(tmp_path / "cut.tgz", tmp_path / "target")
