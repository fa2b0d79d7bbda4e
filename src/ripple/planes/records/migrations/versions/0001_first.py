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
    guard = _sqlite if op.get_bind().dialect.name == "sqlite" else _postgresql
    for table in APPEND_ONLY:
        guard(table)


def _sqlite(table: str) -> None:
    for verb in ("UPDATE", "DELETE"):
        op.execute(
            f"CREATE TRIGGER {table}_no_{verb.lower()} BEFORE {verb} ON {table} "
            f"BEGIN SELECT RAISE(ABORT, '{table} is append-only'); END"
        )


def _postgresql(table: str) -> None:
    op.execute(
        f"CREATE FUNCTION {table}_is_append_only() RETURNS trigger LANGUAGE plpgsql AS "
        f"$$ BEGIN RAISE EXCEPTION '{table} is append-only'; END $$"
    )
    op.execute(
        f"CREATE TRIGGER {table}_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON {table} "
        f"FOR EACH STATEMENT EXECUTE FUNCTION {table}_is_append_only()"
    )
