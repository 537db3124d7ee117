"""COCO's class names."""

from processors.labels.coco import COCO80


def test_classes_stand_where_detectors_put_them() -> None:
    """There are 80 classes; the ones labels are made of have their known places."""
    assert len(COCO80) == len(set(COCO80)) == 80
    assert (COCO80[0], COCO80[15], COCO80[16], COCO80[28], COCO80[79]) == (
        "person",
        "cat",
        "dog",
        "suitcase",
        "toothbrush",
    )
