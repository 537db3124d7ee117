"""dlib's face ResNet as ONNX: 150 x 150 RGB chips in, 128 numbers out, compared by distance.

The normalisation (x - mean) / 256 goes into the first convolution, which pads nothing, and
every affine layer into the convolution below it: both exact.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from processors.errors import PackFormatError
from processors.models.dlib_format import Layer, ResNet, read_resnet
from processors.models.onnx_graph import Graph

__all__ = ["resnet"]

Shape = tuple[int, int, int]
"""Channels, rows, columns."""


def resnet(path: Path) -> bytes:
    """Return the network: (N, 150, 150, 3) uint8 RGB to (N, 128).

    Raises:
        PackFormatError: If the file is not dlib's face ResNet.

    """
    return _Builder(read_resnet(path.read_bytes())).build()


class _Builder:
    def __init__(self, network: ResNet) -> None:
        self._network = network
        self._graph = Graph("dlib_face_resnet")
        self._shape: Shape = (3, network.size_px, network.size_px)
        self._kept: tuple[str, Shape] | None = None

    def build(self) -> bytes:
        graph, size = self._graph, self._network.size_px
        pixels = graph.input("pixels", "uint8", ("n", size, size, 3))
        value = graph.add("Transpose", [pixels], perm=[0, 3, 1, 2])
        value = graph.add("Cast", [value], to=1)
        layers = _folded(self._network)
        for layer in layers:
            value = self._add(layer, value)
        graph.output("vectors", ("n", self._shape[0]), value=value)
        return graph.serialized()

    def _add(self, layer: Layer, value: str) -> str:
        if layer.kind == "con":
            return self._convolution(layer, value)
        if layer.kind in ("max_pool", "avg_pool"):
            return self._pool(layer, value)
        if layer.kind == "relu":
            return self._graph.add("Relu", [value])
        if layer.kind == "fc":
            return self._dense(layer, value)
        return self._branch(layer, value)

    def _branch(self, layer: Layer, value: str) -> str:
        kept = self._kept
        if layer.kind == "tag":
            self._kept = (value, self._shape)
            return value
        if kept is None:
            raise PackFormatError(f"{layer.kind} before any tag")
        if layer.kind == "swap":
            self._kept = (value, self._shape)
            value, self._shape = kept
            return value
        # add_prev: both sides are padded with zeros at the end to the larger shape.
        larger: Shape = tuple(map(max, self._shape, kept[1]))  # type: ignore[assignment]  # three of three
        sides = [self._pad(value, self._shape, larger), self._pad(*kept, larger)]
        self._shape = larger
        return self._graph.add("Add", sides)

    def _pad(self, value: str, shape: Shape, wanted: Shape) -> str:
        if shape == wanted:
            return value
        ends = [target - size for target, size in zip(wanted, shape, strict=True)]
        pads = self._graph.constant(np.array([0, 0, 0, 0, 0, *ends], dtype=np.int64))
        return self._graph.add("Pad", [value, pads])

    def _convolution(self, layer: Layer, value: str) -> str:
        weights, bias = _parameters(layer)
        rows, columns, stride_y, stride_x, pad_y, pad_x = layer.window
        self._shape = (weights.shape[0], *self._slid(layer))
        constants = [self._graph.constant(weights), self._graph.constant(bias)]
        return self._graph.add(
            "Conv",
            [value, *constants],
            kernel_shape=[rows, columns],
            strides=[stride_y, stride_x],
            pads=[pad_y, pad_x, pad_y, pad_x],
        )

    def _pool(self, layer: Layer, value: str) -> str:
        rows, columns, stride_y, stride_x, pad_y, pad_x = layer.window
        if rows == 0:  # the whole map
            self._shape = (self._shape[0], 1, 1)
            return self._graph.add("GlobalAveragePool", [value])
        self._shape = (self._shape[0], *self._slid(layer))
        return self._graph.add(
            "MaxPool" if layer.kind == "max_pool" else "AveragePool",
            [value],
            kernel_shape=[rows, columns],
            strides=[stride_y, stride_x],
            pads=[pad_y, pad_x, pad_y, pad_x],
        )

    def _dense(self, layer: Layer, value: str) -> str:
        assert layer.weights is not None
        self._shape = (layer.weights.shape[1], 1, 1)
        flat = self._graph.add("Flatten", [value])
        return self._graph.add("MatMul", [flat, self._graph.constant(layer.weights)])

    def _slid(self, layer: Layer) -> tuple[int, int]:
        """Rows and columns after a window has slid over the current map."""
        rows, columns, stride_y, stride_x, pad_y, pad_x = layer.window
        _, height, width = self._shape
        return (
            (height + 2 * pad_y - rows) // stride_y + 1,
            (width + 2 * pad_x - columns) // stride_x + 1,
        )


def _folded(network: ResNet) -> list[Layer]:
    """Return the layers with the normalisation and every affine inside the convolutions."""
    layers: list[Layer] = []
    for layer in network.layers:
        if layer.kind == "affine":
            layers[-1] = _with_affine(layers[-1], layer)
        else:
            layers.append(layer)
    layers[0] = _with_normalisation(layers[0], np.array(network.mean_rgb, dtype=np.float32))
    return layers


def _with_affine(convolution: Layer, affine: Layer) -> Layer:
    if convolution.kind != "con":
        raise PackFormatError(f"an affine layer on top of {convolution.kind!r} was not expected")
    weights, bias = _parameters(convolution)
    scale, shift = _parameters(affine)
    return Layer(
        kind="con",
        window=convolution.window,
        weights=weights * scale.reshape(-1, 1, 1, 1),
        bias=bias * scale + shift,
    )


def _with_normalisation(convolution: Layer, mean: NDArray[np.float32]) -> Layer:
    if convolution.kind != "con" or convolution.window[4:] != (0, 0):
        raise PackFormatError("the first layer must be a convolution without padding")
    weights, bias = _parameters(convolution)
    weights = weights / np.float32(256)
    shift = (weights.sum(axis=(2, 3)) * mean).sum(axis=1)
    return Layer(
        kind="con",
        window=convolution.window,
        weights=weights,
        bias=(bias - shift).astype(np.float32),
    )


def _parameters(layer: Layer) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    assert layer.weights is not None, layer.kind
    assert layer.bias is not None, layer.kind
    return layer.weights, layer.bias
