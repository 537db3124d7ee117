"""Media second by second, for the tests of GetMedia."""

from __future__ import annotations

from datetime import timedelta

from streamd.clock import utc_from_epoch
from streamd.kvs import mkv_write
from streamd.kvs.fragments import (
    FragmentReader,
    FragmentStarted,
)
from streamd.kvs.mkv import Track
from tests.support.gateway import Server
from tests.support.media import START_MS

TRACK = Track(number=1, kind="video", codec_id="V_MPEG4/ISO/AVC", width_px=64, height_px=48)
HEADER = mkv_write.stream_header([TRACK])
START = utc_from_epoch(START_MS / 1000)
SECOND = timedelta(seconds=1)


def block(offset_ms: int, *, size: int = 200) -> bytes:
    return mkv_write.simple_block(1, offset_ms, b"v" * size, keyframe=not offset_ms)


def cluster(second: int, *, size: int = 200) -> bytes:
    """One second of media, second by second."""
    start = mkv_write.cluster_start(START_MS + second * 1000)
    return start + b"".join(block(250 * index, size=size) for index in range(4))


def fragments(body: bytes) -> list[FragmentStarted]:
    reader = FragmentReader()
    return [event for event in reader.feed(body) if isinstance(event, FragmentStarted)]


def seconds(body: bytes) -> list[int]:
    """Which fragments are in a body."""
    return [(event.fragment.producer_timestamp_ms - START_MS) // 1000 for event in fragments(body)]


async def archived(server: Server, count: int = 4, *, hours: int = 24) -> list[str]:
    """Send and archive fragments; returns their numbers."""
    await server.create(hours=hours)
    acks = await server.upload(HEADER + b"".join(cluster(n) for n in range(count)))
    return [ack["FragmentNumber"] for ack in acks if ack["EventType"] == "RECEIVED"]
