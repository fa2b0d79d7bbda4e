"""Import it before all else: the start of the API and of the worker waits for nothing they do not use."""

from __future__ import annotations

from ripple.model.lean import without_rich

without_rich("structlog", "httpx")
