"""The network of the vector search: int8 products, and the least of each group of rows.

For codes ``a`` (unsigned bytes, a row for each vector), queries ``b`` (signed bytes, a column for
each) and an offset for each row it computes ``offset - a @ b`` and keeps, for each query, the
minimum of every ``GROUP_ROWS`` rows. What is near has a small minimum; the rest need not be
looked at again.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from processors.errors import NetworkError
from processors.models.onnx_graph import ELEMENT_TYPES, Graph
from processors.models.runtime import Network, RuntimeOptions

__all__ = ["GROUP_ROWS", "PLANE_COLUMNS", "GroupMinima", "plane_count"]

GROUP_ROWS = 64
"""Rows that share a minimum."""
PLANE_COLUMNS = 128
"""Columns of codes that lie together. ONNX Runtime's kernel reads such a plane of rows in order of
the memory. At 512 columns it waits for the memory and takes 1.4 to 2.3 times as long (measured);
only with AMX, which few machines have, it would be 1.7 times as fast."""

# A byte times a byte, twice, fits 16 bits unless both are large. Processors without VNNI add two
# such products in 16 bits and cut off what is too much.
_FULL_RANGE = 127
_SAFE_RANGE = 63


class GroupMinima:
    """The network for one number of planes; shared by threads."""

    query_range: int
    """Codes of queries must lie between its negative and itself for the products to be exact."""

    def __init__(self, planes: int) -> None:
        self._network = Network(_graph(planes), RuntimeOptions())
        self.query_range = next(
            (limit for limit in (_FULL_RANGE, _SAFE_RANGE) if self._is_exact(planes, limit)), 0
        )
        if not self.query_range:
            raise NetworkError("products of bytes are not exact on this machine")

    @staticmethod
    @functools.cache
    def of(planes: int) -> GroupMinima:
        """Return the one network of this process for a number of planes."""
        return GroupMinima(planes)

    def run(
        self,
        codes: Sequence[NDArray[np.uint8]],
        queries: Sequence[NDArray[np.int8]],
        offsets: NDArray[np.float32],
    ) -> NDArray[np.float32]:
        """Return the minima of ``offset - codes @ queries``.

        Args:
            codes: Planes of shape (rows, PLANE_COLUMNS); rows are a multiple of GROUP_ROWS.
            queries: As many planes of shape (PLANE_COLUMNS, queries).
            offsets: One for each row, shape (rows,). Infinity hides a row.

        Returns:
            Shape (rows / GROUP_ROWS, queries).

        """
        shape = np.array([-1, GROUP_ROWS, queries[0].shape[1]], dtype=np.int64)
        inputs = {f"codes{i}": plane for i, plane in enumerate(codes)}
        parts = {f"queries{i}": plane for i, plane in enumerate(queries)}
        [minima] = self._network.run(**inputs, **parts, offsets=offsets[:, None], groups=shape)
        return minima

    def _is_exact(self, planes: int, limit: int) -> bool:
        """Try the largest products there are, of both signs."""
        codes = np.full((GROUP_ROWS, PLANE_COLUMNS), 255, dtype=np.uint8)
        queries = np.zeros((PLANE_COLUMNS, 2), dtype=np.int8)
        queries[:, 0], queries[:, 1] = limit, -limit
        offsets = np.zeros(GROUP_ROWS, dtype=np.float32)
        [minima] = self.run([codes] * planes, [queries] * planes, offsets)
        whole = float(np.float32(255 * limit * PLANE_COLUMNS * planes))
        return bool((minima == (-whole, whole)).all())


def plane_count(columns: int) -> int:
    """Return how many planes hold so many columns."""
    return max(1, -(-columns // PLANE_COLUMNS))


def _graph(planes: int) -> bytes:
    graph = Graph("group_minima")
    products = []
    for plane in range(planes):
        codes = graph.input(f"codes{plane}", "uint8", ("rows", PLANE_COLUMNS))
        queries = graph.input(f"queries{plane}", "int8", (PLANE_COLUMNS, "queries"))
        products.append(graph.add("MatMulInteger", [codes, queries]))
    offsets = graph.input("offsets", "float32", ("rows", 1))
    groups = graph.input("groups", "int64", (3,))
    while len(products) > 1:
        pairs = [products[i : i + 2] for i in range(0, len(products), 2)]
        products = [graph.add("Add", pair) if len(pair) == 2 else pair[0] for pair in pairs]
    product = graph.add("Cast", products, to=ELEMENT_TYPES["float32"])
    difference = graph.add("Sub", [offsets, product])
    grouped = graph.add("Reshape", [difference, groups])
    minima = graph.add("ReduceMin", [grouped], axes=[1], keepdims=0)
    graph.output("minima", ("groups", "queries"), value=minima)
    return graph.serialized()
