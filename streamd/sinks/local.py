"""The local sink: files in the data directory instead of AWS's services.

::

    outputs/kinesis/STREAM.jsonl    one record a line
    outputs/s3/BUCKET/KEY           objects; a new one takes the place of an old one in one step
    outputs/sns/TOPIC.jsonl         one notification a line: TopicArn, Subject, Message, ...
    outputs/accounts/ACCOUNT/...    the same of accounts that are not the daemon's own

An acknowledgement means the operating system has the data: it survives ``kill -9`` of any
process, not a power failure (nothing is fsynced, which keeps hundreds of streams cheap).
"""

from __future__ import annotations

import contextlib
import copy
import errno
import itertools
import os
import uuid
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

from streamd.clock import Clock
from streamd.records.items import Kind, OutboxItem
from streamd.sinks.envelope import notification_envelope
from streamd.sinks.errors import SinkGoneError, SinkRejectedError, SinkUnavailableError
from streamd.sinks.jsonl import append_lines
from streamd.sinks.sink import BlockingSink
from streamd.sinks.targets import bucket_missing, stream_name, topic_name

__all__ = ["LocalSink", "object_path"]

_MAX_NAME_BYTES = 255
"""Longest name of a file on the usual file systems (NAME_MAX)."""
_MAX_KEY_BYTES = 1024
"""Longest object key (Amazon S3 User Guide, "Creating object key names")."""
_ACCOUNTS = "accounts"
_DRAFT_SECONDS = 3600
"""No object takes this long to write."""
_BAD_NAME = frozenset({errno.EINVAL, errno.ENAMETOOLONG})
"""The name itself cannot be used; whatever else is wrong with a file can be mended."""
_BAD_KEY = _BAD_NAME | {errno.EEXIST, errno.EISDIR, errno.ENOTDIR}
"""The same of an object: its key may be below one that is a file, or above one."""


class LocalSink(BlockingSink):
    """Writes records, objects and notifications below ``directory``."""

    def __init__(self, directory: Path, *, clock: Clock) -> None:
        super().__init__("local", threads=2)
        self._directory = directory
        self._clock = clock

    def of_account(self, account_id: str) -> LocalSink:
        """Return the sink of another account: the same threads, a directory of its own."""
        other = copy.copy(self)
        other._directory = self._directory / _ACCOUNTS / account_id  # noqa: SLF001  # our own
        return other

    async def open(self) -> None:
        """See :meth:`Sink.open`; removes drafts that killed processes left behind."""
        await self.run(self._remove_old_drafts)

    async def deliver(self, items: Sequence[OutboxItem]) -> None:
        """See :meth:`Sink.deliver`."""
        await self.run(self._deliver, items)

    async def check(self, target: str) -> None:
        """See :meth:`Sink.check`: names must be usable, files come by themselves."""
        if not target.startswith("arn:"):
            _bucket_path(self._directory / "s3", target)
        elif target.split(":")[2] == "sns":
            topic_name(target)
        else:
            stream_name(target)

    def _deliver(self, items: Sequence[OutboxItem]) -> None:
        settled: list[int] = []
        # Neighbours that go to one file are written as one piece.
        runs = itertools.groupby(enumerate(items), key=lambda pair: (pair[1].kind, pair[1].target))
        for (kind, target), pairs in runs:
            positions, run = zip(*pairs, strict=True)
            if kind == "s3":
                for position, item in zip(positions, run, strict=True):
                    with _outcome((position,), settled, final=_BAD_KEY):
                        self._put_object(item)
                    settled.append(position)
            else:
                with _outcome(positions, settled, final=_BAD_NAME):
                    self._append_run(kind, target, run)
                settled.extend(positions)

    def _append_run(self, kind: Kind, target: str, run: Sequence[OutboxItem]) -> None:
        if kind == "kinesis":
            self._append("kinesis", stream_name(target), [item.body for item in run])
        else:
            lines = [notification_envelope(item, now=self._clock.now()) for item in run]
            self._append("sns", topic_name(target), lines)

    def _append(self, directory: str, name: str, lines: Sequence[bytes]) -> None:
        append_lines(self._directory / directory / f"{name}.jsonl", lines)

    def _remove_old_drafts(self) -> None:
        oldest = self._clock.epoch() - _DRAFT_SECONDS
        drafts = itertools.chain(
            self._directory.glob("tmp/*"), self._directory.glob(f"{_ACCOUNTS}/*/tmp/*")
        )
        for draft in drafts:
            # Younger ones may be another worker's, being written.
            with contextlib.suppress(OSError):
                if draft.stat().st_mtime < oldest:
                    draft.unlink()

    def _folder(self, name: str) -> Path:
        folder = self._directory / name
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            # No object's fault, even where a file is in its place.
            raise SinkUnavailableError(f"{folder}: {error.strerror}") from error
        return folder

    def _put_object(self, item: OutboxItem) -> None:
        path = object_path(self._directory / "s3", item.target, item.key)
        # Written beside the buckets, then moved: a reader sees the old object or the new one.
        draft = self._folder("tmp") / uuid.uuid4().hex
        self._folder("s3")
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            draft.write_bytes(item.body)
            draft.replace(path)
        except OSError:
            # What counts is the first error; a draft that stays goes when it is old.
            with contextlib.suppress(OSError):
                draft.unlink(missing_ok=True)
            raise


def object_path(directory: Path, bucket: str, key: str) -> Path:
    """Return the file of an object.

    Args:
        directory: Where the buckets lie.
        bucket: Its name.
        key: A relative path; S3 allows more, a file system does not.

    Raises:
        ValueError: If the key leaves the bucket or cannot be a path.
        SinkGoneError: If there can be no such bucket.

    """
    parts = key.split("/")
    if len(key.encode(errors="surrogatepass")) > _MAX_KEY_BYTES:
        raise ValueError(f"object key is longer than {_MAX_KEY_BYTES} bytes")
    for part in parts:
        if part in {"", ".", ".."} or "\0" in part:
            raise ValueError(f"object key {key!r} cannot be a path below its bucket")
        if len(os.fsencode(part)) > _MAX_NAME_BYTES:
            raise ValueError(f"object key has a part longer than {_MAX_NAME_BYTES} bytes")
    return _bucket_path(directory, bucket).joinpath(*parts)


def _bucket_path(directory: Path, bucket: str) -> Path:
    if not bucket or bucket in {".", ".."} or "/" in bucket or "\0" in bucket:
        raise bucket_missing(bucket)
    return directory / bucket


@contextlib.contextmanager
def _outcome(
    positions: Sequence[int], settled: Sequence[int], *, final: Collection[int]
) -> Iterator[None]:
    """Map what goes wrong with the items at these positions to the sink's errors.

    Args:
        positions: Of the items in hand.
        settled: Positions of those that are done.
        final: Numbers of the system's errors that come back however often it is tried.

    """
    try:
        yield
    except SinkGoneError as error:
        raise SinkGoneError(str(error), settled=settled) from error
    except SinkUnavailableError as error:
        raise SinkUnavailableError(str(error), settled=settled) from error
    except (ValueError, UnicodeError) as error:
        raise SinkRejectedError(dict.fromkeys(positions, str(error)), settled=settled) from error
    except OSError as error:
        reason = f"{error.filename}: {error.strerror}" if error.filename else str(error.strerror)
        if error.errno in final:
            raise SinkRejectedError(dict.fromkeys(positions, reason), settled=settled) from error
        raise SinkUnavailableError(reason, settled=settled) from error
