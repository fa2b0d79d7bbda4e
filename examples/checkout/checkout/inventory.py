"""What the warehouse holds. Read once at start; a quote takes nothing out of it."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path


class Inventory:
    """How many pieces of each item there are."""

    def __init__(self, pieces: Mapping[str, int]) -> None:
        self._pieces = dict(pieces)

    @classmethod
    def read(cls, path: Path) -> Inventory:
        """The stock of a CSV file with the columns ``item`` and ``pieces``."""
        with path.open(newline="", encoding="utf-8") as lines:
            return cls({row["item"]: int(row["pieces"]) for row in csv.DictReader(lines)})

    def available(self, item: str) -> int:
        """Pieces of ``item`` on hand; an item nobody has heard of has none."""
        return self._pieces.get(item, 0)

    def missing(self, basket: Mapping[str, int]) -> dict[str, int]:
        """How many pieces of each item of the basket are not on hand."""
        short = {item: quantity - self.available(item) for item, quantity in basket.items()}
        return {item: pieces for item, pieces in short.items() if pieces > 0}
