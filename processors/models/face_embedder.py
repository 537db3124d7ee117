"""Face embedders: aligned crops in, vectors out that are compared by Euclidean distance."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from processors.models import dlib_resnet
from processors.models.runtime import Network, RuntimeOptions

__all__ = ["DlibEmbedder", "FaceEmbedder", "Retail0095Embedder", "Template"]

# Larger batches gain nothing on a CPU and hold memory.
_MAX_BATCH = 8


@dataclass(frozen=True, kw_only=True)
class Template:
    """Where the landmarks lie in an aligned crop, and how much each counts."""

    size_px: int
    points_px: NDArray[np.float64]
    """Shape (5, 2), in the order of :class:`~processors.models.face_detector.FoundFace`."""
    weights: NDArray[np.float64]

    @classmethod
    def from_table(cls, table: Mapping[str, Any]) -> Template:
        """Read the template of a pack."""
        return cls(
            size_px=table["size_px"],
            points_px=np.array(table["template_px"], dtype=np.float64),
            weights=np.array(table["weights"], dtype=np.float64),
        )

    def __post_init__(self) -> None:
        if self.points_px.shape != (5, 2) or self.weights.shape != (5,):
            raise ValueError(
                f"a template needs 5 points and 5 weights, "
                f"got {self.points_px.shape} and {self.weights.shape}"
            )


class FaceEmbedder(Protocol):
    """Turns aligned faces into vectors; shared by threads."""

    template: Template
    """Where it wants the landmarks."""
    vector_size: int
    """Numbers in a vector."""

    def embed(self, crops: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return (n, vector_size) for crops of shape (n, size, size, 3), RGB."""


class DlibEmbedder:
    """dlib's face ResNet: 128 numbers, not normalised."""

    vector_size = 128

    def __init__(self, model: Path, template: Template, runtime: RuntimeOptions) -> None:
        self.template = template
        self._network = Network(dlib_resnet.resnet(model), runtime)

    def embed(self, crops: NDArray[np.uint8]) -> NDArray[np.float32]:
        """See :class:`FaceEmbedder`."""
        parts = [self._network.run(pixels=batch)[0] for batch in _batches(crops)]
        return np.concatenate([np.empty((0, self.vector_size), dtype=np.float32), *parts])


class Retail0095Embedder:
    """face-reidentification-retail-0095: 256 numbers of length 1."""

    vector_size = 256

    def __init__(self, model: Path, template: Template, runtime: RuntimeOptions) -> None:
        self.template = template
        self._network = Network(model, runtime)

    def embed(self, crops: NDArray[np.uint8]) -> NDArray[np.float32]:
        """See :class:`FaceEmbedder`."""
        vectors = np.empty((len(crops), self.vector_size), dtype=np.float32)
        done = 0
        for batch in _batches(crops):
            bgr = np.ascontiguousarray(batch[..., ::-1].transpose(0, 3, 1, 2), dtype=np.float32)
            [output] = self._network.run(input=bgr)
            vectors[done : done + len(batch)] = output.reshape(len(batch), -1)
            done += len(batch)
        lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
        vectors /= np.maximum(lengths, np.finfo(np.float32).tiny)
        return vectors


def _batches(crops: NDArray[np.uint8]) -> list[NDArray[np.uint8]]:
    return [crops[start : start + _MAX_BATCH] for start in range(0, len(crops), _MAX_BATCH)]
