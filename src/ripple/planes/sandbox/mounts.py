"""What a sandboxed command sees: the arguments of bwrap, computed from a spec and this machine's folders."""

from __future__ import annotations

import stat
import sys
from pathlib import Path

from ripple.model.errors import Invalid
from ripple.planes.sandbox.spec import DEFAULT_PATH, PYTHON_BIN, SandboxSpec

ETC = Path(__file__).parent / "etc"
MAX_TMP_BYTES = 256 << 20
_SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32")
_ETC_SHARED = ("ld.so.cache", "ld.so.conf", "ld.so.conf.d", "alternatives", "localtime", "services", "protocols")
_ETC_NETWORK = ("resolv.conf", "ssl/certs", "ssl/openssl.cnf", "ca-certificates", "pki/tls/certs", "pki/ca-trust")


def interpreter() -> Path:
    """The base interpreter, outside any virtual environment, with its symbolic links resolved."""
    found: str = getattr(sys, "_base_executable", "") or sys.executable
    return Path(found).resolve()


def isolation(spec: SandboxSpec, *, new_session: bool) -> list[str]:
    """Namespaces, identity, filesystem and environment for ``spec``; the command itself is left to the caller.

    Raises:
        Invalid: a read-only bind's path inside is not absolute and plain, or its host path does not exist.
    """
    return [
        *_namespaces(spec, new_session=new_session),
        *_system(spec.network),
        *_python(),
        *_scratch(spec),
        "--bind" if spec.writable else "--ro-bind", str(spec.worktree.resolve()), "/work",
        *_extra(spec),
        *_environment(spec),
        "--chdir", spec.working_dir,
    ]  # fmt: skip


def sealed() -> list[str]:
    """Last of all: nothing bwrap made itself stays writable.

    A process of the real root user keeps uid 0's rights over /proc/sys even without capabilities, and bwrap leaves
    that writable: without the remount it could set kernel.core_pattern and run code on the host.
    """
    return ["--remount-ro", "/proc", "--remount-ro", "/dev", "--remount-ro", "/"]


def _namespaces(spec: SandboxSpec, *, new_session: bool) -> list[str]:
    flags = ["--unshare-all", *(["--share-net"] if spec.network else []), "--die-with-parent"]
    flags += ["--new-session"] if new_session else []
    return [*flags, "--cap-drop", "ALL", "--uid", "1000", "--gid", "1000", "--hostname", "app", "--clearenv"]


def _system(network: bool) -> list[str]:
    arguments: list[str] = []
    for path in _SYSTEM:
        arguments += _as_on_host(Path(path))
    for name in (*_ETC_SHARED, *(_ETC_NETWORK if network else ())):
        arguments += _as_on_host(Path("/etc") / name)
    for file in sorted(ETC.iterdir()):
        host = Path("/etc/hosts") if network and file.name == "hosts" else file
        arguments += ["--ro-bind", str(host), f"/etc/{file.name}"]
    return arguments


def _as_on_host(path: Path) -> list[str]:
    """A system path: a link inside /usr or /etc stays a link, anything else is bound with what it leads to."""
    try:
        mode = path.lstat().st_mode
    except OSError:
        return []
    if stat.S_ISLNK(mode) and str(path.resolve()).startswith("/usr"):
        return ["--symlink", str(path.readlink()), str(path)]
    return ["--ro-bind", str(path.resolve()), str(path)] if path.exists() else []


def _python() -> list[str]:
    """The interpreter's own folders and nothing beside them, wherever they lie; ``python`` is always a name."""
    program = interpreter()
    prefixes = {Path(sys.base_prefix), Path(sys.base_exec_prefix), program.parent.parent}
    arguments: list[str] = []
    for prefix in sorted(prefixes):
        if not prefix.is_relative_to("/usr") and prefix != Path("/"):
            arguments += ["--ro-bind", str(prefix), str(prefix)]
    for name in ("python", "python3"):
        arguments += ["--symlink", str(program), f"{PYTHON_BIN}/{name}"]
    return arguments


def _scratch(spec: SandboxSpec) -> list[str]:
    size = str(max(1 << 20, min(MAX_TMP_BYTES, spec.limits.disk_bytes, spec.limits.memory_bytes)))
    return [
        "--proc", "/proc", "--dev", "/dev",
        "--size", size, "--tmpfs", "/dev/shm",  # noqa: S108
        "--perms", "1777", "--size", size, "--tmpfs", "/tmp",  # noqa: S108
    ]  # fmt: skip


def _extra(spec: SandboxSpec) -> list[str]:
    arguments: list[str] = []
    for host, inside in spec.read_only:
        if not inside.startswith("/") or ".." in inside.split("/") or not host.exists():
            raise Invalid(f"cannot bind {host} at {inside!r}: it must exist, at an absolute path without '..'")
        arguments += ["--ro-bind", str(host.resolve()), inside]
    return arguments


def _environment(spec: SandboxSpec) -> list[str]:
    defaults = {"PATH": DEFAULT_PATH, "HOME": "/tmp", "TMPDIR": "/tmp", "LANG": "C.UTF-8"}  # noqa: S108
    arguments: list[str] = []
    for name, value in {**defaults, **spec.env}.items():
        arguments += ["--setenv", name, value]
    return arguments
