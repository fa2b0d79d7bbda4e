"""One sandboxed run from start to end, on a thread of its own: feed, drain, watch, stop.

- bwrap waits until the limits are set on the sandbox's first process, so that everything inside inherits them.
- The command waits for a line on its input, which is sent once that process is bound to die with this one. Killed
  before, this process leaves a sandbox that reads the end of its input and ends, or in the worst microsecond a
  bwrap that sleeps before its first step; never a command without limits or without a watcher.
- Killing that first process kills the whole process namespace, whatever it ignores.
- The first limit breached names the outcome.
"""

from __future__ import annotations

import contextlib
import json
import os
import resource
import selectors
import signal
import subprocess
import threading
import time
from collections.abc import Sequence
from typing import IO

from ripple.planes.sandbox import Outcome, SandboxResult, SandboxSpec, watch
from ripple.planes.sandbox.launch import cap

_CHUNK = 1 << 16
_FAST_SECONDS, _SLOW_SECONDS = 0.02, 0.05
_DISK_SECONDS = 0.2
_FULL_BYTES = 256 << 10
_OPEN_FILES = 4096
_SETUP_SECONDS = 20.0
_BIND_SECONDS = 0.001
_LAST_SECONDS = 5.0
_GATE = ("/bin/sh", "-c", 'read -r go && exec "$@"', "sh")
"""Reads byte by byte to the end of the line and becomes the command, whose input is what follows."""


def execute(
    binary: str, arguments: Sequence[str], spec: SandboxSpec, program: bytes, stop: threading.Event
) -> SandboxResult:
    """Run ``spec`` under bwrap with ``arguments`` and the seccomp ``program``; ``stop`` ends it early.

    Blocks its thread: bwrap dies with the thread that started it, so the thread must outlive the run.
    """
    run = _Run(spec, stop)
    try:
        run.start(binary, arguments, program)
        run.loop()
    finally:
        run.close()
    return run.result()


class _Run:
    """The state of one run."""

    def __init__(self, spec: SandboxSpec, stop: threading.Event) -> None:
        self.spec, self.limits, self.stop = spec, spec.limits, stop
        self.began = time.monotonic()
        self.outcome: Outcome | None = None
        self.reason = ""
        self.output: dict[int, bytearray] = {}
        self.printed = 0
        self.peak = 0
        self.cpu = 0.0
        self.unsent = memoryview(b"\n" + spec.stdin)
        self.filters, self.bound = 0, False
        self.selector = selectors.DefaultSelector()
        self.first: int | None = None
        self.exit_code: int | None = None
        self.status = b""
        self.held = 0
        self.pids: tuple[int, ...] = ()
        self.disk_before = watch.folder_bytes(spec.worktree) if spec.writable else 0
        self.disk_due, self.disk_was_full = 0.0, False

    def start(self, binary: str, arguments: Sequence[str], program: bytes) -> None:
        """Start bwrap, wait for the sandbox's first process, set its limits, let it go on."""
        given = [_sealed_file(b"\0".join(os.fsencode(one) for one in arguments) + b"\0")]
        words = [binary, "--args", str(given[0])]
        if program:
            self.filters = watch.filters("self") + 1
            given.append(_sealed_file(program))
            words += ["--seccomp", str(given[1])]
        self.told, tell = os.pipe()
        wait, go = os.pipe()
        words += ["--json-status-fd", str(tell), "--block-fd", str(wait), "--", *_GATE, *self.spec.command]
        try:
            self.bwrap = subprocess.Popen(
                words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                pass_fds=(*given, tell, wait), env={}, cwd="/", start_new_session=True, bufsize=0,
            )  # fmt: skip
        finally:
            for number in (*given, tell, wait):
                os.close(number)
        try:
            self.first = self._first_process()
            if self.first is not None:
                self._hold(self.first)
                os.write(go, b"1")
        except (ProcessLookupError, BrokenPipeError):
            self.first = None  # it could not be set up and has ended; bwrap says why
        finally:
            if self.first is None:
                # Let go now, a late bwrap would run the command without limits and without a watcher.
                self._kill()
            os.close(go)

    def loop(self) -> None:
        """Until bwrap has ended: move bytes, sample, and stop it at the first breach."""
        self._register()
        next_sample = 0.0
        while not self._ended():
            now = time.monotonic()
            if now >= next_sample:
                self._sample(now)
                next_sample = now + (_FAST_SECONDS if now - self.began < 1 else _SLOW_SECONDS)
            pause = next_sample - time.monotonic()
            if not self.bound:
                self._release()
                pause = min(pause, _BIND_SECONDS)
            for key, _ in self.selector.select(max(0.0, pause)):
                self._move(key)
        self._drain()

    def result(self) -> SandboxResult:
        """The result, once :meth:`close` has been called."""
        code, outcome, reason = self.exit_code, self.outcome, self.reason
        if outcome is None:
            outcome, reason = self._verdict()
        out, err = (bytes(self.output.get(stream, b"")) for stream in (1, 2))
        return SandboxResult(
            outcome, code if outcome is Outcome.EXITED else None, out, err,
            time.monotonic() - self.began, self.cpu, self.peak, reason,
        )  # fmt: skip

    def close(self) -> None:
        """Leave no process and no descriptor behind."""
        if hasattr(self, "bwrap"):
            self._kill()
            self._reap()
            for pipe in (self.bwrap.stdin, self.bwrap.stdout, self.bwrap.stderr):
                if pipe is not None:
                    with contextlib.suppress(OSError):
                        pipe.close()
        if hasattr(self, "gone"):
            self._wait_gone()
            os.close(self.gone)
        if hasattr(self, "told"):
            os.close(self.told)
        self.selector.close()

    def _first_process(self) -> int | None:
        """The sandbox's first process, as bwrap tells it; None when bwrap gave up."""
        with selectors.DefaultSelector() as waiting:
            waiting.register(self.told, selectors.EVENT_READ)
            deadline = time.monotonic() + _SETUP_SECONDS
            while b"\n" not in self.status:
                if not waiting.select(max(0.0, deadline - time.monotonic())):
                    self._breach(Outcome.FAILED, f"the sandbox was not set up within {_SETUP_SECONDS:g} s")
                    return None
                data = os.read(self.told, _CHUNK)
                if not data:
                    return None
                self.status += data
        return int(json.loads(self.status.splitlines()[0])["child-pid"])

    def _hold(self, pid: int) -> None:
        """Be able to end ``pid``, and limit it and all it will start.

        Raises:
            ProcessLookupError: it is gone.
        """
        self.gone = os.pidfd_open(pid)
        # Only a backstop: the watcher names the breach, this keeps a fast bomb small until then.
        processes = self.limits.processes * 2 + 32
        if os.geteuid() == 0:
            cap(pid, processes)
        wanted = {
            resource.RLIMIT_CPU: int(self.limits.cpu_seconds) + 2,
            resource.RLIMIT_FSIZE: self.limits.disk_bytes + (1 << 20),
            resource.RLIMIT_NOFILE: _OPEN_FILES,
            resource.RLIMIT_CORE: 0,
            resource.RLIMIT_NPROC: processes,
        }
        for kind, value in wanted.items():
            hard = resource.prlimit(pid, kind)[1]
            value = value if hard == resource.RLIM_INFINITY else min(value, hard)
            resource.prlimit(pid, kind, (value, value))
        with contextlib.suppress(OSError), open(f"/proc/{pid}/oom_score_adj", "w") as file:  # noqa: PTH123
            file.write("500")

    def _register(self) -> None:
        streams: tuple[tuple[int, IO[bytes] | None], ...] = ((1, self.bwrap.stdout), (2, self.bwrap.stderr))
        for number, pipe in streams:
            assert pipe is not None
            os.set_blocking(pipe.fileno(), False)
            self.output[number] = bytearray()
            self.selector.register(pipe, selectors.EVENT_READ, number)
        self.exited = os.pidfd_open(self.bwrap.pid)
        self.selector.register(self.exited, selectors.EVENT_READ, None)

    def _release(self) -> None:
        """Let the command begin once the sandbox is bound to this process: bwrap takes its filter just after."""
        if self.first is None or watch.filters(self.first) < self.filters:
            return
        assert self.bwrap.stdin is not None
        os.set_blocking(self.bwrap.stdin.fileno(), False)
        self.selector.register(self.bwrap.stdin, selectors.EVENT_WRITE, 0)
        self.bound = True

    def _ended(self) -> bool:
        if self.bwrap.returncode is None:
            pid, status, used = os.wait4(self.bwrap.pid, os.WNOHANG)
            if pid:
                self._ended_with(status, used)
        return self.bwrap.returncode is not None

    def _ended_with(self, status: int, used: resource.struct_rusage) -> None:
        self.bwrap.returncode = os.waitstatus_to_exitcode(status)
        self.cpu = max(self.cpu, used.ru_utime + used.ru_stime)
        with contextlib.suppress(OSError, ValueError):
            os.set_blocking(self.told, False)
            self.status += os.read(self.told, _CHUNK)
        for line in self.status.splitlines():
            with contextlib.suppress(ValueError):
                self.exit_code = json.loads(line).get("exit-code", self.exit_code)

    def _move(self, key: selectors.SelectorKey) -> None:
        """One ready pipe: input goes in, output is kept up to the limit and counted beyond it."""
        if key.data is None:
            return
        if key.data == 0:
            self._feed()
            return
        try:
            data = os.read(key.fd, _CHUNK)
        except BlockingIOError:
            return
        if not data:
            self.selector.unregister(key.fileobj)
            return
        room = max(0, self.limits.output_bytes - self.printed)
        self.printed += len(data)
        self.output[key.data] += data[:room]
        if self.printed > self.limits.output_bytes:
            self._breach(Outcome.OUTPUT, f"printed more than {_size(self.limits.output_bytes)}")

    def _feed(self) -> None:
        assert self.bwrap.stdin is not None
        try:
            sent = os.write(self.bwrap.stdin.fileno(), self.unsent[:_CHUNK]) if self.unsent else 0
            self.unsent = self.unsent[sent:]
        except BlockingIOError:
            return
        except BrokenPipeError:
            self.unsent = memoryview(b"")
        if not self.unsent:
            self.selector.unregister(self.bwrap.stdin)
            self.bwrap.stdin.close()

    def _sample(self, now: float) -> None:
        if self.stop.is_set():
            self._breach(Outcome.FAILED, "was cancelled")
        if now - self.began > self.limits.wall_seconds:
            self._breach(Outcome.TIMEOUT, f"still ran after {self.limits.wall_seconds:g} s")
        if self.first is None:
            return
        used = watch.sample(self.first, self.limits.processes)
        self.pids = used.pids
        self.cpu = max(self.cpu, used.cpu_seconds)
        if used.tasks > self.limits.processes:
            self._breach(Outcome.PROCESSES, f"ran more than {self.limits.processes} processes and threads")
        elif self.cpu > self.limits.cpu_seconds:
            self._breach(Outcome.CPU, f"used more than {self.limits.cpu_seconds:g} s of CPU time")
        else:
            self._sample_memory(used)
        if now >= self.disk_due:
            self._sample_disk()

    def _sample_memory(self, used: watch.Usage) -> None:
        memory = used.memory_bytes + watch.tmpfs_bytes(self.first or 0) + self.held
        if memory > self.limits.memory_bytes:
            # Forked workers share most of their pages; the exact count is slow, so only a suspect is counted so.
            memory = watch.proportional_bytes(used.pids) + watch.tmpfs_bytes(self.first or 0)
        self.peak = max(self.peak, memory)
        if memory > self.limits.memory_bytes:
            self._breach(Outcome.MEMORY, f"used more than {_size(self.limits.memory_bytes)} of memory")

    def _sample_disk(self) -> None:
        began = time.thread_time()  # not the clock: a machine that stalls must not keep us from looking again
        in_memory, on_disk = watch.held_bytes(self.pids)
        self.held = in_memory
        if self.spec.writable:
            grown = watch.folder_bytes(self.spec.worktree) - self.disk_before + on_disk
            self.disk_was_full = self.disk_was_full or watch.free_bytes(self.spec.worktree) < _FULL_BYTES
            if grown > self.limits.disk_bytes:
                self._breach(Outcome.DISK, f"wrote more than {_size(self.limits.disk_bytes)} to the worktree")
        self.disk_due = time.monotonic() + max(_DISK_SECONDS, 20 * (time.thread_time() - began))

    def _breach(self, outcome: Outcome, reason: str) -> None:
        if self.outcome is None:
            self.outcome, self.reason = outcome, reason
        self._kill()

    def _kill(self) -> None:
        """End the whole process namespace; without one, bwrap itself and what it has begun."""
        with contextlib.suppress(ProcessLookupError):
            if hasattr(self, "gone"):
                signal.pidfd_send_signal(self.gone, signal.SIGKILL)
            elif self.bwrap.returncode is None:
                os.killpg(self.bwrap.pid, signal.SIGKILL)

    def _reap(self) -> None:
        """Wait for bwrap; it ends as soon as the sandbox's first process is gone."""
        deadline = time.monotonic() + _LAST_SECONDS
        while not self._ended():
            if time.monotonic() > deadline:
                os.kill(self.bwrap.pid, signal.SIGKILL)
                deadline += _LAST_SECONDS
            time.sleep(0.002)

    def _wait_gone(self) -> None:
        with selectors.DefaultSelector() as waiting:
            waiting.register(self.gone, selectors.EVENT_READ)
            waiting.select(_LAST_SECONDS)

    def _drain(self) -> None:
        """What is still in the pipes. Nobody writes any more: the last process died with bwrap."""
        self.selector.unregister(self.exited)
        os.close(self.exited)
        assert self.bwrap.stdin is not None
        if self.bound and not self.bwrap.stdin.closed:
            self.selector.unregister(self.bwrap.stdin)
        deadline = time.monotonic() + _LAST_SECONDS
        while time.monotonic() < deadline and self.selector.get_map():
            for key, _ in self.selector.select(0.1):
                self._move(key)
        if self.outcome is None:
            self._sample_disk()

    def _verdict(self) -> tuple[Outcome, str]:
        """The outcome of a run that no watcher stopped."""
        if self.exit_code is None:
            said = bytes(self.output.get(2, b""))[-400:].decode(errors="replace").strip()
            return Outcome.FAILED, f"the sandbox could not be set up: {said or self.bwrap.returncode}"
        if self.exit_code == 0:
            return Outcome.EXITED, ""
        if self.exit_code == 128 + signal.SIGXCPU or self.cpu > self.limits.cpu_seconds:
            return Outcome.CPU, f"used more than {self.limits.cpu_seconds:g} s of CPU time"
        if self.disk_was_full:
            return Outcome.DISK, f"exited with status {self.exit_code} on a full disk"
        if self.exit_code == 128 + signal.SIGXFSZ:
            return Outcome.DISK, f"wrote a file larger than {_size(self.limits.disk_bytes)}"
        return Outcome.EXITED, f"exited with status {self.exit_code}"


def _sealed_file(data: bytes) -> int:
    number = os.memfd_create("ripple-sandbox")
    os.write(number, data)
    os.lseek(number, 0, os.SEEK_SET)
    return number


def _size(count: int) -> str:
    return f"{count / (1 << 20):.4g} MiB"
