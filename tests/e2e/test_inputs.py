"""Kinds of cameras through one daemon: RTSP with a clock, HLS, UDP, a file with sound.

RTMP is in ``tests/services/test_rtsp.py``: it needs a server.
"""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.support.daemon import Daemon, free_port, running_daemon, wait_until
from tests.support.hls_camera import HlsCamera, hls_camera
from tests.support.publisher import publisher
from tests.support.rtsp_camera import RtspCamera, rtsp_camera
from tests.support.scenes import face_pictures, face_video
from tests.support.story import create_face_search, wait_for_status
from tests.support.video_files import write_video
from tests.support.watching import watch


@dataclass(frozen=True, kw_only=True)
class Site:
    """A daemon and the cameras it relays."""

    daemon: Daemon
    right: RtspCamera
    wrong: RtspCamera
    hls: HlsCamera

    def metric(self, name: str, camera: str) -> float | None:
        _, text = self.daemon.get("/metrics")
        found = re.search(rf'^{name}{{camera="{camera}"}} (\S+)$', text, re.MULTILINE)
        return None if found is None else float(found[1])


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("inputs")
    clip = write_video(folder / "clip.mp4", with_audio=True)
    sound = write_video(
        folder / "sound.mp4", pictures=face_pictures(40), fps=10, gop=10, with_audio=True
    )
    (folder / "hls").mkdir()
    video = face_video(4.0)
    with contextlib.ExitStack() as stack:
        right, wrong = (stack.enter_context(rtsp_camera(video)) for _ in range(2))
        right.clock_ahead_seconds, wrong.clock_ahead_seconds = -6.0, 7200.0
        hls = stack.enter_context(hls_camera(folder / "hls"))
        udp = f"udp://127.0.0.1:{free_port()}"
        stack.enter_context(publisher(f"{udp}?pkt_size=1316", clip, form="mpegts"))
        env = {
            "STREAMD_CAMERAS__RIGHT__URL": right.url,
            "STREAMD_CAMERAS__WRONG__URL": wrong.url,
            "STREAMD_CAMERAS__HLS__URL": hls.url,
            "STREAMD_CAMERAS__UDP__URL": udp,
            "STREAMD_CAMERAS__SOUND__URL": str(sound),
            "STREAMD_CAMERAS__SOUND__AUDIO": "true",
            "STREAMD_CAMERAS__HLS__READ_TIMEOUT_SECONDS": "2",
        }
        daemon = stack.enter_context(running_daemon(folder / "data", env))
        yield Site(daemon=daemon, right=right, wrong=wrong, hls=hls)


@pytest.mark.parametrize("camera", ["udp", "hls"])
def test_kinds_of_camera(site: Site, camera: str) -> None:
    """Whole fragments come in the time they last, with the server's clock."""
    for fragment in watch(site.daemon, camera, 3):
        assert fragment.codecs == ("V_MPEG4/ISO/AVC",)
        assert fragment.frames[1] >= 10
        assert abs(fragment.producer_seconds - fragment.server_seconds) < 5
    assert site.metric("streamd_camera_up", camera) == 1


def test_a_cameras_clock_gives_the_producer_timestamps(site: Site) -> None:
    """A camera six seconds behind is believed: its fragments are from six seconds ago."""
    wait_until(
        lambda: site.metric("streamd_camera_clock_used", "right") == 1, what="the camera's clock"
    )
    fragment = watch(site.daemon, "right", 3)[-1]
    assert -9 < fragment.producer_seconds - fragment.server_seconds < -4
    offset = site.metric("streamd_camera_clock_offset_seconds", "right")
    assert offset is not None
    assert -10 < offset < -5


def test_a_wrong_clock_does_not_poison_timestamps(site: Site) -> None:
    """A camera two hours ahead gets the server's times, one line in the log, and a metric."""
    wait_until(
        lambda: (site.metric("streamd_camera_clock_offset_seconds", "wrong") or 0) > 7000,
        what="the offset",
    )
    for fragment in watch(site.daemon, "wrong", 3):
        assert abs(fragment.producer_seconds - fragment.server_seconds) < 5
    assert site.metric("streamd_camera_clock_used", "wrong") == 0
    lines = [line for line in site.daemon.log().splitlines() if "clock is +7" in line]
    assert len(lines) == 1
    assert "wrong" in lines[0]


def test_sound_is_kept_where_it_is_wanted(site: Site) -> None:
    """Two tracks in each fragment, and a face processor that finds its face."""
    daemon = site.daemon
    fragment = watch(daemon, "sound", 2)[-1]
    assert fragment.codecs == ("V_MPEG4/ISO/AVC", "A_AAC")
    assert fragment.frames[1] >= 9
    assert fragment.frames[2] >= 4
    arn = daemon.client("kinesisvideo").describe_stream(StreamName="sound")["StreamInfo"]
    create_face_search(daemon, "sound-faces", stream_arn=arn["StreamARN"])
    daemon.client("rekognition").start_stream_processor(Name="sound-faces")
    wait_for_status(daemon, "sound-faces", "RUNNING")
    wait_until(lambda: len(daemon.records("sound-faces")) >= 5, what="records")
    record = daemon.records("sound-faces")[-1]
    assert record["FaceSearchResponse"][0]["MatchedFaces"]


def test_doctor_asks_the_daemon(site: Site) -> None:
    """A camera the daemon relays is told from its metrics, one nobody answers for is tried."""
    wait_until(lambda: site.metric("streamd_camera_up", "right") == 1, what="the camera")
    env = {
        **os.environ,
        "STREAMD_SERVER__LISTEN": f"127.0.0.1:{site.daemon.port}",
        "STREAMD_CAMERAS__RIGHT__URL": "rtsp://127.0.0.1:1/never-opened",
        "STREAMD_CAMERAS__GONE__URL": f"rtsp://viewer:hush@127.0.0.1:{free_port()}/live",
    }
    done = subprocess.run(
        [sys.executable, "-m", "streamd", "doctor", "--data-dir", str(site.daemon.data_dir)],
        env=env,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    lines = done.stdout.splitlines()
    right = next(line for line in lines if "camera right" in line)
    assert "the daemon relays it" in right
    assert "off and used" in right
    gone = next(index for index, line in enumerate(lines) if "camera gone" in line)
    assert "refused" in lines[gone]
    assert "check the port" in lines[gone + 1]
    assert "hush" not in done.stdout
    assert done.returncode == 1


def test_a_playlist_that_stands_still_is_noticed(site: Site) -> None:
    """Its server goes on answering, so libavformat waits for ever: the read's limit ends it."""
    watch(site.daemon, "hls", 1)
    site.hls.frozen.set()
    wait_until(lambda: site.metric("streamd_camera_up", "hls") == 0, what="the freeze noticed")
    site.hls.frozen.clear()
    wait_until(lambda: site.metric("streamd_camera_up", "hls") == 1, what="the camera back")
    watch(site.daemon, "hls", 1)
