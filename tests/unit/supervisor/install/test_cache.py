"""What is fetched is whole and right, or it is not there."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import pytest
from tests.unit.supervisor.install.serving import Shelf

from ripple.model.errors import Refused, Unavailable
from ripple.supervisor.install.cache import Downloads, Wanted

pytestmark = pytest.mark.anyio
BODY = bytes(range(256)) * 4096


def quiet(label: str, done: int, total: int | None) -> None:
    """Say nothing."""


def wanted(shelf: Shelf, body: bytes = BODY) -> Wanted:
    digest = hashlib.sha256(body).hexdigest()
    return Wanted("thing", shelf.put("/thing", body), {"sha256": digest}, len(body))


async def test_a_file_stands_under_its_digest_and_is_fetched_once(shelf: Shelf, tmp_path: Path) -> None:
    one, downloads = wanted(shelf), Downloads(tmp_path, quiet)
    kept = await downloads.fetch(one)
    again = await downloads.fetch(one)
    assert kept == again
    assert kept.path == tmp_path / "sha256" / one.digests["sha256"]
    assert kept.path.read_bytes() == BODY
    assert len(shelf.asked) == 1


async def test_an_interrupted_download_goes_on_where_it_stopped(shelf: Shelf, tmp_path: Path) -> None:
    one, shelf.stop_after = wanted(shelf), 300_000
    kept = await Downloads(tmp_path, quiet).fetch(one)
    assert kept.path.read_bytes() == BODY
    first, second = (asked[1] for asked in shelf.asked)
    assert first is None
    assert second is not None
    assert 0 < int(second.removeprefix("bytes=").removesuffix("-")) <= 300_000


async def test_an_answer_without_a_length_that_ends_early_is_asked_for_again(shelf: Shelf, tmp_path: Path) -> None:
    one, shelf.stop_after, shelf.says_length = wanted(shelf), 300_000, False
    kept = await Downloads(tmp_path, quiet).fetch(one)
    assert kept.path.read_bytes() == BODY
    assert len(shelf.asked) == 2


async def test_a_whole_part_of_a_file_of_unknown_size_is_fetched_anew(shelf: Shelf, tmp_path: Path) -> None:
    one = replace(wanted(shelf), size=None)
    part = tmp_path / "parts" / one.digests["sha256"]
    part.parent.mkdir()
    part.write_bytes(BODY)
    part.with_name(f"{part.name}.etag").write_text(f'"\\"{one.digests["sha256"]}\\""')
    kept = await Downloads(tmp_path, quiet).fetch(one)
    assert kept.path.read_bytes() == BODY
    assert [asked[1] for asked in shelf.asked] == [f"bytes={len(BODY)}-", None]


async def test_another_call_goes_on_with_what_an_ended_one_left(shelf: Shelf, tmp_path: Path) -> None:
    one = wanted(shelf)
    part = tmp_path / "parts" / one.digests["sha256"]
    part.parent.mkdir()
    part.write_bytes(BODY[:1000])
    part.with_name(f"{part.name}.etag").write_text(f'"\\"{one.digests["sha256"]}\\""')
    kept = await Downloads(tmp_path, quiet).fetch(one)
    assert kept.path.read_bytes() == BODY
    assert shelf.asked == [("/thing", "bytes=1000-")]


async def test_one_changed_byte_is_refused_and_removed(shelf: Shelf, tmp_path: Path) -> None:
    one = wanted(shelf)
    shelf.put("/thing", b"\xff" + BODY[1:])
    with pytest.raises(Refused, match="removed: do not use it"):
        await Downloads(tmp_path, quiet).fetch(one)
    assert not list((tmp_path / "parts").glob(f"{one.digests['sha256']}"))
    assert not (tmp_path / "sha256").exists()


async def test_more_bytes_than_the_lock_says_are_refused(shelf: Shelf, tmp_path: Path) -> None:
    one = wanted(shelf)
    shelf.put("/thing", BODY + b"more")
    with pytest.raises(Refused, match="sends more"):
        await Downloads(tmp_path, quiet).fetch(one)


async def test_a_byte_that_changed_in_the_cache_is_noticed_and_fetched_again(shelf: Shelf, tmp_path: Path) -> None:
    one, downloads = wanted(shelf), Downloads(tmp_path, quiet)
    kept = await downloads.fetch(one)
    kept.path.write_bytes(b"\xff" + BODY[1:])
    assert await downloads.find(kept.sha256) is None
    assert (await downloads.fetch(one)).path.read_bytes() == BODY


async def test_with_assets_nothing_is_asked_of_the_network(shelf: Shelf, tmp_path: Path) -> None:
    one = wanted(shelf)
    assets = tmp_path / "assets"
    (assets / "sha256").mkdir(parents=True)
    downloads = Downloads(tmp_path / "cache", quiet, assets)
    with pytest.raises(Unavailable, match="is not in"):
        await downloads.fetch(one)
    (assets / "sha256" / one.digests["sha256"]).write_bytes(BODY)
    assert (await downloads.fetch(one)).path.read_bytes() == BODY
    assert shelf.asked == []


async def test_an_asset_that_is_not_what_it_is_named_after_is_refused(shelf: Shelf, tmp_path: Path) -> None:
    one = wanted(shelf)
    asset = tmp_path / "assets" / "sha256" / one.digests["sha256"]
    asset.parent.mkdir(parents=True)
    asset.write_bytes(BODY[:-1])
    with pytest.raises(Refused, match="named after"):
        await Downloads(tmp_path / "cache", quiet, tmp_path / "assets").fetch(one)


async def test_an_address_that_answers_with_an_error_is_not_tried_again(shelf: Shelf, tmp_path: Path) -> None:
    gone = Wanted("gone", f"{shelf.url}/gone", {"sha256": "0" * 64}, 3)
    with pytest.raises(Unavailable, match="HTTP 404"):
        await Downloads(tmp_path, quiet).fetch(gone)
    assert len(shelf.asked) == 1
