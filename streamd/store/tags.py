"""Tags of resources, by ARN."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import sqlalchemy as sa

from streamd.store import schema
from streamd.store.database import Repository
from streamd.store.errors import LimitError, NotFoundError

__all__ = ["MAX_TAGS", "TagStore", "delete_tags", "put_tags"]

MAX_TAGS = 50
"""User tags per resource (AWS General Reference, "Tag naming limits and requirements")."""

_RESOURCES = (schema.stream_processors, schema.collections, schema.video_streams)
_tags = schema.tags


class TagStore(Repository):
    """TagResource and its relatives; a resource's tags go with it."""

    def tags(self, arn: str) -> dict[str, str]:
        """Return the tags of a resource, by key.

        Raises:
            NotFoundError: If no stream processor, collection or video stream has this ARN.

        """
        with self._database.read() as connection:
            _check_resource(connection, arn)
            rows = connection.execute(
                sa.select(_tags.c.key, _tags.c.value)
                .where(_tags.c.arn == arn)
                .order_by(_tags.c.key)
            )
            return {row.key: row.value for row in rows}

    def add_tags(self, arn: str, tags: Mapping[str, str]) -> None:
        """Add tags; a key that exists gets the new value.

        Raises:
            NotFoundError: If there is no such resource.
            LimitError: If it would have more than 50; no tag is added.

        """
        with self._database.write() as connection:
            _check_resource(connection, arn)
            put_tags(connection, arn, tags)

    def remove_tags(self, arn: str, keys: Iterable[str]) -> None:
        """Remove tags; keys that are not there do not matter.

        Raises:
            NotFoundError: If there is no such resource.

        """
        with self._database.write() as connection:
            _check_resource(connection, arn)
            _delete_keys(connection, arn, keys)


def put_tags(connection: sa.Connection, arn: str, tags: Mapping[str, str]) -> None:
    """Add tags within the caller's transaction, which holds the resource."""
    if not tags:
        return
    _delete_keys(connection, arn, tags)
    connection.execute(
        sa.insert(_tags), [{"arn": arn, "key": key, "value": tags[key]} for key in tags]
    )
    count = connection.scalar(sa.select(sa.func.count()).where(_tags.c.arn == arn))
    if count is not None and count > MAX_TAGS:
        raise LimitError("tags of a resource", MAX_TAGS)


def delete_tags(connection: sa.Connection, arn: str) -> None:
    """Remove all tags within the caller's transaction, which deletes the resource."""
    connection.execute(sa.delete(_tags).where(_tags.c.arn == arn))


def _delete_keys(connection: sa.Connection, arn: str, keys: Iterable[str]) -> None:
    connection.execute(sa.delete(_tags).where(_tags.c.arn == arn, _tags.c.key.in_(list(keys))))


def _check_resource(connection: sa.Connection, arn: str) -> None:
    for table in _RESOURCES:
        # Locked, so that a deletion at the same time cannot leave tags behind.
        if connection.scalar(sa.select(table.c.arn).where(table.c.arn == arn).with_for_update()):
            return
    raise NotFoundError("resource", arn)
