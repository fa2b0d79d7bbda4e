"""The folders of an instance on disk: made once, private, with sockets where their paths are short enough."""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
import stat
import tempfile
from pathlib import Path

from ripple.model.errors import Refused
from ripple.model.paths import Home

MARK = "RIPPLE_LAUNCH"
"""The variable that marks every process of an instance and what it starts in turn."""
MAX_SOCKET_BYTES = 100
"""The kernel takes 107; a little is left for names longer than the control socket's."""
_CONTROL = "supervisor.sock"
_TOKEN_BYTES = 32


def prepare(home: Home) -> None:
    """Have every folder of the instance, readable by its owner only, and the operator's token.

    Raises:
        Refused: a folder cannot be made or does not belong to this user.
    """
    try:
        for folder in (
            home.root,
            home.run,
            home.state,
            home.logs,
            home.keys,
            home.secrets,
            home.models,
            home.applications,
            home.objects,
        ):
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        for folder in (home.run, home.keys, home.secrets):
            folder.chmod(0o700)
        _write_token(home.operator_token)
    except OSError as error:
        raise Refused(
            f"cannot keep Ripple's state in {home.root}: {error}; set RIPPLE_HOME to a folder of yours"
        ) from error


def socket_folder(home: Home) -> Path:
    """Where sockets lie: ``home.run``, or a private folder with a short path when that one is too long."""
    if len(os.fsencode(home.run / _CONTROL)) <= MAX_SOCKET_BYTES:
        return home.run
    tag = hashlib.sha256(os.fsencode(home.root)).hexdigest()[:8]
    path = Path(tempfile.gettempdir()) / f"ripple-{os.getuid()}-{tag}"
    path.mkdir(mode=0o700, exist_ok=True)
    found = path.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o077:
        raise Refused(f"{path} is not a private folder of this user; remove it or use a shorter RIPPLE_HOME")
    return path


def control_socket(home: Home) -> Path:
    """Where the supervisor listens."""
    return socket_folder(home) / _CONTROL


def lock_file(home: Home) -> Path:
    """Locked while a supervisor of this instance runs; holds its pid."""
    return home.run / "supervisor.lock"


def log_file(home: Home, component: str) -> Path:
    """What a component writes; ``supervisor`` is the supervisor's own."""
    return home.logs / f"{component}.log"


def write_whole(path: Path, text: str, *, durable: bool = False) -> None:
    """Replace ``path`` at once, readable by its owner only; ``durable`` survives a loss of power."""
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    handle = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(text)
        if durable:
            file.flush()
            os.fsync(file.fileno())
    fresh.replace(path)
    if durable:
        sync_folder(path.parent)


def sync_folder(path: Path) -> None:
    """Make renames and removals in the folder survive a loss of power."""
    folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _write_token(path: Path) -> None:
    """Once: a link either appears with the whole token in it or not at all."""
    if path.exists():
        path.chmod(0o600)
        return
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    write_whole(fresh, secrets.token_urlsafe(_TOKEN_BYTES) + "\n", durable=True)
    with contextlib.suppress(FileExistsError):
        path.hardlink_to(fresh)
    fresh.unlink(missing_ok=True)
