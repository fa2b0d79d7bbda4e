"""The command line: ``./ripple VERB``. Each verb calls the same API the console uses."""

from __future__ import annotations

import io
import sys

from ripple.model.errors import RippleError
from ripple.surfaces.cli.output import fail


def main() -> None:
    """Run one command; errors are one line that says what failed, why, and what to do."""
    from ripple.surfaces.cli.verbs import program  # typer and rich are only needed past this point

    for stream in (sys.stdout, sys.stderr):
        # What models and tests write may not fit the terminal's encoding; a command does not fail on that.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    try:
        program(prog_name="./ripple")
    except RippleError as error:
        sys.exit(fail(error))


__all__ = ["main"]
