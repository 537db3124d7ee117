"""Users in the store, over both databases."""

from __future__ import annotations

import pytest
import sqlalchemy as sa

from streamd.resources import User, UserStatus
from streamd.store import (
    LimitError,
    NameInUseError,
    NotFoundError,
    Store,
    TokenMismatchError,
    users,
)
from streamd.store.galleries import gallery_of
from tests.support.people import PEOPLE, add, associate, ids, token, vector_of
from tests.support.store import ACCOUNT, create_collection


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
