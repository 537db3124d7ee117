"""Users: persons of a collection, each known by up to 100 of its faces.

What is searched is one vector for each user, made of the vectors of its faces by
``processors.faces.person`` and kept in the collection's gallery (``galleries.py``). A change of
a user's faces changes its vector in the same transaction: nobody sees one without the other,
and no user is ever ``UPDATING``. All changes take the lock of the collection's row.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import sqlalchemy as sa
from numpy.typing import NDArray

from processors.faces.person import person_vector
from streamd.resources import FaceRefusal, FacesChange, RefusalReason, User
from streamd.store import schema
from streamd.store.collections import load_collection
from streamd.store.database import Repository
from streamd.store.errors import LimitError, NameInUseError, NotFoundError
from streamd.store.faces import vector_from_bytes
from streamd.store.galleries import put_vector, vector_of
from streamd.store.request_tokens import RequestToken, first_answer, keep_answer

__all__ = ["MAX_FACES_OF_USER", "MAX_USERS", "UserPage", "UserStore"]

MAX_FACES_OF_USER = 100
"""Faces associated with one user (AssociateFaces, *API Reference*)."""
MAX_USERS = 20_000_000
"""Users of one collection: as many as it may have faces (our choice, AWS does not say)."""

KIND = "user"
_collections = schema.collections
_faces = schema.faces
_users = schema.users
_user_faces = schema.user_faces

_Row = Any  # of the database: its columns have no types
Similarity = Callable[[float], float]
"""Turns the distance of two vectors into percent, 0 to 100."""


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
            user = _load(connection, collection.key, user_id)
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
            return _user_from_row(_load(connection, key, user_id))

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
            users=[_user_from_row(row) for row in page],
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
            user = _load(connection, collection.key, user_id)
            return vector_of(connection, collection, user)

    def associate_faces(
        self,
        account_id: str,
        collection_id: str,
        user_id: str,
        face_ids: Sequence[str],
        *,
        similarity_percent: Similarity,
        threshold_percent: float,
        request: RequestToken | None = None,
    ) -> FacesChange:
        """Associate faces with a user, and bring its vector up to date.

        Where the user has faces before the call, each further one must be similar to it. Of
        more faces than there is room for, the first ones given are taken.

        Returns:
            What became of the faces; the same once more for a repeat of the request.

        Raises:
            NotFoundError: If there is no such collection, or no such user (``kind`` tells).
            LimitError: If a face would have been taken, and there is no room for any.
            TokenMismatchError: If the token belongs to another request.

        """
        with self._database.write() as connection:
            collection = load_collection(connection, account_id, collection_id, lock=True)
            first = first_answer(self._database, connection, account_id, request)
            if first is not None:
                return FacesChange.model_validate_json(first)
            user = _load(connection, collection.key, user_id)
            known = _known_faces(connection, collection.key, face_ids)
            judge = _Judge(
                user_id=user_id,
                vector=vector_of(connection, collection, user),
                similarity_percent=similarity_percent,
                threshold_percent=threshold_percent,
            )
            taken, refused = judge.sort_out(
                face_ids, known, room=MAX_FACES_OF_USER - user.face_count
            )
            if taken:
                _link(connection, user, taken)
                _remember(connection, collection, user)
            return self._changed(connection, collection, account_id, request, user, taken, refused)

    def disassociate_faces(
        self,
        account_id: str,
        collection_id: str,
        user_id: str,
        face_ids: Sequence[str],
        *,
        request: RequestToken | None = None,
    ) -> FacesChange:
        """Take faces from a user, and bring its vector up to date.

        Returns:
            What became of the faces; the same once more for a repeat of the request.

        Raises:
            NotFoundError: If there is no such collection, or no such user (``kind`` tells).
            TokenMismatchError: If the token belongs to another request.

        """
        with self._database.write() as connection:
            collection = load_collection(connection, account_id, collection_id, lock=True)
            first = first_answer(self._database, connection, account_id, request)
            if first is not None:
                return FacesChange.model_validate_json(first)
            user = _load(connection, collection.key, user_id)
            known = _known_faces(connection, collection.key, face_ids)
            taken: list[_Row] = []
            refused: list[FaceRefusal] = []
            for face_id in dict.fromkeys(face_ids):
                face = known.get(face_id)
                if face is not None and face.user_id == user_id:
                    taken.append(face)
                elif refusal := _refusal(face_id, face):
                    refused.append(refusal)
            if taken:
                _unlink(connection, user, taken)
                _remember(connection, collection, user)
            return self._changed(connection, collection, account_id, request, user, taken, refused)

    def _changed(
        self,
        connection: sa.Connection,
        collection: _Row,
        account_id: str,
        request: RequestToken | None,
        user: _Row,
        changed: Sequence[_Row],
        refused: Sequence[FaceRefusal],
    ) -> FacesChange:
        change = FacesChange(
            changed=tuple(face.face_id for face in changed),
            refused=tuple(refused),
            user=_user_from_row(_load(connection, collection.key, user.user_id)),
        )
        self._keep(connection, collection, account_id, request, change.model_dump_json())
        return change

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


def _load(connection: sa.Connection, collection_key: int, user_id: str) -> _Row:
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


def _known_faces(
    connection: sa.Connection, collection_key: int, face_ids: Sequence[str]
) -> dict[str, _Row]:
    """Return those of the faces that exist, with their vectors and users."""
    link = sa.and_(
        _user_faces.c.collection_key == _faces.c.collection_key,
        _user_faces.c.sequence == _faces.c.sequence,
    )
    source = _faces.outerjoin(_user_faces, link).outerjoin(
        _users, _users.c.key == _user_faces.c.user_key
    )
    columns = (_faces.c.face_id, _faces.c.sequence, _faces.c.vector, _users.c.user_id)
    rows = connection.execute(
        sa.select(*columns)
        .select_from(source)
        .where(_faces.c.collection_key == collection_key, _faces.c.face_id.in_(list(face_ids)))
    )
    return {row.face_id: row for row in rows}


def _refusal(face_id: str, face: _Row | None) -> FaceRefusal | None:
    if face is None:
        return FaceRefusal(face_id=face_id, reason=RefusalReason.FACE_NOT_FOUND)
    if face.user_id is not None:
        reason = RefusalReason.ASSOCIATED_TO_A_DIFFERENT_USER
        return FaceRefusal(face_id=face_id, reason=reason, user_id=face.user_id)
    return None


@dataclass(frozen=True, kw_only=True)
class _Judge:
    """Decides which faces a user may have."""

    user_id: str
    vector: NDArray[np.float32] | None
    """Of the faces it has; ``None`` without."""
    similarity_percent: Similarity
    threshold_percent: float

    def sort_out(
        self, face_ids: Sequence[str], known: Mapping[str, _Row], *, room: int
    ) -> tuple[list[_Row], list[FaceRefusal]]:
        """Return the faces to associate, and those refused; its own are in neither."""
        taken: list[_Row] = []
        refused: list[FaceRefusal] = []
        for face_id in dict.fromkeys(face_ids):
            face = known.get(face_id)
            if face is not None and face.user_id == self.user_id:
                continue
            refusal = _refusal(face_id, face) or self._too_different(face)
            if refusal is None and len(taken) >= room:
                if room <= 0:
                    raise LimitError("faces of a user", MAX_FACES_OF_USER)
                refusal = FaceRefusal(face_id=face_id, reason=None)
            if refusal is None:
                taken.append(face)
            else:
                refused.append(refusal)
        return taken, refused

    def _too_different(self, face: _Row) -> FaceRefusal | None:
        if self.vector is None:
            return None
        difference = vector_from_bytes(face.vector).astype(np.float64) - self.vector
        percent = self.similarity_percent(float(np.linalg.norm(difference)))
        if percent >= self.threshold_percent:
            return None
        return FaceRefusal(
            face_id=face.face_id,
            reason=RefusalReason.LOW_MATCH_CONFIDENCE,
            confidence_percent=percent,
        )


def _link(connection: sa.Connection, user: _Row, faces: Sequence[_Row]) -> None:
    connection.execute(
        sa.insert(_user_faces),
        [
            {
                "collection_key": user.collection_key,
                "sequence": face.sequence,
                "user_key": user.key,
            }
            for face in faces
        ],
    )


def _unlink(connection: sa.Connection, user: _Row, faces: Sequence[_Row]) -> None:
    connection.execute(
        sa.delete(_user_faces).where(
            _user_faces.c.collection_key == user.collection_key,
            _user_faces.c.sequence.in_([face.sequence for face in faces]),
        )
    )


def _remember(connection: sa.Connection, collection: _Row, user: _Row) -> None:
    """Bring a user's number of faces and vector up to date with its associations."""
    query = (
        sa.select(_faces.c.vector)
        .join(
            _user_faces,
            sa.and_(
                _user_faces.c.collection_key == _faces.c.collection_key,
                _user_faces.c.sequence == _faces.c.sequence,
            ),
        )
        .where(_user_faces.c.user_key == user.key)
        .order_by(_faces.c.sequence)
    )
    vectors = [vector_from_bytes(data) for data in connection.scalars(query)]
    vector = person_vector(np.stack(vectors)) if vectors else None
    sequence = put_vector(connection, collection, user, vector)
    connection.execute(
        sa.update(_users)
        .where(_users.c.key == user.key)
        .values(face_count=len(vectors), vector_sequence=sequence)
    )


def _user_from_row(row: _Row) -> User:
    return User(user_id=row.user_id, face_count=row.face_count)
