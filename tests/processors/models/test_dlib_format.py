"""dlib's serialized network is parsed to the last byte, and anything else is refused."""

from __future__ import annotations

import contextlib
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from processors.errors import PackFormatError
from processors.models.dlib_format import _Reader, read_resnet
from processors.models.packs import find_pack, verified_files


@pytest.fixture(scope="module")
def raw() -> bytes:
    return verified_files(find_pack("builtin"), Path("nowhere"))["embedder"].read_bytes()


@pytest.mark.parametrize(
    ("data", "value"),
    [(b"\x01\x05", 5), (b"\x81\x05", -5), (b"\x02\x00\x01", 256), (b"\x01\x00", 0)],
    ids=["one-byte", "negative", "two-bytes", "zero"],
)
def test_integers(data: bytes, value: int) -> None:
    """The first byte holds length and sign, the others the number, lowest first."""
    assert _Reader(data).integer() == value


def test_floats() -> None:
    """3 * 2^-1 is 1.5."""
    assert _Reader(b"\x01\x03\x81\x01").floating() == 1.5


def test_the_real_network(raw: bytes) -> None:
    """29 convolutions, 14 blocks of which 4 shrink, a 256 x 128 dense layer, 150 px RGB."""
    network = read_resnet(raw)
    kinds = Counter(layer.kind for layer in network.layers)
    assert network.size_px == 150
    assert network.mean_rgb == pytest.approx((122.782, 117.001, 104.298), abs=1e-3)
    assert kinds == {
        "con": 29,
        "affine": 29,
        "relu": 29,
        "max_pool": 1,
        "tag": 14,
        "swap": 4,
        "avg_pool": 5,
        "add_prev": 14,
        "fc": 1,
    }
    last = network.layers[-1]
    assert last.weights is not None
    assert last.weights.shape == (256, 128)


@pytest.mark.parametrize("length", [0, 1, 20, 100, 1000, 1_000_000, -1])
def test_a_truncated_file_is_refused(raw: bytes, length: int) -> None:
    """No part of the file passes for the whole."""
    with pytest.raises(PackFormatError):
        read_resnet(raw[:length])


def test_bytes_behind_the_end_are_refused(raw: bytes) -> None:
    """The file ends with the last layer."""
    with pytest.raises(PackFormatError, match="1 bytes behind its end"):
        read_resnet(raw + b"\0")


@given(st.binary(max_size=300))
def test_garbage_is_refused(data: bytes) -> None:
    """Random bytes end in PackFormatError and nothing else."""
    with pytest.raises(PackFormatError):
        read_resnet(data)


@settings(max_examples=40)
@given(at=st.integers(0, 2999), value=st.integers(0, 255))
def test_damage_is_refused_or_harmless(raw: bytes, at: int, value: int) -> None:
    """One changed byte gives PackFormatError or a network, never another exception."""
    damaged = bytearray(raw[:3000]) + raw[3000:]
    damaged[at] = value
    with contextlib.suppress(PackFormatError):
        read_resnet(bytes(damaged))
