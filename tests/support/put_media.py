"""Media of a producer, and the acknowledgements it gets."""

from __future__ import annotations

from typing import Any

from streamd.kvs import mkv_write
from streamd.kvs.mkv import Track

VIDEO = Track(number=1, kind="video", codec_id="V_MPEG4/ISO/AVC", width_px=64, height_px=48)
SOUND = Track(number=2, kind="audio", codec_id="A_AAC")
HEADER = mkv_write.stream_header([VIDEO])


def cluster(at_ms: int, *, frames: int = 3, size: int = 100, track: int = 1) -> bytes:
    blocks = (
        mkv_write.simple_block(track, 40 * index, bytes([index % 256]) * size, keyframe=not index)
        for index in range(frames)
    )
    return mkv_write.cluster_start(at_ms) + b"".join(blocks)


def kinds(acks: list[dict[str, Any]]) -> list[str]:
    return [ack["EventType"] for ack in acks]
