"""Libraries without the colours they load for developers wherever rich is installed.

structlog loads rich for tracebacks, httpx for its own command line: a hundred modules that no process of an
instance uses, while everybody waits for its start. Both do without where rich cannot be imported.
"""

from __future__ import annotations

import sys
from importlib import import_module


def without_rich(*libraries: str) -> None:
    """Import the libraries as if rich were not installed; it can be imported by others afterwards."""
    if "rich" in sys.modules:
        return
    sys.modules["rich"] = None  # type: ignore[assignment]
    try:
        for name in libraries:
            import_module(name)
    finally:
        del sys.modules["rich"]
