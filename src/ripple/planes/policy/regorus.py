"""Rego in process, by regorus' interpreter: one engine per thread, an answer in tens of microseconds.

regorus also has a compiled form (``Program`` and ``Rvm``), twice as fast. It is not used, because it fails open:
a built-in that errs is undefined there, so ``not startswith(1, "a")`` holds, two conflicting rules give no error,
and an undefined call can be the text ``<undefined>``, which is true. The interpreter raises on each of them, which
the facade turns into a no. ``tests/conformance/test_policy.py`` keeps these cases.
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
from ripple.planes.policy.vocabulary import refused_calls

PLACE = re.compile(r"-->\s*(?P<place>\S+:\d+:\d+).*?error: (?P<what>[^\n]*)", re.DOTALL)
PROBE = ("ripple_probe.rego", "package ripple_probe\nready := true\n")


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
        refused = refused_calls(syntax(engine))
        if refused:
            raise Invalid(f"cannot load the policies: {'; '.join(refused)}")
        self._modules, self._data = dict(modules), encoded
        self._generation += 1
        self._threads.engine = (self._generation, engine)

    def evaluate(self, path: str, given: Mapping[str, Any]) -> Any:
        """The JSON value of the rule, None when it is undefined or not there; Invalid when it fails."""
        text = encode(given)
        engine = self._engine()
        try:
            engine.set_input_json(text)
            return _plain(engine.eval_rule(f"data.{path.replace('/', '.')}"))
        except BaseException as error:
            if not _native(error):
                raise
            if "not a valid rule path" in str(error):
                return None
            self._threads.engine = None
            raise Invalid(complaint(error)) from error

    def _engine(self) -> Engine:
        generation, engine = getattr(self._threads, "engine", None) or (0, None)
        if engine is None or generation != self._generation:
            generation = self._generation
            engine = build_engine(self._modules, self._data)
            self._threads.engine = (generation, engine)
        return engine


def build_engine(modules: Mapping[str, str], data: str) -> Engine:
    """An engine with the bundle analysed; Invalid names file, line and column of the first mistake."""
    engine = Engine()
    try:
        for name, text in (*modules.items(), PROBE):
            engine.add_policy(name, text)
        engine.add_data_json(data)
        engine.set_input_json("{}")
        # Unsafe variables and recursion are found on the first evaluation: ask something that reads no policy.
        engine.eval_rule("data.ripple_probe.ready")
    except BaseException as error:
        if not _native(error):
            raise
        raise Invalid(f"cannot load the policies: {complaint(error)}") from error
    return engine


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


def _plain(value: Any) -> Any:
    """Rego sets as sorted lists, as OPA renders them in JSON."""
    if isinstance(value, (set, frozenset)):
        return sorted((_plain(one) for one in value), key=repr)
    if isinstance(value, dict):
        return {key: _plain(one) for key, one in value.items()}
    return [_plain(one) for one in value] if isinstance(value, (list, tuple)) else value


_: type[PolicyDriver] = RegorusPolicy
