"""Reading a checkout for its rules: every file once, and what cannot be read becomes a finding of its own."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from pydantic import ValidationError

from ripple.model.errors import Invalid, RippleError
from ripple.model.system import Layer, System, VendorLock
from ripple.stack.documents import documents, rows_digest
from ripple.stack.load import load_manifest
from ripple.stack.marks import Marks
from ripple.stack.oci import FOLDER as TABLES
from ripple.stack.oci import base_rows
from ripple.stack.rules import Checked, Finding, check, duplicates
from ripple.stack.systems import FOLDER, Placed, StackMap, in_layers, load_map
from ripple.stack.vendorlock import load_lock

MAP, LOG = "docs/STACK.md", "docs/STACK-CHANGES.md"
_PINNED = re.compile(r"^([A-Za-z0-9._-]+)==([^\s;\\]+)", re.MULTILINE)
_ENTRY = re.compile(r"^([+-])\s*[-*]\s+\d{4}-\d{2}-\d{2}\b", re.MULTILINE)
_SOURCES = ("src/ripple/**/*.py", "policies/**/*.rego")
_MANIFESTS = ("manifests/**/*.yaml", "manifests/**/*.json", "tables/*.csv")


More = Callable[[Path, StackMap, VendorLock], Mapping[str, str]]
"""Further generated texts by path, of a checkout whose rows and lock are read already."""


def _nothing_more(_root: Path, _rows: StackMap, _lock: VendorLock) -> Mapping[str, str]:
    return {}


def check_checkout(root: Path, more: More = _nothing_more) -> list[Finding]:
    """Every refusal of the checkout at ``root``; what ``more`` gives is compared too."""
    rows, findings = read_rows(root)
    if findings:
        return sorted(findings)
    checked = read(root, rows, more)
    files = {name: Marks(root / name) for name in checked.manifests if name.endswith(".yaml")}
    return sorted([*duplicates(files), *check(checked)])


def read(root: Path, rows: StackMap, more: More = _nothing_more) -> Checked:
    """What the rules look at, read once."""
    facts = load_manifest(root / "manifests" / "stack.yaml")
    lock = load_lock(root / "manifests")
    return Checked(
        root,
        rows,
        frozenset(facts["roles"]),
        pinned={name.lower(): version for name, version in _PINNED.findall(_text(root / "requirements.lock"))},
        sources=_texts(root, _SOURCES),
        generated={**documents(rows, facts["roles"], lock, base_rows(root / TABLES)), **more(root, rows, lock)},
        decisions=frozenset(path.name[:4] for path in (root / "docs" / "adr").glob("[0-9]*.md")),
        manifests=_texts(root, _MANIFESTS),
        exemptions=tuple((facts.get("exemptions") or {}).get("inference") or ()),
    )


def read_rows(root: Path) -> tuple[StackMap, list[Finding]]:
    """The map and what is wrong with the shape of its rows: each row by itself, so one does not hide another."""
    placed: list[Placed] = []
    findings: list[Finding] = []
    for path in sorted((root / "manifests" / FOLDER).glob("*.yaml")):
        name = path.relative_to(root).as_posix()
        try:
            data = load_manifest(path)
            layer = Layer.model_validate(data["layer"])
        except (RippleError, ValidationError, KeyError, TypeError) as error:
            fix = "write a layer with id, name and purpose, and a list of systems"
            findings.append(Finding(name, 1, "SHAPE", f"is no layer: {error}", fix))
            continue
        for number, row in enumerate(data.get("systems") or ()):
            found = _row(path, name, number, row)
            if isinstance(found, System):
                placed.append(Placed(found, layer, path))
            else:
                findings.extend(found)
    try:
        return in_layers(placed), findings
    except Invalid as error:
        return StackMap(()), [*findings, Finding("manifests/components", 0, "SHAPE", str(error), "keep one")]


def since(root: Path, revision: str) -> list[Finding]:
    """The refusal of a stack change that leaves out the map or its dated change log (RH.3, R8.1).

    Raises:
        Invalid: ``revision`` is not a commit of this checkout.
    """
    touched = set(_git(root, "diff", "--name-only", revision, "--").splitlines())
    touched |= set(_git(root, "ls-files", "--others", "--exclude-standard").splitlines())
    stack = sorted(name for name in touched if name.startswith("manifests/"))
    if not stack:
        return []
    found = []
    rows = [name for name in stack if name.startswith("manifests/components/")]
    if rows and MAP not in touched and not _says(root, revision):
        found.append(Finding(rows[0], 0, "RH.3", f"changed since {revision} and {MAP} did not",
                             "./ripple stack generate, and commit both"))  # fmt: skip
    if _entries(_git(root, "diff", revision, "--", LOG)) <= 0 and not _new(root, LOG, touched):
        found.append(Finding(stack[0], 0, "RH.3", f"changed since {revision} and {LOG} has no new dated line",
                             f"add a line like '- 2026-01-31: what changed and why' to {LOG}"))  # fmt: skip
    return found


def _says(root: Path, revision: str) -> bool:
    """Whether the map of ``revision`` was made of the very rows of today: then only their comments changed."""
    try:
        return rows_digest(load_map(root / "manifests")) in _git(root, "show", f"{revision}:{MAP}")
    except Invalid:
        return False


def _entries(diff: str) -> int:
    """How many dated lines a change of the log adds, less those it takes away."""
    return sum(1 if mark == "+" else -1 for mark in _ENTRY.findall(diff))


def _new(root: Path, name: str, touched: set[str]) -> bool:
    return name in touched and not _git(root, "ls-files", "--", name)


def _row(path: Path, name: str, number: int, row: object) -> System | list[Finding]:
    try:
        return System.model_validate(row)
    except ValidationError as error:
        return list(_shape(Marks(path), name, number, row, error))


def _shape(marks: Marks, name: str, number: int, row: object, error: ValidationError) -> Iterator[Finding]:
    known = row.get("id", number) if isinstance(row, dict) else number
    for found in error.errors():
        place = found["loc"]
        answers = bool(place) and place[0] == "answers"
        what = ".".join(str(part) for part in place) or "the row"
        yield Finding(
            name,
            marks.line("systems", number, *place),
            "R3.1" if answers else "SHAPE",
            f"{known}: {what}: {found['msg']}",
            "answer owner, adoption, failure_modes and rollback" if answers else "docs/adding-a-component.md",
        )


def _texts(root: Path, patterns: tuple[str, ...]) -> dict[str, str]:
    paths = sorted(path for pattern in patterns for path in root.glob(pattern))
    return {path.relative_to(root).as_posix(): _text(path) for path in paths}


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8") if path.is_file() else ""


def _git(root: Path, *arguments: str) -> str:
    done = subprocess.run(("git", *arguments), cwd=root, capture_output=True, text=True, timeout=60, check=False)
    if done.returncode:
        raise Invalid(f"git {' '.join(arguments[:3])} in {root} failed: {done.stderr.strip()}")
    return done.stdout
