"""``python audit_processes.py DATABASE NAME COUNT`` appends and prints each number that it was promised."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from ripple.governance.audit import Audit, AuditDraft
from ripple.model.governance import Principal, PrincipalKind
from ripple.planes.records import Records

CALLERS = 8


async def main(database: Path, name: str, count: int) -> None:
    """Append ``count`` entries from several tasks; a line on stdout means the entry is durable."""
    records = Records.at(database)
    await records.open()
    audit = Audit(records)

    async def caller(offset: int) -> None:
        for number in range(offset, count, CALLERS):
            draft = AuditDraft(Principal(PrincipalKind.SERVICE, name), "test.append", f"n/{number}", "done")
            entry = await audit.append(draft)
            sys.stdout.write(f"{entry.seq} {entry.hash}\n")
            sys.stdout.flush()

    await asyncio.gather(*(caller(offset) for offset in range(CALLERS)))
    await audit.close()
    await records.close()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])))
