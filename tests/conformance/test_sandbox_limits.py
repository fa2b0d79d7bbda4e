"""The sandbox plane for real: what a command may use up, what it leaves behind, and when nothing is run at all."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from tests.conformance.sandboxes import LIMITS, SANDBOX, SLEEPER, alive, gone, marker, python, ran, run, said, spec

from ripple.model.errors import Invalid, Refused
from ripple.planes.sandbox import Outcome, Sandbox, SandboxSpec, execution, launch
from ripple.planes.sandbox.bubblewrap import BubblewrapSandbox
from ripple.planes.sandbox.watch import Usage

pytestmark = pytest.mark.skipif(
    run(SANDBOX.rungs()) == (), reason="not run: no isolation on this machine; allow unprivileged user namespaces"
)
SOURCE = Path(__file__).resolve().parents[2] / "src"


@pytest.fixture
def work(tmp_path: Path) -> Path:
    folder = tmp_path / "work"
    folder.mkdir()
    return folder


def test_cpu_time_is_limited_over_all_processes(work: Path) -> None:
    loops = "import os\nfor _ in range(2): os.fork()\nwhile True: pass"
    result = ran(python(work, loops, limits={"cpu_seconds": 0.5}))
    assert (result.outcome, result.exit_code) == (Outcome.CPU, None)
    assert result.cpu_seconds >= 0.5


def test_wall_time_is_limited_even_for_a_command_that_ignores_every_signal(work: Path) -> None:
    mark = marker()
    code = """
        import signal, sys, time
        for number in set(signal.Signals) - {signal.SIGKILL, signal.SIGSTOP}:
            signal.signal(number, signal.SIG_IGN)
        print("ready", flush=True)
        while True: time.sleep(1)
    """
    result = ran(python(work, code, mark, limits={"wall_seconds": 5}))
    assert (result.outcome, result.stdout) == (Outcome.TIMEOUT, b"ready\n")
    assert result.duration_seconds < 20
    assert alive(mark) == []


@pytest.mark.parametrize(
    "code",
    [
        "x = bytearray(200 << 20); import time; time.sleep(5)",
        """
        import os, time
        for _ in range(5):
            if os.fork() == 0: break
        x = bytearray(os.urandom(1 << 20) * 24); time.sleep(5)
        """,
        """
        import time
        for number in range(100):
            open(("/tmp/", "/dev/shm/")[number % 2] + str(number), "wb").write(b"x" * (1 << 20))
        time.sleep(5)
        """,
        """
        import os, time
        for number in range(100): os.write(os.memfd_create("x"), b"x" * (1 << 20))
        time.sleep(5)
        """,
    ],
    ids=["one process", "forked children", "scratch folders", "memory files"],
)
def test_memory_is_limited_wherever_it_lies(work: Path, code: str) -> None:
    result = ran(python(work, code, limits={"memory_bytes": 80 << 20, "disk_bytes": 64 << 20}))
    assert (result.outcome, result.exit_code) == (Outcome.MEMORY, None)
    assert "80 MiB" in result.reason


def test_forked_workers_that_share_their_memory_are_counted_once(work: Path) -> None:
    code = """
        import os, time
        x = bytearray(40 << 20)
        children = [os.fork() for _ in range(1)]
        time.sleep(0.3)
    """
    assert ran(python(work, code, limits={"memory_bytes": 80 << 20})).ok


def test_a_fork_bomb_is_stopped_and_leaves_nothing(work: Path) -> None:
    mark = marker()
    result = ran(python(work, "import os\nwhile True:\n try: os.fork()\n except OSError: pass", mark))
    assert result.outcome is Outcome.PROCESSES
    assert alive(mark) == []


def test_a_bomb_stays_small_even_while_nobody_looks(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if os.geteuid() == 0 and not launch._parent():
        pytest.skip("not run: root without a pids control group to write; RLIMIT_NPROC does not bind root")
    monkeypatch.setattr("ripple.planes.sandbox.watch.sample", lambda root, most: Usage(0, 0, 0.0, ()))
    code = """
        import os, time
        children = 0
        try:
            while children < 400:
                if os.fork() == 0:
                    time.sleep(20)
                children += 1
        except OSError:
            pass
        print(children, flush=True)
    """
    assert 20 <= int(said(python(work, code, limits={"processes": 20}))) <= 20 * 2 + 32


def test_the_groups_of_ended_sandboxes_are_removed(work: Path) -> None:
    if os.geteuid() != 0 or not launch._parent():
        pytest.skip("not run: only root holds sandboxes in control groups")
    ended = Path(launch._parent()) / f"{launch._MARK}{marker()}"
    ended.mkdir()
    said(spec(work, "true"))
    assert not ended.exists()


def test_threads_count_as_processes(work: Path) -> None:
    code = "import threading, time\nfor _ in range(30): threading.Thread(target=time.sleep, args=(5,)).start()"
    assert ran(python(work, code, limits={"processes": 10})).outcome is Outcome.PROCESSES


@pytest.mark.parametrize("stream", [1, 2])
def test_a_flood_of_output_is_cut_at_the_limit(work: Path, stream: int) -> None:
    result = ran(spec(work, "sh", "-c", f"head -c 10000000 /dev/zero >&{stream}", limits={"output_bytes": 1000}))
    assert result.outcome is Outcome.OUTPUT
    assert len(result.stdout + result.stderr) == 1000


@pytest.mark.parametrize(
    "code",
    [
        """
        for number in range(40): open(f"/work/{number}", "wb").write(b"x" * (1 << 20))
        import time; time.sleep(5)
        """,
        """
        import os, time
        held = []
        for number in range(40):
            held.append(open("/work/x", "wb", buffering=0))
            held[-1].write(b"x" * (1 << 20))
            os.unlink("/work/x")
        time.sleep(5)
        """,
    ],
    ids=["many files", "deleted files that are still open"],
)
def test_the_worktree_may_only_grow_so_far(work: Path, code: str) -> None:
    result = ran(python(work, code, limits={"disk_bytes": 4 << 20}))
    assert (result.outcome, result.exit_code) == (Outcome.DISK, None)


def test_one_file_may_only_grow_so_far(work: Path) -> None:
    result = ran(spec(work, "sh", "-c", "exec head -c 50000000 /dev/zero > big", limits={"disk_bytes": 4 << 20}))
    assert result.outcome is Outcome.DISK
    assert (work / "big").stat().st_size <= 5 << 20


def test_a_file_full_of_nothing_is_no_growth(work: Path) -> None:
    assert ran(python(work, "open('/work/x', 'wb').truncate(4 << 20)", limits={"disk_bytes": 4 << 20})).ok


FULL = f"""
import asyncio, dataclasses, json, pathlib, subprocess, sys
sys.path.insert(0, {str(SOURCE)!r})
from ripple.planes.sandbox import Sandbox, SandboxSpec
from ripple.planes.sandbox.bubblewrap import BubblewrapSandbox
from ripple.planes.sandbox.watch import Usage
folder = pathlib.Path(sys.argv[1])
if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(folder)]).returncode:
    sys.exit(77)
command = ("sh", "-c", "head -c 9000000 /dev/zero > /work/x || exit 9")
result = asyncio.run(Sandbox(BubblewrapSandbox()).run(SandboxSpec(command, folder)))
print(json.dumps([result.outcome, result.reason]))
"""


def test_a_full_disk_is_told_from_a_failing_command(work: Path) -> None:
    own = ["unshare", "--mount"] if os.getuid() == 0 else ["unshare", "--map-root-user", "--mount"]
    done = subprocess.run([*own, sys.executable, "-c", FULL, str(work)], capture_output=True, timeout=30)
    if done.returncode in (1, 77) and (b"unshare" in done.stderr or b"mount" in done.stderr):
        pytest.skip("not run: this user may not mount a small disk of its own")
    outcome, reason = json.loads(done.stdout or "[]") or (None, done.stderr.decode())
    assert (outcome, reason) == ("disk", "exited with status 9 on a full disk")


def test_daemons_that_leave_their_session_end_with_the_run(work: Path) -> None:
    mark = marker()
    code = f"""
        import os, sys, time
        for _ in range(3):
            if os.fork() == 0:
                os.setsid()
                if os.fork() == 0:
                    os.closerange(0, 3)
                    os.execvp("python3", ["python3", "-I", "-S", "-c", {SLEEPER!r}, sys.argv[1]])
                os._exit(0)
            os.wait()
        print("left", flush=True)
    """
    assert said(python(work, code, mark)) == "left"
    assert alive(mark) == []


def test_a_cancelled_run_leaves_no_process(work: Path) -> None:
    mark = marker()

    async def main() -> list[int]:
        task = asyncio.create_task(SANDBOX.run(python(work, SLEEPER, mark)))
        while not alive(mark):
            await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return alive(mark)

    assert run(main()) == []


ASK = f"""
import asyncio, os, pathlib, sys, time
sys.path[:0] = [{str(SOURCE)!r}, {str(SOURCE.parent)!r}]
from ripple.planes.sandbox.bubblewrap import BubblewrapSandbox
from ripple.planes.sandbox.watch import Usage
from tests.conformance.sandboxes import SLEEPER, alive, marker, python
folder = pathlib.Path(sys.argv[1])
for number in range(int(sys.argv[2])):
    mark = marker()
    asking = os.fork()
    if asking == 0:
        asyncio.run(BubblewrapSandbox().run(python(folder, SLEEPER, mark)))
        os._exit(0)
    while not alive(mark):
        time.sleep(0.0005)
    time.sleep(number * 0.001)
    os.kill(asking, 9)
    os.waitpid(asking, 0)
    print(mark, flush=True)
"""


def test_a_run_dies_with_the_process_that_asked_for_it_whenever_that_is_killed(work: Path) -> None:
    asked = subprocess.run(
        [sys.executable, "-c", ASK, str(work), "24"], capture_output=True, text=True, timeout=150, check=True
    )
    marks = asked.stdout.split()
    assert len(marks) == 24
    for mark in marks:
        assert gone(mark, named="python3")
        assert gone(mark, named="/bin/sh")
        # What bwrap leaves in its worst microsecond sleeps before it has done anything.
        for pid in alive(mark):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def test_runs_leave_no_descriptor_behind(work: Path) -> None:
    def opened() -> int:
        return len(list(Path("/proc/self/fd").iterdir()))

    ran(spec(work, "true"))
    before = opened()
    for _ in range(5):
        ran(spec(work, "true"))
        ran(spec(work, "sleep", "9", limits={"wall_seconds": 0.05}))
    assert opened() <= before


def test_a_rung_that_is_not_there_refuses_and_runs_nothing(work: Path) -> None:
    with pytest.raises(Refused, match=r"'microvm' is not available .* offers: bubblewrap"):
        ran(spec(work, "touch", "made", rung="microvm"))
    assert list(work.iterdir()) == []
    assert ran(spec(work, "true", rung="bubblewrap")).ok


@pytest.mark.parametrize(
    "script",
    ["exit 1", "sleep 30", 'while [ "$1" != -- ]; do shift; done; shift; exec "$@"'],
    ids=["fails", "hangs", "isolates nothing"],
)
def test_a_sandbox_that_isolates_nothing_is_no_rung(
    work: Path, script: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(execution, "_SETUP_SECONDS", 0.5)
    sandbox = Sandbox(BubblewrapSandbox(pretender(work.parent, script)))
    with pytest.raises(Refused, match="no isolation is available"):
        run(sandbox.run(spec(work, "touch", "made")))
    assert list(work.iterdir()) == []


def pretender(folder: Path, script: str) -> Path:
    """A program in bwrap's place."""
    program = folder / "bwrap"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o700)
    return program


def test_a_sandbox_that_comes_up_too_late_never_runs_the_command_without_its_limits(
    work: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(execution, "_SETUP_SECONDS", 0.2)
    late = BubblewrapSandbox(pretender(work.parent, f'sleep 30; exec {BubblewrapSandbox()._binary} "$@"'))
    result = run(late.run(spec(work, "touch", "made")))
    assert result.outcome is Outcome.FAILED
    assert result.duration_seconds < LIMITS.wall_seconds, "it is ended, not waited for"
    assert list(work.iterdir()) == []


def test_a_missing_binary_is_refused(work: Path) -> None:
    sandbox = Sandbox(BubblewrapSandbox(work / "no-bwrap"))
    with pytest.raises(Refused):
        run(sandbox.run(spec(work, "true")))


@pytest.mark.parametrize(
    "wrong",
    [
        {"command": ()},
        {"command": ("a\0b",)},
        {"env": {"A=B": "x"}},
        {"env": {"": "x"}},
        {"env": {"A.B": "x"}},
        {"env": {"A": "x\0y"}},
        {"working_dir": "/work\0"},
        {"worktree": Path("/no/such/folder")},
        {"read_only": ((Path("/usr"), "relative"),)},
        {"read_only": ((Path("/usr"), "/opt/../etc"),)},
        {"read_only": ((Path("/no/such"), "/opt/x"),)},
    ],
    ids=str,
)
def test_an_unusable_spec_is_invalid(work: Path, wrong: dict[str, Any]) -> None:
    given: dict[str, Any] = {"command": ("true",), "worktree": work, "limits": LIMITS, **wrong}
    with pytest.raises(Invalid):
        ran(SandboxSpec(**given))
