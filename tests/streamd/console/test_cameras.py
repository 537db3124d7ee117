"""Cameras and streams as people ask about them."""

from __future__ import annotations

from typing import Any

import pytest

from streamd.config import CameraSettings
from streamd.console.cameras import FRESH_SECONDS, camera_source, stream_list
from streamd.gateway.errors import ArchiveError
from streamd.gateway.view import StreamState
from streamd.resources import VideoStream
from tests.support.clock import ManualClock

CLOCK = ManualClock()
NOW_MS = round(CLOCK.epoch() * 1000)


def _stream(name: str) -> VideoStream:
    return VideoStream(
        account_id="000000000000",
        name=name,
        arn=f"arn:aws:kinesisvideo:us-east-1:000000000000:stream/{name}/1",
        version="v",
        created_at=CLOCK.now(),
        data_retention_hours=24,
    )


async def _listed(
    state: StreamState | Exception,
    cameras: dict[str, CameraSettings] | None = None,
    *names: str,
    holders: dict[str, str] | None = None,
) -> list[dict[str, Any]]:
    async def state_of(stream: VideoStream) -> StreamState:
        del stream
        if isinstance(state, Exception):
            raise state
        return state

    return await stream_list(
        [_stream(name) for name in names],
        cameras or {},
        holders=holders or {},
        state_of=state_of,
        clock=CLOCK,
    )


@pytest.mark.parametrize(
    ("state", "name"),
    [
        (StreamState(is_here=True, is_sending=True, newest_ms=NOW_MS - 1000), "LIVE"),
        (
            StreamState(
                is_here=True, is_sending=True, newest_ms=NOW_MS - round(FRESH_SECONDS * 1000)
            ),
            "STALLED",
        ),
        (StreamState(is_here=True, newest_ms=NOW_MS), "OFFLINE"),
        (StreamState(is_here=True, is_sending=True), "CONNECTED"),
        (StreamState(is_here=True), "EMPTY"),
        (StreamState(is_here=False), "ELSEWHERE"),
        (ArchiveError("disk"), "UNKNOWN"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
async def test_states(state: StreamState | Exception, name: str) -> None:
    """Whether somebody sends, and how old the last video is, make the state."""
    (one,) = await _listed(state, {}, "door")
    assert one["State"] == name


async def test_cameras_stand_at_their_streams() -> None:
    """A camera of the settings is named with its stream; one never reached is listed, too."""
    cameras = {
        "front": CameraSettings.model_validate(
            {"url": "rtsp://u:p@cam:554/x?key=1", "stream": "door"}
        ),
        "attic": CameraSettings.model_validate({"url": "/dev/video0"}),
    }
    found = await _listed(
        StreamState(is_here=True), cameras, "door", "yard", holders={"front": "r"}
    )
    assert [(one["StreamName"], one["Camera"]) for one in found] == [
        (
            "attic",
            {"Name": "attic", "Source": "a file or device of the machine", "IsRelayed": False},
        ),
        ("door", {"Name": "front", "Source": "rtsp://cam:554", "IsRelayed": True}),
        ("yard", None),
    ]


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("rtsp://user:pass%40word@10.0.0.7/stream?token=abc", "rtsp://10.0.0.7"),
        ("rtmp://host:1935/live/secretkey", "rtmp://host:1935"),
        ("clip.mp4", "a file or device of the machine"),
        ("file:///home/me/clip.mp4", "a file or device of the machine"),
    ],
)
def test_an_address_tells_no_secret(url: str, told: str) -> None:
    """User, password, path and query of a camera's URL stay here."""
    assert camera_source(url) == told
