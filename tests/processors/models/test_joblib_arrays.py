"""Weights files are read without running what they say."""

from __future__ import annotations

import contextlib
import io
import pickle
from pathlib import Path

import joblib
import lz4.frame
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from processors.errors import PackFormatError
from processors.models.joblib_arrays import read_arrays, unpickle_arrays
from processors.models.packs import find_pack, verified_files


def _dumped(value: object) -> bytes:
    target = io.BytesIO()
    joblib.dump(value, target)
    return target.getvalue()


class _Evil:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return eval, ("1/0",)


def test_reads_what_joblib_wrote() -> None:
    """Arrays come back bit for bit, whatever their shape and memory order."""
    arrays = [
        np.arange(24, dtype=np.float32).reshape(2, 3, 4),
        np.asfortranarray(np.arange(6, dtype=np.float32).reshape(2, 3)),
        np.zeros(0, dtype=np.float32),
    ]
    read = unpickle_arrays(_dumped(arrays))
    assert len(read) == 3
    for got, wanted in zip(read, arrays, strict=True):
        np.testing.assert_array_equal(got, wanted)


@pytest.mark.parametrize("role", ["pnet", "rnet", "onet"])
def test_reads_the_real_weights_as_joblib_does(role: str) -> None:
    """The packaged weights are the ones joblib's own loader gives."""
    path = verified_files(find_pack("builtin"), Path("nowhere"))[role]
    wanted = joblib.load(io.BytesIO(lz4.frame.decompress(path.read_bytes())))
    for got, array in zip(read_arrays(path), wanted, strict=True):
        np.testing.assert_array_equal(got, array)


@pytest.mark.parametrize(
    "raw",
    [
        pickle.dumps([_Evil()]),
        pickle.dumps({"not": "a list"}),
        pickle.dumps([1.0]),
        _dumped([np.array([1, 2, 3])]),
        _dumped([np.array([1.0])]),
        _dumped([np.array([object], dtype=object)]),
        _dumped([np.arange(9, dtype=np.float32)])[:-8],
        b"",
        b"garbage",
    ],
    ids=["code", "dict", "number", "int64", "float64", "objects", "cut", "empty", "garbage"],
)
def test_refuses_everything_else(raw: bytes) -> None:
    """Anything but a list of float32 arrays is an error, and no code in it runs."""
    with pytest.raises(PackFormatError):
        unpickle_arrays(raw)


@given(st.binary(max_size=200))
def test_garbage_is_an_error(raw: bytes) -> None:
    """Random bytes end in PackFormatError and nothing else, or are a list of arrays."""
    with contextlib.suppress(PackFormatError):
        assert unpickle_arrays(raw) == []


@given(st.data())
def test_damage_is_an_error_or_other_numbers(data: st.DataObject) -> None:
    """One changed byte gives PackFormatError or arrays, never another exception."""
    raw = bytearray(_dumped([np.arange(9, dtype=np.float32).reshape(3, 3)]))
    raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    with contextlib.suppress(PackFormatError):
        unpickle_arrays(bytes(raw))


def test_a_file_that_is_not_lz4(tmp_path: Path) -> None:
    """A file of another kind is named in the error."""
    path = tmp_path / "weights.lz4"
    path.write_bytes(b"not a frame")
    with pytest.raises(PackFormatError, match=r"weights\.lz4"):
        read_arrays(path)
