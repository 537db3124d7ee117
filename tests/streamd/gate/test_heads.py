"""Units behind lengths, as avcC and hvcC hold them."""

from __future__ import annotations

from streamd.gate.heads import spans_of_lengths


def test_units_behind_lengths() -> None:
    """As many as asked for; a length that points behind the end ends it."""
    data = b"\xff\x00\x02ab\x00\x01c\x00\x09d"
    assert list(spans_of_lengths(data, 1, 2, 2)) == [b"ab", b"c"]
    assert list(spans_of_lengths(data, 1, 2, 9)) == [b"ab", b"c"]
