"""MTCNN's three networks as ONNX, from the weights of the ``mtcnn`` package.

The arrays come in Keras order (kernel HWIO, bias, PReLU slope, layer by layer). Three rewrites,
all exact: the normalisation (x - 127.5) / 128 goes into the first convolution (which pads
nothing), the permutation to (W, H, C) before the dense layers goes into their weights, and of
the two-class softmax only the difference of the logits is kept: its sigmoid is the face score.

Pictures go in as uint8 RGB, NHWC. Each network has one output, its heads side by side: box
regression (x1, y1, x2, y2), for O-Net ten landmark numbers (x1..x5, y1..y5), and the logit.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from processors.errors import PackFormatError
from processors.models.joblib_arrays import read_arrays
from processors.models.onnx_graph import Graph

__all__ = ["onet", "pnet", "rnet"]

Weights = list[NDArray[np.float32]]

_MEAN, _SCALE = 127.5, 128.0


def pnet(path: Path) -> bytes:
    """Return P-Net: (1, H, W, 3) to (1, 5, h, w): 4 regressions and the logit per cell."""
    weights = _read(path, 13)
    graph = Graph("pnet")
    x = _pixels(graph, (1, "height", "width", 3))
    x = _conv_prelu(graph, x, weights[0:3], first=True)
    x = graph.add("MaxPool", [x], kernel_shape=[2, 2], strides=[2, 2], auto_pad="SAME_UPPER")
    x = _conv_prelu(graph, x, weights[3:6])
    x = _conv_prelu(graph, x, weights[6:9])
    box_kernel, box_bias, class_kernel, class_bias = weights[9:13]
    kernel = np.concatenate([box_kernel, _logit(class_kernel)], axis=-1)
    bias = np.concatenate([box_bias, _logit(class_bias)])
    x = graph.add("Conv", [x, *_conv_constants(graph, kernel, bias)])
    graph.output("cells", (1, 5, "rows", "columns"), value=x)
    return graph.serialized()


def rnet(path: Path) -> bytes:
    """Return R-Net: (N, 24, 24, 3) to (N, 5): 4 regressions and the logit."""
    weights = _read(path, 16)
    graph = Graph("rnet")
    x = _pixels(graph, ("n", 24, 24, 3))
    x = _conv_prelu(graph, x, weights[0:3], first=True)
    x = graph.add("MaxPool", [x], kernel_shape=[3, 3], strides=[2, 2], auto_pad="SAME_UPPER")
    x = _conv_prelu(graph, x, weights[3:6])
    x = graph.add("MaxPool", [x], kernel_shape=[3, 3], strides=[2, 2])
    x = _conv_prelu(graph, x, weights[6:9])
    x = _dense_prelu(graph, x, weights[9:12], side=3)
    x = _heads(graph, x, weights[12:16])
    graph.output("heads", ("n", 5), value=x)
    return graph.serialized()


def onet(path: Path) -> bytes:
    """Return O-Net: (N, 48, 48, 3) to (N, 15): 4 regressions, 10 landmark numbers, the logit."""
    weights = _read(path, 21)
    graph = Graph("onet")
    x = _pixels(graph, ("n", 48, 48, 3))
    x = _conv_prelu(graph, x, weights[0:3], first=True)
    x = graph.add("MaxPool", [x], kernel_shape=[3, 3], strides=[2, 2], auto_pad="SAME_UPPER")
    x = _conv_prelu(graph, x, weights[3:6])
    x = graph.add("MaxPool", [x], kernel_shape=[3, 3], strides=[2, 2])
    x = _conv_prelu(graph, x, weights[6:9])
    x = graph.add("MaxPool", [x], kernel_shape=[2, 2], strides=[2, 2], auto_pad="SAME_UPPER")
    x = _conv_prelu(graph, x, weights[9:12])
    x = _dense_prelu(graph, x, weights[12:15], side=3)
    x = _heads(graph, x, weights[15:21])
    graph.output("heads", ("n", 15), value=x)
    return graph.serialized()


def _read(path: Path, count: int) -> Weights:
    weights = read_arrays(path)
    if len(weights) != count:
        raise PackFormatError(f"{path.name} holds {len(weights)} arrays, expected {count}")
    return weights


def _pixels(graph: Graph, shape: tuple[int | str, ...]) -> str:
    x = graph.add("Transpose", [graph.input("pixels", "uint8", shape)], perm=[0, 3, 1, 2])
    return graph.add("Cast", [x], to=1)


def _conv_prelu(graph: Graph, x: str, weights: Weights, *, first: bool = False) -> str:
    kernel, bias, slope = weights
    if first:
        bias = bias - kernel.sum(axis=(0, 1, 2)) * np.float32(_MEAN / _SCALE)
        kernel = kernel / np.float32(_SCALE)
    x = graph.add("Conv", [x, *_conv_constants(graph, kernel, bias)])
    return graph.add("PRelu", [x, graph.constant(slope.reshape(-1, 1, 1))])


def _conv_constants(
    graph: Graph, kernel: NDArray[np.float32], bias: NDArray[np.float32]
) -> list[str]:
    return [graph.constant(kernel.transpose(3, 2, 0, 1)), graph.constant(bias)]


def _dense_prelu(graph: Graph, x: str, weights: Weights, *, side: int) -> str:
    kernel, bias, slope = weights
    # Rows count through (W, H, C); the flattened convolution counts through (C, H, W).
    rows, columns = kernel.shape
    permuted = kernel.reshape(side, side, rows // side**2, columns).transpose(2, 1, 0, 3)
    x = graph.add("Flatten", [x])
    x = _dense(graph, x, permuted.reshape(rows, columns), bias)
    return graph.add("PRelu", [x, graph.constant(slope.reshape(-1))])


def _heads(graph: Graph, x: str, weights: Weights) -> str:
    kernels, biases = list(weights[0::2]), list(weights[1::2])
    kernels[-1], biases[-1] = _logit(kernels[-1]), _logit(biases[-1])  # the class head is last
    return _dense(graph, x, np.concatenate(kernels, axis=-1), np.concatenate(biases))


def _dense(graph: Graph, x: str, kernel: NDArray[np.float32], bias: NDArray[np.float32]) -> str:
    return graph.add("Gemm", [x, graph.constant(kernel), graph.constant(bias)])


def _logit(values: NDArray[np.float32]) -> NDArray[np.float32]:
    return values[..., 1:2] - values[..., 0:1]
