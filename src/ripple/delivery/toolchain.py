"""What an application's commands run on: the interpreter, and the wheels its hash-locked requirements name.

- A toolchain is keyed by its lock and the interpreter; it appears whole or not at all, and never changes.
- Only wheels whose hashes stand in the lock are unpacked: no build script runs, so this needs no sandbox.
- It is seen read-only in the sandbox, at a path that does not depend on this machine.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import platform
import shutil
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import uv

from ripple.model.application import ApplicationManifest
from ripple.model.digest import Digest, digest_bytes, digest_json
from ripple.model.errors import DeadlineExceeded, Invalid, Unavailable
from ripple.planes.sandbox import DEFAULT_PATH

INSIDE = "/opt/toolchain"
BUILD_SECONDS = 600.0
MAX_LOCK_BYTES = 4 << 20
_DONE = "ripple-toolchain"
_NETWORK_WORDS = ("error sending request", "dns error", "timed out", "connection", "failed to fetch", "network")


@dataclass(frozen=True)
class Toolchain:
    """What a sandbox is given so that an application's commands find their packages.

    ``path`` is the folder on this machine, None for the interpreter alone; ``env`` and ``binds`` go into the
    sandbox's spec as they are.
    """

    digest: Digest
    path: Path | None = None
    env: Mapping[str, str] = field(default_factory=dict)
    binds: tuple[tuple[Path, str], ...] = ()


async def toolchain_of(folder: Path, tree: Path, manifest: ApplicationManifest) -> Toolchain:
    """The toolchain of the application whose files lie in ``tree``, kept under ``folder``.

    Raises:
        Invalid: the lock that the manifest names is missing, outside the tree, too large or unusable.
        Unavailable: a wheel could not be fetched; the same call may succeed later.
    """
    if manifest.toolchain.python is None:
        return await ensure_toolchain(folder, None)
    return await ensure_toolchain(folder, await asyncio.to_thread(_lock_text, tree, manifest.toolchain.python))


async def ensure_toolchain(folder: Path, lock_text: bytes | None) -> Toolchain:
    """The toolchain of one lock, built below ``folder`` unless it is there; None is the interpreter alone.

    Raises:
        Invalid: the lock is not made of hashed wheels for this machine.
        Unavailable: a wheel could not be fetched; the same call may succeed later.
    """
    digest = _digest(lock_text)
    if lock_text is None:
        return Toolchain(digest)
    target = folder / digest.removeprefix("sha256:")[:32]
    if not (target / _DONE).exists():
        await asyncio.to_thread(folder.mkdir, parents=True, exist_ok=True)
        async with _alone(folder / f"{target.name}.lock"):
            if not (target / _DONE).exists():
                await _build(target, lock_text)
    env = {"PATH": f"{INSIDE}/bin:{DEFAULT_PATH}", "VIRTUAL_ENV": INSIDE}
    return Toolchain(digest, target, env, ((target, INSIDE),))


def _digest(lock_text: bytes | None) -> Digest:
    """The digest of what the wheels depend on: the lock, the interpreter's minor version, the machine."""
    lock = digest_bytes(lock_text) if lock_text is not None else None
    version = f"{platform.python_implementation()} {sys.version_info.major}.{sys.version_info.minor}"
    return digest_json({"lock": lock, "python": version, "machine": platform.machine(), "system": sys.platform})


def _lock_text(tree: Path, name: str) -> bytes:
    file = tree / name
    inside = file.resolve().is_relative_to(tree.resolve()) and not Path(name).is_absolute()
    if not inside or not file.is_file():
        raise Invalid(
            f"toolchain.python names {name!r}, which is not a file of the application; add it or mend the name"
        )
    if file.stat().st_size > MAX_LOCK_BYTES:
        raise Invalid(f"toolchain lock {name} is larger than {MAX_LOCK_BYTES} bytes; lock fewer packages")
    return file.read_bytes()


async def _build(target: Path, lock_text: bytes) -> None:
    """Build beside ``target``, then rename: a killed build leaves only a folder that nobody looks at."""
    shutil.rmtree(target, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix="building-", dir=target.parent) as scratch:
        lock, made = Path(scratch) / "requirements.lock", Path(scratch) / "venv"
        await asyncio.to_thread(lock.write_bytes, lock_text)
        python = await asyncio.to_thread(os.path.realpath, getattr(sys, "_base_executable", "") or sys.executable)
        await _uv(["venv", "--quiet", "--relocatable", "--python", python, str(made)], scratch)
        wanted = ["--require-hashes", "--only-binary", ":all:", "--strict", "--compile-bytecode"]
        await _uv(
            ["pip", "sync", "--quiet", *wanted, "--python", str(made / "bin" / "python"), str(lock)], scratch
        )
        (made / _DONE).touch()
        made.rename(target)


async def _uv(words: Sequence[str], folder: str) -> None:
    environment = {name: value for name, value in os.environ.items() if name not in ("VIRTUAL_ENV", "PYTHONPATH")}
    process = await asyncio.create_subprocess_exec(
        uv.find_uv_bin(), *words, cwd=folder, env=environment,
        stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        async with asyncio.timeout(BUILD_SECONDS):
            _, said = await process.communicate()
    except TimeoutError as error:
        raise DeadlineExceeded(f"uv {words[0]} did not end within {BUILD_SECONDS:g} s; try again") from error
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode:
        raise _failure(said.decode(errors="replace"))


def _failure(said: str) -> Invalid | Unavailable:
    last = " ".join(said.split())[-600:]
    if any(word in last.lower() for word in _NETWORK_WORDS):
        return Unavailable(f"cannot fetch the application's wheels: {last}; check the network and try again")
    return Invalid(
        f"cannot install the application's lock: {last}; every line needs an exact version with sha256 hashes of "
        "wheels for this interpreter (uv pip compile --generate-hashes)"
    )


@contextlib.asynccontextmanager
async def _alone(file: Path) -> AsyncIterator[None]:
    """One builder at a time, over all processes; the lock ends with its holder."""
    number = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        deadline = time.monotonic() + BUILD_SECONDS
        while not _taken(number):
            if time.monotonic() > deadline:
                raise DeadlineExceeded(
                    f"another process has been building {file.stem} for {BUILD_SECONDS:g} s; end it"
                )
            await asyncio.sleep(0.05)
        yield
    finally:
        os.close(number)


def _taken(number: int) -> bool:
    try:
        fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
