"""Where the checkout is."""

from __future__ import annotations

from pathlib import Path


def project_root() -> Path:
    """The folder that holds ``manifests/``, ``policies/`` and ``console/``."""
    return Path(__file__).resolve().parents[3]
