"""Properties of pictures whose areas are known."""

import numpy as np
import pytest

from processors.geometry import WHOLE_PICTURE, Box
from processors.images.properties import LONG_SIDE_PX, picture_properties
from processors.picture import ArrayPicture

RED_BOX = Box(left=0.25, top=0.25, width=0.5, height=0.5)


def red_on_white() -> ArrayPicture:
    """Return a white picture with a red square in its middle, a quarter of it."""
    pixels = np.full((100, 200, 3), 255, dtype=np.uint8)
    pixels[25:75, 50:150] = (255, 0, 0)
    return ArrayPicture(pixels)


def test_areas() -> None:
    """What is inside the boxes is the foreground, the rest is the background."""
    found = picture_properties(red_on_white(), foreground=[RED_BOX])
    white, red = found.colours
    assert (white.css_name, red.css_name) == ("white", "red")
    assert (white.share_percent, red.share_percent) == pytest.approx((75, 25), abs=1)
    assert found.foreground is not None
    assert found.background is not None
    assert [each.css_name for each in found.foreground.colours] == ["red"]
    assert [each.css_name for each in found.background.colours] == ["white"]
    assert found.foreground.brightness == pytest.approx(29.9, abs=0.01)
    assert found.background.brightness == pytest.approx(100.0, abs=0.01)
    assert found.brightness == pytest.approx(0.25 * 29.9 + 0.75 * 100, abs=0.01)


@pytest.mark.parametrize("boxes", [[], [WHOLE_PICTURE], [Box(left=2, top=2, width=1, height=1)]])
def test_no_areas(boxes: list[Box]) -> None:
    """Without objects, or where they fill the picture, nothing is in front of anything."""
    found = picture_properties(red_on_white(), foreground=boxes)
    assert (found.foreground, found.background) == (None, None)


def test_colours_of_objects() -> None:
    """Each box has its own colours; one outside the picture has none."""
    corner = Box(left=-0.1, top=-0.1, width=0.2, height=0.2)
    outside = Box(left=1.5, top=0, width=1, height=1)
    found = picture_properties(red_on_white(), objects=[RED_BOX, corner, outside])
    assert [[each.css_name for each in colours] for colours in found.object_colours] == [
        ["red"],
        ["white"],
        [],
    ]


def test_at_most_so_many_colours() -> None:
    """The limit holds for every area."""
    found = picture_properties(
        red_on_white(), foreground=[RED_BOX], objects=[WHOLE_PICTURE], max_colours=1
    )
    assert [each.css_name for each in found.colours] == ["white"]
    assert [len(colours) for colours in found.object_colours] == [1]
    none = picture_properties(red_on_white(), foreground=[RED_BOX], max_colours=0)
    assert none.colours == []


def test_large_pictures_are_scaled_down() -> None:
    """The same picture four times as large has the same properties, but for the edges."""
    small = np.random.default_rng(1).integers(0, 256, (64, LONG_SIDE_PX, 3), dtype=np.uint8)
    large = np.repeat(np.repeat(small, 4, axis=0), 4, axis=1)
    one, other = picture_properties(ArrayPicture(small)), picture_properties(ArrayPicture(large))
    assert (one.brightness, one.sharpness, one.contrast) == pytest.approx(
        (other.brightness, other.sharpness, other.contrast), abs=0.1
    )
