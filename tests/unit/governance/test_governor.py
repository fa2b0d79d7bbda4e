"""The choke point with the shipped policies and a real log: nothing happens unless allowed and written down."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

import pytest

from ripple.governance.audit import Audit
from ripple.governance.governor import Governor
from ripple.model.errors import Conflict, Refused, Unavailable
from ripple.model.governance import Principal, PrincipalKind
from ripple.planes.policy import Policy
from ripple.planes.policy.regorus import RegorusPolicy
from ripple.planes.records import Records

T = TypeVar("T")
POLICIES = Path(__file__).parents[3] / "policies"
OPERATOR = Principal(PrincipalKind.OPERATOR, "local", ("operator",))
AGENT = Principal(PrincipalKind.AGENT, "uhCAk1", ("agent",))


def run(main: Coroutine[Any, Any, T]) -> T:
    """One event loop with a deadline."""
    return asyncio.run(asyncio.wait_for(main, 60))


@asynccontextmanager
async def governed(folder: Path) -> AsyncIterator[tuple[Governor, Audit, Records]]:
    """A governor over the shipped policies and a log in ``folder``."""
    records = Records.at(folder / "ripple.db")
    await records.open()
    policy = Policy(RegorusPolicy())
    policy.load_directory(POLICIES)
    audit = Audit(records)
    try:
        yield Governor(policy, audit), audit, records
    finally:
        await records.close()


async def written(audit: Audit) -> list[tuple[str, str, str]]:
    """What the log says, oldest first."""
    return [(one.principal, one.action, one.outcome) for one in reversed(await audit.page())]


def test_an_allowed_action_leaves_its_beginning_and_its_end(tmp_path: Path) -> None:
    async def main() -> None:
        async with governed(tmp_path) as (governor, audit, _):
            async with governor.act(
                OPERATOR, "change.submit", "application/a", data={"n": 1}, trace_id="t"
            ) as said:
                assert said.allowed
            entries = list(reversed(await audit.page()))
            assert [one.outcome for one in entries] == ["allowed", "done"]
            assert {one.decision_id for one in entries} == {said.id}
            assert {one.trace_id for one in entries} == {"t"}
            assert entries[0].policy_revision == said.revision
            assert entries[0].data == {"n": 1}

    run(main())


def test_a_denied_action_does_not_run_and_is_written_down(tmp_path: Path) -> None:
    async def main() -> None:
        async with governed(tmp_path) as (governor, audit, _):
            with pytest.raises(Refused, match=r"agent uhCAk1 may not provider\.add"):
                async with governor.act(AGENT, "provider.add", "provider/x", data={}):
                    raise AssertionError("the body ran")
            assert await written(audit) == [("agent:uhCAk1", "provider.add", "denied")]

    run(main())


def test_a_failed_action_is_written_down_with_its_reason(tmp_path: Path) -> None:
    async def main() -> None:
        async with governed(tmp_path) as (governor, audit, _):
            with pytest.raises(Conflict):
                async with governor.act(OPERATOR, "change.cancel", "change/1", data={}):
                    raise Conflict("it has ended")
            with pytest.raises(KeyError):
                async with governor.act(OPERATOR, "change.cancel", "change/1", data={}):
                    raise KeyError("a secret")
            entries = list(reversed(await audit.page()))
            assert [one.outcome for one in entries] == ["allowed", "failed", "allowed", "failed"]
            assert [entries[1].data, entries[3].data] == [{"error": "it has ended"}, {"error": "KeyError"}]

    run(main())


def test_a_cancelled_action_is_written_down_as_failed(tmp_path: Path) -> None:
    async def main() -> None:
        async with governed(tmp_path) as (governor, audit, _):
            inside = asyncio.Event()

            async def work() -> None:
                async with governor.act(OPERATOR, "change.submit", "application/a", data={}):
                    inside.set()
                    await asyncio.Event().wait()

            task = asyncio.create_task(work())
            await inside.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert [outcome for _, _, outcome in await written(audit)] == ["allowed", "failed"]

    run(main())


def test_only_a_refused_read_leaves_an_entry(tmp_path: Path) -> None:
    async def main() -> None:
        async with governed(tmp_path) as (governor, audit, _):
            async with governor.act(OPERATOR, "change.read", "changes", data={}):
                pass
            assert await written(audit) == []
            stranger = Principal(PrincipalKind.AGENT, "uhCAk", ())
            with pytest.raises(Refused):
                async with governor.act(stranger, "change.read", "changes", data={}):
                    raise AssertionError("the body ran")
            assert await written(audit) == [("agent:uhCAk", "change.read", "denied")]

    run(main())


def test_what_cannot_be_written_down_does_not_happen(tmp_path: Path) -> None:
    async def main() -> None:
        async with governed(tmp_path) as (governor, _, records):
            await records.close()
            with pytest.raises(Unavailable, match="audit log"):
                async with governor.act(OPERATOR, "change.submit", "application/a", data={}):
                    raise AssertionError("the body ran")
            with pytest.raises(Unavailable, match="audit log"):
                await governor.decide(OPERATOR, "ripple/edits", {}, action="a", resource="r")

    run(main())


def test_an_end_that_cannot_be_written_down_is_told(tmp_path: Path) -> None:
    async def main() -> None:
        async with governed(tmp_path) as (governor, _, records):
            with pytest.raises(Unavailable, match=r"change\.submit on application/a has done"):
                async with governor.act(OPERATOR, "change.submit", "application/a", data={}):
                    await records.close()
            await records.open()
            with pytest.raises(Conflict) as caught:
                async with governor.act(OPERATOR, "change.submit", "application/a", data={}):
                    await records.close()
                    raise Conflict("first")
            assert "could not be written down" in caught.value.__notes__[0]

    run(main())


def test_a_decision_is_written_down_with_the_digest_of_its_input(tmp_path: Path) -> None:
    async def main() -> None:
        async with governed(tmp_path) as (governor, audit, _):
            asked = {"paths": [".git/config"], "kind": "code", "config_dir": "", "protected": []}
            found = await governor.decide(OPERATOR, "ripple/edits", asked, action="candidate.edit", resource="c/1")
            assert not found.allowed
            with pytest.raises(Refused, match="protected"):
                await governor.require(OPERATOR, "ripple/edits", asked, action="candidate.edit", resource="c/1")
            entries = await audit.page()
            assert [one.outcome for one in entries] == ["denied", "denied"]
            assert entries[0].data["input"].startswith("sha256:")
            assert entries[0].data["path"] == "ripple/edits"

    run(main())
