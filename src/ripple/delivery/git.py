"""Running git without trusting the repository it runs in.

No hooks, no fsmonitor program, no network transport, no system or user configuration: what git executes is decided
here. ``GIT_CONFIG_GLOBAL`` names a private file because ``-c`` options do not reach the process git starts on the
other side of a local fetch or push.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import anyio

from ripple.model.errors import DeadlineExceeded, Invalid, Unavailable

DEADLINE_SECONDS = 30.0
HARDENED = (
    "core.hooksPath=/dev/null",
    "core.fsmonitor=false",
    "core.attributesFile=/dev/null",
    "core.quotePath=false",
    "protocol.allow=never",
    "protocol.file.allow=always",
    "submodule.recurse=false",
    "gc.auto=0",
    "maintenance.auto=false",
    "merge.renames=false",
    "merge.directoryRenames=false",
    "merge.conflictStyle=merge",
    "commit.gpgSign=false",
)


@dataclass(frozen=True)
class GitOutput:
    """Exit code and output of one call."""

    code: int
    out: bytes
    err: str

    @property
    def text(self) -> str:
        """Standard output without the final newline."""
        return self.out.decode("utf-8", "surrogateescape").rstrip("\n")


class Git:
    """Git in one folder. ``settings`` is the folder for the private configuration file."""

    def __init__(self, folder: Path, settings: Path, trusted: Sequence[Path] = ()) -> None:
        self.folder = folder
        self._settings = settings
        self._trusted = tuple(trusted)

    async def run(
        self, *arguments: str, stdin: bytes = b"", env: Mapping[str, str] | None = None, ok: Sequence[int] = (0,)
    ) -> GitOutput:
        """One git command in the folder.

        Raises:
            Invalid: git exits with a status that is not in ``ok``; the message carries what it said.
            DeadlineExceeded: it ran longer than 30 s and was killed.
            Unavailable: git is not installed.
        """
        command = ["git", *hardened(), *arguments]
        environment = {**self._environment(), **(env or {})}
        try:
            with anyio.fail_after(DEADLINE_SECONDS):
                done = await anyio.run_process(command, input=stdin, check=False, cwd=self.folder, env=environment)
        except TimeoutError as error:
            raise DeadlineExceeded(
                f"git {arguments[0]} in {self.folder} took over {DEADLINE_SECONDS:.0f} s; it was stopped"
            ) from error
        except FileNotFoundError as error:
            what = "git is not installed" if self.folder.is_dir() else f"there is no folder {self.folder}"
            raise Unavailable(f"cannot run git {arguments[0]}: {what}") from error
        output = GitOutput(done.returncode, done.stdout, done.stderr.decode("utf-8", "replace").strip())
        if output.code not in ok:
            said = output.err or output.text
            raise Invalid(f"git {arguments[0]} failed on {self.folder}: {said[-2000:]}", code="git")
        return output

    def _environment(self) -> dict[str, str]:
        return {
            "PATH": os.environ.get("PATH", "/usr/bin:/bin"),
            "HOME": str(self._settings),
            "LC_ALL": "C",
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_CONFIG_GLOBAL": str(self._configured()),
            "GIT_ATTR_NOSYSTEM": "1",
            "GIT_TERMINAL_PROMPT": "0",
            "GIT_OPTIONAL_LOCKS": "0",
            "GIT_NO_REPLACE_OBJECTS": "1",
        }

    def _configured(self) -> Path:
        """The private configuration file, written once: which folders of other owners git may work in."""
        path = self._settings / "git.config"
        quoted = [str(folder).replace("\\", "\\\\").replace('"', '\\"') for folder in self._trusted]
        text = "[safe]\n" + "".join(f'\tdirectory = "{folder}"\n' for folder in quoted)
        if not path.exists() or path.read_text() != text:
            self._settings.mkdir(parents=True, exist_ok=True)
            fresh = path.with_name(f"git.config.{os.getpid()}")
            fresh.write_text(text)
            fresh.replace(path)
        return path


def hardened() -> list[str]:
    """The ``-c`` options of every call."""
    return [part for setting in HARDENED for part in ("-c", setting)]
