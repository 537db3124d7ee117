"""Annotated pictures and crops."""

import io
import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from processors.draw import (
    LABEL_COLORS,
    NAME_COLORS,
    Annotation,
    annotate,
    color_of,
    crop_jpeg,
    encode_jpeg,
)
from processors.geometry import Box, Point, Polygon
from processors.results import Landmarks

MIDDLE = Box(left=0.25, top=0.25, width=0.5, height=0.5)
ratios = st.floats(min_value=-3, max_value=3)


def grey(width_px: int = 160, height_px: int = 120, value: int = 100) -> NDArray[np.uint8]:
    """Return a picture of one grey."""
    return np.full((height_px, width_px, 3), value, dtype=np.uint8)


def has_color(rgb: NDArray[np.uint8], color: tuple[int, int, int]) -> bool:
    """Tell whether a colour occurs."""
    return bool((rgb == color).all(axis=2).any())


def changed(rgb: NDArray[np.uint8], value: int = 100) -> NDArray[np.bool_]:
    """Return where something was drawn."""
    return np.asarray((rgb != value).any(axis=2))


def landmarks_at(x: float, y: float) -> Landmarks:
    """Return landmarks in one place."""
    point = Point(x=x, y=y)
    return Landmarks(
        eye_left=point, eye_right=point, nose=point, mouth_left=point, mouth_right=point
    )


def test_box_is_drawn_around_the_object() -> None:
    """The outline lies on the box; the middle of the object and the far corner stay as they were."""
    drawn = annotate(grey(), [Annotation(box=MIDDLE, color=(255, 0, 0))])
    assert drawn[60, 40].tolist() == [255, 0, 0]
    assert drawn[60, 120].tolist() == [255, 0, 0]
    assert not changed(drawn)[50:70, 50:110].any()
    assert not changed(drawn)[:20].any()


def test_picture_given_is_not_drawn_on() -> None:
    """The drawing is a copy."""
    picture = grey()
    annotate(picture, [Annotation(box=MIDDLE, text="PERSON 97 %")], regions=[MIDDLE])
    assert not changed(picture).any()


def test_name_stands_above_the_box() -> None:
    """The tag with the name touches the box from above and carries dark or light text."""
    drawn = annotate(grey(640, 360), [Annotation(box=MIDDLE, text="alice 97 %")])
    tag = drawn[70:88, 160:230]
    assert has_color(tag, color_of("alice"))
    assert has_color(tag, (15, 17, 21))
    assert not changed(drawn)[:60].any()


def test_name_at_the_upper_border_moves_below() -> None:
    """Where there is no room above, the tag goes below the box."""
    box = Box(left=0.25, top=0.0, width=0.5, height=0.5)
    drawn = annotate(grey(640, 360), [Annotation(box=box, text="alice", color=(0, 255, 0))])
    assert drawn[184 : 184 + 10, 170:200].tolist() != grey(30, 10).tolist()
    assert not changed(drawn)[10:170, 170:470].any()


def test_names_do_not_hide_each_other() -> None:
    """Two finds in one place have their tags in different places."""
    one = Annotation(box=MIDDLE, text="alice", color=(255, 0, 0))
    other = Annotation(box=MIDDLE, text="bob", color=(0, 255, 0))
    drawn = annotate(grey(640, 360), [one, other])
    red = (drawn == (255, 0, 0)).all(axis=2).sum()
    green = (drawn == (0, 255, 0)).all(axis=2).sum()
    assert red > 300
    assert green > 300


def test_names_grow_with_the_picture() -> None:
    """A tag on a 1920 px frame is about three times as high as on a 640 px one."""
    heights = [
        changed(
            annotate(grey(width, height), [Annotation(box=MIDDLE, text="PERSON 97 %")])[
                : int(height * 0.245)
            ]
        )
        .any(axis=1)
        .sum()
        for width, height in ((640, 360), (1920, 1080))
    ]
    assert heights[0] >= 12
    assert 2 <= heights[1] / heights[0] <= 3.5


def test_region_is_translucent_with_a_solid_edge() -> None:
    """Inside a region the picture shines through; outside it nothing changes."""
    drawn = annotate(grey(value=0), [], regions=[MIDDLE])
    inside, edge, outside = drawn[60, 80], drawn[60, 40], drawn[5, 5]
    assert 0 < int(inside.max()) < 60
    assert int(edge.max()) > 180
    assert outside.tolist() == [0, 0, 0]


def test_middle_of_a_crossed_polygon_is_not_shaded() -> None:
    """What is drawn follows the rule that counts: even-odd."""
    bow_tie = Polygon(
        points=tuple(Point(x=x, y=y) for x, y in ((0.1, 0.1), (0.9, 0.9), (0.9, 0.1), (0.1, 0.9)))
    )
    drawn = changed(annotate(grey(), [], regions=[bow_tie]))
    assert drawn[60, 30]
    assert drawn[60, 130]
    assert not drawn[30, 80]
    assert not drawn[90, 80]


def test_landmarks_are_dots() -> None:
    """Landmarks are drawn where they are."""
    drawn = annotate(grey(), [Annotation(box=MIDDLE, landmarks=landmarks_at(0.5, 0.5))])
    assert changed(drawn)[60, 80]
    assert not changed(drawn)[40, 80]


@pytest.mark.parametrize(
    "box",
    [
        pytest.param(Box(left=-0.5, top=-0.5, width=3, height=3), id="larger than the picture"),
        pytest.param(Box(left=0.999, top=0.999, width=0.001, height=0.001), id="in the corner"),
        pytest.param(Box(left=0.5, top=0.5, width=0, height=0), id="without area"),
        pytest.param(Box(left=2, top=2, width=1, height=1), id="outside"),
    ],
)
@pytest.mark.parametrize("size", [(1, 1), (8, 200), (200, 8), (320, 240)])
def test_every_box_can_be_drawn(box: Box, size: tuple[int, int]) -> None:
    """Odd boxes on odd pictures never fail."""
    item = Annotation(box=box, text="somebody with a very long name 99.9 %")
    assert annotate(grey(*size), [item]).shape == (size[1], size[0], 3)


@given(
    st.text(max_size=40),
    ratios,
    ratios,
    st.lists(st.tuples(ratios, ratios), min_size=3, max_size=6),
)
def test_any_text_and_region_can_be_drawn(
    text: str, left: float, top: float, points: list[tuple[float, float]]
) -> None:
    """No text and no polygon makes drawing fail."""
    region = Polygon(points=tuple(Point(x=x, y=y) for x, y in points))
    box = Box(left=left, top=top, width=0.3, height=0.3)
    annotate(grey(64, 48), [Annotation(box=box, text=text)], regions=[region])


def test_far_away_region_is_drawn() -> None:
    """Coordinates beyond what a drawing library can count do no harm."""
    far = Polygon(points=(Point(x=-1e300, y=0), Point(x=1e300, y=0), Point(x=0, y=1e300)))
    assert changed(annotate(grey(), [], regions=[far])).any()


def test_color_goes_with_the_name() -> None:
    """A name keeps its colour whatever its figure; the three labels differ."""
    assert color_of("alice 97 %") == color_of("alice (81.5%)") == color_of("alice")
    assert color_of("PERSON 91 %") == LABEL_COLORS["PERSON"]
    assert len({color_of(label) for label in ("PERSON", "PET", "PACKAGE")}) == 3


def test_colors_can_be_told_apart() -> None:
    """No two colours of the palette are close."""
    palette = [*LABEL_COLORS.values(), *NAME_COLORS]
    for one, other in itertools.combinations(palette, 2):
        assert sum(abs(a - b) for a, b in zip(one, other, strict=True)) >= 40


def test_jpeg_is_the_picture() -> None:
    """The JPEG has the picture's size and, nearly, its colours."""
    with Image.open(io.BytesIO(encode_jpeg(grey(33, 17)))) as image:
        assert (image.format, image.size) == ("JPEG", (33, 17))
        assert abs(np.asarray(image, dtype=int) - 100).max() <= 2


def test_crop_has_a_little_margin() -> None:
    """A crop is the object in its own size with 12 % more on each side."""
    with Image.open(io.BytesIO(crop_jpeg(grey(1000, 500), MIDDLE))) as image:
        assert image.size == (620, 310)
    with Image.open(io.BytesIO(crop_jpeg(grey(1000, 500), MIDDLE, margin=0))) as image:
        assert image.size == (500, 250)


def test_crop_ends_at_the_border() -> None:
    """What lies outside the picture is left out of a crop."""
    box = Box(left=0.8, top=-0.2, width=0.4, height=0.4)
    with Image.open(io.BytesIO(crop_jpeg(grey(100, 100), box, margin=0))) as image:
        assert image.size == (20, 20)


def test_crop_of_nothing_is_an_error() -> None:
    """An object outside the picture cannot be cut out."""
    with pytest.raises(ValueError, match="outside the picture"):
        crop_jpeg(grey(), Box(left=2, top=2, width=1, height=1))
