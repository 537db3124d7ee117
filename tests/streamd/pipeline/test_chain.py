"""Packets in, results in the outbox: real video through the real decoder and outbox."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from processors.picture import Picture
from processors.roi import Regions
from streamd.clock import SystemClock
from streamd.config import AnalysisSettings
from streamd.ingest.errors import DecodeError
from streamd.kvs.fragments import FragmentReader
from streamd.metrics import Metrics
from streamd.pipeline.chain import FrameAnalysis, MediaChain
from streamd.pipeline.finds import Find
from streamd.pipeline.frames import Arrival, FrameReader
from streamd.pipeline.outbox import Outbox
from streamd.pipeline.progress import SessionProgress
from streamd.records import FramePosition, OutboxItem, record_item
from tests.support.media import START_MS, Video, encode, get_media_body, moving_shapes


class NotingAnalysis:
    """Writes one record with the place of each frame it is shown."""

    kind = "noting"
    regions = Regions()
    has_found = False
    finds: Sequence[Find] = ()

    def analyze(
        self,
        picture: Picture,
        position: FramePosition,
        *,
        progress: SessionProgress,
        arrived_ms: int,
    ) -> list[OutboxItem]:
        del picture, arrived_ms
        return [_item({"at": progress.media_time_ms(position), "in": position.fragment_number})]

    def fragment_done(self, fragment_number: str, *, progress: SessionProgress) -> list[OutboxItem]:
        del progress
        return [_item({"done": fragment_number})]

    def finish(self, *, progress: SessionProgress, failure: str | None) -> list[OutboxItem]:
        return [_item({"failure": failure, "processed": progress.processed_ms})]


class SpoiltAnalysis(NotingAnalysis):
    """Meets pictures that cannot be had."""

    def analyze(
        self,
        picture: Picture,
        position: FramePosition,
        *,
        progress: SessionProgress,
        arrived_ms: int,
    ) -> list[OutboxItem]:
        del picture, position, progress, arrived_ms
        raise DecodeError("no picture")


def _item(document: dict[str, object]) -> OutboxItem:
    return record_item(document, stream_arn="arn", processor_name="cam", event_id="1")


def _arrivals(body: bytes, *, reader: FragmentReader | None = None) -> list[Arrival]:
    events = (reader or FragmentReader()).feed(body)
    return [Arrival(event=event, epoch_ms=START_MS) for event in events]


@pytest.fixture
def outbox(tmp_path: Path) -> Iterator[Outbox]:
    """An outbox of its own."""
    box = Outbox(tmp_path / "cam.sqlite", max_bytes=10_000_000)
    box.begin("session")
    yield box
    box.close()


class Session:
    """A chain at a reader of its own, as one session alone at a feed."""

    def __init__(self, chain: MediaChain, reader: FrameReader) -> None:
        self.chain = chain
        self.reader = reader

    def process(self, arrivals: list[Arrival]) -> bool:
        for output in self.reader.read(arrivals):
            self.chain.take(output)
        if self.chain.awaits_end:
            self.drain()
        return self.chain.is_over

    def drain(self) -> None:
        for output in self.reader.drain():
            self.chain.take(output)

    def finish(self, failure: str | None) -> None:
        self.drain()
        self.chain.finish(failure)


def _chain(
    outbox: Outbox,
    *,
    max_duration_ms: int | None = None,
    progress: SessionProgress | None = None,
    analysis: FrameAnalysis | None = None,
    **settings: Any,
) -> Session:
    chain = MediaChain(
        processor_name="cam",
        analysis=analysis or NotingAnalysis(),
        outbox=outbox,
        progress=progress or SessionProgress(session_id="session"),
        max_duration_ms=max_duration_ms,
        metrics=Metrics(CollectorRegistry()),
        clock=SystemClock(),
    )
    reader = FrameReader(settings=AnalysisSettings(**settings), on_damage=lambda *_: None)
    return Session(chain, reader)


def _documents(outbox: Outbox) -> list[dict[str, object]]:
    return [json.loads(item.body) for _, item in outbox.peek(1000, 10_000_000)]


def _video(seconds: int, *, b_frames: int = 0) -> Video:
    return encode(moving_shapes(seconds * 30), fps=30, gop=30, b_frames=b_frames)


def test_frames_are_analysed_at_the_rate_asked_for(outbox: Outbox) -> None:
    """30 frames a second, 5 of them analysed, each at its own media time."""
    _chain(outbox).process(_arrivals(get_media_body(_video(1))))
    times = [d["at"] for d in _documents(outbox) if "at" in d]
    assert times == [0, 200, 400, 600, 800]


def test_fragment_is_done_after_its_last_frame(outbox: Outbox) -> None:
    """The mark follows the fragment's results, and the outbox knows the number."""
    _chain(outbox).process(_arrivals(get_media_body(_video(2))))
    documents = _documents(outbox)
    numbers = list(dict.fromkeys(d["in"] for d in documents if "in" in d))
    assert [d.get("in") or d["done"] for d in documents] == ([numbers[0]] * 6 + [numbers[1]] * 6)
    assert outbox.last_fragment() == numbers[1]


def test_b_frames_do_not_lose_or_move_a_frame(outbox: Outbox) -> None:
    """Frames that surface while the next fragment is read belong to their own."""
    chain = _chain(outbox, fps=30)
    chain.process(_arrivals(get_media_body(_video(2, b_frames=3))))
    chain.finish(None)
    documents = [d for d in _documents(outbox) if "at" in d]
    assert [d["at"] for d in documents] == [round(i * 1000 / 30) for i in range(60)]
    assert len({d["in"] for d in documents[:30]}) == 1
    assert len({d["in"] for d in documents[30:]}) == 1


def test_session_is_over_at_the_end_of_the_fragment(outbox: Outbox) -> None:
    """A duration of 1.5 s over fragments of 1 s ends after the second one."""
    chain = _chain(outbox, max_duration_ms=1500)
    assert chain.process(_arrivals(get_media_body(_video(3)))) is True
    chain.finish(None)
    assert _documents(outbox)[-1] == {"failure": None, "processed": 2000}


def test_resumed_session_repeats_nothing(outbox: Outbox) -> None:
    """After a crash the state in the outbox says which frames have been analysed."""
    body = get_media_body(_video(2))
    cut = _arrivals(body)[:20]  # the middle of the first fragment
    _chain(outbox).process(cut)
    state = outbox.state()
    assert state is not None
    resumed = _chain(outbox, progress=SessionProgress.model_validate_json(state))
    resumed.process(_arrivals(body))
    times = [d["at"] for d in _documents(outbox) if "at" in d]
    assert times == [0, 200, 400, 600, 800, 1000, 1200, 1400, 1600, 1800]


def test_pictures_above_the_bound_are_passed_over(outbox: Outbox) -> None:
    """A decompression bomb costs its fragment, not the session; the next video is analysed."""
    chain = _chain(outbox, max_frame_pixels=320 * 240)
    large = encode(moving_shapes(5, width_px=640, height_px=480), fps=30, gop=5)
    small = encode(moving_shapes(5, width_px=320, height_px=240), fps=30, gop=5)
    chain.process(_arrivals(get_media_body(large)))
    assert [d for d in _documents(outbox) if "at" in d] == []
    chain.process(_arrivals(get_media_body(small, start_ms=START_MS + 1000)))
    assert len([d for d in _documents(outbox) if "at" in d]) == 1


def test_a_frame_passed_over_is_named_in_the_log(
    outbox: Outbox, caplog: pytest.LogCaptureFixture
) -> None:
    """With its stream processor, session and fragment."""
    chain = _chain(outbox, analysis=SpoiltAnalysis())
    chain.process(_arrivals(get_media_body(_video(1))))
    lines = [r.__dict__ for r in caplog.records if r.getMessage().startswith("frame passed over")]
    assert {(x["stream_processor"], x["session"]) for x in lines} == {("cam", "session")}
    (done,) = [d["done"] for d in _documents(outbox) if "done" in d]
    assert {line["fragment"] for line in lines} == {done}


def test_codec_and_size_may_change_in_mid_stream(outbox: Outbox) -> None:
    """H.264, then H.265 of another size: both are analysed, in one session."""
    chain = _chain(outbox)
    first = encode(moving_shapes(10), fps=10, gop=10)
    second = encode(moving_shapes(10, width_px=640, height_px=360), fps=10, gop=10, codec="hevc")
    chain.process(_arrivals(get_media_body(first)))
    chain.process(_arrivals(get_media_body(second, start_ms=START_MS + 1000)))
    assert len([d for d in _documents(outbox) if "at" in d]) == 10
    assert len([d for d in _documents(outbox) if "done" in d]) == 2


def test_damaged_packets_cost_only_themselves(outbox: Outbox) -> None:
    """Noise in place of a packet: analysis goes on at the next keyframe."""
    video = _video(3)
    packets = list(video.packets)
    damaged = [
        type(p)(pts_ms=p.pts_ms, keyframe=p.keyframe, data=b"\x00\x00\x00\x05\xff\xfe\xfd\xfc\xfb")
        if 5 <= i < 8
        else p
        for i, p in enumerate(packets)
    ]
    chain = _chain(outbox)
    chain.process(_arrivals(get_media_body(type(video)(track=video.track, packets=tuple(damaged)))))
    times = [d["at"] for d in _documents(outbox) if "at" in d]
    assert times[0] == 0
    assert times[-10:] == [1000, 1200, 1400, 1600, 1800, 2000, 2200, 2400, 2600, 2800]
    assert len([d for d in _documents(outbox) if "done" in d]) == 3
