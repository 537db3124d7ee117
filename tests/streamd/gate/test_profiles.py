"""What was learnt of a stream is handed on for an hour."""

from __future__ import annotations

import numpy as np

from streamd.gate import profiles
from streamd.gate.calibration import GateProfile
from streamd.gate.profiles import GateProfiles


def profile() -> GateProfile:
    return GateProfile(
        codec=("V_MPEG4/ISO/AVC", b""),
        regions=(),
        curves=(),
        limits=(0.2, 0.2, 0.2),
        highest=0.5,
        noise=np.zeros((30, 40), np.float32),
    )


def test_newest_of_a_stream_within_the_hour() -> None:
    """Others, none and old ones are not given."""
    kept, first, second = GateProfiles(), profile(), profile()
    kept.put("door", first, now=10.0)
    kept.put("door", second, now=20.0)
    kept.put(None, first, now=20.0)
    assert kept.get("door", now=3620.0) is second
    assert kept.get("door", now=3620.1) is None
    assert kept.get("yard", now=20.0) is None
    assert kept.get(None, now=20.0) is None


def test_bounded() -> None:
    """The oldest is forgotten first."""
    kept = GateProfiles()
    for number in range(profiles.MOST + 1):
        kept.put(number, profile(), now=0.0)
    assert kept.get(0, now=0.0) is None
    assert kept.get(1, now=0.0) is not None
