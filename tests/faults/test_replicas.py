"""Replicas that share a PostgreSQL store: work moves when one dies, hangs or is cut off.

Their cameras send to a third daemon, which stands for Kinesis Video itself: what every replica
can reach, every replica can go on with.
"""

from __future__ import annotations

import contextlib
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from botocore.exceptions import ClientError

from tests.faults.conftest import StartCamera, StartDaemon
from tests.support.daemon import Daemon, wait_until
from tests.support.ledger import Ledger, audit, positions
from tests.support.live_camera import quiet_video
from tests.support.postgresql import ServerMissingError, running_server
from tests.support.story import create_face_search, create_stream, status_of, wait_for_status
from tests.support.suspension import suspended
from tests.support.tcp_proxy import tcp_proxy

pytestmark = pytest.mark.service

TAKEOVER_SECONDS = 15.0
ANSWER_SECONDS = 40.0
"""An API call whose store is out of reach: a ping, a connection, and a machine that is busy."""
CROWD = 12
FRAMES_OF_A_FRAGMENT = 2


@pytest.fixture
def store_url() -> Iterator[str]:
    """URL of an empty database of the test's own."""
    with contextlib.ExitStack() as stack:
        try:
            url = stack.enter_context(running_server())
        except ServerMissingError as error:
            pytest.skip(str(error))
        yield url


class Replicas:
    """Two daemons with one store, and the video both read."""

    def __init__(
        self, start: StartDaemon, store_url: str, by_way_of: Mapping[str, str] | None = None
    ) -> None:
        """Start them; ``by_way_of`` gives replicas URLs of their own for the store."""
        self.video = start("video", STREAMD_SERVER__WORKERS=1)
        env = {
            "STREAMD_SERVER__WORKERS": 1,
            "STREAMD_LIMITS__FACE_SEARCH_SESSIONS": CROWD,
            "STREAMD_KINESIS_VIDEO__ENDPOINT_URL": self.video.url,
            # The video is not signed for; nobody is asked for a key.
            "AWS_EC2_METADATA_DISABLED": "true",
        }
        urls = by_way_of or {}

        def open_replica(name: str) -> Daemon:
            return start(name, STREAMD_STORE__URL=urls.get(name, store_url), **env)

        self._open = open_replica
        self.each = {name: open_replica(name) for name in ("one", "two")}
        url = sa.make_url(store_url).set(drivername="postgresql+psycopg")
        self._engine = sa.create_engine(url, poolclass=sa.NullPool)

    def join(self, name: str) -> None:
        """Start one more replica."""
        self.each[name] = self._open(name)

    def owners(self, names: list[str]) -> dict[str, str | None]:
        """Return the workers that hold sessions."""
        return {name: self.owner(name) for name in names}

    def shares(self, names: list[str]) -> Counter[str]:
        """Return how many sessions each worker holds, ``nobody`` included."""
        return Counter(owner or "nobody" for owner in self.owners(names).values())

    def search(self, name: str) -> str:
        """Start a face search by way of the first replica; returns the stream's ARN."""
        arn = create_stream(self.video, name)
        one = self.each["one"]
        create_face_search(one, name, stream_arn=arn)
        one.client("rekognition").start_stream_processor(Name=name)
        wait_for_status(one, name, "RUNNING")
        return arn

    def records(self, name: str) -> list[dict[str, Any]]:
        """Return the records of all replicas, one replica after the other."""
        return [record for daemon in self.each.values() for record in daemon.records(name)]

    def holder(self, name: str) -> Daemon | None:
        """Return the replica that runs a session, ``None`` while none does."""
        owner = self.owner(name)
        for daemon in self.each.values():
            with contextlib.suppress(OSError):
                if owner in _names(daemon):
                    return daemon
        return None

    def running(self, name: str) -> Daemon:
        """Return the replica that runs a session, once one does."""
        holder: Daemon = wait_until(lambda: self.holder(name), what=f"{name} to be held")
        return holder

    def other(self, daemon: Daemon) -> Daemon:
        """Return the other replica."""
        return next(each for each in self.each.values() if each is not daemon)

    def owner(self, name: str) -> str | None:
        """Return the name of the worker that holds a session."""
        query = sa.text("SELECT owner FROM sessions WHERE processor_name = :name")
        with self._engine.connect() as connection:
            owner: str | None = connection.scalar(query, {"name": name})
        return owner


def _names(daemon: Daemon) -> set[str]:
    names: set[str] = set()
    for pid in daemon.worker_pids():
        with open(f"/proc/{pid}/cmdline") as file:  # noqa: PTH123  # of the kernel
            names.update(file.read().split("\0"))
    return names


@pytest.fixture
def replicas(start_daemon: StartDaemon, store_url: str) -> Replicas:
    return Replicas(start_daemon, store_url)


def test_processors_of_a_killed_replica_go_on_at_the_other(
    replicas: Replicas, start_camera: StartCamera
) -> None:
    """The whole replica is gone, workers and all: within 15 s the other one has its work."""
    replicas.search("door")
    camera = start_camera(replicas.video.port, "door")
    wait_until(lambda: len(replicas.records("door")) >= 5, what="first records")
    gone = replicas.running("door")
    survivor = replicas.other(gone)
    gone.lose_power()
    killed_at = time.monotonic()
    wait_until(lambda: survivor.records("door"), what="records of the survivor")
    takeover = time.monotonic() - killed_at
    print(f"takeover from a killed replica: {takeover:.1f} s to its first record")
    assert takeover < TAKEOVER_SECONDS
    promised = camera.stop()
    wait_until(lambda: not audit(replicas.records("door"), promised).lost, what="all records")
    assert status_of(survivor, "door") == "RUNNING"

    # It comes back: what it has in its outbox is old by now, and it does not start over there.
    gone.start()
    camera = start_camera(replicas.video.port, "door")
    assert survivor.terminate() == 0
    wait_until(lambda: replicas.holder("door") is gone, what="the session to come back")
    promised = [*promised, *camera.stop()]
    wait_until(lambda: not audit(replicas.records("door"), promised).lost, what="all records")
    found = positions(gone.records("door"))
    assert list(dict.fromkeys(found)) == sorted(set(found))


def test_suspended_replica_loses_its_work_and_wakes_without_a_word(
    replicas: Replicas, start_camera: StartCamera
) -> None:
    """All of its processes stand still; awake again, it delivers nothing of what is not its own."""
    replicas.search("yard")
    camera = start_camera(replicas.video.port, "yard")
    wait_until(lambda: len(replicas.records("yard")) >= 5, what="first records")
    zombie = replicas.running("yard")
    survivor = replicas.other(zombie)
    with contextlib.ExitStack() as stack:
        for pid in (zombie.pid, *zombie.worker_pids()):
            stack.enter_context(suspended(pid))
        suspended_at = time.monotonic()
        wait_until(lambda: survivor.records("yard"), what="records of the survivor")
        assert time.monotonic() - suspended_at < TAKEOVER_SECONDS
        before = len(zombie.records("yard"))
    wait_until(
        lambda: "lease lost" in zombie.log() or "taken over" in zombie.log(),
        what="the zombie to find out",
    )
    owner = replicas.owner("yard")
    promised = camera.stop()
    wait_until(lambda: not audit(replicas.records("yard"), promised).lost, what="all records")
    assert len(zombie.records("yard")) == before
    assert replicas.owner("yard") == owner
    assert status_of(zombie, "yard") == "RUNNING"


def test_stopped_replica_hands_its_work_over_at_once(
    replicas: Replicas, start_camera: StartCamera
) -> None:
    """SIGTERM releases the claims: nobody waits for a lease, nothing is lost or repeated."""
    replicas.search("hall")
    camera = start_camera(replicas.video.port, "hall")
    wait_until(lambda: len(replicas.records("hall")) >= 5, what="first records")
    leaving = replicas.running("hall")
    survivor = replicas.other(leaving)
    assert leaving.terminate() == 0
    wait_until(lambda: survivor.records("hall"), seconds=5, what="records of the survivor")
    promised = camera.stop()
    wait_until(lambda: not audit(replicas.records("hall"), promised).lost, what="all records")
    ledger = audit(replicas.records("hall"), promised)
    assert ledger.repeated == 0


def test_replica_cut_off_from_the_store_is_replaced_and_comes_back(
    start_daemon: StartDaemon, start_camera: StartCamera, store_url: str
) -> None:
    """A firewall swallows its packets: it writes no more, answers in time, and recovers itself."""
    socket = Path(str(sa.make_url(store_url).query["host"])) / ".s.PGSQL.5432"
    with tcp_proxy(socket) as way_of_one, tcp_proxy(socket) as way_of_two:
        ways = {"one": way_of_one, "two": way_of_two}
        urls = {
            name: f"postgresql://streamd@127.0.0.1:{way.port}/postgres?sslmode=disable"
            for name, way in ways.items()
        }
        replicas = Replicas(start_daemon, store_url, urls)
        replicas.search("gate")
        camera = start_camera(replicas.video.port, "gate")
        wait_until(lambda: len(replicas.records("gate")) >= 5, what="first records")
        alone = replicas.running("gate")
        survivor = replicas.other(alone)
        (way,) = [ways[name] for name, daemon in replicas.each.items() if daemon is alone]
        way.cut()
        cut_at = time.monotonic()
        wait_until(lambda: survivor.records("gate"), what="records of the survivor")
        takeover = time.monotonic() - cut_at
        print(f"takeover from a replica that is cut off: {takeover:.1f} s to its first record")
        assert takeover < TAKEOVER_SECONDS
        # Its lease is over, by its own clock too: what it goes on finding stays in its outbox.
        before = len(alone.records("gate"))

        asked_at = time.monotonic()
        with pytest.raises(ClientError) as caught:
            alone.client("rekognition").describe_stream_processor(Name="gate")
        assert time.monotonic() - asked_at < ANSWER_SECONDS
        assert caught.value.response["Error"]["Code"] == "InternalServerError"
        assert alone.get("/healthz")[0] == 200

        way.heal()
        wait_until(lambda: alone.get("/readyz")[0] == 200, what="the way back", seconds=60)
        wait_until(
            lambda: "lease lost" in alone.log() or "taken over" in alone.log(),
            what="the replica to find out",
            seconds=60,
        )
        promised = camera.stop()
        wait_until(lambda: not audit(replicas.records("gate"), promised).lost, what="all records")
        assert len(alone.records("gate")) == before
        assert replicas.holder("gate") is survivor
        # It is a replica like any other again.
        alone.client("rekognition").stop_stream_processor(Name="gate")
        wait_for_status(alone, "gate", "STOPPED")
        for daemon in replicas.each.values():
            daemon.stop()


@pytest.mark.slow
def test_work_is_spread_when_a_replica_joins_and_when_one_leaves(
    replicas: Replicas, start_camera: StartCamera
) -> None:
    """Twelve processors on two replicas: a third gets four of them, and gives them back."""
    names = [f"cam-{index}" for index in range(CROWD)]
    arns = {name: create_stream(replicas.video, name) for name in names}
    one = replicas.each["one"]
    create_face_search(one, names[0], stream_arn=arns[names[0]])
    for name in names[1:]:
        _create_like(one, names[0], name, arns[name])
    for name in names:
        one.client("rekognition").start_stream_processor(Name=name)
    wait_until(lambda: sorted(replicas.shares(names).values()) == [6, 6], what="even shares")
    video = quiet_video(fps=FRAMES_OF_A_FRAGMENT, fragment_seconds=1)
    cameras = {name: start_camera(replicas.video.port, name, video=video) for name in names}
    wait_until(lambda: all(len(replicas.records(name)) >= 4 for name in names), what="records")
    before = replicas.owners(names)

    replicas.join("three")
    # What is even is the load: it is measured, and the machine may be busy.
    wait_until(lambda: _are_about(4, replicas.shares(names), of=3), what="three shares")
    joined = replicas.owners(names)
    moved = {name for name in names if joined[name] != before[name]}
    assert {replicas.holder(name) for name in moved} == {replicas.each["three"]}
    assert len(moved) <= CROWD // 3 + 1
    seen = {name: len(replicas.records(name)) for name in names}
    wait_until(
        lambda: all(len(replicas.records(name)) > seen[name] + 2 for name in names),
        what="records after the move",
    )

    assert replicas.each["two"].terminate() == 0
    wait_until(lambda: _are_about(6, replicas.shares(names), of=2), what="shares of the others")
    left = replicas.owners(names)
    stayed = [name for name in names if left[name] == joined[name]]
    # The four of the one that left, and what the load of a busy machine makes uneven.
    assert len(stayed) >= CROWD // 2
    for name, camera in cameras.items():
        moves = (joined[name] != before[name]) + (left[name] != joined[name])
        repeated = _wait_for_all(replicas, name, camera.stop()).repeated
        # The outbox stays behind: the fragment that was in hand at a move is analysed again.
        assert repeated <= moves * FRAMES_OF_A_FRAGMENT, name
    assert {status_of(one, name) for name in names} == {"RUNNING"}
    print(f"moved at the join: {len(moved)}, at the end of a replica: {CROWD - len(stayed)}")


def _are_about(share: int, shares: Counter[str], *, of: int) -> bool:
    """Return whether so many workers have this share, give or take one, and nobody's are none."""
    is_even = all(abs(count - share) <= 1 for count in shares.values())
    return len(shares) == of and is_even and "nobody" not in shares


def _create_like(daemon: Daemon, like: str, name: str, stream_arn: str) -> None:
    """Make one more processor that searches the collection of another."""
    rekognition = daemon.client("rekognition")
    model = rekognition.describe_stream_processor(Name=like)
    rekognition.create_stream_processor(
        Name=name,
        Input={"KinesisVideoStream": {"Arn": stream_arn}},
        Output={
            "KinesisDataStream": {"Arn": f"arn:aws:kinesis:us-east-1:000000000000:stream/{name}"}
        },
        Settings=model["Settings"],
        RoleArn=model["RoleArn"],
    )


def _wait_for_all(replicas: Replicas, name: str, promised: list[str]) -> Ledger:
    def books() -> Ledger:
        return audit(replicas.records(name), promised, per_fragment=FRAMES_OF_A_FRAGMENT)

    wait_until(lambda: not books().lost and not books().thin, what=f"all records of {name}")
    return books()
