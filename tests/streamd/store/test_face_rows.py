"""Rows of faces and the numbers of changes, over both databases."""

from __future__ import annotations

import numpy as np
import pytest

from streamd.store import LimitError, Store, VectorError, face_rows
from tests.support.people import PEOPLE, ids
from tests.support.store import create_collection, make_face


@pytest.mark.parametrize(
    "vector",
    [np.ones(3), np.ones((2, 2)), np.ones(0), np.array([1, np.nan, 1, 1])],
    ids=["shorter", "matrix", "empty", "nan"],
)
def test_vector_that_does_not_fit_is_refused(store: Store, vector: np.ndarray) -> None:
    """All vectors of a collection have one length and are finite; nothing is added otherwise."""
    create_collection(store)
    store.add_faces(*PEOPLE, [make_face(1)])
    with pytest.raises(VectorError):
        store.add_faces(*PEOPLE, [make_face(2), (make_face(3)[0], vector.astype(np.float32))])
    assert store.collection(*PEOPLE).face_count == 1


def test_face_over_the_limit_is_refused(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """A collection holds 20 million faces, all of a call or none."""
    assert face_rows.MAX_FACES == 20_000_000
    monkeypatch.setattr(face_rows, "MAX_FACES", 2)
    create_collection(store)
    store.add_faces(*PEOPLE, [make_face(1)])
    with pytest.raises(LimitError):
        store.add_faces(*PEOPLE, [make_face(2), make_face(3)])
    assert store.collection(*PEOPLE).face_count == 1


def test_changes_share_one_numbering(store: Store) -> None:
    """A cache asks for what came after the revision it has."""
    create_collection(store)
    store.add_faces(*PEOPLE, [make_face(n) for n in (1, 2, 3)])
    store.delete_faces(*PEOPLE, ids(2))
    store.add_faces(*PEOPLE, [make_face(4)])
    state = store.collection_state(*PEOPLE)
    assert (state.revision, state.vector_size) == (5, 4)
    added = store.added_faces(state.key, after=1, up_to=5, limit=9)
    assert [(f.sequence, f.face.face_id) for f in added] == list(
        zip([3, 5], ids(3, 4), strict=True)
    )
    assert added[0].vector == np.full(4, 3, "<f4").tobytes()
    assert store.deleted_faces(state.key, after=3, up_to=4) == [2]
    assert store.deleted_faces(state.key, after=4, up_to=5) == []
    assert [f.sequence for f in store.added_faces(state.key, after=0, up_to=3, limit=1)] == [1]


def test_old_deletions_are_forgotten(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """The list of deletions is bounded, and says from where on it is whole."""
    monkeypatch.setattr(face_rows, "REMEMBERED_CHANGES", 3)
    create_collection(store)
    store.add_faces(*PEOPLE, [make_face(n) for n in (1, 2, 3, 4)])
    store.delete_faces(*PEOPLE, ids(1, 2))
    store.delete_faces(*PEOPLE, ids(3, 4))
    state = store.collection_state(*PEOPLE)
    assert (state.revision, state.forgotten_revision) == (8, 5)
    assert len(store.deleted_faces(state.key, after=0, up_to=8)) == 3


def test_vectors_come_back_as_they_were_stored() -> None:
    """Little-endian float32, whatever the machine's own order."""
    vector = np.array([0.1, -1e-20, 3e30], np.float32)
    data = face_rows.vector_to_bytes(vector)
    assert data == vector.astype("<f4").tobytes()
    assert face_rows.vector_from_bytes(data).tolist() == vector.tolist()


def test_a_value_no_cache_has_room_for_is_our_own_mistake() -> None:
    """The API checks lengths before anything gets here."""
    face, vector = make_face(1)
    longer = face.model_copy(update={"external_image_id": "ä" * 128})
    with pytest.raises(AssertionError):
        face_rows.face_row(1, 1, longer, face_rows.vector_to_bytes(vector))
