"""What stands around fragments, read back by the parser consumers use."""

from __future__ import annotations

import pytest

from streamd.gateway import chunks
from streamd.kvs import mkv_write
from streamd.kvs.mkv import MkvParser, Tags, Track

VIDEO = Track(number=1, kind="video", codec_id="V_MPEG4/ISO/AVC", width_px=64, height_px=48)
HEADER = mkv_write.stream_header([VIDEO])
NUMBER = "9" * 47
PREFIX = "AWS_KINESISVIDEO_"


def values(data: bytes) -> dict[str, str]:
    """The tags in a body, by name without AWS's prefix."""
    parser = MkvParser()
    found: dict[str, str] = {}
    for event in parser.feed(data + mkv_write.cluster_start(0)):
        if isinstance(event, Tags):
            found |= event.values
    return {name.removeprefix(PREFIX): text for name, text in found.items()}


def test_a_chunk_begins_with_header_number_and_times() -> None:
    """Times are seconds with three digits (API reference, GetMedia)."""
    head = chunks.chunk_head(HEADER, number=NUMBER, server_ms=1_500, producer_ms=1_234)
    assert head.startswith(HEADER)
    assert values(head) == {
        "FRAGMENT_NUMBER": NUMBER,
        "SERVER_TIMESTAMP": "1.500",
        "PRODUCER_TIMESTAMP": "1.234",
    }


def test_a_listed_chunk_has_both_names_of_its_times() -> None:
    """GetMediaForFragmentList documents others than GetMedia; consumers look for either."""
    head = chunks.listed_chunk_head(HEADER, number=NUMBER, server_ms=1_500, producer_ms=1_234)
    found = values(head)
    assert found["SERVER_SIDE_TIMESTAMP"] == found["SERVER_TIMESTAMP"] == "1.500"
    assert found["PRODUCER_SIDE_TIMESTAMP"] == found["PRODUCER_TIMESTAMP"] == "1.234"


def test_a_chunk_ends_with_how_far_behind_it_is() -> None:
    """And with its number as the continuation token."""
    tail = HEADER + chunks.chunk_tail(NUMBER, millis_behind_now=250)
    assert values(tail) == {"CONTINUATION_TOKEN": NUMBER, "MILLIS_BEHIND_NOW": "250"}


@pytest.mark.parametrize(
    ("number", "code", "expected"),
    [
        (
            NUMBER,
            chunks.FRAGMENT_NOT_FOUND,
            {"FRAGMENT_NUMBER": NUMBER, "ERROR_CODE": "FRAGMENT_NOT_FOUND", "ERROR_ID": "4000"},
        ),
        (None, chunks.INTERNAL_ERROR, {"ERROR_CODE": "INTERNAL_ERROR", "ERROR_ID": "5000"}),
    ],
    ids=["after a fragment", "before the first"],
)
def test_an_early_end_is_told_in_tags(
    number: str | None, code: int, expected: dict[str, str]
) -> None:
    """Code and id of the API reference; a number only where there is one."""
    assert values(HEADER + chunks.error_tags(number, code=code)) == expected


def test_an_exception_of_a_list_names_fragment_and_reason() -> None:
    """As GetMediaForFragmentList has it."""
    raw = chunks.exception_tags(NUMBER, code=4000, message="gone")
    assert values(HEADER + raw) == {
        "FRAGMENT_NUMBER": NUMBER,
        "EXCEPTION_ERROR_CODE": "4000",
        "EXCEPTION_MESSAGE": "gone",
    }
