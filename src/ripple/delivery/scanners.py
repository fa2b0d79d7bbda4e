"""What scanners find in a candidate's tree that its base commit did not have (gate 3).

- A scanner reads hostile files, so it runs in the sandbox, over a read-only tree and from Ripple's own packages.
- Nothing in the tree can quieten it: no ``nosec``, no allowlist comment, no configuration file counts.
- What the base commit has as well is known and only counted. Bandit's LOW findings are notes: they say what to
  read with care (an assert, an import of subprocess), not what is wrong.
- A scanner that could not look everywhere says ``not_scanned`` and why; it is never clean.
"""

from __future__ import annotations

import asyncio
import importlib.metadata
import sysconfig
from collections.abc import Awaitable, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from ripple.delivery.findings import LIMITS, Finding, NotScannedError, Scanner, changed_files, json_of
from ripple.delivery.trivy import Trivy
from ripple.planes.sandbox import Sandbox, SandboxSpec

SMALL = frozenset({"LOW"})
_PACKAGES = "/opt/scanners"
# -P: a module in the tree must not be taken for one of the scanner's own.
_BANDIT = (
    "python", "-P", "-m", "bandit", "--ini", "/dev/null", "--ignore-nosec", "--exclude", "./.git",
    "--exit-zero", "-q", "-f", "json", "-r", ".",
)  # fmt: skip
_SECRETS = (
    "python", "-P", "-m", "detect_secrets", "scan", "--all-files", "--no-verify",
    "--disable-filter", "detect_secrets.filters.allowlist.is_line_allowlisted", ".",
)  # fmt: skip


async def scan(sandbox: Sandbox, folder: Path, base: Path) -> list[dict[str, Any]]:
    """One row each for code, secrets, misconfiguration and vulnerabilities of the tree in ``folder``.

    A scanner that fails is a row that says so; nothing is scanned outside the sandbox.

    Raises:
        Refused: the sandbox this needs is not available here.
        Unavailable: the sandbox failed.
    """
    changed = await asyncio.to_thread(changed_files, folder, base)
    trivy = Trivy(sandbox, folder, base, changed)
    # Two at a time: each scanner looks at the tree and at its base at once.
    first = await asyncio.gather(_code(sandbox, folder, base, changed), trivy.misconfiguration())
    second = await asyncio.gather(_secrets(sandbox, folder, base), trivy.vulnerabilities())
    return [first[0], second[0], first[1], second[1]]


async def _code(sandbox: Sandbox, folder: Path, base: Path, changed: frozenset[str]) -> dict[str, Any]:
    scanner = Scanner("bandit", importlib.metadata.version("bandit"), "code")
    try:
        mine, theirs = await _both(_python(sandbox, folder, _BANDIT), _python(sandbox, base, _BANDIT))
        # A file of the base that bandit cannot read either is no news.
        unread = [one for one in mine.get("errors", []) if _plain(one["filename"]) in changed]
        if unread:
            return scanner.without("not_scanned", f"{_plain(unread[0]['filename'])}: {unread[0]['reason']}")
        seen, known = ([_weakness(one) for one in found["results"]] for found in (mine, theirs))
    except NotScannedError as error:
        return scanner.without("not_scanned", str(error))
    except (KeyError, TypeError, ValueError) as error:
        return scanner.without("not_scanned", f"its answer has another form than expected: {error!r}")
    return scanner.judged(seen, known, SMALL)


async def _secrets(sandbox: Sandbox, folder: Path, base: Path) -> dict[str, Any]:
    scanner = Scanner("detect-secrets", importlib.metadata.version("detect-secrets"), "secrets")
    try:
        found = await _both(_python(sandbox, folder, _SECRETS), _python(sandbox, base, _SECRETS))
        seen, known = (
            [_secret(path, one) for path, several in sorted(answer["results"].items()) for one in several]
            for answer in found
        )
    except NotScannedError as error:
        return scanner.without("not_scanned", str(error))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        return scanner.without("not_scanned", f"its answer has another form than expected: {error!r}")
    return scanner.judged(seen, known)


async def _python(sandbox: Sandbox, tree: Path, command: Sequence[str]) -> dict[str, Any]:
    """What a scanner of Ripple's own environment says about ``tree``."""
    folders = list(dict.fromkeys(Path(sysconfig.get_path(name)) for name in ("purelib", "platlib")))
    inside = [f"{_PACKAGES}/{number}" for number in range(len(folders))]
    spec = SandboxSpec(
        command=tuple(command),
        worktree=tree,
        writable=False,
        read_only=tuple(zip(folders, inside, strict=True)),
        env={"PYTHONPATH": ":".join(inside), "PYTHONDONTWRITEBYTECODE": "1"},
        limits=LIMITS,
    )
    return await json_of(sandbox, spec)


async def _both(
    first: Awaitable[dict[str, Any]], second: Awaitable[dict[str, Any]]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Both answers at once; when one fails the other is awaited all the same, so that no run is left behind."""
    found = await asyncio.gather(first, second, return_exceptions=True)
    for one in found:
        if isinstance(one, BaseException):
            raise one
    return found[0], found[1]  # type: ignore[return-value]


def _plain(path: str) -> str:
    return str(PurePosixPath(path))


def _weakness(found: dict[str, Any]) -> Finding:
    path, line = _plain(found["filename"]), int(found["line_number"])
    lines = dict(one.partition(" ")[::2] for one in found["code"].splitlines())
    text = lines.get(str(line), "").strip()
    severity, rule = str(found["issue_severity"]).upper(), str(found["test_id"])
    return Finding(path, line, severity, rule, str(found["issue_text"]), (rule, path, text))


def _secret(path: str, found: dict[str, Any]) -> Finding:
    """A secret by its kind and hash; the secret itself is in no row."""
    kind, digest = str(found["type"]), str(found["hashed_secret"])
    return Finding(path, int(found["line_number"]), "HIGH", kind, "looks like a secret", (kind, path, digest))
