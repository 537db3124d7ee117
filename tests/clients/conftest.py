"""One daemon per client, which demands signatures: each SDK signs in its own way."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.client_programs import Client, Steps, client_env, installed, run_steps
from tests.support.daemon import Daemon, running_daemon
from tests.support.producer import put_video
from tests.support.scenes import astronaut_jpeg, face_video

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


def _client(request: pytest.FixtureRequest) -> Client:
    client: Client = request.module.CLIENT
    return client


@pytest.fixture(scope="module")
def folder(request: pytest.FixtureRequest) -> Path:
    """Where the module's client is installed."""
    return installed(_client(request))


@pytest.fixture(scope="module")
def media(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where it leaves the media it has read."""
    return tmp_path_factory.mktemp(_client(request).name)


@pytest.fixture(scope="module")
def javascript_story(
    request: pytest.FixtureRequest, folder: Path, signed_daemon: Daemon, photo: Path, media: Path
) -> Steps:
    """What a client in JavaScript saw, from the collection to the last deletion."""
    daemon, name = signed_daemon, _client(request).name
    env = client_env(
        daemon,
        PHOTO=str(photo),
        RECORDS=str(daemon.data_dir / "outputs" / "kinesis" / f"{name}.jsonl"),
        MEDIA_DIR=str(media),
    )
    return run_steps(
        ["node", str(next(folder.glob("story.*js")))],
        env=env,
        on_step={
            "running": lambda: put_video(
                daemon.port, name, face_video(2.0), credentials=daemon.credentials
            )
        },
    )
