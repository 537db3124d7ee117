"""Face collections; what is in them is in ``faces``."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from streamd.clock import utc_from_epoch
from streamd.resources import Collection
from streamd.store import schema
from streamd.store.database import Repository
from streamd.store.errors import NameInUseError, NotFoundError
from streamd.store.tags import delete_tags, put_tags

__all__ = [
    "GALLERY_ACCOUNT",
    "CollectionState",
    "CollectionStore",
    "collection_row",
    "load_collection",
]

KIND = "collection"
GALLERY_ACCOUNT = "galleries"
"""Owns the collections that ``users`` keeps vectors of users in, one for each collection with
users, named by its incarnation. Accounts of callers are twelve digits, so nobody meets them."""
_collections = schema.collections


@dataclass(frozen=True, kw_only=True)
class CollectionState:
    """What a cache of a collection compares itself with."""

    key: int
    """Never given to two collections of one store."""
    incarnation: str
    """Never given to two collections anywhere."""
    revision: int
    forgotten_revision: int
    """A cache older than this cannot catch up on deletions."""
    vector_size: int
    """0 until the first face."""


class CollectionStore(Repository):
    """The collections of all accounts."""

    def create_collection(
        self,
        *,
        account_id: str,
        collection_id: str,
        arn: str,
        face_model_version: str,
        tags: Mapping[str, str],
    ) -> Collection:
        """Create an empty collection.

        Raises:
            NameInUseError: If the id is taken.
            LimitError: If there are too many tags.

        """
        collection = Collection(
            account_id=account_id,
            collection_id=collection_id,
            arn=arn,
            face_model_version=face_model_version,
            created_at=self._clock.now(),
            incarnation=uuid.uuid4().hex,
        )
        with self._database.write() as connection:
            self._database.serialise(connection, f"collections of {account_id}")
            taken = sa.select(sa.exists().where(_named(account_id, collection_id)))
            if connection.scalar(taken):
                raise NameInUseError(KIND, collection_id)
            connection.execute(sa.insert(_collections).values(collection_row(collection)))
            put_tags(connection, arn, tags)
        return collection

    def collection(self, account_id: str, collection_id: str) -> Collection:
        """Return one by id.

        Raises:
            NotFoundError: If there is none.

        """
        with self._database.read() as connection:
            return _collection_from_row(load_collection(connection, account_id, collection_id))

    def list_collections(
        self, account_id: str, *, after: str | None, limit: int
    ) -> list[Collection]:
        """Return up to ``limit`` of them in order of id, those after the id ``after``."""
        query = sa.select(_collections).where(_collections.c.account_id == account_id)
        if after is not None:
            query = query.where(_collections.c.collection_id > after)
        with self._database.read() as connection:
            rows = connection.execute(query.order_by(_collections.c.collection_id).limit(limit))
            return [_collection_from_row(row) for row in rows]

    def delete_collection(self, account_id: str, collection_id: str) -> Collection:
        """Delete one with its faces, users and tags; returns it as it was.

        Raises:
            NotFoundError: If there is none.

        """
        with self._database.write() as connection:
            row = load_collection(connection, account_id, collection_id, lock=True)
            delete_tags(connection, row.arn)
            gallery = _named(GALLERY_ACCOUNT, row.incarnation)
            connection.execute(sa.delete(_collections).where(gallery))
            connection.execute(sa.delete(_collections).where(_collections.c.key == row.key))
            return _collection_from_row(row)

    def collection_state(self, account_id: str, collection_id: str) -> CollectionState:
        """Return what a cache must know to tell whether it is up to date.

        Raises:
            NotFoundError: If there is no such collection.

        """
        with self._database.read() as connection:
            row = load_collection(connection, account_id, collection_id)
        return CollectionState(
            key=row.key,
            incarnation=row.incarnation,
            revision=row.revision,
            forgotten_revision=row.forgotten_revision,
            vector_size=row.vector_size or 0,
        )

    def collection_incarnations(self) -> set[str]:
        """Return the incarnations of all collections: caches of others are litter."""
        with self._database.read() as connection:
            return set(connection.scalars(sa.select(_collections.c.incarnation)))


def _named(account_id: str, collection_id: str) -> sa.ColumnElement[bool]:
    return sa.and_(
        _collections.c.account_id == account_id, _collections.c.collection_id == collection_id
    )


def load_collection(
    connection: sa.Connection, account_id: str, collection_id: str, *, lock: bool = False
) -> sa.Row[Any]:
    """Read the row of one within the caller's transaction; ``lock`` keeps others from changing it.

    Raises:
        NotFoundError: If there is none.

    """
    query = sa.select(_collections).where(_named(account_id, collection_id))
    row = connection.execute(query.with_for_update() if lock else query).one_or_none()
    if row is None:
        raise NotFoundError(KIND, collection_id)
    return row


def collection_row(collection: Collection) -> dict[str, object]:
    """Return the row of a new, empty collection."""
    return {
        "account_id": collection.account_id,
        "collection_id": collection.collection_id,
        "incarnation": collection.incarnation,
        "arn": collection.arn,
        "face_model_version": collection.face_model_version,
        "created_at": collection.created_at.timestamp(),
        "revision": 0,
        "forgotten_revision": 0,
        "face_count": 0,
    }


def _collection_from_row(row: sa.Row[Any]) -> Collection:
    return Collection(
        account_id=row.account_id,
        collection_id=row.collection_id,
        arn=row.arn,
        face_model_version=row.face_model_version,
        created_at=utc_from_epoch(row.created_at),
        incarnation=row.incarnation,
        revision=row.revision,
        face_count=row.face_count,
        user_count=row.user_count,
    )
