"""From objects to labels with ancestors."""

from hypothesis import given
from hypothesis import strategies as st

from processors.geometry import Box
from processors.labels.coco import COCO80
from processors.labels.general import general_labels
from processors.results import DetectedObject

BOX = Box(left=0.1, top=0.2, width=0.3, height=0.4)


def seen(class_name: str, confidence_percent: float) -> DetectedObject:
    """Return an object somewhere."""
    return DetectedObject(class_name=class_name, confidence_percent=confidence_percent, box=BOX)


def test_ancestors_are_labels_of_their_own() -> None:
    """A dog is five labels, all as sure as the dog, in order of their names."""
    labels = general_labels([seen("dog", 90.0)])
    assert [(label.kind.name, label.confidence_percent) for label in labels] == [
        ("Animal", 90.0),
        ("Canine", 90.0),
        ("Dog", 90.0),
        ("Mammal", 90.0),
        ("Pet", 90.0),
    ]
    assert [len(label.instances) for label in labels] == [0, 0, 1, 0, 0]


def test_instances_are_surest_first() -> None:
    """A label holds all its objects and is as sure as the surest."""
    [label] = general_labels([seen("person", 60.0), seen("person", 80.0)])
    assert label.confidence_percent == 80.0
    assert [each.confidence_percent for each in label.instances] == [80.0, 60.0]


def test_an_ancestor_is_as_sure_as_its_surest_descendant() -> None:
    """A cat at 70 % and a dog at 95 % are a mammal at 95 %."""
    labels = {
        label.kind.name: label for label in general_labels([seen("cat", 70), seen("dog", 95)])
    }
    assert labels["Mammal"].confidence_percent == 95
    assert labels["Cat"].confidence_percent == 70
    assert labels["Canine"].confidence_percent == 95


def test_a_face_tells_of_a_person_without_a_box() -> None:
    """The box is the face's: how far head and body reach is not known."""
    labels = {label.kind.name: label for label in general_labels([seen("face", 99.0)])}
    assert set(labels) == {"Face", "Head", "Person"}
    assert [len(labels[name].instances) for name in ("Face", "Head", "Person")] == [1, 0, 0]


def test_classes_of_one_label_are_put_together() -> None:
    """Networks' two words for one thing are one label."""
    [label] = [
        each for each in general_labels([seen("sofa", 60), seen("couch", 70)]) if each.instances
    ]
    assert (label.kind.name, len(label.instances)) == ("Couch", 2)


def test_nothing_is_nothing() -> None:
    """Without objects there are no labels."""
    assert general_labels([]) == []


@given(
    st.lists(
        st.builds(seen, st.sampled_from(COCO80), st.floats(0, 100)),
        max_size=20,
    )
)
def test_labels_are_whole_and_in_order(objects: list[DetectedObject]) -> None:
    """No object is lost, no label is twice there, every parent is there and at least as sure."""
    labels = general_labels(objects)
    by_name = {label.kind.name: label for label in labels}
    assert len(by_name) == len(labels)
    assert sum(len(label.instances) for label in labels) == len(objects)
    keys = [(-label.confidence_percent, label.kind.name) for label in labels]
    assert keys == sorted(keys)
    for label in labels:
        for parent in label.kind.parents:
            assert by_name[parent].confidence_percent >= label.confidence_percent
