"""Reference picture sets of H.265, which slice headers refer to."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamd.gate.bits import BitReader
from streamd.gate.errors import HeadError
from streamd.gate.hevc_sets import read_picture_set, read_pps, read_sps


def _bits(text: str) -> BitReader:
    text = text.replace(" ", "")
    text += "0" * (-len(text) % 8)
    return BitReader(int(text, 2).to_bytes(len(text) // 8))


def test_a_set_by_itself() -> None:
    """Two pictures before (1 and 3 back, the second not used), one behind."""
    #             negative positive -1  used  -2 more  not  +1  used
    bits = _bits("011      010      1   1     010      0    1   1")
    assert read_picture_set(bits, 0, 1, []) == ((-1, True), (-3, False), (1, True))


def test_a_set_from_another() -> None:
    """The set before it moved by one picture back; what lands on the picture itself is dropped."""
    #            predicted sign 1   -1 used  -3 used  +1 used  itself: used
    bits = _bits("1        1    1   1        1        1        1")
    found = read_picture_set(bits, 1, 2, [((-1, True), (-3, False), (1, True))])
    assert found == ((-1, True), (-2, True), (-4, True))


def test_a_set_that_keeps_what_it_does_not_use() -> None:
    """A picture not used now stays in the set where use_delta_flag says so, and leaves else."""
    #            predicted sign 1   -1 kept  -3 gone  itself kept
    bits = _bits("1        1    1   0 1      0 0      0 1")
    found = read_picture_set(bits, 1, 2, [((-1, True), (-3, False))])
    assert found == ((-1, False), (-2, False))


@given(st.binary(max_size=200))
def test_any_bytes(data: bytes) -> None:
    """Any bytes are parameter sets, or the one error."""
    for read in (read_sps, read_pps):
        try:
            number, _ = read(BitReader(data))
        except HeadError:
            continue
        assert number >= 0


def test_too_many_pictures() -> None:
    """More than 16 pictures are refused."""
    with pytest.raises(HeadError, match="at most 16"):
        read_picture_set(_bits("00000100110"), 0, 1, [])
