"""Evals: the application's own file, real programs in the sandbox, and nothing passes that was not checked."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from ripple.delivery.application import load_application
from ripple.delivery.assertions import holds
from ripple.delivery.evalplan import EvalConfig, render, unfold
from ripple.delivery.evals import run_evals
from ripple.delivery.gates import evals_gate
from ripple.delivery.toolchain import Toolchain, ensure_toolchain, toolchain_of
from ripple.model.application import ApplicationManifest
from ripple.model.errors import Invalid, Unavailable
from ripple.model.gate import Verdict
from ripple.model.release import Release
from ripple.planes.sandbox import Sandbox
from ripple.planes.sandbox.bubblewrap import BubblewrapSandbox
from ripple.stack.load import parse

EXAMPLE = Path(__file__).resolve().parents[3] / "examples" / "checkout"
RELEASE = Release("shop", "c" * 40, "t" * 40, "sha256:x")
ECHO = "import sys\nsys.stdout.write(sys.argv[1] + '\\n')\n"
UNCHECKABLE = ("javascript", "python", "llm-rubric", "similar", "latency", "cost", "is-sql", "made-up")


@pytest.fixture(scope="module")
def sandbox() -> Sandbox:
    if not asyncio.run(Sandbox(BubblewrapSandbox()).rungs()):
        pytest.skip("not run: no sandbox works here; run ./ripple doctor")
    return Sandbox(BubblewrapSandbox())


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Toolchain:
    return asyncio.run(ensure_toolchain(tmp_path_factory.mktemp("toolchains"), None))


def manifest(evals: str | None = "evals.yaml") -> ApplicationManifest:
    return ApplicationManifest.model_validate(
        {
            "name": "shop",
            "test": {"unit": ["true"], "timeout_seconds": 30},
            "run": {"command": ["true"], "ready": {"http": "/"}},
            "evals": evals,
        }
    )


def config(*tests: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"prompts": ["{{text}}"], "providers": ["exec:python echo.py"], "tests": list(tests), **more}


def asserting(text: str, *assertions: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"vars": {"text": text}, "assert": list(assertions), **more}


def ran(sandbox: Sandbox, toolchain: Toolchain, folder: Path, given: Any, program: str = ECHO) -> dict[str, Any]:
    folder.mkdir(exist_ok=True)
    (folder / "echo.py").write_text(program)
    (folder / "evals.yaml").write_text(yaml.safe_dump(given))
    before = sorted(folder.rglob("*"))
    result = asyncio.run(run_evals(sandbox, folder, manifest(), toolchain))
    assert sorted(folder.rglob("*")) == before, "the tree itself is never written"
    return result


def test_the_examples_evals_pass_and_a_change_of_its_words_fails_them(sandbox: Sandbox, tmp_path: Path) -> None:
    settings = load_application(EXAMPLE)
    try:
        toolchain = asyncio.run(toolchain_of(tmp_path / "toolchains", EXAMPLE, settings))
    except Unavailable as error:
        pytest.skip(f"not run: no package index answers here ({error})")
    tree = Path(shutil.copytree(EXAMPLE, tmp_path / "tree", ignore=shutil.ignore_patterns("__pycache__")))
    result = asyncio.run(run_evals(sandbox, tree, settings, toolchain))
    assert (result["total"], result["failed"], result["reasons"]) == (4, 0, [])
    assert evals_gate(RELEASE, result).verdict is Verdict.PASS
    said = tree / "checkout" / "explain.py"
    said.write_text(said.read_text().replace("ships free", "goes out free"))
    result = asyncio.run(run_evals(sandbox, tree, settings, toolchain))
    assert result["failed"] == 1
    assert "a large basket ships free: contains 'ships free' does not hold" in result["reasons"][0]
    assert evals_gate(RELEASE, result).verdict is Verdict.FAIL


def test_an_application_without_evals_declares_none(sandbox: Sandbox, alone: Toolchain, tmp_path: Path) -> None:
    result = asyncio.run(run_evals(sandbox, tmp_path, manifest(None), alone))
    assert (result["declared"], result["total"]) == (False, 0)


def test_each_assertion_is_judged_on_what_the_program_really_printed(
    sandbox: Sandbox, alone: Toolchain, tmp_path: Path
) -> None:
    given = config(
        asserting(
            "Hello 42", {"type": "regex", "value": "^Hel+o \\d+$"}, {"type": "starts-with", "value": "Hello"}
        ),
        asserting("Hello", {"type": "not-regex", "value": "\\d"}, {"type": "equals", "value": "{{text}}"}),
        asserting("Hello", {"type": "regex", "value": "\\d"}, description="no digit"),
        asserting(
            '{"n": 1}', {"type": "is-json", "value": {"required": ["n"]}}, {"type": "equals", "value": {"n": 1}}
        ),
        asserting("x", {"type": "regex", "value": "("}, description="no pattern"),
    )
    result = ran(sandbox, alone, tmp_path / "app", given)
    assert [one["ok"] for one in result["results"]] == [True, True, False, True, False]
    assert result["failed"] == 2
    assert any("no pattern: the pattern '(' cannot be searched for" in reason for reason in result["reasons"])


def test_a_program_that_fails_hangs_or_talks_without_end_fails_its_evals(
    sandbox: Sandbox, alone: Toolchain, tmp_path: Path
) -> None:
    program = (
        "import sys\nwhat = sys.argv[1]\n"
        "if what == 'fail': sys.exit('broken')\n"
        "if what == 'loud':\n    while True: print('x' * 4096)\n"
        "if what == 'network':\n"
        "    import socket; socket.create_connection(('192.0.2.1', 80), 1)\n"
        "if what == 'error': sys.stderr.write('only this'); sys.exit(0)\n"
    )
    whats = ("fail", "loud", "network", "error")
    tests = [asserting(what, {"type": "not-equals", "value": "x"}, description=what) for what in whats]
    result = ran(sandbox, alone, tmp_path / "app", config(*tests), program)
    assert result["failed"] == 4
    assert "fail: its program failed: exited with status 1 (broken)" in result["reasons"]
    assert "error: its program printed nothing but: only this" in result["reasons"]
    assert any("loud: its program failed: printed more than" in reason for reason in result["reasons"])


def test_a_pattern_that_takes_for_ever_is_stopped_and_fails(
    sandbox: Sandbox, alone: Toolchain, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ripple.delivery import evals
    from ripple.planes.sandbox import Limits

    monkeypatch.setattr(evals, "_SEARCH_LIMITS", Limits(cpu_seconds=1, wall_seconds=1))
    slow = asserting("a" * 40 + "!", {"type": "regex", "value": "^(a+)+$"})
    result = ran(sandbox, alone, tmp_path / "app", config(slow))
    assert result["failed"] == 1
    assert "cannot be searched for" in result["reasons"][0]


def test_a_threshold_weighs_assertions_and_never_excuses_an_unsupported_one(
    sandbox: Sandbox, alone: Toolchain, tmp_path: Path
) -> None:
    holds_, fails = {"type": "contains", "value": "a"}, {"type": "contains", "value": "z"}
    given = config(
        asserting("a", {**holds_, "weight": 3}, fails, threshold=0.75),
        asserting("a", {**holds_, "weight": 2}, fails, threshold=0.75),
        asserting("a", holds_, {**fails, "weight": 0}),
        asserting("a", holds_, {"type": "llm-rubric", "value": "nice"}, threshold=0.1),
    )
    result = ran(sandbox, alone, tmp_path / "app", given)
    assert [one["ok"] for one in result["results"]] == [True, False, True, False]


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"providers": ["openai:gpt-4"]}, "provider 'openai:gpt-4' is not supported"),
        ({"prompts": ["file://prompt.txt"]}, "is a file"),
        ({"prompts": ["{{text | upper}}"]}, "more of templates than variables"),
        ({"prompts": ["{% if text %}x{% endif %}"]}, "more of templates than variables"),
        ({"prompts": ["{{other}}"]}, "no variable of the test"),
        ({"tests": [{"vars": {"text": "x"}}]}, "asserts nothing"),
        ({"tests": "file://tests.csv"}, "not valid"),
        ({"scenarios": []}, "unknown key 'scenarios'"),
        ({"tests": [asserting("{{ env.HOME }}", {"type": "equals", "value": "x"})]}, "template or a file"),
        ({"tests": [asserting("x", {"type": "equals", "value": "x"}) for _ in range(501)]}, "more than 500"),
    ],
)
def test_what_is_not_supported_fails_with_its_name_and_runs_nothing(
    sandbox: Sandbox, alone: Toolchain, tmp_path: Path, change: dict[str, Any], why: str
) -> None:
    given = {**config(asserting("x", {"type": "equals", "value": "x"})), **change}
    result = ran(sandbox, alone, tmp_path / "app", given)
    assert (result["declared"], result["results"]) == (True, [])
    assert why in result["reasons"][0]
    assert evals_gate(RELEASE, result).verdict is Verdict.FAIL


@pytest.mark.parametrize("name", ["missing.yaml", "../evals.yaml", "/etc/hostname", "link.yaml"])
def test_a_file_that_is_missing_or_elsewhere_fails(
    sandbox: Sandbox, alone: Toolchain, tmp_path: Path, name: str
) -> None:
    (tmp_path / "app").mkdir()
    (tmp_path / "evals.yaml").write_text(yaml.safe_dump(config(asserting("x", {"type": "equals", "value": "x"}))))
    (tmp_path / "app" / "link.yaml").symlink_to(tmp_path / "evals.yaml")
    result = asyncio.run(run_evals(sandbox, tmp_path / "app", manifest(name), alone))
    assert result["reasons"]
    assert evals_gate(RELEASE, result).verdict is Verdict.FAIL


@pytest.mark.parametrize(
    ("kind", "value", "output", "expected"),
    [
        ("equals", "a", "a", True),
        ("equals", "a", "a ", False),
        ("equals", 3, "3", True),
        ("equals", True, "true", True),
        ("contains", "b", "abc", True),
        ("contains", "B", "abc", False),
        ("icontains", "B", "abc", True),
        ("contains-any", ["x", "b"], "abc", True),
        ("contains-any", "x, b", "abc", True),
        ("contains-all", ["a", "x"], "abc", False),
        ("icontains-all", ["A", "B"], "abc", True),
        ("icontains-any", "X,Y", "abc", False),
        ("starts-with", "ab", "abc", True),
        ("starts-with", "bc", "abc", False),
        ("is-json", None, "[1]", True),
        ("is-json", None, "[1", False),
        ("is-json", {"type": "object"}, "[1]", False),
        ("is-json", None, "[" * 100_000, False),
    ],
)
def test_assertions_mean_what_promptfoo_says(kind: str, value: Any, output: str, expected: bool) -> None:
    assert holds(kind, value, output) is expected


@pytest.mark.parametrize("kind", UNCHECKABLE)
def test_a_type_that_cannot_be_checked_here_is_never_passed(kind: str) -> None:
    with pytest.raises(Invalid, match="not supported"):
        holds(kind, "x", "x")


@pytest.mark.parametrize(
    ("kind", "value"), [("contains", None), ("contains-any", []), ("equals", None), ("is-json", "x")]
)
def test_a_value_that_is_of_no_use_is_never_passed(kind: str, value: Any) -> None:
    with pytest.raises(Invalid):
        holds(kind, value, '""')


def test_lists_of_values_and_several_prompts_and_providers_are_all_combined() -> None:
    tests = [{"vars": {"a": ["1", "2"], "b": "x"}, "assert": [{"type": "equals", "value": "{{a}}{{b}}"}]}]
    given = {
        "prompts": ["p {{a}}", {"raw": "q {{b}}"}],
        "providers": ["exec:one", {"id": "exec:two 'with space'", "config": {"k": 1}}],
        "tests": tests,
        "defaultTest": {"assert": [{"type": "contains", "value": "{{b}}"}]},
    }
    cases = unfold(parse(EvalConfig, given, "evals"))
    assert len(cases) == 8
    assert {case.prompt for case in cases} == {"p 1", "p 2", "q x"}
    assert cases[-1].command[:3] == ("two", "with space", "q x")
    assert [one.value for one in cases[0].assertions] == ["x", "1x"]


@given(
    st.dictionaries(st.from_regex(r"[a-z]\w{0,5}", fullmatch=True), st.text(max_size=10), min_size=1, max_size=4)
)
def test_filling_in_variables_gives_back_exactly_their_values(values: dict[str, str]) -> None:
    template = "|".join("{{ " + name + " }}" for name in values)
    assert render(template, values, "here") == "|".join(values.values())
