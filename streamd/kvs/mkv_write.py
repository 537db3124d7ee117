"""Matroska as producers send it: sizes of Segment and Cluster unknown, one block at a time.

Concatenate :func:`stream_header`, then per fragment :func:`cluster_start`, its
:func:`simple_block` s and, if wanted, :func:`tags`.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping
from typing import Final

from streamd.kvs import ebml
from streamd.kvs.ebml import element, size_bytes, text_element, uint_element
from streamd.kvs.mkv_parts import DEFAULT_TIMECODE_SCALE_NS, Track

__all__ = ["cluster_start", "simple_block", "stream_header", "tags"]

APP_NAME: Final = "streamd"
MIN_RELATIVE_TIMECODE: Final = -(1 << 15)
MAX_RELATIVE_TIMECODE: Final = (1 << 15) - 1
"""In ticks: with 1 ms, a cluster cannot be longer than 32.767 s."""

_UNKNOWN_SEGMENT: Final = ebml.SEGMENT.to_bytes(4) + b"\x01" + b"\xff" * 7
_UNKNOWN_CLUSTER: Final = ebml.CLUSTER.to_bytes(4) + b"\x01" + b"\xff" * 7
_SIMPLE_BLOCK: Final = ebml.SIMPLE_BLOCK.to_bytes(1)
_TRACK_TYPES: Final = {"video": 1, "audio": 2, "other": 0x21}


def stream_header(
    tracks: Iterable[Track], *, timecode_scale_ns: int = DEFAULT_TIMECODE_SCALE_NS
) -> bytes:
    """Return EBML header, Segment of unknown size, Info and Tracks."""
    head = b"".join((
        uint_element(ebml.EBML_VERSION, 1),
        uint_element(ebml.EBML_READ_VERSION, 1),
        uint_element(ebml.EBML_MAX_ID_LENGTH, 4),
        uint_element(ebml.EBML_MAX_SIZE_LENGTH, 8),
        text_element(ebml.DOC_TYPE, "matroska"),
        uint_element(ebml.DOC_TYPE_VERSION, 2),
        uint_element(ebml.DOC_TYPE_READ_VERSION, 2),
    ))  # fmt: skip
    info = b"".join((
        uint_element(ebml.TIMECODE_SCALE, timecode_scale_ns),
        text_element(ebml.MUXING_APP, APP_NAME),
        text_element(ebml.WRITING_APP, APP_NAME),
    ))  # fmt: skip
    return b"".join((
        element(ebml.EBML, head),
        _UNKNOWN_SEGMENT,
        element(ebml.INFO, info),
        element(ebml.TRACKS, b"".join(map(_track_entry, tracks))),
    ))  # fmt: skip


def _track_entry(track: Track) -> bytes:
    parts = [
        uint_element(ebml.TRACK_NUMBER, track.number),
        uint_element(ebml.TRACK_UID, track.uid or track.number),
        uint_element(ebml.TRACK_TYPE, _TRACK_TYPES[track.kind]),
        uint_element(ebml.FLAG_LACING, 0),
        text_element(ebml.CODEC_ID, track.codec_id),
    ]
    if track.name:
        parts.append(text_element(ebml.TRACK_NAME, track.name))
    if track.codec_private:
        parts.append(element(ebml.CODEC_PRIVATE, track.codec_private))
    if track.kind == "video":
        size = (
            uint_element(ebml.PIXEL_WIDTH, track.width_px),
            uint_element(ebml.PIXEL_HEIGHT, track.height_px),
        )
        parts.append(element(ebml.VIDEO, b"".join(size)))
    elif track.kind == "audio":
        sound = (
            element(ebml.SAMPLING_FREQUENCY, struct.pack(">d", track.sampling_hz)),
            uint_element(ebml.CHANNELS, track.channels),
        )
        parts.append(element(ebml.AUDIO, b"".join(sound)))
    if track.frame_prefix:
        parts.append(_header_stripping(track.frame_prefix))
    return element(ebml.TRACK_ENTRY, b"".join(parts))


def _header_stripping(prefix: bytes) -> bytes:
    compression = uint_element(ebml.CONTENT_COMP_ALGO, 3) + element(
        ebml.CONTENT_COMP_SETTINGS, prefix
    )
    encoding = element(ebml.CONTENT_COMPRESSION, compression)
    return element(ebml.CONTENT_ENCODINGS, element(ebml.CONTENT_ENCODING, encoding))


def cluster_start(timecode: int) -> bytes:
    """Return the beginning of a cluster of unknown size; ``timecode`` in ticks.

    Raises:
        ValueError: If the timecode is negative or needs more than 8 bytes.

    """
    if not 0 <= timecode < 1 << 64:
        raise ValueError(f"a cluster timecode must be 0 to 2**64 - 1, got {timecode}")
    return _UNKNOWN_CLUSTER + uint_element(ebml.TIMECODE, timecode, length=8)


def simple_block(
    track_number: int, relative_timecode: int, data: bytes | memoryview, *, keyframe: bool
) -> bytes:
    """Return a SimpleBlock with one frame; ``relative_timecode`` in ticks after the cluster's.

    Raises:
        ValueError: If the timecode does not fit its 16 bits.

    """
    if not MIN_RELATIVE_TIMECODE <= relative_timecode <= MAX_RELATIVE_TIMECODE:
        raise ValueError(
            f"a block must lie within {MIN_RELATIVE_TIMECODE} to {MAX_RELATIVE_TIMECODE} ticks "
            f"of its cluster, got {relative_timecode}"
        )
    number = size_bytes(track_number)
    head = number + relative_timecode.to_bytes(2, signed=True) + (b"\x80" if keyframe else b"\0")
    return b"".join((_SIMPLE_BLOCK, size_bytes(len(head) + len(data)), head, data))


def tags(values: Mapping[str, str]) -> bytes:
    """Return a Tags element with one Tag; sizes of 4 bytes, as in recordings of the service."""
    simple = (
        element(
            ebml.SIMPLE_TAG,
            text_element(ebml.TAG_NAME, name) + text_element(ebml.TAG_STRING, text),
            size_length=4,
        )
        for name, text in values.items()
    )
    return element(ebml.TAGS, element(ebml.TAG, b"".join(simple), size_length=4), size_length=4)
