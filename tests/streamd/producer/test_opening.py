"""What a source's errors tell the user, and which sources are live."""

from __future__ import annotations

import socket
import time
from pathlib import Path

import pytest

from streamd.producer.errors import SourceError
from streamd.producer.opening import (
    SourceOptions,
    is_live,
    is_segmented,
    mask_credentials,
    open_container,
)
from tests.support.http_files import http_files
from tests.support.media import encode, moving_shapes
from tests.support.rtsp_camera import rtsp_camera
from tests.support.video_files import write_hls, write_video

VIDEO = encode(moving_shapes(20), fps=10, gop=10)
QUICK = SourceOptions(open_timeout_seconds=1.0, read_timeout_seconds=1.0)


def error_of(url: str) -> SourceError:
    with pytest.raises(SourceError) as caught:
        open_container(url, QUICK)
    return caught.value


@pytest.mark.parametrize(
    ("url", "live"),
    [
        ("rtsp://camera/1", True),
        ("RTSPS://camera/1", True),
        ("/dev/video0", True),
        ("udp://0.0.0.0:5000", True),
        ("clip.mp4", False),
        ("file:///tmp/clip.mp4", False),
        ("https://example.com/clip.mp4", False),
    ],
)
def test_live_sources(url: str, live: bool) -> None:
    """Cameras and devices keep their own pace, files do not."""
    assert is_live(url) is live


def test_credentials_are_masked() -> None:
    """A camera's password is not shown."""
    assert mask_credentials("rtsp://admin:hush@camera:554/1") == "rtsp://***@camera:554/1"
    assert mask_credentials("clip.mp4") == "clip.mp4"
    url = "rtmp://camera/live?user=admin&pwd=hush"
    assert mask_credentials(url) == "rtmp://camera/live?user=***&pwd=***"


@pytest.mark.parametrize("ended", [True, False], ids=["a recording", "a live playlist"])
def test_http_is_live_where_it_has_no_end(tmp_path: Path, *, ended: bool) -> None:
    """A playlist with an end is a file; one without is a live source that comes in bursts."""
    playlist = write_hls(tmp_path, ended=ended)
    with http_files(tmp_path) as url, open_container(f"{url}/{playlist.name}", QUICK) as found:
        assert is_live(url, found) is not ended
        assert is_segmented(found)


def test_a_file_over_http_is_not_live(tmp_path: Path) -> None:
    """Its length is known."""
    write_video(tmp_path / "clip.mp4")
    with http_files(tmp_path) as url, open_container(f"{url}/clip.mp4", QUICK) as found:
        assert not is_live(url, found)
        assert not is_segmented(found)


@pytest.mark.parametrize(
    ("code", "says", "next_step"),
    [
        ("401 Unauthorized", "asks for a password", "user and password into the URL"),
        ("403 Forbidden", "forbidden", "right to watch"),
        ("404 Not Found", "no such stream", "check the path"),
    ],
)
def test_a_refusal_says_the_next_step(code: str, says: str, next_step: str) -> None:
    """Each answer of a camera has its own way out, and the password stays hidden."""
    with rtsp_camera(VIDEO) as camera:
        camera.refusal = code
        error = error_of(camera.url.replace("rtsp://", "rtsp://me:hush@"))
    assert says in str(error)
    assert next_step in (error.hint or "")
    assert "hush" not in f"{error} {error.hint}"


def test_a_closed_port(unused_tcp_port: int) -> None:
    """Nobody listens: the port or the camera's service is wrong."""
    error = error_of(f"rtsp://127.0.0.1:{unused_tcp_port}/live")
    assert "refused" in str(error)
    assert "port" in (error.hint or "")


def test_a_name_without_an_address() -> None:
    """libavformat says "Input/output error"; the user reads what it means."""
    error = error_of("rtsp://camera.invalid/live")
    assert "no address" in str(error)
    assert "host name" in (error.hint or "")


@pytest.mark.parametrize("scheme", ["rtsp", "rtmp", "http"])
def test_a_server_that_never_answers_is_given_up(scheme: str) -> None:
    """It accepts the connection and says nothing: the time limit ends the wait."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        started = time.monotonic()
        error = error_of(f"{scheme}://127.0.0.1:{server.getsockname()[1]}/live")
    assert time.monotonic() - started < 10
    assert "silent" in str(error) or "not a video" in str(error)


def test_an_unknown_kind_of_url() -> None:
    """The kinds there are, are named."""
    error = error_of("nosuch://127.0.0.1/1")
    assert "rtsp://" in (error.hint or "")


def test_a_missing_file(tmp_path: Path) -> None:
    """Files are looked at before libavformat is asked."""
    assert "does not exist" in str(error_of(str(tmp_path / "no.mp4")))
