"""The audit log on a real SQLite file: what was promised is there, what was tampered with is found."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

import pytest

from ripple.governance.audit import MAX_DATA_BYTES, Audit, AuditDraft, AuditVerdict
from ripple.governance.chain import GENESIS
from ripple.model.errors import Invalid, Unavailable
from ripple.model.governance import Decision, Principal, PrincipalKind
from ripple.planes.records import Records

T = TypeVar("T")
OPERATOR = Principal(PrincipalKind.OPERATOR, "local", ("operator",))
APPENDER = Path(__file__).with_name("audit_processes.py")
SOURCES = Path(__file__).parents[3] / "src"


def run(main: Coroutine[Any, Any, T]) -> T:
    """One event loop with a deadline."""
    return asyncio.run(asyncio.wait_for(main, 60))


def draft(number: int = 0, **data: Any) -> AuditDraft:
    return AuditDraft(OPERATOR, "change.submit", f"application/{number}", "allowed", data=data)


@asynccontextmanager
async def log_at(database: Path) -> AsyncIterator[Audit]:
    """An open log that is closed in order at the end."""
    records = Records.at(database)
    await records.open()
    audit = Audit(records)
    try:
        yield audit
    finally:
        await audit.close()
        await records.close()


async def fill(database: Path, count: int) -> None:
    async with log_at(database) as audit:
        await asyncio.gather(*(audit.append(draft(number)) for number in range(count)))


async def verdict(database: Path) -> AuditVerdict:
    async with log_at(database) as audit:
        return await audit.verify()


def tamper(database: Path, *statements: str) -> None:
    """What someone with the file can do: drop the guard, change rows."""
    with sqlite3.connect(database) as raw:
        for trigger in ("audit_no_update", "audit_no_delete"):
            raw.execute(f"DROP TRIGGER {trigger}")
        for statement in statements:
            raw.execute(statement)
    raw.close()


def test_entries_are_chained_and_complete(tmp_path: Path) -> None:
    async def main() -> None:
        async with log_at(tmp_path / "ripple.db") as audit:
            decision = Decision("dec-1", "ripple/authz", True, (), "sha256:rev")
            whole = AuditDraft(
                OPERATOR, "change.submit", "application/a", "allowed", decision, "t1", {"k": [1, 2]}
            )
            first, second = await audit.append(whole), await audit.append(draft(2))
            assert (first.seq, first.previous, second.seq, second.previous) == (1, GENESIS, 2, first.hash)
            shown = (first.principal, first.decision_id, first.policy_revision, first.trace_id, first.data)
            assert shown == ("operator:local", "dec-1", "sha256:rev", "t1", {"k": [1, 2]})
            assert await audit.verify() == AuditVerdict(True, 2, second.hash)

    run(main())


def test_an_empty_log_is_whole(tmp_path: Path) -> None:
    assert run(verdict(tmp_path / "ripple.db")) == AuditVerdict(True, 0, GENESIS)


def test_concurrent_appends_make_one_chain_of_shared_transactions(tmp_path: Path) -> None:
    async def main() -> tuple[set[int], AuditVerdict]:
        async with log_at(tmp_path / "ripple.db") as audit:
            entries = await asyncio.gather(*(audit.append(draft(number)) for number in range(1_500)))
            return {entry.seq for entry in entries}, await audit.verify()

    numbers, found = run(main())
    assert numbers == set(range(1, 1_501))
    assert (found.ok, found.entries) == (True, 1_500)


def test_a_cancelled_append_is_wholly_there_or_not(tmp_path: Path) -> None:
    async def main() -> AuditVerdict:
        async with log_at(tmp_path / "ripple.db") as audit:
            tasks = [asyncio.create_task(audit.append(draft(number))) for number in range(200)]
            for turn, task in enumerate(tasks):
                if turn % 3 == 0:
                    await asyncio.sleep(0)
                if turn % 2 == 0:
                    task.cancel()
            done = await asyncio.gather(*tasks, return_exceptions=True)
            kept = {entry.resource for entry in await audit.page(limit=500)}
            promised = {entry.resource for entry in done if not isinstance(entry, BaseException)}
            assert promised <= kept
            assert len(promised) >= 100
            return await audit.verify()

    assert run(main()).ok


def test_a_draft_that_is_no_json_is_refused_alone(tmp_path: Path) -> None:
    async def main() -> list[Any]:
        async with log_at(tmp_path / "ripple.db") as audit:
            odd = [draft(1, x=float("nan")), draft(2, x=object()), draft(3, x="\ud800"), draft(4, x=2**60)]
            odd.append(AuditDraft(OPERATOR, "a\ud800", "r", "done"))
            appends = [audit.append(one) for one in (draft(0), *odd, draft(5))]
            return list(await asyncio.gather(*appends, return_exceptions=True))

    first, *refused, last = run(main())
    assert (first.seq, last.seq) == (1, 2)
    assert all(isinstance(one, Invalid) for one in refused)


def test_long_data_is_kept_as_its_digest(tmp_path: Path) -> None:
    async def main() -> tuple[Any, AuditVerdict]:
        async with log_at(tmp_path / "ripple.db") as audit:
            entry = await audit.append(draft(0, text="x" * (MAX_DATA_BYTES + 1)))
            return entry.data, await audit.verify()

    data, found = run(main())
    assert set(data) == {"digest", "bytes"}
    assert found.ok


def test_an_append_that_cannot_be_written_raises(tmp_path: Path) -> None:
    async def main() -> None:
        records = Records.at(tmp_path / "ripple.db")
        await records.open()
        audit = Audit(records)
        await records.close()
        with pytest.raises(Unavailable, match="audit log cannot be written"):
            await audit.append(draft())

    run(main())


def test_two_processes_extend_one_chain(tmp_path: Path) -> None:
    database = tmp_path / "ripple.db"
    run(fill(database, 1))
    environment = {**os.environ, "PYTHONPATH": str(SOURCES)}
    commands = [[sys.executable, str(APPENDER), str(database), name, "150"] for name in ("api", "worker")]
    running = [subprocess.Popen(one, env=environment, stdout=subprocess.PIPE, text=True) for one in commands]
    said = [process.communicate(timeout=60)[0].splitlines() for process in running]
    assert [process.returncode for process in running] == [0, 0]
    numbers = [int(line.split()[0]) for lines in said for line in lines]
    assert sorted(numbers) == list(range(2, 302))
    assert run(verdict(database)).ok


@pytest.mark.parametrize("after", [1, 40])
def test_what_was_promised_before_kill_nine_is_there_and_the_chain_holds(tmp_path: Path, after: int) -> None:
    database = tmp_path / "ripple.db"
    run(fill(database, 1))
    command = [sys.executable, str(APPENDER), str(database), "worker", "100000"]
    environment = {**os.environ, "PYTHONPATH": str(SOURCES)}
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(after)]
        process.send_signal(signal.SIGKILL)
        lines += [line for line in process.stdout if line.endswith("\n")]
    promised = {(int(line.split()[0]), line.split()[1]) for line in lines}
    kept = set(sqlite3.connect(database).execute("SELECT seq, hash FROM audit"))
    assert promised <= kept
    found = run(verdict(database))
    assert (found.ok, found.entries) == (True, len(kept))


@pytest.mark.parametrize(
    ("statements", "broken_at", "why"),
    [
        (["UPDATE audit SET outcome = 'denied' WHERE seq = 4"], 4, "a field was changed"),
        (["""UPDATE audit SET data = '{"k": 2}' WHERE seq = 1"""], 1, "a field was changed"),
        (["DELETE FROM audit WHERE seq = 4"], 5, "entry 4 is missing"),
        (["DELETE FROM audit WHERE seq = 1"], 2, "entry 1 is missing"),
        (
            [
                "UPDATE audit SET seq = 99 WHERE seq = 4",
                "UPDATE audit SET seq = 4 WHERE seq = 5",
                "UPDATE audit SET seq = 5 WHERE seq = 99",
            ],
            4,
            "replaced, reordered or inserted",
        ),
        (
            [
                "UPDATE audit SET seq = -seq - 1 WHERE seq >= 4",
                "UPDATE audit SET seq = -seq WHERE seq < 0",
                "INSERT INTO audit SELECT 4, at, principal, 'forged', resource, outcome, decision_id, "
                "policy_revision, trace_id, data, previous, hash FROM audit WHERE seq = 5",
            ],
            4,
            "a field was changed",
        ),
        (["DELETE FROM audit WHERE seq > 6"], 7, "cut off after entry 6"),
        (["DELETE FROM audit"], 1, "cut off after entry 0"),
    ],
)
def test_a_tampered_log_is_found(tmp_path: Path, statements: list[str], broken_at: int, why: str) -> None:
    database = tmp_path / "ripple.db"
    run(fill(database, 10))
    tamper(database, *statements)
    found = run(verdict(database))
    assert (found.ok, found.broken_at) == (False, broken_at)
    assert why in found.reason


def test_a_cut_log_that_grew_again_does_not_renew_its_anchor(tmp_path: Path) -> None:
    database = tmp_path / "ripple.db"
    run(fill(database, 10))
    tamper(database, "DELETE FROM audit WHERE seq > 6")
    run(fill(database, 20))
    found = run(verdict(database))
    assert not found.ok
    assert "entry 10 is another one" in found.reason


def test_the_anchor_names_the_newest_entry_after_closing(tmp_path: Path) -> None:
    database = tmp_path / "ripple.db"
    run(fill(database, 10))
    run(fill(database, 5))
    kept = json.loads((tmp_path / "audit.head").read_text())
    rows = sqlite3.connect(database).execute("SELECT seq, hash FROM audit ORDER BY seq DESC LIMIT 1").fetchone()
    assert (kept["entries"], kept["hash"]) == rows


def test_an_unreadable_anchor_is_no_proof(tmp_path: Path) -> None:
    database = tmp_path / "ripple.db"
    run(fill(database, 3))
    (tmp_path / "audit.head").write_text("{")
    found = run(verdict(database))
    assert not found.ok
    assert "unreadable" in found.reason


def test_pages_go_back_from_the_newest_and_filter(tmp_path: Path) -> None:
    async def main(check: Callable[..., None]) -> None:
        async with log_at(tmp_path / "ripple.db") as audit:
            for number in range(5):
                await audit.append(draft(number))
            check([one.seq for one in await audit.page(limit=2)], [5, 4])
            check([one.seq for one in await audit.page(before=4, limit=2)], [3, 2])
            check([one.seq for one in await audit.page(filters={"resource": "application/1"})], [2])
            check([one.seq for one in await audit.page(filters={"q": "LICATION/3"})], [4])
            check(await audit.page(filters={"q": "%"}), [])
            with pytest.raises(Invalid, match="did you mean 'resource'"):
                await audit.page(filters={"resorce": "x"})

    def same(found: Any, wanted: Any) -> None:
        assert found == wanted

    run(main(same))
