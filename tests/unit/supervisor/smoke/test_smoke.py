"""A smoke test passes by doing what it says, fails by anything else, and reaches nothing outside its sandbox."""

from __future__ import annotations

import asyncio
import re
import socket
import sys
from pathlib import Path

import pytest
from tests.unit.supervisor.smoke.smokes import OWN, a_system, ran, row, step

from ripple.model.errors import Refused
from ripple.planes.sandbox import Outcome, Sandbox, SandboxResult, SandboxSpec
from ripple.planes.sandbox.bubblewrap import BubblewrapSandbox
from ripple.stack.root import project_root
from ripple.supervisor.process import start_ticks
from ripple.supervisor.smoke import Smoker

HTTP_SERVER = {
    "id": "thing-server",
    "command": ["{python}", "-m", "http.server", "--bind", "127.0.0.1", "{ports.http}"],
    "files": {"index.html": "the port is {ports.http}, a brace is {{"},
    "ports": ["http"],
    "ready": {"kind": "http", "target": "http://127.0.0.1:{ports.http}/"},
    "startup_seconds": 20,
}
WELL = b'ripple-smoke-result {"seconds": 1, "steps": []}\n'
READS_ITS_PAGE = step(
    python="""
import os, urllib.request
print(urllib.request.urlopen(f"http://127.0.0.1:{os.environ['PORTS_HTTP']}/").read().decode())
""",
    expect=r"^the port is \d+, a brace is \{$",
)


@pytest.mark.parametrize("name", ["caddy", "nats-server", "temporal"])
def test_an_example_row_does_what_it_is_for(name: str) -> None:
    result = ran(row(name), OWN)
    assert result.ok, result.reason
    assert len(result.steps) == 1


def test_every_kind_of_step_runs_and_a_later_one_sees_what_an_earlier_one_wrote() -> None:
    result = ran(
        a_system(
            step(run=["{python}", "-c", "print('done')"]),
            step(python="open('kept', 'w').write('x'); print('done')"),
            step(node="import fs from 'node:fs'; if (fs.existsSync('kept')) console.log('done')"),
            step(shell='test -f "$WORK/kept"; read -r word; echo "$word"', stdin="done\n"),
        )
    )
    assert result.ok, result.reason
    assert [one.kind for one in result.steps] == ["run", "python", "node", "shell"]


@pytest.mark.parametrize(
    ("given", "why"),
    [
        (step(shell="echo done; exit 3"), r"exited with status 3, not 0"),
        (step(shell="echo done", exit=2), r"exited with status 0, not 2"),
        (step(shell="echo nearly done"), r"did not print what matches '\^done\$'"),
        (step(shell="echo done >&2"), r"did not print what matches"),
        (step(shell="false; echo done"), r"exited with status 1"),
        (step(python="raise SystemExit('it broke')"), r"exited with status 1.*it broke"),
        (step(run=["{bin}/no-such-program"]), r"No such file"),
        (step(run=["{binn}/x"]), r"unknown key 'binn'.*'bin'"),
    ],
)
def test_a_step_that_does_not_do_what_it_must_fails(given: dict[str, object], why: str) -> None:
    result = ran(a_system(given, step(shell="echo done")))
    assert not result.ok
    assert re.search(why, result.reason, re.DOTALL), result.reason
    assert len(result.steps) <= 1, "nothing is run after a failure"


def test_a_step_that_never_ends_is_stopped_when_its_time_is_up() -> None:
    result = ran(a_system(step(shell="echo done; sleep 300"), timeout_seconds=1))
    assert "still running when its time was up" in result.reason
    assert result.seconds < 15


def test_what_a_step_leaves_behind_cannot_keep_it_waiting() -> None:
    result = ran(a_system(step(shell="sleep 300 &\necho done"), timeout_seconds=60))
    assert result.ok, result.reason
    assert result.seconds < 30


def test_a_server_is_started_with_its_ports_and_files_and_awaited() -> None:
    result = ran(a_system(READS_ITS_PAGE, run=HTTP_SERVER, serve=True))
    assert result.ok, result.reason
    assert result.ready_seconds is not None


def test_a_server_that_ends_at_once_fails_with_its_last_words() -> None:
    broken = {**HTTP_SERVER, "command": ["/bin/sh", "-c", "echo no licence; exit 7"]}
    result = ran(a_system(step(shell="echo done"), run=broken, serve=True))
    assert "ended with status 7: no licence" in result.reason
    assert result.steps == ()


def test_a_server_that_is_never_ready_fails() -> None:
    idle = {**HTTP_SERVER, "command": ["/bin/sh", "-c", "sleep 300"]}
    result = ran(a_system(step(shell="echo done"), run=idle, serve=True, timeout_seconds=1))
    assert "was not ready in time" in result.reason


def test_a_server_that_dies_while_it_is_used_fails_even_if_the_steps_hold() -> None:
    short = {**HTTP_SERVER, "command": ["/bin/sh", "-c", "sleep 0.3; exit 9"], "ready": None}
    result = ran(a_system(step(shell="sleep 5; echo done"), run=short, serve=True))
    assert "ended with status 9" in result.reason


def test_a_smoke_test_reaches_no_network_and_nothing_that_listens_on_this_machine() -> None:
    with socket.create_server(("127.0.0.1", 0)) as outside:
        port = outside.getsockname()[1]
        probe = f"""
import socket
reached = []
for place in (("127.0.0.1", {port}), ("192.0.2.1", 80), ("2001:db8::1", 80)):
    try:
        socket.create_connection(place, 2).close()
        reached.append(place)
    except OSError:
        pass
with socket.create_server(("127.0.0.1", 0)) as own:
    socket.create_connection(own.getsockname(), 2).close()
print("reached", reached)
"""
        result = ran(a_system(step(python=probe, expect=r"^reached \[\]$")))
        outside.settimeout(0)
        with pytest.raises(BlockingIOError):
            outside.accept()
    assert result.ok, result.reason


def test_a_smoke_test_writes_nowhere_but_into_its_scratch(tmp_path: Path) -> None:
    places = [tmp_path, Path(sys.prefix), project_root(), project_root() / "src", Path("/usr"), Path("/etc")]
    probe = f"""
import os
from pathlib import Path
wrote = []
for place in {[str(place) for place in places]!r}:
    try:
        Path(place, "ripple-wrote-this").write_text("x")
        wrote.append(place)
    except OSError:
        pass
Path("own").write_text("x")
print(os.getcwd() == os.environ["HOME"] == os.environ["WORK"], wrote)
"""
    result = ran(a_system(step(python=probe, expect=r"^True \[")), OWN)
    assert result.ok, result.reason
    assert [place for place in places if (place / "ripple-wrote-this").exists()] == []


def test_a_smoke_test_sees_nothing_of_the_operators_home_and_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "secret").write_text("of the operator")
    monkeypatch.setenv("OPERATORS_TOKEN", "of the operator")
    probe = f'if [ -e "{tmp_path}/secret" ] || env | grep OPERATORS_TOKEN; then echo seen; else echo done; fi'
    assert ran(a_system(step(shell=probe))).ok


def test_scripts_find_every_name_in_their_environment() -> None:
    probe = """
test -x "$PYTHON"; test -x "$NODE"; test -d "$TREE"; test -d "$OF_OPEN_BAO_2_TREE"
test "$BIN" = "$TREE/bin"; test "$VENV" = "$PYTHON"; test -d "$STATE"; test -d "$RUN"
case "$PATH" in "$BIN:$OF_OPEN_BAO_2_BIN:"*) echo done;; esac
"""
    result = ran(a_system(step(shell=probe)), OWN, {"open-bao.2": OWN})
    assert result.ok, result.reason


def test_the_files_of_a_smoke_test_are_templates_in_its_working_folder() -> None:
    files = {"conf/a.txt": "{ports.http} {{}} {work}"}
    probe = step(shell="cat conf/a.txt", expect=r"^\d+ \{\} /\S+$")
    assert ran(a_system(probe, files=files, run=HTTP_SERVER, serve=True)).ok
    outside = ran(a_system(step(shell="echo done"), files={"../../etc/x": "x"}))
    assert "lies outside" in outside.reason


def test_on_the_host_the_same_steps_run_and_what_they_leave_is_killed() -> None:
    left = step(shell="setsid sleep 300 &\necho $! > pid\ncat pid", expect=r"^\d+$")
    result = ran(a_system(left, isolation="host", why="to see the machine itself"))
    assert result.ok, result.reason
    assert start_ticks(int(result.steps[0].tail)) is None


def test_without_a_sandbox_nothing_is_run(tmp_path: Path) -> None:
    system = a_system(step(shell="echo done"))
    nowhere = Smoker(Sandbox(BubblewrapSandbox(tmp_path / "no-bwrap")))
    assert system.smoke is not None
    with pytest.raises(Refused, match="no isolation is available"):
        asyncio.run(nowhere.run(system, system.smoke, None, {}))


class Ending:
    """A sandbox in which every run ends in one way."""

    def __init__(self, result: SandboxResult) -> None:
        self.result = result

    async def rungs(self) -> tuple[str, ...]:
        return ("ending",)

    async def run(self, spec: SandboxSpec) -> SandboxResult:
        return self.result

    def wrap(self, spec: SandboxSpec, socket: Path, port: int) -> tuple[str, ...]:
        raise NotImplementedError


@pytest.mark.parametrize(
    ("result", "why"),
    [
        (
            SandboxResult(Outcome.MEMORY, None, WELL, b"", 1, 1, 1, "used more than 6144 MiB"),
            "used more than 6144",
        ),
        (SandboxResult(Outcome.TIMEOUT, None, b"", b"", 1, 1, 1, "still ran after 9 s"), "still ran after 9 s"),
        (SandboxResult(Outcome.EXITED, 1, b"", b"Traceback", 1, 1, 1, "exited with status 1"), "Traceback"),
        (SandboxResult(Outcome.EXITED, 0, b"all is well", b"", 1, 1, 1), "ended without a result: all is well"),
        (SandboxResult(Outcome.EXITED, 0, WELL[:-9], b"", 1, 1, 1), "ended without a result"),
    ],
)
def test_a_run_that_ends_without_a_whole_result_fails(result: SandboxResult, why: str) -> None:
    system = a_system(step(shell="echo done"))
    assert system.smoke is not None
    found = asyncio.run(Smoker(Sandbox(Ending(result))).run(system, system.smoke, None, {}))
    assert not found.ok
    assert why in found.reason


def test_nothing_of_a_run_is_left_in_the_temporary_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    result = ran(a_system(step(shell="mkdir closed; echo x > closed/x; chmod 0 closed; echo done")))
    assert result.ok, result.reason
    assert list(tmp_path.iterdir()) == []
