"""The merge of the image tables, in Nushell and in Python: the same bytes, and the same refusals."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import anyio
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.unit.stack.test_oci import HEAD, TABLES

from ripple.model.errors import RippleError
from ripple.stack.oci import BASE, MERGED, SMOKE, Image, merge_files, text_of
from ripple.stack.root import project_root
from ripple.stack.systems import load_map
from ripple.stack.vendorlock import load_lock
from ripple.supervisor.install import Installer

ROOT = project_root()
SCRIPT = ROOT / "scripts" / "oci" / "merge_oci_images.nu"
LEGACY = TABLES.map(lambda rows: tuple(replace(row, origin="legacy") for row in rows))


@pytest.fixture(scope="module")
def nu(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Nushell of the lock, installed as a component is."""
    manifests = ROOT / "manifests"
    installer = Installer(tmp_path_factory.mktemp("prefix"), load_lock(manifests))
    try:
        tree = anyio.run(installer.install, load_map(manifests).get("nushell").system)
    except RippleError as error:
        pytest.skip(f"not run: Nushell cannot be installed: {error}")
    return tree.bin / "nu"


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, Path]]:
    yield tmp_path_factory.mktemp("python"), tmp_path_factory.mktemp("nu")


def run(nu: Path, tables: Path) -> subprocess.CompletedProcess[str]:
    command = (str(nu), "-n", str(SCRIPT), str(tables))
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def fill(folder: Path, **texts: str | None) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    for name, text in texts.items():
        if text is not None:
            (folder / {"base": BASE, "smoke": SMOKE, "merged": MERGED}[name]).write_text(text)


@given(base=st.none() | TABLES, legacy=st.none() | LEGACY, smoke=TABLES)
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_both_write_the_same_bytes(
    nu: Path,
    folders: tuple[Path, Path],
    base: tuple[Image, ...] | None,
    legacy: tuple[Image, ...] | None,
    smoke: tuple[Image, ...],
) -> None:
    for folder in folders:
        fill(
            folder,
            base=None if base is None else text_of(base),
            merged=None if legacy is None else text_of(legacy),
            smoke=text_of(smoke),
        )
    merge_files(folders[0])
    done = run(nu, folders[1])
    assert done.returncode == 0, done.stderr
    assert (folders[1] / MERGED).read_bytes() == (folders[0] / MERGED).read_bytes()


@pytest.mark.parametrize(
    ("smoke", "why"),
    [
        (None, "must always be listed"),
        ("name,image\na,b\n", "must begin with the columns"),
        (HEAD + "a,b,1,,\na,c,1,,\n", "twice"),
        (HEAD + "A B,b,1,,\n", "no name of an image"),
        (HEAD + 'a,"b,c",1,,\n', "no image of an image"),
        (HEAD + "a,b,1,sha256:abc,\n", "no digest of an image"),
    ],
)
def test_both_refuse_the_same_tables_and_leave_what_was_there(
    nu: Path, folders: tuple[Path, Path], smoke: str | None, why: str
) -> None:
    for folder in folders:
        fill(folder, smoke=smoke, merged=HEAD)
    with pytest.raises(RippleError):
        merge_files(folders[0])
    done = run(nu, folders[1])
    assert done.returncode != 0
    # A terminal's width breaks its words anywhere.
    assert re.sub(r"\W", "", why) in re.sub(r"\W", "", done.stderr)
    assert [(folder / MERGED).read_text() for folder in folders] == [HEAD, HEAD]


def test_the_checked_in_table_is_what_nushell_makes(nu: Path, tmp_path: Path) -> None:
    tables = tmp_path / "tables"
    shutil.copytree(ROOT / "tables", tables)
    assert run(nu, tables).returncode == 0
    assert (tables / MERGED).read_bytes() == (ROOT / "tables" / MERGED).read_bytes()
