"""How long a step spent outside Ripple: waiting for models, sandboxed commands, deployments and soak.

Overlapping waits count once. Ripple's own time is a step's duration minus this.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager


class Stopwatch:
    """Measures the union of possibly overlapping waits, in seconds."""

    def __init__(self) -> None:
        self._active = 0
        self._since = 0.0
        self._total = 0.0

    @contextmanager
    def outside(self) -> Iterator[None]:
        """Everything inside this block is not Ripple's own time."""
        if self._active == 0:
            self._since = time.monotonic()
        self._active += 1
        try:
            yield
        finally:
            self._active -= 1
            if self._active == 0:
                self._total += time.monotonic() - self._since

    @property
    def seconds(self) -> float:
        """Seconds spent outside so far."""
        running = time.monotonic() - self._since if self._active else 0.0
        return self._total + running
