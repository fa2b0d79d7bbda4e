"""Reading hostile answers: what is taken, what is refused, and that nothing else ever happens."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ripple.inference.answer import MAX_REPAIRED_CHARACTERS, answer_row, parse_answer, parse_tests
from ripple.model.candidate import Answer
from ripple.model.errors import Invalid

GOOD: dict[str, Any] = {"summary": "s", "edits": [{"path": "a.py", "find": "x", "replace": "y"}]}
TEXT = json.dumps(GOOD)
OTHER = json.dumps({**GOOD, "summary": "t"})
TEST = {"path": "test_a.py", "content": "def test_a():\n    assert True\n"}


def patched(value: str) -> str:
    return '{"config":[{"path":"config/a.json","patch":[{"op":"add","path":"/a","value":' + value + "}]}]}"


@pytest.mark.parametrize(
    "text",
    [
        TEXT,
        f"Sure! Here it is:\n```json\n{TEXT}\n```\nIt sets {{x}} to y.",
        f"```\n{TEXT}\n```",
        f'<think>maybe {{"edits": [ or {OTHER}</think>\n{TEXT}',
        f"<think>one</think>{OTHER}<think>no, two</think>{TEXT}",
        f"{TEXT}\n\nAgain:\n{TEXT}",
        "{} {'not': it} " + TEXT,
        json.dumps(GOOD, indent=2),
        TEXT.replace("}]", "},]"),
        TEXT.replace('"', "'"),
        '{summary: "s", edits: [{path: "a.py", find: "x", replace: "y"}]}',
        "{“summary”: “s”, “edits”: [{“path”: “a.py”, “find”: “x”, “replace”: “y”}]}",
    ],
)
def test_an_answer_is_found_wherever_it_stands(text: str) -> None:
    assert parse_answer(text) == Answer.model_validate(GOOD)


def test_line_breaks_and_quotes_inside_texts_mean_one_thing() -> None:
    assert parse_answer(TEXT.replace('"y"', '"y\n  z"')).edits[0].replace == "y\n  z"
    quoted = '{"edits": [{"path": "a.py", "find": "print("hi")", "replace": "print("bye")"}]}'
    assert parse_answer(quoted).edits[0].replace == 'print("bye")'
    assert parse_answer(r'{"edits": [{"path": "a.py", "find": "\d+", "replace": "y"}]}').edits[0].find == r"\d+"


def test_an_answer_may_speak_of_thoughts_and_fences() -> None:
    content = "```json\n" + OTHER + "\n```\n</think>\n"
    text = json.dumps({"edits": [{"path": "a.md", "content": content}]})
    assert parse_answer(text).edits[0].content == content


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "holds no JSON object"),
        ("I would rather not.", "holds no JSON object"),
        ("null", "holds no JSON object"),
        (f"[{'[' * 100_000}", "holds no JSON object"),
        ("{}", "neither edits nor config"),
        ('{"summary": "nothing to do"}', "neither edits nor config"),
        (TEXT[:-10], "stops in the middle"),
        (TEXT.replace("y", "y" * 3000)[:-3], "stops in the middle"),
        (f"{TEXT} or {OTHER}", "2 different answers"),
        ('{"edit": []}', "unknown key 'edit' in the answer; did you mean 'edits'"),
        ('{"edits": [{"path": "a", "find": "x"}]}', "find and replace"),
        ('{"summary": "a", "summary": "b", "edits": []}', "a key twice"),
        (patched("NaN"), "holds NaN"),
        (patched("1e999"), "no plain JSON"),
        (patched("9" * 5000), "not valid JSON"),
        (patched(str(2**53)), "no plain JSON"),
        (patched(r'"\ud800"'), "no plain JSON"),
        (TEXT.replace('"y"', '"\ud800"'), "no plain JSON"),
        (patched("1,000"), "not valid JSON"),
        (patched("12px"), "not valid JSON"),
        (TEXT.replace('"s",', '"s", // a comment\n'), "not valid JSON"),
        (f"{'x' * 10_000_000}", "10000000 characters, more than"),
        ('{"a":' * 100_000, "nests deeper"),
        ("{}" * 400_000, "neither edits nor config"),
        ('{"' + "k" * 1_000_000 + '": 1}', "unknown key"),
        ('{"edits": [' + ", ".join(['{"path": "a", "delete": true}'] * 51) + "]}", "at most 50"),
    ],
)
def test_anything_else_is_refused_quickly_with_a_short_reason(text: str, told: str) -> None:
    started = time.process_time()
    with pytest.raises(Invalid, match=told) as caught:
        parse_answer(text)
    assert len(str(caught.value)) < 500
    assert time.process_time() - started < 5


@pytest.mark.parametrize("piece", ["'#", "`'", '”"', ".'", ')"', "“:", "1,", "a:", '"a" ', "/*", "\\"])
def test_mending_is_bounded_on_what_is_slow_to_mend(piece: str) -> None:
    started = time.process_time()
    for length in (MAX_REPAIRED_CHARACTERS - 10, 1_000_000):
        with pytest.raises(Invalid):
            parse_answer("{" + (piece * length)[:length] + "}")
    assert time.process_time() - started < 10


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
ANSWER_LIKE = st.fixed_dictionaries(
    {},
    optional={
        "summary": st.text() | ANYTHING,
        "edits": st.lists(
            st.dictionaries(
                st.sampled_from(["path", "find", "replace", "content", "delete"]), st.text() | ANYTHING
            )
        ),
        "config": ANYTHING,
    },
)


@settings(max_examples=150, deadline=None)
@given(
    st.text()
    | ANSWER_LIKE.map(json.dumps)
    | ANSWER_LIKE.map(repr)
    | st.text(alphabet="{}[]\":,\\'`<>/thinkjson \n1.“”", max_size=300)
)
def test_any_text_is_an_answer_or_invalid_and_nothing_else(text: str) -> None:
    for read in (parse_answer, parse_tests):
        try:
            read(text)
        except Invalid as error:
            assert str(error)


PLAIN = st.text(st.characters(codec="utf-8"), min_size=1, max_size=40)
PATCHES = st.lists(
    st.fixed_dictionaries(
        {
            "op": st.sampled_from(["add", "replace", "test"]),
            "path": PLAIN,
            "value": st.none() | st.integers(0, 9) | PLAIN,
        }
    )
    | st.fixed_dictionaries({"op": st.just("move"), "from": PLAIN, "path": PLAIN}),
    min_size=1,
    max_size=3,
)
EDITS = st.one_of(
    st.fixed_dictionaries({"path": PLAIN, "find": PLAIN, "replace": PLAIN | st.just("")}),
    st.fixed_dictionaries({"path": PLAIN, "content": PLAIN}),
    st.fixed_dictionaries({"path": PLAIN, "delete": st.just(True)}),
)
ANSWERS = st.fixed_dictionaries(
    {"edits": st.lists(EDITS, min_size=1, max_size=3)},
    optional={
        "summary": PLAIN,
        "config": st.lists(st.fixed_dictionaries({"path": PLAIN, "patch": PATCHES}), max_size=2),
    },
).map(Answer.model_validate)


@settings(deadline=None)
@given(ANSWERS, st.sampled_from(["{}", "Here:\n```json\n{}\n```", "<think>{{</think>{}"]))
def test_what_was_read_reads_the_same_again(answer: Answer, around: str) -> None:
    written = json.dumps(answer_row(answer), ensure_ascii=False)
    read = parse_answer(around.replace("{}", written).replace("{{", "{"))
    assert read == answer
    assert parse_answer(json.dumps(answer_row(read))) == answer


def test_a_null_that_was_said_stays_said() -> None:
    row = answer_row(parse_answer(patched("null")))
    assert row["config"][0]["patch"] == [{"op": "add", "path": "/a", "value": None}]


def test_written_tests_are_read_with_plain_paths_only() -> None:
    assert parse_tests(json.dumps({"tests": [TEST]})) == (("test_a.py", TEST["content"]),)
    for path in ("../test_a.py", "/test_a.py", "a/../b.py", ".git/x.py", "test_a.txt", "a b.py", "test_a.py\n"):
        with pytest.raises(Invalid, match="path"):
            parse_tests(json.dumps({"tests": [{**TEST, "path": path}]}))


@pytest.mark.parametrize(
    ("tests", "told"),
    [
        ([], "at least 1"),
        ([TEST, TEST], "names a test file twice"),
        ([{**TEST, "content": "print(1)"}], "content"),
        ([{**TEST, "path": f"test_{number}.py"} for number in range(5)], "at most 4"),
        ([{**TEST, "content": TEST["content"] * 2000}], "at most 40000"),
    ],
)
def test_written_tests_that_are_no_tests_are_refused(tests: list[dict[str, str]], told: str) -> None:
    with pytest.raises(Invalid, match=told):
        parse_tests(json.dumps({"tests": tests}))
