"""What the command line prints: JSON for machines, tables for people, progress on standard error."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from ripple.model.errors import RippleError

Json = Annotated[bool, typer.Option("--json", help="One JSON document on standard output.")]
people = Console()
progress = Console(stderr=True)


def show_json(value: Any) -> None:
    """One JSON document on standard output, and nothing else there."""
    sys.stdout.write(json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def fail(error: RippleError) -> int:
    """Print an error, as JSON when the command asked for it; returns the exit status."""
    if "--json" in sys.argv:
        show_json({"error": {"code": error.code, "message": str(error), "retryable": error.retryable}})
    progress.print(Text.assemble(("error", "bold red"), f" {error}"), soft_wrap=True, highlight=False)
    return 1


def table(rows: Sequence[Mapping[str, Any]], columns: Mapping[str, str], empty: str) -> None:
    """Rows as a table: ``columns`` maps keys to headings; ``empty`` is said when there are no rows."""
    if not rows:
        people.print(empty)
        return
    shown = Table(box=None, header_style="bold", pad_edge=False)
    for heading in columns.values():
        shown.add_column(heading, overflow="fold")
    for row in rows:
        shown.add_row(*(Text(_cell(row.get(key))) for key in columns))
    people.print(shown)


def _cell(value: Any) -> str:
    if value is None:
        return "—"
    if isinstance(value, list):
        return "; ".join(str(part) for part in value)
    return str(value)
