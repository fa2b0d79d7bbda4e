"""The first shape: every table of 2026-11, and triggers that keep ``audit`` and ``evidence`` append-only."""

from __future__ import annotations

from alembic import op

from ripple.planes.records.tables import metadata

revision = "0001"
down_revision = None
APPEND_ONLY = ("audit", "evidence")


def upgrade() -> None:
    """Create everything."""
    metadata.create_all(op.get_bind())
    for table in APPEND_ONLY:
        for verb in ("UPDATE", "DELETE"):
            op.execute(
                f"CREATE TRIGGER {table}_no_{verb.lower()} BEFORE {verb} ON {table} "
                f"BEGIN SELECT RAISE(ABORT, '{table} is append-only'); END"
            )
