"""What an object detection network sees in one picture: PERSON, PET, PACKAGE, or all it knows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from processors.geometry import WHOLE_PICTURE, Box
from processors.labels.confidence import ScoreCurve
from processors.labels.nms import suppress
from processors.labels.options import LabelRule, ScoreRule
from processors.models.detector import Candidates
from processors.picture import Picture
from processors.results import DetectedLabel, DetectedObject

__all__ = ["Detector", "DetectorLabels", "LabelAnalyzer"]

MIN_SCORE = 0.05
"""Lower scores are noise; they are not read even where every confidence is asked for."""
MAX_CANDIDATES = 300
"""For each label, the best are compared with each other: the work grows with the square."""


class LabelAnalyzer(Protocol):
    """Finds labelled objects in pictures; blocking, and safe from many threads at once."""

    @property
    def name(self) -> str:
        """The pack's name."""

    @property
    def version(self) -> str:
        """The pack's version."""

    @property
    def labels(self) -> frozenset[str]:
        """Which of PERSON, PET, PACKAGE it can tell."""

    @property
    def note(self) -> str | None:
        """What is partial about it, such as ``PERSON from faces only``."""

    def detect(
        self,
        picture: Picture,
        *,
        region: Box = WHOLE_PICTURE,
        min_confidence_percent: float = 50.0,
    ) -> list[DetectedLabel]:
        """Return what is in ``region``, surest first; boxes relative to the whole picture.

        Args:
            picture: The picture.
            region: The only part looked at; nothing is found in a region without area.
            min_confidence_percent: Lowest confidence of interest, 0 to 100.

        """

    def objects(
        self, picture: Picture, *, min_confidence_percent: float = 50.0
    ) -> list[DetectedObject]:
        """Return everything it can tell in the whole picture, surest first.

        Args:
            picture: The picture.
            min_confidence_percent: Lowest confidence of interest, 0 to 100.

        """


class Detector(Protocol):
    """What is needed of a network: ``processors.models.detector.ObjectDetector`` has it."""

    def detect(self, picture: Picture, region: Box, *, floors: Mapping[int, float]) -> Candidates:
        """Return scored boxes of the classes in ``floors``."""


@dataclass(frozen=True, slots=True)
class _Label:
    """One label's rule, resolved to class indexes."""

    name: str
    classes: NDArray[np.intp]
    curve: ScoreCurve
    rule: ScoreRule


class DetectorLabels:
    """Labels from a detection network.

    Doubles are removed within a label, not within a class: an animal that the network takes
    half for a cat and half for a dog is one PET.

    Args:
        detector: The network.
        name: The pack's name.
        version: The pack's version.
        class_names: The network's classes, in the order of its scores.
        rules: How each label is told.
        class_rules: How each class is told where all of them are asked for; ``None``: those of
            the labels only.
        note: What is partial about it.

    """

    def __init__(
        self,
        detector: Detector,
        *,
        name: str,
        version: str,
        class_names: tuple[str, ...],
        rules: Mapping[str, LabelRule],
        class_rules: Sequence[ScoreRule] | None = None,
        note: str | None = None,
    ) -> None:
        self.name = name
        self.version = version
        self.note = note
        self.labels = frozenset(rules)
        self._detector = detector
        self._class_names = class_names
        self._labels = tuple(
            _Label(
                label,
                np.array([class_names.index(each) for each in rule.classes], dtype=np.intp),
                rule.curve,
                rule,
            )
            for label, rule in rules.items()
        )
        named: dict[str, ScoreRule]
        if class_rules is None:
            named = {name: rule for rule in rules.values() for name in rule.classes}
        else:
            named = dict(zip(class_names, class_rules, strict=True))
        self._classes = tuple(
            _Label(name, np.array([class_names.index(name)], dtype=np.intp), rule.curve, rule)
            for name, rule in named.items()
        )

    def detect(
        self,
        picture: Picture,
        *,
        region: Box = WHOLE_PICTURE,
        min_confidence_percent: float = 50.0,
    ) -> list[DetectedLabel]:
        """See :meth:`LabelAnalyzer.detect`."""
        if region.clipped().area <= 0:
            return []
        found = [
            DetectedLabel(
                name=label.name,
                confidence_percent=each.confidence_percent,
                box=each.box,
                class_name=each.class_name,
            )
            for label, each in self._find(self._labels, picture, region, min_confidence_percent)
        ]
        return sorted(found, key=lambda each: -each.confidence_percent)

    def objects(
        self, picture: Picture, *, min_confidence_percent: float = 50.0
    ) -> list[DetectedObject]:
        """See :meth:`LabelAnalyzer.objects`; doubles are removed within a class."""
        found = self._find(self._classes, picture, WHOLE_PICTURE, min_confidence_percent)
        return sorted((each for _, each in found), key=lambda each: -each.confidence_percent)

    def _find(
        self,
        labels: Sequence[_Label],
        picture: Picture,
        region: Box,
        min_confidence_percent: float,
    ) -> Iterator[tuple[_Label, DetectedObject]]:
        lowest = [max(MIN_SCORE, label.curve.score(min_confidence_percent)) for label in labels]
        floors: dict[int, float] = {}
        for label, floor in zip(labels, lowest, strict=True):
            for index in label.classes.tolist():
                floors[index] = min(floors.get(index, 1.0), floor)
        candidates = self._detector.detect(picture, region, floors=floors)
        for label, floor in zip(labels, lowest, strict=True):
            for each in self._choose(label, candidates, floor):
                yield label, each

    def _choose(
        self, label: _Label, candidates: Candidates, lowest: float
    ) -> Iterator[DetectedObject]:
        """Return one label's objects, doubles removed."""
        mine = np.isin(candidates.classes, label.classes)
        # In the precision of the scores: 0.4 is not less than 0.4.
        mine &= candidates.scores >= candidates.scores.dtype.type(lowest)
        rows = np.flatnonzero(mine)
        if not len(rows):
            return
        best = rows[np.argsort(-candidates.scores[rows], kind="stable")[:MAX_CANDIDATES]]
        kept = best[
            suppress(
                candidates.edges[best],
                candidates.scores[best],
                max_overlap=label.rule.overlap,
                measure=label.rule.overlap_of,
            )
        ]
        percents = label.curve.percent(candidates.scores[kept])
        for row, percent in zip(kept, percents, strict=True):
            yield DetectedObject(
                class_name=self._class_names[candidates.classes[row]],
                confidence_percent=float(percent),
                box=_box(candidates.edges[row]),
            )


def _box(edges: NDArray[np.floating[Any]]) -> Box:
    left, top, right, bottom = (float(edge) for edge in edges)
    return Box.from_edges(left=left, top=top, right=right, bottom=bottom)
