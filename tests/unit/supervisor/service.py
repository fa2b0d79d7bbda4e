"""A small component: serves ``/`` on a loopback port or a unix socket, and misbehaves when asked to.

``service.py WHERE FOLDER [OPTION...]``: WHERE is a port or a path. It answers 200, or 503 while ``FOLDER/sick``
exists; each start appends its pid to ``FOLDER/starts``. Options: ``stubborn`` ignores SIGTERM, ``family`` starts a
child in the group and one in a session of its own, ``crash`` exits 3 at once, ``done`` exits 0 at once, ``dump``
writes its environment to ``FOLDER/env``.
"""

import os
import signal
import socket
import sys
import time
from pathlib import Path


def main(where: str, folder: Path, options: list[str]) -> int:
    with (folder / "starts").open("a") as file:
        file.write(f"{os.getpid()} {time.time()}\n")
    if "dump" in options:
        (folder / "env").write_text("\n".join(f"{name}={value}" for name, value in os.environ.items()))
    if "crash" in options or "done" in options:
        print("going at once", flush=True)
        return 3 if "crash" in options else 0
    if "stubborn" in options:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if "family" in options:
        for alone in (False, True):
            if os.fork() == 0:
                if alone:
                    os.setsid()
                signal.pause()
    serve(listener(where), folder)
    return 0


def listener(where: str) -> socket.socket:
    if where.isdigit():
        found = socket.socket()
        found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        found.bind(("127.0.0.1", int(where)))
    else:
        found = socket.socket(socket.AF_UNIX)
        found.bind(where)
    found.listen(16)
    return found


def serve(server: socket.socket, folder: Path) -> None:
    print(f"serving as {os.getpid()}", flush=True)
    while True:
        client, _ = server.accept()
        with client:
            client.recv(4096)
            status = "503 Sick" if (folder / "sick").exists() else "200 OK"
            client.sendall(f"HTTP/1.1 {status}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n".encode())


sys.exit(main(sys.argv[1], Path(sys.argv[2]), sys.argv[3:]))
