"""Telemetry: spans, metrics and log lines that share one trace id. It never stops or slows what it watches.

The seams are the libraries of the field: OpenTelemetry for spans, prometheus_client for metrics, structlog for
lines. Spans go to a sink of the caller's (the console reads them from the records) and, when configured, to an
OpenTelemetry collector. Without :func:`setup` everything here works and keeps nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import structlog
from opentelemetry.trace import NoOpTracer, Span

from ripple.planes.telemetry.logs import configure_logging
from ripple.planes.telemetry.metrics import (
    AUDIT_APPENDS,
    CHANGES,
    DECISIONS,
    MODEL_CALLS,
    SPANS_LOST,
    STEP_SECONDS,
    metrics_text,
)
from ripple.planes.telemetry.spans import Keep, SpanRow, Tracing, attribute, current_trace_id, remote_context

__all__ = [
    "AUDIT_APPENDS",
    "CHANGES",
    "DECISIONS",
    "MODEL_CALLS",
    "SPANS_LOST",
    "STEP_SECONDS",
    "Keep",
    "SpanRow",
    "configure_logging",
    "current_trace_id",
    "flush",
    "log_failure",
    "metrics_text",
    "remote_context",
    "setup",
    "shutdown",
    "start_span",
]

log = structlog.get_logger(__name__)
_tracing: Tracing | None = None
_nowhere = NoOpTracer()


def setup(service: str, *, keep: Keep | None = None, otlp_endpoint: str | None = None) -> None:
    """Begin to keep spans and write log lines as ``service``; a second call replaces the first.

    Args:
        service: Names this process in spans and lines.
        keep: Takes batches of ended spans, on the running event loop; what it raises is logged, its batch is lost.
        otlp_endpoint: An OTLP/HTTP collector (``http://host:4318``); None sends nothing anywhere.
    """
    global _tracing
    shutdown()
    configure_logging(service)
    _tracing = Tracing(service, keep, otlp_endpoint)


@contextmanager
def start_span(name: str, **attributes: Any) -> Iterator[Span]:
    """A span around the block; an exception marks it as failed and goes on unchanged."""
    tracer = _tracing.tracer if _tracing else _nowhere
    given = {key: attribute(value) for key, value in attributes.items() if value is not None}
    with tracer.start_as_current_span(name, attributes=given, record_exception=False) as span:
        yield span


async def flush(seconds: float = 2.0) -> None:
    """Hand every ended span to the sink, waiting at most ``seconds``. Call it while the sink still works."""
    if _tracing:
        await _tracing.flush(seconds)


def shutdown() -> None:
    """Stop keeping spans; what was not flushed to the sink is lost. Takes a second at most. Repeatable."""
    global _tracing
    tracing, _tracing = _tracing, None
    if tracing:
        tracing.shutdown()


def log_failure(event: str, error: BaseException) -> None:
    """One log line about an error that nobody up the stack can act on any more."""
    log.error(event, error=f"{type(error).__name__}: {error}")
