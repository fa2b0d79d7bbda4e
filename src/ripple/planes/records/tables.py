"""Every table Ripple keeps. Alembic's migrations under ``migrations/`` bring a database to this shape.

Times are ISO 8601 UTC text, JSON columns hold plain JSON. Rows of ``audit`` and ``evidence`` are append-only:
triggers refuse UPDATE and DELETE.
"""

from __future__ import annotations

from sqlalchemy import (
    JSON,
    Boolean,
    Column,
    Float,
    Index,
    Integer,
    MetaData,
    PrimaryKeyConstraint,
    String,
    Table,
    Text,
)

metadata = MetaData()

applications = Table(
    "applications",
    metadata,
    Column("name", String, primary_key=True),
    Column("path", Text, nullable=False),
    Column("branch", String, nullable=False),
    Column("manifest", JSON, nullable=False),
    Column("ports", JSON, nullable=False),
    Column("state", String, nullable=False),
    Column("reasons", JSON, nullable=False),
    Column("added_at", String, nullable=False),
)

changes = Table(
    "changes",
    metadata,
    Column("id", String, primary_key=True),
    Column("application", String, nullable=False),
    Column("kind", String),
    Column("intent", Text, nullable=False),
    Column("policy", String, nullable=False),
    Column("principal", String, nullable=False),
    Column("state", String, nullable=False),
    Column("trace_id", String, nullable=False),
    Column("created_at", String, nullable=False),
    Column("ended_at", String),
    Column("base_commit", String),
    Column("commit", String),
    Column("release", String),
    Column("reasons", JSON, nullable=False),
    Column("consensus", JSON),
)

steps = Table(
    "steps",
    metadata,
    Column("change_id", String, nullable=False),
    Column("step", String, nullable=False),
    Column("state", String, nullable=False),
    Column("started_at", String, nullable=False),
    Column("ended_at", String),
    Column("duration_seconds", Float),
    Column("outside_seconds", Float, nullable=False, default=0.0),
    Column("inputs", JSON, nullable=False),
    Column("outputs", JSON, nullable=False),
    Column("reasons", JSON, nullable=False),
    PrimaryKeyConstraint("change_id", "step"),
)

candidates = Table(
    "candidates",
    metadata,
    Column("change_id", String, nullable=False),
    Column("model", String, nullable=False),
    Column("data", JSON, nullable=False),
    PrimaryKeyConstraint("change_id", "model"),
)

evidence = Table(
    "evidence",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("change_id", String, nullable=False),
    Column("subject", String, nullable=False),
    Column("gate", String, nullable=False),
    Column("environment", String),
    Column("verdict", String, nullable=False),
    Column("at", String, nullable=False),
    Column("envelope", JSON, nullable=False),
    Index("evidence_subject", "subject"),
    Index("evidence_change", "change_id"),
)

releases = Table(
    "releases",
    metadata,
    Column("digest", String, primary_key=True),
    Column("application", String, nullable=False),
    Column("commit", String, nullable=False),
    Column("tree", String, nullable=False),
    Column("toolchain", String, nullable=False),
    Column("artifact", String, nullable=False),
    Column("created_at", String, nullable=False),
    Column("held", Boolean, nullable=False, default=False),
    Column("held_reason", Text),
)

deployments = Table(
    "deployments",
    metadata,
    Column("application", String, nullable=False),
    Column("environment", String, nullable=False),
    Column("release", String, nullable=False),
    Column("state", String, nullable=False),
    Column("component", String, nullable=False),
    Column("weight", Integer, nullable=False),
    Column("commit", String, nullable=False),
    Column("at", String, nullable=False),
    PrimaryKeyConstraint("application", "environment", "release"),
)

samples = Table(
    "samples",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("change_id", String, nullable=False),
    Column("environment", String, nullable=False),
    Column("at", String, nullable=False),
    Column("data", JSON, nullable=False),
    Index("samples_change", "change_id", "environment"),
)

providers = Table(
    "providers",
    metadata,
    Column("name", String, primary_key=True),
    Column("tier", String, nullable=False),
    Column("adapter", String, nullable=False),
    Column("base_url", Text),
    Column("model", String, nullable=False),
    Column("weight", Float, nullable=False),
    Column("lineage", String, nullable=False),
    Column("priority", Integer, nullable=False, default=100),
    Column("key_env", String),
    Column("added_at", String, nullable=False),
)

audit = Table(
    "audit",
    metadata,
    Column("seq", Integer, primary_key=True, autoincrement=False),
    Column("at", String, nullable=False),
    Column("principal", String, nullable=False),
    Column("action", String, nullable=False),
    Column("resource", String, nullable=False),
    Column("outcome", String, nullable=False),
    Column("decision_id", String),
    Column("policy_revision", String),
    Column("trace_id", String),
    Column("data", JSON, nullable=False),
    Column("previous", String, nullable=False),
    Column("hash", String, nullable=False),
)

effects = Table(
    "effects",
    metadata,
    Column("key", String, primary_key=True),
    Column("state", String, nullable=False),
    Column("result", JSON),
    Column("at", String, nullable=False),
)

leases = Table(
    "leases",
    metadata,
    Column("name", String, primary_key=True),
    Column("owner", String, nullable=False),
    Column("at", String, nullable=False),
)

timeline = Table(
    "timeline",
    metadata,
    Column("seq", Integer, primary_key=True, autoincrement=True),
    Column("change_id", String, nullable=False),
    Column("kind", String, nullable=False),
    Column("at", String, nullable=False),
    Column("data", JSON, nullable=False),
    Index("timeline_change", "change_id"),
)

sessions = Table(
    "sessions",
    metadata,
    Column("token_digest", String, primary_key=True),
    Column("kind", String, nullable=False),
    Column("principal", String, nullable=False),
    Column("expires_at", Float, nullable=False),
)

settings = Table(
    "settings",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("key", String, nullable=False),
    Column("value", JSON),
    Column("at", String, nullable=False),
    Column("principal", String, nullable=False),
    Index("settings_key", "key"),
)

spans = Table(
    "spans",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("trace_id", String, nullable=False),
    Column("span_id", String, nullable=False),
    Column("parent_id", String),
    Column("name", String, nullable=False),
    Column("start_ns", Integer, nullable=False),
    Column("end_ns", Integer, nullable=False),
    Column("status", String, nullable=False),
    Column("attributes", JSON, nullable=False),
    Index("spans_trace", "trace_id"),
)
