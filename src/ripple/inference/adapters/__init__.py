"""Adapters: one per kind of provider, each by its row in ``manifests/models.yaml``."""

from __future__ import annotations

from ripple.inference.adapters.command import CommandLine
from ripple.inference.adapters.exchange import Adapter, Call, Reply
from ripple.inference.adapters.http import ChatCompletions
from ripple.inference.catalogue import AdapterRow, Catalogue

__all__ = ["Adapter", "Call", "Reply", "adapters_of"]


def adapters_of(catalogue: Catalogue) -> dict[str, Adapter]:
    """Every adapter of the catalogue by name."""
    return {row.name: _adapter(row) for row in catalogue.adapters}


def _adapter(row: AdapterRow) -> Adapter:
    return ChatCompletions() if row.kind == "http" else CommandLine(row)
