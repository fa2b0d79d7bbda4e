"""The records seam on real SQLite files: shape, durability, locking, clear errors."""

from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import insert, select, text
from sqlalchemy.engine import Connection
from sqlalchemy.exc import IntegrityError

from ripple.model.errors import Broken, Unavailable
from ripple.planes.records import Records, effects, engine, leases, schema, tables, timeline

T = TypeVar("T")
MIGRATIONS = Path(schema.__file__).parent / "migrations"


def run(main: Coroutine[Any, Any, T], seconds: float = 60) -> T:
    """One event loop with a deadline."""
    return asyncio.run(asyncio.wait_for(main, seconds))


@asynccontextmanager
async def opened(database: Path) -> AsyncIterator[Records]:
    """An open database that is closed at the end."""
    records = Records.at(database)
    await records.open()
    try:
        yield records
    finally:
        await records.close()


def setting(value: Any) -> dict[str, Any]:
    """A row of the settings table."""
    return {"key": "k", "value": value, "at": "now", "principal": "operator:local"}


async def put(records: Records, value: Any) -> None:
    async with records.write() as connection:
        await connection.execute(insert(tables.settings).values(**setting(value)))


async def values(records: Records) -> list[Any]:
    async with records.read() as connection:
        return list((await connection.execute(select(tables.settings.c.value))).scalars())


def test_the_migrated_database_has_exactly_the_shape_of_the_tables(tmp_path: Path) -> None:
    async def main() -> list[Any]:
        async with opened(tmp_path / "ripple.db") as records, records.read() as connection:
            return await connection.run_sync(difference)

    def difference(connection: Connection) -> list[Any]:
        return list(compare_metadata(MigrationContext.configure(connection), tables.metadata))

    assert run(main()) == []


def test_the_head_constant_names_the_newest_migration() -> None:
    script = ScriptDirectory(str(MIGRATIONS))
    assert script.get_current_head() == schema.HEAD
    assert {one.revision for one in script.walk_revisions()} == schema.KNOWN


def test_a_second_opening_needs_no_alembic(tmp_path: Path) -> None:
    database = tmp_path / "ripple.db"

    async def once() -> None:
        async with opened(database):
            pass

    run(once())
    code = (
        "import asyncio, sys; from pathlib import Path; from ripple.planes.records import Records\n"
        "async def main():\n"
        "    records = Records.at(Path(sys.argv[1])); await records.open(); await records.close()\n"
        "asyncio.run(main()); sys.exit('alembic' in sys.modules)"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(schema.__file__).parents[3])}
    assert subprocess.run([sys.executable, "-c", code, str(database)], env=environment, timeout=60).returncode == 0


def test_the_pragmas_promise_durability(tmp_path: Path) -> None:
    async def main() -> dict[str, Any]:
        async with opened(tmp_path / "ripple.db") as records, records.read() as connection:
            names = ("journal_mode", "synchronous", "foreign_keys", "busy_timeout")
            return {name: (await connection.execute(text(f"PRAGMA {name}"))).scalar() for name in names}

    assert run(main()) == {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1, "busy_timeout": 10_000}


def test_audit_and_evidence_refuse_update_and_delete(tmp_path: Path) -> None:
    audit = dict.fromkeys(("at", "principal", "action", "resource", "outcome", "previous", "hash"), "x")
    evidence = dict.fromkeys(("change_id", "subject", "gate", "verdict", "at"), "x")

    async def main() -> int:
        refused = 0
        async with opened(tmp_path / "ripple.db") as records:
            async with records.write() as connection:
                await connection.execute(insert(tables.audit).values(seq=1, data={}, **audit))
                await connection.execute(insert(tables.evidence).values(envelope={}, **evidence))
            for statement in (
                "UPDATE audit SET action = 'y'",
                "DELETE FROM audit",
                "UPDATE evidence SET gate = 'y'",
                "DELETE FROM evidence",
            ):
                with pytest.raises(IntegrityError, match="append-only"):
                    async with records.write() as connection:
                        await connection.execute(text(statement))
                refused += 1
        return refused

    assert run(main()) == 4


def test_an_exception_undoes_the_whole_write(tmp_path: Path) -> None:
    async def main() -> list[Any]:
        async with opened(tmp_path / "ripple.db") as records:
            with pytest.raises(ValueError, match="stop"):
                async with records.write() as connection:
                    await connection.execute(insert(tables.settings).values(**setting(1)))
                    raise ValueError("stop")
            await put(records, 2)
            return await values(records)

    assert run(main()) == [2]


def test_a_cancelled_write_leaves_nothing_and_frees_the_lock(tmp_path: Path) -> None:
    async def main() -> list[Any]:
        async with opened(tmp_path / "ripple.db") as records:
            inside = asyncio.Event()

            async def stuck() -> None:
                async with records.write() as connection:
                    await connection.execute(insert(tables.settings).values(**setting("lost")))
                    inside.set()
                    await asyncio.Event().wait()

            task = asyncio.create_task(stuck())
            await inside.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            await put(records, "kept")
            return await values(records)

    assert run(main()) == ["kept"]


def test_concurrent_writers_of_one_process_all_get_their_turn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The last of them waits for all the others, each of which waits for the disk.
    monkeypatch.setattr(engine, "BUSY_SECONDS", 60)

    async def main() -> set[Any]:
        async with opened(tmp_path / "ripple.db") as records:
            await asyncio.gather(*(put(records, number) for number in range(60)))
            return set(await values(records))

    assert run(main(), 120) == set(range(60))


def test_a_reader_sees_one_snapshot_while_another_writes(tmp_path: Path) -> None:
    async def main() -> tuple[list[Any], list[Any]]:
        async with opened(tmp_path / "ripple.db") as records:
            await put(records, 1)
            async with records.read() as connection:
                query = select(tables.settings.c.value)
                before = list((await connection.execute(query)).scalars())
                await put(records, 2)
                return before, list((await connection.execute(query)).scalars())

    assert run(main()) == ([1], [1])


def test_processes_that_open_a_new_database_at_once_all_succeed(tmp_path: Path) -> None:
    code = (
        "import asyncio, sys; from pathlib import Path; from ripple.planes.records import Records\n"
        "async def main():\n"
        "    records = Records.at(Path(sys.argv[1])); await records.open(); await records.close()\n"
        "asyncio.run(main())"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(schema.__file__).parents[3])}
    command = [sys.executable, "-c", code, str(tmp_path / "new" / "ripple.db")]
    running = [subprocess.Popen(command, env=environment) for _ in range(3)]
    assert [process.wait(60) for process in running] == [0, 0, 0]


def test_a_committed_row_survives_kill_nine(tmp_path: Path) -> None:
    database = tmp_path / "ripple.db"
    code = (
        "import asyncio, sys; from pathlib import Path; from sqlalchemy import text\n"
        "from ripple.planes.records import Records\n"
        "async def main():\n"
        "    records = Records.at(Path(sys.argv[1])); await records.open()\n"
        "    for number in range(10**9):\n"
        "        async with records.write() as connection:\n"
        "            statement = text(\"INSERT INTO effects VALUES (:k, 'done', 'null', 'x')\")\n"
        "            await connection.execute(statement, {'k': str(number)})\n"
        "        print(number, flush=True)\n"
        "asyncio.run(main())"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(schema.__file__).parents[3])}
    command = [sys.executable, "-c", code, str(database)]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        said = [int(process.stdout.readline()) for _ in range(20)]
        process.send_signal(signal.SIGKILL)
        said += [int(line) for line in process.stdout]
    kept = {int(row[0]) for row in sqlite3.connect(database).execute("SELECT key FROM effects")}
    assert set(said) <= kept


def test_a_newer_database_is_refused_by_name(tmp_path: Path) -> None:
    database = tmp_path / "ripple.db"

    async def main() -> None:
        async with opened(database):
            pass
        with sqlite3.connect(database) as raw:
            raw.execute("UPDATE alembic_version SET version_num = '9999'")
        with pytest.raises(Broken, match="newer Ripple"):
            await Records.at(database).open()

    run(main())


def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    database = tmp_path / "ripple.db"
    database.write_bytes(b"this is not a database, really not" * 200)
    with pytest.raises(Broken, match="backup"):
        run(Records.at(database).open())


def test_a_folder_in_place_of_the_file_is_unavailable(tmp_path: Path) -> None:
    (tmp_path / "ripple.db").mkdir()
    with pytest.raises(Unavailable, match="cannot be opened"):
        run(Records.at(tmp_path / "ripple.db").open())


def test_a_full_disk_is_unavailable_and_loses_nothing(tmp_path: Path) -> None:
    async def main() -> list[Any]:
        async with opened(tmp_path / "ripple.db") as records:
            await put(records, "kept")
            with pytest.raises(Unavailable, match="disk is full"):
                async with records.write() as connection:
                    # SQLite's own limit on pages answers with the same code as a full disk.
                    await connection.execute(text("PRAGMA max_page_count = 60"))
                    await connection.execute(insert(tables.settings).values(**setting("x" * 1_000_000)))
            async with records.write() as connection:
                await connection.execute(text("PRAGMA max_page_count = 1000000"))
            return await values(records)

    assert run(main()) == ["kept"]


def test_a_lock_held_elsewhere_ends_in_a_clear_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "BUSY_SECONDS", 0)

    async def main() -> None:
        async with opened(tmp_path / "ripple.db") as records:
            other = sqlite3.connect(tmp_path / "ripple.db", isolation_level=None)
            other.execute("BEGIN IMMEDIATE")
            with pytest.raises(Unavailable, match="another process kept it locked"):
                await put(records, 1)
            other.execute("ROLLBACK")
            other.close()
            await put(records, 2)

    run(main())


def test_use_before_opening_says_so(tmp_path: Path) -> None:
    async def main() -> None:
        async with Records.at(tmp_path / "ripple.db").read():
            pass

    with pytest.raises(Unavailable, match="not open"):
        run(main())


def test_an_effect_runs_once_and_its_result_is_kept(tmp_path: Path) -> None:
    async def main() -> tuple[Any, Any, int]:
        async with opened(tmp_path / "ripple.db") as records:
            ran = []

            async def effect() -> dict[str, int]:
                ran.append(1)
                return {"commit": 7}

            first = await effects.once(records, "commit/1", effect)
            return first, await effects.once(records, "commit/1", effect), len(ran)

    assert run(main()) == ({"commit": 7}, {"commit": 7}, 1)


def test_an_effect_that_failed_runs_again(tmp_path: Path) -> None:
    async def main() -> str:
        async with opened(tmp_path / "ripple.db") as records:
            with pytest.raises(OSError, match="no"):
                await effects.once(records, "k", failing(OSError("no")))
            return str(await effects.once(records, "k", returning("yes")))

    def failing(error: Exception) -> Callable[[], Awaitable[Any]]:
        async def effect() -> Any:
            raise error

        return effect

    def returning(value: str) -> Callable[[], Awaitable[Any]]:
        async def effect() -> Any:
            return value

        return effect

    assert run(main()) == "yes"


def test_a_lease_has_one_owner_who_may_ask_again(tmp_path: Path) -> None:
    async def main() -> list[Any]:
        async with opened(tmp_path / "ripple.db") as records:
            said: list[Any] = [
                await leases.acquire(records, "application/a", owner) for owner in ("c1", "c2", "c1")
            ]
            await leases.release(records, "application/a", "c2")
            said.append(await leases.holder(records, "application/a"))
            await leases.release(records, "application/a", "c1")
            said.append(await leases.holder(records, "application/a"))
            return [*said, await leases.acquire(records, "application/a", "c2")]

    assert run(main()) == [True, False, True, "c1", None, True]


def test_many_that_ask_for_one_lease_at_once_get_one_owner(tmp_path: Path) -> None:
    async def main() -> int:
        async with opened(tmp_path / "ripple.db") as records:
            return sum(await asyncio.gather(*(leases.acquire(records, "n", f"c{number}") for number in range(10))))

    assert run(main()) == 1


def test_the_timeline_gives_facts_in_order_from_where_one_left_off(tmp_path: Path) -> None:
    async def main() -> list[Any]:
        async with opened(tmp_path / "ripple.db") as records:
            async with records.write() as connection:
                first = await timeline.append(connection, "chg-1", "step", {"n": 1})
                await timeline.append(connection, "chg-2", "step", {"n": 2})
                await timeline.append(connection, "chg-1", "gate", {"n": 3})
            return [(row.kind, row.data) for row in await timeline.after(records, "chg-1", first)]

    assert run(main()) == [("gate", {"n": 3})]
