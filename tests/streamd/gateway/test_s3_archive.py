"""The archive in S3: what is promised when, what another replica finds, and what goes wrong."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import EndpointConnectionError

from streamd.config import S3Settings
from streamd.gateway.archive import Freed, Retention, StoredFragment
from streamd.gateway.errors import (
    ArchiveError,
    ArchiveUnavailableError,
    FragmentDamagedError,
    FragmentGoneError,
)
from tests.support.archives import ARN, DAY, MB, OTHER_ARN, S3Box
from tests.support.daemon import wait_until
from tests.support.gateway import serving
from tests.support.moto import Moto, client_error, moto_server

AWAY = EndpointConnectionError(endpoint_url="http://s3.example")
DENIED = client_error("AccessDenied", 403)


@pytest.fixture(scope="module")
def moto() -> Iterator[Moto]:
    with moto_server() as server:
        yield server


@pytest.fixture
def box(tmp_path: Path, moto: Moto) -> Iterator[S3Box]:
    made = S3Box(tmp_path / "a", moto)
    yield made
    made.client.error = None
    made.archive.close()


@pytest.fixture
def other(box: S3Box, tmp_path: Path) -> Iterator[S3Box]:
    made = box.other(tmp_path / "b")
    yield made
    made.client.error = None
    made.archive.close()


def whole(box: S3Box, fragment: StoredFragment) -> bytes:
    first = box.archive.check(fragment)
    rest = box.archive.read(fragment.place, len(first), fragment.size - len(first))
    return box.archive.header(fragment) + first + rest


def commit(box: S3Box, second: int, data: bytes = b"media") -> tuple[StoredFragment, Any]:
    """Archive without waiting for S3; returns the fragment and its event."""
    fragment = box.write(second, data)
    box.archive.commit([fragment], durable=True)
    return fragment, box.persisted(fragment)


def lose_copies(box: S3Box) -> None:
    """Take what S3 has, too, from the local disk."""
    free, box.free = box.free, -(1 << 40)
    box.archive.enforce({ARN: DAY, OTHER_ARN: DAY}, max_bytes=1024 * MB)
    box.free = free
    assert box.files(".copy") == []


def test_an_object_is_a_file_that_plays(box: S3Box) -> None:
    """Header and fragment, named by number and times, below the stream's prefix."""
    fragment = box.put(0)
    (key,) = box.listed()
    assert key.startswith(f"video/us-east-1/000000000000/door-1/{fragment.number}_1700000000000_")
    stored = box.s3.get_object(Bucket=box.bucket, Key=key)
    assert (stored["Body"].read(), stored["ContentType"]) == (b"headermedia", "video/x-matroska")


def test_persisted_means_in_s3_and_read_means_at_once(box: S3Box) -> None:
    """While an upload takes its time the fragment is found here, and not promised."""
    gate = threading.Event()

    def before(name: str, _: dict[str, Any]) -> None:
        if name == "put_object":
            gate.wait(30)

    box.client.before = before
    fragment, persisted = commit(box, 0)
    assert box.seconds() == [0]
    assert whole(box, fragment) == b"headermedia"
    assert (persisted.is_set(), box.listed()) == (False, [])
    gate.set()
    assert persisted.wait(30)
    assert len(box.listed()) == 1


@pytest.mark.parametrize("error", [AWAY, DENIED, client_error("NoSuchBucket", 404)])
def test_while_s3_is_away_fragments_wait(box: S3Box, error: Exception) -> None:
    """They are read here, go there in their order when it is back, and then are promised."""
    order: list[str] = []
    box.client.before = lambda name, request: (
        order.append(request["Key"]) if name == "put_object" and not box.client.error else None
    )
    box.client.error = error
    committed = [commit(box, second) for second in range(5)]
    wait_until(lambda: any("Error" in outcome for outcome in box.uploads), what="an attempt")
    assert box.seconds() == [0, 1, 2, 3, 4]
    assert [whole(box, fragment) for fragment, _ in committed] == [b"headermedia"] * 5
    assert not any(persisted.is_set() for _, persisted in committed)
    assert box.archive.waiting_bytes == 5 * len(b"headermedia")
    box.client.error = None
    assert all(persisted.wait(30) for _, persisted in committed)
    assert order == box.listed()
    assert (len(order), box.archive.waiting_bytes) == (5, 0)


def test_what_waits_is_bounded_and_copies_make_room(tmp_path: Path, moto: Moto) -> None:
    """Beyond the limit a fragment is refused, not one that waits is given up."""
    box = S3Box(tmp_path / "small", moto, max_bytes=100_000)
    for second in range(5):
        box.put(second, bytes(30_000))
    assert len(box.files(".copy")) <= 3
    box.client.error = AWAY
    waiting = [commit(box, 10 + second, bytes(30_000))[1] for second in range(3)]
    with pytest.raises(ArchiveError, match="wait for S3"):
        box.write(20, bytes(30_000))
    assert box.archive.total_bytes <= 100_000
    box.client.error = None
    assert all(persisted.wait(30) for persisted in waiting)
    box.put(30, bytes(30_000))
    assert box.seconds() == [0, 1, 2, 3, 4, 10, 11, 12, 30]
    box.archive.close()


@pytest.mark.parametrize("index", ["kept", "lost", "damaged"])
def test_what_waits_survives_a_restart(box: S3Box, tmp_path: Path, index: str) -> None:
    """Even without an index: the files tell what they are; then S3 has it."""
    box.put(0)
    box.client.error = AWAY
    commit(box, 1)
    commit(box, 2)
    box.archive.close()
    for path in box.path.glob("objects.sqlite*"):
        if index == "lost":
            path.unlink()
        elif index == "damaged":
            path.write_bytes(b"no database" * 100)
    again = box.other(box.path)
    again.wait_for_uploads()
    assert again.refreshed() == [0, 1, 2]
    assert [whole(again, fragment) for fragment in again.found()] == [b"headermedia"] * 3
    again.archive.close()
    third = box.other(tmp_path / "third")
    assert third.refreshed() == [0, 1, 2]
    third.archive.close()


def test_another_replica_finds_everything(box: S3Box, other: S3Box) -> None:
    """Byte for byte, by number and by time, and then what comes later."""
    for second in range(5):
        box.put(second, b"media-%d" % second)
    assert other.refreshed() == [0, 1, 2, 3, 4]
    assert [whole(other, f) for f in other.found()] == [b"headermedia-%d" % s for s in range(5)]
    assert [f.number for f in other.found()] == [f.number for f in box.found()]
    box.put(7)
    assert other.refreshed() == [0, 1, 2, 3, 4, 7]


def test_what_a_zombie_brings_late_is_found(box: S3Box, other: S3Box) -> None:
    """Its older fragments come in between: soon if they are young, else by the hour."""
    box.put(0)
    box.client.error = AWAY
    late = [commit(box, second)[1] for second in (1, 3000)]
    for second in (2, 3001):
        other.put(second)
    assert other.refreshed() == [0, 2, 3001]
    box.client.error = None
    assert all(persisted.wait(30) for persisted in late)
    other.clock.advance(3001)
    assert other.refreshed() == [0, 2, 3000, 3001]
    other.clock.advance(3600)
    other.archive.enforce({ARN: DAY}, max_bytes=1024 * MB)
    assert other.seconds() == [0, 1, 2, 3000, 3001]


def test_rows_of_objects_that_are_gone_go_by_the_hour(box: S3Box, other: S3Box) -> None:
    """Somebody removed them; what waits here, or is a copy here, stays."""
    for second in range(3):
        box.put(second)
    assert other.refreshed() == [0, 1, 2]
    box.s3.delete_object(Bucket=box.bucket, Key=box.listed()[1])
    other.clock.advance(3601)
    other.archive.enforce({ARN: DAY}, max_bytes=1024 * MB)
    assert other.seconds() == [0, 2]


def test_a_replica_that_knows_nothing_and_cannot_ask_refuses(box: S3Box, tmp_path: Path) -> None:
    """It would miss fragments and might give numbers that do not rise; later it can."""
    box.put(0)
    other = box.other(tmp_path / "b", recover=False)
    other.client.error = AWAY
    other.archive.recover()
    with pytest.raises(ArchiveUnavailableError, match="not known"):
        other.refreshed()
    other.client.error = None
    assert other.refreshed() == [0]
    other.client.error = AWAY
    assert other.refreshed() == [0]
    # It was another's in between.
    with pytest.raises(ArchiveUnavailableError, match="not known"):
        other.archive.refresh(other.archive.stream_id(ARN), is_new=True)
    other.archive.close()


@pytest.mark.parametrize("is_shared", [True, False], ids=["replica", "alone"])
def test_after_a_restart_without_s3_only_a_lone_daemon_goes_on(
    box: S3Box, *, is_shared: bool
) -> None:
    """Nobody else can have archived its streams; a replica cannot know that."""
    box.put(0)
    box.archive.close()
    again = box.other(box.path, recover=False, is_shared=is_shared)
    again.client.error = AWAY
    again.archive.recover()
    if is_shared:
        with pytest.raises(ArchiveUnavailableError, match="not known"):
            again.refreshed()
    else:
        assert again.refreshed() == [0]
    again.client.error = None
    again.archive.close()


def test_half_a_listing_is_none(box: S3Box, other: S3Box) -> None:
    """A listing that breaks off in the middle leaves nothing that looks like everything."""
    for second in range(3):
        box.put(second)
    client, pages = other.client, []

    def fails(name: str, request: dict[str, Any]) -> bool:
        if name == "list_objects_v2":
            request["MaxKeys"] = 1
            pages.append(name)
        return len(pages) > 1

    client.error, client.fails = AWAY, fails
    with pytest.raises(ArchiveError):
        other.refreshed()
    assert other.seconds() == []
    client.error = None
    assert other.refreshed() == [0, 1, 2]


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (client_error("NoSuchBucket", 404), "bucket video-.* does not exist"),
        (DENIED, "bucket video-.* may not be used"),
    ],
)
def test_a_bucket_that_cannot_work_is_told_at_the_start(
    box: S3Box, tmp_path: Path, error: Exception, message: str
) -> None:
    """By the setting's name; a bucket that only does not answer is waited for."""
    other = box.other(tmp_path / "b", recover=False)
    other.client.error = error
    with pytest.raises(ArchiveError, match=message):
        other.archive.recover()
    other.client.error = AWAY
    other.archive.recover()
    other.archive.close()


def test_a_missing_object_is_gone(box: S3Box, other: S3Box) -> None:
    """It is counted, forgotten, and the others are read."""
    for second in range(2):
        box.put(second)
    other.refreshed()
    first, second_ = other.found()
    box.s3.delete_object(Bucket=box.bucket, Key=box.listed()[0])
    with pytest.raises(FragmentGoneError):
        other.archive.header(first)
    assert (other.lost, other.seconds()) == ([("missing", 1)], [1])
    assert whole(other, second_) == b"headermedia"


@pytest.mark.parametrize(
    ("body", "reason"),
    [(b"headerme", "cut off"), (b"headermedoa", "checksum"), (b"", "cut off")],
)
def test_a_changed_object_is_noticed(box: S3Box, other: S3Box, body: bytes, reason: str) -> None:
    """Damage is an error, never served, and never kept as a copy that hides a repair."""
    box.put(0)
    (key,) = box.listed()
    box.s3.put_object(Bucket=box.bucket, Key=key, Body=body)
    other.refreshed()
    (fragment,) = other.found()
    for _ in range(2):
        with pytest.raises(FragmentDamagedError, match=reason):
            other.archive.check(fragment)
    box.s3.put_object(Bucket=box.bucket, Key=key, Body=b"headermedia")
    assert whole(other, fragment) == b"headermedia"


def test_a_damaged_copy_is_replaced_from_s3(box: S3Box) -> None:
    """A bad spot of the local disk costs a request."""
    fragment = box.put(0)
    (copy,) = box.files(".copy")
    copy.write_bytes(b"headermedoa")
    assert whole(box, fragment) == b"headermedia"
    assert box.lost == []


def test_damage_before_the_upload_is_never_promised(box: S3Box) -> None:
    """What the disk changed while it waited is counted and dropped; the next one goes on."""
    box.client.error = AWAY
    fragment, persisted = commit(box, 0)
    (path,) = box.files(".waiting")
    # At once: the upload is tried again at any time.
    damaged = path.with_suffix(".damaged")
    damaged.write_bytes(b"headermedoa")
    damaged.replace(path)
    box.client.error = None
    box.put(1)
    wait_until(lambda: box.lost, what="the damage to be noticed")
    assert box.lost == [("checksum", 1)]
    assert (persisted.is_set(), box.seconds()) == (False, [1])
    assert len(box.listed()) == 1
    with pytest.raises(FragmentGoneError):
        box.archive.check(fragment)


def test_without_copies_everything_is_read_from_s3(box: S3Box) -> None:
    """In pieces, too; and what was read once is a copy again."""
    data = bytes(range(256)) * 9000
    fragment = box.put(0, data)
    lose_copies(box)
    assert box.archive.read(fragment.place, 1000, 5) == data[1000:1005]
    assert whole(box, fragment) == b"header" + data
    assert len(box.files(".copy")) == 1
    box.client.error = AWAY
    assert whole(box, fragment) == b"header" + data


def test_without_s3_what_lies_there_cannot_be_read(box: S3Box) -> None:
    """An error that passes: nothing is forgotten."""
    fragment = box.put(0)
    lose_copies(box)
    box.client.error = AWAY
    with pytest.raises(ArchiveError, match="S3 cannot be read"):
        box.archive.check(fragment)
    box.client.error = None
    assert whole(box, fragment) == b"headermedia"
    assert box.lost == []


def test_a_short_disk_loses_copies_and_nothing_that_waits(box: S3Box) -> None:
    """What S3 has makes room; what it has not stays."""
    for second in range(4):
        box.put(second, bytes(1000))
    box.client.error = AWAY
    _, persisted = commit(box, 9)
    box.free = -1500
    freed = box.archive.enforce({ARN: DAY}, max_bytes=1024 * MB)
    assert freed == Freed(segments=2, early=2)
    box.free = -(1 << 40)
    box.archive.enforce({ARN: DAY}, max_bytes=1024 * MB)
    assert [path.suffix for path in box.files()] == [".waiting"]
    assert box.seconds() == [0, 1, 2, 3, 9]
    box.client.error = None
    assert persisted.wait(30)


def test_old_objects_are_deleted_in_batches(box: S3Box) -> None:
    """Object, row and copy; while S3 refuses it the rows stay, and it is tried again."""
    for second in range(5):
        box.put(second)
    box.put(24 * 3600)
    box.clock.advance(24 * 3600 + 10)
    box.client.error, box.client.fails = DENIED, lambda name, _: name == "delete_objects"
    assert box.archive.enforce({ARN: DAY}, max_bytes=1024 * MB).segments == 0
    assert len(box.seconds()) == 6
    box.client.error = None
    box.client.calls.clear()
    assert box.archive.enforce({ARN: DAY}, max_bytes=1024 * MB).segments == 5
    assert box.client.calls.count("delete_objects") == 1
    assert (len(box.listed()), box.seconds(), len(box.files())) == (1, [24 * 3600], 1)


def test_a_limit_in_bytes_is_the_business_of_who_writes(box: S3Box, other: S3Box) -> None:
    """A replica with an old view of a stream deletes nothing for it."""
    small = Retention(max_age_ms=DAY.max_age_ms, max_bytes=25_000, durable=True)
    for second in range(5):
        box.put(second, bytes(10_000), retention=small)
    assert other.refreshed() == [0, 1, 2, 3, 4]
    other.archive.enforce({ARN: small}, max_bytes=1024 * MB)
    assert len(box.listed()) == 5
    box.archive.enforce({ARN: small}, max_bytes=1024 * MB)
    assert box.seconds() == [3, 4]
    assert len(box.listed()) == 2


def test_a_stream_is_removed_when_s3_lets_it(box: S3Box) -> None:
    """Until then it is known, so that a sweep tries again; nothing of it is found any more."""
    box.put(0)
    box.put(0, arn=OTHER_ARN)
    box.client.error = AWAY
    box.archive.remove_stream(ARN)
    assert (ARN in box.archive.stream_arns(), box.seconds()) == (True, [])
    box.client.error = None
    box.archive.remove_stream(ARN)
    assert box.archive.stream_arns() == [OTHER_ARN]
    assert [key.split("/")[3] for key in box.listed()] == ["yard-1"]


def test_what_another_replica_archived_is_removed_with_its_stream(box: S3Box, other: S3Box) -> None:
    """Whoever is told of DeleteStream empties the stream's prefix."""
    box.put(0)
    other.archive.remove_stream(ARN)
    assert box.listed() == []


def test_an_upload_of_a_removed_stream_leaves_nothing(box: S3Box) -> None:
    """One that was on its way just then is deleted again."""
    gate, entered = threading.Event(), threading.Event()

    def before(name: str, _: dict[str, Any]) -> None:
        if name == "put_object":
            entered.set()
            gate.wait(30)

    box.client.before = before
    commit(box, 0)
    assert entered.wait(30)
    removing = threading.Thread(target=box.archive.remove_stream, args=(ARN,))
    removing.start()
    gate.set()
    removing.join(30)
    assert not removing.is_alive()
    assert (box.listed(), box.files()) == ([], [])


async def test_a_stream_of_which_nothing_is_known_is_unavailable(
    tmp_path: Path, unused_tcp_port: int
) -> None:
    """Without S3 its producer and its consumers get AWS's 503, and come back."""
    s3 = S3Settings.model_validate(
        {
            "endpoint_url": f"http://127.0.0.1:{unused_tcp_port}",
            "access_key_id": "test",
            "secret_access_key": "test",
        }
    )
    settings = {"archive": "s3", "archive_bucket": "video"}
    async with serving(tmp_path, settings=settings, s3=s3) as server:
        await server.create()
        async with server.put_media() as producer:
            assert producer.response.status == 503
            await producer.send(b"")
        async with server.get_media(StartSelectorType="EARLIEST") as answer:
            assert answer.status == 503


def test_buffers_never_go_to_s3(box: S3Box) -> None:
    """A stream with a retention of 0 is kept here alone, after a restart, too."""
    buffer = Retention(max_age_ms=5 * 60_000, max_bytes=200_000_000, durable=False)
    box.put(0, retention=buffer)
    again = box.reopened()
    assert again.refreshed() == [0]
    assert whole(again, again.found()[0]) == b"headermedia"
    assert again.listed() == []
    again.archive.close()
