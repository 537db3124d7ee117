"""The story, told once from the first step to the last."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from rich.console import Console

from streamd.demo.errors import DemoError
from streamd.demo.screen import Screen
from streamd.demo.story import DemoOptions, Story
from tests.support.faces import face_analyzer, portrait
from tests.support.scenes import face_pictures
from tests.support.video_files import write_video


def tell(options: DemoOptions) -> str:
    """What the story says."""
    console = Console(record=True, width=140, file=io.StringIO())
    Story(options, Screen(console)).tell()
    return console.export_text()


@pytest.mark.slow
def test_the_users_own_video_is_searched(tmp_path: Path) -> None:
    """A person is found in it by name; records and annotated frames stay, the rest goes."""
    face_analyzer("builtin")
    photo = tmp_path / "eileen.png"
    portrait().save(photo)
    clip = write_video(tmp_path / "clip.mp4", fps=10, gop=10, pictures=face_pictures(40))
    output = tmp_path / "out"
    output.mkdir()
    told = tell(DemoOptions(source=str(clip), face=photo, output=output))
    assert "face of 'eileen' indexed" in told
    assert "stream processors, collection and stream deleted" in told
    records = [json.loads(line) for line in (output / "demo-faces.jsonl").read_text().splitlines()]
    names = {
        match["Face"]["ExternalImageId"]
        for record in records
        for face in record["FaceSearchResponse"]
        for match in face["MatchedFaces"]
    }
    assert names == {"eileen"}
    assert list(output.glob("*.jpg"))


def test_a_photograph_that_is_none_ends_it_before_it_begins(tmp_path: Path) -> None:
    """No daemon is started for it."""
    photo = tmp_path / "face.jpg"
    photo.write_bytes(b"not a picture")
    options = DemoOptions(source="clip.mp4", face=photo, output=tmp_path)
    with pytest.raises(DemoError, match=r"face\.jpg"):
        tell(options)
