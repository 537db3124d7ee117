"""Which faces are a user's, over both databases."""

from __future__ import annotations

import pytest

from streamd.resources import FaceRefusal, FacesChange, RefusalReason, User, UserStatus
from streamd.store import LimitError, Store, user_faces
from streamd.store.galleries import gallery_of
from tests.support.people import PEOPLE, add, associate, ids, token, vector_of
from tests.support.store import create_collection, make_face


def test_associated_faces_name_their_user(store: Store) -> None:
    """Faces read one by one or in lists have the user's id, and a list can be of one user's."""
    create_collection(store)
    add(store, 1, 2, 3)
    store.create_user(*PEOPLE, "ann")
    change = associate(store, "ann", 3, 1, 3)
    assert change == FacesChange(
        changed=tuple(ids(3, 1)), refused=(), user=User(user_id="ann", face_count=2)
    )
    assert change.user.status is UserStatus.ACTIVE
    listed = store.list_faces(*PEOPLE, after=None, limit=9).faces
    assert [face.user_id for face in listed] == ["ann", None, "ann"]
    of_ann = store.list_faces(*PEOPLE, after=None, limit=1, user_id="ann")
    assert [face.face_id for face in of_ann.faces] == ids(1)
    rest = store.list_faces(*PEOPLE, after=of_ann.next_after, limit=1, user_id="ann")
    assert ([face.face_id for face in rest.faces], rest.next_after) == (ids(3), None)
    assert store.list_faces(*PEOPLE, after=None, limit=9, user_id="bob").faces == []
    assert store.faces(*PEOPLE, ids(1))[0].user_id == "ann"
    assert store.users_of_faces(*PEOPLE, ids(1, 2, 9)) == {ids(1)[0]: "ann"}
    [(again, was_new)] = store.add_faces(*PEOPLE, [make_face(1)])
    assert (again.user_id, was_new) == ("ann", False)


def test_each_reason_to_refuse_a_face(store: Store) -> None:
    """Unknown faces and those of others are told apart; a user's own are passed over."""
    create_collection(store)
    add(store, 1, 2, 3)
    for user_id in ("ann", "bob"):
        store.create_user(*PEOPLE, user_id)
    associate(store, "ann", 1)
    associate(store, "bob", 2)
    not_there = FaceRefusal(face_id=ids(9)[0], reason=RefusalReason.FACE_NOT_FOUND)
    bobs = FaceRefusal(
        face_id=ids(2)[0],
        reason=RefusalReason.ASSOCIATED_TO_A_DIFFERENT_USER,
        user_id="bob",
    )
    change = associate(store, "ann", 9, 1, 2, 3)
    assert (list(change.changed), change.refused) == (ids(3), (not_there, bobs))
    change = store.disassociate_faces(*PEOPLE, "ann", ids(2, 3, 9))
    assert (list(change.changed), change.refused) == (ids(3), (bobs, not_there))
    change = store.disassociate_faces(*PEOPLE, "ann", ids(3))
    assert (change.changed, change.refused) == ((), ())


def test_the_threshold_counts_from_the_second_call_on(store: Store) -> None:
    """The first faces of a user need not be alike; later ones must be like the user."""
    create_collection(store)
    add(store, 10, 12, 14, 30)
    store.create_user(*PEOPLE, "ann")
    assert len(associate(store, "ann", 10, 12, threshold=100).changed) == 2
    # The user is at 11 in four dimensions: 14 is at a distance of 6, 30 of 38.
    change = associate(store, "ann", 30, 14, threshold=90)
    assert list(change.changed) == ids(14)
    [refused] = change.refused
    assert refused.reason is RefusalReason.LOW_MATCH_CONFIDENCE
    assert refused.confidence_percent == pytest.approx(62.0)
    assert refused.user_id is None


def test_the_vector_follows_the_faces(store: Store) -> None:
    """A user's vector is the mean of its faces', whatever was associated before."""
    create_collection(store)
    add(store, 2, 4, 9)
    store.create_user(*PEOPLE, "ann")
    associate(store, "ann", 2, 4)
    assert vector_of(store, "ann") == pytest.approx([3.0] * 4)
    associate(store, "ann", 9)
    assert vector_of(store, "ann") == pytest.approx([5.0] * 4)
    store.disassociate_faces(*PEOPLE, "ann", ids(2, 9))
    assert vector_of(store, "ann") == pytest.approx([4.0] * 4)
    change = store.disassociate_faces(*PEOPLE, "ann", ids(4))
    assert change.user.status is UserStatus.CREATED
    assert vector_of(store, "ann") is None
    gallery = store.collection(*gallery_of(store.collection(*PEOPLE)))
    assert gallery.face_count == 0


def test_a_user_has_a_hundred_faces(store: Store) -> None:
    """The first faces that fit are taken, the others refused; a full user is an error."""
    assert user_faces.MAX_FACES_OF_USER == 100
    create_collection(store)
    add(store, *range(1, 104))
    store.create_user(*PEOPLE, "ann")
    associate(store, "ann", *range(1, 100))
    change = associate(store, "ann", 101, 102)
    assert list(change.changed) == ids(101)
    assert change.refused == (FaceRefusal(face_id=ids(102)[0], reason=None),)
    assert change.user.face_count == 100
    with pytest.raises(LimitError, match="limit of 100 reached: faces of a user"):
        associate(store, "ann", 103)
    # What would be refused anyway, or is the user's already, meets no limit.
    assert len(associate(store, "ann", 1, 999).refused) == 1


def test_faces_of_users_are_not_deleted(store: Store) -> None:
    """A face stays until its user lets it go, or is deleted."""
    create_collection(store)
    add(store, 1, 2, 3)
    store.create_user(*PEOPLE, "ann")
    associate(store, "ann", 1, 2)
    outcome = store.delete_faces(*PEOPLE, ids(1, 2, 3, 9))
    assert outcome.deleted == ids(3)
    assert outcome.associated == dict.fromkeys(ids(1, 2), "ann")
    store.disassociate_faces(*PEOPLE, "ann", ids(1))
    assert store.delete_faces(*PEOPLE, ids(1, 2)).deleted == ids(1)
    store.delete_user(*PEOPLE, "ann")
    assert store.delete_faces(*PEOPLE, ids(2)).deleted == ids(2)


def test_a_failed_request_changes_nothing(store: Store) -> None:
    """A refused call leaves users, faces, vectors and tokens as they were."""
    create_collection(store)
    add(store, *range(1, 103))
    store.create_user(*PEOPLE, "ann")
    associate(store, "ann", *range(1, 101))
    vector = vector_of(store, "ann")
    for _ in range(2):
        with pytest.raises(LimitError):
            associate(store, "ann", 101, request=token())
    assert vector_of(store, "ann") == vector
    assert store.user(*PEOPLE, "ann").face_count == 100
    store.disassociate_faces(*PEOPLE, "ann", ids(1))
    assert list(associate(store, "ann", 101, request=token()).changed) == ids(101)
