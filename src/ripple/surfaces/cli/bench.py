"""``./ripple bench NAME``: runs a benchmark of this checkout and shows what was reached beside what was wanted."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

import typer

from ripple.model.errors import NotFound, RippleError
from ripple.stack.root import project_root
from ripple.surfaces.cli.output import people, progress, show_json, table


def run_bench(name: str, runs: int, *, setup: bool, as_json: bool) -> None:
    """Run ``benchmarks/NAME.py``; exit status 1 when a claim was not reached.

    Raises:
        NotFound: there is no such benchmark.
        RippleError: it did not end; its own words are in the message.
    """
    root = project_root()
    script = root / "benchmarks" / f"{name}.py"
    known = sorted(path.stem for path in script.parent.glob("*.py"))
    if name not in known:
        raise NotFound(f"no benchmark {name!r}; there are {', '.join(known)}")
    command = [sys.executable, str(script)]
    if name == "spine":
        command += ["--runs", str(runs), *(["--setup"] if setup else [])]
    env = {**os.environ, "PYTHONPATH": f"{root / 'src'}{os.pathsep}{root}"}
    with progress.status(f"measuring {name}; this takes minutes"):
        done = subprocess.run(command, env=env, cwd=root, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RippleError(f"benchmark {name} did not end: {(done.stderr or done.stdout).strip()[-800:]}")
    found: dict[str, Any] = json.loads(done.stdout)
    claims = found.get("claims", [])
    if as_json or not claims:
        show_json(found)
    else:
        people.print(f"{name} on {found['machine']['system']}, {found['machine']['cores']} cores")
        table(claims, {"name": "what", "value": "measured", "wanted": "wanted", "reached": "reached"}, "no claim")
    raise typer.Exit(0 if all(claim["reached"] for claim in claims) else 1)
