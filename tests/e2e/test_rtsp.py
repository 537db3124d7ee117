"""An RTSP camera through ``streamd put-media``: relayed without transcoding, and searched."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests.support.daemon import Daemon, wait_until
from tests.support.rtsp_camera import RtspCamera, rtsp_camera
from tests.support.scenes import face_video
from tests.support.story import create_face_search, wait_for_status


@pytest.fixture
def camera() -> Iterator[RtspCamera]:
    """A camera that wants a password and shows a face."""
    with rtsp_camera(face_video(4.0), password="swordfish") as running:
        yield running


def _relay(daemon: Daemon, camera: RtspCamera, stream: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [
            *(sys.executable, "-m", "streamd", "put-media", "--stream", stream),
            *("--endpoint", daemon.url, "--source", camera.url),
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def test_camera_is_relayed_and_survives_a_cut(daemon: Daemon, camera: RtspCamera) -> None:
    """Faces are found; after the connection was cut the relay comes back by itself."""
    create_face_search(daemon, "rtsp")
    daemon.client("rekognition").start_stream_processor(Name="rtsp")
    wait_for_status(daemon, "rtsp", "RUNNING")
    relay = _relay(daemon, camera, "rtsp")
    try:
        wait_until(lambda: len(daemon.records("rtsp")) >= 10, what="10 records")
        before = len(daemon.records("rtsp"))
        camera.drop_all()
        wait_until(lambda: len(daemon.records("rtsp")) >= before + 15, what="15 more records")
        assert camera.sessions >= 2
    finally:
        relay.send_signal(signal.SIGINT)
        output, _ = relay.communicate(timeout=30)
    assert "swordfish" not in output
    records = daemon.records("rtsp")
    matched = [
        r for r in records if r["FaceSearchResponse"] and r["FaceSearchResponse"][0]["MatchedFaces"]
    ]
    assert len(matched) >= len(records) * 0.9


def test_wrong_password_is_said_in_one_line(daemon: Daemon, camera: RtspCamera) -> None:
    """A camera that refuses is told apart from one that is away."""
    done = subprocess.run(
        [
            *(sys.executable, "-m", "streamd", "put-media", "--stream", "refused"),
            *("--endpoint", daemon.url, "--source", camera.url.replace("swordfish", "wrong")),
        ],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert "401" in done.stderr + done.stdout or "password" in done.stderr + done.stdout
