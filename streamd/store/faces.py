"""Faces and their vectors: the source of truth for every cache of them.

Each change of a collection takes the next number of its ``revision``: an added face keeps it
as its ``sequence``, a deletion is noted under it in ``face_deletions``. The row of the
collection is locked by whoever takes numbers, so changes become visible in their order and a
reader that has all changes up to a revision need only ask for those after it. Adding costs
the same in an empty collection and in one of millions.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import sqlalchemy as sa
from numpy.typing import NDArray

from streamd.resources import Face
from streamd.store import schema
from streamd.store.collections import load_collection
from streamd.store.database import Repository
from streamd.store.errors import LimitError, NotFoundError, VectorError

__all__ = ["MAX_FACES", "FacePage", "FaceStore", "StoredFace"]

MAX_FACES = 20_000_000
"""Faces in one collection (AWS Developer Guide, "Guidelines and quotas")."""
REMEMBERED_CHANGES = 1_000_000
"""Deletions older than this many changes are forgotten."""

_VECTOR_TYPE = np.dtype("<f4")
_IDS_PER_QUERY = 1000

_collections = schema.collections
_faces = schema.faces
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
        vectors = {face.face_id: _encode(vector) for face, vector in faces}
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
                    rows.append(_face_row(collection.key, sequence, face, vectors[face.face_id]))
                answers.append((known[face.face_id], is_new))
            if rows:
                _insert_faces(connection, collection, rows)
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
        self, account_id: str, collection_id: str, *, after: int | None, limit: int
    ) -> FacePage:
        """Return up to ``limit`` faces in the order they were added, those after ``after``.

        Raises:
            NotFoundError: If there is no such collection.

        """
        with self._database.read() as connection:
            key = load_collection(connection, account_id, collection_id).key
            query = sa.select(*_METADATA).where(
                _faces.c.collection_key == key, _faces.c.sequence > (after or 0)
            )
            rows = connection.execute(query.order_by(_faces.c.sequence).limit(limit + 1)).all()
        page = rows[:limit]
        return FacePage(
            faces=[_face_from_row(row) for row in page],
            next_after=page[-1].sequence if page and len(rows) > limit else None,
        )

    def delete_faces(
        self, account_id: str, collection_id: str, face_ids: Sequence[str]
    ) -> list[str]:
        """Delete faces; returns the ids of those that existed, in the order given.

        Raises:
            NotFoundError: If there is no such collection.

        """
        with self._database.write() as connection:
            collection = load_collection(connection, account_id, collection_id, lock=True)
            gone = _delete_known(connection, collection.key, face_ids)
            if gone:
                _note_deletions(connection, collection, list(gone.values()))
        return [face_id for face_id in dict.fromkeys(face_ids) if face_id in gone]

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
        return np.frombuffer(vector, _VECTOR_TYPE).astype(np.float32)

    def added_faces(self, key: int, *, after: int, up_to: int, limit: int) -> list[StoredFace]:
        """Return faces by sequence, those after ``after`` and not after ``up_to``."""
        query = sa.select(*_METADATA, _faces.c.vector).where(
            _faces.c.collection_key == key,
            _faces.c.sequence > after,
            _faces.c.sequence <= up_to,
        )
        with self._database.read() as connection:
            rows = connection.execute(query.order_by(_faces.c.sequence).limit(limit))
            return [
                StoredFace(sequence=row.sequence, face=_face_from_row(row), vector=row.vector)
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


_METADATA: list[sa.ColumnElement[Any]] = [
    column for column in _faces.c if column is not _faces.c.vector
]


def _known(connection: sa.Connection, key: int, face_ids: Sequence[str]) -> dict[str, Face]:
    known: dict[str, Face] = {}
    for ids in _chunks(face_ids):
        rows = connection.execute(sa.select(*_METADATA).where(_among(key, ids)))
        known.update((row.face_id, _face_from_row(row)) for row in rows)
    return known


def _insert_faces(
    connection: sa.Connection, collection: sa.Row[Any], rows: list[dict[str, object]]
) -> None:
    if collection.face_count + len(rows) > MAX_FACES:
        raise LimitError("faces of a collection", MAX_FACES)
    sizes = {len(_vector_of(row)) // _VECTOR_TYPE.itemsize for row in rows}
    if collection.vector_size is not None:
        sizes.add(collection.vector_size)
    if len(sizes) != 1:
        raise VectorError(
            f"vectors of collection {collection.collection_id!r} must have one length, "
            f"got {sorted(sizes)}"
        )
    connection.execute(sa.insert(_faces), rows)
    _advance(connection, collection, len(rows), added=len(rows), vector_size=sizes.pop())


def _delete_known(connection: sa.Connection, key: int, face_ids: Sequence[str]) -> dict[str, int]:
    gone: dict[str, int] = {}
    for ids in _chunks(face_ids):
        delete = sa.delete(_faces).where(_among(key, ids))
        rows = connection.execute(delete.returning(_faces.c.face_id, _faces.c.sequence))
        gone.update((row.face_id, row.sequence) for row in rows)
    return gone


def _note_deletions(
    connection: sa.Connection, collection: sa.Row[Any], sequences: list[int]
) -> None:
    connection.execute(
        sa.insert(_deletions),
        [
            {"collection_key": collection.key, "revision": revision, "sequence": sequence}
            for revision, sequence in enumerate(sequences, collection.revision + 1)
        ],
    )
    forgotten = collection.revision + len(sequences) - REMEMBERED_CHANGES
    if forgotten > collection.forgotten_revision:
        connection.execute(
            sa.delete(_deletions).where(
                _deletions.c.collection_key == collection.key,
                _deletions.c.revision <= forgotten,
            )
        )
    forgotten = max(forgotten, collection.forgotten_revision)
    _advance(
        connection,
        collection,
        len(sequences),
        added=-len(sequences),
        forgotten_revision=forgotten,
    )


def _advance(
    connection: sa.Connection,
    collection: sa.Row[Any],
    changes: int,
    *,
    added: int,
    **values: object,
) -> None:
    connection.execute(
        sa.update(_collections)
        .where(_collections.c.key == collection.key)
        .values(
            revision=collection.revision + changes,
            face_count=collection.face_count + added,
            **values,
        )
    )


def _among(key: int, face_ids: Iterable[str]) -> sa.ColumnElement[bool]:
    return sa.and_(_faces.c.collection_key == key, _faces.c.face_id.in_(list(face_ids)))


def _chunks(face_ids: Sequence[str]) -> Iterator[Sequence[str]]:
    # Databases bound the number of parameters of a statement.
    for start in range(0, len(face_ids), _IDS_PER_QUERY):
        yield face_ids[start : start + _IDS_PER_QUERY]


def _encode(vector: NDArray[np.float32]) -> bytes:
    if vector.ndim != 1 or not vector.size or not np.isfinite(vector).all():
        raise VectorError(f"a vector must be finite numbers in one row, got shape {vector.shape}")
    return vector.astype(_VECTOR_TYPE).tobytes()


def _vector_of(row: Mapping[str, object]) -> bytes:
    vector = row["vector"]
    assert isinstance(vector, bytes)
    return vector


def _face_row(key: int, sequence: int, face: Face, vector: bytes) -> dict[str, object]:
    # The API checks patterns; caches have rows of fixed size.
    assert len(face.face_id) <= 36, face.face_id
    assert len(face.image_id) <= 36, face.image_id
    assert len((face.external_image_id or "").encode()) <= 255, face.external_image_id
    left, top, width, height = face.bounding_box
    return {
        "collection_key": key,
        "sequence": sequence,
        "face_id": face.face_id,
        "image_id": face.image_id,
        "external_image_id": face.external_image_id,
        "box_left": left,
        "box_top": top,
        "box_width": width,
        "box_height": height,
        "confidence_percent": face.confidence_percent,
        "vector": vector,
    }


def _face_from_row(row: Any) -> Face:
    return Face(
        face_id=row.face_id,
        image_id=row.image_id,
        external_image_id=row.external_image_id,
        bounding_box=(row.box_left, row.box_top, row.box_width, row.box_height),
        confidence_percent=row.confidence_percent,
    )
