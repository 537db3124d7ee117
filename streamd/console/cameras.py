"""Cameras and video streams as people ask about them: does video come, and from where."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final
from urllib.parse import urlsplit

from streamd.clock import Clock
from streamd.config import CameraSettings
from streamd.errors import StreamdError
from streamd.gateway.view import StreamState
from streamd.resources import VideoStream

__all__ = ["camera_source", "stream_list"]

FRESH_SECONDS: Final = 30.0
"""AWS's longest fragment is 20 seconds."""
_LOCAL: Final = "a file or device of the machine"

StateOf = Callable[[VideoStream], Awaitable[StreamState]]


async def stream_list(
    streams: Sequence[VideoStream],
    cameras: Mapping[str, CameraSettings],
    *,
    holders: Mapping[str, str],
    state_of: StateOf,
    clock: Clock,
) -> list[dict[str, Any]]:
    """Return every stream and every camera, in order of the streams' names.

    Args:
        streams: Of the caller's account.
        cameras: Of the settings, where they belong to that account.
        holders: The replica that relays each camera.
        state_of: How a stream is.
        clock: Tells what is fresh.

    """
    by_stream = {settings.stream or name: name for name, settings in cameras.items()}
    found = [
        {
            "StreamName": stream.name,
            "StreamARN": stream.arn,
            "DataRetentionInHours": stream.data_retention_hours,
            "Camera": _camera(by_stream.pop(stream.name, None), cameras, holders),
            **await _state(stream, state_of, clock),
        }
        for stream in streams
    ]
    # A camera that was never reached has no stream yet.
    found += [
        {"StreamName": name, "Camera": _camera(camera, cameras, holders), "State": "EMPTY"}
        for name, camera in by_stream.items()
    ]
    return sorted(found, key=lambda one: str(one["StreamName"]))


def camera_source(url: str) -> str:
    """Return where a camera is, without what may be secret: user, password, path and query."""
    parts = urlsplit(url)
    if not parts.scheme or not parts.hostname:
        return _LOCAL
    port = f":{parts.port}" if parts.port else ""
    return f"{parts.scheme}://{parts.hostname}{port}"


def _camera(
    name: str | None, cameras: Mapping[str, CameraSettings], holders: Mapping[str, str]
) -> dict[str, Any] | None:
    if name is None:
        return None
    try:
        source = camera_source(cameras[name].url.get_secret_value())
    except ValueError:  # a port that is no number
        source = "an address that cannot be read"
    return {"Name": name, "Source": source, "IsRelayed": name in holders}


async def _state(stream: VideoStream, state_of: StateOf, clock: Clock) -> dict[str, Any]:
    try:
        state = await state_of(stream)
    except StreamdError:
        return {"State": "UNKNOWN"}
    if not state.is_here:
        return {"State": "ELSEWHERE"}
    if state.newest_ms is None:
        return {"State": "CONNECTED" if state.is_sending else "EMPTY"}
    is_fresh = clock.epoch() - state.newest_ms / 1000 < FRESH_SECONDS
    name = ("LIVE" if is_fresh else "STALLED") if state.is_sending else "OFFLINE"
    return {"State": name, "LastMediaAt": state.newest_ms / 1000}
