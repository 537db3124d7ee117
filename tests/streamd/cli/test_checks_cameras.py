"""What doctor finds of cameras: tried in parallel, or asked of the daemon that relays them."""

from __future__ import annotations

import socket
import time
from pathlib import Path
from typing import Any

import pytest

from streamd.cli.checks_cameras import check_cameras
from streamd.cli.findings import Finding, Verdict, run_check
from tests.support.checks import only, settings
from tests.support.http_files import http_files
from tests.support.media import encode, moving_shapes
from tests.support.rtsp_camera import rtsp_camera
from tests.support.video_files import write_video

VIDEO = encode(moving_shapes(20), fps=10, gop=10)


def found(tmp_path: Path, url: str, **more: Any) -> Finding:
    return only(check_cameras, settings(tmp_path, cameras={"porch": {"url": url, **more}}))


def test_a_camera_that_sends(tmp_path: Path) -> None:
    """Codec, size, rate, sound and clock are told."""
    with rtsp_camera(VIDEO, password="swordfish") as camera:
        camera.clock_ahead_seconds = 0.0
        finding = found(tmp_path, camera.url)
    assert finding.verdict is Verdict.GOOD
    assert finding.title == "camera porch"
    assert finding.detail.startswith("h264 320x240, 10 fps, no sound, clock ")


def test_a_wrong_clock_is_notable(tmp_path: Path) -> None:
    """A camera an hour behind works, with the server's clock."""
    with rtsp_camera(VIDEO) as camera:
        camera.clock_ahead_seconds = -3600.0
        finding = found(tmp_path, camera.url)
    assert finding.verdict is Verdict.NOTABLE
    assert "NTP" in (finding.next_step or "")


@pytest.mark.parametrize(
    ("answer", "next_step"),
    [
        ("401 Unauthorized", "user and password into the URL"),
        ("403 Forbidden", "right to watch"),
        ("404 Not Found", "check the path"),
    ],
)
def test_refusals(tmp_path: Path, answer: str, next_step: str) -> None:
    """Each refusal has its own next step, and the password stays unsaid."""
    with rtsp_camera(VIDEO) as camera:
        camera.refusal = answer
        finding = found(tmp_path, camera.url.replace("rtsp://", "rtsp://me:hush@"))
    assert finding.verdict is Verdict.BROKEN
    assert next_step in (finding.next_step or "")
    assert "hush" not in finding.detail


def test_cameras_are_tried_at_once(tmp_path: Path, unused_tcp_port: int) -> None:
    """Silent ones take one time limit together; findings keep the order of the settings."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"rtsp://127.0.0.1:{silent.getsockname()[1]}/1"
        limits = {"open_timeout_seconds": 1, "read_timeout_seconds": 1}
        cameras = {f"silent-{index}": {"url": url, **limits} for index in range(8)}
        cameras["closed"] = {"url": f"rtsp://127.0.0.1:{unused_tcp_port}/1"}
        started = time.monotonic()
        findings = run_check(check_cameras, settings(tmp_path, cameras=cameras))
    assert time.monotonic() - started < 7
    assert [finding.title for finding in findings] == [f"camera {name}" for name in cameras]
    assert {finding.verdict for finding in findings} == {Verdict.BROKEN}
    assert "port" in (findings[-1].next_step or "")


def test_other_codecs_are_notable(tmp_path: Path) -> None:
    """Video that must be encoded works, and costs."""
    clip = write_video(tmp_path / "clip.avi", encoder="mjpeg")
    assert found(tmp_path, str(clip)).verdict is Verdict.NOTABLE
    assert found(tmp_path, str(clip), transcode=True).verdict is Verdict.GOOD


def test_sound_that_is_kept(tmp_path: Path) -> None:
    """A file is a camera, too; its sound is told."""
    clip = str(write_video(tmp_path / "clip.mp4", with_audio=True))
    assert "aac sound left out" in found(tmp_path, clip).detail
    assert "aac sound kept" in found(tmp_path, clip, audio=True).detail


def test_the_daemon_is_asked_for_what_it_relays(tmp_path: Path) -> None:
    """A camera that is up is not opened again; one that is not is tried for the reason."""
    (tmp_path / "metrics").write_text(
        '# TYPE streamd_camera_up gauge\nstreamd_camera_up{camera="porch"} 1.0\n'
        'streamd_camera_up{camera="yard"} 0.0\n'
        "# TYPE streamd_camera_frames_total counter\n"
        'streamd_camera_frames_total{camera="porch"} 1234.0\n'
        "# TYPE streamd_camera_clock_offset_seconds gauge\n"
        'streamd_camera_clock_offset_seconds{camera="porch"} -0.25\n'
        '# TYPE streamd_camera_clock_used gauge\nstreamd_camera_clock_used{camera="porch"} 1.0\n'
    )
    with http_files(tmp_path) as url:
        of = settings(
            tmp_path,
            server={"listen": url.removeprefix("http://")},
            cameras={
                "porch": {"url": str(tmp_path / "never-opened.mp4")},
                "yard": {"url": str(tmp_path / "missing.mp4")},
            },
        )
        porch, yard = run_check(check_cameras, of)
    assert porch.verdict is Verdict.GOOD
    assert (
        porch.detail == "the daemon relays it: 1234 frames so far, its clock is -0.2 s off and used"
    )
    assert yard.verdict is Verdict.BROKEN
    assert "does not exist" in yard.detail


def test_no_cameras_no_findings(tmp_path: Path) -> None:
    """Nothing is said of what is not there."""
    assert run_check(check_cameras, settings(tmp_path)) == []
