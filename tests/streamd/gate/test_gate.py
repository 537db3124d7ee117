"""The gate's judgement, told of packets and shown pictures by hand."""

from __future__ import annotations

import numpy as np
import pytest

from processors.roi import Regions
from streamd.gate.calibration import GateProfile
from streamd.gate.complexity import Curve
from streamd.gate.gate import MOST_MISSES, RETRY_NS, Gate
from streamd.gate.heads import PictureHead, SliceKind
from streamd.gate.scene import COLUMNS, HEIGHT_PX, ROWS, WIDTH_PX, Luma
from streamd.gate.states import Event, State, Wake

NS = 1_000_000_000
CODEC = ("V_MPEG4/ISO/AVC", b"avcC")
P = PictureHead(kind=SliceKind.P, qp=30, is_entry=False, is_disposable=False)
USUAL, DEAR = 1024, 4096


def profile() -> GateProfile:
    return GateProfile(
        codec=CODEC,
        regions=(),
        curves=((("P", False), Curve(((30.0, 10.0),))),),
        limits=(0.2, 0.2, 0.2),
        highest=0.5,
        noise=np.zeros((ROWS, COLUMNS), np.float32),
    )


def empty() -> Luma:
    return np.full((HEIGHT_PX, WIDTH_PX), 90, np.uint8)


def with_somebody() -> Luma:
    luma = empty()
    luma[30:60, 70:90] = 20
    return luma


@pytest.fixture
def gate() -> Gate:
    """LIVE, with a profile, at 0 s."""
    made = Gate(Regions())
    made.jump(0)
    made.begin(CODEC, profile())
    assert made.state is State.LIVE
    return made


def pass_time(gate: Gate, begin: float, end: float, *, size: int = USUAL) -> bool:
    """Ten packets a second; returns whether one was dear."""
    was_dear = False
    for index in range(round(begin * 10), round(end * 10)):
        gate.advance(index * NS // 10)
        was_dear = gate.packet(P, size) or was_dear
    gate.advance(round(end * NS))
    return was_dear


def test_quiet_after_the_hangover(gate: Gate) -> None:
    """Three seconds without motion or a find, then the next keyframe may be the last."""
    assert not pass_time(gate, 0, 2.9)
    assert not gate.may_be_quiet()
    gate.advance(3 * NS)
    assert gate.may_be_quiet()
    gate.fall_quiet(empty())
    assert gate.state is State.QUIET
    assert not gate.differs(empty())
    assert gate.differs(with_somebody())


def test_motion_and_finds_keep_it_live(gate: Gate) -> None:
    """Each begins the hangover anew."""
    pass_time(gate, 0, 4)
    gate.look(3 * NS, empty(), is_keyframe=False)
    assert gate.look(4 * NS, with_somebody(), is_keyframe=False)
    assert not gate.may_be_quiet()
    pass_time(gate, 4, 7)
    assert gate.may_be_quiet()
    gate.found(6 * NS)
    assert not gate.may_be_quiet()


def test_false_alarm_is_short_and_learnt(gate: Gate) -> None:
    """Dear packets without motion: quiet again after a second, and not woken by the same again."""
    pass_time(gate, 0, 4)
    assert gate.may_be_quiet()
    gate.fall_quiet(empty())
    somewhat = round(USUAL * 2**0.3)
    assert pass_time(gate, 4, 8, size=somewhat)
    gate.wake(Wake.PACKETS)
    pass_time(gate, 8, 14)
    assert gate.may_be_quiet()
    gate.fall_quiet(empty())
    assert not pass_time(gate, 14, 20, size=somewhat)
    assert pass_time(gate, 20, 24, size=DEAR)


def test_alarms_that_cannot_be_learnt_begin_anew(gate: Gate) -> None:
    """A scene that costs four times as much for good is another scene."""
    pass_time(gate, 0, 4)
    assert pass_time(gate, 4, 8, size=DEAR)
    pass_time(gate, 8, 14)
    assert not gate.may_be_quiet()
    assert gate.state is State.CALIBRATING
    assert gate.profile is None


def test_motion_is_no_false_alarm(gate: Gate) -> None:
    """What cost more because it moved raises no limit."""
    pass_time(gate, 0, 4)
    gate.look(3 * NS, empty(), is_keyframe=False)
    assert pass_time(gate, 4, 8, size=DEAR)
    gate.look(8 * NS, with_somebody(), is_keyframe=False)
    before = gate.profile
    pass_time(gate, 8, 14)
    assert gate.may_be_quiet()
    assert gate.profile is before


def test_missed_motion_is_learnt_from_and_in_the_end_given_up(gate: Gate) -> None:
    """An audit that shows motion recalibrates; the third one opens the gate."""
    for miss in range(MOST_MISSES):
        gate.begin(CODEC, profile())
        gate.advance((miss * 10 + 5) * NS)
        assert gate.may_be_quiet()
        gate.fall_quiet(empty())
        gate.audited(moved=True)
        gate.wake(Wake.AUDIT)
        is_last = miss == MOST_MISSES - 1
        assert gate.state is (State.OPEN if is_last else State.CALIBRATING)
    assert (gate.stats.audits, gate.stats.missed_motion) == (MOST_MISSES, MOST_MISSES)


def audits(gate: Gate, groups: int) -> list[int]:
    """The quiet groups that are audited; nothing is found in them."""
    due = []
    for group in range(1, groups + 1):
        if gate.is_audit_due():
            gate.audited(moved=False)
            due.append(group)
    return due


def test_audits_come_soon_and_then_ever_rarer(gate: Gate) -> None:
    """The fourth quiet group, sixteen later the next, and in the end one in 128."""
    assert audits(gate, 500) == [4, 20, 84, 212, 340, 468]


def test_missed_motion_makes_audits_frequent_again(gate: Gate) -> None:
    """As in the beginning: what let motion through once is not trusted for long."""
    audits(gate, 300)
    gate.audited(moved=True)
    assert audits(gate, 30) == [4, 20]


def test_a_find_is_motion_enough(gate: Gate) -> None:
    """While somebody is seen pictures need not be looked at, and packets were dear for cause."""
    pass_time(gate, 0, 4)
    assert pass_time(gate, 4, 8, size=DEAR)
    before = gate.profile
    gate.found(8 * NS)
    assert not gate.is_due(round(9.4 * NS))
    assert gate.is_due(round(9.6 * NS))
    pass_time(gate, 8, 14)
    assert gate.may_be_quiet()
    assert gate.profile is before


def test_open_gate_tries_again(gate: Gate) -> None:
    """Five minutes later, of the stream's own time."""
    gate.open(Event.UNREADABLE)
    assert not gate.wants_heads
    assert not gate.is_due(0)
    gate.advance(RETRY_NS)
    assert gate.state.value == "open"
    gate.advance(RETRY_NS + 1)
    assert gate.state.value == "calibrating"


def test_calibration_ends_in_time() -> None:
    """A stream that never has a keyframe again is decoded in full after a minute."""
    gate = Gate(Regions())
    gate.jump(0)
    gate.begin(CODEC, None)
    pass_time(gate, 0, 60)
    assert gate.state.value == "calibrating"
    pass_time(gate, 60, 60.2)
    assert gate.state.value == "open"


def test_looks_are_a_fifth_of_a_second_apart(gate: Gate) -> None:
    """And begin anew where time goes back."""
    assert gate.is_due(5 * NS)
    gate.look(5 * NS, empty(), is_keyframe=False)
    assert not gate.is_due(5 * NS + 100_000_000)
    assert gate.is_due(5 * NS + 200_000_000)
    assert gate.is_due(9 * NS // 2)
