"""Spans: made by the OpenTelemetry SDK, ended into a bounded queue, taken from there on a thread of their own.

- Ending a span appends to a queue and nothing else; a full queue drops its oldest.
- A sink that raises, hangs or is gone costs its batch. Nothing waits for it but that thread.
- All threads are daemons and nothing is registered to run at exit.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import contextvars
import re
import threading
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import structlog
from opentelemetry import context as otel
from opentelemetry import trace
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, SpanLimits, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.sdk.trace.sampling import ALWAYS_ON
from opentelemetry.trace import StatusCode

from ripple.model.errors import Invalid
from ripple.planes.telemetry.metrics import SPANS_LOST

log = structlog.get_logger(__name__)
KEEP_SECONDS = 5.0
EXPORT_SECONDS = 5.0
SHUTDOWN_SECONDS = 1.0
BATCH_MILLIS = 500
MAX_WAITING, MAX_BATCH = 4096, 512
MAX_ATTRIBUTES, MAX_CHARACTERS = 32, 1024
_TRACE_ID = re.compile(r"[0-9a-f]{32}")
_given_trace: contextvars.ContextVar[int | None] = contextvars.ContextVar("ripple_trace", default=None)


@dataclass(frozen=True)
class SpanRow:
    """An ended span: a row of table ``spans``. Times are ns since 1970, status is ``ok`` or ``error``."""

    trace_id: str
    span_id: str
    parent_id: str | None
    name: str
    start_ns: int
    end_ns: int
    status: str
    attributes: dict[str, Any]


Keep = Callable[[Sequence[SpanRow]], Awaitable[None]]
"""Takes a batch of ended spans on the event loop it was given on."""


class Tracing:
    """The spans of one process. Nothing of it is global: the library's global tracer stays as it was."""

    def __init__(self, service: str, keep: Keep | None, otlp_endpoint: str | None) -> None:
        # Every option is spelled out: the SDK would read the ones left out from the environment.
        self._provider = TracerProvider(
            sampler=ALWAYS_ON,
            resource=Resource({"service.name": service}),
            shutdown_on_exit=False,
            id_generator=_TraceIds(),
            span_limits=SpanLimits(
                max_attributes=MAX_ATTRIBUTES,
                max_span_attributes=MAX_ATTRIBUTES,
                max_attribute_length=MAX_CHARACTERS,
                max_span_attribute_length=MAX_CHARACTERS,
            ),
        )
        self.tracer = self._provider.get_tracer("ripple")
        self._sink = _Sink(service, keep, asyncio.get_running_loop()) if keep else None
        self._local = _batched(self._sink) if self._sink else None
        if self._local:
            self._provider.add_span_processor(self._local)
        if otlp_endpoint:
            self._provider.add_span_processor(_batched(_collector(otlp_endpoint)))

    async def flush(self, seconds: float) -> None:
        """Hand every ended span to the sink, waiting at most ``seconds``."""
        if self._local:
            done = asyncio.Event()
            loop = asyncio.get_running_loop()
            threading.Thread(target=_flush, args=(self._local, loop, done), daemon=True).start()
            try:
                await asyncio.wait_for(done.wait(), seconds)
            except TimeoutError:
                log.warning("spans_not_flushed", seconds=seconds)

    def shutdown(self) -> None:
        """Stop within ``SHUTDOWN_SECONDS``; the collector gets what it takes until then, the sink nothing more."""
        if self._sink:
            self._sink.close()
        closing = threading.Thread(target=self._provider.shutdown, daemon=True)
        closing.start()
        closing.join(SHUTDOWN_SECONDS)


@contextlib.contextmanager
def remote_context(trace_id: str) -> Iterator[None]:
    """Spans begun in the block are roots of the trace ``trace_id``, in whatever process; so are log lines.

    Raises:
        Invalid: it is not 32 lower-case hex digits, or all zero.
    """
    if not _TRACE_ID.fullmatch(trace_id) or int(trace_id, 16) == trace.INVALID_TRACE_ID:
        raise Invalid(f"{trace_id[:64]!r} is no trace id: expected 32 lower-case hex digits, not all zero")
    attached = otel.attach(otel.Context())
    given = _given_trace.set(int(trace_id, 16))
    try:
        yield
    finally:
        _given_trace.reset(given)
        otel.detach(attached)


def current_trace_id() -> str | None:
    """The trace that a span begun now would belong to; None when it would begin a new one."""
    here = trace.get_current_span().get_span_context()
    found = here.trace_id if here.is_valid else _given_trace.get()
    return trace.format_trace_id(found) if found else None


def attribute(value: Any) -> bool | int | float | str:
    """``value`` as a span may carry it; a secret shows its redacted form."""
    return value if isinstance(value, bool | int | float | str) else str(value)


class _TraceIds(RandomIdGenerator):
    """The SDK asks for a trace id only for a root span: then the change's own is the answer."""

    def generate_trace_id(self) -> int:
        return _given_trace.get() or super().generate_trace_id()


class _Sink(SpanExporter):
    """Carries batches from the exporting thread to ``keep`` on the event loop."""

    def __init__(self, service: str, keep: Keep, loop: asyncio.AbstractEventLoop) -> None:
        self._service, self._keep, self._loop = service, keep, loop
        self._closed = False
        self._pending: concurrent.futures.Future[None] | None = None

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Have one batch kept, or count it as lost."""
        reason = "telemetry is shut down"
        if not self._closed and self._loop.is_running():
            rows = [_row(self._service, span) for span in spans]
            self._pending = asyncio.run_coroutine_threadsafe(self._kept(rows), self._loop)
            try:
                self._pending.result(KEEP_SECONDS + 1)
            except concurrent.futures.CancelledError:
                pass
            except Exception as error:
                reason = f"{type(error).__name__}: {error}"
            else:
                return SpanExportResult.SUCCESS
        SPANS_LOST.inc(len(spans))
        log.warning("spans_lost", count=len(spans), reason=reason)
        return SpanExportResult.FAILURE

    def close(self) -> None:
        """Take no more, and let go of what is under way: the loop may be the one that waits now."""
        self._closed = True
        if self._pending:
            self._pending.cancel()

    async def _kept(self, rows: list[SpanRow]) -> None:
        async with asyncio.timeout(KEEP_SECONDS):
            await self._keep(rows)


def _batched(exporter: SpanExporter) -> BatchSpanProcessor:
    return BatchSpanProcessor(
        exporter,
        max_queue_size=MAX_WAITING,
        schedule_delay_millis=BATCH_MILLIS,
        max_export_batch_size=MAX_BATCH,
        export_timeout_millis=EXPORT_SECONDS * 1000,
    )


def _collector(endpoint: str) -> SpanExporter:
    """The path of the protocol is added where only a collector's address is given (OTLP specification, 1.0)."""
    # Imported where it is wanted: protobuf and requests cost every start a quarter of a second.
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

    full = endpoint if urlsplit(endpoint).path.strip("/") else f"{endpoint.rstrip('/')}/v1/traces"
    return OTLPSpanExporter(full, timeout=EXPORT_SECONDS)


def _flush(processor: BatchSpanProcessor, loop: asyncio.AbstractEventLoop, done: asyncio.Event) -> None:
    processor.force_flush()
    with contextlib.suppress(RuntimeError):  # the loop ended first: nobody waits
        loop.call_soon_threadsafe(done.set)


def _row(service: str, span: ReadableSpan) -> SpanRow:
    said = {"error": span.status.description} if span.status.description else {}
    return SpanRow(
        trace_id=trace.format_trace_id(span.context.trace_id),
        span_id=trace.format_span_id(span.context.span_id),
        parent_id=trace.format_span_id(span.parent.span_id) if span.parent else None,
        name=span.name,
        start_ns=span.start_time or 0,
        end_ns=span.end_time or 0,
        status="error" if span.status.status_code is StatusCode.ERROR else "ok",
        attributes={"service.name": service, **dict(span.attributes or {}), **said},
    )
