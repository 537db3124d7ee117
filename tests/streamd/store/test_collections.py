"""Collections in the store, over both databases."""

from __future__ import annotations

import pytest

from streamd.store import (
    NameInUseError,
    NotFoundError,
    Store,
)
from tests.support.clock import ManualClock
from tests.support.store import ACCOUNT, create_collection, make_face

PEOPLE = (ACCOUNT, "people")


def ids(*numbers: int) -> list[str]:
    """Return the ids of numbered faces."""
    return [make_face(number)[0].face_id for number in numbers]


def test_created_collection_is_empty(store: Store, clock: ManualClock) -> None:
    """A new collection has no faces and keeps its model version."""
    created = create_collection(store)
    assert store.collection(*PEOPLE) == created
    assert (created.face_count, created.revision) == (0, 0)
    assert created.face_model_version == "1.0"
    assert created.created_at == clock.now()


def test_collection_id_is_taken_once(store: Store) -> None:
    """The same id again is refused; ids differ by case."""
    create_collection(store)
    with pytest.raises(NameInUseError, match="collection 'people' already exists"):
        create_collection(store)
    create_collection(store, "People")


def test_collections_are_listed_by_id(store: Store) -> None:
    """Pages follow the bytes of the ids."""
    for collection_id in ("b", "B", "a"):
        create_collection(store, collection_id)
    first = store.list_collections(ACCOUNT, after=None, limit=2)
    rest = store.list_collections(ACCOUNT, after=first[-1].collection_id, limit=2)
    assert [c.collection_id for c in first + rest] == ["B", "a", "b"]


def test_absent_collection_is_not_found(store: Store) -> None:
    """Every operation says which collection is missing."""
    for call in (
        lambda: store.collection(*PEOPLE),
        lambda: store.delete_collection(*PEOPLE),
        lambda: store.add_faces(*PEOPLE, [make_face(1)]),
        lambda: store.faces(*PEOPLE, ids(1)),
        lambda: store.list_faces(*PEOPLE, after=None, limit=1),
        lambda: store.delete_faces(*PEOPLE, ids(1)),
        lambda: store.face_vector(*PEOPLE, ids(1)[0]),
        lambda: store.collection_state(*PEOPLE),
    ):
        with pytest.raises(NotFoundError) as missing:
            call()
        assert (missing.value.kind, missing.value.name) == ("collection", "people")


def test_deleted_collection_takes_everything_with_it(store: Store) -> None:
    """Faces and tags go; one created again is empty and another to every cache."""
    created = create_collection(store, team="night")
    store.add_faces(*PEOPLE, [make_face(1), make_face(2)])
    store.delete_faces(*PEOPLE, ids(1))
    before = store.collection_state(*PEOPLE)
    assert store.delete_collection(*PEOPLE).face_count == 1
    create_collection(store)
    after = store.collection_state(*PEOPLE)
    assert store.list_faces(*PEOPLE, after=None, limit=9).faces == []
    assert store.tags(created.arn) == {}
    assert after.key != before.key
    assert after.incarnation != before.incarnation
    assert store.collection_incarnations() == {after.incarnation}
