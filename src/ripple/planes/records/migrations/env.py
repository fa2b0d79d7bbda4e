"""Alembic's entry: migrations run on the connection that :mod:`ripple.planes.records.schema` hands over."""

from __future__ import annotations

from alembic import context

from ripple.planes.records.tables import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
context.run_migrations()
