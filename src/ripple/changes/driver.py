"""Runs inside the sandbox on the standard library alone: records calls, or replays them, over the tree in /work.

``__main__`` reads one JSON request from standard input and answers in JSON lines:

- ``{"mode": "record", "paths", "targets", "seconds"}`` runs the tree's own tests and answers each call of a target
  as ``{"target", "arguments"}``.
- ``{"mode": "replay", "paths", "calls", "files", "seconds", "call_seconds"}`` answers each call as ``{"call",
  "outcome"}``, then for each target ``{"target", "lines": {file: [numbers]}}``: which lines of ``files`` its calls
  ran; and last ``{"done": true}``.

Values travel as JSON; what JSON lacks is ``{"t": kind, …}``, see :func:`decode` and :func:`encode`. What a call
did is one text: its result or its error, and what became of its arguments, without addresses or times.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import dataclasses
import enum
import importlib
import inspect
import itertools
import json
import os
import pickle
import re
import resource
import signal
import sys
import time
import types
from collections.abc import Callable, Iterator, Mapping
from typing import Any

ROOT = "/work"
MAX_TEXT, MAX_ITEMS, MAX_DEPTH = 4000, 200, 8
MAX_RECORDED, MAX_PICKLE_BYTES = 40, 64 << 10
MAX_ENDLESS, WAITING = 4, 4
MEMORY_BYTES = 1 << 30
ENDLESS = "does not return"
_ADDRESS = re.compile(r"0x[0-9a-fA-F]{6,}")
_PLAIN = (type(None), bool, int, str)


class Endless(BaseException):
    """A call ran out of its time. Not an Exception, so that the code under test does not catch it."""


def encode(value: Any, depth: int = 0) -> Any:
    """``value`` as JSON; what has no form of its own there is pickled, with a text to show."""
    kind = type(value)
    if kind in _PLAIN:
        return value
    if depth < MAX_DEPTH and kind in (list, tuple, set, frozenset) and len(value) <= MAX_ITEMS:
        return {"t": kind.__name__, "of": [encode(one, depth + 1) for one in value]}
    if depth < MAX_DEPTH and kind is dict and len(value) <= MAX_ITEMS:
        return {"t": "dict", "of": [[encode(k, depth + 1), encode(v, depth + 1)] for k, v in value.items()]}
    if kind is float:
        return {"t": "float", "repr": repr(value)}
    if kind is bytes:
        return {"t": "bytes", "hex": value.hex()}
    data = pickle.dumps(value)
    if len(data) > MAX_PICKLE_BYTES:
        raise ValueError("too large to keep")
    return {"t": "pickle", "data": base64.b64encode(data).decode(), "shown": describe(value)[:400]}


def decode(given: Any) -> Any:
    """The value that :func:`encode`, or whoever made the call, meant; made anew every time."""
    if not isinstance(given, dict):
        return given
    kind = given["t"]
    if kind == "dict":
        return {decode(key): decode(value) for key, value in given["of"]}
    if kind in ("list", "tuple", "set", "frozenset"):
        made = {"list": list, "tuple": tuple, "set": set, "frozenset": frozenset}[kind]
        return made(decode(one) for one in given["of"])
    if kind == "float":
        return float(given["repr"])
    if kind == "bytes":
        return bytes.fromhex(given["hex"])
    if kind == "pickle":
        return pickle.loads(base64.b64decode(given["data"]))  # noqa: S301
    if kind == "member":
        return found(given["of"])[given["name"]]
    if kind == "call":
        return found(given["of"])(
            *map(decode, given["given"]), **{k: decode(v) for k, v in given["named"].items()}
        )
    raise ValueError(f"unknown kind {kind!r}")


def found(target: str) -> Any:
    """What ``module:qualified.name`` names in this tree."""
    module, _, names = target.partition(":")
    value: Any = importlib.import_module(module)
    for name in names.split("."):
        value = getattr(value, name)
    return value


def describe(value: Any, depth: int = 0, seen: frozenset[int] = frozenset()) -> str:
    """One text for a value, the same in every process: by content, never by address, sets in order."""
    kind = type(value)
    if kind in (*_PLAIN, float, bytes):
        return repr(value) if len(text := repr(value)) <= MAX_TEXT else f"{text[:MAX_TEXT]}… ({len(text)})"
    if id(value) in seen or depth > MAX_DEPTH:
        return "…"
    seen = seen | {id(value)}

    def inner(one: Any) -> str:
        return describe(one, depth + 1, seen)

    if isinstance(value, enum.Enum):
        return f"{kind.__qualname__}.{value.name}"
    if isinstance(value, BaseException):
        return f"{kind.__qualname__}({_clean(str(value))!r})"
    if isinstance(value, Mapping):
        pairs = [f"{inner(k)}: {inner(v)}" for k, v in itertools.islice(value.items(), MAX_ITEMS)]
        return f"{_tag(kind, dict)}{{{', '.join(pairs)}}}{_more(value)}"
    if isinstance(value, set | frozenset):
        return f"{_tag(kind, set)}{{{', '.join(sorted(map(inner, value))[:MAX_ITEMS])}}}{_more(value)}"
    if isinstance(value, list | tuple):
        shown = ", ".join(map(inner, itertools.islice(value, MAX_ITEMS)))
        text = f"{_tag(kind, list)}[{shown}]" if isinstance(value, list) else f"{_tag(kind, tuple)}({shown})"
        return text + _more(value)
    return _object(value, kind, inner)


def _object(value: Any, kind: type, inner: Callable[[Any], str]) -> str:
    if isinstance(value, type | types.FunctionType | types.BuiltinFunctionType | types.ModuleType):
        return f"<{getattr(value, '__qualname__', getattr(value, '__name__', '?'))}>"
    if kind.__module__.partition(".")[0] in ("decimal", "datetime", "fractions", "pathlib", "uuid", "ipaddress"):
        return repr(value)
    held = dict(getattr(value, "__dict__", {}))
    for name in (slot for cls in kind.__mro__ for slot in _slots(cls)):
        with contextlib.suppress(AttributeError):
            held[name] = getattr(value, name)
    if dataclasses.is_dataclass(value):
        held = {one.name: getattr(value, one.name, "?") for one in dataclasses.fields(value)} | held
    shown = ", ".join(f"{name}={inner(one)}" for name, one in itertools.islice(sorted(held.items()), MAX_ITEMS))
    return f"{kind.__qualname__}({shown})"


def _slots(cls: type) -> tuple[str, ...]:
    given = cls.__dict__.get("__slots__", ())
    return (given,) if isinstance(given, str) else tuple(given)


def _tag(kind: type, plain: type) -> str:
    return "" if kind is plain else kind.__qualname__


def _more(value: Any) -> str:
    return "" if len(value) <= MAX_ITEMS else f" and {len(value) - MAX_ITEMS} more"


def _clean(text: str) -> str:
    return _ADDRESS.sub("0x…", text)[:MAX_TEXT]


def perform(call: Mapping[str, Any]) -> str:
    """What one call does, as a text. Making its arguments is part of the call: that can fail too."""
    try:
        owner = decode(call["self"]) if "self" in call else None
        target = found(call["target"]) if owner is None else getattr(owner, call["target"].rpartition(".")[2])
        given = [decode(one) for one in call["given"]]
        named = {name: decode(value) for name, value in call["named"].items()}
    except Exception as error:
        return f"cannot be called: {describe(error)}"
    before = describe([owner, given, named])
    try:
        said = f"returns {describe(_settled(target(*given, **named)))}"
    except RecursionError:
        said = "recurses without end"
    except Endless:
        return ENDLESS
    except (Exception, SystemExit, KeyboardInterrupt) as error:
        said = f"raises {describe(error)}"
    after = describe([owner, given, named])
    return said if after == before else f"{said}; its arguments became {after}"


def _settled(value: Any) -> Any:
    """What a coroutine or an iterator comes to."""
    if inspect.iscoroutine(value):
        return asyncio.run(value)
    if isinstance(value, Iterator):
        return list(itertools.islice(value, MAX_ITEMS))
    return value


def replay(request: Mapping[str, Any], answer: Callable[[Any], None]) -> None:
    """Perform every call in order until the time is up; a target that never returns is given up after a while."""
    tracer = _Tracer(request["files"])
    endless: dict[str, int] = {}
    deadline = time.monotonic() + request["seconds"]
    signal.signal(signal.SIGALRM, _out_of_time)
    signal.signal(signal.SIGPROF, _out_of_time)
    sys.settrace(tracer)
    for number, call in enumerate(request["calls"]):
        target = call["target"]
        if time.monotonic() > deadline:
            break
        if endless.get(target, 0) >= MAX_ENDLESS:
            continue
        tracer.target(target)
        # Mostly processor time: on a busy machine a call that only waits its turn is not endless.
        signal.setitimer(signal.ITIMER_PROF, request["call_seconds"])
        signal.setitimer(signal.ITIMER_REAL, WAITING * request["call_seconds"])
        try:
            outcome = perform(call)
        except Endless:
            outcome = ENDLESS
        finally:
            signal.setitimer(signal.ITIMER_PROF, 0)
            signal.setitimer(signal.ITIMER_REAL, 0)
        endless[target] = endless.get(target, 0) + (outcome == ENDLESS)
        answer({"call": number, "outcome": outcome})
    sys.settrace(None)
    for target, ran in tracer.ran.items():
        answer({"target": target, "lines": {name: sorted(lines) for name, lines in ran.items()}})
    answer({"done": True})


def _out_of_time(number: int, frame: Any) -> None:
    raise Endless


class _Tracer:
    """A trace function that notes the lines of some files for each target and leaves every other frame alone."""

    def __init__(self, files: list[str]) -> None:
        self.ran: dict[str, dict[str, set[int]]] = {}
        self._wanted = {f"{ROOT}/{name}": name for name in files}
        self._lines: dict[str, set[int]] = {}

    def target(self, name: str) -> None:
        self._lines = self.ran.setdefault(name, {file: set() for file in self._wanted.values()})

    def __call__(self, frame: types.FrameType, event: str, argument: Any) -> Any:
        name = self._wanted.get(frame.f_code.co_filename)
        if name is None or frame.f_code.co_name == "<module>":
            return None
        lines = self._lines[name]

        def line(frame: types.FrameType, event: str, argument: Any) -> Any:
            lines.add(frame.f_lineno)
            return line

        return line(frame, event, argument)


def record(request: Mapping[str, Any], answer: Callable[[Any], None]) -> None:
    """Run the tree's own tests and answer the calls they make of the targets; stops after its seconds."""
    targets = {(one["file"], one["name"]): one["target"] for one in request["targets"]}
    kept: dict[str, list[str]] = {}

    def watch(frame: types.FrameType, event: str, argument: Any) -> None:
        code = frame.f_code
        if event != "call" or not code.co_filename.startswith(ROOT):
            return
        target = targets.get((code.co_filename[len(ROOT) + 1 :], code.co_qualname))
        if target is None or len(kept.setdefault(target, [])) >= MAX_RECORDED:
            return
        with contextlib.suppress(Exception):
            arguments = {name: encode(frame.f_locals[name]) for name in _parameters(code)}
            text = json.dumps(arguments, sort_keys=True)
            if text not in kept[target]:
                kept[target].append(text)
                answer({"target": target, "arguments": arguments})

    signal.signal(signal.SIGALRM, _out_of_time)
    signal.setitimer(signal.ITIMER_REAL, request["seconds"])
    sys.setprofile(watch)
    with contextlib.suppress(Endless, SystemExit):
        _own_tests()
    sys.setprofile(None)


def _parameters(code: types.CodeType) -> tuple[str, ...]:
    return code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]


def _own_tests() -> None:
    os.chdir(ROOT)
    try:
        import pytest
    except ImportError:
        import unittest

        unittest.main(module=None, argv=["unittest", "discover"], exit=False)
    else:
        skipped = [f"--ignore-glob=*{name}*" for name in ("integration", "e2e", "end_to_end")]
        pytest.main(["-q", "-p", "no:cacheprovider", *skipped])


def main() -> None:
    """Answer the request on standard input; what the tree prints goes nowhere."""
    request = json.load(sys.stdin)
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    silence = os.open(os.devnull, os.O_RDWR)
    for number in (0, 1, 2):
        os.dup2(silence, number)
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    sys.path[:0] = [f"{ROOT}/{path}".rstrip("/") for path in request["paths"]]

    def answer(value: Any) -> None:
        out.write(json.dumps(value) + "\n")
        out.flush()

    {"record": record, "replay": replay}[request["mode"]](request, answer)
    out.flush()
    # Threads that the tree left running would keep the process alive.
    os._exit(0)


if __name__ == "__main__":
    main()
