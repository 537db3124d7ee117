"""The onlooker of a session: it never costs one its results."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from processors.geometry import Box
from streamd.config import Settings
from streamd.pipeline.onlooker import Onlooker, key_of, live_frames, sighting_files
from streamd.resources import StreamProcessor
from streamd.store import Store
from tests.support.clock import ManualClock
from tests.support.pictures import gray, place, seen
from tests.support.store import create_processor


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


def _settings(tmp_path: Path, **console: object) -> Settings:
    return Settings.model_validate({"server": {"data_dir": tmp_path}, "console": console})


def _processor(tmp_path: Path, clock: ManualClock) -> StreamProcessor:
    store = Store(f"sqlite:///{tmp_path / 'store.sqlite'}", clock=clock)
    store.migrate()
    try:
        return create_processor(store, "cam")
    finally:
        store.close()


def test_frames_are_shown_and_sightings_kept(tmp_path: Path, clock: ManualClock) -> None:
    """One look serves who watches and the timeline; closing takes the frame away."""
    processor = _processor(tmp_path, clock)
    settings = _settings(tmp_path)
    frames, sightings = live_frames(settings, clock), sighting_files(settings)
    frames.watch(key_of(processor))
    onlooker = Onlooker(processor, settings, clock)
    onlooker.see(gray(), place(clock.epoch()), [seen("alice")])
    assert frames.read(key_of(processor)) is not None
    ((_, head),) = sightings.listed(key_of(processor), limit=9)
    assert head["ExternalImageId"] == "alice"
    onlooker.close()
    assert frames.read(key_of(processor)) is None


def test_sightings_can_be_turned_off(tmp_path: Path, clock: ManualClock) -> None:
    """With console.sightings = 0 nothing is written when nobody watches."""
    processor = _processor(tmp_path, clock)
    settings = _settings(tmp_path, sightings=0)
    Onlooker(processor, settings, clock).see(gray(), place(clock.epoch()), [seen("alice")])
    assert not (tmp_path / "console").exists()


def test_a_disk_that_fails_is_said_once(
    tmp_path: Path, clock: ManualClock, caplog: pytest.LogCaptureFixture
) -> None:
    """The session goes on; the log has one line however many frames there are."""
    processor = _processor(tmp_path, clock)
    (tmp_path / "console").write_text("in the way")
    onlooker = Onlooker(processor, _settings(tmp_path), clock)
    with caplog.at_level(logging.WARNING):
        for second in range(3):
            onlooker.see(gray(64, 48), place(second), [seen("alice")])
    assert [record.levelname for record in caplog.records] == ["WARNING"]


def test_a_box_outside_the_picture_is_passed_over(tmp_path: Path, clock: ManualClock) -> None:
    """What cannot be shown is not shown, and nothing is raised."""
    processor = _processor(tmp_path, clock)
    onlooker = Onlooker(processor, _settings(tmp_path), clock)
    onlooker.see(gray(), place(1), [seen("a", box=Box(left=3.0, top=3.0, width=0.1, height=0.1))])


def test_keys_of_two_incarnations_differ(tmp_path: Path, clock: ManualClock) -> None:
    """One made anew under the same name does not find what the other left."""
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    first = _processor(tmp_path / "a", clock)
    clock.advance(0.002)
    assert key_of(first) != key_of(_processor(tmp_path / "b", clock))
