"""Start codes or lengths: decided by the CodecPrivate, and mended where packets differ."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamd.kvs.nal import NalForm, are_lengths, length_prefixed, length_size, split_annexb

AVCC = bytes.fromhex("0164000dffe1000867640028ad000101")
HVCC = b"\x01" + bytes(20) + b"\x0f" + bytes(10)
ANNEXB = bytes.fromhex("0000000167640028")
LONG, SHORT = b"\x00\x00\x00\x01", b"\x00\x00\x01"

# No start code inside (emulation prevention), no zero at the end; a picture is never tiny.
units_strategy = st.lists(
    st.binary(min_size=5, max_size=600).map(lambda data: data.replace(b"\x00", b"\x01") + b"\x80"),
    min_size=1,
    max_size=4,
)


def with_codes(units: list[bytes], code: bytes = LONG) -> bytes:
    return b"".join(code + unit for unit in units)


@pytest.mark.parametrize(
    ("codec", "private", "size"),
    [
        ("h264", AVCC, 4),
        ("h264", AVCC[:4] + b"\xfd" + AVCC[5:], 2),
        ("h264", AVCC[:6], None),
        ("h264", ANNEXB, None),
        ("h264", b"", None),
        ("h264", b"\x00" + AVCC[1:], None),
        ("hevc", HVCC, 4),
        ("hevc", b"\x00" + HVCC[1:21] + b"\x0c" + HVCC[22:], None),
        ("hevc", b"\x00\x21" + HVCC[2:21] + b"\x0c" + HVCC[22:], 1),
        ("hevc", HVCC[:22], None),
        ("hevc", ANNEXB + bytes(30), None),
    ],
    ids=lambda value: value[:8].hex() if isinstance(value, bytes) else str(value),
)
def test_the_record_says_how_long_lengths_are(codec: str, private: bytes, size: int | None) -> None:
    """avcC and hvcC say it in two bits; anything else means start codes."""
    assert length_size(codec, private) == size


@given(units_strategy)
def test_packets_that_are_as_announced_pass_through(units: list[bytes]) -> None:
    """Whatever lengths look like, a stream that keeps to its CodecPrivate is not touched."""
    for codec, record in (("h264", AVCC), ("hevc", HVCC)):
        lengths, codes = NalForm(codec, record), NalForm(codec, ANNEXB)
        assert lengths.fit(length_prefixed(units)) == length_prefixed(units)
        for code in (LONG, SHORT):
            assert codes.fit(with_codes(units, code)) == with_codes(units, code)


@given(units_strategy, st.sampled_from([LONG, SHORT]))
def test_packets_of_the_other_form_are_turned(units: list[bytes], code: bytes) -> None:
    """Start codes under avcC become lengths, lengths under start codes become these."""
    first = [b"\x65" + bytes([0x88]) * 700]  # tells by itself what it is
    to_lengths, to_codes = NalForm("h264", AVCC), NalForm("h264", ANNEXB)
    to_lengths.fit(with_codes(first, code))
    to_codes.fit(length_prefixed(first))
    assert to_lengths.fit(with_codes(units, code)) == length_prefixed(units)
    assert to_codes.fit(length_prefixed(units)) == with_codes(units)


@pytest.mark.parametrize("size", [256, 300, 511])
def test_a_length_may_look_like_a_start_code(size: int) -> None:
    """A unit of 256 to 511 bytes begins 00 00 01: under avcC that is a length, under codes a code."""
    packet = length_prefixed([b"\x41" * size])
    assert packet.startswith(SHORT)
    assert NalForm("h264", AVCC).fit(packet) == packet
    assert NalForm("h264", ANNEXB).fit(packet) == packet
    # A stream that has shown lengths before is read so again.
    form = NalForm("h264", ANNEXB)
    assert form.fit(length_prefixed([b"\x65" * 700])) == with_codes([b"\x65" * 700])
    assert form.fit(packet) == with_codes([b"\x41" * size])


@pytest.mark.parametrize("data", [b"", b"\x41" * 10, SHORT, length_prefixed([b"\x41" * 9])[:-1]])
def test_what_is_neither_passes_through(data: bytes) -> None:
    """Damage is the decoder's to tell."""
    assert NalForm("h264", AVCC).fit(data) == data
    assert NalForm("h264", ANNEXB).fit(data) == data


def test_units_too_long_for_their_lengths_pass_through() -> None:
    """Lengths of one byte end at 255."""
    form = NalForm("h264", AVCC[:4] + b"\xfc" + AVCC[5:])
    assert form.fit(with_codes([b"\x41" * 255])) == b"\xff" + b"\x41" * 255
    assert form.fit(with_codes([b"\x41" * 256])) == with_codes([b"\x41" * 256])


@given(st.binary(max_size=60), st.integers(1, 4))
def test_lengths_reach_to_the_last_byte(data: bytes, size: int) -> None:
    """What counts as lengths can be cut at them, and nothing is left."""
    pos = 0
    while pos + size <= len(data):
        pos += size + int.from_bytes(data[pos : pos + size])
    assert are_lengths(data, size) == (pos == len(data) and data != b"")
    assert all(unit for unit in split_annexb(data))


@given(units_strategy, st.sampled_from([LONG, SHORT]))
def test_spans_are_the_units(units: list[bytes], code: bytes) -> None:
    """Either form, announced or not, is taken apart without copying."""
    for private in (AVCC, ANNEXB):
        for data in (length_prefixed(units), with_codes(units, code)):
            spans = NalForm("h264", private).spans(data)
            assert [data[begin:end].rstrip(b"\x00") for begin, end in spans] == units


def test_spans_of_neither_form() -> None:
    """A packet that is neither has no units."""
    assert list(NalForm("h264", AVCC).spans(b"\xff" * 30)) == []
