"""Faces in the store, over both databases."""

from __future__ import annotations

import numpy as np
import pytest

from streamd.store import (
    NotFoundError,
    Store,
)
from tests.support.people import PEOPLE, ids
from tests.support.store import create_collection, make_face


def test_added_faces_come_back_with_their_vectors(store: Store) -> None:
    """Metadata and vector of a face are stored exactly."""
    create_collection(store)
    face, _ = make_face(7)
    vector = np.array([0.1, -1e-20, 3e30, np.pi], np.float32)
    assert store.add_faces(*PEOPLE, [(face, vector)]) == [(face, True)]
    assert store.faces(*PEOPLE, [face.face_id]) == [face]
    assert store.face_vector(*PEOPLE, face.face_id).tobytes() == vector.tobytes()
    assert store.collection(*PEOPLE).face_count == 1


def test_known_face_is_not_added_again(store: Store) -> None:
    """A face id that is there keeps its metadata; only new ones count."""
    create_collection(store)
    old, vector = make_face(1)
    store.add_faces(*PEOPLE, [(old, vector)])
    again = old.model_copy(update={"external_image_id": "someone-else"})
    new = make_face(2)
    assert store.add_faces(*PEOPLE, [(again, vector), new, new]) == [
        (old, False),
        (new[0], True),
        (new[0], False),
    ]
    collection = store.collection(*PEOPLE)
    assert (collection.face_count, collection.revision) == (2, 2)


def test_faces_are_listed_in_the_order_they_came(store: Store) -> None:
    """Pages go by the order of adding and end with no next one."""
    create_collection(store)
    store.add_faces(*PEOPLE, [make_face(n) for n in (5, 3)])
    store.add_faces(*PEOPLE, [make_face(n) for n in (4, 1, 2)])
    first = store.list_faces(*PEOPLE, after=None, limit=2)
    store.delete_faces(*PEOPLE, ids(3))  # the last one of the page: its place stays
    second = store.list_faces(*PEOPLE, after=first.next_after, limit=2)
    third = store.list_faces(*PEOPLE, after=second.next_after, limit=2)
    pages = [[f.face_id for f in page.faces] for page in (first, second, third)]
    assert pages == [ids(5, 3), ids(4, 1), ids(2)]
    assert third.next_after is None


def test_full_last_page_has_no_next(store: Store) -> None:
    """Exactly as many faces as the page holds: nothing follows."""
    create_collection(store)
    store.add_faces(*PEOPLE, [make_face(n) for n in (1, 2)])
    assert store.list_faces(*PEOPLE, after=None, limit=2).next_after is None


def test_named_faces_come_in_the_order_asked_for(store: Store) -> None:
    """Unknown ids are left out, repeated ones come once."""
    create_collection(store)
    store.add_faces(*PEOPLE, [make_face(n) for n in (1, 2, 3)])
    found = store.faces(*PEOPLE, ids(3, 9, 1, 3))
    assert [face.face_id for face in found] == ids(3, 1)


def test_delete_says_which_faces_existed(store: Store) -> None:
    """Deleted faces are gone, others were not there; the count follows."""
    create_collection(store)
    store.add_faces(*PEOPLE, [make_face(n) for n in (1, 2, 3)])
    assert store.delete_faces(*PEOPLE, ids(3, 9, 1, 1)).deleted == ids(3, 1)
    assert store.delete_faces(*PEOPLE, ids(3)).deleted == []
    assert [f.face_id for f in store.list_faces(*PEOPLE, after=None, limit=9).faces] == ids(2)
    assert store.collection(*PEOPLE).face_count == 1
    with pytest.raises(NotFoundError) as missing:
        store.face_vector(*PEOPLE, ids(3)[0])
    assert missing.value.kind == "face"


def test_more_ids_than_a_statement_takes(store: Store) -> None:
    """4096 ids, AWS's most, are no problem."""
    create_collection(store)
    store.add_faces(*PEOPLE, [make_face(n) for n in range(1, 4097)])
    many = ids(*range(1, 4097))
    assert len(store.faces(*PEOPLE, many)) == 4096
    assert store.delete_faces(*PEOPLE, many).deleted == many
