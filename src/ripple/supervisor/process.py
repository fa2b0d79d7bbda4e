"""Processes as the kernel knows them: started in a group of their own, watched by pidfd, ended whole (Linux).

A pid alone says nothing after a restart: a process is the same one when its pid, its start time in the kernel's
clock and the machine's boot are.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import select
import signal
import subprocess
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import psutil

from ripple.model.paths import Home
from ripple.supervisor.journal import Started
from ripple.supervisor.places import MARK


@dataclass
class Process:
    """One running process. ``child`` is None for one that an earlier supervisor started."""

    pid: int
    mark: str
    pidfd: int
    child: subprocess.Popen[bytes] | None = None

    @property
    def gone(self) -> bool:
        """True once it has ended, whether or not anybody waited for it."""
        return bool(select.select([self.pidfd], [], [], 0)[0])

    def stop(self, number: int) -> None:
        """Ask its whole group to end."""
        if not self.gone:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, number)

    def kill(self) -> None:
        """End it, its group, and everything below it that left the group."""
        below: list[psutil.Process] = []
        with contextlib.suppress(psutil.Error):
            below = psutil.Process(self.pid).children(recursive=True)
        self.stop(signal.SIGKILL)
        for process in below:
            with contextlib.suppress(psutil.Error):
                process.kill()

    def bury(self) -> int | None:
        """After its end: kill what it left behind; returns the exit status, None when nobody can tell."""
        # Before it is waited for: until then neither its pid nor its group's id can belong to anybody else.
        if self.child is not None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, signal.SIGKILL)
        kill_marked(self.mark)
        os.close(self.pidfd)
        return self.child.wait() if self.child is not None else None

    def release(self) -> None:
        """Let it run on without us."""
        os.close(self.pidfd)
        if self.child is not None:
            # Popen would complain about a child nobody waited for: that is what is wanted here.
            self.child.returncode = 0


def spawn(command: Sequence[str], env: Mapping[str, str], cwd: Path, log: Path) -> Process:
    """Start ``command`` in a session of its own with its output appended to ``log``.

    Call it on the main thread: some programs are told to die with the thread that started them.

    Raises:
        OSError: the program cannot be executed.
    """
    output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        child = subprocess.Popen(
            command, env=dict(env), cwd=cwd, stdin=subprocess.DEVNULL, stdout=output, stderr=output,
            start_new_session=True, umask=0o022,
        )  # fmt: skip
    finally:
        os.close(output)
    return Process(child.pid, env.get(MARK, ""), os.pidfd_open(child.pid), child)


def adopt(record: Started) -> Process | None:
    """The process of a record if it still runs; one whose pid was not written down is found by its mark."""
    if record.boot != boot_id():
        return None
    pid, ticks = record.pid, record.ticks
    if pid is None:
        pid = next((found for found, mark in marked(record.mark) if _leads(found)), None)
        ticks = start_ticks(pid) if pid is not None else None
    if pid is None or ticks is None:
        return None
    try:
        pidfd = os.pidfd_open(pid)
    except OSError:
        return None
    if start_ticks(pid) != ticks:
        os.close(pidfd)
        return None
    return Process(pid, record.mark, pidfd)


def start_ticks(pid: int) -> int | None:
    """When the process started, in clock ticks since the machine's boot; None when it is gone or a zombie."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
    except OSError:
        return None
    return None if fields[0] in (b"Z", b"X") else int(fields[19])


@cache
def boot_id() -> str:
    """This boot of the machine."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def tag_of(home: Home) -> str:
    """What the marks of an instance begin with."""
    return hashlib.sha256(os.fsencode(home.root)).hexdigest()[:16]


def marked(mark: str) -> Iterator[tuple[int, str]]:
    """Every process whose mark is or begins with ``mark``, with its whole mark."""
    wanted = f"{MARK}={mark}".encode()
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit():
            continue
        with contextlib.suppress(OSError):
            for entry in (folder / "environ").read_bytes().split(b"\0"):
                if entry.startswith(wanted) and start_ticks(int(folder.name)) is not None:
                    yield int(folder.name), entry.partition(b"=")[2].decode(errors="replace")


def kill_marked(mark: str) -> int:
    """SIGKILL every process with this mark, until there is none; returns how many there were."""
    killed: set[int] = set()
    deadline = time.monotonic() + _KILLED_SECONDS
    while found := [pid for pid, _ in marked(mark) if pid != os.getpid()]:
        killed.update(found)
        for pid in found:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        if time.monotonic() > deadline:
            break
        time.sleep(0.005)
    return len(killed)


def end_all(records: Iterable[Started]) -> int:
    """Stop the processes of ``records`` one after the other, the youngest first; returns how many there were."""
    count = 0
    for record in sorted(records, key=lambda record: -record.began):
        process = adopt(record)
        if process is None:
            kill_marked(record.mark)
            continue
        count += 1
        process.stop(signal.Signals[f"SIG{record.stop_signal}"])
        if not select.select([process.pidfd], [], [], record.stop_seconds)[0]:
            process.kill()
            select.select([process.pidfd], [], [], _KILLED_SECONDS)
        process.bury()
    return count


def resident_bytes(roots: Mapping[str, int]) -> dict[str, int]:
    """The resident memory of each process tree by the name of its root; shared pages count once per process."""
    parents: dict[int, list[int]] = {}
    sizes: dict[int, int] = {}
    for process in psutil.process_iter(["ppid", "memory_info"]):
        memory = process.info["memory_info"]
        sizes[process.pid] = memory.rss if memory else 0
        parents.setdefault(process.info["ppid"] or 0, []).append(process.pid)
    return {name: _tree_bytes(root, parents, sizes) for name, root in roots.items()}


def held_bytes(home: Home) -> int:
    """The memory that an instance's processes would give back; what they share with files is not counted."""
    return sum(_private_bytes(pid) for pid, _ in marked(f"{tag_of(home)}."))


_KILLED_SECONDS = 5.0


def _tree_bytes(root: int, parents: Mapping[int, Sequence[int]], sizes: Mapping[int, int]) -> int:
    total, waiting = 0, [root]
    while waiting:
        pid = waiting.pop()
        total += sizes.get(pid, 0)
        waiting += parents.get(pid, ())
    return total


def _private_bytes(pid: int) -> int:
    with contextlib.suppress(OSError):
        lines = dict(line.partition(":")[::2] for line in Path(f"/proc/{pid}/status").read_text().splitlines())
        return sum(int(lines[name].split()[0]) * 1024 for name in ("RssAnon", "RssShmem") if name in lines)
    return 0


def _leads(pid: int) -> bool:
    """True for the first process of its session, which is the one that was started."""
    try:
        return os.getsid(pid) == pid
    except OSError:
        return False
