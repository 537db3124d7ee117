"""Single elements: blocks of any bytes, encrypted tracks, tags."""

from __future__ import annotations

import contextlib
import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamd.kvs import ebml, mkv_write
from streamd.kvs.ebml import MkvError, element, uint_element
from streamd.kvs.mkv_parts import check_ebml_header, read_block, read_tags, read_tracks


@given(st.binary(max_size=300))
def test_blocks_of_any_bytes(payload: bytes) -> None:
    """Frames lie in order inside the block, or it is refused."""
    with contextlib.suppress(MkvError):
        spans = read_block(memoryview(payload)).spans
        assert all(0 <= a <= b <= len(payload) for a, b in spans)
        assert all(one[1] == two[0] for one, two in itertools.pairwise(spans))
        assert spans[-1][1] == len(payload)


def test_encrypted_track() -> None:
    """A track whose frames are encrypted is refused."""
    encoding = element(ebml.CONTENT_ENCODING, uint_element(ebml.CONTENT_ENCODING_TYPE, 1))
    entry = uint_element(ebml.TRACK_NUMBER, 1) + element(ebml.CONTENT_ENCODINGS, encoding)
    with pytest.raises(MkvError, match="encrypted"):
        read_tracks(memoryview(element(ebml.TRACK_ENTRY, entry)))


def test_audio_track() -> None:
    """An audio track says its rate and channels; other kinds are kept as other."""
    audio = element(ebml.SAMPLING_FREQUENCY, b"\x45\xfa\0\0") + uint_element(ebml.CHANNELS, 2)
    entries = element(
        ebml.TRACK_ENTRY,
        uint_element(ebml.TRACK_NUMBER, 2)
        + uint_element(ebml.TRACK_TYPE, 2)
        + element(ebml.AUDIO, audio),
    ) + element(
        ebml.TRACK_ENTRY, uint_element(ebml.TRACK_NUMBER, 3) + uint_element(ebml.TRACK_TYPE, 17)
    )
    sound, subtitle = read_tracks(memoryview(entries))
    assert (sound.kind, sound.sampling_hz, sound.channels) == ("audio", 8000.0, 2)
    assert (subtitle.kind, subtitle.number) == ("other", 3)


@pytest.mark.parametrize(
    "payload",
    [
        uint_element(ebml.EBML_READ_VERSION, 2),
        uint_element(ebml.EBML_MAX_ID_LENGTH, 5),
        uint_element(ebml.EBML_MAX_SIZE_LENGTH, 9),
    ],
)
def test_ebml_of_the_future(payload: bytes) -> None:
    """A document that needs another EBML reader is refused."""
    with pytest.raises(MkvError, match="EBML"):
        check_ebml_header(memoryview(payload))


def test_tags_keep_the_last_value() -> None:
    """Names map to texts; a name that comes twice keeps its last, one without text is empty."""
    data = mkv_write.tags({"A": "1", "B": "ü"}) + b""
    payload = data[8:] + element(
        ebml.TAG,
        element(
            ebml.SIMPLE_TAG,
            element(ebml.TAG_NAME, b"A") + element(ebml.TAG_STRING, b"2"),
        )
        + element(ebml.SIMPLE_TAG, element(ebml.TAG_NAME, b"C")),
    )
    assert read_tags(memoryview(payload)) == {"A": "2", "B": "ü", "C": ""}
