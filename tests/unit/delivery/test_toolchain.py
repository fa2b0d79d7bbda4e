"""Toolchains: built once from hashed wheels, whole or not at all."""

from __future__ import annotations

import asyncio
import subprocess
from pathlib import Path

import pytest

from ripple.delivery.toolchain import Toolchain, ensure_toolchain, toolchain_of
from ripple.model.application import ApplicationManifest
from ripple.model.errors import Invalid, Unavailable

# The same hashes as this project's own lock names for it.
LOCK = (
    b"iniconfig==2.3.1 "
    b"--hash=sha256:67f4b9c50da0dedf52af349e7749a80a9057a5031199791b906c3bb3ae878960 "
    b"--hash=sha256:9121e2c1fdb355232495be3194c8dfe87ccc2d5dee45947b78e68f499790d7a7\n"
)


def manifest(lock: str | None) -> ApplicationManifest:
    return ApplicationManifest.model_validate(
        {
            "name": "shop",
            "toolchain": {"python": lock},
            "test": {"unit": ["true"]},
            "run": {"command": ["true"], "ready": {"http": "/"}},
        }
    )


def ensure(folder: Path, lock: bytes | None) -> Toolchain:
    try:
        return asyncio.run(ensure_toolchain(folder, lock))
    except Unavailable as error:
        pytest.skip(f"not run: no package index answers here ({error})")


def test_without_a_lock_the_toolchain_is_the_interpreter_alone(tmp_path: Path) -> None:
    toolchain = ensure(tmp_path / "toolchains", None)
    assert toolchain.path is None
    assert toolchain.binds == ()
    assert not (tmp_path / "toolchains").exists()


def test_a_lock_becomes_one_environment_with_its_wheels(tmp_path: Path) -> None:
    toolchain = ensure(tmp_path, LOCK)
    assert toolchain.path is not None
    asked = [str(toolchain.path / "bin" / "python"), "-c", "import iniconfig; print(iniconfig.__file__)"]
    found = subprocess.run(asked, capture_output=True, text=True, check=True).stdout
    assert str(toolchain.path) in found
    assert "requirements" not in {entry.name for entry in tmp_path.iterdir()}


def test_a_second_call_and_a_concurrent_one_build_nothing_again(tmp_path: Path) -> None:
    async def both() -> list[Toolchain]:
        return list(await asyncio.gather(*(ensure_toolchain(tmp_path, LOCK) for _ in range(3))))

    first = ensure(tmp_path, LOCK)
    assert first.path is not None
    made = first.path.stat().st_ctime_ns
    assert {one.digest for one in asyncio.run(both())} == {first.digest}
    assert first.path.stat().st_ctime_ns == made


def test_another_lock_is_another_digest(tmp_path: Path) -> None:
    assert ensure(tmp_path, None).digest != ensure(tmp_path, b"# nothing\n").digest


@pytest.mark.parametrize("lock", [b"iniconfig==2.3.1\n", LOCK.replace(b"67f4", b"0000").replace(b"9121", b"0000")])
def test_a_lock_without_true_hashes_is_refused_and_leaves_nothing(tmp_path: Path, lock: bytes) -> None:
    with pytest.raises(Invalid, match="hash"):
        ensure(tmp_path, lock)
    assert [entry.name for entry in tmp_path.iterdir() if entry.is_dir()] == []


@pytest.mark.parametrize("name", ["missing.lock", "../outside.lock", "/etc/hostname"])
def test_a_lock_outside_the_application_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "app").mkdir()
    (tmp_path / "outside.lock").write_bytes(LOCK)
    with pytest.raises(Invalid, match="which is not a file"):
        asyncio.run(toolchain_of(tmp_path / "toolchains", tmp_path / "app", manifest(name)))
