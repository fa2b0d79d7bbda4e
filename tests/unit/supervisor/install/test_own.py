"""What runs from Ripple's own environment is compared with its wheel, and laid down again when it differs."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import anyio
import pytest
from tests.unit.supervisor.install.serving import a_system

from ripple.model.errors import NotFound, Unavailable
from ripple.stack.root import project_root
from ripple.supervisor.install.own import changed_files, mend_own, own_package

SMALL = a_system("small", {"kind": "pypi", "package": "shellingham", "version": "1"})
"""A small package of this environment that nothing beside these tests needs to load, as a system of its own."""


@pytest.fixture
def module() -> Iterator[Path]:
    """One file of the package; it is put back whatever happens."""
    package = own_package(SMALL)
    assert package is not None
    path = Path(str(package.locate_file("shellingham/_core.py")))
    kept = path.read_bytes()
    yield path
    if not path.is_file() or path.read_bytes() != kept:
        path.unlink(missing_ok=True)
        path.write_bytes(kept)


def change(path: Path) -> None:
    """Change a byte of a copy: the installed file may be one with the cache's."""
    fresh = path.with_suffix(".fresh")
    fresh.write_bytes(path.read_bytes() + b"# changed\n")
    fresh.replace(path)


def test_what_its_wheel_brought_is_whole_and_a_changed_or_missing_file_is_named(module: Path) -> None:
    package = own_package(SMALL)
    assert package is not None
    assert changed_files(package) == []
    change(module)
    assert changed_files(package) == ["shellingham/_core.py"]
    kept = module.rename(module.with_suffix(".away"))
    assert changed_files(package) == ["shellingham/_core.py"]
    kept.rename(module)


@pytest.mark.live
def test_a_changed_file_is_laid_down_again_as_the_lock_says(module: Path) -> None:
    before = module.read_bytes()
    change(module)
    try:
        assert anyio.run(mend_own, SMALL, project_root()) == ["shellingham/_core.py"]
    except Unavailable as error:
        pytest.skip(f"not run: no package index answers here ({error})")
    assert module.read_bytes() == before
    assert anyio.run(mend_own, SMALL, project_root()) == []


def test_a_package_the_lock_does_not_know_is_not_guessed(module: Path, tmp_path: Path) -> None:
    shutil.copy(project_root() / "LICENSE", tmp_path / "requirements.lock")
    change(module)
    with pytest.raises(NotFound, match="does not lock shellingham"):
        anyio.run(mend_own, SMALL, tmp_path)


def test_a_system_that_is_not_of_this_environment_has_no_package() -> None:
    other = a_system("other", {"kind": "pypi", "package": "no-such-package-at-all", "version": "1"})
    assert own_package(other) is None
    assert anyio.run(mend_own, other, project_root()) == []
    assert subprocess.run((sys.executable, "-c", "import shellingham"), check=False).returncode == 0
