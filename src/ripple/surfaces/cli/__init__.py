"""The command line: ``./ripple VERB``. Each verb calls the same API the console uses."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable
from typing import Any

from ripple.model.errors import RippleError
from ripple.surfaces.cli.output import fail


def main() -> None:
    """Run one command; errors are one line that says what failed, why, and what to do."""
    for stream in (sys.stdout, sys.stderr):
        # What models and tests write may not fit the terminal's encoding; a command does not fail on that.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    try:
        _program(sys.argv[1] if len(sys.argv) > 1 else "")(prog_name="./ripple")
    except RippleError as error:
        sys.exit(fail(error))


def _program(verb: str) -> Callable[..., Any]:
    """The program with that verb; typer, rich and what the verbs need are only loaded here."""
    from ripple.surfaces.cli.everyday import has, program

    if not has(verb):
        from ripple.surfaces.cli.verbs import program
    return program


__all__ = ["main"]
