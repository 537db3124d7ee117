"""MTCNN as ONNX computes what its layers say, checked against plain numpy."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from processors.errors import PackFormatError
from processors.models import mtcnn_graphs
from processors.models.joblib_arrays import read_arrays
from processors.models.packs import find_pack, verified_files
from processors.models.runtime import Network, RuntimeOptions

Array = NDArray[np.float64]


@pytest.fixture(scope="module")
def files() -> dict[str, Path]:
    return verified_files(find_pack("builtin"), Path("nowhere"))


def _conv(x: Array, kernel: Array, bias: Array, slope: Array | None = None) -> Array:
    """Convolve (H, W, C) with a Keras kernel, without padding; then PReLU."""
    windows = sliding_window_view(x, kernel.shape[:2], axis=(0, 1))
    return _prelu(np.einsum("hwcij,ijco->hwo", windows, kernel) + bias, slope)


def _prelu(x: Array, slope: Array | None) -> Array:
    return x if slope is None else np.where(x > 0, x, x * slope)


def _pool(x: Array, size: int, *, same: bool) -> Array:
    if same:  # Keras: the odd row of padding goes below and to the right
        need = [max(0, (-(-n // 2) - 1) * 2 + size - n) for n in x.shape[:2]]
        pads = [(n // 2, n - n // 2) for n in need]
        x = np.pad(x, (*pads, (0, 0)), constant_values=-np.inf)
    pooled: Array = sliding_window_view(x, (size, size), axis=(0, 1))[::2, ::2].max(axis=(-2, -1))
    return pooled


def _softmax_logit(pair: Array) -> Array:
    shares = np.exp(pair) / np.exp(pair).sum(axis=-1, keepdims=True)
    logit: Array = np.log(shares[..., 1] / shares[..., 0])
    return logit


def _pnet(x: Array, w: list[Array]) -> Array:
    x = _pool(_conv(x, *w[0:3]), 2, same=True)
    x = _conv(_conv(x, *w[3:6]), *w[6:9])
    logit = _softmax_logit(_conv(x, *w[11:13]))
    return np.concatenate([_conv(x, *w[9:11]), logit[..., None]], axis=-1)


def _rnet(x: Array, w: list[Array]) -> Array:
    x = _pool(_conv(x, *w[0:3]), 3, same=True)
    x = _pool(_conv(x, *w[3:6]), 3, same=False)
    flat = _conv(x, *w[6:9]).transpose(1, 0, 2).reshape(-1)
    x = _prelu(flat @ w[9] + w[10], w[11])
    return np.concatenate([x @ w[12] + w[13], [_softmax_logit(x @ w[14] + w[15])]])


def _onet(x: Array, w: list[Array]) -> Array:
    x = _pool(_conv(x, *w[0:3]), 3, same=True)
    x = _pool(_conv(x, *w[3:6]), 3, same=False)
    x = _pool(_conv(x, *w[6:9]), 2, same=True)
    flat = _conv(x, *w[9:12]).transpose(1, 0, 2).reshape(-1)
    x = _prelu(flat @ w[12] + w[13], w[14])
    logit = _softmax_logit(x @ w[19] + w[20])
    return np.concatenate([x @ w[15] + w[16], x @ w[17] + w[18], np.atleast_1d(logit)])


@pytest.mark.parametrize(
    ("role", "size", "reference"),
    [("pnet", (25, 38), _pnet), ("rnet", (24, 24), _rnet), ("onet", (48, 48), _onet)],
    ids=["pnet", "rnet", "onet"],
)
def test_computes_what_the_layers_say(
    files: dict[str, Path],
    role: str,
    size: tuple[int, int],
    reference: Callable[[Array, list[Array]], Array],
) -> None:
    """Every head agrees with the unfolded network in float64."""
    pixels = np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)
    weights = [array.astype(np.float64) for array in read_arrays(files[role])]
    wanted = reference((pixels - 127.5) / 128, weights)
    network = Network(getattr(mtcnn_graphs, role)(files[role]), RuntimeOptions())
    [got] = network.run(pixels=pixels[None])
    np.testing.assert_allclose(
        got[0].T if role != "pnet" else got[0].transpose(1, 2, 0), wanted, atol=2e-4
    )


@pytest.mark.parametrize("role", ["pnet", "rnet", "onet"])
def test_the_official_checker_accepts_it(files: dict[str, Path], role: str) -> None:
    """The models pass the ONNX checker with shape inference."""
    model = onnx.load_from_string(getattr(mtcnn_graphs, role)(files[role]))
    onnx.checker.check_model(model, full_check=True)


def test_another_number_of_arrays_is_refused(files: dict[str, Path]) -> None:
    """R-Net's weights do not make a P-Net."""
    with pytest.raises(PackFormatError, match="16 arrays, expected 13"):
        mtcnn_graphs.pnet(files["rnet"])
