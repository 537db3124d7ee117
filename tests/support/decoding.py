"""Videos as GetMedia brings them, and what a decoder makes of them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from streamd.ingest.decode import DecodedFrame, Decoder
from streamd.kvs.fragments import FragmentEnded, FragmentReader, Packet
from tests.support.media import Video, get_media_body

__all__ = ["Event", "decode", "events_of", "run"]

Event = Packet | FragmentEnded


def events_of(video: Video, **how: Any) -> list[Event]:
    """Packets and fragment ends as GetMedia brings them."""
    found = FragmentReader().feed(get_media_body(video, **how))
    return [event for event in found if isinstance(event, Packet | FragmentEnded)]


def run(decoder: Decoder, events: Iterable[Event]) -> list[DecodedFrame]:
    """Decode and drain."""
    frames: list[DecodedFrame] = []
    for event in events:
        if isinstance(event, Packet):
            frames += decoder.decode([event])
        else:
            decoder.end_fragment(event.fragment)
    return frames + list(decoder.drain())


def decode(video: Video) -> list[DecodedFrame]:
    """All frames of a video."""
    return run(Decoder(), events_of(video))
