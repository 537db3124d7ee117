"""Decoding on a device: taken where it works, and never the reason that a stream is not seen."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import av
import pytest

from streamd.ingest import decode, hardware
from streamd.ingest.decode import Decoder
from streamd.ingest.hardware import open_hardware
from streamd.kvs.fragments import FragmentReader, Packet
from tests.support.media import encode, get_media_body, moving_shapes


@pytest.fixture(autouse=True)
def _nothing_is_known() -> Iterator[None]:
    """Each test finds out for itself what works."""
    hardware._works.cache_clear()
    hardware._say_once.cache_clear()
    yield
    hardware._works.cache_clear()
    hardware._say_once.cache_clear()


def _packets(frames: int = 10) -> list[Packet]:
    body = get_media_body(encode(moving_shapes(frames), fps=10, gop=5))
    return [event for event in FragmentReader().feed(body) if isinstance(event, Packet)]


class Refusing:
    """A device's context that knows nothing of the stream."""

    is_hwaccel = True
    width = height = 0

    def decode(self, packet: Any) -> list[Any]:
        """Refuse."""
        del packet
        raise av.InvalidDataError(1, "profile not supported")


def test_none_is_the_cpu() -> None:
    """Without a setting nothing is looked for."""
    assert open_hardware("h264", "none") is None


def test_missing_device_is_said_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Every stream of a machine without one would say it otherwise."""
    monkeypatch.setattr(hardware, "hwdevices_available", list)
    assert open_hardware("h264", "cuda") is None
    assert open_hardware("hevc", "cuda") is None
    assert [r.getMessage() for r in caplog.records] == [
        "video is decoded on the CPU: 'analysis.hardware_decoder' is cuda, and there is none here"
    ]


def test_wherever_it_runs_the_frames_are_the_same() -> None:
    """With a device or without, every frame comes out."""
    on_cpu = [f.offset_ns for f in Decoder().decode(_packets())]
    anywhere = Decoder(hardware="auto")
    frames = [f.offset_ns for f in anywhere.decode(_packets())]
    frames += [f.offset_ns for f in anywhere.drain()]
    assert frames == on_cpu


def test_device_that_refuses_a_stream_costs_no_frame(monkeypatch: pytest.MonkeyPatch) -> None:
    """An odd profile, or too many sessions on the device: the CPU takes over at the first packet."""
    monkeypatch.setattr(
        decode, "open_hardware", lambda _, device: None if device == "none" else Refusing()
    )
    decoder = Decoder(hardware="cuda")
    assert len(list(decoder.decode(_packets()))) == 10
    assert decoder.stats.damaged_packets == 0
