"""Regions of interest of one stream processor, and of all on a stream."""

from __future__ import annotations

from processors.geometry import Box
from processors.roi import Regions
from streamd.pipeline.regions import regions_together

LEFT, RIGHT = (Box(left=x, top=0.0, width=0.5, height=1.0) for x in (0.0, 0.5))


def test_regions_together_are_all_of_them() -> None:
    """Each once, in the same order whoever comes first."""
    both = regions_together([Regions([LEFT]), Regions([RIGHT, LEFT])])
    assert set(both.shapes) == {LEFT, RIGHT}
    assert both.shapes == regions_together([Regions([RIGHT]), Regions([LEFT])]).shapes


def test_one_that_looks_everywhere_is_enough() -> None:
    """Without regions the whole picture matters."""
    assert regions_together([Regions([LEFT]), Regions()]).shapes == ()
    assert regions_together([]).shapes == ()
