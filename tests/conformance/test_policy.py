"""The policy plane, written once and run against every driver: same questions, same answers, no by default.

The reference is Open Policy Agent itself. No build of it can be imported by this project's Python, so the
comparison with it is reported as not run.
"""

from __future__ import annotations

import importlib
import json
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from ripple import planes
from ripple.model.errors import Invalid
from ripple.planes import policy as plane
from ripple.planes.policy import Policy, PolicyDriver
from ripple.planes.policy.regorus import RegorusPolicy
from ripple.planes.policy.testing import main, run_tests
from ripple.planes.policy.vocabulary import IMPURE, SUPPORTED

DRIVERS: list[Callable[[], PolicyDriver]] = [RegorusPolicy]
POLICIES = Path(next(iter(planes.__path__))).parents[2] / "policies"


@pytest.fixture(params=DRIVERS, ids=lambda made: made.__name__)
def driver(request: pytest.FixtureRequest) -> PolicyDriver:
    """Each driver in turn, empty."""
    made: PolicyDriver = request.param()
    return made


def test_the_reference_engine_agrees() -> None:
    pytest.skip(
        "not run: no library of Open Policy Agent can be imported here; add its driver to DRIVERS to compare"
    )


def module(body: str, package: str = "t") -> str:
    return f"package {package}\nimport rego.v1\n{body}\n"


def answer(driver: PolicyDriver, body: str, given: Mapping[str, Any] | None = None) -> Any:
    """The value of rule ``r``."""
    driver.load({"t.rego": module(body)}, {"limits": {"n": 4}})
    return driver.evaluate("t/r", given or {})


CASES: list[tuple[str, str, dict[str, Any], Any]] = [
    ("an undefined reference is undefined", "r := 1 if input.a.b == 2", {}, None),
    ("a default stands in", "default r := 0\nr := 1 if input.x", {}, 0),
    ("not of undefined holds", "r := 1 if not input.x", {}, 1),
    ("sets are sorted lists", 'r := {x | some x in ["b", "a", "b"]}', {}, ["a", "b"]),
    ("every over nothing holds", "r := 1 if { every x in [] { x == 1 } }", {}, 1),
    ("every fails on one", "r := 1 if { every x in input.xs { x == 1 } }", {"xs": [1, 2]}, None),
    ("data is there", "r := data.limits.n + 1", {}, 5),
    ("else is tried in order", "r := 1 if { input.x == 1 } else := 2 if { input.x == 2 } else := 3", {"x": 2}, 2),
    ("functions may be undefined", "f(x) := x if x > 1\nr := 1 if not f(0)", {}, 1),
    ("exactly equal floats are equal", "r := 1 if input.a >= input.b", {"a": 0.6, "b": 0.6}, 1),
    ("the next float below is below", "r := 1 if input.a >= input.b", {"a": 0.5999999999999999, "b": 0.6}, None),
    (
        "partial rules gather",
        'r contains p if { some p in input.ps; startswith(p, "x") }',
        {"ps": ["xa", "b"]},
        ["xa"],
    ),
    ("patterns are anchored as written", "r := 1 if regex.match(`^[a-z]+$`, input.x)", {"x": "abc\n"}, None),
    ("text is text", "r := input.x", {"x": "\u0000é\U0001f600"}, "\u0000é\U0001f600"),
]


@pytest.mark.parametrize(("name", "body", "given", "wanted"), CASES, ids=[case[0] for case in CASES])
def test_rego_means_what_it_says(
    driver: PolicyDriver, name: str, body: str, given: dict[str, Any], wanted: Any
) -> None:
    assert answer(driver, body, given) == wanted


@pytest.mark.parametrize(
    ("body", "given"),
    [
        ('r := 1 if not startswith(input.x, "a")', {"x": 1}),
        ("r := 1 if not to_number(input.x) == 3", {"x": "zz"}),
        ("r := 1 if not 1 / input.x == 1", {"x": 0}),
        ("r := 1 if input.x\nr := 2 if input.x", {"x": 1}),
        ("f(x) := 1 if x > 0\nf(x) := 2 if x > 1\nr := f(3)", {}),
        ("r contains x if x := json.unmarshal(input.x)", {"x": "{"}),
    ],
)
def test_a_rule_that_errs_raises_and_never_counts_as_undefined(
    driver: PolicyDriver, body: str, given: dict[str, Any]
) -> None:
    with pytest.raises(Invalid) as caught:
        answer(driver, body, given)
    assert str(caught.value).startswith("t.rego:")
    assert "backtrace" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_driver_that_erred_answers_the_next_question(driver: PolicyDriver) -> None:
    with pytest.raises(Invalid):
        answer(driver, "r := 1 if input.x\nr := 2 if input.x", {"x": 1})
    assert driver.evaluate("t/r", {}) is None


def test_what_is_not_loaded_is_undefined(driver: PolicyDriver) -> None:
    driver.load({"t.rego": module("r := 1")}, {})
    assert [driver.evaluate(path, {}) for path in ("t/other", "nowhere/r")] == [None, None]


@pytest.mark.parametrize(
    ("body", "place"),
    [("r := {", "t.rego:"), ("r := x", "t.rego:"), ("r { true }", "t.rego:3:"), ("r := s\ns := r", "t.rego:")],
)
def test_a_module_that_does_not_parse_is_refused_with_its_place(
    driver: PolicyDriver, body: str, place: str
) -> None:
    with pytest.raises(Invalid) as caught:
        driver.load({"t.rego": module(body)}, {})
    assert place in str(caught.value)
    assert "backtrace" not in str(caught.value)


LACKING = [
    'crypto.sha256("a")',
    'crypto.hmac.sha256("a", "k")',
    'io.jwt.decode_verify("a", {})',
    'crypto.x509.parse_certificates("a")',
    'http.send({"method": "get", "url": "http://127.0.0.1"})',
    "opa.runtime()",
    "time.now_ns()",
    'rand.intn("a", 5)',
    'net.lookup_ip_addr("localhost")',
    "walk([1], [p, v])",
    "nosuch(1)",
]


@pytest.mark.parametrize("call", LACKING)
def test_an_unsupported_built_in_is_refused_when_loaded(driver: PolicyDriver, call: str) -> None:
    text = module(f"f(x) := x\nr if {{\n\tf(1)\n\t{call}\n}}")
    with pytest.raises(Invalid) as caught:
        driver.load({"a/t.rego": text}, {})
    assert f"a/t.rego:6: {call.partition('(')[0]}" in str(caught.value)


@pytest.mark.parametrize(
    "body",
    [
        "f(x) := f(x + 1)\nr := f(1)",
        "f(x) := g(x)\ng(x) := f(x)\nr := f(1)",
        "f(x) := data.t.f(x)\nr := f(1)",
        "f(x) := y if y := {z | z := f(x)}\nr := f(1)",
    ],
)
def test_a_function_that_calls_itself_is_refused_before_it_can_run(driver: PolicyDriver, body: str) -> None:
    with pytest.raises(Invalid, match=r"t\.rego:\d+: data\.t\.\w calls itself"):
        driver.load({"t.rego": module(body)}, {})


def test_a_refused_bundle_leaves_the_loaded_one_in_place(driver: PolicyDriver) -> None:
    driver.load({"t.rego": module("r := 1")}, {})
    with pytest.raises(Invalid):
        driver.load({"t.rego": module('r := crypto.md5("a")')}, {})
    assert driver.evaluate("t/r", {}) == 1


def test_names_in_comments_and_texts_are_no_calls(driver: PolicyDriver) -> None:
    assert answer(driver, '# http.send(1)\nr := "crypto.sha256(1)"') == "crypto.sha256(1)"


def test_functions_of_the_bundle_are_no_built_ins(driver: PolicyDriver) -> None:
    lib = module("walk_far(x) := x + 1\nsha256(x) := x", "lib.crypto")
    user = module("import data.lib.crypto\nimport data.lib.crypto as c\nr := c.walk_far(crypto.sha256(1))")
    also = module("r := data.lib.crypto.walk_far(1)", "u")
    driver.load({"lib.rego": lib, "t.rego": user, "u.rego": also}, {})
    assert [driver.evaluate("t/r", {}), driver.evaluate("u/r", {})] == [2, 2]


_CALLS = r"""
abs(-1) array.concat([1],[2]) array.reverse([1]) array.slice([1,2],0,1) base64.decode("YQ==") base64.encode("a")
base64.is_valid("YQ==") base64url.decode("YQ") base64url.encode("a") base64url.encode_no_pad("a") bits.and(1,1)
bits.lsh(1,1) bits.negate(1) bits.or(1,1) bits.rsh(2,1) bits.xor(1,0) ceil(1.5) concat(",",["a"])
contains("ab","a") count([1]) endswith("ab","b") floor(1.5) format_int(10,16) glob.match("a*",[],"ab")
glob.quote_meta("*") graph.reachable({"a":["b"],"b":[]},["a"]) graph.reachable_paths({"a":["b"],"b":[]},["a"])
hex.decode("61") hex.encode("a") indexof("ab","b") indexof_n("abb","b") intersection({{1},{1}}) is_array([])
is_boolean(true) is_null(null) is_number(1) is_object({}) is_set({1}) is_string("a") json.filter({"a":1},["a"])
json.is_valid("{}") json.marshal({}) json.match_schema({},{"type":"object"})
json.patch({"a":1},[{"op":"remove","path":"a"}]) json.remove({"a":1},["a"]) json.unmarshal("{}") lower("A")
max([1]) min([1]) net.cidr_contains("10.0.0.0/8","10.0.0.1") net.cidr_is_valid("10.0.0.0/8") numbers.range(1,2)
numbers.range_step(1,4,2) object.filter({"a":1},["a"]) object.get({"a":1},"a",0) object.keys({"a":1})
object.remove({"a":1},["a"]) object.subset({"a":1},{"a":1}) object.union({"a":1},{"b":1})
object.union_n([{"a":1}]) product([1,2]) regex.find_n("a","a",-1) regex.is_valid("a") regex.match("a","a")
regex.replace("a","a","b") regex.split("a","bab") regex.template_match("a{b}","ab","{","}") replace("a","a","b")
round(1.5) semver.compare("1.0.0","1.0.1") semver.is_valid("1.0.0") sort([2,1]) split("a,b",",")
sprintf("%d",[1]) startswith("ab","a") strings.any_prefix_match("ab","a") strings.any_suffix_match("ab","b")
strings.count("aa","a") strings.replace_n({"a":"b"},"a") strings.reverse("ab") substring("abc",0,1) sum([1])
time.add_date(0,1,1,1) time.clock(0) time.date(0) time.diff(0,1) time.parse_duration_ns("1s")
time.parse_ns("2006-01-02","2020-01-01") time.parse_rfc3339_ns("2020-01-01T00:00:00Z") time.weekday(0)
to_number("1") trim("xax","x") trim_left("aab","a") trim_prefix("ab","a") trim_right("baa","a") trim_space("a")
trim_suffix("ab","b") type_name(1) union({{1},{2}}) units.parse("1K") units.parse_bytes("1KB") upper("a")
urlquery.decode("a") urlquery.encode("a")
"""
CALLS = _CALLS.split()


def test_every_supported_built_in_has_a_call_here() -> None:
    assert {call.partition("(")[0] for call in CALLS} == SUPPORTED
    assert not SUPPORTED & IMPURE


@pytest.mark.parametrize("call", CALLS)
def test_a_supported_built_in_answers(driver: PolicyDriver, call: str) -> None:
    assert answer(driver, f"r := {{{call}}}") not in (None, [])


def test_many_threads_get_their_own_answers(driver: PolicyDriver) -> None:
    driver.load({"t.rego": module("r := input.n * 2")}, {})
    barrier = threading.Barrier(4)

    def work(start: int) -> list[int]:
        barrier.wait(10)
        return [driver.evaluate("t/r", {"n": number}) for number in range(start, start + 200)]

    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(work, (0, 1_000, 2_000, 3_000)))
    assert found == [[number * 2 for number in range(start, start + 200)] for start in (0, 1_000, 2_000, 3_000)]


def test_a_reload_reaches_every_thread(driver: PolicyDriver) -> None:
    with ThreadPoolExecutor(1) as pool:
        driver.load({"t.rego": module("r := 1")}, {})
        first = pool.submit(driver.evaluate, "t/r", {}).result(10)
        driver.load({"t.rego": module("r := 2")}, {})
        assert (first, pool.submit(driver.evaluate, "t/r", {}).result(10)) == (1, 2)


@pytest.mark.parametrize(
    ("body", "why"),
    [
        ("other := 1", "gave no decision"),
        ('decision := {"allow": true, "reasons": []} if input.never', "gave no decision"),
        ("decision := true", "without a boolean allow"),
        ('decision := {"allow": "yes", "reasons": []}', "without a boolean allow"),
        ('decision := {"allow": 1, "reasons": []}', "without a boolean allow"),
        ('decision := {"allow": true}', "without a list of reasons"),
        ('decision := {"allow": true, "reasons": "fine"}', "without a list of reasons"),
        ('decision := {"allow": true, "reasons": [1]}', "without a list of reasons"),
        ('decision := {"allow": true, "reasons": []} if 1 / 0 == 1', "failed: t.rego:"),
        ('decision := {"allow": false, "reasons": []}', "gives no reason"),
    ],
)
def test_anything_but_a_clear_yes_is_a_no(driver: PolicyDriver, body: str, why: str) -> None:
    policy = Policy(driver)
    policy.load({"t.rego": module(body)}, {})
    found = policy.decide("t", {})
    assert not found.allowed
    assert why in found.reasons[0]


def test_a_clear_yes_carries_its_revision(driver: PolicyDriver) -> None:
    policy = Policy(driver)
    yes = module('decision := {"allow": true, "reasons": ["because"]}')
    policy.load({"t.rego": yes}, {})
    first, second = policy.decide("t", {}), policy.decide("t", {})
    assert (first.allowed, first.reasons, first.revision) == (True, ("because",), policy.revision)
    assert first.id != second.id
    policy.load({"t.rego": yes}, {"changed": 1})
    assert policy.revision != first.revision


@pytest.mark.parametrize("given", [{"x": float("nan")}, {"x": object()}, {"x": b"bytes"}])
def test_an_input_that_is_no_json_is_a_no(driver: PolicyDriver, given: dict[str, Any]) -> None:
    policy = Policy(driver)
    policy.load({"t.rego": module('decision := {"allow": true, "reasons": []}')}, {})
    assert not policy.decide("t", given).allowed


def test_an_oversized_input_is_a_no(driver: PolicyDriver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plane, "MAX_INPUT_BYTES", 100)
    policy = Policy(driver)
    policy.load({"t.rego": module('decision := {"allow": true, "reasons": []}')}, {})
    assert not policy.decide("t", {"x": "y" * 200}).allowed


def test_an_answer_past_the_deadline_is_a_no(driver: PolicyDriver, monkeypatch: pytest.MonkeyPatch) -> None:
    policy = Policy(driver)
    policy.load({"t.rego": module('decision := {"allow": count(numbers.range(1, 50000)) > 1, "reasons": []}')}, {})
    monkeypatch.setattr(plane, "DEADLINE_SECONDS", 0.000_001)
    found = policy.decide("t", {})
    assert not found.allowed
    assert "took" in found.reasons[0]


def test_the_shipped_bundle_loads_and_its_tests_hold(driver: PolicyDriver) -> None:
    policy = Policy(driver)
    policy.load_directory(POLICIES)
    for path in (
        "ripple/authz",
        "ripple/changes/admit",
        "ripple/edits",
        "inference/merge",
        "ripple/gates/security",
        "ripple/promotion",
        "ripple/sandbox",
        "ripple/models",
        "ripple/providers",
    ):
        found = policy.decide(path, {})
        assert not found.allowed, path
        assert found.reasons[0].startswith("the request is incomplete"), path


def test_settings_replace_keys_of_the_bundles_data(driver: PolicyDriver) -> None:
    policy = Policy(driver)
    merge = {
        "consensus": {"reached": True, "score": 1, "winner": "a"},
        "policy": {"name": "ripple-moe-offline", "min_agreement": 0.6},
    }
    policy.load_directory(POLICIES)
    assert policy.decide("inference/merge", merge).allowed
    before = policy.revision
    policy.load_directory(POLICIES, {"allowed_inference_policies": ["ripple-moe"]})
    assert not policy.decide("inference/merge", merge).allowed
    assert policy.revision != before


def test_a_folder_without_policies_is_refused(driver: PolicyDriver, tmp_path: Path) -> None:
    with pytest.raises(Invalid, match="no policy below"):
        Policy(driver).load_directory(tmp_path)


def write(folder: Path, files: Mapping[str, str]) -> Path:
    for name, text in files.items():
        (folder / name).write_text(text)
    return folder


def test_the_shipped_policies_pass_their_own_tests(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(POLICIES)]) == 0
    assert " 0 failed" in capsys.readouterr().out


def test_false_undefined_and_failing_tests_count_as_failed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tests = "test_good if true\ntest_false := false\ntest_absent if input.never\ntest_error if 1 / 0 == 1\nr := 1"
    folder = write(
        tmp_path, {"a.rego": module("r := 1"), "a_test.rego": module(tests, "t_test"), "data.json": "{}"}
    )
    results = {result.rule.rpartition(".")[2]: result.passed for result in run_tests(folder)}
    assert results == {"test_good": True, "test_false": False, "test_absent": False, "test_error": False}
    assert main([str(folder)]) == 1
    said = capsys.readouterr().out
    assert "1 passed, 3 failed" in said
    assert "a_test.rego:5" in said


@pytest.mark.parametrize(
    ("files", "why"),
    [
        ({"a_test.rego": module("r := 1")}, "no test_ rule in a_test.rego"),
        ({"a_test.rego": module("test_a if {")}, "a_test.rego:4:"),
        ({"a_test.rego": module('test_a if crypto.sha256("a")')}, "a_test.rego:3: crypto.sha256"),
        ({"a.rego": module("r := 1")}, "0 passed, 0 failed"),
        ({}, "0 passed, 0 failed"),
        ({"a.rego": module("r := 1"), "data.json": "{"}, "cannot read policy data"),
    ],
)
def test_the_runner_fails_where_nothing_is_tested(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], files: dict[str, str], why: str
) -> None:
    assert main([str(write(tmp_path, files))]) == 1
    assert why in capsys.readouterr().out


def _compiled() -> Callable[[str, str], Any]:
    engine = importlib.import_module("regorus")

    def ask(text: str, given: str) -> Any:
        program = engine.Program.compile_from_modules("{}", [("t.rego", text)], ["data.t.r"])
        machine = engine.Rvm()
        machine.load_program(program)
        machine.set_input_json(given)
        return json.loads(machine.execute())

    return ask


def test_the_compiled_form_still_fails_open_so_it_is_not_used() -> None:
    found = _compiled()(module('r := "in" if not startswith(input.x, "a")'), '{"x": 1}')
    assert found == "in", "regorus mended this: the compiled form could be used now, it is several times faster"
