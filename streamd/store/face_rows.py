"""Rows of faces, written under the numbers of their collection's changes.

Each change of a collection takes the next number of its ``revision``: an added face keeps it
as its ``sequence``, a deletion is noted under it in ``face_deletions``. The row of the
collection is locked by whoever takes numbers, so changes become visible in their order and a
reader that has all changes up to a revision need only ask for those after it. Adding costs
the same in an empty collection and in one of millions.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import sqlalchemy as sa
from numpy.typing import NDArray

from streamd.resources import Face
from streamd.store import schema
from streamd.store.errors import LimitError, VectorError

__all__ = [
    "MAX_FACES",
    "face_from_row",
    "face_row",
    "insert_faces",
    "note_deletions",
    "vector_from_bytes",
    "vector_to_bytes",
]

MAX_FACES = 20_000_000
"""Faces in one collection (AWS Developer Guide, "Guidelines and quotas")."""
REMEMBERED_CHANGES = 1_000_000
"""Deletions older than this many changes are forgotten."""

_VECTOR_TYPE = np.dtype("<f4")

_collections = schema.collections
_faces = schema.faces
_users = schema.users
_deletions = schema.face_deletions


def insert_faces(
    connection: sa.Connection, collection: sa.Row[Any], rows: list[dict[str, object]]
) -> None:
    """Insert rows of :func:`face_row` that continue the numbering of a locked collection."""
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


def note_deletions(
    connection: sa.Connection, collection: sa.Row[Any], sequences: list[int]
) -> None:
    """Note that rows of a locked collection were deleted."""
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


def vector_from_bytes(data: bytes) -> NDArray[np.float32]:
    """Return a stored vector."""
    return np.frombuffer(data, _VECTOR_TYPE).astype(np.float32)


def vector_to_bytes(vector: NDArray[np.float32]) -> bytes:
    """Return a vector as it is stored.

    Raises:
        VectorError: If it is not a row of finite numbers.

    """
    if vector.ndim != 1 or not vector.size or not np.isfinite(vector).all():
        raise VectorError(f"a vector must be finite numbers in one row, got shape {vector.shape}")
    return vector.astype(_VECTOR_TYPE).tobytes()


def _vector_of(row: Mapping[str, object]) -> bytes:
    vector = row["vector"]
    assert isinstance(vector, bytes)
    return vector


def face_row(key: int, sequence: int, face: Face, vector: bytes) -> dict[str, object]:
    """Return the row of a face that is added with the given revision of its collection."""
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


def face_from_row(row: Any) -> Face:
    """Return the face of a row, with its user where the query asked for that."""
    return Face(
        face_id=row.face_id,
        image_id=row.image_id,
        external_image_id=row.external_image_id,
        bounding_box=(row.box_left, row.box_top, row.box_width, row.box_height),
        confidence_percent=row.confidence_percent,
        user_id=row._mapping.get(_users.c.user_id),  # noqa: SLF001  # public, in spite of its name
    )
