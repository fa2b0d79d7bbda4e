"""Bringing the bytes of a URL into a file, resumed after an interruption.

What is fetched is not trusted yet: whoever asked for it checks it before it gets its name.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

import anyio.to_thread
import httpx

from ripple.model.errors import Refused, Unavailable

Progress = Callable[[int], None]
LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})
STALL_SECONDS = 60.0
MAX_FILE_BYTES = 64 << 30
MAX_REDIRECTS = 5
CHUNK_BYTES = 1 << 20


async def fetch_url(
    url: str, target: Path, progress: Progress, size_bytes: int | None = None, *, plain: bool = False
) -> None:
    """The bytes of ``url`` in ``target``; goes on where an interrupted call stopped if the file is the same.

    ``plain`` allows http: only for a caller that knows the digest from a signed list, as with Debian's mirrors.

    Raises:
        Unavailable: the server does not answer, stalls or answers with an error.
        Refused: it leads away from https, or sends more than was announced.
    """
    limits = httpx.Timeout(STALL_SECONDS, connect=15)
    outside = urlsplit(url).hostname not in LOOPBACK
    hooks = [] if plain else [_only_https]
    try:
        async with httpx.AsyncClient(
            timeout=limits, follow_redirects=True, max_redirects=MAX_REDIRECTS, trust_env=outside,
            event_hooks={"request": hooks},
        ) as client:  # fmt: skip
            await _download(client, url, target, progress, size_bytes)
    except httpx.HTTPError as error:
        raise Unavailable(
            f"cannot fetch {url}: {error or type(error).__name__}; check the network, then ask again"
        ) from error


def forget_part(target: Path) -> None:
    """Remove what an interrupted fetch left."""
    target.unlink(missing_ok=True)
    _tag_file(target).unlink(missing_ok=True)


async def _only_https(request: httpx.Request) -> None:
    if request.url.scheme != "https" and request.url.host not in LOOPBACK:
        raise Refused(f"{request.url} is not https; it is only fetched over https")


async def _download(
    client: httpx.AsyncClient, url: str, target: Path, progress: Progress, size_bytes: int | None
) -> None:
    have, tag = _resumable(target)
    if size_bytes is not None and have == size_bytes:
        return
    headers = {"range": f"bytes={have}-", "if-range": tag} if have and tag else {}
    async with client.stream("GET", url, headers={**headers, "accept-encoding": "identity"}) as response:
        if response.status_code == httpx.codes.REQUESTED_RANGE_NOT_SATISFIABLE:
            forget_part(target)
        if response.status_code not in (200, 206):
            raise Unavailable(f"cannot fetch {url}: HTTP {response.status_code}; check the address or try later")
        have = have if response.status_code == 206 and headers else 0
        whole = size_bytes or have + int(response.headers.get("content-length") or 0) or MAX_FILE_BYTES
        _tag_file(target).write_text(json.dumps(response.headers.get("etag", "")))
        with target.open("ab" if have else "wb") as file:
            async for chunk in response.aiter_raw():
                have += len(chunk)
                if have > min(whole, MAX_FILE_BYTES):
                    raise Refused(f"{url} sends more than the {whole} bytes it should have")
                await anyio.to_thread.run_sync(file.write, chunk)
                progress(have)
    if size_bytes is not None and have < size_bytes:
        raise Unavailable(f"{url} ended after {have} of {size_bytes} bytes; ask again, and it goes on from there")


def _resumable(target: Path) -> tuple[int, str]:
    """How much is there, and the entity tag it came with; a weak one does not speak of bytes (RFC 9110)."""
    try:
        tag = str(json.loads(_tag_file(target).read_text()))
        return target.stat().st_size, "" if tag.startswith("W/") else tag
    except (OSError, ValueError):
        return 0, ""


def _tag_file(target: Path) -> Path:
    return target.with_name(f"{target.name}.etag")
