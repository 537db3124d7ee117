"""Codes of vectors: the bounds hold, and what is there is used again."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from processors.faces import codes as codes_module
from processors.faces.codes import CodeBook
from processors.models.group_minima import GROUP_ROWS


def _vectors(rows: int, columns: int, seed: int = 0, scale: float = 1.0) -> np.ndarray:
    random = np.random.default_rng(seed)
    return (random.standard_normal((rows, columns), dtype=np.float32) + 3) * np.float32(scale)


@given(
    rows=st.integers(1, 300),
    columns=st.sampled_from([1, 3, 128, 130]),
    seed=st.integers(0, 99),
    scale=st.sampled_from([1e-20, 1e-3, 1.0, 1e13]),
)
def test_bounds_hold(rows: int, columns: int, seed: int, scale: float) -> None:
    """Vector = centre + scale * code + error, and neither error nor length is longer than said."""
    vectors = _vectors(rows, columns, seed, scale)
    book = CodeBook(vectors)
    [block] = book.blocks
    codes = np.concatenate(block.planes, axis=1)[:rows, :columns].astype(np.float64) - 128
    scales = np.repeat(block.scales, GROUP_ROWS)[:rows, None].astype(np.float64)
    moved = vectors.astype(np.float64) - book.centre
    errors = np.linalg.norm(moved - scales * codes, axis=1)
    group = np.arange(rows) // GROUP_ROWS
    assert (errors <= block.errors[group] * 1.000001 + 1e-21).all()
    assert (np.linalg.norm(moved, axis=1) <= block.lengths[group] * 1.000001 + 1e-21).all()
    assert (np.linalg.norm(scales * codes, axis=1) <= block.lengths[group] * 1.000001).all()
    squares = block.offsets[:rows].astype(np.float64) * 2 * scales[:, 0]
    np.testing.assert_allclose(squares, (moved**2).sum(axis=1), rtol=1e-4, atol=1e-29)
    assert not len(book.wild)


def test_padding_is_hidden_and_zero() -> None:
    """Rows and columns that fill up change nothing."""
    [block] = CodeBook(_vectors(70, 130)).blocks
    assert [plane.shape for plane in block.planes] == [(128, 128), (128, 128)]
    assert np.isinf(block.offsets[70:]).all()
    assert (block.planes[1][:, 2:] == 128).all()


def test_nan_is_hidden_and_huge_is_wild() -> None:
    """Rows whose squares do not fit float32 are listed; rows with a NaN are not anywhere."""
    vectors = _vectors(100, 4)
    vectors[3, 1] = np.nan
    vectors[5, 2] = 1e16
    vectors[70] = 3e38
    vectors[71, 0] = -np.inf
    vectors[72] = (np.inf, np.nan, 0, 0)
    book = CodeBook(vectors)
    assert book.wild.tolist() == [5, 70, 71]
    hidden = np.flatnonzero(np.isinf(book.blocks[0].offsets[:100]))
    assert hidden.tolist() == [3, 5, 70, 71, 72]


@pytest.mark.parametrize("huge", [np.nan, 3e38, np.inf])
def test_a_centre_needs_numbers(huge: float) -> None:
    """A matrix without a usable row has its centre at zero."""
    assert CodeBook(np.full((9, 2), huge, dtype=np.float32)).centre.tolist() == [0, 0]


def test_additions_share_what_is_full(monkeypatch: pytest.MonkeyPatch) -> None:
    """Full blocks are the same objects, full groups have the same codes."""
    monkeypatch.setattr(codes_module, "BLOCK_ROWS", 4 * GROUP_ROWS)
    vectors = _vectors(700, 8)
    first = CodeBook(vectors[:600])
    second = CodeBook(vectors, first)
    assert [block.rows for block in first.blocks] == [256, 256, 88]
    assert [block.rows for block in second.blocks] == [256, 256, 188]
    assert second.blocks[:2] == first.blocks[:2]
    assert (second.blocks[2].planes[0][:64] == first.blocks[2].planes[0][:64]).all()
    assert (second.centre == first.centre).all()
    assert CodeBook(vectors, second).blocks == second.blocks
    assert CodeBook(vectors[:512], None).rows == 512


def test_additions_do_not_read_the_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 10,000 rows one more reads those of its group alone."""
    vectors = _vectors(10_001, 8)
    first = CodeBook(vectors[:10_000])
    read: list[int] = []
    whole = codes_module._Chunk

    def counted(chunk: np.ndarray, centre: np.ndarray) -> object:
        read.append(len(chunk))
        return whole(chunk, centre)

    monkeypatch.setattr(codes_module, "_Chunk", counted)
    CodeBook(vectors, first)
    assert read == [10_001 - 10_000 // 64 * 64]


def test_memory() -> None:
    """A face of 512 numbers takes 516.2 bytes, a quarter of its vector."""
    assert CodeBook(_vectors(6400, 512)).size_bytes == 6400 * 516 + 100 * 12
