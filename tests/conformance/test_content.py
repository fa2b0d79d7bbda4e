"""Content addressing: the CIDs are the world's, equal bytes have one address, changed bytes are found out."""

from __future__ import annotations

import asyncio
import base64
import hashlib
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, TypeVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ripple.model.errors import Broken, Invalid, NotFound
from ripple.planes import content
from ripple.planes.content import PROFILE, Filed
from ripple.planes.objects import Objects

T = TypeVar("T")
CHUNK, LINKS = 262_144, 174


def run(main: Coroutine[Any, Any, T]) -> T:
    """One event loop with a deadline."""
    return asyncio.run(asyncio.wait_for(main, 20))


@pytest.fixture
def store(tmp_path: Path) -> Objects:
    return Objects.local(tmp_path)


def varint(number: int) -> bytes:
    parts = []
    while True:
        number, low = number >> 7, number & 0x7F
        parts.append(low | (0x80 if number else 0))
        if not number:
            return bytes(parts)


def field(number: int, data: bytes | int) -> bytes:
    """One field of a protocol buffer."""
    if isinstance(data, int):
        return varint(number << 3) + varint(data)
    return varint(number << 3 | 2) + varint(len(data)) + data


def cid_bytes(codec: int, block: bytes) -> bytes:
    return b"\x01" + varint(codec) + b"\x12\x20" + hashlib.sha256(block).digest()


def reference_cid(data: bytes) -> str:
    """UnixFS by its specification: raw leaves, balanced, dag-pb nodes written by hand."""
    chunks = [data[at : at + CHUNK] for at in range(0, len(data), CHUNK)] or [b""]
    level = [(cid_bytes(0x55, chunk), len(chunk), len(chunk)) for chunk in chunks]
    while len(level) > 1:
        level = [node(level[at : at + LINKS]) for at in range(0, len(level), LINKS)]
    return "b" + base64.b32encode(level[0][0]).decode().lower().rstrip("=")


def node(children: list[tuple[bytes, int, int]]) -> tuple[bytes, int, int]:
    """A dag-pb node over (CID, size of its blocks, size of its content): links first, then the UnixFS data."""
    size = sum(content for _, _, content in children)
    unixfs = field(1, 2) + field(3, size) + b"".join(field(4, content) for _, _, content in children)
    links = b"".join(field(2, field(1, cid) + field(2, b"") + field(3, total)) for cid, total, _ in children)
    block = links + field(1, unixfs)
    return cid_bytes(0x70, block), len(block) + sum(total for _, total, _ in children), size


def pattern(size: int) -> bytes:
    return (hashlib.sha512(size.to_bytes(8, "big")).digest() * (size // 64 + 1))[:size]


@pytest.mark.parametrize(
    ("data", "cid"),
    [
        (b"", "bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku"),
        (b"hello", "bafkreibm6jg3ux5qumhcn2b3flc3tyu6dmlb4xa7u5bf44yegnrjhc4yeq"),
        (b"hello world", "bafkreifzjut3te2nhyekklss27nh3k72ysco7y32koao5eei66wof36n5e"),
    ],
)
def test_small_content_has_the_cid_the_world_knows(data: bytes, cid: str) -> None:
    assert content.cid_of(data) == cid


@pytest.mark.parametrize("size", [1, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK, 1_000_003, 175 * CHUNK + 1])
def test_larger_content_has_the_cid_of_the_specification(size: int) -> None:
    data = pattern(size)
    assert content.cid_of(data) == reference_cid(data)


@given(st.binary(max_size=2000))
def test_content_comes_back_under_its_cid(data: bytes) -> None:
    store = Objects.at("memory:///")

    async def main() -> tuple[Filed, bytes]:
        filed = await content.put(store, data)
        return filed, await content.get(store, filed)

    filed, back = run(main())
    assert back == data
    assert filed == Filed(reference_cid(data), PROFILE)


def test_filing_again_changes_nothing(store: Objects) -> None:
    async def main() -> tuple[Filed, Filed, list[str]]:
        first = await content.put(store, b"same")
        return first, await content.put(store, b"same"), await store.list()

    first, second, keys = run(main())
    assert first == second
    assert keys == [f"content/{PROFILE}/{first.cid}"]


def test_changed_content_is_broken_until_it_is_filed_again(store: Objects) -> None:
    data = pattern(CHUNK * 2)

    async def main() -> bytes:
        filed = await content.put(store, data)
        await store.put(f"content/{PROFILE}/{filed.cid}", data[:-1] + bytes([data[-1] ^ 1]))
        with pytest.raises(Broken, match=filed.cid):
            await content.get(store, filed)
        await content.put(store, data)
        return await content.get(store, filed)

    assert run(main()) == data


def test_what_was_never_filed_is_not_found(store: Objects) -> None:
    with pytest.raises(NotFound):
        run(content.get(store, Filed(content.cid_of(b"never"))))


def test_a_filed_name_is_read_back_from_its_text() -> None:
    filed = Filed(content.cid_of(b"x"))
    assert Filed.parse(str(filed)) == filed
    assert str(filed) == f"{filed.cid}?profile={PROFILE}"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "QmWfVY9y3xjsixTgbd9AorQxH7VtMpzfx2HaWtsoUYecaX?profile=" + PROFILE,
        content.cid_of(b"x"),
        content.cid_of(b"x") + "?profile=unixfs-v1-raw-1048576-174",
        "../../" + content.cid_of(b"x") + "?profile=" + PROFILE,
        content.cid_of(b"x").upper() + "?profile=" + PROFILE,
    ],
)
def test_a_name_of_another_kind_or_profile_is_invalid(store: Objects, text: str) -> None:
    with pytest.raises(Invalid):
        Filed.parse(text)
    cid, _, profile = text.partition("?profile=")
    with pytest.raises(Invalid):
        run(content.get(store, Filed(cid, profile)))
