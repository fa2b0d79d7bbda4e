"""Serve on 127.0.0.1 and the port in the environment variable PORT."""

from __future__ import annotations

import os

import uvicorn

from checkout.app import create_app


def main() -> None:
    """Serve until SIGTERM or SIGINT."""
    uvicorn.run(
        create_app(),
        host="127.0.0.1",
        port=int(os.environ.get("PORT", "8000")),
        log_level="warning",
        timeout_graceful_shutdown=3,
    )


if __name__ == "__main__":
    main()
