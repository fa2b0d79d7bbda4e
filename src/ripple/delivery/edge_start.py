"""``python -m ripple.delivery.edge_start SAVED COMMAND …``: starts Caddy without the listeners it cannot have.

Caddy resumes all of its saved listeners or ends. One port that a foreign process took while it was down would keep
every environment of every application from being served. Such a listener is left out here; Ripple's worker gives
its environment another port as soon as it runs. Only the standard library is imported: Caddy waits for this.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ripple.supervisor.loopback import is_taken


def main() -> None:
    """Become the command, having left out of ``SAVED`` what is taken."""
    saved, command = Path(sys.argv[1]), sys.argv[2:]
    for name in spare(saved, is_taken):
        sys.stderr.write(f"edge: {name} is left out: another process listens on its port; it gets a new one\n")
    sys.stderr.flush()
    os.execv(command[0], command)  # noqa: S606 (the supervisor's row names it)


def spare(saved: Path, taken: Callable[[int], bool]) -> list[str]:
    """Leave the listeners on taken ports out of a saved configuration; returns their names.

    A file that cannot be read or written is left to Caddy, which says what is wrong with it.
    """
    try:
        config = json.loads(saved.read_bytes())
        kept, left_out = without_taken(config, taken)
        if left_out:
            fresh = saved.with_name(f".{saved.name}.{os.getpid()}")
            fresh.write_text(json.dumps(kept))
            fresh.replace(saved)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return []
    return left_out


def without_taken(config: Mapping[str, Any], taken: Callable[[int], bool]) -> tuple[dict[str, Any], list[str]]:
    """The configuration without servers that listen on a taken port, and their names. Pure but for ``taken``."""
    servers = config["apps"]["http"]["servers"]
    left_out = sorted(name for name, server in servers.items() if any(map(taken, ports_of(server))))
    kept = {name: server for name, server in servers.items() if name not in left_out}
    http = {**config["apps"]["http"], "servers": kept}
    return {**config, "apps": {**config["apps"], "http": http}}, left_out


def ports_of(server: Mapping[str, Any]) -> list[int]:
    """The ports one of Caddy's servers listens on."""
    return [int(address.rpartition(":")[2]) for address in server.get("listen", ())]


if __name__ == "__main__":
    main()
