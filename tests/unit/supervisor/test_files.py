"""What the supervisor keeps on disk: ports, records, logs, the private folders."""

from __future__ import annotations

import json
import os
import socket
from pathlib import Path

import pytest

from ripple.model.component import Component
from ripple.model.errors import Refused
from ripple.model.paths import Home
from ripple.supervisor import logfiles
from ripple.supervisor.fingerprint import fingerprint
from ripple.supervisor.journal import Journal, Started
from ripple.supervisor.loopback import free_ports, is_taken
from ripple.supervisor.places import prepare, write_whole
from ripple.supervisor.ports import Ports


def test_a_port_is_taken_while_somebody_listens_on_it() -> None:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        one.listen()
        port = one.getsockname()[1]
        assert is_taken(port)
    assert not is_taken(port)
    assert port not in free_ports(20, avoid=[port])


def component(name: str, *ports: str) -> Component:
    return Component(id=name, name=name, command=("true",), ports=ports)


def test_ports_are_distinct_remembered_and_follow_the_rows(tmp_path: Path) -> None:
    path = tmp_path / "ports.json"
    ports = Ports(path)
    ports.ensure([component("a", "x", "y"), component("b", "x"), component("none")])
    ports.save()
    saved = json.loads(path.read_text())
    assert set(saved) == {"a", "b"}
    numbers = [port for table in saved.values() for port in table.values()]
    assert len(set(numbers)) == 3
    again = Ports(path)
    again.ensure([component("a", "x", "z"), component("b", "x")])
    assert again.of("b") == saved["b"]
    assert again.of("a")["x"] == saved["a"]["x"]
    assert set(again.of("a")) == {"x", "z"}
    again.put("b", {})
    again.save()
    assert set(json.loads(path.read_text())) == {"a"}
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_taken_port_moves_with_a_notice_and_a_free_one_stays(tmp_path: Path) -> None:
    ports = Ports(tmp_path / "ports.json")
    ports.ensure([component("a", "x", "y")])
    before = dict(ports.of("a"))
    with socket.socket() as other:
        other.bind(("127.0.0.1", before["x"]))
        other.listen()
        notices = ports.vacate("a")
    assert len(notices) == 1
    assert str(before["x"]) in notices[0]
    assert ports.of("a")["x"] != before["x"]
    assert ports.of("a")["y"] == before["y"]
    assert ports.vacate("a") == []


@pytest.mark.parametrize("text", ["", "{", "[]", '{"a": 1}', '{"a": {"x": "80"}}', '{"a": {"x": 0}}', "\udcff"])
def test_a_damaged_table_of_ports_only_costs_the_numbers(tmp_path: Path, text: str) -> None:
    path = tmp_path / "ports.json"
    path.write_bytes(text.encode(errors="surrogateescape"))
    ports = Ports(path)
    ports.ensure([component("a", "x")])
    ports.save()
    assert json.loads(path.read_text())["a"]["x"] > 1023


def test_a_damaged_record_is_left_out_and_the_others_are_read(tmp_path: Path) -> None:
    journal = Journal(Home(tmp_path))
    for number, name in enumerate("ab"):
        journal.write(Started(component=name, mark=f"t.{name}", digest="d", boot="b", began=number))
    journal.add(component("x"))
    journal.add(component("y"))
    (tmp_path / "run" / "processes" / "a.json").write_text("{")
    (tmp_path / "state" / "supervisor" / "components" / "x.json").write_text('{"id": "x", "nmae": 1}')
    assert [one.component for one in journal.started()] == ["b"]
    assert [one.id for one in journal.components()] == ["y"]
    journal.ended("b")
    journal.remove("y")
    assert (journal.started(), journal.components()) == ([], [])


def test_a_file_is_replaced_whole_and_a_link_in_its_place_is_not_followed(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.write_text("mine")
    target = tmp_path / "target"
    target.symlink_to(outside)
    write_whole(target, "new", durable=True)
    assert (target.read_text(), outside.read_text(), target.is_symlink()) == ("new", "mine", False)


def test_a_home_that_cannot_be_made_is_refused_with_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(Refused, match="RIPPLE_HOME"):
        prepare(Home(tmp_path / "file" / "home"))


def test_the_end_of_a_log_goes_back_over_a_rotation(tmp_path: Path) -> None:
    log = tmp_path / "a.log"
    assert logfiles.tail(log, 5) == ""
    log.write_text("".join(f"line {number}\n" for number in range(1000)))
    assert not logfiles.rotate(log, 1 << 20)
    assert logfiles.rotate(log, 100)
    assert log.stat().st_size == 0
    assert log.with_name("a.log.1").stat().st_size == 100
    with log.open("a") as file:
        file.write("after\n")
    assert logfiles.tail(log, 2) == "line 999\nafter\n"
    assert logfiles.tail(log, 1) == "after\n"


def test_a_log_of_bytes_without_lines_is_bounded_too(tmp_path: Path) -> None:
    log = tmp_path / "a.log"
    log.write_bytes(b"\xff" * (3 << 20))
    assert len(logfiles.tail(log, 10)) <= logfiles.TAIL_BYTES + 1


def test_a_log_that_cannot_be_copied_is_emptied_all_the_same(tmp_path: Path) -> None:
    log = tmp_path / "a.log"
    log.write_bytes(b"x" * 1000)
    # A folder in the way of the copy stands for a disk without room.
    (tmp_path / ".a.log.1").mkdir()
    assert logfiles.rotate(log, 100)
    assert log.stat().st_size == 0


def test_the_fingerprint_changes_with_any_manifest_and_with_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "components").mkdir()
    row = tmp_path / "components" / "a.yaml"
    row.write_text("id: a\n")
    before = fingerprint(tmp_path)
    os.utime(row, (1, 1))
    (tmp_path / "__pycache__").mkdir()
    (tmp_path / "__pycache__" / "x.pyc").write_text("x")
    assert fingerprint(tmp_path) == before
    row.write_text("id: b\n")
    assert fingerprint(tmp_path) != before
