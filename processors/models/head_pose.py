"""head-pose-estimation-adas-0001: yaw, pitch and roll from the box of a face."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from processors.models.runtime import Network, RuntimeOptions
from processors.results import Pose

__all__ = ["HeadPoseNetwork"]

_SIZE_PX = 60


class HeadPoseNetwork:
    """Head pose of square crops; shared by threads."""

    def __init__(self, model: Path, runtime: RuntimeOptions) -> None:
        self._network = Network(model, runtime)

    def poses(self, crops: NDArray[np.uint8]) -> list[Pose]:
        """Return the pose of each crop, given as (n, size, size, 3) RGB.

        The crop is the detector's box, scaled without keeping its aspect: so was the network
        trained.
        """
        if not len(crops):
            return []
        small = np.stack([_shrunk(crop) for crop in crops])
        bgr = np.ascontiguousarray(small[..., ::-1].transpose(0, 3, 1, 2), dtype=np.float32)
        outputs = dict(zip(self._network.outputs, self._network.run(input=bgr), strict=True))
        angles = [outputs[f"angle_{name}_fc"].reshape(-1) for name in "ypr"]
        # The network's pitch is positive downwards, Pose's upwards.
        return [
            Pose(yaw=float(yaw), pitch=-float(pitch), roll=float(roll))
            for yaw, pitch, roll in zip(*angles, strict=True)
        ]


def _shrunk(crop: NDArray[np.uint8]) -> NDArray[np.uint8]:
    image = Image.fromarray(crop).resize((_SIZE_PX, _SIZE_PX), Image.Resampling.BOX)
    return np.asarray(image, dtype=np.uint8)
