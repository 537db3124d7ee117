"""Writes ONNX models: enough of the protobuf format for small convolutional networks.

ONNX is a protobuf message (github.com/onnx/onnx, ``onnx.proto``). A field is a varint
``number << 3 | wire type`` and its value; the numbers used are named below after that file.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

__all__ = ["Graph"]

IR_VERSION = 8
OPSET = 13

_VARINT, _BYTES, _FLOAT32 = 0, 2, 5
# TensorProto.DataType
ELEMENT_TYPES = {"float32": 1, "uint8": 2, "int8": 3, "int64": 7}
# AttributeProto.AttributeType
_ATTRIBUTE_FLOAT, _ATTRIBUTE_INT, _ATTRIBUTE_STRING, _ATTRIBUTE_INTS = 1, 2, 3, 7

Attribute = float | int | str | Sequence[int]
Dimension = int | str


class Graph:
    """A network under construction; nodes are added in the order they run."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._nodes: list[bytes] = []
        self._initializers: list[bytes] = []
        self._inputs: list[bytes] = []
        self._outputs: list[bytes] = []
        self._count = 0

    def input(self, name: str, element: str, shape: Sequence[Dimension]) -> str:
        """Declare an input; a dimension given by name is free."""
        self._inputs.append(_value_info(name, element, shape))
        return name

    def output(self, name: str, shape: Sequence[Dimension], *, value: str) -> None:
        """Declare ``value`` to be the float32 output ``name``."""
        self._nodes.append(_node("Identity", [value], name, {}))
        self._outputs.append(_value_info(name, "float32", shape))

    def constant(self, values: NDArray[np.float32] | NDArray[np.int64]) -> str:
        """Add weights and return their name."""
        name = self._fresh("c")
        self._initializers.append(_tensor(name, values))
        return name

    def add(self, operator: str, inputs: Sequence[str], **attributes: Attribute) -> str:
        """Add a node with one output and return the output's name."""
        name = self._fresh("v")
        self._nodes.append(_node(operator, inputs, name, attributes))
        return name

    def serialized(self) -> bytes:
        """Return the ONNX model."""
        graph = b"".join(
            [
                *(_field(1, node) for node in self._nodes),
                _field(2, self._name.encode()),
                *(_field(5, tensor) for tensor in self._initializers),
                *(_field(11, value) for value in self._inputs),
                *(_field(12, value) for value in self._outputs),
            ]
        )
        opset = _field(1, b"") + _number(2, OPSET)
        return _number(1, IR_VERSION) + _field(2, b"streamd") + _field(7, graph) + _field(8, opset)

    def _fresh(self, prefix: str) -> str:
        self._count += 1
        return f"{prefix}{self._count}"


def _varint(value: int) -> bytes:
    if value < 0:
        value += 1 << 64  # two's complement in ten bytes, as protobuf's int64
    parts = bytearray()
    while value > 0x7F:
        parts.append(value & 0x7F | 0x80)
        value >>= 7
    parts.append(value)
    return bytes(parts)


def _number(field: int, value: int) -> bytes:
    return _varint(field << 3 | _VARINT) + _varint(value)


def _field(field: int, value: bytes) -> bytes:
    return _varint(field << 3 | _BYTES) + _varint(len(value)) + value


def _node(
    operator: str, inputs: Sequence[str], output: str, attributes: dict[str, Attribute]
) -> bytes:
    return b"".join(
        [
            *(_field(1, name.encode()) for name in inputs),
            _field(2, output.encode()),
            _field(3, f"{operator}_{output}".encode()),
            _field(4, operator.encode()),
            *(_field(5, _attribute(name, value)) for name, value in attributes.items()),
        ]
    )


def _attribute(name: str, value: Attribute) -> bytes:
    named = _field(1, name.encode())
    if isinstance(value, str):
        return named + _field(4, value.encode()) + _number(20, _ATTRIBUTE_STRING)
    if isinstance(value, int):
        return named + _number(3, value) + _number(20, _ATTRIBUTE_INT)
    if isinstance(value, float):
        packed = _varint(2 << 3 | _FLOAT32) + struct.pack("<f", value)
        return named + packed + _number(20, _ATTRIBUTE_FLOAT)
    numbers = b"".join(_number(8, item) for item in value)
    return named + numbers + _number(20, _ATTRIBUTE_INTS)


def _tensor(name: str, values: NDArray[np.float32] | NDArray[np.int64]) -> bytes:
    element = ELEMENT_TYPES[values.dtype.name]
    little_endian = np.ascontiguousarray(values).astype(values.dtype.newbyteorder("<"), copy=False)
    return b"".join(
        [
            *(_number(1, size) for size in values.shape),
            _number(2, element),
            _field(8, name.encode()),
            _field(9, little_endian.tobytes()),
        ]
    )


def _value_info(name: str, element: str, shape: Sequence[Dimension]) -> bytes:
    dimensions = b"".join(
        _field(1, _field(2, size.encode()) if isinstance(size, str) else _number(1, size))
        for size in shape
    )
    tensor_type = _number(1, ELEMENT_TYPES[element]) + _field(2, dimensions)
    return _field(1, name.encode()) + _field(2, _field(1, tensor_type))
