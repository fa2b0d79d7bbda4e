"""Alembic, kept out of the way until a database is not at the newest shape yet."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy.engine import Connection

from ripple.model.errors import Broken

HEAD = "0001"
"""The newest migration; a test compares it with ``migrations/versions``."""


def migrate(connection: Connection) -> None:
    """Bring the database behind ``connection`` to :data:`HEAD`."""
    from alembic import command
    from alembic.config import Config
    from alembic.util import CommandError

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.attributes["connection"] = connection
    try:
        command.upgrade(config, "head")
    except CommandError as error:
        raise Broken(f"the database was written by a newer Ripple: {error}; update this one") from error
