"""From a picture to a tensor, and boxes back."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from processors.errors import PackFormatError
from processors.geometry import WHOLE_PICTURE, Box
from processors.models.image_input import FITS, ImageInput
from processors.picture import ArrayPicture
from tests.processors.models.fakes import blank_picture


def test_channels_are_ordered_and_normalised() -> None:
    """BGR puts blue first; each channel loses its mean and is scaled."""
    pixels = np.zeros((4, 4, 3), dtype=np.uint8)
    pixels[:] = (10, 20, 30)
    wanted = ImageInput(width_px=4, height_px=4, colour="bgr", mean=(1, 2, 3), scale=(0.5, 1, 2))
    tensor, _ = wanted.tensor(ArrayPicture(pixels), WHOLE_PICTURE)
    assert tensor.dtype == np.float32
    assert tensor.shape == (1, 3, 4, 4)
    assert tensor[0, :, 2, 2].tolist() == [14.5, 18.0, 14.0]


def test_top_left_keeps_the_aspect() -> None:
    """A wide picture lies at the top, the rest is filled with the normalised fill value."""
    wanted = ImageInput(width_px=8, height_px=8, fit="top-left", fill=114, scale=(0.5, 0.5, 0.5))
    tensor, place = wanted.tensor(blank_picture(16, 8, value=200), WHOLE_PICTURE)
    assert (place.left_px, place.top_px, place.width_px, place.height_px) == (0, 0, 8, 4)
    assert (tensor[0, 0, :4] == 100).all()
    assert (tensor[0, 0, 4:] == 57).all()


def test_centre_pads_both_sides() -> None:
    """A tall picture lies in the middle."""
    wanted = ImageInput(width_px=8, height_px=8, fit="centre")
    tensor, place = wanted.tensor(blank_picture(8, 16, value=200), WHOLE_PICTURE)
    assert (place.left_px, place.top_px, place.width_px, place.height_px) == (2, 0, 4, 8)
    assert tensor[0, 0, 0].tolist() == [114, 114, 200, 200, 200, 200, 114, 114]


def test_only_the_region_is_shown() -> None:
    """The network sees the region and nothing beside it."""
    pixels = np.zeros((10, 10, 3), dtype=np.uint8)
    pixels[:, 5:] = 255
    right_half = Box(left=0.5, top=0.0, width=0.5, height=1.0)
    tensor, _ = ImageInput(width_px=4, height_px=4).tensor(ArrayPicture(pixels), right_half)
    assert (tensor == 255).all()


def test_boxes_are_cut_to_the_region() -> None:
    """A box that runs out of the region ends at its edge; NaN stays NaN."""
    region = Box(left=0.5, top=0.0, width=0.5, height=0.5)
    _, place = ImageInput(width_px=10, height_px=10).tensor(blank_picture(100, 100), region)
    edges = place.to_picture(np.array([[-5, 2, 5, 30], [np.nan, 0, 1, 1]], dtype=np.float32))
    assert edges[0].tolist() == pytest.approx([0.5, 0.1, 0.75, 0.5])
    assert np.isnan(edges[1, 0])


@given(
    st.integers(1, 300),
    st.integers(1, 300),
    st.sampled_from(FITS),
    st.floats(0, 0.6),
    st.floats(0, 0.6),
)
def test_the_whole_input_maps_to_the_region(
    width: int, height: int, fit: str, left: float, top: float
) -> None:
    """Where the picture lies in the input maps back onto the region it was cut from."""
    region = Box(left=left, top=top, width=0.4, height=0.4)
    wanted = ImageInput(width_px=32, height_px=16, fit=fit)
    tensor, place = wanted.tensor(blank_picture(width, height), region)
    assert tensor.shape == (1, 3, 16, 32)
    right, bottom = place.left_px + place.width_px, place.top_px + place.height_px
    assert 0 < place.width_px <= 32
    assert 0 < place.height_px <= 16
    edges = place.to_picture(
        np.array([[place.left_px, place.top_px, right, bottom]], dtype=np.float32)
    )
    assert edges[0].tolist() == pytest.approx(
        [place.part.left, place.part.top, place.part.right, place.part.bottom]
    )
    # The part is the region in whole pixels.
    assert place.part.left == pytest.approx(left, abs=1 / width)
    assert place.part.bottom == pytest.approx(top + 0.4, abs=1 / height)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"width_px": 0}, "size of 1 to 4096, got 0x4"),
        ({"height_px": 100_000}, "got 4x100000"),
        ({"colour": "grey"}, "colour must be one of"),
        ({"fit": "tile"}, "fit must be one of"),
        ({"mean": (1.0, 2.0)}, "three numbers each"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_wrong_input_is_refused(changes: dict[str, object], message: str) -> None:
    """An input no network could want is refused with what is wrong."""
    with pytest.raises(PackFormatError, match=message):
        ImageInput(**({"width_px": 4, "height_px": 4} | changes))  # type: ignore[arg-type]  # wrong on purpose


def test_region_outside_the_picture_is_an_error() -> None:
    """Nothing to show is a ValueError, as for pictures themselves."""
    with pytest.raises(ValueError, match="outside the picture"):
        ImageInput(width_px=4, height_px=4).tensor(
            blank_picture(), Box(left=2, top=0, width=1, height=1)
        )
