"""One daemon per client, which demands signatures: each SDK signs in its own way."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.daemon import Daemon, running_daemon
from tests.support.scenes import astronaut_jpeg

KEY, SECRET = "AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"


@pytest.fixture(scope="module")
def more_settings() -> dict[str, str]:
    """Settings of the daemon besides the signatures, for a module to choose."""
    return {}


@pytest.fixture(scope="module")
def signed_daemon(
    tmp_path_factory: pytest.TempPathFactory, more_settings: dict[str, str]
) -> Iterator[Daemon]:
    """A daemon with ``auth.mode = "sigv4"``, shared by the tests of a module."""
    credentials = json.dumps([{"access_key_id": KEY, "secret_access_key": SECRET}])
    env = {
        "STREAMD_AUTH__MODE": "sigv4",
        "STREAMD_AUTH__CREDENTIALS": credentials,
        **more_settings,
    }
    with running_daemon(tmp_path_factory.mktemp("signed") / "data", env) as running:
        running.credentials = (KEY, SECRET)
        yield running


@pytest.fixture(scope="module")
def photo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A JPEG file with one face."""
    path = tmp_path_factory.mktemp("photo") / "astronaut.jpg"
    path.write_bytes(astronaut_jpeg())
    return path
