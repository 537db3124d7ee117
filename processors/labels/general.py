"""General labels of a picture: the objects in it by kind, and everything above those kinds.

The rules are those of Amazon Rekognition's DetectLabels, read off its documentation and its
answers: a label for each kind of object, its objects as instances; every ancestor as a label of
its own, without instances; a label is as sure as its surest object, an ancestor as its surest
descendant; surest first, and by name where two are equally sure.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from processors.labels.taxonomy import LabelKind, Taxonomy, taxonomy
from processors.results import DetectedObject

__all__ = ["GeneralLabel", "general_labels"]


@dataclass(frozen=True, kw_only=True, slots=True)
class GeneralLabel:
    """One label of a picture."""

    kind: LabelKind
    confidence_percent: float
    instances: tuple[DetectedObject, ...] = ()
    """Surest first; empty where it is only told by what is below it."""


def general_labels(
    objects: Iterable[DetectedObject], known: Taxonomy | None = None
) -> list[GeneralLabel]:
    """Return the labels of a picture.

    Args:
        objects: What was found in it.
        known: The taxonomy; ``None``: the one of the package.

    """
    known = taxonomy() if known is None else known
    kinds: dict[str, LabelKind] = {}
    instances: defaultdict[str, list[DetectedObject]] = defaultdict(list)
    surest: defaultdict[str, float] = defaultdict(float)
    for each in objects:
        kind = known.of_class(each.class_name)
        instances[kind.name].append(each)
        for above in (kind, *map(known.label, kind.parents)):
            kinds[above.name] = above
            surest[above.name] = max(surest[above.name], each.confidence_percent)
    labels = [
        GeneralLabel(
            kind=kind,
            confidence_percent=surest[name],
            instances=tuple(
                sorted(instances.get(name, ()), key=lambda each: -each.confidence_percent)
            ),
        )
        for name, kind in kinds.items()
    ]
    return sorted(labels, key=lambda label: (-label.confidence_percent, label.kind.name))
