"""Reads dlib's serialized networks: numbers, tensors, and the layers of a face ResNet.

The format (dlib 19 ``serialize.h`` and ``dnn/core.h``, checked to the last byte of the file):
an integer is a byte, its low four bits the length and bit 7 the sign, then so many
little-endian bytes; a float is two integers, mantissa and binary exponent; a bool is the
character 0 or 1; a tensor is version 2, four integers and raw float32.

A network is written top-down by version number (2 a layer, 1 a tag or a skip, 3 the layer on
the input), then the input, then the layers bottom-up. A single 1 is tag1: the input of a
block. A pair is tag2 and skip1: the result of the block is kept, and the path goes on from
the block's input.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass
from itertools import groupby

import numpy as np
from numpy.typing import NDArray

from processors.errors import PackFormatError

__all__ = ["Layer", "ResNet", "read_resnet"]

_MAX_LAYERS = 1000


@dataclass(frozen=True, kw_only=True)
class Layer:
    """One step of the network, bottom-up."""

    kind: str
    """``con``, ``affine``, ``relu``, ``max_pool``, ``avg_pool``, ``fc``, ``add_prev``, ``tag``
    (keep the value) or ``swap`` (exchange the value with the kept one)."""
    window: tuple[int, int, int, int, int, int] = (0, 0, 0, 0, 0, 0)
    """Rows, columns, strides and paddings (y, x) of a convolution or pooling."""
    weights: NDArray[np.float32] | None = None
    bias: NDArray[np.float32] | None = None


@dataclass(frozen=True, kw_only=True)
class ResNet:
    """A parsed network."""

    mean_rgb: tuple[float, float, float]
    """Subtracted from each channel before the division by 256."""
    size_px: int
    layers: tuple[Layer, ...]


def read_resnet(data: bytes) -> ResNet:
    """Parse dlib's face ResNet.

    Raises:
        PackFormatError: If the bytes are anything else.

    """
    reader = _Reader(data)
    try:
        reader.expect(1)
        reader.expect_text("loss_metric_2")
        reader.floating(), reader.floating()  # margin and threshold of the training loss
        versions = reader.versions()
        reader.expect_text("input_rgb_image_sized")
        mean = (reader.floating(), reader.floating(), reader.floating())
        rows, columns = reader.integer(), reader.integer()
        layers = [reader.layer(bottom=True)]
        for version, run in groupby(reversed(versions[:-1])):
            count = len(list(run))
            if version == 1:
                layers.append(_tag_or_swap(count))
            else:
                layers += [reader.layer(bottom=False) for _ in range(count)]
    except (IndexError, ValueError, OverflowError, struct.error, UnicodeDecodeError) as error:
        raise PackFormatError(f"not dlib's face ResNet: {error}") from error
    if reader.left or rows != columns:
        raise PackFormatError(f"not dlib's face ResNet: {reader.left} bytes behind its end")
    return ResNet(mean_rgb=mean, size_px=rows, layers=tuple(layers))


def _tag_or_swap(count: int) -> Layer:
    if count not in (1, 2):
        raise ValueError(f"{count} tags in a row")
    return Layer(kind="tag" if count == 1 else "swap")


class _Reader:
    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    @property
    def left(self) -> int:
        return len(self._data) - self._at

    def take(self, count: int) -> bytes:
        if count > self.left:
            raise ValueError(f"{count} bytes wanted at {self._at}, {self.left} left")
        self._at += count
        return self._data[self._at - count : self._at]

    def integer(self) -> int:
        head = self.take(1)[0]
        size, negative = head & 0x0F, bool(head & 0x80)
        if not 1 <= size <= 8 or head & 0x70:
            raise ValueError(f"no integer at {self._at - 1}")
        value = int.from_bytes(self.take(size), "little")
        return -value if negative else value

    def floating(self) -> float:
        mantissa, exponent = self.integer(), self.integer()
        if abs(exponent) > 2000:  # dlib writes infinities and NaN with exponents of 32000
            raise ValueError(f"no finite float before {self._at}")
        return float(mantissa) * 2.0**exponent

    def text(self) -> str:
        return self.take(self.integer()).decode("ascii")

    def boolean(self) -> bool:
        character = self.take(1)
        if character not in (b"0", b"1"):
            raise ValueError(f"no bool at {self._at - 1}")
        return character == b"1"

    def shape(self, version: int) -> tuple[int, int, int, int]:
        self.expect(version)
        sizes = (self.integer(), self.integer(), self.integer(), self.integer())
        if min(sizes) < 0:
            raise ValueError(f"negative tensor size {sizes}")
        return sizes

    def tensor(self) -> NDArray[np.float32]:
        samples, k, rows, columns = self.shape(2)
        raw = self.take(4 * samples * k * rows * columns)
        return np.frombuffer(raw, dtype="<f4").astype(np.float32)

    def expect(self, version: int) -> None:
        found = self.integer()
        if found != version:
            raise ValueError(f"version {found} where {version} belongs, before {self._at}")

    def expect_text(self, wanted: str) -> None:
        found = self.text()
        if found != wanted:
            raise ValueError(f"{found!r} where {wanted!r} belongs")

    def versions(self) -> list[int]:
        versions = [self.integer()]
        while versions[-1] != 3:
            if versions[-1] not in (1, 2) or len(versions) > _MAX_LAYERS:
                raise ValueError(f"layer version {versions[-1]} before {self._at}")
            versions.append(self.integer())
        return versions

    def layer(self, *, bottom: bool) -> Layer:
        kind = self.text()
        readers: dict[str, Callable[[], Layer]] = {
            "con_4": self._convolution,
            "affine_": self._affine,
            "fc_2": self._dense,
            "relu_": lambda: Layer(kind="relu"),
            "add_prev_": lambda: Layer(kind="add_prev"),
            "max_pool_2": lambda: Layer(kind="max_pool", window=self._window()),
            "avg_pool_2": lambda: Layer(kind="avg_pool", window=self._window()),
        }
        if kind not in readers:
            raise ValueError(f"unknown layer {kind!r}")
        layer = readers[kind]()
        # What training left behind: three flags, then gradients and a cached output.
        for _ in range(3):
            self.boolean()
        for _ in range(3):
            self.tensor()
        if bottom:
            self.integer()
        return layer

    def _window(self) -> tuple[int, int, int, int, int, int]:
        integer = self.integer
        return (integer(), integer(), integer(), integer(), integer(), integer())

    def _convolution(self) -> Layer:
        params = self.tensor()
        filters = self.integer()
        window = self._window()
        weights, bias = self._split(params, self.shape(1), self.shape(1))
        for _ in range(4):
            self.floating()  # learning rates and decays
        if weights.shape[0] != filters or bias.size != filters:
            raise ValueError(f"{filters} filters, weights of shape {weights.shape}")
        return Layer(kind="con", window=window, weights=weights, bias=bias.reshape(-1))

    def _affine(self) -> Layer:
        params = self.tensor()
        scale, shift = self._split(params, self.shape(1), self.shape(1))
        self.integer()  # whether for convolutions or dense layers
        return Layer(kind="affine", weights=scale.reshape(-1), bias=shift.reshape(-1))

    def _dense(self) -> Layer:
        outputs, inputs = self.integer(), self.integer()
        params = self.tensor()
        self.shape(1), self.shape(1)
        self.integer()  # bias mode; the size of the weights says it as well
        for _ in range(4):
            self.floating()
        if params.size != outputs * inputs:
            raise ValueError("a dense layer with a bias was not expected")
        return Layer(kind="fc", weights=params.reshape(inputs, outputs))

    @staticmethod
    def _split(
        params: NDArray[np.float32], first: tuple[int, ...], second: tuple[int, ...]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        border = int(np.prod(first))
        return params[:border].reshape(first), params[border:].reshape(second)
