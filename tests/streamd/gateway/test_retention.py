from __future__ import annotations

import contextlib
from pathlib import Path

import pytest

from streamd.config import KinesisVideoSettings
from streamd.gateway.archive import Retention
from streamd.gateway.retention import ClockWatch, retention_of
from streamd.kvs import mkv_write
from streamd.kvs.mkv import Track
from tests.support.clock import ManualClock
from tests.support.gateway import Server, eventually, serving
from tests.support.media import START_MS

HEADER = mkv_write.stream_header([Track(number=1, kind="video", codec_id="V_VP8")])


def cluster(second: int, *, size: int = 100) -> bytes:
    start = mkv_write.cluster_start(START_MS + second * 1000)
    return start + mkv_write.simple_block(1, 0, bytes(size), keyframe=True)


async def clusters(server: Server) -> int:
    body = await server.read_media(StartSelectorType="EARLIEST")
    return body.count(b"\x1f\x43\xb6\x75")


def test_hours_and_the_buffer() -> None:
    """Hours are kept durably; a retention of 0 keeps 5 minutes or 200 MB."""
    settings = KinesisVideoSettings(max_stream_bytes=10**9)
    assert retention_of(2, settings) == Retention(
        max_age_ms=7_200_000, max_bytes=10**9, durable=True
    )
    assert retention_of(0, settings) == Retention(
        max_age_ms=300_000, max_bytes=200_000_000, durable=False
    )
    small = KinesisVideoSettings(max_stream_bytes=1000)
    assert retention_of(0, small).max_bytes == 1000


async def test_a_fast_producer_does_not_outrun_the_limit(tmp_path: Path) -> None:
    """Bytes over the limit are freed while the upload goes on; the newest stay."""
    settings = {"max_archive_bytes": 4_000_000, "idle_seconds": 0.05}
    async with serving(tmp_path, settings=settings) as server:
        await server.create()
        async with server.put_media() as producer:
            await producer.send(HEADER)
            for second in range(60):
                await producer.send(cluster(second, size=200_000))
                if second:
                    await producer.ack("RECEIVED")
            await producer.end()

        def kept() -> int:
            total = 0
            for path in tmp_path.rglob("*.seg"):
                with contextlib.suppress(FileNotFoundError):  # freed in this moment
                    total += path.stat().st_size
            return total

        await eventually(lambda: kept() <= 5_000_000)
        assert kept() > 2_000_000
        body = await server.read_media(StartSelectorType="EARLIEST")
        assert cluster(59, size=200_000) in body
        assert cluster(0, size=200_000) not in body


async def test_a_short_disk_frees_early_and_says_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A metric counts, a warning is said once; what still arrives is archived."""
    settings = {"min_free_bytes": 1 << 60, "idle_seconds": 0.05}
    async with serving(tmp_path, settings=settings) as server:
        await server.create()
        for second in range(2):
            acks = await server.upload(HEADER + cluster(second, size=100_000))
            assert acks[-1]["EventType"] == "PERSISTED"
    async with serving(tmp_path, settings=settings) as server:
        await eventually(lambda: not list(tmp_path.rglob("*.seg")))
        await eventually(lambda: server.value("streamd_archive_freed_early_total") >= 1)
        assert await server.read_media(StartSelectorType="EARLIEST") == b""
    told = [record for record in caplog.records if "freed before its time" in record.message]
    assert len(told) == 1


async def test_old_fragments_go_and_deleted_streams_with_them(tmp_path: Path) -> None:
    """What is too old is freed by the next sweep; so is what a deleted stream left behind."""
    clock = ManualClock(START_MS / 1000)
    async with serving(tmp_path, clock=clock) as server:
        await server.create("door", hours=1)
        await server.create("yard", hours=2)
        for name in ("door", "yard"):
            await server.upload(HEADER + cluster(0), name)
    clock.advance(3700)
    async with serving(tmp_path, clock=clock) as server:
        await eventually(lambda: len(list(tmp_path.rglob("*.seg"))) == 1)
        assert await server.read_media("door", StartSelectorType="EARLIEST") == b""
        assert await server.read_media("yard", StartSelectorType="EARLIEST") != b""
        server.store.delete_video_stream("000000000000", name="yard")  # behind its back
    async with serving(tmp_path, clock=clock):
        await eventually(lambda: not list(tmp_path.rglob("*.seg")))


class TwoClocks(ManualClock):
    """A wall clock that can be set; durations stay true."""

    def __init__(self) -> None:
        super().__init__()
        self.ahead = 0.0

    def epoch(self) -> float:
        return super().epoch() + self.ahead


def test_a_jump_ahead_is_believed_after_an_hour() -> None:
    """Until then the age it gives does not count; afterwards it does, and is no news."""
    clock = TwoClocks()
    watch = ClockWatch(clock)
    clock.advance(100)
    assert watch.doubtful_ms() == 0
    clock.ahead = 86_400
    assert watch.doubtful_ms() == 86_400_000
    clock.advance(3599)
    assert watch.doubtful_ms() == 86_400_000
    clock.advance(1)
    assert watch.doubtful_ms() == 0
    assert watch.doubtful_ms() == 0


def test_a_jump_that_is_taken_back_leaves_nothing() -> None:
    """Set right within the hour: as if nothing had been; the next jump has its own hour."""
    clock = TwoClocks()
    watch = ClockWatch(clock)
    clock.ahead = 7200
    assert watch.doubtful_ms() == 7_200_000
    clock.advance(3000)
    clock.ahead = 1
    assert watch.doubtful_ms() == 0
    clock.ahead = 7200
    clock.advance(3000)
    assert watch.doubtful_ms() == 7_200_000


def test_a_clock_set_back_is_believed() -> None:
    """Nothing is freed too early by it; its way forward again is in doubt."""
    clock = TwoClocks()
    watch = ClockWatch(clock)
    clock.ahead = -7200
    assert watch.doubtful_ms() == 0
    clock.ahead = 0
    assert watch.doubtful_ms() == 7_200_000
