"""Trivy, where it is installed: misconfigured deployment files and known vulnerabilities of dependencies.

- Files of that sort that did not change need no scan, and policy takes that reason.
- Files that did change want one. Without trivy, or without a vulnerability database that is a week old at most,
  the row says ``not_scanned`` and policy decides.
- Its own ignore files are left out of sight; an ignore comment in a changed file is a finding.
"""

from __future__ import annotations

import datetime
import json
import shutil
from collections.abc import Awaitable, Callable, Iterable
from fnmatch import fnmatch
from pathlib import Path, PurePosixPath
from typing import Any

import platformdirs

from ripple.delivery.findings import LIMITS, Finding, NotScannedError, Scanner, json_of, text_of
from ripple.planes.sandbox import Sandbox, SandboxSpec

MAX_DATABASE_DAYS = 7
DEPENDENCIES = (
    "requirements*", "constraints*.txt", "pyproject.toml", "setup.py", "setup.cfg", "pipfile*", "*.lock",
    "*.lockb", "package.json", "package-lock.json", "pnpm-lock.yaml", "npm-shrinkwrap.json", "go.mod", "go.sum",
    "cargo.toml", "gemfile*", "*.gemspec", "composer.json", "pom.xml", "build.gradle*", "*.csproj",
    "packages.config", "environment.y*ml", "conan*", "mix.exs", "pubspec.yaml",
)  # fmt: skip
DEPLOYMENT = (
    "dockerfile*", "*.dockerfile", "containerfile*", "docker-compose*", "compose*.y*ml", "*.tf", "*.tf.json",
    "*.tfvars", "chart.yaml", "values*.y*ml", "kustomization.y*ml", "*.bicep",
)  # fmt: skip
_MANIFESTS = (("apiVersion", "kind"), ("AWSTemplateFormatVersion",), ("deploymentTemplate.json",))
_PROGRAM, _CACHE = "/opt/trivy/trivy", "/opt/trivy/cache"
_MAX_MANIFEST_BYTES = 1 << 20


class Trivy:
    """Trivy over one tree and its base; ``changed`` are the paths in which they differ."""

    def __init__(self, sandbox: Sandbox, folder: Path, base: Path, changed: frozenset[str]) -> None:
        self._sandbox, self._folder, self._base, self._changed = sandbox, folder, base, changed
        self._program = shutil.which("trivy")

    async def misconfiguration(self) -> dict[str, Any]:
        """The row for deployment files: images, charts, manifests, Terraform."""
        touched = sorted(path for path in self._changed if self._deploys(path))
        if not touched:
            return Scanner("trivy", "", "misconfig").without("not_applicable", "deployment files unchanged")
        options = ("config", "--skip-check-update", "--cache-dir", "/tmp/trivy")  # noqa: S108
        quieted = [_quieted(path) for path in touched if "trivy:ignore" in _text(self._folder / path)]
        return await self._row("misconfig", touched, lambda tree: self._look(tree, options, ()), quieted)

    async def vulnerabilities(self) -> dict[str, Any]:
        """The row for what the application depends on."""
        touched = sorted(path for path in self._changed if _named(path, DEPENDENCIES))
        if not touched:
            return Scanner("trivy", "", "vulnerabilities").without("not_applicable", "dependency files unchanged")
        cache = platformdirs.user_cache_path("trivy")
        quiet = ("--skip-db-update", "--skip-java-db-update", "--offline-scan", "--cache-backend", "memory")
        options = ("fs", "--scanners", "vuln", *quiet, "--cache-dir", _CACHE)

        async def look(tree: Path) -> list[Finding]:
            check_database(cache / "db" / "metadata.json")
            return await self._look(tree, options, ((cache, _CACHE),))

        return await self._row("vulnerabilities", touched, look, [])

    async def _row(
        self,
        covers: str,
        touched: list[str],
        look: Callable[[Path], Awaitable[list[Finding]]],
        quieted: list[Finding],
    ) -> dict[str, Any]:
        scanner = Scanner("trivy", "", covers)
        why = f"{', '.join(touched[:3])} changed, but"
        if self._program is None:
            return scanner.without("not_scanned", f"{why} trivy is not installed; put it on the PATH")
        try:
            scanner = Scanner("trivy", await self._version(), covers)
            return scanner.judged([*quieted, *await look(self._folder)], await look(self._base))
        except NotScannedError as error:
            return scanner.without("not_scanned", f"{why} trivy could not look: {error}")
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            return scanner.without("not_scanned", f"{why} trivy answers in another form than expected: {error!r}")

    async def _look(
        self, tree: Path, options: tuple[str, ...], binds: tuple[tuple[Path, str], ...]
    ) -> list[Finding]:
        report = await self._run(tree, (*options, "--format", "json", "--quiet", "/work"), binds)
        return [
            finding_of(result["Target"], one)
            for result in report.get("Results") or ()
            for kind in ("Misconfigurations", "Vulnerabilities")
            for one in result.get(kind) or ()
        ]

    async def _version(self) -> str:
        return str((await self._run(self._folder, ("version", "--format", "json"), ()))["Version"])

    async def _run(
        self, tree: Path, words: tuple[str, ...], binds: tuple[tuple[Path, str], ...]
    ) -> dict[str, Any]:
        # Not started in the tree: there it would read trivy.yaml and .trivyignore.
        assert self._program is not None
        spec = SandboxSpec(
            command=(_PROGRAM, *words),
            worktree=tree,
            writable=False,
            read_only=((Path(self._program), _PROGRAM), *binds),
            limits=LIMITS,
            working_dir="/tmp",  # noqa: S108
        )
        return await json_of(self._sandbox, spec)

    def _deploys(self, path: str) -> bool:
        if _named(path, DEPLOYMENT):
            return True
        if PurePosixPath(path).suffix not in (".yaml", ".yml", ".json", ".template"):
            return False
        texts = [_text(tree / path) for tree in (self._folder, self._base)]
        return any(all(word in text for word in words) for text in texts for words in _MANIFESTS)


def check_database(metadata: Path) -> None:
    """NotScannedError unless trivy's database, as its ``metadata.json`` dates it, is there and fresh."""
    try:
        updated = datetime.datetime.fromisoformat(json.loads(metadata.read_text())["UpdatedAt"])
        days = (datetime.datetime.now(datetime.UTC) - updated).days
    except FileNotFoundError as error:
        raise NotScannedError("it has no vulnerability database; run trivy image --download-db-only") from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise NotScannedError(f"its vulnerability database says no date ({error!r}); download it anew") from error
    if days > MAX_DATABASE_DAYS:
        raise NotScannedError(f"its vulnerability database is {days} days old; download it anew")


def finding_of(target: str, found: dict[str, Any]) -> Finding:
    """One misconfiguration or vulnerability of trivy's report; without a severity it is ``UNKNOWN``: grave."""
    rule = text_of(found, "VulnerabilityID", "ID")
    package = " ".join(filter(None, (found.get("PkgName"), found.get("InstalledVersion"))))
    message = ": ".join(filter(None, (package, text_of(found, "Title", "Message"))))
    line = int((found.get("CauseMetadata") or {}).get("StartLine") or 0)
    severity = str(found.get("Severity") or "UNKNOWN").upper()
    return Finding(target, line, severity, rule, message, (rule, target, package, text_of(found, "Message")))


def _named(path: str, patterns: Iterable[str]) -> bool:
    """Whether the file, or the folder it lies in, is called like one of ``patterns``."""
    names = [part.lower() for part in PurePosixPath(path).parts[-2:]]
    return any(fnmatch(name, pattern) for pattern in patterns for name in names)


def _text(path: Path) -> str:
    if path.is_symlink() or not path.is_file() or path.stat().st_size > _MAX_MANIFEST_BYTES:
        return ""
    return path.read_bytes().decode(errors="replace")


def _quieted(path: str) -> Finding:
    message = "a comment in a changed file tells trivy to look away"
    return Finding(path, 0, "HIGH", "ignored", message, ("ignored", path))
