"""One running instance for the tests of a file, with seven scripted voters."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.e2e.instance import Instance, make_application
from tests.e2e.provider import CLOUD, LOCAL, Endpoint


@pytest.fixture(scope="module")
def short_home() -> Iterator[Path]:
    """A folder whose path is short enough for unix sockets."""
    folder = Path(tempfile.mkdtemp(prefix="rpl-"))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="module")
def endpoint() -> Iterator[Endpoint]:
    server = Endpoint()
    yield server
    server.close()


@pytest.fixture(scope="module")
def instance(short_home: Path, endpoint: Endpoint) -> Iterator[Instance]:
    """``./ripple up`` with five local and two cloud voters."""
    running = Instance(short_home / "home")
    running.up()
    for name in LOCAL:
        running.provider(name, endpoint.url, tier="local")
    for name in CLOUD:
        running.provider(name, endpoint.url, tier="cloud", weight=1.5)
    yield running
    running.down()


@pytest.fixture
def shop(instance: Instance, tmp_path: Path, request: pytest.FixtureRequest) -> tuple[str, Path]:
    """A freshly adopted copy of the example; its name and its repository."""
    name = f"shop-{abs(hash(request.node.name)) % 10**8}"
    folder = make_application(tmp_path / "shop", name)
    found = instance.json("app", "add", str(folder))
    assert found["state"] == "ready", found
    return name, folder
