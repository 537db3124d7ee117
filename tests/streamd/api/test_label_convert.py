"""Which labels a filter wants, and how they are spelled."""

import pytest

from processors.geometry import Box
from processors.labels import GeneralLabel
from processors.labels.taxonomy import LabelKind
from processors.results import DetectedObject
from streamd.api.label_convert import LabelFilter, labels_to_wire

DOG = LabelKind(name="Dog", parents=("Animal",), categories=("Animals and Pets",))
CAR = LabelKind(name="Car", aliases=("Automobile",), categories=("Vehicles and Automotive",))
GNOME = LabelKind(name="Garden Gnome")


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        ({}, ["Dog", "Car", "Garden Gnome"]),
        ({"labels": {"Dog"}}, ["Dog"]),
        ({"labels": {"dog", "Automobile"}}, []),
        ({"categories": {"Vehicles and Automotive"}}, ["Car"]),
        ({"labels": {"Garden Gnome"}, "categories": {"Animals and Pets"}}, ["Dog", "Garden Gnome"]),
        ({"but_not_labels": {"Dog"}}, ["Car", "Garden Gnome"]),
        ({"but_not_categories": {"Animals and Pets"}}, ["Car", "Garden Gnome"]),
        ({"labels": {"Dog", "Car"}, "but_not_categories": {"Animals and Pets"}}, ["Car"]),
        ({"labels": {"Dog"}, "but_not_labels": {"Dog"}}, []),
    ],
)
def test_filters(given: dict[str, set[str]], wanted: list[str]) -> None:
    """Names are exact; inclusions add up; exclusions win."""
    filters = LabelFilter(**{name: frozenset(values) for name, values in given.items()})
    assert [kind.name for kind in (DOG, CAR, GNOME) if filters.wants(kind)] == wanted


def test_a_label_on_the_wire() -> None:
    """Every list is there, even an empty one, as AWS answers it."""
    box = Box(left=0.25, top=0.5, width=0.125, height=0.375)
    dog = DetectedObject(class_name="dog", confidence_percent=90.0, box=box)
    label = GeneralLabel(kind=DOG, confidence_percent=90.0, instances=(dog,))
    assert labels_to_wire([label], None) == [
        {
            "Name": "Dog",
            "Confidence": 90.0,
            "Instances": [
                {
                    "BoundingBox": {"Left": 0.25, "Top": 0.5, "Width": 0.125, "Height": 0.375},
                    "Confidence": 90.0,
                }
            ],
            "Parents": [{"Name": "Animal"}],
            "Aliases": [],
            "Categories": [{"Name": "Animals and Pets"}],
        }
    ]
    [told] = labels_to_wire([label], {dog: []})
    assert told["Instances"][0]["DominantColors"] == []
