"""Collections are searched with one index, which grows with them."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from processors.faces import index as index_module
from processors.faces.analyzer import FaceAnalyzer
from processors.faces.index import FaceIndex
from streamd.clock import SystemClock
from streamd.pipeline import collection_search
from streamd.pipeline.collection_search import CollectionSearch
from streamd.store import NotFoundError, Store
from streamd.store.vectors import CollectionVectors
from tests.support.clock import ManualClock
from tests.support.rekognition import ScriptedAnalyzer
from tests.support.store import ACCOUNT, create_collection, make_face

PEOPLE = (ACCOUNT, "people")


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def sqlite_store(tmp_path: Path) -> Iterator[Store]:
    store = Store(f"sqlite:///{tmp_path / 'store.sqlite'}", clock=SystemClock())
    store.migrate()
    yield store
    store.close()


@pytest.fixture
def search(sqlite_store: Store, tmp_path: Path, clock: ManualClock) -> CollectionSearch:
    create_collection(sqlite_store)
    return CollectionSearch(CollectionVectors(sqlite_store, tmp_path / "faces", clock=clock))


@pytest.fixture
def built(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int | None]]:
    """Rows of each index made, and of the one it was made from; all by codes."""
    monkeypatch.setattr(index_module, "_MIN_CODED_ROWS", 1)
    made: list[tuple[int, int | None]] = []

    class Counted(FaceIndex):
        def __init__(self, vectors: np.ndarray, previous: FaceIndex | None = None) -> None:
            made.append((len(vectors), None if previous is None else len(previous)))
            super().__init__(vectors, previous)

    monkeypatch.setattr(collection_search, "FaceIndex", Counted)
    return made


def add(store: Store, *numbers: int) -> None:
    """Add numbered faces."""
    store.add_faces(*PEOPLE, [make_face(number) for number in numbers])


def delete(store: Store, *numbers: int) -> None:
    """Delete numbered faces."""
    store.delete_faces(*PEOPLE, [make_face(number)[0].face_id for number in numbers])


def find(search: CollectionSearch, number: int, *, fresh: bool = True) -> list[str]:
    """Return the ids of faces with this number's vector."""
    size = len(make_face(number)[1])
    analyzer: FaceAnalyzer = ScriptedAnalyzer()  # type: ignore[assignment]  # what a search needs
    [found] = search.search(
        *PEOPLE,
        np.full((1, size), number, dtype=np.float32),
        limit=10,
        threshold_percent=99.0,
        analyzer=analyzer,
        fresh=fresh,
    )
    return [face.face_id for face, _similarity in found]


def identity(number: int) -> str:
    """Return the face id of a number."""
    return make_face(number)[0].face_id


def test_an_index_is_kept_while_nothing_changes(
    sqlite_store: Store, search: CollectionSearch, built: list[tuple[int, int | None]]
) -> None:
    """Ten searches build once."""
    add(sqlite_store, 1, 2, 3)
    assert all(find(search, 2) == [identity(2)] for _ in range(10))
    assert built == [(3, None)]


def test_faces_are_added_to_the_index(
    sqlite_store: Store, search: CollectionSearch, built: list[tuple[int, int | None]]
) -> None:
    """One face more is found at once, and the others are not encoded again."""
    add(sqlite_store, 1, 2, 3)
    find(search, 1)
    add(sqlite_store, 4)
    assert find(search, 4) == [identity(4)]
    assert find(search, 1) == [identity(1)]
    assert built == [(3, None), (4, 3)]


def test_deleted_faces_are_not_found(
    sqlite_store: Store, search: CollectionSearch, built: list[tuple[int, int | None]]
) -> None:
    """Neither before nor after the files are compacted, which moves the rows."""
    add(sqlite_store, *range(1, 9))
    assert find(search, 8) == [identity(8)]
    delete(sqlite_store, 2)
    assert find(search, 2) == []
    delete(sqlite_store, 1, 3)
    assert find(search, 3) == []
    assert find(search, 8) == [identity(8)]
    assert built == [(8, None), (8, 8), (5, None)]


def test_a_collection_made_again_has_nothing_of_the_old_one(
    sqlite_store: Store, search: CollectionSearch, built: list[tuple[int, int | None]]
) -> None:
    """Same id, another collection."""
    add(sqlite_store, 1, 2)
    find(search, 1)
    sqlite_store.delete_collection(*PEOPLE)
    with pytest.raises(NotFoundError):
        find(search, 1)
    create_collection(sqlite_store)
    add(sqlite_store, 2)
    assert find(search, 1) == []
    assert find(search, 2) == [identity(2)]
    assert built == [(2, None), (1, None)]


def test_searches_go_on_while_an_index_is_built(
    sqlite_store: Store,
    search: CollectionSearch,
    clock: ManualClock,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Only who must see the latest waits for it; other collections are not held up either."""
    add(sqlite_store, 1, 2)
    find(search, 1)
    add(sqlite_store, 3)
    create_collection(sqlite_store, "others")
    building, may_end = threading.Event(), threading.Event()

    def slow(vectors: np.ndarray, previous: FaceIndex | None = None) -> FaceIndex:
        building.set()
        assert may_end.wait(20)
        return FaceIndex(vectors, previous)

    found: list[list[str]] = []
    with monkeypatch.context() as patch:
        patch.setattr(collection_search, "FaceIndex", slow)
        waiting = threading.Thread(target=lambda: found.append(find(search, 3)))
        waiting.start()
        assert building.wait(20)
        patch.setattr(collection_search, "FaceIndex", FaceIndex)
        clock.advance(1)
        assert find(search, 1, fresh=False) == [identity(1)]
        assert find(search, 3, fresh=False) == []
        nobody = np.empty((0, 4), dtype=np.float32)
        analyzer: FaceAnalyzer = ScriptedAnalyzer()  # type: ignore[assignment]  # as above
        others = (ACCOUNT, "others")
        assert not search.search(
            *others, nobody, limit=1, threshold_percent=50.0, analyzer=analyzer
        )
        may_end.set()
        waiting.join()
    assert found == [[identity(3)]]
    assert find(search, 3, fresh=False) == [identity(3)]
