"""The Kinesis video streams of the embedded endpoint."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Collection, Mapping
from typing import Any

import sqlalchemy as sa

from streamd.clock import utc_from_epoch
from streamd.resources import VideoStream
from streamd.store import schema
from streamd.store.database import Repository
from streamd.store.errors import (
    LimitError,
    NameInUseError,
    NotFoundError,
    VersionMismatchError,
)
from streamd.store.tags import delete_tags, put_tags

__all__ = ["VideoStreamStore"]

KIND = "video stream"

_streams = schema.video_streams
_replicas = schema.replicas


class VideoStreamStore(Repository):
    """The video streams of all accounts."""

    def create_video_stream(
        self,
        *,
        account_id: str,
        name: str,
        arn: str,
        tags: Mapping[str, str],
        limit: int,
        data_retention_hours: int = 0,
        device_name: str | None = None,
        media_type: str | None = None,
        kms_key_id: str | None = None,
        home: str | None = None,
    ) -> VideoStream:
        """Create a video stream at its first version.

        Args:
            account_id: Account it belongs to.
            name: Unique in the account.
            arn: With the creation time, so that one created again has another.
            tags: Its first tags.
            limit: Most video streams the account may have.
            data_retention_hours: As of CreateStream.
            device_name: As of CreateStream.
            media_type: As of CreateStream.
            kms_key_id: As of CreateStream.
            home: Id of the replica its fragments will lie on.

        Raises:
            NameInUseError: If the name is taken.
            LimitError: If the account has ``limit`` already, or there are too many tags.

        """
        stream = VideoStream(
            account_id=account_id,
            name=name,
            arn=arn,
            version=_new_version(),
            created_at=self._clock.now(),
            data_retention_hours=data_retention_hours,
            device_name=device_name,
            media_type=media_type,
            kms_key_id=kms_key_id,
            home=home,
        )
        with self._database.write() as connection:
            self._database.serialise(connection, f"video streams of {account_id}")
            names = sa.select(sa.func.count()).where(_streams.c.account_id == account_id)
            if connection.scalar(names.where(_streams.c.name == name)):
                raise NameInUseError(KIND, name)
            if (connection.scalar(names) or 0) >= limit:
                raise LimitError("video streams", limit)
            connection.execute(sa.insert(_streams).values(_row_from_stream(stream)))
            put_tags(connection, arn, tags)
        return stream

    def video_stream(
        self, account_id: str, *, name: str | None = None, arn: str | None = None
    ) -> VideoStream:
        """Return one by name, by ARN, or by both, which must then agree.

        Raises:
            NotFoundError: If there is none.

        """
        with self._database.read() as connection:
            return _load(connection, account_id, name=name, arn=arn)

    def list_video_streams(
        self, account_id: str, *, prefix: str = "", after: str | None, limit: int
    ) -> list[VideoStream]:
        """Return up to ``limit`` of them in order of name, those after the name ``after``."""
        query = sa.select(_streams).where(
            _streams.c.account_id == account_id,
            # Not LIKE: SQLite's ignores case.
            sa.func.substr(_streams.c.name, 1, len(prefix)) == prefix,
        )
        if after is not None:
            query = query.where(_streams.c.name > after)
        with self._database.read() as connection:
            rows = connection.execute(query.order_by(_streams.c.name).limit(limit))
            return [_stream_from_row(row) for row in rows]

    def all_video_streams(self, *, after: str | None, limit: int) -> list[VideoStream]:
        """Return up to ``limit`` of all accounts in order of ARN, those after an ARN."""
        query = sa.select(_streams).order_by(_streams.c.arn).limit(limit)
        if after is not None:
            query = query.where(_streams.c.arn > after)
        with self._database.read() as connection:
            return [_stream_from_row(row) for row in connection.execute(query)]

    def video_stream_names(self) -> set[str]:
        """Return the names of all, of all accounts."""
        with self._database.read() as connection:
            return set(connection.scalars(sa.select(_streams.c.name)))

    def video_streams_by_arn(self, arns: Collection[str]) -> dict[str, VideoStream]:
        """Return those of these ARNs that exist, of all accounts."""
        query = sa.select(_streams).where(_streams.c.arn.in_(arns))
        with self._database.read() as connection:
            return {row.arn: _stream_from_row(row) for row in connection.execute(query)}

    def give_home(self, arns: Collection[str], *, home: str) -> int:
        """Give a home to those of these ARNs that have none; returns how many had none."""
        update = sa.update(_streams).where(_streams.c.arn.in_(arns), _streams.c.home.is_(None))
        with self._database.write() as connection:
            return connection.execute(update.values(home=home)).rowcount

    def adopt_video_stream(
        self, stream: VideoStream, *, home: str, after_seconds: float
    ) -> VideoStream:
        """Make a replica the home of a stream whose home is gone, or that has none.

        Of several that try one succeeds, and a home that beats meanwhile keeps its stream.

        Args:
            stream: As it was read; which one it is counts.
            home: Id of the replica that wants it.
            after_seconds: How long a home has to be silent to be gone.

        Returns:
            The stream as it is now, at whatever home.

        Raises:
            NotFoundError: If it was deleted.

        """
        with self._database.write() as connection:
            found = _load(connection, stream.account_id, name=None, arn=stream.arn, lock=True)
            if found.home == home:
                return found
            # Locked against its own beat: one that comes later finds that the stream has moved.
            silence = (self._database.now() - _replicas.c.seen_at).label("silence")
            query = sa.select(silence).where(_replicas.c.replica_id == found.home)
            row = connection.execute(query.with_for_update()).one_or_none()
            # Far in the future, seen_at was written before the clock was set back.
            if row is not None and abs(row.silence) <= after_seconds:
                return found
            connection.execute(sa.update(_streams).where(_is(found)).values(home=home))
        return found.model_copy(update={"home": home})

    def update_video_stream(
        self,
        account_id: str,
        *,
        name: str | None = None,
        arn: str | None = None,
        expected_version: str,
        change: Callable[[VideoStream], VideoStream],
    ) -> VideoStream:
        """Change retention, device or media type; the version becomes another.

        What ``change`` raises passes through and nothing has changed.

        Raises:
            NotFoundError: If there is no such video stream.
            VersionMismatchError: If it is not at ``expected_version``.

        """
        with self._database.write() as connection:
            before = _load(connection, account_id, name=name, arn=arn, lock=True)
            _check_version(before, expected_version)
            changed = change(before)
            assert (changed.account_id, changed.name, changed.arn) == (
                before.account_id,
                before.name,
                before.arn,
            ), "a video stream keeps its name"
            after = changed.model_copy(update={"version": _new_version()})
            connection.execute(
                sa.update(_streams).where(_is(before)).values(_row_from_stream(after))
            )
        return after

    def delete_video_stream(
        self,
        account_id: str,
        *,
        name: str | None = None,
        arn: str | None = None,
        expected_version: str | None = None,
    ) -> VideoStream:
        """Delete one with its tags; returns it as it was.

        Raises:
            NotFoundError: If there is no such video stream.
            VersionMismatchError: If a version is expected and it is another.

        """
        with self._database.write() as connection:
            before = _load(connection, account_id, name=name, arn=arn, lock=True)
            if expected_version is not None:
                _check_version(before, expected_version)
            delete_tags(connection, before.arn)
            connection.execute(sa.delete(_streams).where(_is(before)))
        return before


def _new_version() -> str:
    # AWS's are short opaque strings, too; nobody may count on their order.
    return secrets.token_hex(10)


def _check_version(stream: VideoStream, expected: str) -> None:
    if stream.version != expected:
        raise VersionMismatchError(KIND, stream.name, expected)


def _load(
    connection: sa.Connection,
    account_id: str,
    *,
    name: str | None,
    arn: str | None,
    lock: bool = False,
) -> VideoStream:
    if name is None and arn is None:
        raise ValueError("a video stream is found by name or ARN, got neither")
    query = sa.select(_streams).where(_streams.c.account_id == account_id)
    if name is not None:
        query = query.where(_streams.c.name == name)
    if arn is not None:
        query = query.where(_streams.c.arn == arn)
    row = connection.execute(query.with_for_update() if lock else query).one_or_none()
    if row is None:
        raise NotFoundError(KIND, name if name is not None else str(arn))
    return _stream_from_row(row)


def _is(stream: VideoStream) -> sa.ColumnElement[bool]:
    return sa.and_(_streams.c.account_id == stream.account_id, _streams.c.name == stream.name)


def _row_from_stream(stream: VideoStream) -> dict[str, object]:
    return {
        "account_id": stream.account_id,
        "name": stream.name,
        "arn": stream.arn,
        "version": stream.version,
        "created_at": stream.created_at.timestamp(),
        "data_retention_hours": stream.data_retention_hours,
        "device_name": stream.device_name,
        "media_type": stream.media_type,
        "kms_key_id": stream.kms_key_id,
        "home": stream.home,
    }


def _stream_from_row(row: sa.Row[Any]) -> VideoStream:
    return VideoStream(
        account_id=row.account_id,
        name=row.name,
        arn=row.arn,
        version=row.version,
        created_at=utc_from_epoch(row.created_at),
        data_retention_hours=row.data_retention_hours,
        device_name=row.device_name,
        media_type=row.media_type,
        kms_key_id=row.kms_key_id,
        home=row.home,
    )
