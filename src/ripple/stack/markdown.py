"""Markdown as text: tables whose cells cannot break out of their row, and fenced blocks."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any


def table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table; line breaks and bars in cells are made harmless."""
    lines = [_row(headings), _row(["---"] * len(headings)), *(_row([_cell(one) for one in row]) for row in rows)]
    return "\n".join(lines) + "\n"


def code(value: Any) -> str:
    """A value as inline code, in JSON form unless it is a text; empty for None and for an empty text."""
    if value is None or value == "":
        return ""
    return f"`{value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)}`"


def block(language: str, text: str) -> str:
    """A fenced block."""
    return f"```{language}\n{text.rstrip()}\n```\n"


def plain(text: str) -> str:
    """A docstring as Markdown: one paragraph a line, reStructuredText's double backticks as single ones."""
    paragraphs = [" ".join(part.split()) for part in text.split("\n\n")]
    return "\n\n".join(paragraphs).replace("``", "`").strip()


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")
