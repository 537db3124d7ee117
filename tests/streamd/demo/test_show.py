"""Annotated frames: the right frame, drawn and saved."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from processors.draw import annotate
from processors.geometry import Box
from streamd.demo import show
from streamd.demo.errors import DemoError
from streamd.demo.results import FaceSeen, FrameResult, LabelSeen
from tests.support.media import encode, get_media_body, solid

BOX = Box(left=0.2, top=0.2, width=0.4, height=0.5)
COLORS = [(200, 30, 30), (30, 200, 30), (30, 30, 200), (200, 200, 30)]


def media() -> bytes:
    """One fragment of four pictures of one colour each, 250 ms apart."""
    pictures = [picture for color in COLORS for picture in solid(color)]
    return get_media_body(encode(pictures, fps=4, gop=4, b_frames=1))


def frame(offset: float, name: str | None = "alice", number: str = "1") -> FrameResult:
    similarity = None if name is None else 97.0
    return FrameResult(
        fragment_number=number,
        offset_seconds=offset,
        shown_at=0.0,
        latency_seconds=0.1,
        faces=(FaceSeen(box=BOX, name=name, similarity_percent=similarity),),
    )


def label(offset: float, number: str = "1") -> LabelSeen:
    return LabelSeen(
        label="PERSON",
        confidence_percent=91.0,
        box=BOX,
        fragment_number=number,
        offset_seconds=offset,
        shown_at=0.0,
        image_uri=None,
    )


@pytest.mark.parametrize("index", range(4))
def test_the_frame_at_an_offset(index: int) -> None:
    """The offset finds its frame, B-frames or not."""
    picture = show.find_frame(media(), index * 0.25)
    middle = picture[120, 160].astype(int)
    assert np.abs(middle - COLORS[index]).max() < 25


def test_ten_milliseconds_are_near_enough() -> None:
    """As AWS's parser library has it: within 10 ms, no further."""
    show.find_frame(media(), 0.259)
    with pytest.raises(DemoError, match="no frame lies within 10 ms of offset 0\\.300 s"):
        show.find_frame(media(), 0.3)


def test_media_that_cannot_be_decoded() -> None:
    """Garbage from the archive is one readable error."""
    with pytest.raises(DemoError, match="cannot be decoded"):
        show.find_frame(b"garbage" * 100, 0.0)


def test_frames_are_saved_with_a_contact_sheet(tmp_path: Path) -> None:
    """A JPEG per pick, named by what is in it, in the order of time; old ones go."""
    (tmp_path / "09-old.jpg").write_bytes(b"old")
    picks = show.choose([frame(0.5, "alice/../x"), frame(0.25, None)], [label(0.0)])
    fetched: list[str] = []

    def fetch(number: str) -> bytes:
        fetched.append(number)
        return media()

    paths = show.save_frames(picks, tmp_path, fetch=fetch)
    names = ["01-PERSON.jpg", "02-unknown.jpg", "03-alice_.._x.jpg", "contact-sheet.jpg"]
    assert [path.name for path in paths] == names
    assert sorted(path.name for path in tmp_path.iterdir()) == names
    assert fetched == ["1"]
    with Image.open(paths[0]) as image:
        assert image.size == (320, 240)
    with Image.open(paths[-1]) as sheet:
        assert sheet.size == (3 * 648 + 8, 376)


def test_boxes_are_drawn() -> None:
    """What was found is visible in the picture."""
    [pick] = show.choose([frame(0.0)], [])
    plain = show.find_frame(media(), 0.0)
    drawn = annotate(plain, pick.annotations)
    assert (np.abs(plain.astype(int) - drawn).max(axis=2) > 60).sum() > 300
    assert pick.annotations[0].text == "alice 97.0 %"


def test_faces_and_a_label_of_one_frame_share_a_picture() -> None:
    """The label's frame shows the faces found in it, too, once."""
    [pick] = show.choose([frame(0.0)], [label(0.0)])
    assert [a.text for a in pick.annotations] == ["PERSON 91 %", "alice 97.0 %"]


def test_every_name_is_shown_and_the_rest_is_spread() -> None:
    """A name seen once among many frames gets its picture; there are not too many."""
    frames = [frame(i / 5, "alice", number=f"{i // 10:02d}") for i in range(60)]
    frames[37] = frame(1.4, "bob", number="03")
    picks = show.choose(frames, [])
    assert len(picks) <= show.MAX_FACE_FRAMES + 1
    assert "bob" in {pick.title for pick in picks}
    assert [p.fragment_number for p in picks] == sorted(p.fragment_number for p in picks)


def test_nothing_found_is_nothing_shown() -> None:
    """Frames without a face are not picked."""
    empty = FrameResult(
        fragment_number="1", offset_seconds=0, shown_at=0, latency_seconds=0, faces=()
    )
    assert show.choose([empty], []) == []
