"""Clips are made once, known by their recipe, and what the recipe says."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import av

from tests.bench.clips import CLIPS, Recipe, make_clip

TINY = Recipe(name="tiny", scene="home", width=64, height=48, fps=10, seconds=4, b_frames=2)


def test_every_recipe_has_a_key_of_its_own() -> None:
    """Recipes and footages have different files."""
    keys = {recipe.key(footage) for recipe in CLIPS.values() for footage in ("one", "other")}
    assert len(keys) == 2 * len(CLIPS)
    assert TINY.key("one") != replace(TINY, b_frames=0).key("one")


def test_a_clip_is_made_once(tmp_path: Path) -> None:
    """The second call finds the file of the first: so many pictures, a keyframe every 2 s."""
    told: list[float] = []
    clip = make_clip(TINY, tmp_path, tmp_path, told.append)
    with av.open(str(clip.path)) as container:
        packets = [p for p in container.demux(video=0) if p.size]
    assert len(packets) == 40
    assert [p.is_keyframe for p in packets].count(True) == 2
    assert told[0] == 0.0
    assert told[-1] == 1.0
    told.clear()
    assert make_clip(TINY, tmp_path, tmp_path, told.append).path == clip.path
    assert told == [1.0]
    assert [path.name for path in tmp_path.iterdir()] == [clip.path.name]
