"""The helm that the chart's tests call."""

from __future__ import annotations

import pytest

from tests.services.fetched import ServiceUnavailableError
from tests.services.helm import helm_program


@pytest.fixture(scope="session")
def real_helm() -> None:
    """Skip where there is no helm."""
    try:
        helm_program()
    except ServiceUnavailableError as error:
        pytest.skip(str(error))
