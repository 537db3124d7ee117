"""Detections are paired by time, label and place, each once."""

from __future__ import annotations

from tests.bench.detections import Agreement, Detection, compare, repeated

LEFT, RIGHT = (0.1, 0.1, 0.3, 0.5), (0.6, 0.1, 0.8, 0.5)


def _at(time_ms: int, edges: tuple[float, float, float, float] = LEFT) -> Detection:
    return Detection(time_ms=time_ms, label="PERSON", edges=edges)


def test_same_detections_agree_fully() -> None:
    """The same boxes at nearly the same times are the same detections."""
    found = compare([_at(0), _at(200, RIGHT)], [_at(33), _at(190, RIGHT)], tolerance_ms=100)
    assert found == Agreement(same=2, lost=0, extra=0)
    assert found.percent == 100.0


def test_time_place_and_label_tell_detections_apart() -> None:
    """Another time, another place or another label is lost here and extra there."""
    pet = Detection(time_ms=0, label="PET", edges=LEFT)
    for other in (_at(150), _at(0, RIGHT), pet):
        assert compare([_at(0)], [other], tolerance_ms=100) == Agreement(same=0, lost=1, extra=1)


def test_a_detection_is_the_partner_of_one() -> None:
    """Two boxes on one object are one detection and one too many."""
    found = compare([_at(0)], [_at(0), _at(0, (0.1, 0.1, 0.3, 0.48))], tolerance_ms=100)
    assert found == Agreement(same=1, lost=0, extra=1)
    assert found.percent == 50.0


def test_nothing_found_where_nothing_is_agrees() -> None:
    """An empty scene without detections is a full agreement."""
    assert compare([], [], tolerance_ms=100).percent == 100.0


def test_a_clip_shown_again_holds_its_detections_again() -> None:
    """Times go on through every showing, up to the end that was asked for."""
    shown = repeated([_at(0), _at(700)], clip_ms=1000, until_ms=1500)
    assert [each.time_ms for each in shown] == [0, 700, 1000]
