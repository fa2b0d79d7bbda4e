"""The objects seam: the same promises from a folder, from memory and from a real S3 server."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import time
from collections.abc import Coroutine, Iterator
from pathlib import Path
from typing import Any, TypeVar

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.installed import program

from ripple.model.errors import Invalid, NotFound, Unavailable
from ripple.planes import objects as plane
from ripple.planes.objects import Objects

T = TypeVar("T")
ACCESS, SECRET = "ripple-test-access", "ripple-test-secret"


def run(main: Coroutine[Any, Any, T]) -> T:
    """One event loop with a deadline."""
    return asyncio.run(asyncio.wait_for(main, 40))


def free_ports(count: int) -> list[int]:
    held = [socket.socket() for _ in range(count)]
    for one in held:
        one.bind(("127.0.0.1", 0))
    ports = [int(one.getsockname()[1]) for one in held]
    for one in held:
        one.close()
    return ports


@pytest.fixture(scope="module")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The endpoint of a SeaweedFS with the bucket ``ripple``."""
    weed = program("seaweedfs", "weed")
    folder = tmp_path_factory.mktemp("weed")
    master, volume, filer, port, admin = free_ports(5)
    process = subprocess.Popen(
        [
            *(weed, "mini", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", f"-dir={folder}", f"-master.port={master}"),
            *(f"-volume.port={volume}", f"-filer.port={filer}", f"-s3.port={port}", f"-admin.port={admin}"),
            *("-webdav=false", "-admin.ui=false", "-s3.port.iceberg=0", "-s3.port.lance=0"),
            "-master.telemetry=false",
        ],
        env={
            "AWS_ACCESS_KEY_ID": ACCESS,
            "AWS_SECRET_ACCESS_KEY": SECRET,
            "S3_BUCKET": "ripple",
            "HOME": str(folder),
        },
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    endpoint = f"http://127.0.0.1:{port}"
    store = remote(endpoint)
    deadline = time.monotonic() + 120
    try:
        while True:
            try:
                run(store.put("ready", b""))
                break
            except (Unavailable, TimeoutError):
                assert time.monotonic() < deadline
                time.sleep(0.1)
        yield endpoint
    finally:
        process.kill()
        process.wait(15)


def remote(endpoint: str) -> Objects:
    config = {"endpoint": endpoint, "access_key_id": ACCESS, "secret_access_key": SECRET, "region": "us-east-1"}
    return Objects.at("s3://ripple", config)


@pytest.fixture(params=["local", "memory", "s3"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Objects:
    if request.param == "local":
        return Objects.local(tmp_path / "objects")
    if request.param == "memory":
        return Objects.at("memory:///")
    return remote(request.getfixturevalue("s3"))


@pytest.mark.parametrize("data", [b"", b"\0\xff", b"x" * (5 << 20)], ids=["nothing", "bytes", "five megabytes"])
def test_what_is_put_is_what_comes_back(store: Objects, data: bytes) -> None:
    async def main() -> bytes:
        await store.put("a/b.tar", data)
        return await store.get("a/b.tar")

    assert run(main()) == data


def test_the_newest_put_wins(store: Objects) -> None:
    async def main() -> bytes:
        for number in range(3):
            await store.put("again", str(number).encode())
        return await store.get("again")

    assert run(main()) == b"2"


def test_what_is_not_there_is_not_found_and_does_not_exist(store: Objects) -> None:
    async def main() -> tuple[bool, bool]:
        await store.put("here/now", b"1")
        with pytest.raises(NotFound, match="nothing-here"):
            await store.get("nothing-here")
        return await store.exists("here/now"), await store.exists("here/never")

    assert run(main()) == (True, False)


def test_listing_goes_by_whole_names(store: Objects) -> None:
    async def main() -> tuple[list[str], list[str]]:
        for key in ("list/b/2", "list/b/1", "list/bc/3", "list/a"):
            await store.put(key, b"")
        return await store.list("list/b"), await store.list("list/none")

    assert run(main()) == (["list/b/1", "list/b/2"], [])


def test_a_reader_sees_the_old_or_the_new_object_and_nothing_between(store: Objects) -> None:
    size = 1 << 20
    versions = {bytes([number]) * size for number in range(6)}

    async def main() -> set[bytes]:
        await store.put("atomic", min(versions))
        writing = asyncio.gather(*(store.put("atomic", version) for version in sorted(versions)))
        seen = set()
        while not writing.done():
            seen.add(await store.get("atomic"))
        await writing
        return seen

    seen = run(main())
    assert seen <= versions
    assert seen


@pytest.mark.parametrize(
    "key",
    [
        "",
        "/",
        "/etc/passwd",
        "../x",
        "a/../b",
        "a//b",
        "a/",
        ".hidden",
        "a/.git/config",
        "a\0b",
        "a\nb",
        "é",
        "a b",
    ],
)
def test_a_key_that_is_not_plain_is_refused_by_every_verb(tmp_path: Path, key: str) -> None:
    store = Objects.local(tmp_path / "objects")

    async def main() -> None:
        calls = [store.put(key, b""), store.get(key), store.exists(key), *([store.list(key)] if key else [])]
        for call in calls:
            with pytest.raises(Invalid, match="no object key"):
                await call

    run(main())
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


@given(st.text(st.sampled_from("ab./\\-_~#%\0 "), max_size=12))
def test_no_key_ever_leaves_the_folder(tmp_path_factory: pytest.TempPathFactory, key: str) -> None:
    outer = tmp_path_factory.mktemp("outer")
    store = Objects.local(outer / "objects")
    try:
        run(store.put(key, b"data"))
    except Invalid:
        pass
    else:
        assert run(store.get(key)) == b"data"
        assert run(store.list()) == [key]
    assert [path.name for path in outer.iterdir()] == ["objects"]


def test_what_is_too_large_is_neither_taken_nor_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Objects.local(tmp_path)
    run(store.put("large", b"12345"))
    monkeypatch.setattr(plane, "MAX_BYTES", 4)
    for call in (store.put("other", b"12345"), store.get("large")):
        with pytest.raises(Invalid, match="at most 4"):
            run(call)


def test_a_listing_without_end_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Objects.local(tmp_path)
    for number in range(4):
        run(store.put(f"n/{number}", b""))
    monkeypatch.setattr(plane, "MAX_LISTED", 3)
    with pytest.raises(Invalid, match="more than 3"):
        run(store.list("n"))


def test_a_store_that_fails_is_unavailable_and_says_where(tmp_path: Path) -> None:
    store = Objects.local(tmp_path / "objects")
    run(store.put("a", b"a file where a folder would be"))
    with pytest.raises(Unavailable, match=r"cannot put a/b in .*objects") as caught:
        run(store.put("a/b", b""))
    assert "Debug source" not in str(caught.value)


def test_a_folder_that_cannot_be_made_is_unavailable(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(Unavailable, match="cannot open the object store"):
        Objects.local(tmp_path / "file" / "objects")


@pytest.mark.parametrize("url", ["gopher://x/y", "nonsense", "file:///nowhere/at/all"])
def test_a_url_that_no_store_knows_is_invalid(url: str) -> None:
    with pytest.raises(Invalid, match="object store"):
        Objects.at(url)


def test_an_unknown_setting_of_a_store_is_invalid() -> None:
    with pytest.raises(Invalid):
        Objects.at("s3://bucket", {"acess_key_id": "x"})


def test_a_put_that_outlives_its_deadline_is_unavailable(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen(8)
        monkeypatch.setattr(plane, "DEADLINE_SECONDS", 0.3)
        store = remote(f"http://127.0.0.1:{silent.getsockname()[1]}")
        began = time.monotonic()
        with pytest.raises(Unavailable, match=r"within 0\.3 s"):
            run(store.put("a", b""))
        assert time.monotonic() - began < 20


def test_credentials_are_in_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plane, "DEADLINE_SECONDS", 0.3)
    with pytest.raises(Unavailable) as caught:
        run(remote(f"http://127.0.0.1:{free_ports(1)[0]}").put("a", b""))
    assert SECRET not in str(caught.value)
    assert ACCESS not in str(caught.value)
