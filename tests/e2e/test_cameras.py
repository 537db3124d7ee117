"""Cameras of the settings: relayed by the daemon, lost, frozen, found again."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.daemon import Daemon, free_port, running_daemon, wait_until
from tests.support.rtsp_camera import RtspCamera, rtsp_camera
from tests.support.scenes import face_video
from tests.support.story import create_face_search, wait_for_status


@pytest.fixture
def camera() -> Iterator[RtspCamera]:
    """A camera that wants a password and shows a face."""
    with rtsp_camera(face_video(4.0), password="swordfish") as running:
        yield running


@pytest.fixture
def daemon(data_dir: Path, camera: RtspCamera) -> Iterator[Daemon]:
    """A daemon with that camera and one that nobody answers for."""
    env = {
        "STREAMD_CAMERAS__DOOR__URL": camera.url,
        "STREAMD_CAMERAS__DOOR__READ_TIMEOUT_SECONDS": "1",
        "STREAMD_CAMERAS__GONE__URL": f"rtsp://viewer:hunter2@127.0.0.1:{free_port()}/live",
    }
    with running_daemon(data_dir, env) as running:
        yield running


def _start(daemon: Daemon) -> None:
    video = daemon.client("kinesisvideo")
    wait_until(
        lambda: any(s["StreamName"] == "door" for s in video.list_streams()["StreamInfoList"]),
        what="the camera's stream",
    )
    create_face_search(daemon, "faces", stream="other")
    rekognition = daemon.client("rekognition")
    arn = video.describe_stream(StreamName="door")["StreamInfo"]["StreamARN"]
    rekognition.create_stream_processor(
        Name="door",
        Input={"KinesisVideoStream": {"Arn": arn}},
        Output={"KinesisDataStream": {"Arn": "arn:aws:kinesis:us-east-1:000000000000:stream/door"}},
        Settings={"FaceSearch": {"CollectionId": "faces"}},
        RoleArn="arn:aws:iam::000000000000:role/streamd",
    )
    rekognition.start_stream_processor(Name="door")
    wait_for_status(daemon, "door", "RUNNING")


def _more_records(daemon: Daemon, count: int = 10) -> None:
    before = len(daemon.records("door"))
    wait_until(lambda: len(daemon.records("door")) >= before + count, what=f"{count} more records")


def test_camera_that_is_lost_and_frozen_comes_back(daemon: Daemon, camera: RtspCamera) -> None:
    """Power loss, then a freeze: both end in new records, and the processor stays RUNNING."""
    _start(daemon)
    _more_records(daemon)
    assert daemon.metric("streamd_camera_up") == 1

    camera.stop()
    wait_until(lambda: daemon.metric("streamd_camera_up") == 0, what="the camera to be missed")
    camera.start()
    _more_records(daemon)

    camera.stalled.set()
    wait_until(lambda: daemon.metric("streamd_camera_up") == 0, what="the freeze to be noticed")
    camera.stalled.clear()
    _more_records(daemon)

    wait_for_status(daemon, "door", "RUNNING")
    positions = [
        (v["FragmentNumber"], v["FrameOffsetInSeconds"])
        for v in (r["InputInformation"]["KinesisVideo"] for r in daemon.records("door"))
    ]
    assert positions == sorted(set(positions))
    assert daemon.terminate() == 0
    log = daemon.log()
    assert "swordfish" not in log
    assert "hunter2" not in log
    assert "Traceback" not in log
