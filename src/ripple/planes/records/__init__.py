"""The records seam: SQLAlchemy on SQLite (WAL), brought to shape by Alembic."""

from ripple.planes.records.engine import Records

__all__ = ["Records"]
