"""Alembic, loaded only for a database that is not at the newest shape: its import takes longer than opening."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy.engine import Connection

HEAD = "0001"
"""The newest migration; a test compares it with ``migrations/versions``."""
KNOWN = frozenset({"0001"})
"""Every migration this code has; a database at another one was written by a newer Ripple."""


def migrate(connection: Connection) -> None:
    """Bring the database behind ``connection`` to :data:`HEAD`, inside the caller's transaction."""
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations").replace("%", "%%"))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
