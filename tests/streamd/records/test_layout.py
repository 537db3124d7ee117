"""Names of objects in the output bucket."""

from __future__ import annotations

import pytest

from streamd.records import FramePosition, layout

POSITION = FramePosition(
    fragment_number="913",
    server_timestamp_ms=1,
    producer_timestamp_ms=1,
    frame_offset_ns=1_200_000_000,
)


@pytest.mark.parametrize(
    ("key_prefix", "prefix"),
    [
        (None, "porch/s1"),
        ("", "porch/s1"),
        ("cams", "cams/porch/s1"),
        ("cams/eu/", "cams/eu/porch/s1"),
        ("/", "porch/s1"),
    ],
    ids=["none", "empty", "plain", "slash at the end", "only a slash"],
)
def test_a_sessions_objects_lie_below_its_prefix(key_prefix: str | None, prefix: str) -> None:
    """The path is KeyPrefix, processor, session, without doubled slashes."""
    assert layout.session_prefix(key_prefix, processor_name="porch", session_id="s1") == prefix


def test_objects_are_named_for_what_they_hold() -> None:
    """Names follow from class, fragment and offset, so a repeat overwrites itself."""
    assert [
        layout.hero_frame_key("p/s", label="PERSON", position=POSITION),
        layout.crop_key("p/s", label="PERSON", position=POSITION),
        layout.results_key("p/s"),
        layout.records_key("p/s", fragment_number="913"),
    ] == [
        "p/s/frames/PERSON-913-1200ms.jpg",
        "p/s/crops/PERSON-913-1200ms.jpg",
        "p/s/results.json",
        "p/s/records/913.jsonl",
    ]


def test_an_object_has_a_uri() -> None:
    """Notifications name objects by s3 URI."""
    assert layout.object_uri("bucket", "p/s/a.jpg") == "s3://bucket/p/s/a.jpg"
