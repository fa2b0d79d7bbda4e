"""What kind of change an intent asks for: deterministic, from its words and the application's manifest.

Rules:

- An application without a ``config`` folder only has code changes.
- What the intent names weighs most (a file of the configuration, a source file, a function), then what it does
  with a value ("to 50", "off"), then single words.
- It is ``config`` only when that outweighs code; in doubt it is ``code``, which may touch configuration as well.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from ripple.model.application import ApplicationManifest
from ripple.model.change import ChangeKind

MAX_CHARACTERS = 20_000
"""More of an intent than this is not read here."""

CONFIG_WORDS = frozenset(
    re.findall(
        r"\w+",
        """config configuration configure setting settings option limit limits threshold timeout flag toggle switch
        enable disable price prices rate rates quota percent percentage maximum minimum max min default discount
        coupon tax fee interval size weight raise lower increase decrease reduce bump""",
    )
)
CODE_WORDS = frozenset(
    re.findall(
        r"\w+",
        """bug bugs fix crash crashes error errors exception function method class module endpoint route handler
        api implement refactor rename test tests log logging record compute calculate round parse validate return
        returns code wrong incorrect incorrectly must exactly readme support feature instead before after whenever
        every ask keep check import library dependency query algorithm cache retry""",
    )
)
CODE_FILE = r"\.(?:py|pyi|ts|tsx|js|jsx|mjs|go|rs|java|kt|rb|php|c|h|cc|cpp|cs|swift|sh|sql|html|css)\b"
CONFIG_FILE = r"\.(?:ya?ml|toml|json|ini)\b"
CALL = r"\b[A-Za-z_]\w{0,80}\(\)"
VALUE = r"(?:\b(?:to|at|by|than)|=)\s{0,3}(?:[-+$€£]?\d[\d.,_]{0,20}|true\b|false\b|on\b|off\b|zero\b)"
SWITCH = r"\b(?:turn|switch)(?:ed|ing)?\s{1,3}(?:\w{1,40}\s{1,3}){0,4}(?:on|off)\b"


@dataclass(frozen=True)
class Classification:
    """A kind, and the points for and against it in words."""

    kind: ChangeKind
    reasons: tuple[str, ...]


def classify(intent: str, manifest: ApplicationManifest) -> ChangeKind:
    """The kind of change ``intent`` asks for: the same for the same words."""
    return explain(intent, manifest).kind


def explain(intent: str, manifest: ApplicationManifest) -> Classification:
    """The kind of change with the reasons for it."""
    if not manifest.config:
        return Classification(ChangeKind.CODE, ("the application declares no config folder",))
    text = intent[:MAX_CHARACTERS].lower()
    words = set(re.findall(r"[a-z]+", text))
    folder = manifest.config.strip("./").lower()
    config = _points(
        (4, "names the config folder", [f"{folder}/"] if folder and f"{folder}/" in text else ()),
        (3, "names a configuration file", re.findall(CONFIG_FILE, text)),
        (2, "gives a value", [*re.findall(VALUE, text), *re.findall(SWITCH, text)]),
        (1, "speaks of", sorted(words & CONFIG_WORDS)),
    )
    code = _points(
        (3, "names a source file", re.findall(CODE_FILE, text)),
        (3, "names a function", re.findall(CALL, text)),
        (1, "speaks of", sorted(words & CODE_WORDS)),
    )
    kind = ChangeKind.CONFIG if config.total > code.total else ChangeKind.CODE
    return Classification(kind, (f"config {config}", f"code {code}"))


@dataclass(frozen=True)
class _Points:
    total: int
    told: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.total} ({'; '.join(self.told) or 'nothing points to it'})"


def _points(*signals: tuple[int, str, Iterable[str]]) -> _Points:
    """Points of each signal: its weight, for words once per word, else once."""
    total, told = 0, []
    for weight, what, found in signals:
        seen = list(dict.fromkeys(found))[:6]
        if seen:
            total += weight * (len(seen) if weight == 1 else 1)
            told.append(f"{what}: {', '.join(seen)}")
    return _Points(total, tuple(told))
