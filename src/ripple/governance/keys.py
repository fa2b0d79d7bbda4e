"""The node's signing key: one Ed25519 key a node, made once, readable by its owner alone.

- Whoever comes first makes it; a file appears whole or not at all, and a key that is there is never replaced.
- A key that somebody else could have read or swapped is refused, not repaired: what it signed proves nothing.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import stat
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key
from securesystemslib.signer import CryptoSigner  # type: ignore[attr-defined]

from ripple.model.errors import Broken

FILE = "node.pem"
MAX_BYTES = 4096
_OTHERS = 0o077


class NodeKey:
    """An Ed25519 key. Nothing of the private half is shown; :attr:`signer` is what libraries sign with."""

    def __init__(self, private: Ed25519PrivateKey) -> None:
        self.signer = CryptoSigner(private)
        self._private = private

    @classmethod
    def load_or_create(cls, folder: Path) -> NodeKey:
        """The key in ``folder``, made there the first time. Several processes at once get the same key.

        Raises:
            Broken: the key is unreadable, no Ed25519 key, or open to other users.
        """
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        file = folder / FILE
        if not os.path.lexists(file):
            # Nothing secret lies here yet, so a folder made with another mode can still be closed.
            folder.chmod(0o700)
            _create(file)
        return cls(_load(file))

    @property
    def key_id(self) -> str:
        """How envelopes name the key: SHA-256 of its canonical public form, as in-toto and TUF compute it."""
        return str(self.signer.public_key.keyid)

    @property
    def public_pem(self) -> str:
        """The public half, SubjectPublicKeyInfo in PEM."""
        return self._private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()

    def sign(self, data: bytes) -> bytes:
        """The 64 byte signature of ``data`` (RFC 8032)."""
        return self._private.sign(data)

    def __repr__(self) -> str:
        return f"NodeKey(key_id={self.key_id!r})"


def _create(file: Path) -> None:
    """Write a new key beside its place and link it there: the first of several processes wins."""
    fresh = file.with_name(f".{file.name}.{secrets.token_hex(8)}")
    number = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(number, "wb") as handle:
            handle.write(CryptoSigner.generate_ed25519().private_bytes)
            handle.flush()
            os.fsync(number)
        with contextlib.suppress(FileExistsError):
            os.link(fresh, file)
    finally:
        fresh.unlink()
    folder = os.open(file.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _load(file: Path) -> Ed25519PrivateKey:
    try:
        private = load_pem_private_key(_read(file), None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise Broken(f"the node's key {file} is unreadable ({error}); {_RESTORE}") from error
    if not isinstance(private, Ed25519PrivateKey):
        raise Broken(f"the node's key {file} is no Ed25519 key; {_RESTORE}")
    return private


def _read(file: Path) -> bytes:
    """The file's bytes, once it is known that nobody else can have read or replaced them."""
    _private(file.parent, file.parent.lstat(), folder=True)
    try:
        number = os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise Broken(f"the node's key {file} cannot be opened ({error.strerror}); {_RESTORE}") from error
    with os.fdopen(number, "rb") as handle:
        _private(file, os.fstat(number), folder=False)
        return handle.read(MAX_BYTES)


def _private(path: Path, found: os.stat_result, *, folder: bool) -> None:
    expected = stat.S_ISDIR(found.st_mode) if folder else stat.S_ISREG(found.st_mode)
    if not expected:
        raise Broken(f"{path} is no {'folder' if folder else 'regular file'}; {_RESTORE}")
    if found.st_uid != os.geteuid():
        raise Broken(f"{path} belongs to user {found.st_uid}, not to the one Ripple runs as; {_RESTORE}")
    if found.st_mode & _OTHERS:
        mode = stat.S_IMODE(found.st_mode)
        raise Broken(
            f"{path} has mode {mode:04o}, so other users may have read the node's key; if nobody can have, "
            f"chmod {'700' if folder else '600'} {path}, otherwise remove the key and let a new one be made"
        )


_RESTORE = "restore it from a copy, or remove it and let a new one be made (older evidence then needs the old key)"
