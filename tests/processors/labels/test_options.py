"""The description of a label pack."""

from pathlib import Path
from typing import Any

import pytest

from processors.errors import PackFormatError
from processors.labels.coco import COCO80
from processors.labels.options import read_options
from processors.models.catalog import Pack, catalog

PERSON = {"classes": ["person"], "threshold": 0.4}


def pack(**options: Any) -> Pack:
    """Return a label pack with these options."""
    return Pack(
        name="mine",
        kind="labels",
        version="1",
        family="yolox",
        title="Mine",
        licence="-",
        options=options,
    )


def test_defaults() -> None:
    """COCO's classes, the family's input, overlap 0.6, sure half way from the threshold to 1."""
    options = read_options(pack(labels={"PERSON": PERSON}))
    rule = options.labels["PERSON"]
    assert options.class_names == COCO80
    assert options.input.size is None
    assert (rule.overlap, rule.overlap_of) == (0.6, "union")
    assert rule.curve.percent(rule.curve.score(90.0)) == pytest.approx(90.0)  # type: ignore[arg-type]  # numpy takes a number too
    assert rule.curve.score(90.0) == pytest.approx(0.7)


def test_class_names_from_a_file(tmp_path: Path) -> None:
    """A classes file holds a name a line, blank lines aside."""
    names = tmp_path / "names.txt"
    names.write_text("person\n parcel \n\n")
    rule = {"classes": ["parcel"], "threshold": 0.5}
    options = read_options(pack(labels={"PACKAGE": rule}), names)
    assert options.class_names == ("person", "parcel")


def test_extra_classes_follow() -> None:
    """Extra classes come after the named ones."""
    options = read_options(
        pack(classes=["person"], extra_classes=["parcel"], labels={"PERSON": PERSON})
    )
    assert options.class_names == ("person", "parcel")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        pytest.param({}, "options.labels: Field required", id="no labels"),
        pytest.param({"labels": {}}, "options.labels: .* at least 1 item", id="empty labels"),
        pytest.param({"labels": {"CAR": PERSON}}, "'PERSON', 'PET' or 'PACKAGE'", id="other label"),
        pytest.param(
            {"labels": {"PERSON": {"classes": ["human"], "threshold": 0.4}}},
            "PERSON: the network has no class human",
            id="unknown class",
        ),
        pytest.param(
            {"labels": {"PERSON": PERSON | {"threshold": 40}}}, "less than 1", id="percent"
        ),
        pytest.param(
            {"labels": {"PERSON": PERSON | {"sure": 0.3}}},
            "threshold < sure < 1, got threshold 0.4, sure 0.3",
            id="falling curve",
        ),
        pytest.param(
            {"labels": {"PERSON": PERSON}, "inputs": {}}, "options.inputs", id="unknown key"
        ),
        pytest.param(
            {"labels": {"PERSON": PERSON}, "input": {"colour": "grey"}},
            "options.input.colour",
            id="unknown colour",
        ),
        pytest.param(
            {"labels": {"PERSON": PERSON}, "classes": 80}, "options.classes", id="a number"
        ),
    ],
)
def test_mistakes_are_named(options: dict[str, Any], message: str) -> None:
    """What is wrong is told with the pack, the key and the rule."""
    with pytest.raises(PackFormatError, match=f"pack 'mine': .*{message}"):
        read_options(pack(**options))


def test_classes_file_that_cannot_be_read(tmp_path: Path) -> None:
    """A binary file is no list of names."""
    names = tmp_path / "names.txt"
    names.write_bytes(b"\xff\xfe\xff")
    with pytest.raises(PackFormatError, match="cannot read the class names"):
        read_options(pack(labels={"PERSON": PERSON}), names)


def test_list_and_file_of_classes_exclude_each_other(tmp_path: Path) -> None:
    """Classes come from one place."""
    names = tmp_path / "names.txt"
    names.write_text("person")
    with pytest.raises(PackFormatError, match="a list and a file of classes"):
        read_options(pack(classes=["person"], labels={"PERSON": PERSON}), names)


@pytest.mark.parametrize(
    "listed",
    [
        pytest.param(each, id=each.name)
        for each in catalog()
        if each.kind == "labels" and each.family != "faces"
    ],
)
def test_catalog_says_which_labels_a_pack_tells(listed: Pack) -> None:
    """The labels a catalog entry promises are those its options describe."""
    assert set(listed.labels) == set(read_options(listed).labels)


def test_every_class_has_a_rule() -> None:
    """Classes of a label have its rule, all others the general one, else that of the first label."""
    classes = ["person", "cat", "chair"]
    pet = {"classes": ["cat"], "threshold": 0.3}
    labels = {"PERSON": PERSON | {"classes": ["person"]}, "PET": pet}
    plain = read_options(pack(classes=classes, labels=labels))
    assert [rule.threshold for rule in plain.class_rules] == [0.4, 0.3, 0.4]
    general = {"threshold": 0.5, "sure": 0.75}
    own = read_options(pack(classes=classes, labels=labels, general=general))
    assert [rule.threshold for rule in own.class_rules] == [0.4, 0.3, 0.5]
