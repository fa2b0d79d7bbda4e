"""Becomes bwrap for a service: ``launch.py PROCESSES FILTER BWRAP ARGUMENT...``. Standard library only.

- bwrap dies of SIGTERM and takes the service with it at once; here it starts with SIGTERM and SIGINT ignored, so a
  stop sent to the process group reaches only the relay inside, which lets the service end by itself.
- The seccomp filter (base64, may be empty) needs a descriptor, which an argument list cannot carry.
- RLIMIT_NPROC does not bind the machine's own root user, in whatever namespace (kernel/fork.c): there a pids
  control group caps the processes, so that a fork bomb cannot take the machine's last process number.
"""

import base64
import contextlib
import os
import signal
import sys

_GROUPS = "/sys/fs/cgroup"
_MARK = "ripple-sandbox-"
_ATTEMPTS = 5


def cap(pid: int, processes: int) -> bool:
    """Hold ``pid`` and all it will start to ``processes`` tasks; False where no pids control group can be made.

    The group outlives its last process; the next call removes it.
    """
    parent = _parent()
    for attempt in range(_ATTEMPTS if parent else 0):
        group = f"{parent}/{_MARK}{pid}-{attempt}"
        with contextlib.suppress(OSError):
            _sweep(parent)
            os.mkdir(group)  # noqa: PTH102 (pathlib would double the start-up time)
            _write(f"{group}/pids.max", processes)
            _write(f"{group}/cgroup.procs", pid)
            return True
    return False


def _parent() -> str:
    """Where a pids group can be made beside or below this process's own; empty when nowhere."""
    with contextlib.suppress(OSError), open("/proc/self/cgroup") as file:  # noqa: PTH123
        lines = [line.strip().split(":", 2) for line in file]
        own = {controllers: path.rstrip("/") for _, controllers, path in lines}
        for controllers, path in own.items():
            if "pids" in controllers.split(",") and os.access(f"{_GROUPS}/pids{path}", os.W_OK):
                return f"{_GROUPS}/pids{path}"
        path = own.get("", "")
        while True:
            here = _GROUPS + path
            with contextlib.suppress(OSError), open(f"{here}/cgroup.subtree_control") as enabled:  # noqa: PTH123
                if "pids" in enabled.read().split() and os.access(here, os.W_OK):
                    return here
            if not path:
                break
            path = path.rpartition("/")[0]
    return ""


def _sweep(parent: str) -> None:
    """Remove the groups of ended sandboxes; one that is in use refuses."""
    for name in os.listdir(parent):  # noqa: PTH208
        if name.startswith(_MARK):
            with contextlib.suppress(OSError):
                os.rmdir(f"{parent}/{name}")  # noqa: PTH106


def _write(path: str, value: int) -> None:
    with open(path, "w") as file:  # noqa: PTH123
        file.write(str(value))


def main(words: list[str]) -> None:
    """Replace this process by bwrap."""
    processes, program, binary, arguments = int(words[0]), base64.b64decode(words[1]), words[2], words[3:]
    if os.geteuid() == 0:
        cap(os.getpid(), processes)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    options = []
    if program:
        file = os.memfd_create("ripple-filter", 0)
        os.write(file, program)
        os.lseek(file, 0, os.SEEK_SET)
        options = ["--seccomp", str(file)]
    os.execv(binary, [binary, *options, *arguments])  # noqa: S606 (no shell on purpose)


if __name__ == "__main__":
    main(sys.argv[1:])
