"""The local sink."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from streamd.clock import SystemClock, utc_from_epoch
from streamd.records import OutboxItem
from streamd.sinks import SinkGoneError, SinkRejectedError, SinkUnavailableError
from streamd.sinks.local import LocalSink, object_path

STREAM_ARN = "arn:aws:kinesis:us-east-1:111122223333:stream/faces"
TOPIC_ARN = "arn:aws:sns:us-east-1:111122223333:porch"


class FixedClock(SystemClock):
    def now(self):  # type: ignore[no-untyped-def]  # the base says it
        return utc_from_epoch(1700000100.512)


def record(number: int) -> OutboxItem:
    return OutboxItem(
        kind="kinesis",
        target=STREAM_ARN,
        key="door",
        content_type="application/json",
        body=b'{"n":%d}' % number,
    )


def picture(key: str, body: bytes = b"jpeg", bucket: str = "my-bucket") -> OutboxItem:
    return OutboxItem(kind="s3", target=bucket, key=key, content_type="image/jpeg", body=body)


def files_in(directory: Path) -> dict[str, bytes]:
    return {
        str(file.relative_to(directory)): file.read_bytes()
        for file in directory.rglob("*")
        if file.is_file()
    }


@pytest.fixture
async def sink(tmp_path: Path) -> AsyncIterator[LocalSink]:
    sink = LocalSink(tmp_path, clock=FixedClock())
    await sink.open()
    yield sink
    await sink.aclose()


async def test_records_are_lines_of_the_streams_file(sink: LocalSink, tmp_path: Path) -> None:
    """One JSON document a line, in order."""
    await sink.deliver([record(1), record(2)])
    await sink.deliver([record(3)])
    assert (tmp_path / "kinesis/faces.jsonl").read_text() == '{"n":1}\n{"n":2}\n{"n":3}\n'


async def test_objects_are_files(sink: LocalSink, tmp_path: Path) -> None:
    """A key is a path below the bucket; the later of two writes stays."""
    await sink.deliver([picture("cams/s1/a.jpg", b"old"), picture("cams/s1/a.jpg", b"new")])
    assert files_in(tmp_path) == {"s3/my-bucket/cams/s1/a.jpg": b"new"}


async def test_notifications_look_like_snss(sink: LocalSink, tmp_path: Path) -> None:
    """Message is the JSON as a string, MessageId the same for every repeat."""
    item = OutboxItem(
        kind="sns",
        target=TOPIC_ARN,
        key="door",
        content_type="application/json",
        body=b'{"a":"\\u00e4"}',
        attributes={"subject": "Rekognition Stream Processing Event", "event_id": "e-1"},
    )
    await sink.deliver([item])
    assert json.loads((tmp_path / "sns/porch.jsonl").read_text()) == {
        "TopicArn": TOPIC_ARN,
        "Subject": "Rekognition Stream Processing Event",
        "Message": '{"a":"\\u00e4"}',
        "MessageId": "e-1",
        "Timestamp": "2023-11-14T22:15:00.512Z",
    }


@pytest.mark.parametrize(
    "key",
    ["../../etc/passwd", "a/../../b", "/etc/passwd", "a//b", "a/.", "a/", "a\0b", "", "x" * 256],
)
async def test_a_key_that_is_no_path_is_refused(sink: LocalSink, tmp_path: Path, key: str) -> None:
    """Nothing leaves the bucket, and nothing is written."""
    with pytest.raises(SinkRejectedError) as caught:
        await sink.deliver([picture(key)])
    assert set(caught.value.rejected) == {0}
    assert files_in(tmp_path) == {}


def test_a_key_longer_than_s3_takes_is_refused(tmp_path: Path) -> None:
    """1024 bytes is S3's limit for keys."""
    with pytest.raises(ValueError, match="longer than 1024 bytes"):
        object_path(tmp_path, "bucket", "/".join(["abcdefg"] * 129))


async def test_a_refused_object_does_not_stop_those_before_it(
    sink: LocalSink, tmp_path: Path
) -> None:
    """The error says which are there and which one is not."""
    with pytest.raises(SinkRejectedError) as caught:
        await sink.deliver([picture("a"), picture("a/b"), picture("c")])
    assert (caught.value.settled, set(caught.value.rejected)) == (frozenset({0}), {1})
    assert (tmp_path / "s3/my-bucket/a").read_bytes() == b"jpeg"


@pytest.mark.parametrize("bucket", ["..", ".", "a/b", ""])
async def test_a_bucket_that_is_no_name_is_missing(sink: LocalSink, bucket: str) -> None:
    """Delivering to it ends the session."""
    with pytest.raises(SinkGoneError, match="not found"):
        await sink.deliver([picture("a", bucket=bucket)])


async def test_a_full_disk_is_unavailable(sink: LocalSink, monkeypatch: pytest.MonkeyPatch) -> None:
    """ENOSPC is tried again; what was written before counts as delivered."""

    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(SinkUnavailableError, match="No space left on device") as caught:
        await sink.deliver([picture("a"), record(1)])
    assert caught.value.settled == frozenset({0})


@pytest.mark.parametrize("folder", ["kinesis", "s3", "tmp"])
async def test_what_can_be_mended_is_waited_for(
    sink: LocalSink, tmp_path: Path, folder: str
) -> None:
    """A file where a directory should be is no item's fault: nothing is given up for it."""
    item = record(1) if folder == "kinesis" else picture("door/1.jpg")
    (tmp_path / folder).write_bytes(b"")
    with pytest.raises(SinkUnavailableError) as caught:
        await sink.deliver([item])
    assert caught.value.settled == frozenset()
    (tmp_path / folder).unlink()
    await sink.deliver([item])
    assert len(files_in(tmp_path)) == 1


async def test_a_draft_is_removed_when_the_disk_is_full(
    sink: LocalSink, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Half an object is left nowhere."""

    def full(self: Path, data: bytes) -> int:
        with self.open("wb") as file:
            file.write(data[:2])
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self))

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(SinkUnavailableError, match="No space left on device"):
        await sink.deliver([picture("a")])
    assert files_in(tmp_path) == {}


async def test_drafts_of_killed_processes_are_removed(tmp_path: Path) -> None:
    """An hour later nobody writes them any more; young ones may be another worker's."""
    drafts = tmp_path / "tmp"
    drafts.mkdir()
    now = 1700000100.0
    for name, age in (("old", 7200), ("young", 60)):
        (drafts / name).write_bytes(b"half")
        os.utime(drafts / name, (now - age, now - age))

    class Clock(SystemClock):
        def epoch(self) -> float:
            return now

    sink = LocalSink(tmp_path, clock=Clock())
    await sink.open()
    await sink.aclose()
    assert files_in(tmp_path) == {"tmp/young": b"half"}


@pytest.mark.parametrize("target", [STREAM_ARN, TOPIC_ARN, "my-bucket"])
async def test_usable_names_pass_the_check(sink: LocalSink, target: str) -> None:
    """Local files come by themselves: any name will do."""
    await sink.check(target)


@pytest.mark.parametrize(
    ("target", "message"),
    [
        (
            "arn:aws:kinesis:us-east-1:111122223333:stream/../x",
            r"Stream \.\./x under account 111122223333 not found",
        ),
        (
            "arn:aws:sns:us-east-1:111122223333:a/b",
            "Topic a/b under account 111122223333 not found",
        ),
        ("..", r"Bucket \.\. not found"),
    ],
)
async def test_unusable_names_fail_the_check(sink: LocalSink, target: str, message: str) -> None:
    """A name that could leave the directory is told as missing."""
    with pytest.raises(SinkGoneError, match=message):
        await sink.check(target)


async def test_another_account_has_a_directory_of_its_own(sink: LocalSink, tmp_path: Path) -> None:
    """Whatever account its ARNs name, nothing of it gets among ours."""
    await sink.deliver([record(1), picture("a.jpg", b"ours")])
    await sink.of_account("222222222222").deliver([record(2), picture("a.jpg", b"theirs")])
    assert files_in(tmp_path) == {
        "kinesis/faces.jsonl": b'{"n":1}\n',
        "s3/my-bucket/a.jpg": b"ours",
        "accounts/222222222222/kinesis/faces.jsonl": b'{"n":2}\n',
        "accounts/222222222222/s3/my-bucket/a.jpg": b"theirs",
    }
