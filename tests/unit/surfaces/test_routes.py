"""Whatever the command line does for an operator, the console can do: each verb has a route that a page calls.

Every verb is really run, against a server that writes down what it is asked and refuses it.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from tests.unit.front_door.test_console_contract import calls, routes
from typer.testing import CliRunner

from ripple.model.errors import RippleError
from ripple.model.paths import Home
from ripple.surfaces.cli.verbs import program
from ripple.surfaces.reference.commands import verbs

SOURCES = Path(__file__).parents[3] / "console" / "src"
ABOUT_THE_MACHINE = {
    "up": "starts the process that serves the console, with the settings it is to have",
    "down": "stops it, and the page with it",
    "doctor": "looks at what is installed before anything runs",
    "bench": "measures a checkout",
    "test": "checks a checkout",
    "requirements": "reads a checkout's ledger",
    "component info": "reads a row of a checkout and the prefix of this machine",
    "component detect": "looks at the programs of this machine",
    "stack generate": "writes files of a checkout",
    "stack hash": "reads the files of a checkout",
    "stack show": "reads a file of a checkout",
    "lock": "compares files of a checkout",
    "lock update": "changes a file of a checkout",
    "bundle create": "fills a folder of this machine",
    "bundle check": "reads a folder of this machine",
}
ASKS_THE_SUPERVISOR = {"status": ("GET", "/status"), "logs": ("GET", "/components/{}/logs")}
"""They work while the API is away; in the console the same is behind a route."""
WORKS_WITHOUT_AN_INSTANCE = {
    **{f"component {verb}": ("POST", "/stack/{}/repair") for verb in ("install", "fix", "remove", "verify")},
    "verify": ("POST", "/stack/{}/repair"),
    "stack check": ("GET", "/stack"),
    "stack list": ("GET", "/stack"),
    "drift": ("GET", "/stack"),
}
"""On a checkout and this machine's prefix; in the console the same is behind a route of an instance."""
IN_A_LIST = {("GET", "/applications/{}"): ("GET", "/applications"), ("GET", "/config/{}"): ("GET", "/config")}
"""One row for a verb, all rows for a page."""
LOCAL = {**ABOUT_THE_MACHINE, **WORKS_WITHOUT_AN_INSTANCE}
REFUSAL = {"error": {"code": "refused", "message": "written down, not done", "retryable": False}}
VERBS = {" ".join(path): command for path, command in verbs()}


class Refusing(BaseHTTPRequestHandler):
    """Refuses everything in the API's own form; the server's ``asked`` holds methods and paths."""

    def _refuse(self) -> None:
        self.rfile.read(int(self.headers.get("content-length", 0)))
        self.server.asked.append((self.command, self.path.partition("?")[0]))  # type: ignore[attr-defined]
        body = json.dumps(REFUSAL).encode()
        self.send_response(403)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_POST = do_DELETE = _refuse  # noqa: N815 - the base class calls them so

    def log_message(self, *args: Any) -> None:
        """Say nothing of it."""


@pytest.fixture
def asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[tuple[str, str]]]:
    """What the instance that RIPPLE_HOME speaks of was asked."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Refusing)
    server.asked = []  # type: ignore[attr-defined]
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    home = Home(tmp_path)
    home.run.mkdir()
    home.endpoints.write_text(json.dumps({"api": {"http": server.server_address[1]}}))
    home.operator_token.write_text("a token of no worth")
    monkeypatch.setenv("RIPPLE_HOME", str(tmp_path))
    yield server.asked  # type: ignore[attr-defined]
    server.shutdown()
    server.server_close()


def words(verb: str) -> list[str]:
    """The verb with something for everything it needs."""
    needed = [one for one in VERBS[verb].params if one.required]
    given = [["given"] if one.param_type_name == "argument" else [one.opts[0], "given"] for one in needed]
    return [*verb.split(), *(word for pair in given for word in pair)]


def generic(path: str) -> str:
    """A path that was asked for as the routes spell it."""
    return re.sub(r"(?<=/)given\b", "{}", path.removeprefix("/api"))


@pytest.mark.parametrize("verb", sorted(VERBS.keys() - LOCAL.keys() - ASKS_THE_SUPERVISOR.keys()))
def test_each_verb_asks_a_route_that_the_console_calls_too(verb: str, asked: list[tuple[str, str]]) -> None:
    result = CliRunner().invoke(program, words(verb))
    assert isinstance(result.exception, RippleError), (result.output, result.exception)
    method, path = asked[0]
    route = (method, generic(path))
    assert route in routes()
    assert IN_A_LIST.get(route, route) in calls()


@pytest.mark.parametrize("verb", sorted(ASKS_THE_SUPERVISOR))
def test_what_the_supervisor_tells_a_verb_the_console_gets_from_a_route(
    verb: str, asked: list[tuple[str, str]]
) -> None:
    result = CliRunner().invoke(program, words(verb))
    assert isinstance(result.exception, RippleError), "no supervisor runs here"
    assert asked == []
    assert ASKS_THE_SUPERVISOR[verb] in routes() & calls()


@pytest.mark.parametrize("verb", sorted(WORKS_WITHOUT_AN_INSTANCE))
def test_what_a_verb_does_on_a_checkout_the_console_does_through_a_route(verb: str) -> None:
    assert WORKS_WITHOUT_AN_INSTANCE[verb] in routes() & calls()


def test_only_verbs_about_the_machine_have_no_route() -> None:
    assert VERBS.keys() >= LOCAL.keys() | ASKS_THE_SUPERVISOR.keys()
    assert len(VERBS) > 30


def test_every_call_of_the_console_is_behind_a_page() -> None:
    client = (SOURCES / "client.ts").read_text()
    names = {name for name, _ in re.findall(r"export const (\w+) =\s*\((.*?)\)", client, re.DOTALL)}
    pages = [path.read_text() for path in SOURCES.rglob("*.ts*") if path.name != "client.ts"]
    imports = re.findall(r"import \{([^}]*)\} from \"[./]*client\.ts\"", "\n".join(pages))
    used = {name.split(" as ")[0].strip().removeprefix("type ") for line in imports for name in line.split(",")}
    assert len(names) > 20
    assert names - used == set()
