"""How many audit entries per second become durable, next to a plain SQLite table with one transaction per row.

``PYTHONPATH=src python benchmarks/audit_append.py [FOLDER]`` prints JSON. Every entry counted is on disk
(``synchronous=FULL``, WAL) when its ``append`` returned. FOLDER decides which disk is measured (default: the
current folder); the plain table uses the same disk, pragmas and row content.
"""

from __future__ import annotations

import asyncio
import json
import sqlite3
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ripple.governance.audit import Audit, AuditDraft
from ripple.model.governance import Principal, PrincipalKind
from ripple.planes.records import Records

ENTRIES = 6_000
CALLERS = 200
ALONE = 200
DRAFT = AuditDraft(
    Principal(PrincipalKind.OPERATOR, "local", ("operator",)),
    "change.submit",
    "application/checkout",
    "allowed",
    trace_id="0" * 32,
    data={
        "change": "chg-000000000000",
        "policy": "ripple-moe",
        "intent": "raise the limit of items per order to 50",
    },
)


def main() -> None:
    """Measure and print."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else Path.cwd()
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        ours = asyncio.run(_ours(Path(scratch)))
        plain = _plain(Path(scratch) / "plain.db")
    sys.stdout.write(json.dumps({"audit": ours, "plain_sqlite_row_per_transaction": plain}, indent=2) + "\n")


async def _ours(folder: Path) -> dict[str, Any]:
    records = Records.at(folder / "ripple.db")
    await records.open()
    audit = Audit(records)
    await audit.append(DRAFT)
    alone = [await _timed(audit) for _ in range(ALONE)]
    began = time.perf_counter()
    waits = await asyncio.gather(*(_caller(audit, ENTRIES // CALLERS) for _ in range(CALLERS)))
    took = time.perf_counter() - began
    began = time.perf_counter()
    verdict = await audit.verify()
    verified = time.perf_counter() - began
    await audit.close()
    await records.close()
    return {
        "entries_per_second": round(ENTRIES / took),
        "how": f"{CALLERS} concurrent callers, {ENTRIES} entries, group commit, synchronous=FULL",
        "append_under_load": _summary([wait for row in waits for wait in row]),
        "append_alone": _summary(alone),
        "verify": {
            "ok": verdict.ok,
            "entries": verdict.entries,
            "entries_per_second": round(verdict.entries / verified),
        },
    }


async def _caller(audit: Audit, count: int) -> list[float]:
    return [await _timed(audit) for _ in range(count)]


async def _timed(audit: Audit) -> float:
    began = time.perf_counter()
    await audit.append(DRAFT)
    return time.perf_counter() - began


def _plain(file: Path) -> dict[str, Any]:
    """What one writes first: an INSERT and a COMMIT per row, without a chain."""
    connection = sqlite3.connect(file, isolation_level=None)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute(
        "CREATE TABLE audit (seq INTEGER PRIMARY KEY, at TEXT, principal TEXT, action TEXT, data TEXT)"
    )
    row = ("2026-01-01T00:00:00", str(DRAFT.principal), DRAFT.action, json.dumps(dict(DRAFT.data)))
    times = []
    for _ in range(ENTRIES // 3):
        began = time.perf_counter()
        connection.execute("INSERT INTO audit (at, principal, action, data) VALUES (?, ?, ?, ?)", row)
        times.append(time.perf_counter() - began)
    connection.close()
    return {"entries_per_second": round(len(times) / sum(times)), "append": _summary(times)}


def _summary(seconds: Sequence[float]) -> dict[str, float]:
    cuts = statistics.quantiles(seconds, n=100)
    return {"p50_ms": round(cuts[49] * 1000, 3), "p95_ms": round(cuts[94] * 1000, 3), "samples": len(seconds)}


if __name__ == "__main__":
    main()
