"""Acknowledgement lines, both ways."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamd.kvs.acks import AckError, Acknowledgement, AckReader, ErrorCode, EventType, to_line

BUFFERING = Acknowledgement(
    event_type=EventType.BUFFERING, fragment_timecode_ms=1700000099874, fragment_number="9134"
)


def test_lines_as_recorded() -> None:
    """Lines are spelled as the service spells them."""
    assert to_line(BUFFERING) == (
        b'{"EventType":"BUFFERING","FragmentTimecode":1700000099874,"FragmentNumber":"9134"}\n'
    )
    assert to_line(Acknowledgement(event_type=EventType.IDLE)) == b'{"EventType":"IDLE"}\n'
    assert to_line(Acknowledgement.error(ErrorCode.INVALID_MKV_DATA)) == (
        b'{"EventType":"ERROR","FragmentTimecode":-1,"FragmentNumber":"","ErrorId":4006,'
        b'"ErrorCode":"INVALID_MKV_DATA"}\n'
    )


@given(st.integers(1, 40))
def test_reader_takes_any_chunks(step: int) -> None:
    """The reader gives back what was written, however it arrives."""
    error = Acknowledgement.error(
        ErrorCode.STREAM_DELETED, fragment_timecode_ms=5, fragment_number="6"
    )
    data = to_line(BUFFERING) + b"\r\n" + to_line(error)
    reader, found = AckReader(), []
    for start in range(0, len(data), step):
        found += reader.feed(data[start : start + step])
    assert found == [BUFFERING, error]
    assert reader.close() == []


def test_wrapper_and_missing_newline() -> None:
    """The wrapper of the API page and a last line without newline are understood."""
    reader = AckReader()
    assert reader.feed(b'{"Acknowledgement":{"EventType":"IDLE"}}') == []
    assert reader.close() == [Acknowledgement(event_type=EventType.IDLE)]


@pytest.mark.parametrize(
    "line",
    [b"nope\n", b"[]\n", b"{}\n", b'{"EventType":"PARTY"}\n', b'{"EventType":"IDLE","ErrorId":"x"}\n',
     b'{"Acknowledgement":3}\n', b"x" * 1025],
)  # fmt: skip
def test_not_an_acknowledgement(line: bytes) -> None:
    """Anything else is an AckError."""
    with pytest.raises(AckError):
        AckReader().feed(line)


@given(st.binary(max_size=60))
def test_any_bytes(data: bytes) -> None:
    """No bytes bring another exception."""
    reader = AckReader()
    with contextlib.suppress(AckError):
        reader.feed(data)
        reader.close()
