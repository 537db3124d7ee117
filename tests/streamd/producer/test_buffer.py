"""The buffer between source and connection."""

from __future__ import annotations

import asyncio

import pytest

from streamd.kvs.mkv import ClusterStart, MkvParser, StreamHeader
from streamd.kvs.mkv_parts import Track
from streamd.kvs.mkv_write import cluster_start, simple_block
from streamd.producer.buffer import FragmentBuffer
from streamd.producer.fragments import Fragment

NARROW = (Track(number=1, kind="video", codec_id="V_MPEG4/ISO/AVC", width_px=2, height_px=2),)
WIDE = (Track(number=1, kind="video", codec_id="V_MPEG4/ISO/AVC", width_px=4, height_px=4),)


def add(
    buffer: FragmentBuffer, timecode_ms: int, *, tracks: tuple[Track, ...] = NARROW, size: int = 10
) -> Fragment:
    """Add a complete fragment."""
    fragment = Fragment(tracks=tracks, timecode_ms=timecode_ms, starts_with_keyframe=True)
    fragment.add(cluster_start(timecode_ms))
    fragment.add(simple_block(1, 0, b"x" * size, keyframe=True))
    fragment.complete = True
    buffer.add(fragment)
    return fragment


async def document(buffer: FragmentBuffer) -> list[int]:
    """Read one document and return its cluster timecodes."""
    parser = MkvParser()
    events = parser.feed(b"".join([chunk async for chunk in buffer.document()]))
    parser.close()
    assert isinstance(events[0], StreamHeader)
    return [event.timecode for event in events if isinstance(event, ClusterStart)]


async def test_a_document_begins_with_what_is_not_acknowledged() -> None:
    """Each document starts over at the oldest fragment that is not safe."""
    buffer = FragmentBuffer()
    for timecode in (1000, 2000, 3000):
        add(buffer, timecode)
    buffer.close()
    assert await document(buffer) == [1000, 2000, 3000]
    assert buffer.acknowledge(1000)
    assert await document(buffer) == [2000, 3000]


async def test_acknowledgements_may_come_in_any_order() -> None:
    """A fragment is let go when it and all before it are safe."""
    buffer = FragmentBuffer()
    for timecode in (1000, 2000):
        add(buffer, timecode)
    buffer.close()
    buffer.acknowledge(2000)
    assert buffer.pending == 2
    buffer.acknowledge(1000)
    assert buffer.is_drained


async def test_strange_acknowledgements_change_nothing() -> None:
    """An unknown timecode, or one of a fragment still growing, is not taken."""
    buffer = FragmentBuffer()
    fragment = add(buffer, 1000)
    fragment.complete = False
    assert not buffer.acknowledge(1000)
    assert not buffer.acknowledge(5)
    assert buffer.pending == 1


async def test_bytes_come_as_they_are_added() -> None:
    """A frame goes out while its fragment still grows."""
    buffer = FragmentBuffer()
    fragment = add(buffer, 1000)
    fragment.complete = False
    reader = buffer.document()
    await anext(reader)  # the header
    first = await anext(reader)
    waiting = asyncio.ensure_future(anext(reader))
    await asyncio.sleep(0)
    assert not waiting.done()
    block = simple_block(1, 40, b"next", keyframe=False)
    fragment.add(block)
    buffer.add(fragment)
    assert await waiting == block
    assert first.endswith(b"x" * 10)
    fragment.complete = True
    buffer.close()
    assert [chunk async for chunk in reader] == []


async def test_other_tracks_need_another_document() -> None:
    """A document ends before a fragment with other tracks; the next one begins with it."""
    buffer = FragmentBuffer()
    add(buffer, 1000)
    add(buffer, 2000, tracks=WIDE)
    buffer.close()
    assert await document(buffer) == [1000]
    buffer.acknowledge(1000)
    assert await document(buffer) == [2000]


async def test_a_full_buffer_makes_a_file_wait() -> None:
    """room() returns only when an acknowledgement has made some."""
    buffer = FragmentBuffer(max_bytes=100)
    add(buffer, 1000, size=80)
    add(buffer, 2000, size=80)
    waiting = asyncio.ensure_future(buffer.room())
    await asyncio.sleep(0)
    assert not waiting.done()
    buffer.acknowledge(1000)
    await waiting
    assert buffer.dropped == 0


async def test_a_full_buffer_drops_the_oldest_of_a_camera() -> None:
    """A camera cannot wait: the oldest goes, the newest always stays."""
    buffer = FragmentBuffer(max_bytes=100, drop_oldest=True)
    for timecode in (1000, 2000, 3000):
        add(buffer, timecode, size=80)
    await buffer.room()
    buffer.close()
    assert buffer.dropped == 2
    assert await document(buffer) == [3000]


@pytest.mark.parametrize("drop_oldest", [True, False])
async def test_one_fragment_may_be_larger_than_the_buffer(drop_oldest: bool) -> None:
    """The fragment being made is never refused."""
    buffer = FragmentBuffer(max_bytes=10, drop_oldest=drop_oldest)
    add(buffer, 1000, size=500)
    await buffer.room()
    assert buffer.pending == 1
