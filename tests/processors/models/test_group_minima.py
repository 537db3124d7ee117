"""The network of the vector search computes in whole numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from processors.errors import NetworkError
from processors.models import group_minima
from processors.models.group_minima import GROUP_ROWS, PLANE_COLUMNS, GroupMinima, plane_count


@pytest.mark.parametrize("planes", [1, 2, 3, 5])
def test_the_official_checker_accepts_it(planes: int) -> None:
    """Types and shapes are those of the operators."""
    model = onnx.load_from_string(group_minima._graph(planes))
    onnx.checker.check_model(model, full_check=True)


@given(
    groups=st.integers(1, 4),
    queries=st.integers(1, 40),
    planes=st.integers(1, 4),
    seed=st.integers(0, 99),
)
def test_minima_of_groups(groups: int, queries: int, planes: int, seed: int) -> None:
    """The least of offset minus product in each group of rows, for each query."""
    random = np.random.default_rng(seed)
    network = GroupMinima.of(planes)
    rows, limit = groups * GROUP_ROWS, network.query_range
    codes = random.integers(0, 256, (planes, rows, PLANE_COLUMNS)).astype(np.uint8)
    parts = random.integers(-limit, limit + 1, (planes, PLANE_COLUMNS, queries)).astype(np.int8)
    offsets = random.integers(-99_999, 99_999, rows).astype(np.float32)
    product = sum(a.astype(np.int64) @ b for a, b in zip(codes, parts, strict=True))
    wanted = (offsets[:, None] - product).reshape(groups, GROUP_ROWS, queries).min(axis=1)
    np.testing.assert_array_equal(network.run(list(codes), list(parts), offsets), wanted)


def test_rows_at_infinity_are_hidden() -> None:
    """A row with that offset is never the least; a group of them has no least."""
    codes = [np.full((2 * GROUP_ROWS, PLANE_COLUMNS), 200, dtype=np.uint8)]
    offsets = np.full(2 * GROUP_ROWS, np.inf, dtype=np.float32)
    offsets[7] = 3.0
    queries = [np.zeros((PLANE_COLUMNS, 1), dtype=np.int8)]
    assert GroupMinima.of(1).run(codes, queries, offsets).tolist() == [[3.0], [np.inf]]


class _Saturating:
    """A processor whose pairs of products are cut off above 16 bits."""

    def __init__(self, limit: int) -> None:
        self.limit = limit

    def run(self, **inputs: np.ndarray) -> list[np.ndarray]:
        codes, queries = inputs["codes0"].astype(int), inputs["queries0"].astype(int)
        products = codes[:, :, None] * queries[None]
        pairs = products[:, ::2] + products[:, 1::2]
        minima = -pairs.clip(-self.limit, self.limit).sum(axis=1).max(axis=0, keepdims=True)
        return [minima.astype(np.float32)]


@pytest.mark.parametrize(("limit", "wanted"), [(1 << 20, 127), (32_767, 63)])
def test_queries_keep_to_what_is_exact(
    monkeypatch: pytest.MonkeyPatch, limit: int, wanted: int
) -> None:
    """Where pairs of products saturate, queries have seven bits."""

    def network(*_: Any) -> _Saturating:
        return _Saturating(limit)

    monkeypatch.setattr(group_minima, "Network", network)
    assert GroupMinima(1).query_range == wanted


def test_a_machine_that_cannot_multiply_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wrong products would be wrong faces."""

    def network(*_: Any) -> _Saturating:
        return _Saturating(1000)

    monkeypatch.setattr(group_minima, "Network", network)
    with pytest.raises(NetworkError, match="not exact"):
        GroupMinima(1)


@pytest.mark.parametrize(("columns", "planes"), [(1, 1), (128, 1), (129, 2), (256, 2), (512, 4)])
def test_planes(columns: int, planes: int) -> None:
    """128 columns lie in a plane; the last one may be in part empty."""
    assert plane_count(columns) == planes
