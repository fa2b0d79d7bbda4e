"""The lock and the project's own list of what it needs say the same."""

from __future__ import annotations

import re
import subprocess
import tomllib
from pathlib import Path

import pytest
import uv
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[3]
LOCK = (ROOT / "requirements.lock").read_text()
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


def asked() -> dict[str, Requirement]:
    """What pyproject.toml asks for, by name."""
    lines = [*PROJECT["project"]["dependencies"], *PROJECT["dependency-groups"]["dev"]]
    found = [Requirement(line) for line in lines]
    return {canonicalize_name(one.name): one for one in found}


def blocks() -> dict[str, tuple[str, str]]:
    """Per locked package its version and the lines that belong to it."""
    parts = re.split(r"^(?=[a-z0-9])", LOCK, flags=re.MULTILINE)
    found: dict[str, tuple[str, str]] = {}
    for part in parts:
        if match := re.match(r"([a-z0-9._-]+)==([^ ;\\]+)", part):
            found[canonicalize_name(match[1])] = (match[2], part)
    return found


def test_everything_the_project_asks_for_is_locked_in_a_version_it_accepts() -> None:
    locked = blocks()
    missing = [name for name, one in asked().items() if name not in locked or locked[name][0] not in one.specifier]
    assert missing == []


def test_the_lock_holds_nothing_that_the_project_no_longer_asks_for() -> None:
    direct = {
        name for name, (_, block) in blocks().items() if re.search(r"ripple \((pyproject\.toml|.*:dev)\)", block)
    }
    assert direct - set(asked()) == set()
    assert len(direct) > 30


def test_every_locked_package_is_checked_by_a_hash() -> None:
    unchecked = [
        name for name, (_, block) in blocks().items() if not re.search(r"--hash=sha256:[0-9a-f]{64}", block)
    ]
    assert unchecked == []


@pytest.mark.timeout(360)
@pytest.mark.parametrize(
    ("platform", "whole"),
    [
        pytest.param("aarch64-manylinux_2_34", True, id="Linux on arm64"),
        pytest.param("aarch64-apple-darwin", True, id="a Mac"),
        pytest.param("x86_64-apple-darwin", False, id="a Mac with Intel's processor lacks one"),
    ],
)
def test_every_locked_package_has_a_wheel_of_its_hashes_for_another_machine(
    tmp_path: Path, platform: str, whole: bool
) -> None:
    words = ["pip", "install", "--quiet", "--dry-run", "--target", str(tmp_path), "--require-hashes", "--no-deps"]
    words += ["--only-binary", ":all:", "--python-version", "3.11", "--python-platform", platform]
    done = subprocess.run(
        (uv.find_uv_bin(), *words, "-r", str(ROOT / "requirements.lock")),
        capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert (done.returncode == 0) is whole, done.stderr
    assert whole or "has no usable wheels" in " ".join(done.stderr.split()), done.stderr


def test_the_lock_names_no_place_that_packages_come_from() -> None:
    told = [
        line
        for line in LOCK.splitlines()
        if "://" in line or line.lstrip().startswith(("--index", "-i ", "--find"))
    ]
    assert told == []


def test_the_lock_says_how_it_was_made() -> None:
    command = LOCK.splitlines()[1]
    assert "uv pip compile" in command
    assert {"--universal", "--generate-hashes", "--group", "dev", "pyproject.toml"} <= set(command.split())
