"""The models written are ONNX: the official checker and runtime agree."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import numpy_helper

from processors.models.onnx_graph import Graph
from processors.models.runtime import Network, RuntimeOptions


def _graph() -> Graph:
    graph = Graph("test")
    x = graph.input("x", "float32", ("n", 2))
    y = graph.add("Gemm", [x, graph.constant(np.eye(2, dtype=np.float32) * 3)], alpha=2.0)
    graph.output("y", ("n", 2), value=y)
    return graph


def test_the_official_checker_accepts_it() -> None:
    """Model, graph, node and types pass the checker with shape inference."""
    model = onnx.load_from_string(_graph().serialized())
    onnx.checker.check_model(model, full_check=True)
    assert model.ir_version == 8
    assert model.opset_import[0].version == 13
    assert model.graph.input[0].type.tensor_type.shape.dim[0].dim_param == "n"


def test_the_runtime_computes_it() -> None:
    """2 * x @ 3I is 6x."""
    network = Network(_graph().serialized(), RuntimeOptions())
    [y] = network.run(x=np.array([[1, 2]], dtype=np.float32))
    assert y.tolist() == [[6.0, 12.0]]


@pytest.mark.parametrize(
    ("value", "wanted"),
    [(7, 7), (-1, -1), (1.5, 1.5), ("SAME_UPPER", b"SAME_UPPER"), ([1, 300, -2], [1, 300, -2])],
    ids=["int", "negative", "float", "text", "ints"],
)
def test_attributes_keep_their_value(value: object, wanted: object) -> None:
    """Each kind of attribute is read back by the official library."""
    graph = Graph("test")
    graph.output("y", (), value=graph.add("Any", [], attribute=value))  # type: ignore[arg-type]  # of all kinds
    attribute = onnx.load_from_string(graph.serialized()).graph.node[0].attribute[0]
    read = onnx.helper.get_attribute_value(attribute)
    assert (list(read) if isinstance(wanted, list) else read) == wanted


@given(st.lists(st.integers(1, 5), max_size=4), st.booleans())
def test_constants_keep_shape_and_numbers(shape: list[int], whole: bool) -> None:
    """Weights and sizes of any shape are read back as they were."""
    numbers = np.arange(int(np.prod(shape))).reshape(shape)
    graph = Graph("test")
    graph.constant(numbers.astype(np.int64) if whole else numbers.astype(np.float32))
    [tensor] = onnx.load_from_string(graph.serialized()).graph.initializer
    read = numpy_helper.to_array(tensor)
    np.testing.assert_array_equal(read, numbers)
    assert read.dtype == (np.int64 if whole else np.float32)


def test_big_endian_and_strided_weights() -> None:
    """The order of bytes and strides in memory does not matter."""
    values = np.arange(12, dtype=np.float32).reshape(3, 4).T
    graph = Graph("test")
    graph.constant(values)
    [tensor] = onnx.load_from_string(graph.serialized()).graph.initializer
    np.testing.assert_array_equal(numpy_helper.to_array(tensor), values)
