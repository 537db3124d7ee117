"""DetectLabels: everything the label pack can tell of an image, and the image's properties.

AWS tells events, scenes and concepts, too; here a label is an object that the pack's network
finds, or stands above one. ``OrientationCorrection`` is always null at AWS, so it is left out.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any

from processors.images import picture_properties
from processors.labels import LabelAnalyzer, general_labels
from processors.picture import Picture
from streamd.api.caller import Caller
from streamd.api.handlers import Handler, Output, Params, RunBlocking
from streamd.api.images import ImageReader
from streamd.api.label_convert import (
    DEFAULT_MIN_CONFIDENCE_PERCENT,
    DetectLabelsRequest,
    labels_to_wire,
    properties_to_wire,
    read_request,
)
from streamd.api.refusals import model_problems

__all__ = ["Labels"]

MAX_SIDE_PX = 10_000
"""Larger images are refused by DetectLabels (*Developer Guide*, "Guidelines and quotas")."""


class Labels:
    """The operation on labels of images.

    Args:
        images: Reads the images of requests.
        analyzer: Returns the label analyzer, loading it at the first call (blocking).
        run_analysis: Runs inference.

    """

    def __init__(
        self,
        *,
        images: ImageReader,
        analyzer: Callable[[], LabelAnalyzer],
        run_analysis: RunBlocking,
    ) -> None:
        self._images = images
        self._analyzer = analyzer
        self._run_analysis = run_analysis

    def operations(self) -> Mapping[str, Handler]:
        """Return the handlers by operation name."""
        return {"DetectLabels": self.detect}

    async def detect(self, caller: Caller, params: Params) -> Output:
        """Tell what is in an image, and how it looks; nothing is stored."""
        del caller  # stateless: the answer is the same for everybody
        asked = read_request(params)
        image = await self._images.read(params["Image"], max_side_px=MAX_SIDE_PX)
        with model_problems():
            analyzer: LabelAnalyzer = await self._run_analysis(self._analyzer)
            output: Output = await self._run_analysis(
                functools.partial(_analyze, analyzer, image.picture, asked)
            )
        return output


def _analyze(analyzer: LabelAnalyzer, picture: Picture, asked: DetectLabelsRequest) -> Output:
    """Look at an image once and answer all that is asked (blocking)."""
    lowest = asked.min_confidence_percent
    if asked.properties:
        # What is in front does not depend on which labels are asked for.
        lowest = min(lowest, DEFAULT_MIN_CONFIDENCE_PERCENT)
    objects = analyzer.objects(picture, min_confidence_percent=lowest)
    labels = []
    if asked.labels:
        sure = [each for each in objects if each.confidence_percent >= asked.min_confidence_percent]
        known = general_labels(sure)
        labels = [label for label in known if asked.wanted.wants(label.kind)][: asked.max_labels]
    output: dict[str, Any] = {"LabelModelVersion": analyzer.version}
    colours = None
    if asked.properties:
        told = [each for label in labels for each in label.instances]
        found = picture_properties(
            picture,
            foreground=[
                each.box
                for each in objects
                if each.confidence_percent >= DEFAULT_MIN_CONFIDENCE_PERCENT
            ],
            objects=[each.box for each in told],
            max_colours=asked.max_colours,
        )
        output["ImageProperties"] = properties_to_wire(found)
        colours = dict(zip(told, found.object_colours, strict=True))
    return {"Labels": labels_to_wire(labels, colours), **output}
