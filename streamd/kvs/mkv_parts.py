"""What single Matroska elements say: EBML header, Info, Tracks, Tags, blocks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final, Literal

from streamd.kvs import ebml
from streamd.kvs.ebml import (
    MkvError,
    child_spans,
    children,
    float_value,
    text_value,
    uint_value,
    vint,
)

__all__ = [
    "KEYFRAME",
    "LACING",
    "BlockParts",
    "Track",
    "check_ebml_header",
    "read_block",
    "read_block_group",
    "read_tags",
    "read_timecode_scale",
    "read_tracks",
]

DEFAULT_TIMECODE_SCALE_NS: Final = 1_000_000
MAX_TIMECODE_SCALE_NS: Final = 1_000_000_000
"""One second (SDK limit)."""
MAX_TRACKS: Final = 127

KEYFRAME: Final = 0x80
LACING: Final = 0x06
"""Flags of a block."""
_XIPH, _FIXED, _EBML = 0x02, 0x04, 0x06
_HEADER_STRIPPING = 3
_KINDS: Final[dict[int, Literal["video", "audio"]]] = {1: "video", 2: "audio"}

Span = tuple[int, int]


@dataclass(frozen=True, kw_only=True, slots=True)
class Track:
    """One entry of Tracks."""

    number: int
    kind: Literal["video", "audio", "other"]
    codec_id: str
    codec_private: bytes = field(default=b"", repr=False)
    uid: int = 0
    name: str = ""
    width_px: int = 0
    height_px: int = 0
    sampling_hz: float = 0.0
    channels: int = 0
    frame_prefix: bytes = b""
    """Bytes stripped from the front of every frame (ContentCompSettings); Block puts them back."""


@dataclass(frozen=True, slots=True)
class BlockParts:
    """What the head of a block says, and where its frames lie (offsets into its payload)."""

    track_number: int
    relative_timecode: int
    keyframe: bool
    spans: tuple[Span, ...]


def check_ebml_header(payload: memoryview) -> None:
    """Refuse a document that is not Matroska or WebM, or needs a reader we are not.

    Raises:
        MkvError: With the value that cannot be read.

    """
    doc_type, limits = "matroska", {ebml.EBML_MAX_ID_LENGTH: 4, ebml.EBML_MAX_SIZE_LENGTH: 8}
    for identity, value in children(payload):
        if identity == ebml.DOC_TYPE:
            doc_type = text_value(value)
        elif identity in limits and uint_value(value) > limits[identity]:
            raise MkvError(f"EBML header allows lengths of {uint_value(value)} bytes")
        elif identity == ebml.EBML_READ_VERSION and uint_value(value) > 1:
            raise MkvError(f"EBML version {uint_value(value)}, only 1 can be read")
    if doc_type not in ("matroska", "webm"):
        raise MkvError(f"a document of type {doc_type!r} is not Matroska")


def read_timecode_scale(info: memoryview) -> int:
    """Return the length of a tick in nanoseconds from an Info payload."""
    scale = DEFAULT_TIMECODE_SCALE_NS
    for identity, value in children(info):
        if identity == ebml.TIMECODE_SCALE:
            scale = uint_value(value)
    if not 0 < scale <= MAX_TIMECODE_SCALE_NS:
        raise MkvError(f"a timecode scale of {scale} ns, must be 1 to {MAX_TIMECODE_SCALE_NS}")
    return scale


def read_tracks(payload: memoryview) -> tuple[Track, ...]:
    """Return the entries of a Tracks payload.

    Raises:
        MkvError: If there is none, or an entry has no or another's number, or is compressed.

    """
    tracks = tuple(
        _track(value) for identity, value in children(payload) if identity == ebml.TRACK_ENTRY
    )
    numbers = {track.number for track in tracks}
    if not 0 < len(tracks) <= MAX_TRACKS:
        raise MkvError(f"{len(tracks)} tracks, must be 1 to {MAX_TRACKS}")
    if len(numbers) < len(tracks) or 0 in numbers:
        raise MkvError(f"track numbers {[t.number for t in tracks]}, must differ and not be 0")
    return tracks


def _track(payload: memoryview) -> Track:
    entry: dict[int, memoryview] = dict(children(payload))

    def number(identity: int) -> int:
        return uint_value(entry.get(identity, memoryview(b"")))

    def text(identity: int) -> str:
        return text_value(entry.get(identity, memoryview(b"")))

    video = dict(children(entry.get(ebml.VIDEO, memoryview(b""))))
    audio = dict(children(entry.get(ebml.AUDIO, memoryview(b""))))
    return Track(
        number=number(ebml.TRACK_NUMBER),
        kind=_KINDS.get(number(ebml.TRACK_TYPE), "other"),
        codec_id=text(ebml.CODEC_ID),
        codec_private=bytes(entry.get(ebml.CODEC_PRIVATE, b"")),
        uid=number(ebml.TRACK_UID),
        name=text(ebml.TRACK_NAME),
        width_px=uint_value(video.get(ebml.PIXEL_WIDTH, memoryview(b""))),
        height_px=uint_value(video.get(ebml.PIXEL_HEIGHT, memoryview(b""))),
        sampling_hz=float_value(audio.get(ebml.SAMPLING_FREQUENCY, memoryview(b""))),
        channels=uint_value(audio.get(ebml.CHANNELS, memoryview(b""))),
        frame_prefix=_frame_prefix(entry.get(ebml.CONTENT_ENCODINGS, memoryview(b""))),
    )


def _frame_prefix(encodings: memoryview) -> bytes:
    prefix = b""
    for identity, encoding in children(encodings):
        if identity != ebml.CONTENT_ENCODING:
            continue
        parts = dict(children(encoding))
        if uint_value(parts.get(ebml.CONTENT_ENCODING_TYPE, memoryview(b""))) != 0:
            raise MkvError("an encrypted track")
        scope = parts.get(ebml.CONTENT_ENCODING_SCOPE)
        if scope is not None and uint_value(scope) != 1:  # 1: the frames' contents
            raise MkvError("a track whose header is compressed")
        compression = dict(children(parts.get(ebml.CONTENT_COMPRESSION, memoryview(b""))))
        algorithm = uint_value(compression.get(ebml.CONTENT_COMP_ALGO, memoryview(b"")))
        if algorithm != _HEADER_STRIPPING:
            raise MkvError(f"a track compressed with algorithm {algorithm}, only 3 can be read")
        prefix = bytes(compression.get(ebml.CONTENT_COMP_SETTINGS, b"")) + prefix
    return prefix


def read_tags(payload: memoryview) -> dict[str, str]:
    """Return names and texts of a Tags payload; a name that comes twice keeps its last text."""
    values: dict[str, str] = {}
    for identity, tag in children(payload):
        if identity != ebml.TAG:
            continue
        for kind, simple in children(tag):
            if kind == ebml.SIMPLE_TAG:
                parts = dict(children(simple))
                if ebml.TAG_NAME in parts:
                    text = text_value(parts.get(ebml.TAG_STRING, memoryview(b"")))
                    values[text_value(parts[ebml.TAG_NAME])] = text
    return values


def read_block_group(payload: memoryview) -> tuple[BlockParts, int]:
    """Return the Block in a BlockGroup payload and the offset of that Block's payload.

    A group is a keyframe when it references no other block (RFC 9559, 10.1).
    """
    block: Span | None = None
    keyframe = True
    for identity, start, end in child_spans(payload):
        if identity == ebml.BLOCK:
            if block is not None:
                raise MkvError("a block group with two blocks")
            block = (start, end)
        elif identity == ebml.REFERENCE_BLOCK:
            keyframe = False
    if block is None:
        raise MkvError("a block group without a block")
    parts = read_block(payload[block[0] : block[1]])
    return BlockParts(parts.track_number, parts.relative_timecode, keyframe, parts.spans), block[0]


def read_block(payload: memoryview) -> BlockParts:
    """Read a SimpleBlock's or Block's head and lacing; ``spans`` are offsets into the payload."""
    head = vint(payload, 0)
    if head is None or head[0] <= 0 or len(payload) < head[1] + 3:
        raise MkvError(f"a block of {len(payload)} bytes without a whole head")
    track_number, pos = head
    relative = int.from_bytes(payload[pos : pos + 2], signed=True)
    flags = payload[pos + 2]
    pos += 3
    lacing = flags & LACING
    spans = _laced(payload, pos, lacing) if lacing else ((pos, len(payload)),)
    return BlockParts(track_number, relative, bool(flags & KEYFRAME), spans)


def _laced(payload: memoryview, pos: int, lacing: int) -> tuple[Span, ...]:
    if pos >= len(payload):
        raise MkvError("a laced block without a frame count")
    count, pos = payload[pos] + 1, pos + 1
    if lacing == _FIXED:
        size, rest = divmod(len(payload) - pos, count)
        if rest:
            raise MkvError(f"{len(payload) - pos} bytes laced into {count} equal frames")
        return tuple((pos + i * size, pos + (i + 1) * size) for i in range(count))
    read = _xiph_sizes if lacing == _XIPH else _ebml_sizes
    sizes, pos = read(payload, pos, count - 1)
    last = len(payload) - pos - sum(sizes)
    if last < 0 or min(sizes, default=0) < 0:
        raise MkvError(f"a block of {len(payload)} bytes laced into frames of {sizes}")
    return tuple(_spans(pos, [*sizes, last]))


def _spans(pos: int, sizes: list[int]) -> Iterator[Span]:
    for size in sizes:
        yield pos, pos + size
        pos += size


def _xiph_sizes(payload: memoryview, pos: int, count: int) -> tuple[list[int], int]:
    sizes = [0] * count
    for index in range(count):
        while True:
            if pos >= len(payload):
                raise MkvError("a lacing that is cut off")
            step, pos = payload[pos], pos + 1
            sizes[index] += step
            if step != 0xFF:
                break
    return sizes, pos


def _ebml_sizes(payload: memoryview, pos: int, count: int) -> tuple[list[int], int]:
    sizes: list[int] = []
    for index in range(count):
        start = pos
        item = vint(payload, pos)
        if item is None or item[0] < 0:
            raise MkvError("a lacing that is cut off")
        value, pos = item
        if index == 0:
            sizes.append(value)
        else:  # a difference, stored with an offset that makes it positive
            sizes.append(sizes[-1] + value - ((1 << (7 * (pos - start) - 1)) - 1))
    return sizes, pos
