"""Rego in process, by regorus' interpreter: one engine per thread, an answer in tens of microseconds.

regorus also has a compiled form (``Program`` and ``Rvm``), several times as fast. It is not used, because it fails
open: a built-in that errs is undefined there, so ``not startswith(1, "a")`` holds, two conflicting rules give no
error, and an undefined call can be the text ``<undefined>``, which is true. The interpreter raises on each of
them, which the facade turns into a no. ``tests/conformance/test_policy.py`` keeps these cases.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Mapping
from typing import Any

from regorus import Engine  # type: ignore[attr-defined]

from ripple.model.errors import Invalid
from ripple.planes.policy import PolicyDriver, encode
from ripple.planes.policy.vocabulary import refused_calls, rules

PLACE = re.compile(r"-->\s*(?P<place>\S+:\d+:\d+).*?error: (?P<what>[^\n]*)", re.DOTALL)
UNDEFINED = '"<undefined>"'
"""How the engine writes an undefined rule; the same text as a value is taken for undefined, too."""
MISTAKE = re.compile(r"unsafe|recursion|could not find function|argument")
"""Errors that are in the policy whatever the input. The engine analyses a rule when it is first asked for."""


class RegorusPolicy:
    """One bundle. An engine may only be touched by the thread that made it, so each thread builds its own."""

    def __init__(self) -> None:
        self._modules: dict[str, str] = {}
        self._data = "{}"
        self._generation = 0
        self._threads = threading.local()

    def load(self, modules: Mapping[str, str], data: Mapping[str, Any]) -> None:
        """Parse and analyse the bundle, refuse unsupported built-ins, and use it from the next question on."""
        encoded = encode(data)
        engine = build_engine(modules, encoded)
        inspect(engine)
        self._modules, self._data = dict(modules), encoded
        self._generation += 1
        self._threads.engine = (self._generation, engine)

    def evaluate(self, path: str, given: Mapping[str, Any]) -> Any:
        """The JSON value of the rule, None when it is undefined or not there; Invalid when it fails."""
        text = encode(given)
        engine = self._engine()
        try:
            engine.set_input_json(text)
            answer = engine.eval_rule_as_json(f"data.{path.replace('/', '.')}")
        except BaseException as error:
            if not _native(error):
                raise
            if "not a valid rule path" in str(error):
                return None
            self._threads.engine = None
            raise Invalid(complaint(error)) from error
        return None if answer == UNDEFINED else json.loads(answer)

    def _engine(self) -> Engine:
        generation, engine = getattr(self._threads, "engine", None) or (0, None)
        if engine is None or generation != self._generation:
            generation = self._generation
            engine = build_engine(self._modules, self._data)
            self._threads.engine = (generation, engine)
        return engine


def build_engine(modules: Mapping[str, str], data: str) -> Engine:
    """An engine with the bundle parsed; Invalid names file, line and column of the first mistake."""
    engine = Engine()
    try:
        for name, text in modules.items():
            engine.add_policy(name, text)
        engine.add_data_json(data)
    except BaseException as error:
        if not _native(error):
            raise
        raise Invalid(f"cannot load the policies: {complaint(error)}") from error
    return engine


def inspect(engine: Engine) -> None:
    """Refuse, as Invalid, calls that may not be and mistakes in any rule that show without input."""
    trees = syntax(engine)
    refused = refused_calls(trees)
    if refused:
        raise Invalid(f"cannot load the policies: {'; '.join(refused)}")
    engine.set_input_json("{}")
    for rule in dict.fromkeys(f"data.{one.package}.{one.name}" for one in rules(trees) if not one.function):
        try:
            engine.eval_rule_as_json(rule)
        except BaseException as error:
            if not _native(error):
                raise
            if MISTAKE.search(complaint(error)):
                raise Invalid(f"cannot load the policies: {complaint(error)}") from error


def syntax(engine: Engine) -> list[dict[str, Any]]:
    """The modules' syntax trees as regorus prints them."""
    trees: list[dict[str, Any]] = json.loads(engine.get_ast_as_json())
    return trees


def complaint(error: BaseException) -> str:
    """``file:line:column: what`` of an engine's error, without the source excerpt and the native backtrace."""
    text = str(error).split("Stack backtrace", 1)[0]
    found = PLACE.search(text)
    return f"{found['place']}: {found['what']}" if found else " ".join(text.split())[:400]


def _native(error: BaseException) -> bool:
    """True for what the engine raises; a panic of native code is no Exception to Python, yet must mean no."""
    return isinstance(error, (RuntimeError, ValueError, TypeError)) or type(error).__name__ == "PanicException"


_: type[PolicyDriver] = RegorusPolicy
