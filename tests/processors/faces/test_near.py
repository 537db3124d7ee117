"""The search through codes gives what comparing everything gives."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from processors.faces import codes as codes_module
from processors.faces import index as index_module
from processors.faces import near as near_module
from processors.faces.index import FaceIndex
from processors.models.group_minima import GROUP_ROWS

Found = list[list[tuple[int, float]]]


@pytest.fixture(scope="module", autouse=True)
def small_blocks() -> Iterator[None]:
    """Codes from the first row on, and blocks of two groups."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(index_module, "_MIN_CODED_ROWS", 1)
        patch.setattr(codes_module, "BLOCK_ROWS", 2 * GROUP_ROWS)
        patch.setattr(near_module, "BLOCK_ROWS", 2 * GROUP_ROWS)
        patch.setattr(near_module, "_BLOCK_GROUPS", 2)
        yield


def oracle(vectors: np.ndarray, queries: np.ndarray, limit: int, max_distance: float) -> Found:
    """Compare everything in float64."""
    found = []
    for query in queries.astype(np.float64):
        gaps = vectors.astype(np.float64) - query
        with np.errstate(invalid="ignore"):
            distances = np.sqrt(np.einsum("ij,ij->i", gaps, gaps))
        near = np.flatnonzero(distances <= max_distance)
        order = near[np.lexsort((near, distances[near]))][:limit]
        found.append([(int(row), float(distances[row])) for row in order])
    return found


def whole(rows: int, columns: int, seed: int) -> np.ndarray:
    """Return vectors of few different small numbers, exact in float64: ties and duplicates."""
    random = np.random.default_rng(seed)
    return (random.integers(-2, 3, (rows, columns)) / 4).astype(np.float32)


def spread(rows: int, columns: int, seed: int) -> np.ndarray:
    """Return vectors with norms from tiny to huge, around a point off zero."""
    random = np.random.default_rng(seed)
    sizes = 10.0 ** random.integers(-22, 20, (rows, 1))
    vectors = random.standard_normal((rows, columns)) * sizes
    return (vectors + random.integers(0, 2, (rows, 1))).astype(np.float32)


@settings(deadline=None, max_examples=150)
@given(
    kind=st.sampled_from([whole, spread]),
    rows=st.integers(1, 400),
    columns=st.sampled_from([1, 2, 5, 128, 131]),
    limit=st.integers(1, 40),
    max_distance=st.sampled_from([0.0, 0.25, 1.0, 1.5, 7.0, 1e16, np.inf]),
    gone=st.lists(st.integers(0, 399), max_size=9),
    seed=st.integers(0, 999),
)
def test_equals_comparing_everything(
    kind: object,
    rows: int,
    columns: int,
    limit: int,
    max_distance: float,
    gone: list[int],
    seed: int,
) -> None:
    """Duplicates, ties at the border, rows of NaN, norms of all sizes: the same rows, distances."""
    vectors = kind(rows, columns, seed)  # type: ignore[operator]  # one of two functions
    vectors[[row for row in gone if row < rows]] = np.nan
    chosen = np.random.default_rng(seed).integers(0, rows, 3)
    near = np.nan_to_num(vectors[chosen])
    queries = np.concatenate([near, kind(3, columns, seed + 1)])  # type: ignore[operator]  # as above
    found = FaceIndex(vectors).search(queries, limit=limit, max_distance=max_distance)
    assert found == oracle(vectors, queries, limit, max_distance)


finite = st.floats(width=32, allow_nan=False, allow_infinity=False)


@settings(deadline=None, max_examples=150)
@given(
    vectors=hnp.arrays(np.float32, st.tuples(st.integers(1, 40), st.just(3)), elements=finite),
    query=hnp.arrays(np.float32, (1, 3), elements=finite),
    limit=st.integers(1, 5),
)
@pytest.mark.parametrize("min_coded_rows", [1, 1 << 60], ids=["codes", "floats"])
def test_any_number_a_float_has(
    vectors: np.ndarray, query: np.ndarray, limit: int, min_coded_rows: int
) -> None:
    """From the smallest to the largest float32, in rows and queries."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(index_module, "_MIN_CODED_ROWS", min_coded_rows)
        index = FaceIndex(vectors)
    for max_distance in (1e-25, 1.0, np.inf):
        found = index.search(query, limit=limit, max_distance=max_distance)
        assert found == oracle(vectors, query, limit, max_distance)


@settings(deadline=None, max_examples=60)
@given(
    steps=st.lists(st.integers(0, 150), min_size=1, max_size=6),
    gone=st.lists(st.integers(0, 899), max_size=30),
    limit=st.integers(1, 20),
    seed=st.integers(0, 999),
)
def test_additions_and_deletions(steps: list[int], gone: list[int], limit: int, seed: int) -> None:
    """An index made from others answers as one made anew, and those before it still do."""
    everything = whole(1 + sum(steps), 4, seed)
    queries = whole(4, 4, seed + 1)
    index: FaceIndex | None = None
    made: list[FaceIndex] = []
    count = 1
    for step in steps:
        count += step
        index = FaceIndex(everything[:count], index)
        made.append(index)
        # As in the files: a deletion reaches every index at once, searched or not.
        everything[[row for row in gone if row % 7 == step % 7 and row < count]] = np.nan
        for each in made:
            found = each.search(queries, limit=limit, max_distance=1.0)
            assert found == oracle(each.vectors, queries, limit, 1.0)


@pytest.mark.parametrize("max_distance", [1.0, 1.2, np.inf])
@pytest.mark.parametrize("limit", [1, 30, 5000])
@pytest.mark.parametrize("columns", [128, 200, 512])
def test_faces(columns: int, limit: int, max_distance: float) -> None:
    """3000 unit vectors, probes of enrolled people and strangers: the same lists."""
    random = np.random.default_rng(columns)
    vectors = random.standard_normal((3000, columns), dtype=np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    probes = random.standard_normal((40, columns), dtype=np.float32) * 0.05
    probes[:20] += vectors[:20]
    found = FaceIndex(vectors).search(probes, limit=limit, max_distance=max_distance)
    assert found == oracle(vectors, probes, limit, max_distance)


def test_border_belongs_to_it() -> None:
    """Rows at the largest distance are found, of equally near ones the lower rows."""
    vectors = np.zeros((500, 2), dtype=np.float32)
    vectors[:, 0] = 3
    vectors[::2, 1] = 4
    [found] = FaceIndex(vectors).search(np.zeros((1, 2), np.float32), limit=3, max_distance=3.0)
    assert found == [(1, 3.0), (3, 3.0), (5, 3.0)]
    [found] = FaceIndex(vectors).search(np.zeros((1, 2), np.float32), limit=999, max_distance=5.0)
    assert len(found) == 500


def test_queries_of_different_sizes_and_none() -> None:
    """Queries without a number find nothing, infinite ones are infinitely far from all."""
    vectors = whole(300, 3, 0)
    queries = np.array(
        [[0, 0, 0], [np.nan, 0, 0], [1e30, 0, 0], [np.inf, 0, 0], [1e-30, 0, 0]], np.float32
    )
    found = FaceIndex(vectors).search(queries, limit=2, max_distance=np.inf)
    wanted = oracle(vectors, queries[[0, 2, 4]], 2, np.inf)
    assert [found[0], found[2], found[4]] == wanted
    assert found[1] == []
    assert found[3] == [(0, np.inf), (1, np.inf)]


def test_few_vectors_are_read() -> None:
    """Of 3000 faces a search compares a handful: the rest is excluded by the codes."""
    random = np.random.default_rng(0)
    vectors = random.standard_normal((3000, 128), dtype=np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    index = FaceIndex(vectors)
    compared: list[int] = []
    whole_distances = FaceIndex._distances

    def counted(own: FaceIndex, rows: np.ndarray, query: np.ndarray) -> np.ndarray:
        compared.append(len(rows))
        return whole_distances(own, rows, query)

    index._coded._distances = lambda rows, query: counted(index, rows, query)  # type: ignore[union-attr]  # it has codes
    [[(row, _distance)]] = index.search(vectors[77:78] * 1.05, limit=1, max_distance=1.0)
    assert row == 77
    assert sum(compared) <= 3


def test_deleted_rows_are_hidden_once_seen() -> None:
    """A row that became NaN is compared once more and then no longer."""
    vectors = whole(200, 3, 0)
    index = FaceIndex(vectors)
    query = vectors[5:6].copy()
    vectors[5] = np.nan
    assert index.search(query, limit=200, max_distance=9.0) == oracle(vectors, query, 200, 9.0)
    assert index.codes is not None
    assert np.isinf(index.codes.blocks[0].offsets[5])


def test_threads_search_while_the_index_grows() -> None:
    """Many threads in one index, with additions and deletions beside them."""
    vectors = np.random.default_rng(0).standard_normal((3000, 16), dtype=np.float32)
    queries = vectors.copy()
    indexes = [FaceIndex(vectors[:2000])]

    def find(row: int) -> tuple[int, list[tuple[int, float]]]:
        [found] = indexes[-1].search(queries[row : row + 1], limit=1, max_distance=0.1)
        return row, found

    with ThreadPoolExecutor(4) as pool:
        searches = [pool.submit(find, row) for row in range(400)]
        for count in range(2010, 3000, 90):
            vectors[count - 2010] = np.nan
            indexes.append(FaceIndex(vectors[:count], indexes[-1]))
        searches += [pool.submit(find, row) for row in range(1900, 2100)]
        deleted = set(range(0, 990, 90))
        for row, found in (search.result() for search in searches):
            assert found == [(row, 0.0)] or (row in deleted and not found), row
