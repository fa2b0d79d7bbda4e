"""A web server of made-up packages, and a prefix of one's own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.unit.supervisor.install.serving import Shelf


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def shelf() -> Iterator[Shelf]:
    made = Shelf()
    yield made
    made.close()


@pytest.fixture
def prefix(tmp_path: Path) -> Path:
    return tmp_path / "prefix"
