"""Log lines: one JSON object each on standard error, ours and those of every library, with the trace id.

- A secret (pydantic's ``SecretStr`` and ``SecretBytes``) is written as ``[redacted]``, however deep it lies.
- Long values are cut, so that an answer of 10 MB in a field is no line of 10 MB.
- A line that cannot be written is lost; the code that logged it never sees that.
"""

from __future__ import annotations

import logging
import math
import sys
from collections.abc import Callable, Mapping, MutableMapping
from typing import Any, TextIO

import structlog
from pydantic import SecretBytes, SecretStr

from ripple.planes.telemetry.spans import current_trace_id

MAX_CHARACTERS = 4096
MAX_ITEMS, MAX_DEPTH = 64, 6
REDACTED = "[redacted]"
_QUIET = ("httpx", "httpcore", "alembic")
"""Libraries that tell each request; their warnings are kept."""

_Event = MutableMapping[str, Any]
_Processor = Callable[[Any, str, _Event], Any]


class _Lines(logging.StreamHandler[TextIO]):
    """Our handler, told from others when logging is configured again."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 (the library's name)
        """Nothing: a broken pipe must not write a traceback into itself."""


def configure_logging(service: str, stream: TextIO | None = None) -> None:
    """Write every line of this process as JSON to ``stream`` (standard error), from INFO up. Repeatable."""
    shared = _shared(service)
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        cache_logger_on_first_use=False,
    )
    handler = _Lines(stream or sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                _safe,
                structlog.processors.JSONRenderer(),
            ],
        )
    )
    root = logging.getLogger()
    for old in [one for one in root.handlers if isinstance(one, _Lines)]:
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(logging.INFO)
    for name in _QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)


def plain(value: Any, depth: int = 0) -> Any:
    """``value`` as JSON of bounded size, without secrets; never raises."""
    if isinstance(value, SecretStr | SecretBytes):
        return REDACTED
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, str):
        return _cut(value)
    if depth < MAX_DEPTH and isinstance(value, Mapping):
        return {_cut(str(key)): plain(one, depth + 1) for key, one in list(value.items())[:MAX_ITEMS]}
    if depth < MAX_DEPTH and isinstance(value, list | tuple | set | frozenset):
        return [plain(one, depth + 1) for one in list(value)[:MAX_ITEMS]]
    try:
        return _cut(repr(value))
    except Exception:
        return f"<{type(value).__name__}>"


def _shared(service: str) -> list[_Processor]:
    return [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
        _placed(service),
    ]


def _placed(service: str) -> _Processor:
    def add(logger: Any, method: str, event: _Event) -> _Event:
        event["service"] = service
        event["trace_id"] = current_trace_id()
        return event

    return add


def _safe(logger: Any, method: str, event: _Event) -> dict[str, Any]:
    found: dict[str, Any] = plain(event)
    return found


def _cut(text: str) -> str:
    if len(text) <= MAX_CHARACTERS:
        return text
    return f"{text[:MAX_CHARACTERS]}… ({len(text)} characters)"
