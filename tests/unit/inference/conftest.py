"""What the tests that ask need: an endpoint, and the catalogue as it is shipped."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.unit.inference.endpoint import Endpoint

from ripple.inference.catalogue import Catalogue, load_catalogue

MANIFESTS = Path(__file__).parents[3] / "manifests"


@pytest.fixture(scope="session")
def running_endpoint() -> Iterator[Endpoint]:
    running = Endpoint()
    yield running
    running.stop()


@pytest.fixture
def endpoint(running_endpoint: Endpoint) -> Endpoint:
    running_endpoint.reset()
    return running_endpoint


@pytest.fixture(scope="session")
def catalogue() -> Catalogue:
    return load_catalogue(MANIFESTS)
