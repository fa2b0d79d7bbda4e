"""Voters with real records, policies and a real endpoint; live, with a real supervisor and model too."""

from __future__ import annotations

import asyncio
import atexit
import functools
import json
import os
import shutil
import signal
import stat
import tempfile
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

import pytest
from tests.unit.inference.asking import REQUEST
from tests.unit.inference.endpoint import Endpoint, raw, said
from tests.unit.supervisor.conftest import Instance

from ripple.changes.voters import DECODINGS, Voters
from ripple.governance.audit import Audit
from ripple.governance.governor import Governor
from ripple.inference.prompt import Request
from ripple.inference.voters import Voter
from ripple.model.candidate import Candidate, Standing
from ripple.model.change import ChangeKind
from ripple.model.errors import Invalid, NotFound, Refused
from ripple.model.paths import Home
from ripple.planes.policy import Policy
from ripple.planes.policy.regorus import RegorusPolicy
from ripple.planes.records import Records
from ripple.supervisor import start
from ripple.supervisor.client import SupervisorClient

T = TypeVar("T")
ROOT = Path(__file__).parents[3]
TRACE = "0123456789abcdef0123456789abcdef"
EMBEDDED = "ripple-moe-embedded"
TESTS = {"tests": [{"path": "test_a.py", "content": "def test_a():\n    assert True\n"}]}


def run(main: Coroutine[Any, Any, T], seconds: float = 60) -> T:
    return asyncio.run(asyncio.wait_for(main, seconds))


@pytest.fixture(scope="module")
def running_endpoint() -> Iterator[Endpoint]:
    running = Endpoint()
    yield running
    running.stop()


@pytest.fixture
def endpoint(running_endpoint: Endpoint) -> Endpoint:
    running_endpoint.reset()
    return running_endpoint


class Room:
    """The voters of one home, and what was written down."""

    def __init__(self, home: Home, records: Records, settings: dict[str, Any]) -> None:
        policy = Policy(RegorusPolicy())
        policy.load_directory(ROOT / "policies", settings)
        self.audit = Audit(records)
        self.home = home
        self.voters = Voters(
            home, records, Governor(policy, self.audit), SupervisorClient(home), ROOT / "manifests"
        )

    async def add(self, name: str, url: str | None, **given: Any) -> dict[str, Any]:
        key = given.pop("key", None)
        row = {"name": name, "tier": "cloud", "base_url": url, "model": name, "weight": 1.0, "adapter": "openai",
               "lineage": None, "priority": 100, "key_env": None, **given}  # fmt: skip
        return await self.voters.add_provider(row, key)

    async def asked(
        self, policy: str = EMBEDDED, only: Callable[[Voter], Request] = lambda _: REQUEST
    ) -> dict[str, Candidate]:
        found: dict[str, Candidate] = {}

        async def keep(candidate: Candidate) -> None:
            found[candidate.model] = candidate

        plan = await self.voters.plan(policy, ChangeKind.CODE)
        await self.voters.fan_out(plan, only, keep, TRACE)
        return found

    async def written(self, action: str) -> list[str]:
        """The outcomes of an action in the log, oldest first."""
        return [one.outcome for one in reversed(await self.audit.page(limit=200)) if one.action == action]


@asynccontextmanager
async def opened(folder: Path, settings: dict[str, Any] | None = None) -> AsyncIterator[Room]:
    home = Home(folder)
    if not home.database.exists():
        home.database.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(migrated(), home.database)
    records = Records.at(home.database)
    await records.open()
    try:
        yield Room(home, records, settings or {})
    finally:
        await records.close()


@functools.cache
def migrated() -> Path:
    """A database of the newest shape, made once."""
    made = Path(tempfile.mkdtemp(prefix="ripple-test-")) / "ripple.db"
    atexit.register(shutil.rmtree, made.parent, ignore_errors=True)

    async def make() -> None:
        records = Records.at(made)
        await records.open()
        await records.close()

    thread = threading.Thread(target=asyncio.run, args=(make(),))
    thread.start()
    thread.join()
    return made


def test_a_provider_is_kept_shown_without_its_key_and_forgotten(tmp_path: Path, endpoint: Endpoint) -> None:
    async def main() -> None:
        async with opened(tmp_path) as room:
            shown = await room.add("acme", endpoint.url, key="sk-secret", weight=1.5, key_env="ACME_KEY")
            said_of = (shown["tier"], shown["weight"], shown["lineage"], shown["has_key"], shown["key_env"])
            assert said_of == ("cloud", 1.5, "acme", True, "ACME_KEY")
            assert await room.voters.providers() == [shown]
            assert "sk-secret" not in json.dumps(shown)
            assert b"sk-secret" not in room.home.database.read_bytes()
            assert stat.S_IMODE((room.home.secrets / "acme").stat().st_mode) == 0o600
            await room.voters.remove_provider("acme")
            assert await room.voters.providers() == []
            assert not (room.home.secrets / "acme").exists()
            with pytest.raises(NotFound):
                await room.voters.remove_provider("acme")

    run(main())


def test_a_key_does_not_follow_its_provider_to_another_address(tmp_path: Path, endpoint: Endpoint) -> None:
    async def main() -> None:
        async with opened(tmp_path) as room:
            await room.add("acme", endpoint.url, key="sk-secret")
            assert (await room.add("acme", endpoint.url, weight=2.0))["has_key"], "the same place keeps its key"
            assert not (await room.add("acme", "https://elsewhere.invalid/v1"))["has_key"]

    run(main())


@pytest.mark.parametrize(
    ("given", "url", "error"),
    [
        ({}, "http://example.invalid/v1", Refused),
        ({"adapter": "curl"}, None, NotFound),
        ({}, None, Invalid),
        ({"model": "--dangerously-skip-permissions", "adapter": "claude-code"}, None, Invalid),
        ({"model": "a\nb"}, "https://example.invalid/v1", Invalid),
        ({"name": "Qwen3-4B"}, "https://example.invalid/v1", Invalid),
        ({"name": "smollm2-135m-instruct.seed-1"}, "https://example.invalid/v1", Invalid),
    ],
)
def test_a_provider_that_may_not_or_cannot_be_asked_is_not_added(
    tmp_path: Path, given: dict[str, Any], url: str | None, error: type[Exception]
) -> None:
    async def main() -> None:
        async with opened(tmp_path) as room:
            with pytest.raises(error):
                await room.add(**{"name": "acme", "url": url, "key": "sk-secret", **given})
            assert await room.voters.providers() == []
            assert not room.home.secrets.exists()

    run(main())


def test_an_openrouter_provider_needs_no_address(tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(tmp_path) as room:
            shown = await room.add("router", None, adapter="openrouter", model="vendor/model-7b-Q4_K_M")
            assert shown["base_url"].startswith("https://openrouter.ai/")
            assert shown["lineage"] == "model-7b"

    run(main())


def test_testing_a_provider_tells_what_it_said_or_why_it_did_not(tmp_path: Path, endpoint: Endpoint) -> None:
    endpoint.answers = {"fine": said('{"ok": true}'), "broke": raw(b"out of credit", 402), "silent": said("  ")}

    async def main() -> None:
        async with opened(tmp_path) as room:
            for name in ("fine", "broke", "silent"):
                await room.add(name, endpoint.url, key="sk-1")
            found = {name: await room.voters.test_provider(name) for name in ("fine", "broke", "silent")}
            assert (found["fine"]["ok"], found["fine"]["reply"], found["fine"]["reason"]) == (
                True,
                '{"ok": true}',
                "",
            )
            assert found["fine"]["latency_seconds"] > 0
            assert not found["broke"]["ok"]
            assert "402" in found["broke"]["reason"]
            assert (found["silent"]["ok"], found["silent"]["reason"]) == (False, "the answer is empty")
            with pytest.raises(NotFound):
                await room.voters.test_provider("nobody")
            assert await room.written("provider.ask") == ["allowed"] * 3

    run(main())


def test_a_fan_out_asks_every_provider_and_keeps_what_it_said(tmp_path: Path, endpoint: Endpoint) -> None:
    endpoint.answers = {"garbage": said("no"), "gone": raw(b"", 500)}

    async def main() -> None:
        async with opened(tmp_path) as room:
            for name in ("good", "garbage", "gone"):
                await room.add(name, endpoint.url)
            found = await room.asked()
            standings = {name: one.standing for name, one in found.items()}
            assert standings == {
                "good": Standing.COUNTED, "garbage": Standing.SPOILED, "gone": Standing.ABSENT,
            }  # fmt: skip
            kept = {path.name for path in (room.home.objects / "responses").iterdir()}
            assert kept == {
                str(one.response_digest).replace(":", "-") for one in found.values() if one.response_digest
            }
            assert all(headers["traceparent"].startswith(f"00-{TRACE}-") for headers, _ in endpoint.asked)
            assert await room.written("provider.ask") == ["allowed"] * 3

    run(main())


def test_a_provider_that_policy_no_longer_allows_is_not_asked(tmp_path: Path, endpoint: Endpoint) -> None:
    async def main() -> None:
        async with opened(tmp_path) as room:
            await room.add("acme", endpoint.url, key="sk-secret")
        async with opened(tmp_path, {"allowed_adapters": ["codex"]}) as room:
            one = (await room.asked())["acme"]
            assert one.standing is Standing.ABSENT
            assert "not approved" in one.reasons[0]
            assert not (await room.voters.test_provider("acme"))["ok"]
            assert endpoint.asked == []

    run(main())


def test_too_few_voters_is_a_refusal_with_the_cure(tmp_path: Path, endpoint: Endpoint) -> None:
    async def main() -> None:
        async with opened(tmp_path) as room:
            await room.add("acme", endpoint.url)
            plan = await room.voters.plan("ripple-moe", ChangeKind.CODE)
            assert any("ripple-moe needs 5" in reason for reason in plan.refusals)
            with pytest.raises(NotFound, match="ripple-moe"):
                await room.voters.plan("mystery", ChangeKind.CODE)

    run(main())


def test_a_command_that_is_not_installed_is_no_voter_and_the_policies_say_so(
    tmp_path: Path, endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "/usr/bin:/bin")

    async def main() -> None:
        async with opened(tmp_path) as room:
            await room.add("claude-code", None, adapter="claude-code", model="sonnet")
            await room.add("acme", endpoint.url)
            assert (await room.voters.plan(EMBEDDED, ChangeKind.CODE)).names == ["acme"]
            rows = {row["name"]: row for row in await room.voters.policies()}
            full = {one["name"]: one for one in rows["ripple-moe"]["voters"]}
            assert full["acme"]["present"]
            assert not full["claude-code"]["present"]
            assert "not installed" in full["claude-code"]["reason"]
            assert full["Qwen3-4B"]["tier"] == "local"
            assert "./ripple models add Qwen3-4B" in full["Qwen3-4B"]["reason"]

    run(main())


def test_policies_are_shown_as_the_console_reads_them(tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(tmp_path, {"allowed_inference_policies": ["ripple-moe"]}) as room:
            rows = {row["name"]: row for row in await room.voters.policies()}
            await room.voters.policies()
            assert set(rows) == {"ripple-moe", "ripple-moe-offline", EMBEDDED}
            assert (rows["ripple-moe"]["local_min"], rows["ripple-moe"]["cloud_min"]) == (5, 2)
            assert (rows["ripple-moe-offline"]["local_min"], rows["ripple-moe-offline"]["cloud_min"]) == (5, 0)
            assert rows["ripple-moe"]["allowed"]
            assert any("needs 5" in reason for reason in rows["ripple-moe"]["reasons"])
            assert not rows[EMBEDDED]["allowed"]
            assert any("not allowed" in reason for reason in rows[EMBEDDED]["reasons"])
            fields = {"name", "tier", "weight", "lineage", "present", "reason"}
            assert all(set(one) == fields for row in rows.values() for one in row["voters"])
            assert len(await room.written("policy.check")) == 3, "showing them again decides nothing anew"

    run(main())


def test_examiners_are_of_lineages_that_wrote_nothing(tmp_path: Path, endpoint: Endpoint) -> None:
    async def main() -> None:
        async with opened(tmp_path) as room:
            for name in ("a", "b", "c"):
                await room.add(name, endpoint.url)
            found = await room.voters.examiners(EMBEDDED, {"a", "c"}, 2)
            assert [one.name for one in found] == ["b"]

    run(main())


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (said(TESTS), ["test_a.py"]),
        (said("no"), []),
        (raw(b"", 500), []),
        (said({"tests": [{"path": "../x"}]}), []),
    ],
)
def test_written_tests_are_those_that_can_be_used(
    tmp_path: Path, endpoint: Endpoint, answer: Any, expected: list[str]
) -> None:
    endpoint.answers["a"] = answer

    async def main() -> None:
        async with opened(tmp_path) as room:
            await room.add("a", endpoint.url)
            examiner = (await room.voters.examiners(EMBEDDED, set(), 1))[0]
            written = await room.voters.written_tests(examiner, REQUEST, TRACE)
            assert [path for path, _ in written.tests] == expected
            assert bool(written.reason) is not bool(expected), "it says why there are none"

    run(main())


def test_models_are_shown_as_the_console_reads_them(tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(tmp_path) as room:
            rows = await room.voters.models()
            assert {row["state"] for row in rows} == {"available"}
            assert set(rows[0]) == {"name", "lineage", "licence", "size_bytes", "state", "set", "reason"}
            assert next(row for row in rows if row["set"] == "default")["name"] == "smollm2-135m-instruct"
            with pytest.raises(NotFound):
                await room.voters.add_models("mystery")
            await room.voters.restore()

    run(main())


def test_a_model_that_cannot_be_fetched_is_shown_as_failed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UV_OFFLINE", "1")
    monkeypatch.setenv("UV_NO_CONFIG", "1")
    monkeypatch.delenv("UV_FIND_LINKS", raising=False)

    async def main() -> None:
        async with opened(tmp_path) as room:
            await room.voters.add_models("default")
            await room.voters.add_models("default")
            while (row := await _model(room))["state"] != "failed":
                assert row["state"] in ("available", "downloading")
                await asyncio.sleep(0.02)
            assert "cannot fetch" in row["reason"]

    run(main())


@pytest.fixture
def supervised(tmp_path: Path) -> Iterator[Home]:
    """A real supervisor of one process that does nothing."""
    instance = Instance(tmp_path)
    instance.write({"id": "idle", "version": "1", "command": ["sleep", "86400"]})
    instance.up()
    yield instance.home
    start.stop(instance.home)


@pytest.mark.live
def test_the_default_model_is_added_served_and_votes_with_several_decodings_of_one_lineage(
    supervised: Home,
) -> None:
    async def main() -> None:
        async with opened(supervised.root) as room:
            await room.voters.add_models("default")
            while (row := await _model(room))["state"] != "installed":
                assert row["state"] != "failed", row["reason"]
                await asyncio.sleep(0.1)
            while not (plan := await room.voters.plan(EMBEDDED, ChangeKind.CODE)).voters:
                await asyncio.sleep(0.1)
            assert len(plan.names) == DECODINGS
            assert {one.lineage for one in plan.voters} == {"smollm2-135m-instruct"}
            assert (await room.voters.plan("ripple-moe-offline", ChangeKind.CODE)).refusals
            schema = {"type": "object", "properties": {"summary": {"type": "string", "maxLength": 40}}}
            request = Request(({"role": "user", "content": "Say hello."},), schema, "candidate", 60)
            found = await room.asked(only=lambda _: request)
            assert len(found) == DECODINGS
            assert all(one.response_digest and one.tokens_out for one in found.values())
            assert await room.written("model.serve") == ["allowed"]
            await _killed(supervised)
            await room.voters.restore()
            while not (await room.voters.plan(EMBEDDED, ChangeKind.CODE)).voters:
                await asyncio.sleep(0.1)

    run(main(), 240)


async def _killed(home: Home) -> None:
    """``kill -9`` of the model's server, seen by the supervisor."""
    client = SupervisorClient(home)
    found = next(one for one in (await client.status()).components if one.id.startswith("model."))
    assert found.pid
    os.kill(found.pid, signal.SIGKILL)
    while next(one for one in (await client.status()).components if one.id == found.id).pid == found.pid:
        await asyncio.sleep(0.02)


async def _model(room: Room) -> dict[str, Any]:
    return next(row for row in await room.voters.models() if row["set"] == "default")
