"""Import it before all else: the supervisor's start waits for nothing it does not use."""

from __future__ import annotations

from ripple.model.lean import without_rich

without_rich("structlog")
