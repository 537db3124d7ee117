"""A camera of the settings: relayed, lost, tried again, and told of once."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from streamd.clock import SystemClock
from streamd.config import CameraSettings
from streamd.metrics import Metrics
from streamd.producer import relay
from streamd.producer.errors import EndpointError
from streamd.producer.kinesis_video import KinesisVideoControl
from streamd.producer.relay import CameraRelay
from streamd.retry import Backoff
from tests.support.put_media_sink import PutMediaSink, serving
from tests.support.video_files import write_video

LOGGER = "streamd.producer.relay"


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tries follow each other at once."""

    def backoff(**_seconds: float) -> Backoff:
        return Backoff(base_seconds=0.01, cap_seconds=0.02)

    monkeypatch.setattr(relay, "Backoff", backoff)


class Bench:
    """A relay, its metrics and the task it runs in."""

    def __init__(self, url: str, connect: Callable[[], KinesisVideoControl]) -> None:
        self.metrics = Metrics(CollectorRegistry())
        settings = CameraSettings.model_validate({"url": url, "stream": "door"})
        self.relay = CameraRelay(
            "front", settings, connect=connect, metrics=self.metrics, clock=SystemClock()
        )

    def value(self, name: str) -> float:
        found = self.metrics.registry.get_sample_value(
            f"streamd_camera_{name}", {"camera": "front"}
        )
        return found or 0.0

    async def until(self, fact: Callable[[], bool]) -> None:
        async with asyncio.timeout(30):
            while not fact():  # noqa: ASYNC110  # metrics give no event
                await asyncio.sleep(0.005)


def control(url: str) -> Callable[[], KinesisVideoControl]:
    return lambda: KinesisVideoControl(url, region="us-east-1", key=("AKIDONE", "secret"))


async def test_a_camera_is_relayed_until_it_is_stopped(tmp_path: Path) -> None:
    """Into its stream, counted, and down again when it is over."""
    clip = write_video(tmp_path / "clip.mp4", count=20, fps=20, gop=5)
    sink = PutMediaSink()
    async with serving(sink) as url:
        bench = Bench(str(clip), control(url))
        task = asyncio.create_task(bench.relay.run())
        await bench.until(lambda: bench.value("up") == 1)
        bench.relay.stop()
        async with asyncio.timeout(30):
            await task
    assert list(sink.streams) == ["door"]
    assert sink.complete_fragments()
    assert bench.value("frames_total") > 0
    assert bench.value("bytes_total") > 0
    assert bench.value("up") == 0


async def test_a_camera_that_is_away_is_tried_again_and_told_of_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Each try is counted, the log has the trouble once; when it is there it is relayed."""
    path = tmp_path / "clip.mp4"
    sink = PutMediaSink()
    with caplog.at_level(logging.WARNING, LOGGER):
        async with serving(sink) as url:
            bench = Bench(str(path), control(url))
            task = asyncio.create_task(bench.relay.run())
            await bench.until(lambda: bench.value("reconnects_total") >= 3)
            told = [record for record in caplog.records if record.name == LOGGER]
            written = write_video(tmp_path / "other.mp4", count=20, fps=20, gop=5)
            written.rename(path)
            await bench.until(lambda: bench.value("up") == 1)
            bench.relay.stop()
            async with asyncio.timeout(30):
                await task
    assert len(told) == 1
    assert "clip.mp4" in told[0].getMessage()


async def test_an_endpoint_that_is_away_is_no_end(caplog: pytest.LogCaptureFixture) -> None:
    """Nor is a relay held up that is stopped meanwhile."""

    def nobody() -> KinesisVideoControl:
        raise EndpointError("nothing answers")

    bench = Bench("rtsp://127.0.0.1:1/x", nobody)
    with caplog.at_level(logging.WARNING, LOGGER):
        task = asyncio.create_task(bench.relay.run())
        await bench.until(lambda: bench.value("reconnects_total") >= 2)
        bench.relay.stop()
        async with asyncio.timeout(30):
            await task
    assert [record.getMessage() for record in caplog.records] == ["camera: nothing answers"]
