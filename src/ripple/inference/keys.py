"""Provider keys: one file each in a folder only its owner enters; never in a database, log or argument."""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import stat
from pathlib import Path

from pydantic import SecretStr

from ripple.model.errors import Invalid, Refused

MAX_KEY_BYTES = 16 << 10
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,60}")


class Keyring:
    """Keys by provider name below ``folder``, which is made (0700) with the first key."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def put(self, name: str, key: SecretStr) -> None:
        """Keep ``key`` (0600) in place of what was there; a crash leaves the old one or the new one.

        Raises:
            Invalid: the name is no plain name, or the key is empty, too long or not one printable line.
        """
        text = key.get_secret_value().strip()
        if not text or not text.isascii() or not text.isprintable() or len(text) > MAX_KEY_BYTES:
            raise Invalid(f"the key of {name} is not one line of printable ASCII; check the variable it came from")
        target = self._file(name)
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._folder.chmod(0o700)
        fresh = self._folder / f".{name}.{secrets.token_hex(6)}"
        try:
            with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            fresh.replace(target)
        finally:
            fresh.unlink(missing_ok=True)

    def get(self, name: str) -> SecretStr | None:
        """The key, None when there is none.

        Raises:
            Refused: others can read the file, or it is not a plain file.
        """
        path = self._file(name)
        try:
            number = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise Refused(f"cannot read {path}: {error.strerror}; remove it and add the provider again") from error
        with os.fdopen(number, encoding="ascii") as file:
            status = os.fstat(number)
            if not stat.S_ISREG(status.st_mode) or status.st_mode & 0o077:
                raise Refused(f"{path} is open to others; chmod 600 it, or add the provider again with a new key")
            return SecretStr(file.read(MAX_KEY_BYTES))

    def has(self, name: str) -> bool:
        """Whether a key is kept."""
        return self._file(name).exists()

    def remove(self, name: str) -> None:
        """Forget the key; nothing happens when there is none."""
        with contextlib.suppress(FileNotFoundError):
            self._file(name).unlink()

    def _file(self, name: str) -> Path:
        if not _NAME.fullmatch(name):
            raise Invalid(f"{name[:80]!r} is no name of a key: small letters, digits, '.', '_' and '-'")
        return self._folder / name
