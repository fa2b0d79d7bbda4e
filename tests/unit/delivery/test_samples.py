"""The access log's reader: every finished line once, whatever happens to the file."""

from __future__ import annotations

import json
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from ripple.delivery.samples import AccessLog, parse_line


def line(number: int, upstream: str = "/run/a.sock", status: int = 200) -> bytes:
    row = {"ts": float(number), "upstream": upstream, "status": status, "duration": 0.01}
    return json.dumps(row).encode() + b"\n"


def test_a_partial_last_line_is_read_once_it_is_finished(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(line(1) + line(2)[:10])
    log = AccessLog(path)
    assert [sample.at for sample in log.read()] == [1]
    with path.open("ab") as file:
        file.write(line(2)[10:] + line(3))
    assert [sample.at for sample in log.read()] == [2, 3]
    assert log.read() == []


def test_rotation_loses_nothing(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(line(1))
    log = AccessLog(path)
    assert len(log.read()) == 1
    with path.open("ab") as file:
        file.write(line(2))
        path.rename(tmp_path / "log.1")
        path.write_bytes(line(3))
        file.write(line(4))
    assert sorted(sample.at for sample in log.read()) == [2, 3, 4]
    with path.open("ab") as file:
        file.write(line(5))
    assert [sample.at for sample in log.read()] == [5]


def test_a_reader_can_wait_for_a_log_that_is_not_there_yet(tmp_path: Path) -> None:
    log = AccessLog.at_end(tmp_path / "log")
    assert log.read() == []
    (tmp_path / "log").write_bytes(line(1))
    assert len(log.read()) == 1


def test_reading_goes_on_where_an_earlier_reader_stopped(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(line(1) + line(2) + line(3)[:5])
    first = AccessLog(path)
    first.read()
    position = first.position
    first.close()
    path.write_bytes(path.read_bytes() + line(3)[5:])
    assert [sample.at for sample in AccessLog(path, position).read()] == [3]


def test_the_end_is_behind_the_last_finished_line(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(line(1) * 1000 + line(2)[:7])
    log = AccessLog.at_end(path)
    assert log.read() == []
    path.write_bytes(path.read_bytes() + line(2)[7:])
    assert [sample.at for sample in log.read()] == [2]


def test_lines_that_are_no_answered_request_are_skipped() -> None:
    assert parse_line(b"garbage") is None
    assert parse_line(b'"text"') is None
    assert parse_line(b'{"ts": 1, "status": 503, "duration": 0, "upstream": null}') is None
    assert parse_line(line(1, status=502)) is not None


@settings(max_examples=30, deadline=None)
@given(cuts=st.lists(st.integers(1, 400), max_size=8))
def test_any_way_of_writing_gives_the_same_samples(tmp_path_factory: object, cuts: list[int]) -> None:
    folder = Path(str(tmp_path_factory.mktemp("log")))  # type: ignore[attr-defined]
    data = b"".join(line(number) for number in range(6))
    log = AccessLog(folder / "log")
    seen: list[float] = []
    position = 0
    for cut in [*cuts, len(data)]:
        with (folder / "log").open("ab") as file:
            file.write(data[position : position + cut])
        position += cut
        seen += [sample.at for sample in log.read()]
    assert seen == [0, 1, 2, 3, 4, 5]
