"""Command-line providers: real programs on PATH that write down how they were called, and misbehave."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import stat
import sys
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import psutil
import pytest
from pydantic import SecretStr
from tests.unit.inference.asking import REQUEST, voter

from ripple.inference.adapters import Reply, adapters_of
from ripple.inference.adapters.exchange import MAX_BODY_BYTES, Call
from ripple.inference.catalogue import Catalogue
from ripple.inference.fanout import Fanout
from ripple.inference.keys import Keyring
from ripple.model.errors import DeadlineExceeded, Invalid, Refused, Unavailable

T = TypeVar("T")
SECRET = "sk-0123456789-secret"
TRACEPARENT = "00-0123456789abcdef0123456789abcdef-0123456789abcdef-01"
RECORD = """#!{python} -IS
import json, os, sys
given = sys.stdin.read()
seen = dict(argv=sys.argv[1:], env=dict(os.environ), stdin=given, cwd=os.getcwd(), files=os.listdir("."))
with open({record!r}, "w") as file:
    json.dump(seen, file)
"""
USAGE = {"input_tokens": 5, "output_tokens": 2}
RESULT = {"type": "result", "is_error": False, "result": '{"edits": []}', "usage": USAGE}
CODEX = [
    {"type": "thread.started"},
    {"type": "item.completed", "item": {"type": "error", "message": "a warning"}},
    {"type": "item.completed", "item": {"type": "agent_message", "text": "first"}},
    {"type": "item.completed", "item": {"type": "agent_message", "text": '{"edits": []}'}},
    {"type": "turn.completed", "usage": USAGE},
]


def run(main: Coroutine[Any, Any, T]) -> T:
    return asyncio.run(asyncio.wait_for(main, 30))


@dataclass
class Program:
    """A command on PATH; ``seen`` is how it was last called."""

    folder: Path
    name: str

    def write(self, code: str) -> None:
        path = self.folder / self.name
        path.write_text(RECORD.format(python=sys.executable, record=str(self.folder / "seen.json")) + code)
        path.chmod(path.stat().st_mode | stat.S_IXUSR)

    @property
    def seen(self) -> dict[str, Any]:
        return dict(json.loads((self.folder / "seen.json").read_text()))


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], Program]:
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}/usr/bin{os.pathsep}/bin")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "not for agents")
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")

    def make(name: str, code: str) -> Program:
        made = Program(folder, name)
        made.write(code)
        return made

    return make


def ask(
    catalogue: Catalogue, adapter: str, *, key: str | None = None, url: str | None = None, seconds: float = 10
) -> Reply:
    asked = voter("some-model", url, adapter=adapter, timeout_seconds=seconds)
    call = Call(asked, REQUEST, SecretStr(key) if key else None, TRACEPARENT)
    fanout = Fanout(adapters_of(catalogue), Keyring(Path("/nonexistent")))
    return run(fanout.reply(call))


@dataclass(frozen=True)
class Case:
    """How one adapter's command answers, and what is expected of it."""

    adapter: str
    command: str
    output: str
    key_name: str
    tokens: tuple[int | None, int | None]


CASES = [
    Case("claude-code", "claude", json.dumps(RESULT), "ANTHROPIC_API_KEY", (5, 2)),
    Case("codex", "codex", "\n".join(map(json.dumps, CODEX)), "CODEX_API_KEY", (5, 2)),
    Case("github-copilot", "copilot", '{"edits": []}', "COPILOT_GITHUB_TOKEN", (None, None)),
    Case("abacus", "abacusai", json.dumps(RESULT), "ABACUS_API_KEY", (5, 2)),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.adapter)
def test_a_command_gets_its_prompt_and_key_where_nobody_else_sees_them(
    catalogue: Catalogue, program: Callable[[str, str], Program], case: Case
) -> None:
    called = program(case.command, f"print({case.output!r})")
    reply = ask(catalogue, case.adapter, key=SECRET)
    assert (reply.text.strip(), reply.problem) == ('{"edits": []}', "")
    assert (reply.tokens_in, reply.tokens_out) == case.tokens
    seen = called.seen
    assert "make it so" in seen["stdin"]
    assert json.dumps(REQUEST.schema, separators=(",", ":")) in seen["stdin"]
    assert not any("make it so" in word or SECRET in word for word in seen["argv"])
    assert "some-model" in seen["argv"]
    assert {name for name, value in seen["env"].items() if SECRET in value} == {case.key_name}
    assert "AWS_SECRET_ACCESS_KEY" not in seen["env"]
    assert seen["env"]["HTTPS_PROXY"] == "http://127.0.0.1:9"
    assert seen["env"]["TRACEPARENT"] == TRACEPARENT
    assert seen["files"] == []
    assert not Path(seen["cwd"]).exists()
    assert not Path(seen["env"]["HOME"]).exists()


def test_without_a_key_the_command_has_the_operators_home_to_sign_in_from(
    catalogue: Catalogue, program: Callable[[str, str], Program]
) -> None:
    called = program("claude", f"print({json.dumps(RESULT)!r})")
    ask(catalogue, "claude-code")
    assert called.seen["env"]["HOME"] == str(Path.home())
    assert "ANTHROPIC_API_KEY" not in called.seen["env"]


def test_an_agent_is_given_no_tools(catalogue: Catalogue, program: Callable[[str, str], Program]) -> None:
    claude = program("claude", f"print({json.dumps(RESULT)!r})")
    ask(catalogue, "claude-code")
    words = claude.seen["argv"]
    assert words[words.index("--tools") + 1] == ""
    codex = program("codex", "\n".join(f"print({json.dumps(event)!r})" for event in CODEX))
    ask(catalogue, "codex")
    words = codex.seen["argv"]
    assert words[words.index("--sandbox") + 1] == "read-only"
    assert {"shell_tool", "unified_exec"} <= {
        after for word, after in itertools.pairwise(words) if word == "--disable"
    }
    copilot = program("copilot", "print('{}')")
    ask(catalogue, "github-copilot")
    assert "--available-tools=none" in copilot.seen["argv"]
    assert not any("allow" in word for word in copilot.seen["argv"])


def test_another_address_is_told_to_the_command(
    catalogue: Catalogue, program: Callable[[str, str], Program]
) -> None:
    url = "http://127.0.0.1:4000/v1"
    claude = program("claude", f"print({json.dumps(RESULT)!r})")
    ask(catalogue, "claude-code", url=url)
    assert claude.seen["env"]["ANTHROPIC_BASE_URL"] == url
    codex = program("codex", "\n".join(f"print({json.dumps(event)!r})" for event in CODEX))
    ask(catalogue, "codex", url=url)
    assert f'model_providers.ripple.base_url="{url}"' in codex.seen["argv"]
    copilot = program("copilot", "print('{}')")
    ask(catalogue, "github-copilot", url=url, key=SECRET)
    assert copilot.seen["env"]["COPILOT_PROVIDER_BASE_URL"] == url
    assert {name for name, value in copilot.seen["env"].items() if value == SECRET} == {"COPILOT_PROVIDER_API_KEY"}


def test_a_command_that_hangs_is_killed_with_its_children(
    catalogue: Catalogue, program: Callable[[str, str], Program], tmp_path: Path
) -> None:
    pids, new = tmp_path / "pids", str(tmp_path / "pids.new")
    program(
        "copilot",
        "import subprocess, time\n"
        f"child = subprocess.Popen([{sys.executable!r}, '-IS', '-c', 'import time; time.sleep(60)'])\n"
        f"with open({new!r}, 'w') as file:\n    file.write(f'{{os.getpid()}} {{child.pid}}')\n"
        f"os.replace({new!r}, {str(pids)!r})\n"
        "time.sleep(60)",
    )
    for seconds in (1.5, 6, 20):  # until there was time to start the child
        with pytest.raises(DeadlineExceeded, match="timeout"):
            ask(catalogue, "github-copilot", seconds=seconds)
        if pids.exists():
            break
    for pid in map(int, pids.read_text().split()):
        give_up = time.monotonic() + 30
        while _runs(pid):
            assert time.monotonic() < give_up, f"process {pid} outlived the question"
            time.sleep(0.02)


def test_a_child_that_keeps_the_pipes_open_does_not_outlive_the_answer(
    catalogue: Catalogue, program: Callable[[str, str], Program], tmp_path: Path
) -> None:
    pids = tmp_path / "pids"
    program(
        "copilot",
        "import subprocess\n"
        f"child = subprocess.Popen([{sys.executable!r}, '-IS', '-c', 'import time; time.sleep(60)'],"
        " stdout=subprocess.DEVNULL)\n"
        f"open({str(pids)!r}, 'w').write(str(child.pid))\n"
        "print('done')",
    )
    assert ask(catalogue, "github-copilot").text == "done\n"
    give_up = time.monotonic() + 30
    while _runs(int(pids.read_text())):
        assert time.monotonic() < give_up
        time.sleep(0.02)


def test_a_command_that_says_too_much_is_cut_and_killed(
    catalogue: Catalogue, program: Callable[[str, str], Program]
) -> None:
    program("copilot", "while True: sys.stdout.write('x' * 65536)")
    reply = ask(catalogue, "github-copilot")
    assert len(reply.raw) == MAX_BODY_BYTES
    assert "was cut" in reply.problem


def test_a_command_that_never_reads_a_long_prompt_still_answers(
    catalogue: Catalogue, program: Callable[[str, str], Program]
) -> None:
    called = program("copilot", "")
    (called.folder / "copilot").write_text("#!/bin/sh\necho '{}'\n")
    asked = voter("m", adapter="github-copilot")
    long = REQUEST.__class__(({"role": "user", "content": "x" * 3_000_000},), {}, "candidate", 64)
    reply = run(Fanout(adapters_of(catalogue), Keyring(Path("/nonexistent"))).reply(Call(asked, long)))
    assert reply.text == "{}\n"


def test_a_failing_command_is_absent_with_what_it_said(
    catalogue: Catalogue, program: Callable[[str, str], Program]
) -> None:
    program("codex", f"sys.stderr.write('not signed in, key {SECRET}'); sys.exit(3)")
    with pytest.raises(Unavailable, match=r"status 3: not signed in, key \[key\]"):
        ask(catalogue, "codex", key=SECRET)
    program("claude", f"print({json.dumps({**RESULT, 'is_error': True, 'result': 'Invalid API key'})!r})")
    with pytest.raises(Unavailable, match="Invalid API key"):
        ask(catalogue, "claude-code")


def test_a_command_that_is_not_there_is_absent_with_how_to_get_it(
    catalogue: Catalogue, program: Callable[[str, str], Program]
) -> None:
    with pytest.raises(Unavailable, match=r"codex is not installed.*npm install"):
        ask(catalogue, "codex")
    assert "not installed" in adapters_of(catalogue)["codex"].lacking()
    program("codex", "")
    assert adapters_of(catalogue)["codex"].lacking() == ""


@pytest.mark.parametrize("output", ["", "[]", "null", '{"result": 1}', "{", '{"type": 1}\n[1]\n"x"\n{"item": 3}'])
@pytest.mark.parametrize(("adapter", "command"), [("claude-code", "claude"), ("codex", "codex")])
def test_output_of_another_shape_is_no_answer(
    catalogue: Catalogue, program: Callable[[str, str], Program], adapter: str, command: str, output: str
) -> None:
    program(command, f"print({output!r})")
    try:
        reply = ask(catalogue, adapter)
    except Unavailable as error:
        assert "error" in str(error)
    else:
        assert reply.problem


def test_keys_are_for_their_owner_alone(tmp_path: Path) -> None:
    keyring = Keyring(tmp_path / "secrets")
    assert keyring.get("one") is None
    keyring.put("one", SecretStr(f" {SECRET}\n"))
    file = tmp_path / "secrets" / "one"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    found = keyring.get("one")
    assert found is not None
    assert found.get_secret_value() == SECRET
    assert SECRET not in f"{found!r} {found}"
    keyring.put("one", SecretStr("another"))
    assert [path.name for path in file.parent.iterdir()] == ["one"]
    keyring.remove("one")
    keyring.remove("one")
    assert not keyring.has("one")


def test_a_key_others_could_read_or_redirect_is_not_used(tmp_path: Path) -> None:
    keyring = Keyring(tmp_path)
    keyring.put("open", SecretStr(SECRET))
    (tmp_path / "open").chmod(0o644)
    with pytest.raises(Refused, match="open to others"):
        keyring.get("open")
    (tmp_path / "link").symlink_to(tmp_path / "open")
    with pytest.raises(Refused):
        keyring.get("link")


@pytest.mark.parametrize("name", ["", "../x", "a/b", ".hidden", "A", "x" * 80])
def test_a_key_has_a_plain_name(tmp_path: Path, name: str) -> None:
    with pytest.raises(Invalid):
        Keyring(tmp_path).put(name, SecretStr(SECRET))


@pytest.mark.parametrize("key", ["", "two\nlines", "ключ", "x" * 20_000])
def test_a_key_is_one_printable_line(tmp_path: Path, key: str) -> None:
    with pytest.raises(Invalid):
        Keyring(tmp_path).put("one", SecretStr(key))
    assert list(tmp_path.iterdir()) == []


def _runs(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
