"""What all object detectors share: the way from a picture to scored boxes.

A family (NanoDet, YOLOX, ...) says how its input looks by default and reads its outputs;
the rest is here. Nothing is chosen or merged yet: that is ``processors.labels``' work.
"""

from __future__ import annotations

import abc
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

from processors.errors import NetworkError
from processors.geometry import Box
from processors.models.image_input import ImageInput
from processors.picture import Picture

__all__ = ["Candidates", "ObjectDetector", "RunnableNetwork", "edges_from_centres", "select"]

Floors = Mapping[int, float]
"""The lowest score of interest for each class index of interest."""


class RunnableNetwork(Protocol):
    """What a detector needs of a network: :class:`processors.models.runtime.Network` has it."""

    @property
    def inputs(self) -> Mapping[str, tuple[int | str | None, ...]]:
        """Names and shapes of the inputs."""

    def run(self, **inputs: NDArray[Any]) -> list[NDArray[Any]]:
        """Run the network."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Candidates:
    """Boxes with scores, as a network gives them: many for one object."""

    edges: NDArray[np.floating[Any]]
    """Rows of left, top, right, bottom: input pixels from a family's decoder, ratios of the
    whole picture from :meth:`ObjectDetector.detect`."""
    scores: NDArray[np.floating[Any]]
    """The network's own scores, 0 to 1; comparable within one network only."""
    classes: NDArray[np.intp]
    """Class indexes."""

    def __len__(self) -> int:
        return len(self.scores)


class ObjectDetector(abc.ABC):
    """One object detection network; safe from many threads, as its network is."""

    default_input: ClassVar[ImageInput]
    """The input its authors export it with."""

    def __init__(
        self, network: RunnableNetwork, *, image_input: ImageInput, class_count: int
    ) -> None:
        self._network = network
        self._input = image_input
        self._class_count = class_count
        self._image_name = _image_input_name(network)

    def detect(self, picture: Picture, region: Box, *, floors: Floors) -> Candidates:
        """Return what is in ``region``, boxes as ratios of the whole picture.

        Args:
            picture: The picture.
            region: The part shown to the network.
            floors: Lowest score for each class index wanted; other classes are not read.

        Raises:
            ValueError: If nothing of the region lies inside the picture.
            NetworkError: If the network does not answer as its family does.

        """
        tensor, placement = self._input.tensor(picture, region)
        outputs = self._network.run(**self._feeds(tensor))
        found = self._decode(outputs, floors)
        edges = placement.to_picture(np.asarray(found.edges, dtype=np.float32))
        with np.errstate(invalid="ignore"):  # a NaN box is dropped here
            real = (edges[:, 0] < edges[:, 2]) & (edges[:, 1] < edges[:, 3])
        return Candidates(edges=edges[real], scores=found.scores[real], classes=found.classes[real])

    def _feeds(self, tensor: NDArray[np.float32]) -> dict[str, NDArray[Any]]:
        """Return the network's inputs for one picture."""
        return {self._image_name: tensor}

    @abc.abstractmethod
    def _decode(self, outputs: Sequence[NDArray[Any]], floors: Floors) -> Candidates:
        """Read the network's outputs for one picture: boxes in input pixels."""

    def _misread(self, outputs: Sequence[NDArray[Any]], expected: str) -> NetworkError:
        """Return the error for outputs that are not this family's."""
        shapes = ", ".join(str(output.shape) for output in outputs)
        return NetworkError(
            f"the outputs do not look like {type(self).__name__} with {self._class_count} "
            f"classes: expected {expected}, got {shapes}"
        )


def select(
    scores: NDArray[np.floating[Any]], floors: Floors
) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.floating[Any]]]:
    """Return rows, classes and scores where a wanted class reaches its floor.

    A row may be returned for several classes. NaN reaches nothing.

    Args:
        scores: A row for each candidate, a column for each class.
        floors: Lowest score for each class index wanted.

    """
    wanted = np.fromiter(floors.keys(), dtype=np.intp, count=len(floors))
    lowest = np.fromiter(floors.values(), dtype=np.float32, count=len(floors))
    columns = scores[:, wanted]
    rows, picked = np.nonzero(columns >= lowest)
    return rows, wanted[picked], columns[rows, picked]


def edges_from_centres(boxes: NDArray[np.floating[Any]]) -> NDArray[np.floating[Any]]:
    """Turn rows of centre x, centre y, width, height into left, top, right, bottom."""
    half = boxes[:, 2:4] / 2
    return np.concatenate([boxes[:, :2] - half, boxes[:, :2] + half], axis=1)


def _image_input_name(network: RunnableNetwork) -> str:
    for name, shape in network.inputs.items():
        if len(shape) == 4:
            return name
    raise NetworkError(f"no input takes a picture, there are {dict(network.inputs)}")
