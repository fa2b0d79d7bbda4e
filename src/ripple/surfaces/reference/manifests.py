"""The page of the manifests: every file, what it says and the schema it fits."""

from __future__ import annotations

import sys
from pathlib import Path

from pydantic import BaseModel

from ripple.inference.policy import POLICY_FILE, PolicyFile
from ripple.stack.manifests.dnas import FOLDER, Dna
from ripple.stack.manifests.registry import FILES, FOLDERS
from ripple.stack.markdown import code, plain, table

INTRODUCTION = """# Manifests

What a stack is stands in `manifests/`, as data. An unknown key is an error that names the nearest known one.
`./ripple stack show FILE` prints a file as Ripple reads it, with every default filled in; `./ripple stack check`
refuses what does not fit or contradicts another file; `./ripple stack hash` is the one digest of all of them.
Schemas are in `manifests/schemas/` and generated from the code that reads the files.
"""


def page(root: Path) -> str:
    """Every file and folder of ``manifests`` that has a schema."""
    known: dict[str, tuple[type[BaseModel], str]] = {
        **{name: found for name, found in FILES.items() if found[0] is not Dna},
        f"{FOLDER.as_posix()}/*.json": (Dna, "dna"),
        POLICY_FILE.relative_to("manifests").as_posix(): (PolicyFile, "inference_policy"),
        **{f"{folder}/*.yaml": found for folder, found in FOLDERS.items()},
    }
    rows = [
        (code(name), plain(_about(name, kind)), code(f"{schema}.schema.json"))
        for name, (kind, schema) in sorted(known.items())
    ]
    return "\n".join([INTRODUCTION, table(("file", "what", "schema"), rows)])


def _about(name: str, kind: type[BaseModel]) -> str:
    """The first line of the module that is about this file, or of its model; without the names it begins with."""
    module, model = ((one.__doc__ or "").partition("\n")[0] for one in (sys.modules[kind.__module__], kind))
    first = module if name.removesuffix("/*.json") in module else model
    told = first.rpartition("``: ")[2].removesuffix(" Pure.")
    return told[:1].upper() + told[1:]
