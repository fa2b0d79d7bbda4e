"""Whether the programs of a Holochain conductor are here, and in the versions that are pinned (R9.3.b)."""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import anyio

from ripple.model.errors import RippleError
from ripple.stack.load import load_manifest, parse
from ripple.stack.manifests.versions import Versions, binaries_rows, differences

ANSWER_SECONDS = 10.0
_VERSION = re.compile(r"\b\d+\.\d+\.\d+(?:-[0-9A-Za-z.-]+)?")
WHY = "needed only to run a real conductor; pinned by manifests/holochain/versions.json"


async def examine_pinned(manifests: Path) -> list[dict[str, Any]]:
    """One row for each program: what it says of itself, beside its pin. None of them is needed."""
    path = manifests / "holochain" / "versions.json"
    try:
        versions = parse(Versions, load_manifest(path), str(path))
    except RippleError as error:
        fix = "./ripple stack check says what else is wrong with the manifests"
        return [{"name": "holochain pins", "ok": False, "needed": False, "found": str(error), "fix": fix}]
    installed = {row[1]: said for row in binaries_rows() if (said := await _said(row[1]))}
    return rows(versions, installed)


def rows(versions: Versions, installed: Mapping[str, str]) -> list[dict[str, Any]]:
    """The rows for programs of these versions."""
    wrong = {told.partition(" ")[0]: told for told in differences(versions, installed)}
    return [
        {
            "name": name,
            "ok": name not in wrong,
            "needed": False,
            "found": wrong.get(name, f"{installed.get(name, '')} as pinned"),
            "fix": WHY if name in wrong else "",
        }
        for name in (row[1] for row in binaries_rows())
    ]


async def _said(name: str) -> str:
    """The version a program on the path says it has; ``unknown`` if it says none, empty if it is not there."""
    place = shutil.which(name)
    if place is None:
        return ""
    try:
        with anyio.fail_after(ANSWER_SECONDS):
            done = await anyio.run_process([place, "--version"], check=False)
    except (OSError, TimeoutError):
        return "unknown"
    found = _VERSION.search(done.stdout.decode("utf-8", "replace"))
    return found[0] if found and done.returncode == 0 else "unknown"
