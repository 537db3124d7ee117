"""Replicas that share a store, each with the embedded Kinesis Video on a disk of its own."""

from __future__ import annotations

import asyncio
import contextlib
import json
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from streamd.kvs.acks import EventType
from streamd.producer import KinesisVideoControl, Producer, ProducerOptions, PyavSource
from streamd.producer.events import Event
from tests.faults.conftest import StartDaemon
from tests.support.daemon import Daemon, wait_until
from tests.support.ledger import audit
from tests.support.live_camera import quiet_video
from tests.support.long_form import long_form
from tests.support.postgresql import ServerMissingError, running_server
from tests.support.rtsp_camera import RtspCamera, rtsp_camera
from tests.support.story import create_face_search, create_stream, status_of, wait_for_status
from tests.support.suspension import suspended
from tests.support.video_files import write_video

pytestmark = pytest.mark.service

KEY, SECRET = "AKIDREPLICAS", "hush-hush"
TAKEOVER_SECONDS = 15.0
HOME_SECONDS = 4


@pytest.fixture
def start_replica(start_daemon: StartDaemon) -> Iterator[StartDaemon]:
    """Starts daemons with one worker and one store, whose callers must sign."""
    with contextlib.ExitStack() as stack:
        try:
            url = stack.enter_context(running_server())
        except ServerMissingError as error:
            pytest.skip(str(error))
        credentials = [{"access_key_id": KEY, "secret_access_key": SECRET}]

        def start(name: str, **env: Any) -> Daemon:
            daemon = start_daemon(
                name,
                STREAMD_SERVER__WORKERS=1,
                STREAMD_STORE__URL=url,
                STREAMD_STORE__HOME_SECONDS=HOME_SECONDS,
                STREAMD_AUTH__MODE="sigv4",
                STREAMD_AUTH__CREDENTIALS=json.dumps(credentials),
                **env,
            )
            daemon.credentials = (KEY, SECRET)
            return daemon

        yield start


class LoopingProducer:
    """Our own producer, which sends a file again and again through one control plane."""

    def __init__(self, daemon: Daemon, stream: str, file: Path) -> None:
        self.persisted: list[str] = []
        self.failure: BaseException | None = None
        self._open: Callable[[], PyavSource] = lambda: PyavSource(str(file))
        self._control = KinesisVideoControl(daemon.url, region="us-east-1", key=(KEY, SECRET))
        self._stream = self._control.ensure_stream(stream, retention_hours=1)
        self._producer: Producer | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = threading.Thread(target=self._run, name="producer")

    def __enter__(self) -> LoopingProducer:
        self._thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self.stop()

    def stop(self) -> list[str]:
        """End; returns the numbers of all fragments that were promised to be kept."""
        if self._loop is not None and self._producer is not None and self._thread.is_alive():
            with contextlib.suppress(RuntimeError):  # it has ended meanwhile
                self._loop.call_soon_threadsafe(self._producer.stop)
        self._thread.join(30)
        assert not self._thread.is_alive(), "the producer hangs"
        assert self.failure is None, self.failure
        return self.persisted

    def _run(self) -> None:
        try:
            asyncio.run(self._send())
        except Exception as error:  # noqa: BLE001  # told by stop()
            self.failure = error

    async def _send(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._producer = Producer(
            control=self._control,
            stream=self._stream,
            source=self._open(),
            reopen=self._open,
            options=ProducerOptions(loop=True, give_up_seconds=None),
            observer=self._observe,
        )
        await self._producer.run()

    def _observe(self, event: Event) -> None:
        ack = event.acknowledgement
        if ack is not None and ack.event_type is EventType.PERSISTED and ack.fragment_number:
            self.persisted.append(ack.fragment_number)


def endpoint(daemon: Daemon, stream: str) -> str:
    client = daemon.client("kinesisvideo")
    return str(client.get_data_endpoint(StreamName=stream, APIName="PUT_MEDIA")["DataEndpoint"])


def run_session_on(daemon: Daemon, other: Daemon, name: str) -> None:
    """Start a session while the other's worker cannot claim it."""
    (worker,) = other.worker_pids()
    with suspended(worker):
        daemon.client("rekognition").start_stream_processor(Name=name)
        wait_for_status(daemon, name, "RUNNING")


def test_a_stream_is_read_from_its_home_and_outlives_it(
    start_replica: StartDaemon, tmp_path: Path
) -> None:
    """Read across replicas; the reader is killed, then the home: both times all goes on."""
    home, reader = start_replica("home"), start_replica("reader")
    arn = create_stream(home, "door")
    create_face_search(reader, "door", stream_arn=arn)
    assert endpoint(reader, "door") == home.url
    run_session_on(reader, home, "door")
    video = write_video(tmp_path / "video.mp4", count=40, fps=10, gop=5)

    # The producer knows the reader's control plane alone.
    with LoopingProducer(reader, "door", video) as producer:
        wait_until(lambda: len(reader.records("door")) >= 5, what="records made far from home")
        wait_until(lambda: home.metric("streamd_fragments_received_total"), what="a fragment")
        assert reader.metric("streamd_fragments_received_total") == 0
        promised = producer.stop()
    wait_until(lambda: not audit(reader.records("door"), promised).lost, what="all records")

    with LoopingProducer(home, "door", video) as producer:
        reader.lose_power()
        wait_until(lambda: len(home.records("door")) >= 5, what="records made at home")
        reader.start()
        assert endpoint(reader, "door") == home.url
        producer.stop()

    with LoopingProducer(reader, "door", video) as producer:
        wait_until(lambda: producer.persisted, what="the home to take video")
        before = len(producer.persisted)
        at_reader = len(reader.records("door"))
        home.lose_power()
        killed_at = time.monotonic()
        wait_until(lambda: len(producer.persisted) > before + 3, what="the new home's promises")
        print(f"adopted {time.monotonic() - killed_at:.1f} s after the home was killed")
        wait_until(lambda: len(reader.records("door")) > at_reader + 5, what="records go on")
        assert time.monotonic() - killed_at < 2 * TAKEOVER_SECONDS
        promised = producer.stop()
    adopted = [number for number in promised if number > promised[before]]
    wait_until(lambda: not audit(reader.records("door"), adopted).lost, what="all records")
    assert reader.metric("streamd_streams_adopted_total") == 1
    assert status_of(reader, "door") == "RUNNING"

    # Back again, the former home knows where the stream is, and does not want it back.
    home.start()
    assert endpoint(home, "door") == endpoint(reader, "door") == reader.url


@long_form
def test_a_suspended_home_promises_nothing_when_it_wakes(
    start_replica: StartDaemon, tmp_path: Path
) -> None:
    """Its stream is adopted meanwhile: producer and session leave it, though it closes nothing."""
    zombie, other = start_replica("zombie"), start_replica("other")
    create_face_search(other, "yard", stream_arn=create_stream(zombie, "yard"))
    run_session_on(other, zombie, "yard")
    video = write_video(tmp_path / "video.mp4", count=40, fps=10, gop=5)
    with LoopingProducer(other, "yard", video) as producer:
        wait_until(lambda: len(other.records("yard")) >= 5, what="records")
        wait_until(lambda: producer.persisted, what="promises")
        with suspended(zombie.pid):
            suspended_at = time.monotonic()
            before, promised = len(other.records("yard")), len(producer.persisted)
            wait_until(lambda: len(other.records("yard")) > before + 5, what="records go on")
            wait_until(lambda: len(producer.persisted) > promised, what="promises")
            print(f"left after {time.monotonic() - suspended_at:.1f} s")
            assert time.monotonic() - suspended_at < 2 * TAKEOVER_SECONDS
        assert endpoint(other, "yard") == other.url
        wait_until(lambda: endpoint(zombie, "yard") == other.url, what="the zombie to find out")
        numbers = producer.stop()[promised:]
    found = other.client("kinesis-video-archived-media").list_fragments(
        StreamName="yard", MaxResults=1000, FragmentSelector=_ALL
    )
    assert set(numbers) <= {fragment["FragmentNumber"] for fragment in found["Fragments"]}
    wait_until(lambda: not audit(other.records("yard"), numbers).lost, what="all records")


_ALL = {
    "FragmentSelectorType": "SERVER_TIMESTAMP",
    "TimestampRange": {"StartTimestamp": 0, "EndTimestamp": 4_000_000_000},
}


@pytest.fixture
def camera() -> Iterator[RtspCamera]:
    with rtsp_camera(quiet_video()) as running:
        yield running


def test_a_camera_is_relayed_by_one_replica(start_replica: StartDaemon, camera: RtspCamera) -> None:
    """Two have it in their settings; when the one that relays it is killed the other does."""
    env = {"STREAMD_CAMERAS__GATE__URL": camera.url}
    replicas = [start_replica(name, **env) for name in ("one", "two")]

    def relaying() -> list[Daemon]:
        return [each for each in replicas if each.metric("streamd_camera_relayed") == 1]

    def received(daemon: Daemon) -> float:
        return daemon.metric("streamd_fragments_received_total")

    (first,) = wait_until(relaying, what="the camera to be relayed")
    wait_until(lambda: received(first) >= 3, what="its video")
    other = next(each for each in replicas if each is not first)
    assert other.metric("streamd_camera_up") == 0
    assert first.metric("streamd_camera_up") == 1
    assert (len(relaying()), camera.sessions, received(other)) == (1, 1, 0)

    first.lose_power()
    killed_at = time.monotonic()
    wait_until(lambda: received(other) >= 1, what="its video at the other")
    taken = time.monotonic() - killed_at
    print(f"camera taken over {taken:.1f} s after its replica was killed")
    assert taken < TAKEOVER_SECONDS
    assert other.metric("streamd_camera_up") == 1
    first.start()
    before = received(other)
    wait_until(lambda: received(other) > before + 3, what="its video to stay there")
    assert first.metric("streamd_camera_relayed") == 0
