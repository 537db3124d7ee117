"""What the console leaves on the disk goes again."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from streamd.console.upkeep import Upkeep, forget_all
from streamd.pipeline.live_frames import LiveFrames
from streamd.pipeline.onlooker import key_of
from streamd.pipeline.picture_files import write_picture
from streamd.pipeline.sightings import SightingFiles
from streamd.store import Store
from tests.support.clock import ManualClock
from tests.support.store import ACCOUNT, create_processor

CLOCK = ManualClock()


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = Store(f"sqlite:///{tmp_path / 'store.sqlite'}", clock=CLOCK)
    opened.migrate()
    yield opened
    opened.close()


def _upkeep(store: Store, tmp_path: Path) -> tuple[Upkeep, LiveFrames, SightingFiles]:
    frames = LiveFrames(tmp_path / "live", clock=CLOCK)
    sightings = SightingFiles(tmp_path / "sightings", limit=9, max_age_seconds=1e12)
    upkeep = Upkeep(
        store=store,
        run_blocking=asyncio.to_thread,
        frames=frames,
        sightings=sightings,
        clock=CLOCK,
    )
    return upkeep, frames, sightings


def test_only_those_of_living_stream_processors_stay(store: Store, tmp_path: Path) -> None:
    """Sightings of one that is deleted, or was made anew, are forgotten."""
    upkeep, _, sightings = _upkeep(store, tmp_path)
    living = key_of(create_processor(store, "a-b.c"))
    for key in (living, f"{ACCOUNT}-1-a-b.c", f"{ACCOUNT}-1-gone", "rubbish"):
        write_picture(sightings.new_path(key, started=1.0), {}, b"jpeg")
    upkeep.look_through()
    assert sightings.keys() == [living]
    store.delete_stream_processor(ACCOUNT, "a-b.c")
    upkeep.look_through()
    assert sightings.keys() == []


async def test_no_frame_outlives_the_daemon(store: Store, tmp_path: Path) -> None:
    """What a crash left is taken away at the start, and what was live at the end."""
    upkeep, frames, _ = _upkeep(store, tmp_path)
    frames.publish("left", {}, b"jpeg")
    async with upkeep.running():
        assert frames.read("left") is None
        frames.watch("now")
        frames.publish("now", {}, b"jpeg")
    assert list((tmp_path / "live").iterdir()) == []


def test_where_there_is_no_console_nothing_stays(tmp_path: Path) -> None:
    """Turned off, it forgets all it kept; there may be nothing."""
    write_picture(tmp_path / "console" / "sightings" / "k" / "x", {}, b"jpeg")
    forget_all(tmp_path)
    forget_all(tmp_path)
    assert not (tmp_path / "console").exists()
