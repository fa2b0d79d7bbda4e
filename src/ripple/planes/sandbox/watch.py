"""What a sandbox uses now: tasks, memory and CPU time of its process tree, bytes under a folder (Linux /proc)."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_PAGE = os.sysconf("SC_PAGE_SIZE")
_TICKS = os.sysconf("SC_CLK_TCK")
_BLOCK = 512


@dataclass(frozen=True)
class Usage:
    """One sample. ``tasks`` counts threads; ``memory_bytes`` sums resident sets, so shared pages count twice."""

    tasks: int
    memory_bytes: int
    cpu_seconds: float
    pids: tuple[int, ...]


def sample(root: int, max_tasks: int) -> Usage:
    """The tree below ``root``, a sandbox's first process, which is no task itself; stops past ``max_tasks``."""
    tasks, memory, ticks, pids = 0, 0, 0, []
    for pid in _tree(root):
        found = _process(pid)
        if found is None:
            continue
        threads, resident, spent = found
        pids.append(pid)
        tasks += threads if pid != root else 0
        memory += resident
        ticks += spent
        if tasks > max_tasks:
            break
    return Usage(tasks, memory, ticks / _TICKS, tuple(pids))


def proportional_bytes(pids: tuple[int, ...]) -> int:
    """Memory of ``pids`` with shared pages counted once (PSS), plus files they hold in memory only."""
    return sum(_pss(pid) + _held(pid)[0] for pid in pids)


def held_bytes(pids: tuple[int, ...]) -> tuple[int, int]:
    """Bytes in nameless files that ``pids`` hold open: (memory files, deleted files of the worktree)."""
    held = [_held(pid) for pid in pids]
    return sum(memory for memory, _ in held), sum(disk for _, disk in held)


def tmpfs_bytes(root: int) -> int:
    """Memory in the private /tmp and /dev/shm of the sandbox whose first process is ``root``."""
    used = 0
    for inside in ("tmp", "dev/shm"):
        with contextlib.suppress(OSError):
            if Path(f"/proc/{root}/root").stat().st_dev == Path("/").stat().st_dev:
                return 0  # still being set up: its root is the host's
            found = os.statvfs(f"/proc/{root}/root/{inside}")
            used += (found.f_blocks - found.f_bfree) * found.f_frsize
    return used


def filters(pid: int | str) -> int:
    """How many seccomp filters hold process ``pid``; on kernels before 5.9 whether one does."""
    lines = dict(line.partition(b":\t")[::2] for line in _read(f"/proc/{pid}/status").splitlines())
    return int(lines.get(b"Seccomp_filters", lines.get(b"Seccomp", b"0") == b"2"))


def folder_bytes(folder: Path) -> int:
    """Disk blocks below ``folder``; links are not followed, a file with several names counts once."""
    used, waiting, seen = 0, [str(folder)], set()
    while waiting:
        with contextlib.suppress(OSError), os.scandir(waiting.pop()) as entries:
            for entry in entries:
                with contextlib.suppress(OSError):
                    status = entry.stat(follow_symlinks=False)
                    if status.st_ino not in seen:
                        used += status.st_blocks * _BLOCK
                    if status.st_nlink > 1:
                        seen.add(status.st_ino)
                    if entry.is_dir(follow_symlinks=False):
                        waiting.append(entry.path)
    return used


def free_bytes(folder: Path) -> int:
    """Bytes an unprivileged process may still write on the disk that holds ``folder``."""
    found = os.statvfs(folder)
    return found.f_bavail * found.f_frsize


def _tree(root: int) -> Iterator[int]:
    waiting = [root]
    while waiting:
        pid = waiting.pop()
        yield pid
        with contextlib.suppress(OSError):
            for task in os.listdir(f"/proc/{pid}/task"):  # noqa: PTH208 (hot path)
                waiting += [int(child) for child in _read(f"/proc/{pid}/task/{task}/children").split()]


def _process(pid: int) -> tuple[int, int, int] | None:
    """Threads, resident bytes and CPU ticks (with its reaped children's) of a process; None once it is gone."""
    fields = _read(f"/proc/{pid}/stat").rpartition(b")")[2].split()
    if len(fields) < 22:
        return None
    return int(fields[17]), int(fields[21]) * _PAGE, sum(int(one) for one in fields[11:15])


def _pss(pid: int) -> int:
    for line in _read(f"/proc/{pid}/smaps_rollup").splitlines():
        if line.startswith(b"Pss:"):
            return int(line.split()[1]) * 1024
    found = _process(pid)
    return found[1] if found else 0


def _held(pid: int) -> tuple[int, int]:
    memory, disk = 0, 0
    with contextlib.suppress(OSError):
        for number in os.listdir(f"/proc/{pid}/fd"):  # noqa: PTH208
            name = f"/proc/{pid}/fd/{number}"
            with contextlib.suppress(OSError):
                target = os.readlink(name)  # noqa: PTH115
                if target.startswith("/memfd:"):
                    memory += Path(name).stat().st_blocks * _BLOCK
                elif target.endswith(" (deleted)") and target.startswith("/work/"):
                    disk += Path(name).stat().st_blocks * _BLOCK
    return memory, disk


def _read(path: str) -> bytes:
    try:
        with open(path, "rb", buffering=0) as file:  # noqa: PTH123
            return file.read(1 << 16) or b""
    except OSError:
        return b""
