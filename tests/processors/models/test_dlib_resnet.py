"""dlib's face ResNet as ONNX gives dlib's own numbers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest

from processors.errors import PackFormatError
from processors.models.dlib_format import Layer, ResNet
from processors.models.dlib_resnet import _folded, resnet
from processors.models.packs import find_pack, verified_files
from processors.models.runtime import Network, RuntimeOptions


@pytest.fixture(scope="module")
def model() -> bytes:
    return resnet(verified_files(find_pack("builtin"), Path("nowhere"))["embedder"])


def test_gives_the_numbers_of_dlib(model: bytes) -> None:
    """dlib 20.0.1 gave these for a chip of diagonal stripes."""
    stripe = np.indices((150, 150)).sum(axis=0)
    chip = np.stack([stripe % 256, 2 * stripe % 256, 3 * stripe % 256], axis=-1).astype(np.uint8)
    [vectors] = Network(model, RuntimeOptions()).run(pixels=chip[None])
    assert vectors.shape == (1, 128)
    assert vectors[0, :8] == pytest.approx(
        [
            -0.03209077,
            0.09972146,
            0.05322872,
            0.00975424,
            -0.04925899,
            -0.04819778,
            -0.06124499,
            -0.01030384,
        ],
        abs=2e-6,
    )
    assert float(np.linalg.norm(vectors)) == pytest.approx(1.3088848, abs=2e-6)


def test_the_official_checker_accepts_it(model: bytes) -> None:
    """The model passes the ONNX checker with shape inference."""
    onnx.checker.check_model(onnx.load_from_string(model), full_check=True)


def test_a_first_layer_that_pads_is_refused() -> None:
    """With padding, folding the mean into the first convolution would be wrong."""
    padded = Layer(
        kind="con",
        window=(3, 3, 1, 1, 1, 1),
        weights=np.ones((1, 3, 3, 3), dtype=np.float32),
        bias=np.zeros(1, dtype=np.float32),
    )
    network = ResNet(mean_rgb=(1.0, 2.0, 3.0), size_px=150, layers=(padded,))
    with pytest.raises(PackFormatError, match="without padding"):
        _folded(network)
