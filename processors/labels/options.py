"""The options of a label pack: what its network is shown and what its classes are called here.

The same table describes a pack of the catalog and a user's own network. In full::

    kind = "labels"
    family = "yolov8"                # nanodet, yolox, yolov8, detr or fastestdet
    files = [
        { name = "porch.onnx", role = "detector" },
        { name = "porch-classes.txt", role = "classes" },   # a name a line; or see below
    ]

    [options]
    classes = "coco80"               # or a list of names; not with a classes file
    extra_classes = []               # more names, after those
    input = { size = [640, 640] }    # also: colour, mean, scale, fit, fill

    [options.labels.PERSON]
    classes = ["person"]
    threshold = 0.35                 # the score told as 50 %
    sure = 0.7                       # the score told as 90 %; left out: half way to 1

    [options.labels.PACKAGE]
    classes = ["parcel", "carton"]
    threshold = 0.4
    overlap = 0.6                    # of two boxes that overlap more, the better one counts
    overlap_of = "smaller"           # overlap as a share of "union" (default) or "smaller"

    [options.general]                # every other class, for DetectLabels; left out: as the
    threshold = 0.5                  # first label above
    sure = 0.75

What is left out of ``input`` is as the family's authors export it. ``mean`` and ``scale`` are
three numbers in the order of ``colour``: value = (channel - mean) x scale.

File names may be absolute, so that a description can also read a pulled pack differently, for
instance with birds among the pets: ``classes = ["cat", "dog", "bird"]``.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from processors.errors import PackFormatError
from processors.labels.coco import COCO80
from processors.labels.confidence import ScoreCurve
from processors.labels.nms import OverlapMeasure
from processors.models.catalog import Pack

__all__ = ["InputOptions", "LabelOptions", "LabelRule", "ScoreRule", "read_options"]

LabelName = Literal["PERSON", "PET", "PACKAGE"]
Score = Annotated[float, Field(gt=0, lt=1)]
Triple = tuple[float, float, float]


class _Table(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class InputOptions(_Table):
    """What differs from the family's usual input."""

    size: tuple[int, int] | None = None
    """Width and height; ``None``: as the network fixes it, else the family's."""
    colour: Literal["rgb", "bgr"] | None = None
    mean: Triple | None = None
    scale: Triple | None = None
    fit: Literal["stretch", "top-left", "centre"] | None = None
    fill: float | None = None


class ScoreRule(_Table):
    """What scores mean, and which boxes are one object."""

    threshold: Score
    sure: Score | None = None
    overlap: Annotated[float, Field(ge=0, le=1)] = 0.6
    overlap_of: OverlapMeasure = "union"

    @model_validator(mode="after")
    def _rises(self) -> Self:
        _ = self.curve  # its ValueError becomes this table's error
        return self

    @property
    def curve(self) -> ScoreCurve:
        """Scores as confidence."""
        sure = (1 + self.threshold) / 2 if self.sure is None else self.sure
        return ScoreCurve(threshold=self.threshold, sure=sure)


class LabelRule(ScoreRule):
    """How one label is told."""

    classes: Annotated[tuple[str, ...], Field(min_length=1)]
    """The network's classes that mean it."""


class LabelOptions(_Table):
    """The options of a label pack."""

    classes: Literal["coco80"] | tuple[str, ...] = "coco80"
    """All class names of the network, in the order of its scores."""
    extra_classes: tuple[str, ...] = ()
    input: InputOptions = InputOptions()
    labels: Annotated[dict[LabelName, LabelRule], Field(min_length=1)]
    general: ScoreRule | None = None
    """For classes that no label names; ``None``: the rule of the first label."""

    @property
    def class_names(self) -> tuple[str, ...]:
        """All class names, in the order of the scores."""
        return (COCO80 if self.classes == "coco80" else self.classes) + self.extra_classes

    @property
    def class_rules(self) -> tuple[ScoreRule, ...]:
        """The rule of every class, in the order of the scores."""
        general = self.general or next(iter(self.labels.values()))
        named = {name: rule for rule in self.labels.values() for name in rule.classes}
        return tuple(named.get(name, general) for name in self.class_names)

    @model_validator(mode="after")
    def _knows_its_classes(self) -> LabelOptions:
        for label, rule in self.labels.items():
            unknown = set(rule.classes) - set(self.class_names)
            if unknown:
                raise ValueError(f"{label}: the network has no class {', '.join(sorted(unknown))}")
        return self


def read_options(pack: Pack, classes_file: Path | None = None) -> LabelOptions:
    """Read the options of a label pack.

    Args:
        pack: The pack.
        classes_file: Its file of role ``classes``: one class name a line.

    Raises:
        PackFormatError: If something is missing, unknown or out of range.

    """
    table: dict[str, Any] = dict(pack.options)
    if classes_file is not None:
        if "classes" in table:
            raise PackFormatError(f"pack {pack.name!r} has a list and a file of classes")
        table["classes"] = _read_names(classes_file)
    try:
        return LabelOptions.model_validate(table)
    except ValidationError as error:
        raise PackFormatError(f"pack {pack.name!r}: {_told(error)}") from error


def _read_names(path: Path) -> tuple[str, ...]:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise PackFormatError(f"cannot read the class names in {path}: {error}") from error
    return tuple(line.strip() for line in lines if line.strip())


def _told(error: ValidationError) -> str:
    def one(detail: Mapping[str, Any]) -> str:
        place = ".".join(str(part) for part in ("options", *detail["loc"]))
        return f"{place}: {detail['msg']}"

    return "; ".join(one(dict(detail)) for detail in error.errors(include_url=False))
