"""Faces and their vectors: the source of truth for every cache of them.

How changes are numbered, :mod:`streamd.store.face_rows` tells.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import sqlalchemy as sa
from numpy.typing import NDArray

from streamd.resources import Face
from streamd.store import schema
from streamd.store.collections import load_collection
from streamd.store.database import Repository
from streamd.store.errors import NotFoundError
from streamd.store.face_rows import (
    face_from_row,
    face_row,
    insert_faces,
    note_deletions,
    vector_from_bytes,
    vector_to_bytes,
)

__all__ = ["DeletedFaces", "FacePage", "FaceStore", "StoredFace"]

_IDS_PER_QUERY = 1000

_faces = schema.faces
_users = schema.users
_user_faces = schema.user_faces
_deletions = schema.face_deletions


@dataclass(frozen=True, kw_only=True)
class FacePage:
    """Some faces of a collection, oldest first."""

    faces: list[Face]
    next_after: int | None
    """What to pass as ``after`` for the next page; ``None``: this was the last."""


@dataclass(frozen=True, kw_only=True)
class StoredFace:
    """A face with its vector and its place in the order of changes."""

    sequence: int
    face: Face
    vector: bytes
    """Little-endian float32."""


@dataclass(frozen=True, kw_only=True)
class DeletedFaces:
    """What became of faces that were to be deleted; those in neither part did not exist."""

    deleted: list[str]
    """In the order given."""
    associated: dict[str, str]
    """Faces that stay because they are a user's, with that user's id."""


class FaceStore(Repository):
    """The faces of all collections."""

    def add_faces(
        self,
        account_id: str,
        collection_id: str,
        faces: Sequence[tuple[Face, NDArray[np.float32]]],
    ) -> list[tuple[Face, bool]]:
        """Add faces with their vectors; a face id that is there already changes nothing.

        Returns:
            For each given face the stored one, and whether it is new.

        Raises:
            NotFoundError: If there is no such collection.
            VectorError: If a vector does not fit; no face is added.
            LimitError: If the collection would hold more than 20 million.

        """
        vectors = {face.face_id: vector_to_bytes(vector) for face, vector in faces}
        with self._database.write() as connection:
            collection = load_collection(connection, account_id, collection_id, lock=True)
            known = _known(connection, collection.key, list(vectors))
            answers: list[tuple[Face, bool]] = []
            rows: list[dict[str, object]] = []
            for face, _ in faces:
                is_new = face.face_id not in known
                if is_new:
                    known[face.face_id] = face
                    sequence = collection.revision + len(rows) + 1
                    rows.append(face_row(collection.key, sequence, face, vectors[face.face_id]))
                answers.append((known[face.face_id], is_new))
            if rows:
                insert_faces(connection, collection, rows)
        return answers

    def faces(self, account_id: str, collection_id: str, face_ids: Sequence[str]) -> list[Face]:
        """Return those of the named faces that exist, in the order asked for.

        Raises:
            NotFoundError: If there is no such collection.

        """
        with self._database.read() as connection:
            key = load_collection(connection, account_id, collection_id).key
            known = _known(connection, key, face_ids)
        return [known[face_id] for face_id in dict.fromkeys(face_ids) if face_id in known]

    def list_faces(
        self,
        account_id: str,
        collection_id: str,
        *,
        after: int | None,
        limit: int,
        user_id: str | None = None,
    ) -> FacePage:
        """Return up to ``limit`` faces in the order they were added, those after ``after``.

        Args:
            account_id: Owner of the collection.
            collection_id: The collection.
            after: ``next_after`` of the page before; ``None`` for the first page.
            limit: Faces on the page at most.
            user_id: Only the faces of this user; none if there is no such user.

        Raises:
            NotFoundError: If there is no such collection.

        """
        with self._database.read() as connection:
            key = load_collection(connection, account_id, collection_id).key
            source = _USED if user_id is not None else _MAYBE_USED
            query = (
                sa.select(*_METADATA)
                .select_from(source)
                .where(_faces.c.collection_key == key, _faces.c.sequence > (after or 0))
            )
            if user_id is not None:
                query = query.where(_users.c.collection_key == key, _users.c.user_id == user_id)
            rows = connection.execute(query.order_by(_faces.c.sequence).limit(limit + 1)).all()
        page = rows[:limit]
        return FacePage(
            faces=[face_from_row(row) for row in page],
            next_after=page[-1].sequence if page and len(rows) > limit else None,
        )

    def delete_faces(
        self, account_id: str, collection_id: str, face_ids: Sequence[str]
    ) -> DeletedFaces:
        """Delete faces, but for those of users.

        Raises:
            NotFoundError: If there is no such collection.

        """
        with self._database.write() as connection:
            collection = load_collection(connection, account_id, collection_id, lock=True)
            associated = _owners(connection, collection.key, face_ids)
            free = [face_id for face_id in dict.fromkeys(face_ids) if face_id not in associated]
            gone = _delete_known(connection, collection.key, free)
            if gone:
                note_deletions(connection, collection, list(gone.values()))
        return DeletedFaces(
            deleted=[face_id for face_id in free if face_id in gone], associated=associated
        )

    def users_of_faces(
        self, account_id: str, collection_id: str, face_ids: Sequence[str]
    ) -> dict[str, str]:
        """Return the user of each of the faces that has one.

        Raises:
            NotFoundError: If there is no such collection.

        """
        with self._database.read() as connection:
            key = load_collection(connection, account_id, collection_id).key
            return _owners(connection, key, face_ids)

    def face_vector(self, account_id: str, collection_id: str, face_id: str) -> NDArray[np.float32]:
        """Return the vector of one face.

        Raises:
            NotFoundError: If there is no such collection, or no such face (``kind`` tells).

        """
        with self._database.read() as connection:
            key = load_collection(connection, account_id, collection_id).key
            vector = connection.scalar(
                sa.select(_faces.c.vector).where(
                    _faces.c.collection_key == key, _faces.c.face_id == face_id
                )
            )
        if vector is None:
            raise NotFoundError("face", face_id)
        return vector_from_bytes(vector)

    def added_faces(self, key: int, *, after: int, up_to: int, limit: int) -> list[StoredFace]:
        """Return faces by sequence, those after ``after`` and not after ``up_to``."""
        query = sa.select(*_OWN_METADATA, _faces.c.vector).where(
            _faces.c.collection_key == key,
            _faces.c.sequence > after,
            _faces.c.sequence <= up_to,
        )
        with self._database.read() as connection:
            rows = connection.execute(query.order_by(_faces.c.sequence).limit(limit))
            return [
                StoredFace(sequence=row.sequence, face=face_from_row(row), vector=row.vector)
                for row in rows
            ]

    def deleted_faces(self, key: int, *, after: int, up_to: int) -> list[int]:
        """Return the sequences of faces deleted by changes after ``after`` up to ``up_to``."""
        query = sa.select(_deletions.c.sequence).where(
            _deletions.c.collection_key == key,
            _deletions.c.revision > after,
            _deletions.c.revision <= up_to,
        )
        with self._database.read() as connection:
            return list(connection.scalars(query))


_OWN_METADATA: list[sa.ColumnElement[Any]] = [
    column for column in _faces.c if column is not _faces.c.vector
]
_METADATA: list[sa.ColumnElement[Any]] = [*_OWN_METADATA, _users.c.user_id]
_IS_OF_FACE = sa.and_(
    _user_faces.c.collection_key == _faces.c.collection_key,
    _user_faces.c.sequence == _faces.c.sequence,
)
_IS_USER = _users.c.key == _user_faces.c.user_key
_USED = _faces.join(_user_faces, _IS_OF_FACE).join(_users, _IS_USER)
_MAYBE_USED = _faces.outerjoin(_user_faces, _IS_OF_FACE).outerjoin(_users, _IS_USER)


def _known(connection: sa.Connection, key: int, face_ids: Sequence[str]) -> dict[str, Face]:
    known: dict[str, Face] = {}
    for ids in _chunks(face_ids):
        query = sa.select(*_METADATA).select_from(_MAYBE_USED).where(_among(key, ids))
        rows = connection.execute(query)
        known.update((row.face_id, face_from_row(row)) for row in rows)
    return known


def _owners(connection: sa.Connection, key: int, face_ids: Sequence[str]) -> dict[str, str]:
    owners: dict[str, str] = {}
    for ids in _chunks(face_ids):
        query = sa.select(_faces.c.face_id, _users.c.user_id).select_from(_USED)
        rows = connection.execute(query.where(_among(key, ids)))
        owners.update((row.face_id, row.user_id) for row in rows)
    return owners


def _delete_known(connection: sa.Connection, key: int, face_ids: Sequence[str]) -> dict[str, int]:
    gone: dict[str, int] = {}
    for ids in _chunks(face_ids):
        delete = sa.delete(_faces).where(_among(key, ids))
        rows = connection.execute(delete.returning(_faces.c.face_id, _faces.c.sequence))
        gone.update((row.face_id, row.sequence) for row in rows)
    return gone


def _among(key: int, face_ids: Iterable[str]) -> sa.ColumnElement[bool]:
    return sa.and_(_faces.c.collection_key == key, _faces.c.face_id.in_(list(face_ids)))


def _chunks(face_ids: Sequence[str]) -> Iterator[Sequence[str]]:
    # Databases bound the number of parameters of a statement.
    for start in range(0, len(face_ids), _IDS_PER_QUERY):
        yield face_ids[start : start + _IDS_PER_QUERY]
