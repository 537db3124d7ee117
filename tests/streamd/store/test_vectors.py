"""Snapshots of collections: current, cheap, shared, gone with the collection."""

from __future__ import annotations

import multiprocessing
import threading
from pathlib import Path

import numpy as np
import pytest
import sqlalchemy as sa

from streamd.clock import SystemClock
from streamd.store import NotFoundError, Store, StoreUnavailableError, face_rows, vectors
from streamd.store.vectors import CollectionSnapshot, CollectionVectors
from tests.support.clock import ManualClock
from tests.support.store import ACCOUNT, create_collection, make_face

PEOPLE = (ACCOUNT, "people")


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def cache(sqlite_store: Store, tmp_path: Path, clock: ManualClock) -> CollectionVectors:
    return CollectionVectors(sqlite_store, tmp_path / "collections", clock=clock)


def add(store: Store, *numbers: int) -> None:
    """Add numbered faces."""
    store.add_faces(*PEOPLE, [make_face(number) for number in numbers])


def delete(store: Store, *numbers: int) -> None:
    """Delete numbered faces."""
    store.delete_faces(*PEOPLE, [make_face(number)[0].face_id for number in numbers])


def living(snapshot: CollectionSnapshot) -> list[int]:
    """Return the numbers of the faces in a snapshot; vector and metadata must agree."""
    numbers = []
    for row, vector in enumerate(snapshot.vectors):
        face = snapshot.face(row)
        if face is None:
            assert np.isnan(vector).all()
        else:
            number = int(vector[0])
            assert face == make_face(number)[0]
            numbers.append(number)
    return numbers


def count_queries(store: Store) -> list[str]:
    """Return a list that grows with every statement of the store."""
    statements: list[str] = []
    sa.event.listen(
        store._database._engine,
        "before_cursor_execute",
        lambda _c, _cursor, statement, *_: statements.append(statement),
    )
    return statements


def test_empty_collection_has_an_empty_matrix(
    sqlite_store: Store, cache: CollectionVectors
) -> None:
    """No face yet: no rows, and no size known."""
    create_collection(sqlite_store)
    assert cache.snapshot(*PEOPLE).vectors.shape == (0, 0)
    add(sqlite_store, 1)
    assert living(cache.snapshot(*PEOPLE, fresh=True)) == [1]


def test_snapshot_is_believed_for_half_a_second(
    sqlite_store: Store, cache: CollectionVectors, clock: ManualClock
) -> None:
    """Within that time there is no query at all; then one for the revision."""
    create_collection(sqlite_store)
    add(sqlite_store, 1, 2)
    first = cache.snapshot(*PEOPLE)
    statements = count_queries(sqlite_store)
    clock.advance(0.49)
    assert cache.snapshot(*PEOPLE) is first
    assert statements == []
    clock.advance(0.02)
    assert cache.snapshot(*PEOPLE) is first
    assert sum(statement.startswith("SELECT") for statement in statements) == 1
    add(sqlite_store, 3)
    assert cache.snapshot(*PEOPLE) is first
    clock.advance(0.51)
    assert living(cache.snapshot(*PEOPLE)) == [1, 2, 3]
    assert living(first) == [1, 2]


def test_fresh_snapshot_has_what_was_just_written(
    sqlite_store: Store, cache: CollectionVectors
) -> None:
    """IndexFaces, then a search: the face is found, the deleted one is not."""
    create_collection(sqlite_store)
    add(sqlite_store, 1, 2, 3, 4, 5)
    cache.snapshot(*PEOPLE)
    add(sqlite_store, 6)
    delete(sqlite_store, 2)
    assert living(cache.snapshot(*PEOPLE, fresh=True)) == [1, 3, 4, 5, 6]


def test_deletion_reaches_older_snapshots(sqlite_store: Store, cache: CollectionVectors) -> None:
    """An index over an older snapshot cannot name a deleted face."""
    create_collection(sqlite_store)
    add(sqlite_store, *range(1, 11))
    older = cache.snapshot(*PEOPLE)
    delete(sqlite_store, 4)
    cache.snapshot(*PEOPLE, fresh=True)
    assert living(older) == [1, 2, 3, 5, 6, 7, 8, 9, 10]


def test_many_deletions_compact_the_files(sqlite_store: Store, cache: CollectionVectors) -> None:
    """Beyond a quarter of dead rows they are gone from the matrix."""
    create_collection(sqlite_store)
    add(sqlite_store, *range(1, 9))
    cache.snapshot(*PEOPLE)
    delete(sqlite_store, 1, 2)
    assert len(cache.snapshot(*PEOPLE, fresh=True).vectors) == 8
    delete(sqlite_store, 3)
    compacted = cache.snapshot(*PEOPLE, fresh=True)
    assert len(compacted.vectors) == 5
    add(sqlite_store, 9)
    assert living(cache.snapshot(*PEOPLE, fresh=True)) == [4, 5, 6, 7, 8, 9]


def test_other_process_maps_without_reading_faces_again(
    sqlite_store: Store, cache: CollectionVectors, tmp_path: Path
) -> None:
    """The second reader takes the files as they are: one query for the revision."""
    create_collection(sqlite_store)
    add(sqlite_store, 1, 2)
    cache.snapshot(*PEOPLE)
    second = CollectionVectors(sqlite_store, tmp_path / "collections")
    statements = count_queries(sqlite_store)
    assert living(second.snapshot(*PEOPLE)) == [1, 2]
    assert sum(statement.startswith("SELECT") for statement in statements) == 1


def test_large_catch_up_goes_in_steps_that_count(
    sqlite_store: Store, cache: CollectionVectors, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Many changes at once, deletions among them, end in the same faces."""
    monkeypatch.setattr(vectors, "FACES_AT_ONCE", 3)
    create_collection(sqlite_store)
    add(sqlite_store, *range(1, 8))
    delete(sqlite_store, 1, 7)
    add(sqlite_store, *range(8, 14))
    delete(sqlite_store, 8)
    assert sorted(living(cache.snapshot(*PEOPLE))) == [2, 3, 4, 5, 6, 9, 10, 11, 12, 13]


def test_step_that_failed_is_taken_up_again(
    sqlite_store: Store,
    cache: CollectionVectors,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A writer that breaks half-way leaves files the next one continues."""
    create_collection(sqlite_store)
    add(sqlite_store, 1, 2, 3, 4, 5, 6, 7, 8)
    monkeypatch.setattr(vectors, "FACES_AT_ONCE", 3)
    with monkeypatch.context() as broken:
        broken.setattr(
            Store, "deleted_faces", lambda *_a, **_k: (_ for _ in ()).throw(OSError(28, "full"))
        )
        with pytest.raises(StoreUnavailableError, match="full"):
            cache.snapshot(*PEOPLE)
    assert living(cache.snapshot(*PEOPLE)) == [1, 2, 3, 4, 5, 6, 7, 8]


def test_reader_behind_forgotten_deletions_starts_again(
    sqlite_store: Store, cache: CollectionVectors, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Files too old to catch up are built anew."""
    monkeypatch.setattr(face_rows, "REMEMBERED_CHANGES", 2)
    create_collection(sqlite_store)
    add(sqlite_store, *range(1, 20))
    cache.snapshot(*PEOPLE)
    delete(sqlite_store, 1, 2)
    delete(sqlite_store, 3)
    assert living(cache.snapshot(*PEOPLE, fresh=True)) == list(range(4, 20))


def test_files_of_another_vector_size_are_replaced(
    sqlite_store: Store, cache: CollectionVectors
) -> None:
    """A collection made again under its id has nothing to do with the old one."""
    create_collection(sqlite_store)
    add(sqlite_store, 1)
    cache.snapshot(*PEOPLE)
    sqlite_store.delete_collection(*PEOPLE)
    create_collection(sqlite_store)
    sqlite_store.add_faces(*PEOPLE, [make_face(2, size=8)])
    assert cache.snapshot(*PEOPLE, fresh=True).vectors.tolist() == [[2.0] * 8]


def test_deleted_collection_is_not_found_and_its_files_go(
    sqlite_store: Store, cache: CollectionVectors, clock: ManualClock, tmp_path: Path
) -> None:
    """The collection is missing at the next look, and no vector is left on disk."""
    create_collection(sqlite_store)
    add(sqlite_store, 1)
    cache.snapshot(*PEOPLE)
    sqlite_store.delete_collection(*PEOPLE)
    clock.advance(1)
    with pytest.raises(NotFoundError):
        cache.snapshot(*PEOPLE)
    with pytest.raises(NotFoundError):
        cache.snapshot(*PEOPLE)
    assert list((tmp_path / "collections").iterdir()) == []


def test_prune_removes_litter_alone(
    sqlite_store: Store, cache: CollectionVectors, tmp_path: Path
) -> None:
    """Files of collections that no longer exist go, those of others stay."""
    assert cache.prune() == 0
    for collection_id in ("people", "gone"):
        create_collection(sqlite_store, collection_id)
        cache.snapshot(ACCOUNT, collection_id)
    sqlite_store.delete_collection(ACCOUNT, "gone")
    assert cache.prune() == 1
    left = [path.name for path in (tmp_path / "collections").iterdir()]
    assert left == [sqlite_store.collection_state(*PEOPLE).incarnation]


def test_snapshot_outlives_an_absent_store(
    sqlite_store: Store,
    cache: CollectionVectors,
    clock: ManualClock,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """While the store is away searches go on with what there is; fresh ones fail."""
    create_collection(sqlite_store)
    add(sqlite_store, 1)
    held = cache.snapshot(*PEOPLE)

    def away(*_: str) -> None:
        raise StoreUnavailableError("away")

    monkeypatch.setattr(Store, "collection_state", away)
    clock.advance(10)
    assert cache.snapshot(*PEOPLE) is held
    with pytest.raises(StoreUnavailableError):
        cache.snapshot(*PEOPLE, fresh=True)


def test_threads_share_one_look_at_the_store(
    sqlite_store: Store, cache: CollectionVectors, clock: ManualClock
) -> None:
    """While one thread asks, the others go on with the snapshot they have."""
    create_collection(sqlite_store)
    add(sqlite_store, 1)
    held = cache.snapshot(*PEOPLE)
    clock.advance(1)
    entry = cache._entries[PEOPLE]
    with entry.lock:
        assert cache.snapshot(*PEOPLE) is held


def test_threads_read_while_faces_come_and_go(sqlite_store: Store, tmp_path: Path) -> None:
    """Under additions, deletions and compaction every row seen is whole or gone."""
    create_collection(sqlite_store)
    add(sqlite_store, 1)
    caches = [CollectionVectors(sqlite_store, tmp_path / "collections") for _ in range(3)]
    done = threading.Event()
    failures: list[BaseException] = []

    def read(cache: CollectionVectors) -> None:
        try:
            while not done.is_set():
                snapshot = cache.snapshot(*PEOPLE, fresh=True)
                for row in range(len(snapshot.vectors)):
                    vector, face = snapshot.vectors[row].copy(), snapshot.face(row)
                    if face is not None and not np.isnan(vector).any():
                        assert face == make_face(int(vector[0]))[0]
        except BaseException as error:  # noqa: BLE001  # told by the test below
            failures.append(error)

    threads = [threading.Thread(target=read, args=(cache,)) for cache in caches]
    for thread in threads:
        thread.start()
    for number in range(2, 60):
        add(sqlite_store, number)
        if number % 2:
            delete(sqlite_store, number - 1)
    done.set()
    for thread in threads:
        thread.join()
    assert failures == []
    assert living(caches[0].snapshot(*PEOPLE, fresh=True)) == [1, *range(3, 60, 2)]


def test_processes_build_the_files_together(sqlite_store: Store, tmp_path: Path) -> None:
    """Processes that start at once read the same rows, one of them filled them in."""
    create_collection(sqlite_store)
    add(sqlite_store, *range(1, 300))
    url = f"sqlite:///{tmp_path / 'store.sqlite'}"
    with multiprocessing.get_context("spawn").Pool(3) as pool:
        answers = pool.map(_sum, [(url, str(tmp_path / "collections"))] * 3)
    assert answers == [(299, 299 * 300 / 2)] * 3
    (directory,) = (tmp_path / "collections").iterdir()
    assert len(list(directory.iterdir())) == 4


def _sum(paths: tuple[str, str]) -> tuple[int, float]:
    store = Store(paths[0], clock=SystemClock())
    snapshot = CollectionVectors(store, Path(paths[1])).snapshot(*PEOPLE)
    store.close()
    return len(snapshot.vectors), float(snapshot.vectors[:, 0].sum())
