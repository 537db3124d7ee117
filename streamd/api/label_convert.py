"""Labels and image properties in AWS's spelling, and the settings of a DetectLabels request."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from processors.images import AreaProperties, DominantColour, PictureProperties
from processors.labels import GeneralLabel
from processors.labels.taxonomy import LabelKind
from processors.results import DetectedObject
from streamd.api.face_convert import box_to_wire
from streamd.api.handlers import Params
from streamd.api.refusals import invalid_parameter

__all__ = [
    "DEFAULT_MIN_CONFIDENCE_PERCENT",
    "DetectLabelsRequest",
    "LabelFilter",
    "labels_to_wire",
    "properties_to_wire",
    "read_request",
]

# Defaults and caps: DetectLabels, *API Reference*.
DEFAULT_MIN_CONFIDENCE_PERCENT = 55.0
DEFAULT_MAX_COLOURS = 10
MAX_LABELS = 1000

GENERAL_LABELS = "GENERAL_LABELS"
IMAGE_PROPERTIES = "IMAGE_PROPERTIES"


@dataclass(frozen=True, kw_only=True)
class LabelFilter:
    """Which labels are wanted, by the exact names of labels and categories.

    Without inclusions every label is wanted, with inclusions those that one of them names, by
    the label or by its category. What an exclusion names is left out in any case.
    """

    labels: frozenset[str] = frozenset()
    categories: frozenset[str] = frozenset()
    but_not_labels: frozenset[str] = frozenset()
    but_not_categories: frozenset[str] = frozenset()

    def wants(self, kind: LabelKind) -> bool:
        """Tell whether labels of this kind are wanted."""
        if kind.name in self.but_not_labels:
            return False
        if not self.but_not_categories.isdisjoint(kind.categories):
            return False
        if not (self.labels or self.categories):
            return True
        return kind.name in self.labels or not self.categories.isdisjoint(kind.categories)


@dataclass(frozen=True, kw_only=True)
class DetectLabelsRequest:
    """What a request asks of an image."""

    labels: bool
    """Whether the labels are asked for."""
    properties: bool
    """Whether the image's properties are asked for."""
    max_labels: int
    min_confidence_percent: float
    wanted: LabelFilter
    max_colours: int


def read_request(params: Params) -> DetectLabelsRequest:
    """Return what a request asks for.

    Raises:
        ServiceError: If it sets something of a feature that it does not ask for.

    """
    features = frozenset(params.get("Features") or (GENERAL_LABELS,))
    settings: Mapping[str, Any] = params.get("Settings", {})
    needs = {
        "MaxLabels": (GENERAL_LABELS, "MaxLabels" in params),
        "MinConfidence": (GENERAL_LABELS, "MinConfidence" in params),
        "Settings.GeneralLabels": (GENERAL_LABELS, "GeneralLabels" in settings),
        "Settings.ImageProperties": (IMAGE_PROPERTIES, "ImageProperties" in settings),
    }
    for member, (feature, is_given) in needs.items():
        if is_given and feature not in features:
            raise invalid_parameter(f"{member} is only valid with the feature {feature}.")
    general: Mapping[str, Any] = settings.get("GeneralLabels", {})
    return DetectLabelsRequest(
        labels=GENERAL_LABELS in features,
        properties=IMAGE_PROPERTIES in features,
        max_labels=min(MAX_LABELS, params.get("MaxLabels", MAX_LABELS)),
        min_confidence_percent=params.get("MinConfidence", DEFAULT_MIN_CONFIDENCE_PERCENT),
        wanted=LabelFilter(
            labels=frozenset(general.get("LabelInclusionFilters", ())),
            categories=frozenset(general.get("LabelCategoryInclusionFilters", ())),
            but_not_labels=frozenset(general.get("LabelExclusionFilters", ())),
            but_not_categories=frozenset(general.get("LabelCategoryExclusionFilters", ())),
        ),
        max_colours=settings.get("ImageProperties", {}).get(
            "MaxDominantColors", DEFAULT_MAX_COLOURS
        ),
    )


def labels_to_wire(
    labels: Iterable[GeneralLabel],
    colours: Mapping[DetectedObject, Sequence[DominantColour]] | None,
) -> list[dict[str, Any]]:
    """Return labels as ``Labels``.

    Args:
        labels: In the order of the answer.
        colours: The colours of each instance; ``None``: not asked for.

    """
    return [
        {
            "Name": label.kind.name,
            "Confidence": _percent(label.confidence_percent),
            "Instances": [_instance(each, colours) for each in label.instances],
            "Parents": _names(label.kind.parents),
            "Aliases": _names(label.kind.aliases),
            "Categories": _names(label.kind.categories),
        }
        for label in labels
    ]


def properties_to_wire(found: PictureProperties) -> dict[str, Any]:
    """Return a picture's properties as ``ImageProperties``.

    Contrast is told of the whole image only, as AWS does it.
    """
    return {
        "Quality": {
            "Brightness": found.brightness,
            "Sharpness": found.sharpness,
            "Contrast": found.contrast,
        },
        "DominantColors": _colours(found.colours),
        "Foreground": _area(found.foreground),
        "Background": _area(found.background),
    }


def _instance(
    each: DetectedObject, colours: Mapping[DetectedObject, Sequence[DominantColour]] | None
) -> dict[str, Any]:
    instance: dict[str, Any] = {
        "BoundingBox": box_to_wire(each.box),
        "Confidence": _percent(each.confidence_percent),
    }
    if colours is not None:
        instance["DominantColors"] = _colours(colours[each])
    return instance


def _area(area: AreaProperties | None) -> dict[str, Any] | None:
    if area is None:
        return None
    return {
        "Quality": {"Brightness": area.brightness, "Sharpness": area.sharpness},
        "DominantColors": _colours(area.colours),
    }


def _colours(colours: Iterable[DominantColour]) -> list[dict[str, Any]]:
    return [
        {
            "Red": colour.red,
            "Blue": colour.blue,
            "Green": colour.green,
            "HexCode": colour.hex_code,
            "CSSColor": colour.css_name,
            "SimplifiedColor": colour.simplified,
            "PixelPercent": colour.share_percent,
        }
        for colour in colours
    ]


def _names(names: Iterable[str]) -> list[dict[str, str]]:
    return [{"Name": name} for name in names]


def _percent(value: float) -> float:
    return min(100.0, max(0.0, float(value)))
