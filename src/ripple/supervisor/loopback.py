"""Loopback ports: handed out by the kernel, and looked at before they are counted on.

Only the standard library is needed, for this is a part of what Caddy's start waits for.
"""

from __future__ import annotations

import socket
from collections.abc import Collection

_TRIES = 100


def free_ports(count: int, avoid: Collection[int] = ()) -> list[int]:
    """``count`` distinct loopback ports that nobody listens on now and that are none of ``avoid``.

    Raises:
        OSError: the machine has none left.
    """
    found: list[int] = []
    for _ in range(count + _TRIES):
        if len(found) == count:
            break
        with socket.socket() as one:
            one.bind(("127.0.0.1", 0))
            port = int(one.getsockname()[1])
        if port not in found and port not in avoid:
            found.append(port)
    if len(found) < count:
        raise OSError(f"found {len(found)} free loopback ports, {count} are needed; end some listeners")
    return found


def is_taken(port: int) -> bool:
    """Whether somebody listens on the loopback port, so that no server of ours could."""
    with socket.socket() as one:
        # Servers set it too: connections of the last run that linger do not make a port taken.
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            one.bind(("127.0.0.1", port))
        except OSError:
            return True
    return False
