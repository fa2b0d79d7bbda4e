"""Which files a model should see first for an intent. Pure; the same files in any order give the same order.

Rules:

- Files that look like secrets, and paths that hold control characters, are never shown.
- A word of the intent counts more the fewer files have it, most in a path, and less each time it is repeated.
- Tests, schemas, deployment and protected files rank lower: they explain, but are seldom what has to change.
- For a configuration change the configuration comes first, each file followed by the schema it is checked against.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from ripple.model.application import ApplicationManifest
from ripple.model.change import ChangeKind

SCHEMA_SUFFIX = ".schema.json"
MAX_PATH_CHARACTERS = 400
PATH_WEIGHT = 2.0
_SECRET_NAME = re.compile(
    r"^(\.env(\..*)?|.*\.env|\.netrc|\.npmrc|\.pypirc|\.git-credentials|\.htpasswd|id_(rsa|dsa|ecdsa|ed25519)(\..*)?"
    r"|.*\.(pem|key|p12|pfx|jks|keystore|kdbx|age|gpg|asc|ovpn)"
    r"|(.*[-_.])?(secrets?|credentials?)(\.(ya?ml|json|toml|ini|cfg|txt|properties|xml))?)$",
    re.IGNORECASE,
)
_SECRET_FOLDERS = frozenset({".ssh", ".aws", ".gnupg", ".kube", ".docker", "secrets"})
_SECRET_TEXT = re.compile(r"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY")
_WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|\d+")
_STOPWORDS = frozenset(
    re.findall(
        r"\w+",
        """a an and are as at be been but by can do does for from has have how if in into is it its let make more
        most must no not of on one only or our out should so some such than that the their them then there these
        they this to up was we what when which will with would you your please change""",
    )
)


@dataclass(frozen=True)
class ContextFile:
    """A text file of the application, by its path in the repository."""

    path: str
    text: str
    digest: str


def rank_files(
    intent: str, kind: ChangeKind, files: Sequence[ContextFile], manifest: ApplicationManifest
) -> list[ContextFile]:
    """The files that may be shown, most relevant to ``intent`` first."""
    shown = sorted((one for one in files if may_be_shown(one)), key=lambda one: one.path)
    scores = _scores(stems(intent), shown)
    ordered = sorted(shown, key=lambda one: (-scores[one.path] * _prior(one.path, manifest), one.path))
    if kind is not ChangeKind.CONFIG:
        return ordered
    configured = [one for one in ordered if is_configuration(one.path, manifest)]
    schemas = {one.path: one for one in ordered if one.path.endswith(SCHEMA_SUFFIX)}
    first = [part for one in configured for part in (one, schemas.get(schema_of(one.path))) if part]
    paths = {one.path for one in first}
    return [*first, *(one for one in ordered if one.path not in paths)]


def may_be_shown(file: ContextFile) -> bool:
    """False for what looks like a secret by its name, folder or text, and for paths that are not plain."""
    path = PurePosixPath(file.path)
    plain = file.path.isprintable() and len(file.path) <= MAX_PATH_CHARACTERS
    hidden = _SECRET_NAME.match(path.name) or _SECRET_FOLDERS & {part.lower() for part in path.parts[:-1]}
    return plain and not hidden and not _SECRET_TEXT.search(file.text)


def is_configuration(path: str, manifest: ApplicationManifest) -> bool:
    """Whether ``path`` is below the application's config folder and no schema."""
    folder = (manifest.config or "").strip("./")
    return bool(folder) and PurePosixPath(path).is_relative_to(folder) and not path.endswith(SCHEMA_SUFFIX)


def schema_of(path: str) -> str:
    """Where the schema of a configuration file lies: beside it."""
    return str(PurePosixPath(path).with_suffix(SCHEMA_SUFFIX))


def stems(text: str) -> Counter[str]:
    """The meaningful words of a text, cut to what their forms have in common, with how often each occurs."""
    return Counter(_stem(word) for word in _WORD.findall(text) if word.lower() not in _STOPWORDS and len(word) > 1)


def _stem(word: str) -> str:
    short = word.lower()
    for ending in ("ings", "ing", "ies", "ied", "ed", "es", "s"):
        if short.endswith(ending) and len(short) > len(ending) + 2:
            short = short.removesuffix(ending) + ("y" if ending in ("ies", "ied") else "")
            break
    if len(short) > 3 and short[-1] == short[-2]:
        short = short[:-1]
    return short.removesuffix("e") if len(short) > 3 else short


def _scores(wanted: Mapping[str, int], files: Sequence[ContextFile]) -> dict[str, float]:
    """Okapi BM25 over the files, the words of a path counted as content and once more on their own."""
    words = {one.path: stems(f"{one.path}\n{one.text}") for one in files}
    holders = Counter(word for found in words.values() for word in wanted if word in found)
    rarity = {word: math.log(1 + (len(files) - count + 0.5) / (count + 0.5)) for word, count in holders.items()}
    typical = max(1.0, sum(found.total() for found in words.values()) / max(1, len(files)))
    scores = {}
    for one in files:
        found, path = words[one.path], stems(one.path)
        length = 0.25 + 0.75 * found.total() / typical
        content = sum(rarity[word] * 2.2 * found[word] / (found[word] + 1.2 * length) for word in rarity)
        scores[one.path] = content + PATH_WEIGHT * sum(rarity[word] for word in rarity if word in path)
    return scores


def _prior(path: str, manifest: ApplicationManifest) -> float:
    parts = PurePosixPath(path).parts
    tests = {folder.strip("./") for folder in manifest.test.paths}
    if any(PurePosixPath(path).is_relative_to(folder) for folder in tests if folder):
        return 0.5
    if path.endswith((SCHEMA_SUFFIX, ".md", ".rst", ".txt", ".csv", ".lock")):
        return 0.3
    protected = parts[0] == manifest.environments.strip("./") or path in ("ripple.app.yaml", manifest.evals)
    return 0.1 if protected or parts[0].startswith(".") else 1.0
