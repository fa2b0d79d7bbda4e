"""All verbs of ``./ripple``."""

from __future__ import annotations

from ripple.surfaces.cli import bundle, component, lock, verify
from ripple.surfaces.cli.drift import drift
from ripple.surfaces.cli.everyday import program

program.command()(drift)
program.add_typer(component.program, name="component")
program.add_typer(lock.program, name="lock")
program.add_typer(bundle.program, name="bundle")
program.command("verify")(verify.verify)

__all__ = ["program"]
