"""Metrics in Prometheus' text form, from a registry of our own.

Label values are names from closed sets (steps, states, tiers, policies), never a model's or an operator's words:
each new value is a series for ever.

The API process shows the metrics, the worker counts most of them: where ``PROMETHEUS_MULTIPROC_DIR`` names a
folder of both, prometheus_client keeps all values there, and every process shows the sums.
"""

from __future__ import annotations

import os
from pathlib import Path

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

SHARED = os.environ.get("PROMETHEUS_MULTIPROC_DIR", "")
if SHARED:
    Path(SHARED).mkdir(parents=True, exist_ok=True)  # the library maps files in it from the first metric on
REGISTRY = CollectorRegistry(auto_describe=True)

STEP_SECONDS = Histogram(
    "ripple_step_seconds",
    "Time of one step of a change from its begin to its end.",
    ["step"],
    buckets=(0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 180, 600),
    registry=REGISTRY,
)
CHANGES = Counter("ripple_changes", "Changes that ended, by their final state.", ["state"], registry=REGISTRY)
MODEL_CALLS = Counter(
    "ripple_model_calls", "Answers asked of models, by tier and outcome.", ["tier", "outcome"], registry=REGISTRY
)
DECISIONS = Counter(
    "ripple_policy_decisions", "Decisions, by policy and answer.", ["policy", "allowed"], registry=REGISTRY
)
AUDIT_APPENDS = Counter("ripple_audit_appends", "Entries appended to the audit log.", registry=REGISTRY)
SPANS_LOST = Counter("ripple_spans_lost", "Spans that could not be kept locally.", registry=REGISTRY)


def metrics_text() -> str:
    """All metrics now, in Prometheus' text exposition format 0.0.4."""
    registry = REGISTRY
    if SHARED:
        registry = CollectorRegistry()
        MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    return generate_latest(registry).decode()
