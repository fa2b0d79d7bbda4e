"""All that is generated of a checkout, from every room that makes a part of it, and its check."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from ripple.delivery.evidence import status_documents
from ripple.model.errors import Invalid
from ripple.model.system import VendorLock
from ripple.stack.checkout import check_checkout, read_rows, since
from ripple.stack.documents import documents
from ripple.stack.files import write_whole
from ripple.stack.load import load_manifest
from ripple.stack.oci import FOLDER, MERGED, base_rows, merged_rows, text_of
from ripple.stack.phases import GRAPH, load_plan, mermaid
from ripple.stack.rules import Finding
from ripple.stack.systems import StackMap
from ripple.stack.vendorlock import load_lock


def check_stack(root: Path, revision: str = "") -> list[Finding]:
    """Every refusal of the checkout, by file and line; with ``revision`` also those of the change since."""
    from ripple.stack.manifests.check import manifest_findings  # slow: most who import this room check nothing

    found = [*check_checkout(root, more), *manifest_findings(root)]
    return sorted([*found, *(since(root, revision) if revision else [])])


def write_documents(root: Path) -> list[str]:
    """Write what is out of date; returns the paths that changed.

    Raises:
        Invalid: the rows do not load, so nothing can be made of them.
    """
    rows, findings = read_rows(root)
    if findings:
        raise Invalid(
            f"{findings[0].file}:{findings[0].line}: {findings[0].message}; ./ripple stack check shows all"
        )
    facts = load_manifest(root / "manifests" / "stack.yaml")
    lock = load_lock(root / "manifests")
    changed = _write(root, documents(rows, facts["roles"], lock, base_rows(root / FOLDER)))
    return changed + _write(root, more(root, rows, lock))


def more(root: Path, rows: StackMap, lock: VendorLock) -> Mapping[str, str]:
    """What is made of more than the rows: the image table, the picture of the task graph, what is proven."""
    from ripple.stack.manifests.check import manifest_documents

    return {
        **status_documents(root, rows, lock),
        **manifest_documents(root),
        f"{FOLDER}/{MERGED}": text_of(merged_rows(root / FOLDER)),
        f"manifests/{GRAPH}": mermaid(load_plan(root / "manifests")),
    }


def _write(root: Path, texts: Mapping[str, str]) -> list[str]:
    changed = []
    for name, text in texts.items():
        path = root / name
        if not path.is_file() or path.read_text(encoding="utf-8") != text:
            write_whole(path, text)
            changed.append(name)
    return changed
