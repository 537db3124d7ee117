"""Search in a collection is exact."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from processors.errors import NetworkError
from processors.faces import index as index_module
from processors.faces.index import FaceIndex

ROWS = np.array([[0, 0], [3, 4], [0, 1], [0, -1]], dtype=np.float32)


def _query(*numbers: float) -> np.ndarray:
    return np.array([numbers], dtype=np.float32)


def test_nearest_first() -> None:
    """Rows come with their distance; of equally near ones the lower row is first."""
    [found] = FaceIndex(ROWS).search(_query(0, 0), limit=10, max_distance=10)
    assert found == [(0, 0.0), (2, 1.0), (3, 1.0), (1, 5.0)]


def test_limit_and_distance() -> None:
    """At most so many, and none farther away; the border itself belongs to it."""
    index = FaceIndex(ROWS)
    assert index.search(_query(0, 0), limit=2, max_distance=10) == [[(0, 0.0), (2, 1.0)]]
    assert index.search(_query(3, 3), limit=9, max_distance=1.0) == [[(1, 1.0)]]
    assert index.search(_query(50, 50), limit=9, max_distance=1.0) == [[]]


@pytest.mark.parametrize(("limit", "max_distance"), [(0, 1.0), (5, -1.0)])
def test_nothing_asked(limit: int, max_distance: float) -> None:
    """No rows are wanted, or none can be near enough."""
    assert FaceIndex(ROWS).search(_query(0, 0), limit=limit, max_distance=max_distance) == [[]]


def test_empty_sides() -> None:
    """An empty collection finds nothing; no queries have no answers."""
    empty = FaceIndex(np.empty((0, 2), dtype=np.float32))
    assert empty.search(_query(0, 0), limit=5, max_distance=9) == [[]]
    no_queries = np.empty((0, 2), dtype=np.float32)
    assert FaceIndex(ROWS).search(no_queries, limit=5, max_distance=9) == []
    assert len(empty) == 0


@given(
    rows=st.integers(0, 60),
    size=st.integers(1, 8),
    limit=st.integers(1, 10),
    seed=st.integers(0, 99),
    block=st.integers(1, 20),
)
def test_agrees_with_plain_search(rows: int, size: int, limit: int, seed: int, block: int) -> None:
    """Whatever the blocks, the answer is that of comparing everything in float64."""
    random = np.random.default_rng(seed)
    # Few different numbers, so that many distances are equal.
    vectors = (random.integers(-2, 3, (rows, size)) / 3).astype(np.float32)
    queries = (random.integers(-2, 3, (3, size)) / 3).astype(np.float32)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(index_module, "_BLOCK_ROWS", block)
        found = FaceIndex(vectors).search(queries, limit=limit, max_distance=1.5)
    for query, own in zip(queries, found, strict=True):
        gaps = vectors.astype(np.float64) - query.astype(np.float64)
        distances = np.sqrt((gaps**2).sum(axis=1))
        order = np.lexsort((np.arange(rows), distances))[:limit]
        wanted = [int(row) for row in order if distances[row] <= 1.5]
        assert [row for row, _ in own] == wanted


def test_real_sizes() -> None:
    """In 40,000 vectors of 128 numbers a copy with a little noise is first."""
    vectors = np.random.default_rng(0).standard_normal((40_000, 128), dtype=np.float32) * 0.12
    queries = vectors[[5, 20_000, 39_999]] + np.float32(0.01)
    found = FaceIndex(vectors).search(queries, limit=3, max_distance=0.5)
    assert [[row for row, _ in own] for own in found] == [[5], [20_000], [39_999]]
    assert found[0][0][1] == pytest.approx(0.1131, abs=1e-3)


def test_a_mapped_file(tmp_path: Path) -> None:
    """The vectors may lie in a file, shared by processes."""
    path = tmp_path / "vectors"
    ROWS.tofile(path)
    mapped = np.memmap(path, dtype=np.float32, mode="r", shape=ROWS.shape)
    [found] = FaceIndex(mapped).search(_query(3, 4), limit=1, max_distance=1)
    assert found == [(1, 0.0)]


def test_many_threads() -> None:
    """One index serves all threads."""
    vectors = np.random.default_rng(0).standard_normal((2000, 16), dtype=np.float32)
    index = FaceIndex(vectors)

    def nearest(row: int) -> int:
        [found] = index.search(vectors[row : row + 1], limit=1, max_distance=0.1)
        return found[0][0]

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(nearest, range(200))) == list(range(200))


@pytest.mark.parametrize(
    "vectors",
    [np.zeros((2, 2)), np.zeros(2, dtype=np.float32)],
    ids=["float64", "one-dimension"],
)
def test_other_arrays_are_refused(vectors: np.ndarray) -> None:
    """Only a float32 matrix is an index."""
    with pytest.raises(ValueError, match=r"float32 vectors of shape \(n, d\)"):
        FaceIndex(vectors)


def test_queries_of_another_size_are_refused() -> None:
    """Vectors of another pack cannot be searched for."""
    with pytest.raises(ValueError, match=r"shape \(q, 2\), got \(1, 3\)"):
        FaceIndex(ROWS).search(_query(1, 2, 3), limit=1, max_distance=1)


def test_rows_of_nan_hide_nothing() -> None:
    """A row without numbers, as deleted faces leave, matches nothing and hides no other."""
    vectors = np.array([[1, 0], [np.nan, np.nan], [1, 0.5]], dtype=np.float32)
    assert FaceIndex(vectors).search(vectors[:1], limit=3, max_distance=1.0) == [
        [(0, 0.0), (2, 0.5)]
    ]
    assert FaceIndex(vectors[1:2]).search(vectors[:1], limit=3, max_distance=1.0) == [[]]


def test_huge_and_tiny_numbers() -> None:
    """What float32 cannot square is compared in float64."""
    vectors = np.array([[3e38, 0], [3e38, 1e32], [2e-30, 0], [3e-30, 0]], dtype=np.float32)
    index = FaceIndex(vectors)
    assert [row for row, _ in index.search(vectors[1:2], limit=1, max_distance=np.inf)[0]] == [1]
    assert [row for row, _ in index.search(vectors[3:], limit=1, max_distance=1.0)[0]] == [3]
    assert [row for row, _ in index.search(_query(0, 0), limit=1, max_distance=1e-31)[0]] == []
    assert index.search(_query(np.nan, 0), limit=1, max_distance=np.inf) == [[]]


def test_an_index_grows_from_few_rows_to_many() -> None:
    """The first rows may have had no codes; what is found does not change."""
    vectors = np.random.default_rng(0).standard_normal((20_000, 8), dtype=np.float32)
    few = FaceIndex(vectors[:16_000])
    more = FaceIndex(vectors[:17_000], few)
    most = FaceIndex(vectors, more)
    assert (few.codes, few.size_bytes) == (None, 64_000)
    assert more.codes is not None
    assert more.size_bytes > 17_000 * 128
    assert most.codes is not None
    assert (most.codes.centre == more.codes.centre).all()
    for index in (few, more, most):
        found = index.search(vectors[15_990:15_991], limit=1, max_distance=0.0)
        assert found == [[(15_990, 0.0)]]
    assert most.search(vectors[19_999:], limit=1, max_distance=0.0) == [[(19_999, 0.0)]]


@pytest.mark.parametrize("shape", [(3, 2), (9, 3)])
def test_other_rows_are_not_continued(shape: tuple[int, int]) -> None:
    """A matrix with fewer rows or other columns cannot use what was made before."""
    with pytest.raises(ValueError, match=r"an index of \(4, 2\) has other rows"):
        FaceIndex(np.zeros(shape, dtype=np.float32), FaceIndex(ROWS))


def test_an_empty_index_is_continued_by_any() -> None:
    """An empty collection does not know the size of its vectors yet."""
    empty = FaceIndex(np.empty((0, 0), dtype=np.float32))
    assert len(FaceIndex(ROWS, empty)) == 4


def test_without_exact_products_it_compares_floats(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A machine that cannot multiply bytes searches as before, and says so."""

    def refused(*_: object) -> None:
        raise NetworkError("products of bytes are not exact on this machine")

    monkeypatch.setattr(index_module, "QuantizedSearch", refused)
    vectors = np.random.default_rng(0).standard_normal((17_000, 8), dtype=np.float32)
    index = FaceIndex(vectors)
    assert index.search(vectors[9:10], limit=1, max_distance=0.1) == [[(9, 0.0)]]
    assert "products of bytes are not exact" in caplog.text
    assert FaceIndex(vectors, index).search(vectors[:1], limit=1, max_distance=0.1)
