"""Precision and recall of a label analyzer on pictures with boxes drawn by people."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from processors.geometry import Box
from processors.labels import LabelAnalyzer
from tests.support.shared import MEDIA, shared_photo

__all__ = ["Score", "measure"]

SAME_OBJECT_IOU = 0.5


@dataclass
class Score:
    """How many finds of one label were right."""

    boxes: int = 0
    """Objects there are."""
    right: int = 0
    """Finds that fit one of them, each counted once."""
    wrong: int = 0
    pictures_with: int = 0
    """Pictures that hold the label."""
    pictures_hit: int = 0
    """Those in which the label was found, wherever."""
    pictures_alarmed: int = 0
    """Pictures that do not hold it, and in which it was found."""
    pictures_without: int = 0

    @property
    def precision(self) -> float:
        """Right finds among all finds."""
        return self.right / max(1, self.right + self.wrong)

    @property
    def recall(self) -> float:
        """Objects found among all objects."""
        return self.right / max(1, self.boxes)


def measure(
    analyzer: LabelAnalyzer,
    boxes_file: str,
    meanings: Mapping[str, str],
    *,
    min_confidence_percent: float = 50.0,
) -> dict[str, Score]:
    """Return a score for every label the analyzer knows.

    Args:
        analyzer: What is measured.
        boxes_file: JSON in the media folder, a list of file, width, height, objects with label
            and box (left, top, right, bottom in pixels).
        meanings: Label (PERSON, ...) for each class name of the file that counts.
        min_confidence_percent: Lower finds are not looked at.

    """
    scores = {label: Score() for label in analyzer.labels}
    for item in json.loads((MEDIA / boxes_file).read_text()):
        picture = shared_photo(item["file"])
        found = analyzer.detect(picture, min_confidence_percent=min_confidence_percent)
        for label, score in scores.items():
            truth = [
                _box(each, item) for each in item["objects"] if meanings.get(each["label"]) == label
            ]
            _add(score, truth, [each.box for each in found if each.name == label])
    return scores


def _add(score: Score, truth: Sequence[Box], found: Sequence[Box]) -> None:
    """Count one picture; finds come surest first, each takes the free object it fits best."""
    free = list(truth)
    for box in found:
        best = max(free, key=box.iou, default=None)
        if best is not None and box.iou(best) >= SAME_OBJECT_IOU:
            free.remove(best)
            score.right += 1
        else:
            score.wrong += 1
    score.boxes += len(truth)
    if truth:
        score.pictures_with += 1
        score.pictures_hit += bool(found)
    else:
        score.pictures_without += 1
        score.pictures_alarmed += bool(found)


def _box(item: Mapping[str, Any], picture: Mapping[str, Any]) -> Box:
    left, top, right, bottom = item["box"]
    width, height = picture["width"], picture["height"]
    return Box.from_edges(
        left=left / width, top=top / height, right=right / width, bottom=bottom / height
    )
