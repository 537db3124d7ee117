"""Arrays out of an LZ4 frame around a joblib pickle, without running what the pickle says.

``joblib.load`` runs any code a pickle names. The reader here knows three names, makes plain
values of them, and takes the raw bytes of an array where joblib put them: behind the
description of each array follow one byte with the length of a padding, the padding, the data.
"""

from __future__ import annotations

import io
import math
import pickle
import struct
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from processors.errors import PackFormatError

__all__ = ["read_arrays", "unpickle_arrays"]

# What the unpickler raises on bytes that are no pickle: it checks next to nothing.
_BROKEN = (
    pickle.UnpicklingError,
    struct.error,
    ArithmeticError,
    AssertionError,
    AttributeError,
    EOFError,
    LookupError,
    MemoryError,
    TypeError,
    ValueError,
)


def read_arrays(path: Path) -> list[NDArray[np.float32]]:
    """Read the list of arrays in an ``.lz4`` file that joblib wrote.

    Raises:
        PackFormatError: If it is anything else than a list of float32 arrays.

    """
    try:
        import lz4.frame  # noqa: PLC0415 - comes with the package that carries the file
    except ImportError as error:
        raise PackFormatError("reading .lz4 weights needs the Python package lz4") from error
    try:
        raw: bytes = lz4.frame.decompress(path.read_bytes())
    except RuntimeError as error:
        raise PackFormatError(f"{path.name} is not an LZ4 frame: {error}") from error
    return unpickle_arrays(raw)


def unpickle_arrays(raw: bytes) -> list[NDArray[np.float32]]:
    """Read the list of float32 arrays in a joblib pickle.

    Raises:
        PackFormatError: If it is anything else than a list of float32 arrays.

    """
    try:
        arrays = _ArrayUnpickler(io.BytesIO(raw)).load()
    except _BROKEN as error:
        raise PackFormatError(f"not a pickle of plain arrays: {error!r}") from error
    if not isinstance(arrays, list) or not all(
        isinstance(array, np.ndarray) and array.dtype == np.float32 for array in arrays
    ):
        raise PackFormatError("expected a list of float32 arrays")
    return arrays


class _ArrayWrapper:
    """Stands for joblib's NumpyArrayWrapper: what is written about an array before its data."""

    dtype: Any
    shape: tuple[int, ...]
    order: str


class _NdArray:
    """Stands for ``numpy.ndarray``, which joblib names as the class of an array."""


def _float32(*arguments: Any) -> str:
    if not arguments or arguments[0] != "f4":
        raise pickle.UnpicklingError(f"only float32 is expected, got {arguments}")
    return "f4"


class _DType:
    """Stands for ``numpy.dtype``: accepts float32 and its state, is nothing else."""

    def __init__(self, *arguments: Any) -> None:
        _float32(*arguments)

    def __setstate__(self, state: Any) -> None:
        if not isinstance(state, tuple) or state[1] != "<":
            raise pickle.UnpicklingError(f"only little-endian float32 is expected, got {state}")


_ALLOWED: dict[tuple[str, str], Any] = {
    ("joblib.numpy_pickle", "NumpyArrayWrapper"): _ArrayWrapper,
    ("numpy", "ndarray"): _NdArray,
    ("numpy", "dtype"): _DType,
}


# The C unpickler cannot be stopped between two instructions; the Python one can. It has no
# public name and no types.
_PythonUnpickler: Any = vars(pickle)["_Unpickler"]


class _ArrayUnpickler(_PythonUnpickler):  # type: ignore[misc]  # untyped base, see above
    dispatch: ClassVar[dict[int, Any]] = dict(_PythonUnpickler.dispatch)

    def __init__(self, source: io.BytesIO) -> None:
        super().__init__(source)
        self._source = source

    def find_class(self, module: str, name: str) -> Any:
        try:
            return _ALLOWED[module, name]
        except KeyError:
            raise pickle.UnpicklingError(f"{module}.{name} is not allowed here") from None

    def load_build(self) -> None:
        super().load_build()
        if isinstance(self.stack[-1], _ArrayWrapper):
            self.stack[-1] = self._read_array(self.stack[-1])

    dispatch[pickle.BUILD[0]] = load_build

    def _read_array(self, wrapper: _ArrayWrapper) -> NDArray[np.float32]:
        if not isinstance(wrapper.dtype, _DType) or wrapper.order not in ("C", "F"):
            raise pickle.UnpicklingError("an array has no float32 type or no order")
        padding = self._source.read(1)[0]
        self._source.read(padding)
        count = math.prod(int(n) for n in wrapper.shape)
        # The size is bounded by what is there before anything is allocated.
        left = self._source.getbuffer().nbytes - self._source.tell()
        if count < 0 or count * 4 > left:
            raise pickle.UnpicklingError(f"an array of {count} numbers has {left} bytes left")
        values = np.frombuffer(self._source.read(count * 4), dtype="<f4")
        return values.reshape(wrapper.shape, order="F" if wrapper.order == "F" else "C").copy()
