"""From a label pack and its files to an analyzer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from processors.errors import PackFormatError
from processors.geometry import WHOLE_PICTURE
from processors.labels.analyzer import DetectorLabels, LabelAnalyzer
from processors.labels.from_faces import FindsFaces, PersonFromFaces
from processors.labels.options import InputOptions, read_options
from processors.models.catalog import Pack
from processors.models.detector import ObjectDetector, RunnableNetwork
from processors.models.detr import Detr
from processors.models.fastestdet import FastestDet
from processors.models.image_input import ImageInput
from processors.models.nanodet import NanoDet
from processors.models.runtime import Network, RuntimeOptions
from processors.models.yolov8 import YoloV8
from processors.models.yolox import YoloX
from processors.picture import ArrayPicture

__all__ = ["FAMILIES", "build", "image_input"]

FAMILIES: Mapping[str, type[ObjectDetector]] = {
    "detr": Detr,
    "fastestdet": FastestDet,
    "nanodet": NanoDet,
    "yolov8": YoloV8,
    "yolox": YoloX,
}
FACES_FAMILY = "faces"


def build(
    pack: Pack,
    files: Mapping[str, Path],
    options: RuntimeOptions,
    *,
    faces: Callable[[], FindsFaces],
) -> LabelAnalyzer:
    """Load a label pack and show its network one picture, so that a wrong one fails here.

    Args:
        pack: The pack.
        files: Its files by role: ``detector``, and ``classes`` where it has one.
        options: How networks run.
        faces: Gives a face analyzer; called for the family ``faces`` only.

    Raises:
        PackFormatError: If the pack's description is wrong.
        NetworkError: If the network cannot be loaded, or does not answer as its family does.

    """
    if pack.family == FACES_FAMILY:
        return PersonFromFaces(faces(), name=pack.name, version=pack.version, note=pack.note)
    try:
        family = FAMILIES[pack.family]
    except KeyError:
        known = ", ".join(sorted([*FAMILIES, FACES_FAMILY]))
        raise PackFormatError(
            f"pack {pack.name!r} needs a family of {known}, got {pack.family!r}"
        ) from None
    if "detector" not in files:
        raise PackFormatError(f"pack {pack.name!r} names no file of role detector")
    described = read_options(pack, files.get("classes"))
    network = Network(files["detector"], options)
    detector = family(
        network,
        image_input=image_input(family, network, described.input),
        class_count=len(described.class_names),
    )
    grey = ArrayPicture(np.full((32, 32, 3), 114, dtype=np.uint8))
    detector.detect(grey, WHOLE_PICTURE, floors={0: 0.5})
    return DetectorLabels(
        detector,
        name=pack.name,
        version=pack.version,
        class_names=described.class_names,
        rules={str(label): rule for label, rule in described.labels.items()},
        class_rules=described.class_rules,
        note=pack.note or None,
    )


def image_input(
    family: type[ObjectDetector], network: RunnableNetwork, given: InputOptions
) -> ImageInput:
    """Return the family's input with what the network fixes and what the pack changes.

    Raises:
        PackFormatError: If the size given is not the one the network was made for.

    """
    changes = given.model_dump(exclude={"size"}, exclude_none=True)
    fixed = _fixed_size(network)
    size = given.size or fixed
    if fixed and size != fixed:
        raise PackFormatError(f"the network takes pictures of {fixed}, the pack says {size}")
    if size:
        changes |= {"width_px": size[0], "height_px": size[1]}
    return replace(family.default_input, **changes)


def _fixed_size(network: RunnableNetwork) -> tuple[int, int] | None:
    """Return width and height where the network does not leave them open."""
    for shape in network.inputs.values():
        match shape:
            case (_, 3, int(height), int(width)):
                return width, height
    return None
