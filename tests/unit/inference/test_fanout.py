"""The fan-out against a real server: whatever voters do, it ends with one candidate for each of them."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import pytest
from pydantic import SecretStr
from starlette.responses import Response
from tests.unit.inference.asking import REQUEST, plan, voter
from tests.unit.inference.endpoint import EDIT, Endpoint, Flood, after, closed_port, raw, said

from ripple.inference.adapters import adapters_of
from ripple.inference.adapters.exchange import MAX_BODY_BYTES
from ripple.inference.catalogue import Catalogue
from ripple.inference.fanout import Asking, Fanout
from ripple.inference.keys import Keyring
from ripple.inference.voters import Plan
from ripple.model.candidate import Answer, Candidate, Standing, Tier
from ripple.model.digest import digest_bytes
from ripple.model.errors import Refused, Unavailable

T = TypeVar("T")
TRACE = "0123456789abcdef0123456789abcdef"


def run(main: Coroutine[Any, Any, T]) -> T:
    return asyncio.run(asyncio.wait_for(main, 30))


def fan(catalogue: Catalogue, folder: Path, cores: int = 4) -> Fanout:
    return Fanout(adapters_of(catalogue), Keyring(folder / "secrets"), asyncio.Semaphore(cores))


def asked(
    fanout: Fanout, planned: Plan, kept: Callable[[], None] | None = None, **given: Any
) -> dict[str, Candidate]:
    """The candidates by voter, in the order they were kept; ``kept`` is told of each."""
    found: dict[str, Candidate] = {}

    async def keep(candidate: Candidate) -> None:
        found[candidate.model] = candidate
        if kept is not None:
            kept()

    run(fanout.run(Asking(planned, lambda _: REQUEST, keep, **given)))
    return found


@contextmanager
def silent(endpoint: Endpoint, name: str) -> Iterator[threading.Event]:
    """A voter that answers once the event is set, at the latest when the block ends."""
    let = threading.Event()

    async def answer(payload: dict[str, Any]) -> Response:
        while not let.is_set():
            await asyncio.sleep(0.02)
        return await said(EDIT)(payload)

    endpoint.answers[name] = answer
    try:
        yield let
    finally:
        let.set()


def test_an_answer_becomes_a_candidate_with_its_costs(
    catalogue: Catalogue, tmp_path: Path, endpoint: Endpoint
) -> None:
    one = asked(fan(catalogue, tmp_path), plan([voter("one", endpoint.url, weight=1.5)]))["one"]
    assert (one.standing, one.reasons, one.weight, one.tier) == (Standing.COUNTED, (), 1.5, Tier.CLOUD)
    assert Answer.model_validate(one.answer) == Answer.model_validate(EDIT)
    assert (one.tokens_in, one.tokens_out) == (11, 7)
    assert one.response_digest is not None
    assert 0 < one.latency_seconds < 10
    payload = endpoint.payloads("one")[0]
    assert payload["response_format"]["json_schema"]["schema"] == {"type": "object"}
    assert (payload["temperature"], payload["max_tokens"], payload["stream"]) == (0.0, 256, False)


def test_each_answer_is_kept_before_slower_ones_are_there(
    catalogue: Catalogue, tmp_path: Path, endpoint: Endpoint
) -> None:
    planned = plan([voter("slow", endpoint.url), voter("quick", endpoint.url)])
    with silent(endpoint, "slow") as let:
        found = asked(fan(catalogue, tmp_path), planned, kept=let.set)
    assert list(found) == ["quick", "slow"]
    assert {one.standing for one in found.values()} == {Standing.COUNTED}


def test_a_voter_that_hangs_is_absent_at_its_deadline_and_holds_up_nobody(
    catalogue: Catalogue, tmp_path: Path, endpoint: Endpoint
) -> None:
    voters = [voter("stuck", endpoint.url, timeout_seconds=0.3), voter("fine", endpoint.url)]
    with silent(endpoint, "stuck"):
        found = asked(fan(catalogue, tmp_path), plan(voters))
    assert found["fine"].standing is Standing.COUNTED
    assert found["stuck"].standing is Standing.ABSENT
    assert found["stuck"].reasons[0].startswith("timeout")


def test_a_server_that_is_not_there_makes_its_voter_absent(catalogue: Catalogue, tmp_path: Path) -> None:
    url = f"http://127.0.0.1:{closed_port()}/v1"
    one = asked(fan(catalogue, tmp_path), plan([voter("one", url)]))["one"]
    assert one.standing is Standing.ABSENT
    assert "cannot reach" in one.reasons[0]
    assert one.response_digest is None


def test_an_error_status_makes_its_voter_absent_with_what_the_server_said(
    catalogue: Catalogue, tmp_path: Path, endpoint: Endpoint
) -> None:
    endpoint.answers["one"] = raw(b'{"error": {"message": "no credit left"}}' + b" " * 9000, 429)
    one = asked(fan(catalogue, tmp_path), plan([voter("one", endpoint.url)]))["one"]
    assert one.standing is Standing.ABSENT
    assert "HTTP 429" in one.reasons[0]
    assert "no credit left" in one.reasons[0]
    assert len(one.reasons[0]) < 500


def test_an_endless_answer_is_cut_and_spoiled(catalogue: Catalogue, tmp_path: Path, endpoint: Endpoint) -> None:
    flood = Flood(200 << 20)
    endpoint.answers["one"] = flood
    one = asked(fan(catalogue, tmp_path), plan([voter("one", endpoint.url)]))["one"]
    assert one.standing is Standing.SPOILED
    assert str(MAX_BODY_BYTES) in one.reasons[0]
    assert one.response_digest == digest_bytes(b"x" * MAX_BODY_BYTES)
    assert flood.sent < 100 << 20


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>hello</html>",
        b"[]",
        b"null",
        b'{"choices": []}',
        b'{"choices": [{"message": {"content": null}}]}',
        b'{"choices": [{"message": {"content": [1]}}]}',
        b'{"choices": [{"message": "x"}], "usage": []}',
        b"[" * 200_000,
        b'{"choices": ' + b"9" * 10_000 + b"}",
        b"\xff\xfe\x00",
    ],
)
def test_what_is_no_completion_is_spoiled_with_a_reason(
    catalogue: Catalogue, tmp_path: Path, endpoint: Endpoint, body: bytes
) -> None:
    endpoint.answers["one"] = raw(body)
    one = asked(fan(catalogue, tmp_path), plan([voter("one", endpoint.url)]))["one"]
    assert one.standing is Standing.SPOILED
    assert one.reasons
    assert one.answer is None
    assert one.response_digest == digest_bytes(body)


@pytest.mark.parametrize(
    "text", ["I would rather not.", "{}", '{"summary": "nothing"}', '{"edits": "all"}', "{" * 99]
)
def test_words_that_are_no_answer_are_spoiled_with_a_reason(
    catalogue: Catalogue, tmp_path: Path, endpoint: Endpoint, text: str
) -> None:
    endpoint.answers["one"] = said(text)
    one = asked(fan(catalogue, tmp_path), plan([voter("one", endpoint.url)]))["one"]
    assert one.standing is Standing.SPOILED
    assert one.reasons
    assert one.tokens_out == 7


def test_an_answer_that_was_cut_at_its_limit_is_not_mended(
    catalogue: Catalogue, tmp_path: Path, endpoint: Endpoint
) -> None:
    endpoint.answers["one"] = said(EDIT, finish_reason="length")
    one = asked(fan(catalogue, tmp_path), plan([voter("one", endpoint.url)]))["one"]
    assert one.standing is Standing.SPOILED
    assert "limit of tokens" in one.reasons[0]


def test_a_server_that_refuses_the_schema_is_asked_again_without_it(
    catalogue: Catalogue, tmp_path: Path, endpoint: Endpoint
) -> None:
    async def picky(payload: dict[str, Any]) -> Any:
        if "response_format" in payload or "max_tokens" in payload:
            said_no = b'{"error": "response_format and max_tokens are unknown; use max_completion_tokens"}'
            return await raw(said_no, 400)(payload)
        return await said(EDIT)(payload)

    endpoint.answers["one"] = picky
    one = asked(fan(catalogue, tmp_path), plan([voter("one", endpoint.url)]))["one"]
    assert one.standing is Standing.COUNTED
    assert endpoint.payloads("one")[1]["max_completion_tokens"] == 256
    assert len(endpoint.asked) == 2


def test_a_reserve_takes_the_place_of_an_absent_voter_and_no_reserve_serves_twice(
    catalogue: Catalogue, tmp_path: Path, endpoint: Endpoint
) -> None:
    gone = f"http://127.0.0.1:{closed_port()}/v1"
    planned = plan([voter("a", gone), voter("b", gone)], [voter("c", endpoint.url), voter("d", gone)])
    found = asked(fan(catalogue, tmp_path), planned)
    assert set(found) == {"a", "b", "c", "d"}
    assert {name for name, one in found.items() if one.standing is Standing.COUNTED} == {"c"}
    assert len(endpoint.asked) == 1


@pytest.mark.parametrize(("trace", "passed"), [(TRACE, True), (None, False), ("not a trace", False)])
def test_the_trace_goes_along_when_it_is_given(
    catalogue: Catalogue, tmp_path: Path, endpoint: Endpoint, trace: str | None, passed: bool
) -> None:
    asked(fan(catalogue, tmp_path), plan([voter("one", endpoint.url)]), trace_id=trace)
    header = endpoint.asked[0][0].get("traceparent", "")
    assert header.startswith(f"00-{TRACE}-") is passed


def test_a_key_reaches_its_server_and_nothing_else(
    catalogue: Catalogue, tmp_path: Path, endpoint: Endpoint
) -> None:
    kept: dict[str, bytes] = {}

    async def archive(name: str, data: bytes) -> None:
        kept[name] = data

    fanout = fan(catalogue, tmp_path)
    fanout.keyring.put("one", SecretStr("sk-very-secret"))
    endpoint.answers["one"] = said("your key is sk-very-secret")
    endpoint.answers["two"] = raw(b"invalid key sk-very-secret", 401)
    voters = [voter("one", endpoint.url, key_name="one"), voter("two", endpoint.url, key_name="one")]
    found = asked(fanout, plan(voters), archive=archive)
    assert {headers["authorization"] for headers, _ in endpoint.asked} == {"Bearer sk-very-secret"}
    assert "sk-very-secret" not in repr([found, kept])
    assert "[key]" in found["two"].reasons[0]


def test_every_response_is_kept_as_it_came(catalogue: Catalogue, tmp_path: Path, endpoint: Endpoint) -> None:
    kept: dict[str, bytes] = {}

    async def archive(name: str, data: bytes) -> None:
        kept[name] = data

    endpoint.answers["one"] = raw(b"nonsense")
    one = asked(fan(catalogue, tmp_path), plan([voter("one", endpoint.url)]), archive=archive)["one"]
    assert kept == {f"responses/{str(one.response_digest).replace(':', '-')}": b"nonsense"}


def test_an_answer_that_cannot_be_kept_does_not_vote(
    catalogue: Catalogue, tmp_path: Path, endpoint: Endpoint
) -> None:
    async def full(name: str, data: bytes) -> None:
        raise Unavailable("the disk is full")

    one = asked(fan(catalogue, tmp_path), plan([voter("one", endpoint.url)]), archive=full)["one"]
    assert (one.standing, one.reasons) == (Standing.ABSENT, ("the disk is full",))


def test_a_voter_that_may_not_be_asked_is_not(catalogue: Catalogue, tmp_path: Path, endpoint: Endpoint) -> None:
    async def never(_: object) -> None:
        raise Refused("not approved")

    one = asked(fan(catalogue, tmp_path), plan([voter("one", endpoint.url)]), may=never)["one"]
    assert (one.standing, one.reasons) == (Standing.ABSENT, ("not approved",))
    assert endpoint.asked == []


def test_what_cannot_be_recorded_ends_the_fan_out(
    catalogue: Catalogue, tmp_path: Path, endpoint: Endpoint
) -> None:
    async def keep(_: Candidate) -> None:
        raise Unavailable("the database is away")

    with pytest.raises(Unavailable, match="database is away"):
        run(
            fan(catalogue, tmp_path).run(
                Asking(plan([voter("one", endpoint.url), voter("two", endpoint.url)]), lambda _: REQUEST, keep)
            )
        )


def test_voters_of_this_machine_wait_for_a_core_and_for_their_model(
    catalogue: Catalogue, tmp_path: Path, endpoint: Endpoint
) -> None:
    async def meeting(payload: dict[str, Any]) -> Response:
        give_up = time.monotonic() + 8
        while endpoint.most_at_once < 2 and time.monotonic() < give_up:
            await asyncio.sleep(0.01)
        return await after(0.05, said(EDIT))(payload)

    names = ("a", "b", "c")
    endpoint.answers = {**dict.fromkeys(names, meeting), "same": after(0.05, said(EDIT))}
    local = [voter(name, endpoint.url, tier=Tier.LOCAL) for name in names]
    found = asked(fan(catalogue, tmp_path, cores=2), plan(local))
    assert endpoint.most_at_once == 2
    assert {one.standing for one in found.values()} == {Standing.COUNTED}
    endpoint.most_at_once = 0
    twice = [voter(name, endpoint.url, tier=Tier.LOCAL) for name in ("x", "y")]
    shared = [one.__class__(**{**one.__dict__, "model": "same"}) for one in twice]
    asked(fan(catalogue, tmp_path, cores=4), plan(shared))
    assert endpoint.most_at_once == 1


def test_bytes_that_are_no_text_become_a_short_reason(
    catalogue: Catalogue, tmp_path: Path, endpoint: Endpoint
) -> None:
    endpoint.answers["one"] = raw(bytes(range(256)) * 40, 500)
    one = asked(fan(catalogue, tmp_path), plan([voter("one", endpoint.url)]))["one"]
    assert len(json.dumps(one.reasons).encode()) < 4000
