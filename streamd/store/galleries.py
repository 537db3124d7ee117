"""Galleries: the vectors of a collection's users, kept as the faces of a hidden collection.

So they are cached, mapped and searched by what does that for faces, and a change costs the
same in a small collection and in a large one. A gallery is made with the first association,
named by the collection's incarnation, and goes with the collection. Each of its faces is one
user, and bears the user's id as external image id.
"""

from __future__ import annotations

import uuid
from typing import Any

import numpy as np
import sqlalchemy as sa
from numpy.typing import NDArray

from streamd.clock import utc_from_epoch
from streamd.resources import Collection, Face
from streamd.store import schema
from streamd.store.collections import GALLERY_ACCOUNT, collection_row, load_collection
from streamd.store.errors import NotFoundError
from streamd.store.face_rows import face_row, insert_faces, note_deletions, vector_from_bytes

__all__ = ["gallery_of", "put_vector", "vector_of"]

_faces = schema.faces
_Row = Any  # of the database: its columns have no types


def gallery_of(collection: Collection) -> tuple[str, str]:
    """Return account and id of a collection's gallery; there is none before the first face."""
    return GALLERY_ACCOUNT, collection.incarnation


def vector_of(
    connection: sa.Connection, collection: _Row, user: _Row
) -> NDArray[np.float32] | None:
    """Return the vector of a user, ``None`` while it has no faces."""
    if user.vector_sequence is None:
        return None
    gallery = load_collection(connection, GALLERY_ACCOUNT, collection.incarnation)
    data = connection.execute(
        sa.select(_faces.c.vector).where(_is_row(gallery, user.vector_sequence))
    ).scalar_one()
    return vector_from_bytes(data)


def put_vector(
    connection: sa.Connection, collection: _Row, user: _Row, vector: NDArray[np.float32] | None
) -> int | None:
    """Replace a user's vector, or remove it; returns the new one's sequence.

    The old one goes first: a reader that has not seen all changes may miss the user, but never
    sees it twice. The caller holds the lock of the collection's row.
    """
    if user.vector_sequence is not None:
        gallery = load_collection(connection, GALLERY_ACCOUNT, collection.incarnation, lock=True)
        connection.execute(sa.delete(_faces).where(_is_row(gallery, user.vector_sequence)))
        note_deletions(connection, gallery, [user.vector_sequence])
    if vector is None:
        return None
    gallery = _open(connection, collection)
    sequence: int = gallery.revision + 1
    face = _face_of(user.user_id)
    data = vector.astype("<f4").tobytes()
    insert_faces(connection, gallery, [face_row(gallery.key, sequence, face, data)])
    return sequence


def _open(connection: sa.Connection, collection: _Row) -> _Row:
    """Return the gallery's row, made if there is none, as it is now."""
    try:
        return load_collection(connection, GALLERY_ACCOUNT, collection.incarnation, lock=True)
    except NotFoundError:
        gallery = Collection(
            account_id=GALLERY_ACCOUNT,
            collection_id=collection.incarnation,
            arn=f"{GALLERY_ACCOUNT}/{collection.incarnation}",
            face_model_version=collection.face_model_version,
            created_at=utc_from_epoch(collection.created_at),
            incarnation=uuid.uuid4().hex,
        )
        connection.execute(sa.insert(schema.collections).values(collection_row(gallery)))
        return load_collection(connection, GALLERY_ACCOUNT, collection.incarnation, lock=True)


def _face_of(user_id: str) -> Face:
    name = str(uuid.uuid4())  # another one for each vector of a user
    return Face(
        face_id=name,
        image_id=name,
        external_image_id=user_id,
        bounding_box=(0.0, 0.0, 0.0, 0.0),
        confidence_percent=0.0,
    )


def _is_row(gallery: _Row, sequence: int) -> sa.ColumnElement[bool]:
    return sa.and_(_faces.c.collection_key == gallery.key, _faces.c.sequence == sequence)
