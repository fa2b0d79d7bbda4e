"""Reading what a model answered. The text is hostile: nothing here raises anything but Invalid, whatever it is.

Rules:

- One JSON object that satisfies the published schema is the answer, wherever it stands in the text: alone, in a
  fence, among prose. Two different ones are no answer; nor is one that changes nothing, or that stops half-way.
- It has one canonical form: doubled keys, NaN, infinities and text that is no Unicode are refused.
- A repair only adds or drops punctuation between values. Every text of the repaired object stands quoted in the
  answer, every number as written, and no letter or digit is lost; anything else would be a guess, not an answer.
- Sizes are checked before anything is parsed, and brackets before anything recurses.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Generic, NoReturn, TypeVar

from json_repair import repair_json
from pydantic import BaseModel, ConfigDict, Field

from ripple.model.candidate import Answer
from ripple.model.digest import canonical_json
from ripple.model.errors import Invalid
from ripple.stack.load import parse

MAX_CHARACTERS = 1 << 20
MAX_REPAIRED_CHARACTERS = 4 << 10
"""The repair's time grows with the square of the length on some texts: about a second for this many."""
MAX_DEPTH = 64
MAX_OBJECTS = 64
MAX_TESTS = 4

_TOKEN = re.compile(r'[{}\[\]"\\]')
_FENCE = re.compile(r"```[a-zA-Z]{0,10}[ \t]*\n(.*?)```", re.DOTALL)
_QUOTES = ('""', "''", "“”")
_THOUGHT_END = re.compile(r"</(?:think|thinking|reasoning)>")

Parsed = TypeVar("Parsed", bound=BaseModel)


class WrittenTest(BaseModel):
    """One pytest file a model wrote."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    path: str = Field(max_length=200, pattern=r"^([A-Za-z0-9_]+/)*[A-Za-z0-9_]+\.py$")
    content: str = Field(min_length=1, max_length=40_000, pattern=r"\bdef test_")


class WrittenTests(BaseModel):
    """A model's answer when it is asked for tests."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    tests: tuple[WrittenTest, ...] = Field(min_length=1, max_length=MAX_TESTS)


def parse_answer(text: str) -> Answer:
    """The one answer in ``text``; what :func:`answer_row` makes of it parses to the same answer again.

    Raises:
        Invalid: too long, no answer, several, cut off, or not of the published schema; the reason is short.
    """
    return _parsed(Answer, text, _changes_something)


def parse_tests(text: str) -> tuple[tuple[str, str], ...]:
    """The tests in ``text`` as (path, content): plain relative names of Python files, each with a test in it.

    Raises:
        Invalid: as :func:`parse_answer`.
    """
    found = _parsed(WrittenTests, text, _named_once)
    return tuple((test.path, test.content) for test in found.tests)


def answer_row(answer: Answer) -> dict[str, Any]:
    """The JSON form of an answer, with what it said and nothing it did not."""
    return answer.model_dump(mode="json", by_alias=True, exclude_unset=True)


def _parsed(kind: type[Parsed], text: str, check: Callable[[Parsed], None]) -> Parsed:
    if len(text) > MAX_CHARACTERS:
        raise Invalid(f"the answer has {len(text)} characters, more than {MAX_CHARACTERS}; it was not read")
    said = _without_thoughts(text)
    reading = _Reading(kind, check)
    longest = ""
    for source in dict.fromkeys((said, *_fenced(said), text)):
        spans = list(_objects(source, reading.problems))
        longest = max([longest, *spans], key=len)
        if found := reading.one(spans, _strict):
            return found
    reason = max(reading.problems, default=(0, "the answer holds no JSON object; one of the schema is asked for"))[
        1
    ]
    if longest and (found := reading.one([longest], _repaired)):
        return found
    raise Invalid(reason)


class _Reading(Generic[Parsed]):
    """Looking for the one usable object; ``problems`` hold the length of each unusable one and what is wrong."""

    def __init__(self, kind: type[Parsed], check: Callable[[Parsed], None]) -> None:
        self.kind = kind
        self.check = check
        self.problems: list[tuple[int, str]] = []

    def one(self, spans: Iterable[str], load: Callable[[str], Any]) -> Parsed | None:
        found: list[Parsed] = []
        for span in spans:
            try:
                read = parse(self.kind, _plain(load(span)), "the answer")
                self.check(read)
            except Invalid as error:
                self.problems.append((len(span), _short(str(error))))
                continue
            if read not in found:
                found.append(read)
        if len(found) > 1:
            raise Invalid(f"the answer holds {len(found)} different answers; exactly one is asked for")
        return found[0] if found else None


def _changes_something(answer: Answer) -> None:
    if not answer.edits and not answer.config:
        raise Invalid("the answer has neither edits nor config, so it changes nothing")


def _named_once(written: WrittenTests) -> None:
    if len({test.path for test in written.tests}) != len(written.tests):
        raise Invalid("the answer names a test file twice")


def _without_thoughts(text: str) -> str:
    """What follows the last closed block of thoughts: reasoning models think aloud before they answer."""
    ends = [match.end() for match in _THOUGHT_END.finditer(text)]
    return text[ends[-1] :] if ends else text


def _fenced(text: str) -> Iterator[str]:
    for number, match in enumerate(_FENCE.finditer(text)):
        if number == MAX_OBJECTS:
            return
        yield match[1]


def _objects(text: str, problems: list[tuple[int, str]]) -> Iterator[str]:
    """Each outermost balanced ``{…}``; brackets inside double-quoted text do not count. Linear in the text."""
    depth, start, count, quoted, escaped = 0, 0, 0, False, -1
    for match in _TOKEN.finditer(text):
        sign, at = match[0], match.start()
        if at == escaped or (not depth and sign != "{"):
            continue
        if quoted:
            escaped = at + 1 if sign == "\\" else escaped
            quoted = sign != '"'
        elif sign == '"':
            quoted = True
        elif sign in "{[":
            start = start if depth else at
            depth += 1
        elif sign in "}]":
            depth -= 1
            if not depth:
                count += 1
                yield text[start : at + 1]
        if depth > MAX_DEPTH or count == MAX_OBJECTS:
            limits = f"the answer nests deeper than {MAX_DEPTH} or holds more than {MAX_OBJECTS} objects"
            problems.append((at - start, limits))
            return
    if depth:
        cut = "the answer stops in the middle of an object; it may have hit its limit of tokens"
        problems.append((len(text) - start, cut))


def _plain(value: Any) -> Any:
    """``value`` when it has one canonical form: finite numbers, whole ones below 2**53, text that is Unicode."""
    try:
        canonical_json(value)
    except (ValueError, RecursionError) as error:
        raise Invalid(f"the answer is no plain JSON: {_short(str(error))}") from error
    return value


def _strict(span: str) -> Any:
    # strict=False takes line breaks inside texts as they stand: models write them, and they mean one thing only.
    decoder = json.JSONDecoder(strict=False, object_pairs_hook=_once, parse_constant=_no_number)
    try:
        return decoder.decode(span)
    except (ValueError, RecursionError) as error:
        raise Invalid(f"the answer is not valid JSON: {error}") from error


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise Invalid("the answer gives a key twice in one object")
    return found


def _no_number(text: str) -> NoReturn:
    raise Invalid(f"the answer holds {text}, which is no JSON number")


def _repaired(span: str) -> Any:
    """The value of a malformed object, where only one reading of it is possible."""
    malformed = Invalid("the answer is not valid JSON, and mending it would take a guess at what was meant")
    if len(span) > MAX_REPAIRED_CHARACTERS:
        raise malformed
    try:
        value = repair_json(span, return_objects=True, skip_json_loads=True)
        written = json.dumps(value, ensure_ascii=False)
    except (ValueError, TypeError, LookupError, RecursionError, AttributeError) as error:
        raise malformed from error
    if not _stands_in(span, value) or _letters(written) != _letters(span):
        raise malformed
    return value


def _stands_in(span: str, value: Any) -> bool:
    """Whether every text of ``value`` stands quoted in ``span``, and every number as it is written there."""
    if isinstance(value, dict):
        return all(key in span and _stands_in(span, inner) for key, inner in value.items())
    if isinstance(value, list):
        return all(_stands_in(span, inner) for inner in value)
    if isinstance(value, str):
        forms = (value, json.dumps(value, ensure_ascii=False)[1:-1])
        return any(marks[0] + form + marks[1] in span for marks in _QUOTES for form in forms)
    return isinstance(value, bool) or value is None or json.dumps(value) in span


def _letters(text: str) -> str:
    return "".join(re.findall(r"\w+", text)).casefold()


def _short(text: str) -> str:
    plain = " ".join(text.encode(errors="replace").decode().split())
    return plain if len(plain) <= 400 else f"{plain[:400]}…"
