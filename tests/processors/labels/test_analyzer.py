"""From scored boxes to PERSON, PET and PACKAGE."""

from collections.abc import Mapping, Sequence

import numpy as np
import pytest

from processors.geometry import WHOLE_PICTURE, Box
from processors.labels.analyzer import MIN_SCORE, DetectorLabels, LabelAnalyzer
from processors.labels.options import LabelRule, ScoreRule
from processors.models.detector import Candidates
from processors.picture import Picture
from tests.processors.models.fakes import blank_picture

CLASS_NAMES = ("person", "cat", "dog", "parcel")
RULES = {
    "PERSON": LabelRule(classes=("person",), threshold=0.4, sure=0.6),
    "PET": LabelRule(classes=("cat", "dog"), threshold=0.4, sure=0.6),
    "PACKAGE": LabelRule(classes=("parcel",), threshold=0.5, sure=0.8, overlap_of="smaller"),
}
Row = tuple[str, float, tuple[float, float, float, float]]


class FixedDetector:
    """Finds the same boxes in every picture, as far as they are asked for."""

    def __init__(self, *rows: Row) -> None:
        self.rows = rows
        self.asked: list[tuple[Box, Mapping[int, float]]] = []

    def detect(self, picture: Picture, region: Box, *, floors: Mapping[int, float]) -> Candidates:
        """Return the rows that reach their floor."""
        del picture
        self.asked.append((region, floors))
        rows = [
            (CLASS_NAMES.index(name), score, edges)
            for name, score, edges in self.rows
            if np.float32(score) >= np.float32(floors.get(CLASS_NAMES.index(name), 2.0))
        ]
        return Candidates(
            edges=np.array([edges for _, _, edges in rows], dtype=np.float64).reshape(-1, 4),
            scores=np.array([score for _, score, _ in rows], dtype=np.float32),
            classes=np.array([index for index, _, _ in rows], dtype=np.intp),
        )


def analyzer(*rows: Row, class_rules: Sequence[ScoreRule] | None = None) -> DetectorLabels:
    """Return an analyzer over fixed boxes."""
    return DetectorLabels(
        FixedDetector(*rows),
        name="fixed",
        version="1.0",
        class_names=CLASS_NAMES,
        rules=RULES,
        class_rules=class_rules,
    )


HERE, THERE = (0.1, 0.1, 0.3, 0.3), (0.6, 0.6, 0.9, 0.9)


def test_is_a_label_analyzer() -> None:
    """It says who it is and what it can tell."""
    whole: LabelAnalyzer = analyzer()
    assert (whole.name, whole.version, whole.note) == ("fixed", "1.0", None)
    assert whole.labels == {"PERSON", "PET", "PACKAGE"}


def test_labels_carry_class_confidence_and_box() -> None:
    """Finds come surest first with the network's own name for them."""
    found = analyzer(("dog", 0.5, HERE), ("person", 0.6, THERE)).detect(blank_picture())
    assert [(each.name, each.class_name) for each in found] == [
        ("PERSON", "person"),
        ("PET", "dog"),
    ]
    assert [each.confidence_percent for each in found] == pytest.approx([90.0, 70.0], abs=1e-4)
    assert found[1].box == Box.from_edges(left=0.1, top=0.1, right=0.3, bottom=0.3)


def test_threshold_counts_at_fifty_percent() -> None:
    """A score of exactly the working threshold is found at AWS's default, a lower one not."""
    assert len(analyzer(("person", 0.4, HERE)).detect(blank_picture())) == 1
    assert analyzer(("person", 0.399, HERE)).detect(blank_picture()) == []


def test_each_label_has_its_own_threshold() -> None:
    """A score that is enough for a PET is not enough for a PACKAGE."""
    found = analyzer(("cat", 0.45, HERE), ("parcel", 0.45, THERE)).detect(blank_picture())
    assert [each.name for each in found] == ["PET"]


def test_higher_confidence_can_be_asked_for() -> None:
    """MinConfidence 90 leaves what is sure."""
    found = analyzer(("person", 0.55, HERE), ("person", 0.61, THERE)).detect(
        blank_picture(), min_confidence_percent=90
    )
    assert [each.box.left for each in found] == [0.6]


def test_everything_is_still_not_noise() -> None:
    """Confidence 0 reads down to the lowest score that means anything."""
    detector = FixedDetector()
    DetectorLabels(
        detector, name="fixed", version="1", class_names=CLASS_NAMES, rules=RULES
    ).detect(blank_picture(), min_confidence_percent=0)
    assert detector.asked == [(WHOLE_PICTURE, dict.fromkeys(range(4), MIN_SCORE))]


def test_half_cat_half_dog_is_one_pet() -> None:
    """Doubles are removed within a label, and the surer class names it."""
    found = analyzer(("cat", 0.5, HERE), ("dog", 0.55, HERE)).detect(blank_picture())
    assert [each.class_name for each in found] == ["dog"]


def test_labels_do_not_suppress_each_other() -> None:
    """A person holding a cat is both."""
    found = analyzer(("cat", 0.5, HERE), ("person", 0.55, HERE)).detect(blank_picture())
    assert {each.name for each in found} == {"PERSON", "PET"}


def test_part_of_a_package_is_not_another_package() -> None:
    """Overlap by the smaller box takes the lid of a parcel away, but not a person's head."""
    inside = (0.1, 0.1, 0.2, 0.2)
    found = analyzer(
        ("parcel", 0.9, HERE),
        ("parcel", 0.8, inside),
        ("person", 0.9, HERE),
        ("person", 0.8, inside),
    ).detect(blank_picture())
    assert sorted(each.name for each in found) == ["PACKAGE", "PERSON", "PERSON"]


def test_class_may_mean_two_labels() -> None:
    """One class can serve two labels with different thresholds."""
    rules = {
        "PET": LabelRule(classes=("dog",), threshold=0.3),
        "PACKAGE": LabelRule(classes=("dog", "parcel"), threshold=0.7),
    }
    both = DetectorLabels(
        FixedDetector(("dog", 0.5, HERE), ("dog", 0.75, THERE)),
        name="fixed",
        version="1",
        class_names=CLASS_NAMES,
        rules=rules,
    ).detect(blank_picture())
    assert sorted((each.name, each.box.left) for each in both) == [
        ("PACKAGE", 0.6),
        ("PET", 0.1),
        ("PET", 0.6),
    ]


def test_region_without_area_holds_nothing() -> None:
    """Where nothing can be seen the network is not run."""
    detector = FixedDetector(("person", 0.9, HERE))
    whole = DetectorLabels(
        detector, name="fixed", version="1", class_names=CLASS_NAMES, rules=RULES
    )
    assert whole.detect(blank_picture(), region=Box(left=1.5, top=0, width=1, height=1)) == []
    assert detector.asked == []


def test_many_candidates_are_bounded() -> None:
    """Thousands of boxes are cut to the best before they are compared."""
    rows: list[Row] = [
        ("person", 0.5 + k / 10_000, (k / 4000, 0.0, k / 4000 + 1e-4, 1.0)) for k in range(3000)
    ]
    found = analyzer(*rows).detect(blank_picture())
    assert len(found) == 300
    assert found[0].box.left == pytest.approx(2999 / 4000)


def test_objects_are_told_by_class() -> None:
    """An animal that is half a cat and half a dog is one PET, but two objects."""
    rows = (("cat", 0.5, HERE), ("dog", 0.6, HERE), ("dog", 0.4, HERE))
    assert len(analyzer(*rows).detect(blank_picture())) == 1
    objects = analyzer(*rows).objects(blank_picture())
    assert [each.class_name for each in objects] == ["dog", "cat"]
    assert [each.confidence_percent for each in objects] == pytest.approx([90.0, 70.0], abs=1e-4)


def test_classes_without_a_label_have_their_own_rule() -> None:
    """A class that no label names is an object where the pack says how sure its scores are."""
    strict = ScoreRule(threshold=0.7, sure=0.8)
    rows = (("parcel", 0.75, HERE), ("person", 0.6, THERE), ("parcel", 0.6, THERE))
    rules = (RULES["PERSON"], RULES["PET"], RULES["PET"], strict)
    objects = analyzer(*rows, class_rules=rules).objects(blank_picture())
    assert [each.class_name for each in objects] == ["person", "parcel"]
    assert [each.confidence_percent for each in objects] == pytest.approx([90.0, 70.0], abs=1e-4)


def test_objects_below_the_confidence_are_not_told() -> None:
    """What is less sure than asked for is left out."""
    found = analyzer(("person", 0.5, HERE), ("dog", 0.6, THERE))
    objects = found.objects(blank_picture(), min_confidence_percent=80.0)
    assert [each.class_name for each in objects] == ["dog"]
