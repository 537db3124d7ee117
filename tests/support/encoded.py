"""Encoded video whose quantisers are known, and damage to it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray

from streamd.gate.errors import HeadError
from streamd.gate.heads import Heads, PictureHead
from tests.support.media import Video, moving_shapes

__all__ = ["damaged", "grainy", "heads_of", "letters", "read_some"]


def grainy(count: int, *, width_px: int = 192, height_px: int = 144) -> Iterator[NDArray[np.uint8]]:
    """Moving shapes under sensor noise, so that every picture needs bits."""
    random = np.random.default_rng(0)
    for index, picture in enumerate(moving_shapes(count, width_px=width_px, height_px=height_px)):
        fade = 1 - 0.3 * (index % 10) / 10  # gives weighted prediction something to do
        noise = random.integers(-10, 11, picture.shape)
        yield np.clip(picture * fade + noise, 0, 255).astype(np.uint8)


def heads_of(video: Video, heads: Heads) -> list[PictureHead]:
    """The heads of all packets."""
    return [heads.read(packet.data) for packet in video.packets]


def letters(found: list[PictureHead]) -> str:
    """Kinds of pictures; ``*`` before an entry, ``d`` behind a disposable one."""
    return "".join(
        "*" * head.is_entry + head.kind.value + "d" * head.is_disposable for head in found
    )


@st.composite
def damaged(draw: st.DrawFn, data: bytes) -> bytes:
    """The bytes with some overwritten, cut off or put in."""
    broken = bytearray(data)
    for _ in range(draw(st.integers(1, 6))):
        at = draw(st.integers(0, min(len(broken), 80)))
        broken[at : at + draw(st.integers(0, 3))] = draw(st.binary(max_size=4))
    return (
        bytes(broken[: draw(st.integers(0, len(broken)))]) if draw(st.booleans()) else bytes(broken)
    )


def read_some(heads: Callable[[bytes], Heads], private: bytes, packets: Iterable[bytes]) -> int:
    """Read damaged input as the gate does; returns how many heads were understood."""
    understood = 0
    try:
        reader = heads(private)
    except HeadError:
        return 0
    for data in packets:
        try:
            reader.read(data)
            understood += 1
        except HeadError:
            pass
    return understood
