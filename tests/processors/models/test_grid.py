"""Grids of one-stage detectors."""

from processors.models.grid import grid_points


def test_places_go_row_by_row_and_grid_by_grid() -> None:
    """Places are listed row by row, one grid after the other."""
    places, strides = grid_points(16, 8, (8, 16))
    assert places.tolist() == [[0, 0], [1, 0], [0, 0]]
    assert strides.tolist() == [8, 8, 16]


def test_size_that_no_stride_divides_is_rounded_up() -> None:
    """416 px hold 7 places of 64 px, as NanoDet-Plus has them."""
    places, _ = grid_points(416, 416, (8, 16, 32, 64))
    assert len(places) == 3598
    assert len(grid_points(416, 416, (8, 16, 32))[0]) == 3549
