"""Users in the store, over both databases."""

from __future__ import annotations

import pytest
import sqlalchemy as sa

from streamd.resources import FaceRefusal, FacesChange, RefusalReason, User, UserStatus
from streamd.store import (
    LimitError,
    NameInUseError,
    NotFoundError,
    RequestToken,
    Store,
    TokenMismatchError,
    users,
)
from streamd.store.galleries import gallery_of
from tests.support.store import ACCOUNT, create_collection, make_face

PEOPLE = (ACCOUNT, "people")


def ids(*numbers: int) -> list[str]:
    """Return the ids of numbered faces."""
    return [make_face(number)[0].face_id for number in numbers]


def add(store: Store, *numbers: int) -> None:
    """Add numbered faces: the vector of face 3 is (3, 3, 3, 3)."""
    store.add_faces(*PEOPLE, [make_face(number) for number in numbers])


def similarity(distance: float) -> float:
    """100 % at no distance, 1 % less for each 1."""
    return max(0.0, 100.0 - distance)


def associate(
    store: Store,
    user_id: str,
    *numbers: int,
    threshold: float = 0.0,
    request: RequestToken | None = None,
) -> FacesChange:
    return store.associate_faces(
        *PEOPLE,
        user_id,
        ids(*numbers),
        similarity_percent=similarity,
        threshold_percent=threshold,
        request=request,
    )


def token(name: str = "t", *, operation: str = "AssociateFaces", of: str = "f") -> RequestToken:
    return RequestToken(operation=operation, token=name, fingerprint=of)


def vector_of(store: Store, user_id: str) -> list[float] | None:
    vector = store.user_vector(*PEOPLE, user_id)
    return None if vector is None else [float(value) for value in vector]


def test_a_new_user_has_no_faces(store: Store) -> None:
    """A user is CREATED until it has a face; the collection counts it."""
    create_collection(store)
    store.create_user(*PEOPLE, "ann")
    user = store.user(*PEOPLE, "ann")
    assert user == User(user_id="ann", face_count=0)
    assert user.status is UserStatus.CREATED
    assert vector_of(store, "ann") is None
    assert store.collection(*PEOPLE).user_count == 1


def test_user_id_is_taken_once(store: Store) -> None:
    """The same id again is refused; another case, or another collection, is another user."""
    create_collection(store)
    create_collection(store, "others")
    store.create_user(*PEOPLE, "ann")
    with pytest.raises(NameInUseError, match="user 'ann' already exists"):
        store.create_user(*PEOPLE, "ann")
    store.create_user(*PEOPLE, "Ann")
    store.create_user(ACCOUNT, "others", "ann")
    assert store.collection(*PEOPLE).user_count == 2


def test_users_are_listed_as_created(store: Store) -> None:
    """Pages go by the order of creation; a page's last user may be deleted meanwhile."""
    create_collection(store)
    for user_id in ("c", "a", "d", "b"):
        store.create_user(*PEOPLE, user_id)
    first = store.list_users(*PEOPLE, after=None, limit=2)
    store.delete_user(*PEOPLE, "a")
    second = store.list_users(*PEOPLE, after=first.next_after, limit=2)
    assert [[u.user_id for u in page.users] for page in (first, second)] == [["c", "a"], ["d", "b"]]
    assert second.next_after is None


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
    assert users.MAX_FACES_OF_USER == 100
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


def test_a_deleted_user_frees_its_faces(store: Store) -> None:
    """The faces stay, without a user; one created again is empty."""
    create_collection(store)
    add(store, 1)
    store.create_user(*PEOPLE, "ann")
    associate(store, "ann", 1)
    store.delete_user(*PEOPLE, "ann")
    collection = store.collection(*PEOPLE)
    assert (collection.face_count, collection.user_count) == (1, 0)
    assert store.faces(*PEOPLE, ids(1))[0].user_id is None
    assert store.collection(*gallery_of(collection)).face_count == 0
    store.create_user(*PEOPLE, "ann")
    assert store.user(*PEOPLE, "ann").face_count == 0


def test_a_deleted_collection_takes_its_users_along(store: Store) -> None:
    """Users, their vectors and tokens go; only the gallery's caches are left to be pruned."""
    create_collection(store)
    add(store, 1)
    store.create_user(*PEOPLE, "ann", request=token(operation="CreateUser"))
    associate(store, "ann", 1)
    before = store.collection(*PEOPLE)
    assert len(store.collection_incarnations()) == 2
    store.delete_collection(*PEOPLE)
    assert store.collection_incarnations() == set()
    with pytest.raises(NotFoundError):
        store.collection(*gallery_of(before))
    create_collection(store)
    assert store.list_users(*PEOPLE, after=None, limit=9).users == []
    store.create_user(*PEOPLE, "ann", request=token(operation="CreateUser"))
    assert store.collection(*PEOPLE).user_count == 1


def test_galleries_are_no_collections(store: Store) -> None:
    """The collections that hold vectors of users are in nobody's list."""
    create_collection(store)
    add(store, 1)
    store.create_user(*PEOPLE, "ann")
    associate(store, "ann", 1)
    listed = store.list_collections(ACCOUNT, after=None, limit=9)
    assert [collection.collection_id for collection in listed] == ["people"]


def test_what_is_missing_is_named(store: Store) -> None:
    """Every operation says whether the collection or the user is not there."""
    for kind, name in (("collection", "people"), ("user", "ann")):
        for call in (
            lambda: store.delete_user(*PEOPLE, "ann"),
            lambda: store.user(*PEOPLE, "ann"),
            lambda: store.user_vector(*PEOPLE, "ann"),
            lambda: associate(store, "ann", 1),
            lambda: store.disassociate_faces(*PEOPLE, "ann", ids(1)),
        ):
            with pytest.raises(NotFoundError) as missing:
                call()
            assert (missing.value.kind, missing.value.name) == (kind, name)
        if kind == "collection":
            with pytest.raises(NotFoundError):
                store.create_user(*PEOPLE, "ann")
            with pytest.raises(NotFoundError):
                store.list_users(*PEOPLE, after=None, limit=1)
            with pytest.raises(NotFoundError):
                store.users_of_faces(*PEOPLE, ids(1))
            create_collection(store)


def test_too_many_users(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """A collection has a most of users."""
    monkeypatch.setattr(users, "MAX_USERS", 1)
    create_collection(store)
    store.create_user(*PEOPLE, "ann")
    with pytest.raises(LimitError):
        store.create_user(*PEOPLE, "bob")


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


def test_a_gallery_has_no_litter(store: Store) -> None:
    """However often faces change, a gallery has one row for each user with faces."""
    create_collection(store)
    add(store, 1, 2)
    for user_id in ("ann", "bob"):
        store.create_user(*PEOPLE, user_id)
    for _ in range(3):
        associate(store, "ann", 1)
        associate(store, "bob", 2)
        store.disassociate_faces(*PEOPLE, "ann", ids(1))
    account, name = gallery_of(store.collection(*PEOPLE))
    [face] = store.list_faces(account, name, after=None, limit=9).faces
    assert face.external_image_id == "bob"


def test_two_tokens_of_one_name(store: Store) -> None:
    """A token belongs to an operation: another one may use the same."""
    create_collection(store)
    add(store, 1)
    store.create_user(*PEOPLE, "ann", request=token(operation="CreateUser"))
    assert len(associate(store, "ann", 1, request=token()).changed) == 1
    with pytest.raises(TokenMismatchError):
        store.create_user(*PEOPLE, "bob", request=token(operation="CreateUser", of="other"))


def test_the_tables_are_indexed(sqlite_store: Store) -> None:
    """No statement on users goes through all of them."""
    queries = (
        "SELECT * FROM users WHERE collection_key = 1 AND key > 5 ORDER BY key LIMIT 9",
        "SELECT * FROM users WHERE collection_key = 1 AND user_id = 'a'",
        "SELECT * FROM user_faces WHERE user_key = 1",
        "SELECT * FROM request_tokens WHERE expires_at <= 1 ORDER BY expires_at LIMIT 9",
    )
    with sqlite_store._database.read() as connection:
        for query in queries:
            plan = connection.execute(sa.text(f"EXPLAIN QUERY PLAN {query}")).all()
            assert all("SCAN" not in row.detail for row in plan), (query, plan)
            assert all("TEMP B-TREE" not in row.detail for row in plan), (query, plan)
