"""The HTTP surface against hostile requests: every answer has one shape, no request is unbounded."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import SecretStr
from tests.unit.changes.room import OPERATOR, ROOT, Room, inside
from tests.unit.changes.temporal import free_port

from ripple.app import App
from ripple.changes.phases.runs import Phases, Runs
from ripple.changes.service import Changes, Feed, Flows
from ripple.changes.stack import Stack
from ripple.governance.sessions import Sessions
from ripple.planes import flows
from ripple.planes.events import Events
from ripple.planes.events.nats import NatsEvents
from ripple.stack.phases import load_plan
from ripple.stack.settings import resolve
from ripple.supervisor.client import SupervisorClient
from ripple.surfaces.http import guard
from ripple.surfaces.http.guard import HEADERS, MAX_BODY_BYTES
from ripple.surfaces.http.server import create

TOKEN = "the-operators-token"
HOST = "http://127.0.0.1"


def app_in(room: Room) -> App:
    """The composed application over one room, with Temporal and the event bus away."""

    async def connect() -> Any:
        return await flows.connect(f"127.0.0.1:{free_port()}", 0.2)

    rooms = room.rooms
    events = Events(NatsEvents(f"nats://127.0.0.1:{free_port()}"))
    starter = Flows(connect)
    changes = Changes(rooms.governor, rooms.journal, rooms.applications, starter, "ripple-moe-embedded")
    plan = load_plan(ROOT / "manifests")
    return App(
        rooms=rooms,
        events=events,
        sessions=Sessions(rooms.records, rooms.audit),
        supervisor=SupervisorClient(rooms.home),
        changes=changes,
        stack=Stack(rooms.home, rooms.governor, rooms.objects, starter, rooms.applications),
        phases=Phases(rooms.governor, Runs(rooms.objects, rooms.key), starter, plan),
        feed=Feed(rooms.records, events, rooms.journal),
        resolved=resolve(ROOT / "manifests", rooms.home.choices),
        operator_token=SecretStr(TOKEN),
    )


Scenario = Callable[[Room, httpx.AsyncClient], Awaitable[None]]


def served(tmp_path: Path, scenario: Scenario, *, token: str = TOKEN, voters: bool = False) -> None:
    """Play a scenario with a client of the server."""

    async def main(room: Room) -> None:
        app = app_in(room)

        async def compose() -> App:
            return app

        server = create(compose, tmp_path / "no-console")
        server.state.composed = app
        transport = httpx.ASGITransport(server, raise_app_exceptions=False)
        headers = {"authorization": f"Bearer {token}"} if token else {}
        async with httpx.AsyncClient(transport=transport, base_url=HOST, headers=headers) as client:
            await scenario(room, client)

    inside(tmp_path, main, voters=voters)


def told(answer: httpx.Response) -> tuple[int, str]:
    """Status and code, of an answer that has the one shape of errors and the headers of every answer."""
    error = answer.json()["error"]
    assert set(error) == {"code", "message", "retryable"}
    assert error["message"]
    assert {name: answer.headers.get(name) for name in HEADERS} == HEADERS
    return answer.status_code, error["code"]


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/api/changes/..%2f..%2fetc%2fpasswd", 404, "not_found"),
        ("GET", "/api/changes/%00", 404, "not_found"),
        ("GET", "/api/changes/chg-1/events", 404, "not_found"),
        ("GET", "/api/applications/..", 404, "not_found"),
        ("GET", "/api/nothing", 404, "not_found"),
        ("DELETE", "/api/changes", 405, "invalid"),
        ("POST", "/api/changes/nobody/cancel", 404, "not_found"),
        ("GET", f"/api/audit?before={1 << 80}", 422, "invalid"),
        ("GET", "/api/changes?limit=-1", 422, "invalid"),
        ("GET", "/api/components/..%2f..%2fsecrets/logs", 404, "not_found"),
    ],
)
def test_hostile_paths_and_numbers_are_refused_in_the_one_shape(
    tmp_path: Path, method: str, path: str, status: int, code: str
) -> None:
    async def scenario(room: Room, client: httpx.AsyncClient) -> None:
        assert told(await client.request(method, path)) == (status, code)

    served(tmp_path, scenario)


@pytest.mark.parametrize(
    "body",
    [
        '{"application": "shop", "intent": "\\ud800"}',
        '{"application": "shop", "intent": "x", "policy": "\\ud800"}',
        "[",
        "[]",
        '{"intent": 1}',
        "\x00",
    ],
)
def test_a_body_that_is_no_request_is_refused(tmp_path: Path, body: str) -> None:
    async def scenario(room: Room, client: httpx.AsyncClient) -> None:
        await room.application()
        headers = {"content-type": "application/json"}
        assert told(await client.post("/api/changes", content=body, headers=headers)) == (422, "invalid")
        assert await room.journal.running() == []

    served(tmp_path, scenario)


@pytest.mark.parametrize("announced", [True, False])
def test_a_body_that_is_too_large_is_refused_however_it_is_framed(tmp_path: Path, announced: bool) -> None:
    sent = 0

    async def chunks() -> AsyncIterator[bytes]:
        nonlocal sent
        for _ in range(64):
            sent += 1 << 16
            yield b"x" * (1 << 16)

    async def scenario(room: Room, client: httpx.AsyncClient) -> None:
        body = b"x" * (MAX_BODY_BYTES + 1) if announced else chunks()
        assert told(await client.post("/api/changes", content=body)) == (413, "too_large")
        assert sent <= MAX_BODY_BYTES + (1 << 16), "the rest is not even read"

    served(tmp_path, scenario)


def test_a_body_of_the_largest_size_is_taken(tmp_path: Path) -> None:
    async def scenario(room: Room, client: httpx.AsyncClient) -> None:
        body = json.dumps({"application": "shop", "intent": "x"}).encode()
        body += b" " * (MAX_BODY_BYTES - len(body))
        headers = {"content-type": "application/json"}
        assert told(await client.post("/api/changes", content=body, headers=headers)) == (404, "not_found")

    served(tmp_path, scenario)


def test_a_body_that_never_comes_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard, "BODY_SECONDS", 0.1)

    async def chunks() -> AsyncIterator[bytes]:
        yield b"{"
        await asyncio.Event().wait()

    async def scenario(room: Room, client: httpx.AsyncClient) -> None:
        assert told(await client.post("/api/changes", content=chunks())) == (408, "too_slow")

    served(tmp_path, scenario)


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "", "127.0.0.2:80"])
def test_another_hosts_name_is_refused(tmp_path: Path, host: str) -> None:
    async def scenario(room: Room, client: httpx.AsyncClient) -> None:
        assert told(await client.get("/api/me", headers={"host": host})) == (403, "foreign_request")

    served(tmp_path, scenario)


@pytest.mark.parametrize("token", ["", "wrong", "ä"])
def test_nobody_gets_in_without_the_token(tmp_path: Path, token: str) -> None:
    async def scenario(room: Room, client: httpx.AsyncClient) -> None:
        headers = [(b"authorization", f"Bearer {token}".encode())] if token else []
        assert told(await client.get("/api/me", headers=headers)) == (401, "sign_in_needed")

    served(tmp_path, scenario, token="")


def test_a_crash_tells_its_kind_and_none_of_its_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def crash(*_: object) -> None:
        raise KeyError("sk-secret")

    async def scenario(room: Room, client: httpx.AsyncClient) -> None:
        monkeypatch.setattr(App, "explain", crash)
        answer = await client.get("/api/config/nothing")
        assert told(answer) == (500, "ripple")
        assert "KeyError" in answer.text
        assert "sk-secret" not in answer.text

    served(tmp_path, scenario)


def test_a_watcher_goes_on_behind_the_last_event_it_saw(tmp_path: Path) -> None:
    async def scenario(room: Room, client: httpx.AsyncClient) -> None:
        await room.application()
        await room.change()
        await room.journal.note("chg-1", "note", {"a\nb": 1})
        await room.journal.set_change("chg-1", state="rejected")
        whole = (await client.get("/api/changes/chg-1/events")).text
        events = whole.strip().split("\n\n")
        assert [one.splitlines()[1] for one in events] == [
            "event: state",
            "event: note",
            "event: state",
            "event: end",
        ]
        assert all(len(one.splitlines()) == 3 for one in events), "no line of the data is taken for a field"
        seen = events[0].splitlines()[0].removeprefix("id: ")
        rest = await client.get("/api/changes/chg-1/events", headers={"last-event-id": seen})
        assert rest.text.strip().split("\n\n") == events[1:]
        asked = await client.get(f"/api/changes/chg-1/events?after={seen}", headers={"last-event-id": "0"})
        assert asked.text == whole, "the browser knows better than the address it first asked for"
        for bad in ("-1", "x", str(1 << 70)):
            answer = await client.get("/api/changes/chg-1/events", headers={"last-event-id": bad})
            assert told(answer) == (422, "invalid")

    served(tmp_path, scenario)


def test_a_change_asked_for_while_temporal_is_away_is_accepted(tmp_path: Path) -> None:
    async def scenario(room: Room, client: httpx.AsyncClient) -> None:
        await room.application()
        answer = await client.post("/api/changes", json={"application": "shop", "intent": "Say two."})
        assert answer.status_code == 201
        assert (await room.journal.change(answer.json()["id"]))["principal"] == str(OPERATOR)
        cancelled = await client.post(f"/api/changes/{answer.json()['id']}/cancel")
        assert told(cancelled) == (503, "unavailable")
        assert cancelled.json()["error"]["retryable"] is True

    served(tmp_path, scenario)


def test_a_providers_key_is_in_no_answer_and_in_no_entry(tmp_path: Path) -> None:
    async def scenario(room: Room, client: httpx.AsyncClient) -> None:
        body = {
            "name": "acme",
            "tier": "cloud",
            "base_url": "http://example.invalid/v1",
            "model": "m",
            "key": "sk-1",
        }
        answer = await client.post("/api/providers", json=body)
        assert told(answer)[0] == 403
        assert "sk-1" not in answer.text
        answer = await client.post("/api/providers", json={**body, "name": "../x"})
        assert "sk-1" not in answer.text
        assert "sk-1" not in (await client.get("/api/audit")).text

    served(tmp_path, scenario, voters=True)


def test_the_nodes_public_key_is_shown_and_only_that(tmp_path: Path) -> None:
    async def scenario(room: Room, client: httpx.AsyncClient) -> None:
        found = (await client.get("/api/audit/key")).json()
        assert found["public_key_pem"].startswith("-----BEGIN PUBLIC KEY-----")
        assert set(found) == {"key_id", "public_key_pem"}

    served(tmp_path, scenario)


def test_a_repair_is_decided_and_written_down_before_anything_happens(tmp_path: Path) -> None:
    async def scenario(room: Room, client: httpx.AsyncClient) -> None:
        answer = await client.post("/api/stack/nats-server/repair", json={"verb": "install"})
        assert (answer.status_code, answer.json()["error"]["retryable"]) == (503, True), "Temporal is away"
        entries = (await client.get("/api/audit", params={"q": "component.install"})).json()["entries"]
        assert [(one["resource"], one["outcome"]) for one in reversed(entries)] == [
            ("stack/nats-server", "allowed"),
            ("stack/nats-server", "failed"),
        ]
        shown = (await client.get("/api/stack/nats-server")).json()
        assert shown["repairing"]["state"] == "failed", "what was not begun does not go on"
        other = await client.post("/api/stack/nats-server/repair", json={"verb": "verify"})
        assert other.status_code == 503, "and keeps nobody from another repair"
        strange = await client.post("/api/stack/nats-serve/repair", json={"verb": "install"})
        assert strange.status_code == 404
        assert "nats-server" in strange.json()["error"]["message"], "it names the nearest one"
        for verb in ("rm", "", "component.remove"):
            assert (await client.post("/api/stack/nats-server/repair", json={"verb": verb})).status_code == 422
        still = await client.post("/api/stack/git/repair", json={"verb": "restart"})
        assert still.status_code == 404, "git is nothing that runs"

    served(tmp_path, scenario)


def test_the_map_is_shown_without_an_instance_of_what_it_names(tmp_path: Path) -> None:
    async def scenario(room: Room, client: httpx.AsyncClient) -> None:
        found = (await client.get("/api/stack")).json()
        cards = [card for layer in found["layers"] for card in layer["systems"]]
        assert len(cards) > 165
        assert all(card["state"] is None for card in cards)
        assert any("no instance runs" in text for text in found["not_compared"])
        one = (await client.get("/api/stack/temporal")).json()
        assert one["running"] is None
        assert (await client.get("/api/phases")).json()["run"] is None

    served(tmp_path, scenario)
