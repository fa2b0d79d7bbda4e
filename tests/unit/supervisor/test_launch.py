"""Templates, launches and environments: pure, and closed against what a row may not do."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ripple.model.component import Component, Probe
from ripple.model.errors import Invalid
from ripple.supervisor.environment import environment_of
from ripple.supervisor.launch import resolve
from ripple.supervisor.templates import Names, render

NAMES = Names(
    {"bin": "/v/bin", "python": "/v/bin/python", "home": "/h", "state": "/h/state/a", "run": "/h/run"},
    {"http": 4000},
    {"a": {"http": 4000}, "app.shop.dev": {"http": 5000}},
)
KNOWN = NAMES.flat()
ROW = Component(
    id="a",
    name="A",
    version="1",
    command=("{bin}/a", "--port={ports.http}"),
    env={"PEER": "{peer.app.shop.dev.http}"},
    files={"a.json": '{{"state": "{state}"}}'},
    sockets=("{run}/a.sock",),
    endpoints={"http": "http://127.0.0.1:{ports.http}"},
    ready=Probe(kind="http", target="http+unix://{run}/a.sock|/healthz"),
)


def test_every_part_of_a_row_is_a_template() -> None:
    launch = resolve(ROW, NAMES, "build")
    assert launch.command == ("/v/bin/a", "--port=4000")
    assert launch.env == {"PEER": "5000"}
    assert launch.files == {"a.json": '{"state": "/h/state/a"}'}
    assert launch.sockets == ("/h/run/a.sock",)
    assert launch.endpoints == {"http": "http://127.0.0.1:4000"}
    assert launch.ready is not None
    assert launch.ready.target == "http+unix:///h/run/a.sock|/healthz"


@pytest.mark.parametrize("text", ["{", "}", "{ports.http", "{}", "{a b}", "{state!r}", "{0}", "{ports[http]}"])
def test_a_brace_that_is_no_template_is_an_error(text: str) -> None:
    with pytest.raises(Invalid):
        render(text, KNOWN, "a test")


def test_an_unknown_name_is_an_error_that_names_the_nearest_one() -> None:
    with pytest.raises(Invalid, match=r"ports\.htpp.*a test.*did you mean 'ports\.http'"):
        render("{ports.htpp}", KNOWN, "a test")


@given(st.text())
def test_any_text_with_its_braces_doubled_comes_out_as_it_was(text: str) -> None:
    assert render(text.replace("{", "{{").replace("}", "}}"), KNOWN, "a test") == text


@given(st.text())
def test_a_value_is_never_looked_at_again(value: str) -> None:
    assert render("<{state}>", {"state": value}, "a test") == f"<{value}>"


@pytest.mark.parametrize("path", ["../x", "/etc/x", "a/../../x", ""])
def test_a_file_outside_the_state_folder_is_refused(path: str) -> None:
    with pytest.raises(Invalid, match="state folder"):
        resolve(ROW.model_copy(update={"files": {path: "x"}}), NAMES, "")


def test_an_empty_command_is_refused() -> None:
    with pytest.raises(Invalid, match="no command"):
        resolve(ROW.model_copy(update={"command": ()}), NAMES, "")


@pytest.mark.parametrize(
    "change",
    [
        {"command": ("{bin}/b",)},
        {"env": {"PEER": "1"}},
        {"files": {"a.json": "{{}}"}},
        {"version": "2"},
    ],
)
def test_what_the_process_can_tell_apart_changes_its_digest(change: dict[str, object]) -> None:
    assert resolve(ROW.model_copy(update=change), NAMES, "").digest != resolve(ROW, NAMES, "").digest


def test_probes_rules_and_foreign_code_do_not_change_its_digest() -> None:
    other = ROW.model_copy(update={"ready": None, "startup_seconds": 1.0, "endpoints": {}})
    assert resolve(other, NAMES, "another build").digest == resolve(ROW, NAMES, "").digest


def test_a_port_that_moves_changes_the_digest_of_whoever_names_it() -> None:
    moved = Names(NAMES.folders, NAMES.ports, {**NAMES.peers, "app.shop.dev": {"http": 5001}})
    assert resolve(ROW, moved, "").digest != resolve(ROW, NAMES, "").digest


def test_ripples_own_processes_change_with_the_code() -> None:
    own = ROW.model_copy(update={"command": ("{python}", "-m", "ripple.x")})
    assert resolve(own, NAMES, "1").digest != resolve(own, NAMES, "2").digest


@pytest.mark.parametrize("words", [(), ("-m",), ("-m", "http.server"), ("-m", "ripples"), ("ripple.x",)])
def test_what_else_ripples_interpreter_runs_is_foreign(words: tuple[str, ...]) -> None:
    foreign = ROW.model_copy(update={"command": ("{python}", *words)})
    assert not resolve(foreign, NAMES, "").own
    assert resolve(foreign, NAMES, "1").digest == resolve(foreign, NAMES, "2").digest


def test_the_environment_holds_what_is_named_and_nothing_else() -> None:
    folders = {"bin": "/v/bin", "home": "/h", "state": "/h/state/a", "src": "/c/src"}
    inherited = {
        "PATH": "/bin",
        "HOME": "/root",
        "TZ": "UTC",
        "TOKEN": "secret",
        "PASSED": "1",
        "PYTHONPATH": "/evil",
    }
    found = environment_of(resolve(ROW, NAMES, ""), inherited, ["PASSED", "ABSENT"], folders)
    assert found == {"PATH": "/v/bin:/bin", "HOME": "/h/state/a", "TZ": "UTC", "PASSED": "1", "PEER": "5000"}
    own = resolve(ROW.model_copy(update={"command": ("{python}", "-m", "ripple.x")}), NAMES, "")
    found = environment_of(own, inherited, ["HOME"], folders)
    assert (found["HOME"], found["RIPPLE_HOME"], found["PYTHONPATH"]) == ("/root", "/h", "/c/src")
    assert "TOKEN" not in found
