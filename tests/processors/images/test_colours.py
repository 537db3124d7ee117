"""Known pixels have known colours."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import ImageColor

from processors.images.colours import (
    MAX_COLOURS,
    SIMPLIFIED,
    DominantColour,
    css_colours,
    dominant_colours,
)


def flat(*counts: tuple[int, tuple[int, int, int]]) -> np.ndarray:
    """Return so many pixels of each colour."""
    return np.array([rgb for count, rgb in counts for _ in range(count)], dtype=np.uint8)


def test_every_css_colour_once() -> None:
    """All 140 colours that Pillow knows by CSS names are there, in twelve groups."""
    assert {colour.rgb for colour in css_colours()} == {
        ImageColor.getrgb(name) for name in ImageColor.colormap
    }
    assert len({colour.rgb for colour in css_colours()}) == len(css_colours())
    assert {colour.simplified for colour in css_colours()} == set(SIMPLIFIED)
    assert len(SIMPLIFIED) == 12


def test_a_css_colour_is_itself() -> None:
    """Pixels of exactly a CSS colour are all of it."""
    for colour in css_colours():
        [found] = dominant_colours(flat((3, colour.rgb)), limit=10)
        assert (found.css_name, found.simplified) == (colour.name, colour.simplified)


def test_a_colour_in_full() -> None:
    """Spelling and group are those seen in answers of AWS."""
    assert dominant_colours(flat((10, (50, 80, 78))), limit=10) == [
        DominantColour(
            css_name="darkslategrey",
            simplified="grey",
            red=47,
            green=79,
            blue=79,
            share_percent=100.0,
        )
    ]
    assert dominant_colours(flat((1, (47, 79, 79))), limit=1)[0].hex_code == "#2f4f4f"


@pytest.mark.parametrize(
    ("rgb", "simplified"),
    [
        ((250, 5, 5), "red"),
        ((250, 160, 10), "orange"),
        ((250, 250, 20), "yellow"),
        ((20, 130, 20), "green"),
        ((10, 250, 250), "cyan"),
        ((10, 10, 250), "blue"),
        ((128, 10, 128), "purple"),
        ((255, 185, 195), "pink"),
        ((140, 70, 20), "brown"),
        ((8, 8, 8), "black"),
        ((130, 130, 130), "grey"),
        ((250, 250, 250), "white"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_simplified_colours(rgb: tuple[int, int, int], simplified: str) -> None:
    """Each of the twelve is what people call it."""
    assert dominant_colours(flat((1, rgb)), limit=1)[0].simplified == simplified


def test_shares() -> None:
    """Largest share first; equal ones by name; less than 5 % is not dominant."""
    pixels = flat((50, (255, 0, 0)), (23, (0, 0, 255)), (23, (0, 0, 0)), (4, (255, 255, 255)))
    found = dominant_colours(pixels, limit=10)
    assert [(each.css_name, each.share_percent) for each in found] == [
        ("red", 50.0),
        ("black", 23.0),
        ("blue", 23.0),
    ]


@pytest.mark.parametrize(("limit", "names"), [(0, []), (1, ["red"]), (2, ["red", "blue"])])
def test_limit(limit: int, names: list[str]) -> None:
    """Only so many are told, none at 0."""
    pixels = flat((5, (255, 0, 0)), (4, (0, 0, 255)), (3, (0, 0, 0)))
    assert [each.css_name for each in dominant_colours(pixels, limit=limit)] == names


def test_no_pixels() -> None:
    """Nothing has no colour."""
    assert dominant_colours(np.empty((0, 3), dtype=np.uint8), limit=10) == []


def test_many_pixels_are_sampled_evenly() -> None:
    """A picture of vertical stripes, every eighth red, is an eighth red."""
    pixels = np.zeros((512, 512, 3), dtype=np.uint8)
    pixels[:, ::8] = (255, 0, 0)
    black, red = dominant_colours(pixels.reshape(-1, 3), limit=10)
    assert (black.css_name, red.css_name) == ("black", "red")
    assert red.share_percent == pytest.approx(12.5, abs=1)


@given(
    st.lists(st.tuples(*[st.integers(0, 255)] * 3), min_size=1, max_size=60),
    st.integers(1, MAX_COLOURS),
)
def test_any_pixels(pixels: list[tuple[int, int, int]], limit: int) -> None:
    """There is at least one colour, shares fall and never pass 100 % together."""
    found = dominant_colours(np.array(pixels, dtype=np.uint8), limit=limit)
    shares = [each.share_percent for each in found]
    assert 1 <= len(found) <= limit
    assert shares == sorted(shares, reverse=True)
    assert sum(shares) <= 100 + 1e-9
