"""The packaged taxonomy is whole, and says of the usual objects what AWS says."""

import pytest

from processors.labels.coco import COCO80
from processors.labels.taxonomy import CATEGORIES, LabelKind, taxonomy


def test_knows_every_class_of_coco() -> None:
    """Each of the 80 classes has a label of its own, with a category."""
    kinds = [taxonomy().of_class(name) for name in COCO80]
    assert len({kind.name for kind in kinds}) == 80
    assert all(kind.name in taxonomy().names for kind in kinds)
    assert all(len(kind.categories) == 1 for kind in kinds)


def test_categories_are_those_of_aws() -> None:
    """No label has a category that AWS does not have."""
    labels = [taxonomy().label(name) for name in taxonomy().names]
    assert {category for label in labels for category in label.categories} <= CATEGORIES


def test_names_and_aliases_are_apart() -> None:
    """No alias is also a label, and none means two labels."""
    aliases = [alias for name in taxonomy().names for alias in taxonomy().label(name).aliases]
    assert len(aliases) == len(set(aliases))
    assert not taxonomy().names & set(aliases)


@pytest.mark.parametrize(
    ("class_name", "expected"),
    [
        (
            "person",
            LabelKind(name="Person", aliases=("Human",), categories=("Person Description",)),
        ),
        (
            "face",
            LabelKind(name="Face", parents=("Head", "Person"), categories=("Person Description",)),
        ),
        (
            "dog",
            LabelKind(
                name="Dog",
                parents=("Animal", "Canine", "Mammal", "Pet"),
                categories=("Animals and Pets",),
            ),
        ),
        (
            "car",
            LabelKind(
                name="Car",
                parents=("Transportation", "Vehicle"),
                aliases=("Automobile",),
                categories=("Vehicles and Automotive",),
            ),
        ),
        (
            "cell phone",
            LabelKind(
                name="Mobile Phone",
                parents=("Electronics", "Phone"),
                aliases=("Cell Phone",),
                categories=("Technology and Computing",),
            ),
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_usual_objects(class_name: str, expected: LabelKind) -> None:
    """Name, all ancestors by name, aliases and category, as AWS answers them."""
    assert taxonomy().of_class(class_name) == expected


@pytest.mark.parametrize(
    ("class_name", "label"),
    [
        ("garden_gnome", "Garden Gnome"),
        ("TV stand", "TV Stand"),
        ("  wheel barrow ", "Wheel Barrow"),
    ],
)
def test_unknown_classes(class_name: str, label: str) -> None:
    """A class that is not known is a label of its name; nothing is made up above it."""
    assert taxonomy().of_class(class_name) == LabelKind(name=label)
