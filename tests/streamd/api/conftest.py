"""The endpoint the tests of this folder call."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.faces import face_analyzer
from tests.support.rekognition import Endpoint, open_endpoint


@pytest.fixture(scope="module")
def endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Endpoint]:
    """An endpoint with a scripted analyzer, shared by the tests of a file."""
    yield from open_endpoint(tmp_path_factory.mktemp("api"), load_analyzer=None)


@pytest.fixture(scope="module")
def client(endpoint: Endpoint) -> Any:
    """boto3 on the endpoint, as a user has it, but without checks of its own."""
    return endpoint.client


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Endpoint]:
    """An endpoint with the built-in face pack."""
    analyzer = face_analyzer("builtin")
    yield from open_endpoint(tmp_path_factory.mktemp("real"), load_analyzer=lambda: analyzer)
