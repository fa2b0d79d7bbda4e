"""The wrapper as a module, standing in a small checkout of its own."""

from __future__ import annotations

import importlib.machinery
import importlib.util
import shutil
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[3]
LOCK = r"""uv==1.0 \
    --hash=sha256:aa \
    --hash=sha256:bb
    # via ripple
uvicorn==2.0 \
    --hash=sha256:cc
"""


def load(file: Path) -> ModuleType:
    """The wrapper at ``file`` as a module; nothing of it runs."""
    loader = importlib.machinery.SourceFileLoader("ripple_wrapper", str(file))
    specification = importlib.util.spec_from_loader(loader.name, loader)
    assert specification is not None
    module = importlib.util.module_from_spec(specification)
    loader.exec_module(module)
    return module


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """The wrapper, a lock, and console sources, in a folder whose name has a space."""
    root = tmp_path / "a checkout"
    for folder in ("src", "static"):
        (root / "console" / folder).mkdir(parents=True)
    (root / "console" / "src" / "main.tsx").write_text("render();\n")
    for name in ("build.mjs", "package.json", "package-lock.json", ".npmrc"):
        (root / "console" / name).write_text("{}\n")
    (root / "requirements.lock").write_text(LOCK)
    shutil.copy(ROOT / "ripple", root / "ripple")
    return root


@pytest.fixture
def wrapper(checkout: Path) -> ModuleType:
    """The wrapper of that checkout."""
    return load(checkout / "ripple")


@pytest.fixture
def finished(checkout: Path, wrapper: ModuleType) -> Callable[[], None]:
    """Makes the checkout look as a finished set-up leaves it."""

    def finish() -> None:
        wrapper.PYTHON.parent.mkdir(parents=True, exist_ok=True)
        wrapper.PYTHON.unlink(missing_ok=True)
        wrapper.PYTHON.symlink_to("/bin/sh")
        wrapper.write_stamp(wrapper.WHOLE, wrapper.environment_stamp())
        wrapper.BUILT.parent.mkdir(exist_ok=True)
        wrapper.write_stamp(wrapper.BUILT, wrapper.console_stamp())

    return finish
