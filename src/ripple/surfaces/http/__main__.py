"""``python -m ripple.surfaces.http --port N``: the API process of an instance."""

from __future__ import annotations

import ripple.surfaces.lean  # noqa: F401

# isort: split
import argparse

import uvicorn

from ripple.app import open_app
from ripple.model.paths import Home
from ripple.stack.root import project_root
from ripple.surfaces.http.server import create


def main() -> None:
    """Serve until told to stop."""
    parser = argparse.ArgumentParser(prog="ripple-api")
    parser.add_argument("--port", type=int, required=True)
    port = parser.parse_args().port
    home = Home.of()
    server = create(lambda: open_app(home, "api"), project_root() / "console" / "dist")
    # What asked for the restart of the API itself still gets its answer: a second less than the supervisor waits.
    uvicorn.run(
        server, host="127.0.0.1", port=port, log_config=None, log_level="warning", timeout_graceful_shutdown=4
    )


if __name__ == "__main__":
    main()
