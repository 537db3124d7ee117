"""Users: persons of a collection, each known by faces associated with it.

Which faces those are, :mod:`streamd.store.user_faces` keeps. What is searched is one vector for
each user, kept in the collection's gallery (``galleries.py``); it goes with the user. All changes
take the lock of the collection's row.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import sqlalchemy as sa
from numpy.typing import NDArray

from streamd.resources import User
from streamd.store import schema
from streamd.store.collections import load_collection
from streamd.store.database import Repository
from streamd.store.errors import LimitError, NameInUseError, NotFoundError
from streamd.store.galleries import put_vector, vector_of
from streamd.store.request_tokens import RequestToken, first_answer, keep_answer

__all__ = ["MAX_USERS", "UserPage", "UserStore", "load_user", "user_from_row"]

MAX_USERS = 20_000_000
"""Users of one collection: as many as it may have faces (our choice, AWS does not say)."""

KIND = "user"
_collections = schema.collections
_users = schema.users

_Row = Any  # of the database: its columns have no types


@dataclass(frozen=True, kw_only=True)
class UserPage:
    """Some users of a collection, oldest first."""

    users: list[User]
    next_after: int | None
    """What to pass as ``after`` for the next page; ``None``: this was the last."""


class UserStore(Repository):
    """The users of all collections."""

    def create_user(
        self,
        account_id: str,
        collection_id: str,
        user_id: str,
        *,
        request: RequestToken | None = None,
    ) -> None:
        """Create a user without faces; a repeat of the request changes nothing.

        Raises:
            NotFoundError: If there is no such collection.
            NameInUseError: If it has a user of this id.
            LimitError: If it has as many users as it may.
            TokenMismatchError: If the token belongs to another request.

        """
        with self._database.write() as connection:
            collection = load_collection(connection, account_id, collection_id, lock=True)
            if first_answer(self._database, connection, account_id, request) is not None:
                return
            if _find(connection, collection.key, user_id) is not None:
                raise NameInUseError(KIND, user_id)
            if collection.user_count >= MAX_USERS:
                raise LimitError("users of a collection", MAX_USERS)
            connection.execute(
                sa.insert(_users).values(
                    collection_key=collection.key,
                    user_id=user_id,
                    created_at=self._clock.epoch(),
                    face_count=0,
                )
            )
            _count(connection, collection, +1)
            self._keep(connection, collection, account_id, request, "")

    def delete_user(
        self,
        account_id: str,
        collection_id: str,
        user_id: str,
        *,
        request: RequestToken | None = None,
    ) -> None:
        """Delete a user; its faces stay and are free. A repeat of the request changes nothing.

        Raises:
            NotFoundError: If there is no such collection, or no such user (``kind`` tells).
            TokenMismatchError: If the token belongs to another request.

        """
        with self._database.write() as connection:
            collection = load_collection(connection, account_id, collection_id, lock=True)
            if first_answer(self._database, connection, account_id, request) is not None:
                return
            user = load_user(connection, collection.key, user_id)
            put_vector(connection, collection, user, None)
            connection.execute(sa.delete(_users).where(_users.c.key == user.key))
            _count(connection, collection, -1)
            self._keep(connection, collection, account_id, request, "")

    def user(self, account_id: str, collection_id: str, user_id: str) -> User:
        """Return one by id.

        Raises:
            NotFoundError: If there is no such collection, or no such user (``kind`` tells).

        """
        with self._database.read() as connection:
            key = load_collection(connection, account_id, collection_id).key
            return user_from_row(load_user(connection, key, user_id))

    def list_users(
        self, account_id: str, collection_id: str, *, after: int | None, limit: int
    ) -> UserPage:
        """Return up to ``limit`` users in the order they were created, those after ``after``.

        Raises:
            NotFoundError: If there is no such collection.

        """
        with self._database.read() as connection:
            key = load_collection(connection, account_id, collection_id).key
            query = sa.select(_users).where(
                _users.c.collection_key == key, _users.c.key > (after or 0)
            )
            rows = connection.execute(query.order_by(_users.c.key).limit(limit + 1)).all()
        page = rows[:limit]
        return UserPage(
            users=[user_from_row(row) for row in page],
            next_after=page[-1].key if page and len(rows) > limit else None,
        )

    def user_vector(
        self, account_id: str, collection_id: str, user_id: str
    ) -> NDArray[np.float32] | None:
        """Return the vector of a user, ``None`` while it has no faces.

        Raises:
            NotFoundError: If there is no such collection, or no such user (``kind`` tells).

        """
        with self._database.read() as connection:
            collection = load_collection(connection, account_id, collection_id)
            user = load_user(connection, collection.key, user_id)
            return vector_of(connection, collection, user)

    def _keep(
        self,
        connection: sa.Connection,
        collection: _Row,
        account_id: str,
        request: RequestToken | None,
        answer: str,
    ) -> None:
        keep_answer(
            self._database,
            connection,
            account_id,
            request,
            collection_key=collection.key,
            answer=answer,
        )


def _find(connection: sa.Connection, collection_key: int, user_id: str) -> _Row | None:
    query = sa.select(_users).where(
        _users.c.collection_key == collection_key, _users.c.user_id == user_id
    )
    return connection.execute(query).one_or_none()


def load_user(connection: sa.Connection, collection_key: int, user_id: str) -> _Row:
    """Return the row of a user.

    Raises:
        NotFoundError: If there is no such user.

    """
    row = _find(connection, collection_key, user_id)
    if row is None:
        raise NotFoundError(KIND, user_id)
    return row


def _count(connection: sa.Connection, collection: _Row, change: int) -> None:
    connection.execute(
        sa.update(_collections)
        .where(_collections.c.key == collection.key)
        .values(user_count=collection.user_count + change)
    )


def user_from_row(row: _Row) -> User:
    """Return the user of a row."""
    return User(user_id=row.user_id, face_count=row.face_count)
