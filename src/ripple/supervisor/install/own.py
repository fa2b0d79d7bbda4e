"""The programs of Ripple's own Python environment: the profile's systems run from there.

They came as wheels, locked in ``requirements.lock``; what each laid down is recorded beside it with its digests.
"""

from __future__ import annotations

import functools
import importlib.metadata
import re
import sys
import tempfile
from base64 import urlsafe_b64encode
from pathlib import Path

from ripple.model.errors import NotFound
from ripple.model.system import RouteKind, System
from ripple.supervisor.install.cache import hash_file
from ripple.supervisor.install.commands import Command, run_tool

LOCK = "requirements.lock"


def own_package(system: System) -> importlib.metadata.Distribution | None:
    """The package of this environment that a system's programs come from; None when it is not part of it."""
    for route in system.routes:
        if route.kind is RouteKind.PYPI:
            try:
                return importlib.metadata.distribution(route.package)
            except importlib.metadata.PackageNotFoundError:
                continue
    return None


def changed_files(package: importlib.metadata.Distribution) -> list[str]:
    """The files of a package that differ from what its wheel brought, or are gone."""
    found = []
    for file in package.files or ():
        if file.hash is None:
            continue
        path = Path(str(package.locate_file(file)))
        try:
            now = path.stat()
            digest = _digest(path, file.hash.mode, (now.st_ino, now.st_size, now.st_mtime_ns, now.st_ctime_ns))
        except OSError:
            digest = ""
        if digest != file.hash.value:
            found.append(str(file))
    return found


async def mend_own(system: System, root: Path) -> list[str]:
    """What had changed of a system's package in this environment; laid down again as ``root`` locks it.

    Raises:
        NotFound: the lock does not know the package.
        Unavailable: the index does not answer.
    """
    package = own_package(system)
    changed = changed_files(package) if package else []
    if package and changed:
        await _lay_again(package, root)
    return changed


async def _lay_again(package: importlib.metadata.Distribution, root: Path) -> None:
    name = package.metadata["Name"]
    pinned = re.search(rf"(?m)^{re.escape(name)}==.*(?:\n[ \t]+.*)*", (root / LOCK).read_text(encoding="utf-8"))
    if pinned is None:
        raise NotFound(f"{LOCK} does not lock {name}; remove .venv, then ./ripple up")
    with tempfile.TemporaryDirectory(prefix="ripple-own-") as folder:
        wanted = Path(folder) / LOCK
        wanted.write_text(pinned[0] + "\n", encoding="utf-8")
        words = ("pip", "install", "--quiet", "--reinstall", "--no-deps", "--require-hashes", "-r", str(wanted))
        uv = Path(sys.prefix) / "bin" / "uv"
        await run_tool(Command((str(uv), *words, "--python", sys.executable), Path(folder)))


@functools.lru_cache(maxsize=4096)
def _digest(path: Path, algorithm: str, _: tuple[int, ...]) -> str:
    found = bytes.fromhex(hash_file(path, {algorithm})[algorithm])
    return urlsafe_b64encode(found).decode().rstrip("=")
