"""What a session tells the store: only news, the gravest first, and nothing without its lease."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from prometheus_client import CollectorRegistry

from streamd.lifecycle import Event, Status
from streamd.metrics import Metrics
from streamd.pipeline.feed import StreamFeed
from streamd.pipeline.pace import FULL_PACE, Pace
from streamd.pipeline.parts import SessionParts
from streamd.pipeline.reporting import SessionReporter
from streamd.resources import StartRequest
from streamd.store import ClaimedSession, Store
from streamd.store.errors import StaleEpochError
from tests.support.clock import ManualClock
from tests.support.store import ACCOUNT, create_processor


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """A store with one started stream processor."""
    opened = Store(f"sqlite:///{tmp_path / 'streamd.sqlite'}", clock=ManualClock(1_000.0))
    opened.migrate()
    create_processor(opened, "door")
    opened.start_session(ACCOUNT, "door", StartRequest(), limit=10)
    yield opened
    opened.close()


def _reporter(store: Store) -> SessionReporter:
    [claim] = store.claim_sessions("worker", limit=1, lease_seconds=60)
    return _reporter_of(claim, store)


def _reporter_of(claim: ClaimedSession, store: Store) -> SessionReporter:
    async def run_blocking(call: Callable[..., Any], *args: object) -> Any:
        return await asyncio.to_thread(call, *args)

    parts = SimpleNamespace(
        store=store, run_blocking=run_blocking, metrics=Metrics(CollectorRegistry())
    )
    return SessionReporter(claim, cast(SessionParts, parts))


def _feed(*, silent_seconds: float = 0.0, pace: Pace = FULL_PACE) -> StreamFeed:
    return cast(
        StreamFeed,
        SimpleNamespace(
            silent_seconds=silent_seconds, pace=pace, trouble=None, has_brought_media=True
        ),
    )


def _said(store: Store) -> str | None:
    return store.stream_processor(ACCOUNT, "door").status_message


async def test_event_brings_the_status_about(store: Store) -> None:
    """The store applies the lifecycle; the session knows what came of it."""
    reporter = _reporter(store)
    await reporter.report(Event.INPUT_OPENED)
    assert reporter.status is Status.RUNNING
    assert store.stream_processor(ACCOUNT, "door").status is Status.RUNNING


async def test_gravest_is_said(store: Store) -> None:
    """A sink that is away before a silent camera, before the notice of a pack."""
    reporter = _reporter(store)
    reporter.notice = "Label pack x: not detected: PACKAGE"
    await reporter.say(None)
    assert _said(store) == "Label pack x: not detected: PACKAGE"
    await reporter.say(_feed(silent_seconds=11))
    assert _said(store) == "No media is arriving on stream door; waiting for it"
    reporter.trouble = "the broker is away"
    await reporter.say(_feed(silent_seconds=11))
    assert _said(store) == "the broker is away"


async def test_overload_is_said_and_taken_back(store: Store) -> None:
    """How much of the video is analysed, while it is less than was asked for."""
    reporter = _reporter(store)
    await reporter.say(_feed(pace=Pace(share=0.6)))
    assert (_said(store) or "").startswith("Analysing 60 % of the frames")
    await reporter.say(_feed(pace=Pace(share=0.2, keyframes_only=True)))
    assert (_said(store) or "").startswith("Analysing keyframes only")
    await reporter.say(_feed())
    assert _said(store) is None


async def test_shortage_is_over_when_media_comes(store: Store) -> None:
    """A session that reads again has come out of it."""
    reporter = _reporter(store)
    reporter.shortage = "Cannot go on at present: no space left"
    await reporter.say(None)
    assert _said(store) == "Cannot go on at present: no space left"
    await reporter.say(_feed())
    assert _said(store) is None


async def test_delivery_is_written_down_once(store: Store) -> None:
    """The number of the last delivered fragment, for whoever goes on elsewhere."""
    reporter = _reporter(store)
    reporter.delivered = "42"
    await reporter.checkpoint()
    session = store.session(ACCOUNT, "door")
    assert session is not None
    assert session.last_fragment_number == "42"


async def test_nothing_is_written_without_the_lease(store: Store) -> None:
    """A former holder's word does not count."""
    reporter = _reporter(store)
    store.release_owner("worker")
    assert store.claim_sessions("another", limit=1, lease_seconds=60)
    with pytest.raises(StaleEpochError):
        await reporter.report(Event.SESSION_ENDED)
    reporter.delivered = "42"
    with pytest.raises(StaleEpochError):
        await reporter.checkpoint()
