"""Which faces are a user's: up to 100 of its collection, each of one user at most.

A user's vector is made of the vectors of its faces by ``processors.faces.person``. A change of
its faces changes it in the same transaction: nobody sees one without the other, and no user is
ever ``UPDATING``. All changes take the lock of the collection's row.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import sqlalchemy as sa
from numpy.typing import NDArray

from processors.faces.person import person_vector
from streamd.resources import FaceRefusal, FacesChange, RefusalReason
from streamd.store import schema
from streamd.store.collections import load_collection
from streamd.store.database import Repository
from streamd.store.errors import LimitError
from streamd.store.face_rows import vector_from_bytes
from streamd.store.galleries import put_vector, vector_of
from streamd.store.request_tokens import RequestToken, first_answer, keep_answer
from streamd.store.users import load_user, user_from_row

__all__ = ["MAX_FACES_OF_USER", "Similarity", "UserFaceStore"]

MAX_FACES_OF_USER = 100
"""Faces associated with one user (AssociateFaces, *API Reference*)."""

_faces = schema.faces
_users = schema.users
_user_faces = schema.user_faces

_Row = Any  # of the database: its columns have no types
Similarity = Callable[[float], float]
"""Turns the distance of two vectors into percent, 0 to 100."""


class UserFaceStore(Repository):
    """The associations of all collections."""

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
            user = load_user(connection, collection.key, user_id)
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
            user = load_user(connection, collection.key, user_id)
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
            user=user_from_row(load_user(connection, collection.key, user.user_id)),
        )
        keep_answer(
            self._database,
            connection,
            account_id,
            request,
            collection_key=collection.key,
            answer=change.model_dump_json(),
        )
        return change


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


def _refusal(face_id: str, face: _Row | None) -> FaceRefusal | None:
    if face is None:
        return FaceRefusal(face_id=face_id, reason=RefusalReason.FACE_NOT_FOUND)
    if face.user_id is not None:
        reason = RefusalReason.ASSOCIATED_TO_A_DIFFERENT_USER
        return FaceRefusal(face_id=face_id, reason=reason, user_id=face.user_id)
    return None


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
