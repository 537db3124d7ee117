"""What a consumer sees of a stream: its fragments, live, through GetMedia and boto3."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field

from botocore.exceptions import ClientError, ReadTimeoutError

from streamd.kvs import tags
from streamd.kvs.mkv import Block, MkvParser, StreamHeader, Tags
from streamd.kvs.mkv_parts import Track
from tests.support.daemon import Daemon

__all__ = ["SeenFragment", "watch"]

_CHUNK = 512
"""Small: a read waits until it has as much."""


@dataclass(kw_only=True)
class SeenFragment:
    """One complete fragment."""

    producer_seconds: float
    server_seconds: float
    codecs: tuple[str, ...]
    """Codec of each track, in order."""
    size_px: tuple[int | None, int | None]
    frames: dict[int, int] = field(default_factory=dict)
    """Frames by track number."""


def watch(
    daemon: Daemon, stream: str, count: int, *, after: float | None = None, seconds: float = 40.0
) -> list[SeenFragment]:
    """Return the next ``count`` complete fragments; ``after``: of later producer time, archived too.

    Raises:
        AssertionError: If they do not come in time.

    """
    seen: list[SeenFragment] = []
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        for fragment in _fragments(daemon, stream, after, deadline):
            if after is None or fragment.producer_seconds > after:
                seen.append(fragment)
                after = fragment.producer_seconds
            if len(seen) >= count:
                return seen
        time.sleep(0.2)
    raise AssertionError(f"{len(seen)} of {count} fragments of {stream} came in {seconds} s")


def _fragments(
    daemon: Daemon, stream: str, after: float | None, deadline: float
) -> Iterator[SeenFragment]:
    client = daemon.client(
        "kinesis-video-media", read_timeout=max(1.0, deadline - time.monotonic())
    )
    selector: dict[str, object] = {"StartSelectorType": "NOW"}
    if after is not None:
        selector = {"StartSelectorType": "PRODUCER_TIMESTAMP", "StartTimestamp": after}
    try:
        payload = client.get_media(StreamName=stream, StartSelector=selector)["Payload"]
    except (ClientError, ReadTimeoutError):
        return  # not made yet
    parser = MkvParser()
    current: SeenFragment | None = None
    tracks: tuple[Track, ...] = ()
    try:
        while data := payload.read(_CHUNK):
            for event in parser.feed(data):
                if isinstance(event, StreamHeader):
                    tracks = event.tracks
                elif isinstance(event, Tags) and tags.SERVER_TIMESTAMP in event.values:
                    video = tracks[0]
                    current = SeenFragment(
                        producer_seconds=float(event.values[tags.PRODUCER_TIMESTAMP]),
                        server_seconds=float(event.values[tags.SERVER_TIMESTAMP]),
                        codecs=tuple(track.codec_id for track in tracks),
                        size_px=(video.width_px, video.height_px),
                    )
                elif isinstance(event, Block) and current is not None:
                    number = event.track_number
                    current.frames[number] = current.frames.get(number, 0) + len(event.frames)
                elif isinstance(event, Tags) and current is not None:
                    yield current
                    current = None
    except ReadTimeoutError:
        return
    finally:
        payload.close()
