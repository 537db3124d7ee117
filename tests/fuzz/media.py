"""Small valid media for the corpora, made by ``tests.support``."""

from __future__ import annotations

import functools
from collections.abc import Iterator

from streamd.kvs import ebml, mkv_write, tags
from streamd.kvs.mkv import Track
from tests.support.media import (
    Video,
    encode,
    get_media_body,
    moving_shapes,
    put_media_body,
)

__all__ = ["bodies", "videos"]

START_MS = 1_700_000_000_000


@functools.cache
def videos() -> tuple[Video, ...]:
    """Return videos of a few hundred bytes: H.264 in both forms, H.265."""
    pictures = list(moving_shapes(3, width_px=64, height_px=48))
    return (
        encode(pictures, gop=2),
        encode(pictures, gop=2, annexb=True),
        encode(pictures, gop=3, codec="hevc"),
    )


def bodies() -> Iterator[bytes]:
    """Yield uploads and GetMedia answers with every element they may hold."""
    for video in videos():
        yield put_media_body(video, fragment_tags={"door": "open"})
        yield get_media_body(video)
    sound = Track(number=2, kind="audio", codec_id="A_AAC", sampling_hz=8000.0, channels=1)
    header = mkv_write.stream_header([videos()[0].track, sound], timecode_scale_ns=100_000)
    yield b"".join(
        (
            header,
            mkv_write.tags({"before": "x", "AWS_KINESISVIDEO_ERROR_ID": "5"}),
            mkv_write.cluster_start(START_MS),
            mkv_write.simple_block(1, 0, b"picture", keyframe=True),
            # Two laced frames; a group with a reference.
            b"\xa3\x8b\x82\x00\x05\x82\x01\x03abcdef",
            b"\xa0\x8c\xa1\x87\x82\x00\x07\x00abc\xfb\x81\x01",
            mkv_write.tags({tags.END_OF_FRAGMENT: ""}),
            b"\xec\x82\0\0",
        )
    )
    early = header.index(ebml.INFO.to_bytes(4))
    forged = mkv_write.tags({"AWS_KINESISVIDEO_ERROR_ID": "5", "mine": "x"})
    yield (
        header[:early]
        + forged
        + header[early:]
        + mkv_write.cluster_start(START_MS)
        + (
            mkv_write.simple_block(1, 0, b"picture", keyframe=True)
            + mkv_write.simple_block(2, 0, b"sound", keyframe=True)
        )
    )
    # Sizes that are known.
    yield b"\x1f\x43\xb6\x75\x8a".join((header, b"\xe7\x81\x05\xa3\x85\x81\x00\x00\x80x"))
    yield get_media_body(videos()[0])[:300] + mkv_write.tags(
        tags.error_tags("9" * 47, error_id=5000, error_code="INTERNAL_ERROR")
    )
