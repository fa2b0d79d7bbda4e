"""The real thing once: a fresh checkout, an empty HOME, a kill in the middle, two at once, then no more work."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
NEEDED = ("ripple", "requirements.lock", "pyproject.toml", "src", "console", "manifests", "policies")
LEFT_OUT = shutil.ignore_patterns("node_modules", "dist", "__pycache__")
SETTINGS = (
    "PIP_",
    "UV_",
    "NPM_CONFIG",
    "npm_config",
    "SSL_",
    "HTTP",
    "http",
    "NO_PROXY",
    "no_proxy",
    "NODE_EXTRA",
)


@pytest.fixture
def fresh() -> Iterator[Path]:
    """A checkout that nothing was set up in, beside an empty home. Gone after the test: it is large."""
    with tempfile.TemporaryDirectory(prefix="ripple fresh ") as folder:
        root = Path(folder) / "checkout"
        root.mkdir()
        (Path(folder) / "home").mkdir()
        for name in NEEDED:
            if (ROOT / name).is_dir():
                shutil.copytree(ROOT / name, root / name, ignore=LEFT_OUT)
            else:
                shutil.copy(ROOT / name, root / name)
        yield root


def start(root: Path, *arguments: str) -> subprocess.Popen[str]:
    """``./ripple`` through a link, from elsewhere, with no more of this environment than where packages are."""
    link = root.parent / "link"
    if not link.is_symlink():
        link.symlink_to(root / "ripple")
    kept = {name: value for name, value in os.environ.items() if name.startswith(SETTINGS)}
    # Not the interpreter of the environment that runs this test, but the one it was made from.
    path = f"{Path(sys.base_prefix) / 'bin'}:/usr/bin:/bin"
    environment = {**kept, "PATH": path, "HOME": str(root.parent / "home")}
    return subprocess.Popen(
        [str(link), *arguments], cwd="/", env=environment, text=True, stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


def ended(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    """Exit status, standard output and standard error."""
    out, said = process.communicate(timeout=280)
    return process.returncode, out, said


@pytest.mark.live
@pytest.mark.timeout(900)
def test_a_fresh_checkout_sets_itself_up_through_a_kill_and_beside_another(fresh: Path) -> None:
    killed = start(fresh, "up", "--help")
    deadline = time.monotonic() + 120
    while not (fresh / ".venv" / "bin" / "uv").exists():
        assert time.monotonic() < deadline and killed.poll() is None, killed.communicate()
        time.sleep(0.05)
    killed.send_signal(signal.SIGKILL)
    killed.communicate()
    assert not (fresh / ".venv" / "ripple.json").exists()

    both = [start(fresh, "up", "--help"), start(fresh, "up", "--help")]
    results = [ended(process) for process in both]
    for status, out, said in results:
        assert status == 0, said
        assert "Usage: ./ripple up" in out
    assert sum("building the console" in said for _, _, said in results) == 1
    assert (fresh / "console" / "dist" / "app.js").stat().st_size > 10_000
    assert (fresh / "console" / "dist" / "app.css").is_file()

    status, out, said = ended(start(fresh, "up", "--help"))
    assert (status, said) == (0, ""), said
    kept = {path.name for path in (fresh.parent / "home").iterdir()}
    assert kept <= {".cache", ".npm", ".rustup"}, "more than the package managers' caches was left in HOME"
