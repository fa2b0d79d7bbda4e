"""Telemetry: spans that share a change's trace, metrics, log lines; and none of it in the way."""

from __future__ import annotations

import asyncio
import gzip
import io
import json
import logging
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Coroutine, Iterator, Sequence
from dataclasses import asdict
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, TypeVar

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from prometheus_client.parser import text_string_to_metric_families
from pydantic import SecretBytes, SecretStr
from sqlalchemy import insert, select
from tests.unit.supervisor.conftest import until

from ripple.model.errors import Invalid
from ripple.planes import telemetry
from ripple.planes.records import Records
from ripple.planes.records import tables as t
from ripple.planes.telemetry import SpanRow
from ripple.planes.telemetry.logs import MAX_CHARACTERS, plain

T = TypeVar("T")
SOURCE = Path(telemetry.__file__).parents[3]
TRACE = "0af7651916cd43dd8448eb211c80319c"
HELD_UP_SECONDS = 4.5
"""A sink and a collector that hang are let go after five seconds: what takes less did not wait for them."""


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    """Neither tracing nor logging of one test reaches the next."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    telemetry.shutdown()
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


def run(main: Coroutine[Any, Any, T]) -> T:
    """One event loop with a deadline."""
    return asyncio.run(asyncio.wait_for(main, 30))


async def spans_of(work: Any, **options: Any) -> list[SpanRow]:
    """The rows kept of what ``work`` did."""
    kept: list[SpanRow] = []

    async def keep(rows: Sequence[SpanRow]) -> None:
        kept.extend(rows)

    telemetry.setup("test", keep=keep, **options)
    work()
    await telemetry.flush(20)
    telemetry.shutdown()
    return kept


def test_nested_spans_are_kept_with_parents_times_and_attributes() -> None:
    def work() -> None:
        given: dict[str, Any] = {
            "step": "try",
            "n": 3,
            "share": 0.5,
            "ok": True,
            "absent": None,
            "path": Path("/x"),
        }
        with telemetry.start_span("outer", **given), telemetry.start_span("inner"):
            pass

    before = time.time_ns()
    inner, outer = run(spans_of(work))
    assert (outer.name, inner.name) == ("outer", "inner")
    assert outer.parent_id is None
    assert inner.parent_id == outer.span_id
    assert inner.trace_id == outer.trace_id
    assert before <= outer.start_ns <= inner.start_ns <= inner.end_ns <= outer.end_ns <= time.time_ns()
    own = {"service.name": "test", "step": "try", "n": 3, "share": 0.5, "ok": True, "path": "/x"}
    assert (outer.status, dict(outer.attributes)) == ("ok", own)


def test_spans_of_a_change_share_its_trace_and_are_its_roots() -> None:
    def work() -> None:
        with telemetry.start_span("request"), telemetry.remote_context(TRACE):
            with telemetry.start_span("first"), telemetry.start_span("below"):
                pass
            with telemetry.start_span("second"):
                pass
        with telemetry.start_span("after"):
            pass

    spans = {span.name: span for span in run(spans_of(work))}
    assert {name for name, span in spans.items() if span.trace_id == TRACE} == {"first", "below", "second"}
    assert {name for name, span in spans.items() if span.parent_id is None} == {
        "request",
        "first",
        "second",
        "after",
    }
    assert spans["request"].trace_id != spans["after"].trace_id


def test_two_changes_at_once_keep_their_traces_apart() -> None:
    async def change(trace_id: str, news: asyncio.Event) -> str | None:
        with telemetry.remote_context(trace_id), telemetry.start_span("step"):
            await news.wait()
            return telemetry.current_trace_id()

    async def main() -> list[str | None]:
        telemetry.setup("test")
        news = asyncio.Event()
        both = asyncio.gather(change("1" * 32, news), change("2" * 32, news))
        await asyncio.sleep(0)
        news.set()
        return list(await both)

    assert run(main()) == ["1" * 32, "2" * 32]


@pytest.mark.parametrize("trace_id", ["", "0" * 32, "A" * 32, "1" * 31, "1" * 33, "1" * 31 + "\n", "g" * 32])
def test_a_trace_id_that_is_none_is_refused(trace_id: str) -> None:
    with pytest.raises(Invalid, match="no trace id"), telemetry.remote_context(trace_id):
        pass


def test_an_exception_marks_its_span_and_goes_on() -> None:
    def work() -> None:
        with pytest.raises(ValueError, match="wrong"), telemetry.start_span("failing"):
            raise ValueError("wrong")

    (span,) = run(spans_of(work))
    assert (span.status, span.attributes["error"]) == ("error", "ValueError: wrong")


def test_a_secret_and_a_flood_in_an_attribute_stay_out() -> None:
    def work() -> None:
        with telemetry.start_span("s", key=SecretStr("hunter2"), answer="x" * (10 << 20)):
            pass

    (span,) = run(spans_of(work))
    assert "hunter2" not in repr(span)
    assert len(span.attributes["answer"]) <= 1024


def test_a_span_is_a_row_of_the_spans_table(tmp_path: Path) -> None:
    async def main() -> tuple[dict[str, Any], str]:
        records = Records.at(tmp_path / "ripple.db")
        await records.open()

        async def keep(rows: Sequence[SpanRow]) -> None:
            async with records.write() as connection:
                await connection.execute(insert(t.spans), [asdict(row) for row in rows])

        telemetry.setup("test", keep=keep)
        with telemetry.remote_context(TRACE), telemetry.start_span("step", n=1):
            pass
        await telemetry.flush(20)
        async with records.read() as connection:
            row = dict((await connection.execute(select(t.spans))).mappings().one())
        await records.close()
        return row, TRACE

    row, trace_id = run(main())
    assert (row["trace_id"], row["name"], row["status"]) == (trace_id, "step", "ok")
    assert row["attributes"] == {"service.name": "test", "n": 1}


def test_spans_reach_the_sink_without_a_flush() -> None:
    async def main() -> None:
        news = asyncio.Event()

        async def keep(rows: Sequence[SpanRow]) -> None:
            news.set()

        telemetry.setup("test", keep=keep)
        with telemetry.start_span("one"):
            pass
        await asyncio.wait_for(news.wait(), 20)

    run(main())


def test_a_sink_that_fails_loses_its_batch_and_nothing_else() -> None:
    kept: list[str] = []

    async def keep(rows: Sequence[SpanRow]) -> None:
        if not kept:
            kept.append("failed")
            raise OSError("the disk is full")
        kept.extend(row.name for row in rows)

    async def main() -> float:
        telemetry.setup("test", keep=keep)
        before = value("ripple_spans_lost_total")
        for name in ("first", "second"):
            with telemetry.start_span(name):
                pass
            await telemetry.flush(20)
        return value("ripple_spans_lost_total") - before

    assert run(main()) == 1
    assert kept == ["failed", "second"]


def test_a_sink_that_hangs_holds_up_neither_spans_nor_the_end() -> None:
    async def keep(rows: Sequence[SpanRow]) -> None:
        await asyncio.Event().wait()

    async def main() -> float:
        telemetry.setup("test", keep=keep)
        began = time.monotonic()
        for _ in range(10_000):
            with telemetry.start_span("one"):
                pass
        spent = time.monotonic() - began
        await telemetry.flush(0.2)
        telemetry.shutdown()
        assert spent < 5
        return time.monotonic() - began - spent

    assert run(main()) < HELD_UP_SECONDS


def test_without_set_up_spans_cost_nothing_and_keep_nothing() -> None:
    with telemetry.start_span("nowhere", n=1) as span:
        assert not span.is_recording()
    run(telemetry.flush())


class Collector(BaseHTTPRequestHandler):
    """An OTLP/HTTP collector: remembers what it was sent, or never answers."""

    seen: list[tuple[str, ExportTraceServiceRequest]] = []
    release = threading.Event()
    hanging = False

    def do_POST(self) -> None:
        if self.hanging:
            self.release.wait(20)
        body = self.rfile.read(int(self.headers["content-length"]))
        body = gzip.decompress(body) if self.headers.get("content-encoding") == "gzip" else body
        self.seen.append((self.path, ExportTraceServiceRequest.FromString(body)))
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def collector() -> Iterator[str]:
    Collector.seen, Collector.hanging = [], False
    Collector.release.clear()
    server = ThreadingHTTPServer(("127.0.0.1", 0), Collector)
    serving = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    serving.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    Collector.release.set()
    server.shutdown()
    server.server_close()


def test_a_configured_collector_gets_the_spans_too(collector: str) -> None:
    def work() -> None:
        with telemetry.remote_context(TRACE), telemetry.start_span("sent"):
            pass

    (row,) = run(spans_of(work, otlp_endpoint=collector))
    # Shutting down leaves the collector behind after a second; what was under way still arrives.
    ((path, request),) = until(lambda: Collector.seen, "the spans are sent")
    (resource,) = request.resource_spans
    (span,) = resource.scope_spans[0].spans
    assert path == "/v1/traces"
    assert (span.name, span.trace_id.hex(), span.span_id.hex()) == ("sent", TRACE, row.span_id)
    assert resource.resource.attributes[0].value.string_value == "test"


def test_a_collector_that_hangs_or_is_away_holds_up_nothing(collector: str) -> None:
    def work() -> None:
        with telemetry.start_span("local"):
            pass

    Collector.hanging = True
    for endpoint in (collector, "http://127.0.0.1:1"):
        began = time.monotonic()
        assert [row.name for row in run(spans_of(work, otlp_endpoint=endpoint))] == ["local"]
        assert time.monotonic() - began < HELD_UP_SECONDS


def ended(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """A process of its own that runs ``code``."""
    return subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": str(SOURCE), **environment},
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )


def test_a_process_that_forgets_to_shut_down_ends_all_the_same(collector: str) -> None:
    Collector.hanging = True
    code = f"""
import asyncio, time
from ripple.planes import telemetry
async def keep(rows): await asyncio.sleep(3600)
async def main():
    telemetry.setup("test", keep=keep, otlp_endpoint={collector!r})
    with telemetry.start_span("one"): pass
    await asyncio.sleep(0.7)
    print("now", time.time())
asyncio.run(main())
"""
    said = ended(code).stdout
    (left,) = re.findall(r"^now (\S+)$", said, re.MULTILINE)
    assert time.time() - float(left) < HELD_UP_SECONDS


def value(name: str, **labels: str) -> float:
    """One sample of the exposition as it is now; 0 where there is none."""
    return parsed(telemetry.metrics_text()).get((name, frozenset(labels.items())), 0.0)


def parsed(text: str) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    families = text_string_to_metric_families(text)
    return {(s.name, frozenset(s.labels.items())): s.value for family in families for s in family.samples}


def test_metrics_count_and_are_read_by_prometheus_own_parser() -> None:
    before = value("ripple_changes_total", state="promoted")
    telemetry.CHANGES.labels("promoted").inc()
    telemetry.MODEL_CALLS.labels("local", "answered").inc()
    telemetry.DECISIONS.labels("ripple/authz", "false").inc(2)
    telemetry.AUDIT_APPENDS.inc()
    telemetry.STEP_SECONDS.labels("try").observe(0.3)
    assert value("ripple_changes_total", state="promoted") == before + 1
    assert value("ripple_policy_decisions_total", policy="ripple/authz", allowed="false") >= 2
    assert value("ripple_step_seconds_bucket", step="try", le="0.5") >= 1
    assert value("ripple_audit_appends_total") >= 1


def test_processes_with_one_folder_show_one_sum(tmp_path: Path) -> None:
    count = 'from ripple.planes import telemetry; telemetry.CHANGES.labels("promoted").inc()\n'
    for _ in range(2):
        ended(count, PROMETHEUS_MULTIPROC_DIR=str(tmp_path))
    shown = ended(count + "print(telemetry.metrics_text())", PROMETHEUS_MULTIPROC_DIR=str(tmp_path)).stdout
    assert parsed(shown)[("ripple_changes_total", frozenset({("state", "promoted")}))] == 3


def lines_of(work: Any) -> list[dict[str, Any]]:
    """The lines that ``work`` writes, each read as JSON."""
    stream = io.StringIO()
    telemetry.configure_logging("test", stream)
    work()
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_every_line_is_json_with_time_service_level_and_trace() -> None:
    def work() -> None:
        log = structlog.get_logger("ripple.somewhere")
        log.debug("unseen")
        log.info("outside")
        with telemetry.remote_context(TRACE):
            log.warning("inside", n=1)
            logging.getLogger("a.library").error("said %s", "so")

    outside, inside, library = lines_of(work)
    assert set(outside) == {"event", "level", "logger", "timestamp", "service", "trace_id"}
    assert (outside["trace_id"], outside["service"], outside["timestamp"][-1]) == (None, "test", "Z")
    assert (inside["event"], inside["n"], inside["level"], inside["trace_id"]) == ("inside", 1, "warning", TRACE)
    assert (library["event"], library["logger"], library["trace_id"]) == ("said so", "a.library", TRACE)


def test_a_line_within_a_span_has_the_trace_of_the_span() -> None:
    telemetry.setup("test")

    def work() -> None:
        with telemetry.start_span("one") as span:
            structlog.get_logger().info("here")
            traces.append(f"{span.get_span_context().trace_id:032x}")

    traces: list[str] = []
    assert [line["trace_id"] for line in lines_of(work)] == traces


def test_secrets_are_redacted_however_deep_they_lie() -> None:
    def work() -> None:
        secret = SecretStr("hunter2")
        structlog.get_logger().info(
            "keys", key=secret, deep={"list": [{"key": SecretBytes(b"hunter2")}]}, t=(secret,)
        )

    (line,) = lines_of(work)
    assert "hunter2" not in json.dumps(line)
    assert (line["key"], line["deep"]) == ("[redacted]", {"list": [{"key": "[redacted]"}]})


def test_an_exception_is_one_line_with_its_traceback() -> None:
    def work() -> None:
        try:
            raise ValueError("wrong\nforged: line")
        except ValueError:
            structlog.get_logger().exception("failed")

    (line,) = lines_of(work)
    assert "ValueError: wrong" in line["exception"]


def test_a_failure_nobody_can_act_on_is_a_line() -> None:
    (line,) = lines_of(lambda: telemetry.log_failure("audit_not_closed", OSError("disk full")))
    assert (line["event"], line["level"], line["error"]) == ("audit_not_closed", "error", "OSError: disk full")


def test_logging_into_a_closed_pipe_is_no_error_of_the_caller() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w", buffering=1) as stream:
        telemetry.configure_logging("test", stream)
        structlog.get_logger().info("nobody reads this")
        with pytest.raises(BrokenPipeError):
            stream.close()


def test_configuring_again_writes_each_line_once() -> None:
    first = io.StringIO()
    telemetry.configure_logging("one", first)
    assert len(lines_of(lambda: structlog.get_logger().info("once"))) == 1
    assert first.getvalue() == ""


scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary()
values = st.recursive(scalars, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=20)


@given(values)
def test_any_value_becomes_strict_json(given_value: Any) -> None:
    json.dumps(plain(given_value), allow_nan=False)


class Rude:
    """A value that will not be shown."""

    def __repr__(self) -> str:
        raise RuntimeError("no")


def test_values_are_bounded_and_a_rude_one_is_named() -> None:
    assert len(plain("x" * (10 << 20))) < MAX_CHARACTERS + 50
    assert len(plain(list(range(10_000)))) <= 64
    assert plain(Rude()) == "<Rude>"
    loop: list[Any] = []
    loop.append(loop)
    json.dumps(plain(loop))
