"""Git trees as plain folders and back, byte for byte.

``git checkout`` and ``git archive`` obey the ``.gitattributes`` of the tree (filters, export-ignore, line
endings). A tree written by a model must not decide what is tested: blobs are read and written without them.

- A path has no empty, ``.``, ``..`` or ``.git`` part (in any case), no NUL or newline, and never passes a link.
- A symbolic link leads to somewhere inside the tree. Submodules become empty folders.
- Sockets, pipes and devices are refused. Limits: 20,000 files, 64 MiB each, 512 MiB together.
- Caches that running an application leaves behind are not part of a tree unless its base already has them.
"""

from __future__ import annotations

import hashlib
import os
import posixpath
import shutil
import stat
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from ripple.model.errors import Broken, Invalid

MAX_FILES = 20_000
MAX_FILE_BYTES = 64 << 20
MAX_TREE_BYTES = 512 << 20
LINK, SUBMODULE, FOLDER = "120000", "160000", "040000"
CACHES = frozenset(
    {
        "__pycache__",
        ".pytest_cache",
        ".mypy_cache",
        ".ruff_cache",
        ".hypothesis",
        ".venv",
        "node_modules",
        ".coverage",
    }
)
CACHE_SUFFIXES = (".pyc", ".pyo")


@dataclass(frozen=True)
class Entry:
    """One file of a tree: Git's mode, the object's name, the path with forward slashes."""

    mode: str
    name: str
    path: str


@dataclass(frozen=True)
class Found:
    """One file of a folder, with what its object will be called."""

    mode: str
    name: str
    path: str
    data: bytes


def parse_tree(listing: bytes) -> list[Entry]:
    """The entries of ``git ls-tree -r -z -l``; Invalid when a path could leave the tree or it is too large."""
    entries = []
    total = 0
    for line in listing.split(b"\0"):
        if not line:
            continue
        head, _, raw = line.partition(b"\t")
        mode, _, name, size = head.decode().split()
        path = raw.decode("utf-8", "surrogateescape")
        check_path(path)
        entries.append(Entry(mode, name, path))
        size_bytes = int(size) if size.isdigit() else 0
        total += size_bytes
        if len(entries) > MAX_FILES or size_bytes > MAX_FILE_BYTES or total > MAX_TREE_BYTES:
            raise Invalid(f"the tree is too large at {path}: {len(entries)} files, {total} bytes so far")
    return entries


def parse_objects(names: list[str], answer: bytes) -> dict[str, bytes]:
    """The blobs in the answer of ``git cat-file --batch``, by name."""
    blobs: dict[str, bytes] = {}
    position = 0
    for name in names:
        end = answer.index(b"\n", position)
        words = answer[position:end].split(b" ")
        if len(words) != 3 or words[1] != b"blob":
            raise Broken(f"object {name} is missing or not a file; the clone is damaged, remove it to fetch anew")
        size = int(words[2])
        blobs[name] = answer[end + 1 : end + 1 + size]
        position = end + 1 + size + 1
    return blobs


def write_folder(entries: list[Entry], blobs: Mapping[str, bytes], target: Path) -> None:
    """Create ``target`` with exactly these files. It must not exist; Invalid when the tree contradicts itself."""
    target.mkdir(parents=True)
    try:
        _write_files(entries, blobs, target)
        _write_links(entries, blobs, target)
    except (FileExistsError, NotADirectoryError) as error:
        raise Invalid(f"the tree names {error.filename} twice; it was not made by git and is refused") from error
    check_links(target)


def check_links(root: Path) -> None:
    """Invalid when a link of the folder leads out of it, also by way of another link."""
    base = root.resolve()
    for path in _walk(root):
        if path.is_symlink() and not Path(os.path.realpath(path)).is_relative_to(base):
            raise Invalid(f"{path.relative_to(root)} is a link that leads out of the application; remove it")


def _write_files(entries: list[Entry], blobs: Mapping[str, bytes], target: Path) -> None:
    for entry in entries:
        path = target / entry.path
        if entry.mode == SUBMODULE:
            path.mkdir(parents=True, exist_ok=True)
        elif entry.mode != LINK:
            path.parent.mkdir(parents=True, exist_ok=True)
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
            handle = os.open(path, flags, 0o755 if entry.mode == "100755" else 0o644)
            with os.fdopen(handle, "wb") as file:
                file.write(blobs[entry.name])


def _write_links(entries: list[Entry], blobs: Mapping[str, bytes], target: Path) -> None:
    """Links come last, so that no file is written through one."""
    for entry in entries:
        if entry.mode == LINK:
            destination = os.fsdecode(blobs[entry.name])
            check_link(entry.path, destination)
            path = target / entry.path
            path.parent.mkdir(parents=True, exist_ok=True)
            path.symlink_to(destination)


def read_folder(root: Path, known: Mapping[str, Entry], algorithm: str) -> list[Found]:
    """Every file of ``root`` that belongs to a tree; ``known`` are the base's files, ``algorithm`` its hash."""
    found, total = [], 0
    kept = frozenset(parent for path in known for parent in _parents(path))
    for path in _walk(
        root, lambda folder: folder.name not in CACHES or folder.relative_to(root).as_posix() in kept
    ):
        relative = path.relative_to(root).as_posix()
        if relative not in known and _is_cache(relative):
            continue
        check_path(relative)
        one = _read(path, relative, algorithm)
        total += len(one.data)
        found.append(one)
        if len(found) > MAX_FILES or total > MAX_TREE_BYTES:
            raise Invalid(f"{root} is too large: {len(found)} files, {total} bytes")
    return found


def remove_folder(root: Path) -> None:
    """Remove a folder if it is there; a failed checkout leaves nothing behind."""
    shutil.rmtree(root, ignore_errors=True)


def check_path(path: str) -> None:
    """Invalid unless ``path`` stays inside the tree and outside ``.git``."""
    parts = path.split("/")
    if any(part in {"", ".", ".."} or part.lower() == ".git" for part in parts):
        raise Invalid(f"{path!r} is no path inside an application: '..', '.git' and absolute paths are refused")
    if "\0" in path or "\n" in path:
        raise Invalid(f"{path!r} has a line break or NUL in its name; rename it")


def check_link(path: str, destination: str) -> None:
    """Invalid when the link at ``path`` points out of the tree."""
    landing = posixpath.normpath(posixpath.join(posixpath.dirname(path), destination))
    if destination.startswith("/") or "\0" in destination or landing == ".." or landing.startswith("../"):
        raise Invalid(f"{path} is a link to {destination!r}, outside the application; remove it")


def _read(path: Path, relative: str, algorithm: str) -> Found:
    status = path.lstat()
    if stat.S_ISLNK(status.st_mode):
        destination = os.fsencode(path.readlink())
        check_link(relative, os.fsdecode(destination))
        return Found(LINK, _object_name(destination, algorithm), relative, destination)
    if not stat.S_ISREG(status.st_mode):
        raise Invalid(f"{relative} is neither a file nor a link; sockets, pipes and devices are refused")
    if status.st_size > MAX_FILE_BYTES:
        raise Invalid(f"{relative} has {status.st_size} bytes; at most {MAX_FILE_BYTES} are taken")
    data = path.read_bytes()
    mode = "100755" if status.st_mode & stat.S_IXUSR else "100644"
    return Found(mode, _object_name(data, algorithm), relative, data)


def _object_name(data: bytes, algorithm: str) -> str:
    return hashlib.new(algorithm, b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest()


def _is_cache(relative: str) -> bool:
    return bool(CACHES & set(relative.split("/"))) or relative.endswith(CACHE_SUFFIXES)


def _parents(path: str) -> Iterator[str]:
    while path := posixpath.dirname(path):
        yield path


def _walk(root: Path, enter: Callable[[Path], bool] = lambda folder: True) -> Iterator[Path]:
    """Files and links below ``root`` in a fixed order; folders behind links are not entered."""
    for entry in sorted(os.scandir(root), key=lambda one: one.name):
        path = Path(entry.path)
        if not entry.is_dir(follow_symlinks=False):
            yield path
        elif enter(path):
            yield from _walk(path, enter)
