"""Cameras behind a real media server that is stopped, frozen, slowed and replaced mid-stream."""

from __future__ import annotations

import contextlib
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.services.fetched import ServiceUnavailableError
from tests.services.rtsp import PASSWORD, RtspServer, rtsp_server
from tests.support.daemon import Daemon, running_daemon, wait_until
from tests.support.publisher import publisher
from tests.support.video_files import write_video
from tests.support.watching import SeenFragment, watch

pytestmark = [
    pytest.mark.service,
    # The first run builds the server.
    pytest.mark.timeout(300),
]

TCP = {"rtsp_transport": "tcp"}
H264, H265 = "V_MPEG4/ISO/AVC", "V_MPEGH/ISO/HEVC"


@dataclass(frozen=True, kw_only=True)
class Site:
    """A media server, who publishes there, and a daemon that relays from it."""

    server: RtspServer
    daemon: Daemon
    clip: Path
    other: Path
    """Another resolution, another codec."""

    def goes_on(self, camera: str, *, count: int = 2) -> list[SeenFragment]:
        """Return fragments that began from now on."""
        return watch(self.daemon, camera, count, after=time.time())


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("rtsp")
    clip = write_video(folder / "clip.mp4", with_audio=True)
    other = write_video(
        folder / "other.mp4", encoder="libx265", width_px=320, height_px=240, count=40
    )
    with contextlib.ExitStack() as stack:
        try:
            server = stack.enter_context(rtsp_server(folder))
        except ServiceUnavailableError as error:
            pytest.skip(str(error))
        stack.enter_context(publisher(server.publish_url("steady"), clip, form="rtsp", options=TCP))
        cameras = {
            "TCP": server.rtsp_url("steady"),
            "UDP": server.rtsp_url("steady"),
            "RTMP": server.rtmp_url("steady"),
            "HLS": server.hls_url("steady"),
            "REFUSED": server.rtsp_url("steady", password="wrong"),
            "CHANGING": server.rtsp_url("changing"),
        }
        env = {f"STREAMD_CAMERAS__{name}__URL": url for name, url in cameras.items()}
        env |= {f"STREAMD_CAMERAS__{name}__READ_TIMEOUT_SECONDS": "1" for name in cameras}
        env |= {"STREAMD_CAMERAS__UDP__RTSP_TRANSPORT": "udp"}
        env |= {"STREAMD_CAMERAS__TCP__AUDIO": "true"}
        daemon = stack.enter_context(running_daemon(folder / "data", env))
        yield Site(server=server, daemon=daemon, clip=clip, other=other)


@pytest.mark.parametrize("camera", ["tcp", "udp", "rtmp", "hls"])
def test_every_way_in(site: Site, camera: str) -> None:
    """Whole fragments by RTSP over TCP and UDP with digest, by RTMP and by HLS."""
    fragments = watch(site.daemon, camera, 2)
    codecs = (H264, "A_AAC") if camera == "tcp" else (H264,)
    assert {fragment.codecs for fragment in fragments} == {codecs}
    assert all(fragment.frames[1] == 20 for fragment in fragments)


def test_a_wrong_password_is_said_once(site: Site) -> None:
    """The line names the camera and not the password."""
    wait_until(lambda: "asks for a password (401)" in site.daemon.log(), what="the refusal")
    lines = [line for line in site.daemon.log().splitlines() if "(401)" in line]
    assert len(lines) == 1
    assert "refused" in lines[0]
    assert "wrong" not in lines[0]


def test_cameras_survive_what_happens_to_the_server(site: Site) -> None:
    """Killed and started again, then frozen: all four ways in go on by themselves."""
    cameras = ("tcp", "udp", "rtmp", "hls")
    site.server.kill()
    wait_until(
        lambda: site.daemon.metric("streamd_camera_up") == 0, what="four cameras to be missed"
    )
    site.server.start()
    for camera in cameras:
        site.goes_on(camera)
    site.server.freeze()
    wait_until(
        lambda: site.daemon.metric("streamd_camera_up") == 0, what="the freeze to be noticed"
    )
    site.server.thaw()
    for camera in cameras:
        site.goes_on(camera)
    log = site.daemon.log()
    assert "Traceback" not in log
    assert "FRAMES_MISSING_FOR_TRACK" not in log
    assert PASSWORD not in log


def test_a_camera_is_paused_slowed_and_replaced(site: Site) -> None:
    """Nothing but the pause itself is missing, and a new codec begins a new document."""
    url = site.server.publish_url("changing")
    with publisher(url, site.clip, form="rtsp", options=TCP) as encoder:
        assert watch(site.daemon, "changing", 2)[-1].size_px == (160, 120)
        encoder.send_signal(signal.SIGSTOP)
        lost = site.daemon.metric("streamd_camera_reconnects_total")
        wait_until(
            lambda: site.daemon.metric("streamd_camera_reconnects_total") > lost,
            what="the pause to be noticed",
        )
        encoder.send_signal(signal.SIGCONT)
        site.goes_on("changing")
    with publisher(url, site.clip, form="rtsp", options=TCP, speed=0.5):
        slow = site.goes_on("changing", count=3)
        assert {fragment.codecs for fragment in slow} == {(H264,)}
        # At half speed a fragment takes two seconds; its times keep to the clock all the same.
        assert abs(slow[-1].producer_seconds - slow[-1].server_seconds) < 5
    with publisher(url, site.other, form="rtsp", options=TCP):
        replaced = site.goes_on("changing", count=4)[-1]
        assert (replaced.codecs, replaced.size_px) == ((H265,), (320, 240))
