"""Unpacking archives that nobody trusts: nothing is written outside the target, whatever the archive says.

- Refused: absolute paths, ``..``, links that lead out, devices, pipes, and more entries or bytes than the limits.
- A parent folder is resolved when something is written into it, so a link made earlier cannot carry it elsewhere;
  when all is there every link is looked at again.
- Modes become 0755 or 0644, owners are not kept: nothing gets more rights than who unpacks it.
"""

from __future__ import annotations

import io
import lzma
import os
import shutil
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO

from ripple.model.errors import Invalid, Refused

MAX_ENTRIES = 500_000
MAX_TOTAL_BYTES = 24 << 30
_AR, _AR_HEADER = b"!<arch>\n", 60
_COPY_BYTES = 1 << 20


@dataclass(frozen=True)
class Limits:
    """The most an archive may hold."""

    entries: int = MAX_ENTRIES
    total_bytes: int = MAX_TOTAL_BYTES


def unpack(archive: Path, target: Path, *, strip: int = 0, limits: Limits | None = None) -> None:
    """A tar (plain, gz, bz2, xz) or zip archive below ``target``, without the first ``strip`` folders.

    Raises:
        Refused: an entry is not something that may be unpacked.
        Invalid: it is no archive, or a broken one.
    """
    into = _Into(target, strip, limits or Limits())
    with _explained(archive):
        if zipfile.is_zipfile(archive):
            with zipfile.ZipFile(archive) as opened:
                _unpack_zip(opened, into)
        else:
            with tarfile.open(archive, "r:*") as tar:
                _unpack_tar(tar, into)
    into.finish()


def is_archive(file: Path) -> bool:
    """Whether :func:`unpack` can read it."""
    return zipfile.is_zipfile(file) or tarfile.is_tarfile(file)


def unpack_deb(package: Path, target: Path, *, limits: Limits | None = None) -> None:
    """The files of a Debian package below ``target``; its absolute links then point below ``target`` too."""
    into = _Into(target, 0, limits or Limits(), reroot=True)
    with _explained(package), package.open("rb") as file, _deb_data(file) as tar:
        _unpack_tar(tar, into)
    into.finish()


class _Into:
    """Where an archive goes, and what of it may."""

    def __init__(self, target: Path, strip: int, limits: Limits, *, reroot: bool = False) -> None:
        target.mkdir(parents=True, exist_ok=True)
        self._root = target.resolve()
        self._strip, self._limits, self._reroot = strip, limits, reroot
        self._entries = self._bytes = 0
        self._plain: set[Path] = {self._root}
        self._links: list[Path] = []

    def place(self, name: str) -> Path | None:
        """Where the entry goes; None for what lies above the stripped folders."""
        self._entries += 1
        if self._entries > self._limits.entries:
            raise Refused(f"the archive has more than {self._limits.entries} entries; it is not unpacked")
        inside = self.inside(name)
        return inside if inside is None else self._root / inside

    def inside(self, name: str) -> PurePosixPath | None:
        """The entry's path below the target, as a path that goes only down."""
        path = PurePosixPath(name)
        if path.is_absolute() or ".." in path.parts or "\0" in name or "\\" in name:
            raise Refused(f"the archive holds {name!r}, which leads out of its folder; it is not unpacked")
        parts = path.parts[self._strip :]
        return PurePosixPath(*parts) if parts else None

    def folder(self, path: Path) -> None:
        """Make a folder, and those above it, none of them through a link that leads out."""
        if path in self._plain:
            return
        self.folder(path.parent)
        if path.is_symlink():
            if not path.resolve().is_relative_to(self._root):
                raise Refused(f"the archive writes through the link {path.name!r}, which leads out of its folder")
            path.resolve().mkdir(parents=True, exist_ok=True)
            return
        path.mkdir(exist_ok=True)
        self._plain.add(path)

    def file(self, path: Path, source: IO[bytes], *, runs: bool) -> None:
        """Write a file; what stood in its place is replaced, never written through."""
        self.folder(path.parent)
        _clear(path)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
        with os.fdopen(os.open(path, flags, 0o755 if runs else 0o644), "wb") as file:
            while chunk := source.read(_COPY_BYTES):
                self._bytes += len(chunk)
                if self._bytes > self._limits.total_bytes:
                    raise Refused(
                        f"the archive has more than {self._limits.total_bytes} bytes; it is not unpacked"
                    )
                file.write(chunk)
        path.chmod(0o755 if runs else 0o644)

    def link(self, path: Path, to: str) -> None:
        """Make a symbolic link that stays inside."""
        self.folder(path.parent)
        if to.startswith("/") and self._reroot:
            to = os.path.relpath(self._root / to.lstrip("/"), path.parent)
        if not to or to.startswith("/") or not self._stays(path, to):
            raise Refused(f"the archive holds the link {path.name!r} to {to!r}, which leads out of its folder")
        _clear(path)
        path.symlink_to(to)
        self._links.append(path)
        self._plain = {self._root}

    def twin(self, path: Path, name: str) -> None:
        """Make a hard link to an earlier file of the archive."""
        inside = self.inside(name)
        other = self._root / inside if inside else self._root
        if other.is_symlink() or not other.is_file() or not other.resolve().is_relative_to(self._root):
            raise Refused(f"the archive holds a hard link to {name!r}, which is no file of it")
        self.folder(path.parent)
        if path != other:
            _clear(path)
            os.link(other, path)

    def finish(self) -> None:
        """Look at every link again, now that all it leads through is there."""
        for path in self._links:
            if path.is_symlink() and not self._stays(path, str(path.readlink())):
                path.unlink()
                raise Refused(f"the archive's link {path.name!r} leads out of its folder; it is not used")

    def _stays(self, path: Path, to: str) -> bool:
        try:
            return (path.parent.resolve() / to).resolve().is_relative_to(self._root)
        except (OSError, RuntimeError):
            return False


def _unpack_tar(tar: tarfile.TarFile, into: _Into) -> None:
    for entry in tar:
        path = into.place(entry.name)
        if path is None:
            continue
        if entry.isdir():
            into.folder(path)
        elif entry.isreg():
            source = tar.extractfile(entry)
            into.file(path, source or io.BytesIO(), runs=bool(entry.mode & 0o111))
        elif entry.issym():
            into.link(path, entry.linkname)
        elif entry.islnk():
            into.twin(path, entry.linkname)
        else:
            raise Refused(f"the archive holds {entry.name!r}, which is neither file, folder nor link")


def _unpack_zip(opened: zipfile.ZipFile, into: _Into) -> None:
    for entry in opened.infolist():
        path = into.place(entry.orig_filename if "\0" in entry.orig_filename else entry.filename)
        mode = entry.external_attr >> 16
        if path is None:
            continue
        if entry.is_dir():
            into.folder(path)
        elif stat.S_ISLNK(mode):
            into.link(path, opened.read(entry).decode())
        elif stat.S_IFMT(mode) in (0, stat.S_IFREG):
            with opened.open(entry) as source:
                into.file(path, source, runs=bool(mode & 0o111))
        else:
            raise Refused(f"the archive holds {entry.filename!r}, which is neither file, folder nor link")


@contextmanager
def _deb_data(file: IO[bytes]) -> Iterator[tarfile.TarFile]:
    """The ``data.tar`` member of a Debian package (deb(5): an ar archive)."""
    if file.read(len(_AR)) != _AR:
        raise Invalid("it is no Debian package")
    while header := file.read(_AR_HEADER):
        name, size = header[:16].decode("ascii").strip().rstrip("/"), int(header[48:58])
        if not name.startswith("data.tar"):
            file.seek(size + size % 2, io.SEEK_CUR)
            continue
        if name.endswith(".zst"):
            raise Invalid("its files are compressed with zstd, which this Python cannot read")
        with tarfile.open(fileobj=_Slice(file, size), mode="r|*") as tar:  # type: ignore[call-overload]
            yield tar
        return
    raise Invalid("the package holds no data.tar")


class _Slice:
    """The next ``size`` bytes of a file, to be read once."""

    def __init__(self, file: IO[bytes], size: int) -> None:
        self._file, self._left = file, size

    def read(self, count: int = -1) -> bytes:
        chunk = self._file.read(self._left if count < 0 else min(count, self._left))
        self._left -= len(chunk)
        return chunk


@contextmanager
def _explained(archive: Path) -> Iterator[None]:
    try:
        yield
    except (
        tarfile.TarError,
        zipfile.BadZipFile,
        lzma.LZMAError,
        zlib.error,
        EOFError,
        OSError,
        ValueError,
        RuntimeError,
    ) as error:
        raise Invalid(f"cannot unpack {archive.name}: {error}; fetch it again") from error
    except Invalid as error:
        raise Invalid(f"cannot unpack {archive.name}: {error}") from error


def _clear(path: Path) -> None:
    if path.is_symlink() or path.is_file():
        path.unlink()
    elif path.is_dir():
        shutil.rmtree(path)
