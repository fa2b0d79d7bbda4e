"""Files of a worktree by relative path, with no way out of it.

Every folder on the way is opened without following links, so neither a link in the tree nor one made meanwhile
leads anywhere else.
"""

from __future__ import annotations

import contextlib
import os
import stat
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from ripple.model.errors import Invalid, Refused

MAX_FILE_BYTES = 1 << 20
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def plain_path(path: str) -> str:
    """``path`` in its one plain form, relative to the tree's root; ``.`` components are dropped.

    Raises:
        Refused: it could lead outside the tree, into Git's own folder, or is not a plain path.
    """
    if path.startswith(("/", "~")) or "\\" in path:
        raise Refused(f"path {path!r} is not relative, or has a backslash; name a file inside the repository")
    if any(unicodedata.category(one)[0] == "C" for one in path):
        raise Refused(f"path {path!r} has a control or invisible character; use a plain name")
    parts = [part for part in path.split("/") if part != "."]
    for part in parts:
        if part in ("", "..") or len(part.encode()) > 255:
            raise Refused(f"path {path!r} has the component {part[:40]!r}; name a file inside the repository")
        if _is_git(part):
            raise Refused(f"path {path!r} lies in Git's own folder; it cannot be edited")
    if not parts:
        raise Refused(f"path {path!r} names no file; name a file inside the repository")
    return "/".join(parts)


def read_file(root: Path, path: str) -> bytes | None:
    """The content of a regular file, or None when there is nothing at ``path``.

    Raises:
        Refused: a link stands on the way, or ``path`` is no regular file.
        Invalid: the file is larger than a file may be.
    """
    with _parent(root, path, make=False) as (folder, name):
        if folder is None:
            return None
        try:
            number = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise _refusal(path, error) from error
        with _regular(number, path, "rb") as file:
            if os.fstat(number).st_size > MAX_FILE_BYTES:
                raise Invalid(f"file {path!r} is larger than {MAX_FILE_BYTES} bytes; it cannot be edited")
            return file.read()


def write_file(root: Path, path: str, content: bytes) -> None:
    """Replace or create a regular file; a file that was there keeps its mode."""
    with _parent(root, path, make=True) as (folder, name):
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        try:
            number = os.open(name, flags, 0o644, dir_fd=folder)
        except OSError as error:
            raise _refusal(path, error) from error
        with _regular(number, path, "wb") as file:
            file.write(content)


def delete_file(root: Path, path: str) -> None:
    """Remove a file; nothing happens when there is none."""
    with _parent(root, path, make=False) as (folder, name):
        if folder is not None:
            try:
                os.unlink(name, dir_fd=folder)
            except FileNotFoundError:
                return
            except OSError as error:
                raise _refusal(path, error) from error


@contextlib.contextmanager
def _parent(root: Path, path: str, *, make: bool) -> Iterator[tuple[int | None, str]]:
    """The opened folder that holds ``path`` and the last name; the folder is None when it is missing."""
    *folders, name = plain_path(path).split("/")
    current: int | None = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for part in folders:
            following = _enter(current, part, path, make=make)
            if current is not None:
                os.close(current)
            current = following
            if current is None:
                break
        yield current, name
    finally:
        if current is not None:
            os.close(current)


def _enter(folder: int | None, part: str, path: str, *, make: bool) -> int | None:
    try:
        if make:
            with contextlib.suppress(FileExistsError):
                os.mkdir(part, 0o755, dir_fd=folder)
        return os.open(part, _FOLDER, dir_fd=folder)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise _refusal(path, error) from error


def _regular(number: int, path: str, mode: str) -> IO[bytes]:
    """The opened file, which takes over the descriptor; a folder, pipe or device is closed and refused."""
    if stat.S_ISREG(os.fstat(number).st_mode):
        return os.fdopen(number, mode)
    os.close(number)
    raise Refused(f"path {path!r} is not a regular file; it cannot be edited")


def _is_git(part: str) -> bool:
    """True for every spelling that some filesystem takes for ``.git``."""
    folded = unicodedata.normalize("NFKC", part).lower().rstrip(" .").partition(":")[0]
    return folded in (".git", "git~1")


def _refusal(path: str, error: OSError) -> Refused:
    return Refused(
        f"path {path!r} cannot be used: a link, a folder or another file is in its way ({error.strerror})"
    )
