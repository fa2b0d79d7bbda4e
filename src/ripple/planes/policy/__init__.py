"""The policy plane: one question, one answer with reasons. Anything but a clear yes is a no.

Each Rego package that decides exposes ``decision := {"allow": bool, "reasons": [string]}``. A bundle is every
``.rego`` below one folder except tests, plus its ``data.json``.

- An undefined document, an error, a wrong shape or an answer past the deadline is a no, with the reason.
- A module that does not parse, or that uses a built-in the engine lacks, is refused when the bundle is loaded.
"""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from ripple.model.digest import digest_json
from ripple.model.errors import Invalid
from ripple.model.governance import Decision

DEADLINE_SECONDS = 2.0
"""An answer that took longer counts as none. Rego terminates, so this is judged after the call, not by a timer."""
MAX_INPUT_BYTES = 8 << 20
_encode = json.JSONEncoder(allow_nan=False, separators=(",", ":")).encode


class PolicyDriver(Protocol):
    """A Rego engine, usable from any thread."""

    def load(self, modules: Mapping[str, str], data: Mapping[str, Any]) -> None:
        """Replace the bundle; Invalid names file and line of what does not parse or is not supported."""
        ...

    def evaluate(self, path: str, given: Mapping[str, Any]) -> Any:
        """The JSON value of rule ``data.<path>`` (``ripple/authz/decision``), None when undefined.

        Raises:
            Invalid: the rule fails on this input.
        """
        ...


class Policy:
    """Decisions over one bundle. ``revision`` is the digest of its modules and data."""

    def __init__(self, driver: PolicyDriver) -> None:
        self._driver = driver
        self.revision = ""

    def load_directory(self, folder: Path, settings: Mapping[str, Any] | None = None) -> None:
        """Load the bundle below ``folder``; ``settings`` replace keys of ``data.ripple.settings``.

        Raises:
            Invalid: no module is there, one does not parse, or one uses what the engine lacks.
        """
        modules, data = read_bundle(folder)
        modules = {name: text for name, text in modules.items() if not name.endswith("_test.rego")}
        if not modules:
            raise Invalid(f"no policy below {folder}: without one everything would be refused; restore the folder")
        if settings:
            ripple = data.get("ripple", {})
            data = {**data, "ripple": {**ripple, "settings": {**ripple.get("settings", {}), **settings}}}
        self.load(modules, data)

    def load(self, modules: Mapping[str, str], data: Mapping[str, Any]) -> None:
        """Replace the bundle: module text by file name, and the data document."""
        self._driver.load(modules, data)
        self.revision = digest_json({"modules": dict(modules), "data": dict(data)})

    def decide(self, path: str, given: Mapping[str, Any]) -> Decision:
        """The decision of package ``path`` (``ripple/authz``) about ``given``; never raises."""
        began = time.thread_time()  # of this thread: a machine that stalls is no fault of the policy
        try:
            value = self._driver.evaluate(f"{path}/decision", given)
        except Exception as error:
            return self._no(path, f"policy {path} failed: {error}")
        took = time.thread_time() - began
        if took > DEADLINE_SECONDS:
            return self._no(path, f"policy {path} took {took:.1f} s; at most {DEADLINE_SECONDS:g} s count")
        wrong = _misshapen(value)
        if wrong:
            return self._no(path, f"policy {path} {wrong}")
        reasons = tuple(value["reasons"])
        if not value["allow"] and not reasons:
            reasons = (f"policy {path} does not allow it and gives no reason",)
        return Decision(_new_id(), path, value["allow"], reasons, self.revision, value)

    def _no(self, path: str, reason: str) -> Decision:
        return Decision(_new_id(), path, False, (reason,), self.revision)


def read_bundle(folder: Path) -> tuple[dict[str, str], dict[str, Any]]:
    """All ``.rego`` texts below ``folder`` by relative name, tests included, and its ``data.json``."""
    modules = {path.relative_to(folder).as_posix(): path.read_text() for path in sorted(folder.rglob("*.rego"))}
    file = folder / "data.json"
    try:
        data = json.loads(file.read_text()) if file.exists() else {}
    except ValueError as error:
        raise Invalid(f"cannot read policy data {file}: {error}; mend the JSON") from error
    if not isinstance(data, dict):
        raise Invalid(f"policy data {file} is no JSON object; its top-level keys become data.KEY")
    return modules, data


def encode(given: Mapping[str, Any]) -> str:
    """``given`` as JSON text for an engine.

    Raises:
        Invalid: it is not JSON (NaN, foreign types) or longer than ``MAX_INPUT_BYTES``.
    """
    try:
        text = _encode(given)
    except (TypeError, ValueError, RecursionError) as error:
        raise Invalid(f"the policy input is not JSON: {error}") from error
    if len(text) > MAX_INPUT_BYTES:
        raise Invalid(f"the policy input has {len(text)} characters; at most {MAX_INPUT_BYTES} are taken")
    return text


def _misshapen(value: Any) -> str:
    """What is wrong with a decision document, empty when nothing is."""
    if value is None:
        return "gave no decision: it is not loaded, or undefined for this input"
    if not isinstance(value, dict) or not isinstance(value.get("allow"), bool):
        return "gave a decision without a boolean allow"
    reasons = value.get("reasons")
    if not isinstance(reasons, list) or not all(isinstance(reason, str) for reason in reasons):
        return "gave a decision without a list of reasons"
    return ""


def _new_id() -> str:
    return f"dec-{secrets.token_hex(8)}"
