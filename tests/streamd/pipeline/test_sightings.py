"""Sightings: who was seen from when to when, few, and not for long."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from processors.geometry import Box
from streamd.pipeline.finds import Find
from streamd.pipeline.live_frames import position_document
from streamd.pipeline.sightings import SightingFiles, SightingLog
from tests.support.clock import ManualClock
from tests.support.pictures import gray, place, seen, size_of

KEY = "000000000000-1-cam"
T0 = 1_700_000_000


@pytest.fixture
def files(tmp_path: Path) -> SightingFiles:
    return SightingFiles(tmp_path, limit=3, max_age_seconds=3600)


@pytest.fixture
def log(files: SightingFiles) -> SightingLog:
    return SightingLog(files, KEY, clock=ManualClock(T0))


def _see(log: SightingLog, seconds: float, *finds: Find) -> None:
    position = place(T0 + seconds)
    log.note(gray(), position, finds, position_document(position))


def _heads(files: SightingFiles) -> list[tuple[str | None, float, float, int]]:
    return [
        (
            head.get("ExternalImageId"),
            head["StartedAt"] - T0,
            head["LastSeenAt"] - T0,
            head["Frames"],
        )
        for _, head in files.listed(KEY, limit=100)
    ]


def test_who_stays_is_one_sighting(files: SightingFiles, log: SightingLog) -> None:
    """It is written at once and told again every few seconds."""
    for second in range(8):
        _see(log, second, seen("alice"))
    assert _heads(files) == [("alice", 0, 5, 6)]


def test_who_comes_back_is_another(files: SightingFiles, log: SightingLog) -> None:
    """After ten seconds out of view a new sighting begins, newest first; so does time gone back."""
    for second in (0, 9, 20, 12):
        _see(log, second, seen("alice"))
    assert [start for _, start, _, _ in _heads(files)] == [20, 12, 0]


def test_a_producer_that_tells_no_time_has_the_server_s(
    files: SightingFiles, log: SightingLog
) -> None:
    """Then the time the fragment arrived is that of the sighting."""
    log.note(gray(), place(0), [seen("alice")], {})
    assert files.listed(KEY, limit=1)[0][1]["StartedAt"] == T0


def test_people_are_told_apart(files: SightingFiles, log: SightingLog) -> None:
    """Each person has a sighting; unknown faces share one, and the surer of two counts."""
    _see(log, 0, seen("alice"), seen("bob"), seen(None), seen("bob", 95.0))
    found = {head.get("ExternalImageId"): head for _, head in files.listed(KEY, limit=9)}
    assert set(found) == {"alice", "bob", None}
    assert found["bob"]["Similarity"] == 95.0


def test_a_much_surer_picture_replaces_the_first(files: SightingFiles, log: SightingLog) -> None:
    """Five percent more are worth another picture, one percent is not."""
    _see(log, 0, seen("alice", 80.0))
    _see(log, 1, seen("alice", 81.0))
    assert files.listed(KEY, limit=1)[0][1]["Similarity"] == 80.0
    _see(log, 2, seen("alice", 90.0))
    assert files.listed(KEY, limit=1)[0][1]["Similarity"] == 90.0


@pytest.mark.parametrize(
    ("box", "inside"),
    [
        (Box(left=0.45, top=0.4, width=0.1, height=0.2), None),
        (Box(left=0.0, top=0.0, width=0.01, height=0.01), (0.0, 0.0)),
        (Box(left=-0.1, top=0.9, width=0.2, height=0.2), None),
    ],
    ids=["middle", "corner", "over the edge"],
)
def test_the_picture_shows_the_find_with_the_scene_around_it(
    files: SightingFiles,
    log: SightingLog,
    box: Box,
    inside: tuple[float, float] | None,
) -> None:
    """480 pixels wide, all of one shape; the box says where the find is in it."""
    _see(log, 0, seen("alice", box=box))
    ((sighting_id, head),) = files.listed(KEY, limit=1)
    jpeg = files.picture(KEY, sighting_id)
    assert jpeg is not None
    assert size_of(jpeg) == (480, 360)
    told = head["BoundingBox"]
    if inside is not None:
        assert (told["Left"], told["Top"]) == inside
    assert told["Width"] < 1


def test_the_oldest_go_beyond_the_limit(files: SightingFiles, log: SightingLog) -> None:
    """Three are kept here."""
    for index in range(5):
        _see(log, index, seen(f"p{index}"))
    assert [name for name, *_ in _heads(files)] == ["p4", "p3", "p2"]


def test_sightings_age(files: SightingFiles, log: SightingLog, tmp_path: Path) -> None:
    """What was written longer ago than allowed is forgotten at a sweep."""
    _see(log, 0, seen("old"))
    _see(log, 1, seen("new"))
    ((_, _), (old_id, _)) = files.listed(KEY, limit=2)
    os.utime(tmp_path / KEY / f"{old_id}.sighting", (T0 - 4000, T0 - 4000))
    os.utime(tmp_path / KEY / f"{files.listed(KEY, limit=1)[0][0]}.sighting", (T0, T0))
    files.sweep({KEY}, now=T0)
    assert [name for name, *_ in _heads(files)] == ["new"]


def test_a_deleted_stream_processor_leaves_none(files: SightingFiles, log: SightingLog) -> None:
    """What belongs to nobody any more goes whole."""
    _see(log, 0, seen("alice"))
    assert files.keys() == [KEY]
    files.sweep(set(), now=T0)
    assert files.keys() == []


@pytest.mark.parametrize(
    "sighting_id", ["", "..", "../x", "1700000000000-0123456", "1700000000000-01234567/..", "a\0"]
)
def test_an_id_names_a_sighting_or_nothing(files: SightingFiles, sighting_id: str) -> None:
    """An id that is none of ours opens no file."""
    assert files.picture(KEY, sighting_id) is None
