"""Users' vectors, kept as faces of a hidden collection."""

from __future__ import annotations

from streamd.store import Store
from streamd.store.collections import GALLERY_ACCOUNT
from streamd.store.galleries import gallery_of
from tests.support.people import PEOPLE, add, associate, ids
from tests.support.store import create_collection


def people(store: Store, *user_ids: str) -> tuple[str, str]:
    """Make users with a face each; returns their gallery."""
    create_collection(store)
    for number, user_id in enumerate(user_ids, start=1):
        add(store, number)
        store.create_user(*PEOPLE, user_id)
        associate(store, user_id, number)
    return gallery_of(store.collection(*PEOPLE))


def test_each_user_is_one_face_of_the_gallery(store: Store) -> None:
    """Known by the user's id; the vector is what is searched."""
    account, gallery = people(store, "ann", "bob")
    assert account == GALLERY_ACCOUNT
    faces = store.list_faces(account, gallery, after=None, limit=9).faces
    assert [face.external_image_id for face in faces] == ["ann", "bob"]
    assert store.face_vector(account, gallery, faces[1].face_id).tolist() == [2.0] * 4


def test_a_changed_vector_is_another_face(store: Store) -> None:
    """Readers that cache faces by sequence see the old one deleted and a new one added."""
    account, gallery = people(store, "ann")
    state = store.collection_state(account, gallery)
    add(store, 9)
    associate(store, "ann", 9)
    after = store.collection_state(account, gallery)
    span = {"after": state.revision, "up_to": after.revision}
    assert len(store.deleted_faces(state.key, **span)) == 1
    [added] = store.added_faces(state.key, **span, limit=9)
    assert added.face.external_image_id == "ann"
    assert store.collection(account, gallery).face_count == 1


def test_a_user_without_faces_is_in_no_gallery(store: Store) -> None:
    """Nothing could be found by it."""
    account, gallery = people(store, "ann", "bob")
    store.disassociate_faces(*PEOPLE, "ann", ids(1))
    store.delete_user(*PEOPLE, "bob")
    assert store.list_faces(account, gallery, after=None, limit=9).faces == []


def test_collections_of_one_name_have_galleries_of_their_own(store: Store) -> None:
    """The gallery goes by the incarnation: one that is made again knows nobody."""
    first = people(store, "ann")
    store.delete_collection(*PEOPLE)
    create_collection(store)
    assert gallery_of(store.collection(*PEOPLE)) != first
