"""Inside a sandbox: start a service and carry a unix socket's connections to its TCP port. Standard library only.

``relay.py --socket PATH --port N [--memory BYTES --processes N --file-size BYTES] -- COMMAND...``

- The command gets ``PORT=N`` and a session of its own; the relay ends with the command's exit status.
- SIGTERM and SIGINT are passed on as SIGTERM to the command's process group.
- Each direction of a connection is closed by itself, after what was read before has been written.
- All processes together stay below ``--memory``, looked at every quarter of a second; each one by RLIMIT_DATA too.
"""

import contextlib
import os
import resource
import select
import signal
import socket
import sys
import time

CHUNK = 1 << 17
HIGH = 1 << 18
LOOK_SECONDS = 0.25
PAGE = os.sysconf("SC_PAGE_SIZE")
IN, OUT, GONE = select.EPOLLIN, select.EPOLLOUT, select.EPOLLHUP | select.EPOLLERR


class End:
    """One end of a connection, with what still has to be written to it."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock, self.number = sock, sock.fileno()
        self.peer: End = self
        self.out = bytearray()
        self.mask = 0
        self.connecting = self.finished_reading = self.finish_writing = self.dead = False


class Relay:
    """All connections of one service, on one thread."""

    def __init__(self, path: str, port: int) -> None:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)  # noqa: PTH108 (pathlib would double the start-up time)
        self.port = port
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(path)
        self.listener.listen(512)
        self.listener.setblocking(False)
        self.epoll = select.epoll()
        self.epoll.register(self.listener, IN)
        self.ends: dict[int, End] = {}

    def turn(self, timeout: float) -> None:
        """Wait for events at most ``timeout`` seconds and handle them."""
        for number, event in self.epoll.poll(timeout):
            if number == self.listener.fileno():
                self.accept()
                continue
            end = self.ends.get(number)
            if end is None:
                continue
            try:
                self.handle(end, event)
            except OSError:
                self.drop(end)

    def accept(self) -> None:
        """Take the connections that wait; with no descriptor left they stay in the queue a little."""
        for _ in range(64):
            try:
                client, _ = self.listener.accept()
            except BlockingIOError:
                return
            except OSError:
                time.sleep(0.01)
                return
            try:
                server = socket.socket(socket.AF_INET)
            except OSError:
                client.close()
                return
            self.join(client, server)

    def join(self, client: socket.socket, server: socket.socket) -> None:
        """Pair a client with a new connection to the service."""
        client.setblocking(False)
        server.setblocking(False)
        server.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        near, far = End(client), End(server)
        near.peer, far.peer = far, near
        self.ends[near.number], self.ends[far.number] = near, far
        try:
            server.connect(("127.0.0.1", self.port))
        except BlockingIOError:
            far.connecting = True
        except OSError:
            self.drop(near)
            return
        self.watch(near)
        self.watch(far)

    def handle(self, end: End, event: int) -> None:
        """One ready end."""
        if end.connecting:
            failed = end.sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            if failed:
                raise OSError(failed, "the service does not listen")
            end.connecting = False
            event |= OUT
        if event & OUT and not end.dead:
            self.write(end)
        if event & (IN | GONE) and not end.finished_reading and len(end.peer.out) < HIGH:
            self.read(end)
        elif event & GONE and end.finished_reading:
            self.bury(end)
        self.settle(end)

    def read(self, end: End) -> None:
        """Read once and pass on at once what the other end takes."""
        try:
            data = end.sock.recv(CHUNK)
        except BlockingIOError:
            return
        peer = end.peer
        if not data:
            end.finished_reading = True
            peer.finish_writing = True
        elif not peer.dead:
            peer.out += data
        if not peer.connecting and not peer.dead:
            self.write(peer)

    def write(self, end: End) -> None:
        """Write what waits; after the last byte of a direction that ended, close that direction."""
        if end.out:
            with contextlib.suppress(BlockingIOError):
                sent = end.sock.send(end.out)
                del end.out[:sent]
        if not end.out and end.finish_writing:
            with contextlib.suppress(OSError):
                end.sock.shutdown(socket.SHUT_WR)

    def bury(self, end: End) -> None:
        """An end that is gone in both directions: it would report that forever."""
        end.dead = True
        end.out.clear()
        with contextlib.suppress(OSError):
            self.epoll.unregister(end.number)
        end.mask = 0

    def settle(self, end: End) -> None:
        """Ask for the events that matter now, or close a pair that has nothing left to do."""
        peer = end.peer
        done = end.finished_reading and peer.finished_reading and not end.out and not peer.out
        if done or (end.dead and not peer.out) or (peer.dead and not end.out):
            self.drop(end)
            return
        self.watch(end)
        self.watch(peer)

    def watch(self, end: End) -> None:
        """Register ``end`` for reading while the other end keeps up, and for writing while something waits."""
        if end.dead:
            return
        mask = 0 if end.connecting or end.finished_reading or len(end.peer.out) >= HIGH else IN
        mask |= OUT if end.out or end.connecting else 0
        if mask == end.mask and mask:
            return
        if end.mask == 0:
            with contextlib.suppress(FileExistsError):
                self.epoll.register(end.number, mask)
                end.mask = mask
                return
        self.epoll.modify(end.number, mask)
        end.mask = mask

    def drop(self, end: End) -> None:
        """Close both ends."""
        for one in (end, end.peer):
            self.ends.pop(one.number, None)
            one.sock.close()


def start(command: list[str], port: int, limits: dict[int, int]) -> int:
    """Start the service with its limits in a session of its own; its pid."""
    pid = os.fork()
    if pid:
        return pid
    try:
        os.setsid()
        for kind, value in limits.items():
            hard = resource.getrlimit(kind)[1]
            value = value if hard == resource.RLIM_INFINITY else min(value, hard)
            resource.setrlimit(kind, (value, value))
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGPIPE):
            signal.signal(number, signal.SIG_DFL)
        os.execvpe(command[0], command, {**os.environ, "PORT": str(port)})  # noqa: S606
    except (OSError, ValueError) as error:
        os.write(2, f"cannot start {command[0]}: {error}\n".encode())
    os._exit(127)


def used() -> tuple[int, int]:
    """Memory in bytes and tasks of everything in the sandbox but its first process and this one."""
    memory = tasks = 0
    for name in os.listdir("/proc"):  # noqa: PTH208
        if name.isdigit() and int(name) not in (1, os.getpid()):
            with contextlib.suppress(OSError, IndexError, ValueError):
                fields = read(f"/proc/{name}/stat").rpartition(b")")[2].split()
                tasks += int(fields[17])
                memory += int(fields[21]) * PAGE
    return memory, tasks


def shared_once() -> int:
    """The same memory with shared pages counted once: slower, so only asked when :func:`used` looks too high."""
    total = 0
    for name in os.listdir("/proc"):  # noqa: PTH208
        if name.isdigit() and int(name) not in (1, os.getpid()):
            with contextlib.suppress(OSError, IndexError, ValueError):
                total += int(read(f"/proc/{name}/smaps_rollup").partition(b"\nPss:")[2].split()[0]) * 1024
    return total


def read(path: str) -> bytes:
    """The content of a small file."""
    number = os.open(path, os.O_RDONLY)
    try:
        return os.read(number, 1 << 14)
    finally:
        os.close(number)


def scratch() -> int:
    """Memory in the private temporary folders."""
    total = 0
    for folder in ("/tmp", "/dev/shm"):  # noqa: S108
        found = os.statvfs(folder)
        total += (found.f_blocks - found.f_bfree) * found.f_frsize
    return total


def breached(memory_limit: int, task_limit: int) -> str:
    """The sentence for a limit that is exceeded now, or nothing."""
    memory, tasks = used()
    if tasks > task_limit:
        return f"the service runs more than {task_limit} processes and threads"
    if memory + scratch() > memory_limit and shared_once() + scratch() > memory_limit:
        return f"the service uses more than {memory_limit >> 20} MiB of memory"
    return ""


def arguments(words: list[str]) -> tuple[dict[str, str], list[str]]:
    """Options and command; argparse would cost more time than the rest of the start."""
    split = words.index("--")
    options = words[:split]
    return {name.lstrip("-"): value for name, value in zip(options[::2], options[1::2], strict=True)}, words[
        split + 1 :
    ]


def main() -> int:
    """Run until the command has ended; its exit status, 128 + n after signal n."""
    options, command = arguments(sys.argv[1:])
    memory, processes = int(options.get("memory", 1 << 40)), int(options.get("processes", 4096))
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    relay = Relay(options["socket"], int(options["port"]))
    limits = {
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_NPROC: processes * 2 + 32,
        resource.RLIMIT_FSIZE: int(options.get("file-size", 1 << 40)),
        resource.RLIMIT_DATA: memory * 2,
        resource.RLIMIT_NOFILE: 4096,
    }
    pid = start(command, int(options["port"]), limits)
    # The pid is fixed while the child is not waited for, so a late signal can never hit another process.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: os.killpg(pid, signal.SIGTERM))
    wakeup, wake = os.pipe()
    os.set_blocking(wake, False)
    signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    relay.epoll.register(wakeup, IN)
    return serve(relay, pid, wakeup, (memory, processes))


def serve(relay: Relay, pid: int, wakeup: int, allowed: tuple[int, int]) -> int:
    """Relay until the command ends or breaches a limit."""
    os.set_blocking(wakeup, False)
    look = 0.0
    while True:
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            code = os.waitstatus_to_exitcode(status)
            return code if code >= 0 else 128 - code
        now = time.monotonic()
        if now >= look:
            look = now + LOOK_SECONDS
            reason = breached(*allowed)
            if reason:
                os.write(2, f"stopped: {reason}\n".encode())
                os.kill(-1, signal.SIGKILL)
        relay.turn(max(0.0, look - now))
        with contextlib.suppress(BlockingIOError):
            os.read(wakeup, 4096)


if __name__ == "__main__":
    sys.exit(main())
