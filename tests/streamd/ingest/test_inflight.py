"""From frames back to packets, and when a fragment is complete."""

from __future__ import annotations

from streamd.ingest.inflight import MAX_IN_FLIGHT, InFlight
from streamd.kvs.fragments import FragmentInfo, Packet


def fragment(number: str) -> FragmentInfo:
    """A fragment that has a number and nothing else."""
    return FragmentInfo(
        number=number,
        server_timestamp_ms=0,
        producer_timestamp_ms=0,
        video=None,
        timecode_scale_ns=1,
        cluster_timecode=0,
    )


def packet(of: FragmentInfo, offset_ns: int) -> Packet:
    """A packet of a fragment."""
    return Packet(fragment=of, offset_ns=offset_ns, keyframe=offset_ns == 0, data=b"x")


def numbers(flight: InFlight) -> list[str]:
    """Numbers of the fragments that completed since the last call."""
    return [each.number for each in flight.completed()]


def test_fragment_completes_with_its_last_frame() -> None:
    """A fragment completes when it has ended and every packet gave its frame."""
    flight, one = InFlight(), fragment("1")
    ids = [flight.add(packet(one, at)) for at in (0, 40)]
    places = [flight.take(number) for number in ids]
    assert [place.offset_ns for place in places if place] == [0, 40]
    assert numbers(flight) == []
    flight.end(one)
    assert numbers(flight) == ["1"]
    assert numbers(flight) == []


def test_frames_that_surface_late() -> None:
    """With B-frames a fragment completes while packets of the next go in."""
    flight, one, two = InFlight(), fragment("1"), fragment("2")
    first, last, between = (flight.add(packet(one, at)) for at in (0, 80, 40))
    flight.take(first)
    flight.end(one)
    key = flight.add(packet(two, 0))
    flight.take(between)
    assert numbers(flight) == []
    flight.take(last)
    assert numbers(flight) == ["1"]
    flight.end(two)
    flight.take(key)
    assert numbers(flight) == ["2"]


def test_packets_without_a_frame_are_passed() -> None:
    """A frame shown later says that missing ones before it will not come."""
    flight, one, two = InFlight(), fragment("1"), fragment("2")
    for at in (0, 40):
        flight.add(packet(one, at))
    flight.end(one)
    flight.take(flight.add(packet(two, 0)))
    assert numbers(flight) == ["1"]


def test_refused_packets_do_not_hold_a_fragment() -> None:
    """A packet that was refused brings no frame."""
    flight, one = InFlight(), fragment("1")
    flight.drop(flight.add(packet(one, 0)))
    flight.end(one)
    assert numbers(flight) == ["1"]


def test_fragment_without_packets_completes() -> None:
    """A fragment whose video is missing completes at its end, in order."""
    flight, one, two = InFlight(), fragment("1"), fragment("2")
    held = flight.add(packet(one, 0))
    flight.end(one)
    flight.end(two)
    assert numbers(flight) == []
    flight.take(held)
    assert numbers(flight) == ["1", "2"]


def test_cut_off_fragment_never_completes() -> None:
    """A fragment that did not end is given up, by the next one or by clear()."""
    flight, one, two = InFlight(), fragment("1"), fragment("2")
    flight.add(packet(one, 0))
    flight.end(two)
    assert numbers(flight) == ["2"]
    flight.add(packet(one, 0))
    flight.clear()
    assert numbers(flight) == []


def test_clear_completes_what_ended() -> None:
    """When the decoder is empty, ended fragments are complete."""
    flight, one = InFlight(), fragment("1")
    flight.add(packet(one, 0))
    flight.end(one)
    flight.clear()
    assert numbers(flight) == ["1"]


def test_missing_pts_takes_the_oldest() -> None:
    """A frame whose pts got lost is taken for the oldest packet; an unknown pts for none."""
    flight, one = InFlight(), fragment("1")
    flight.add(packet(one, 7))
    assert flight.take(99) is None
    place = flight.take(None)
    assert place is not None
    assert place.offset_ns == 7
    assert flight.take(None) is None


def test_memory_is_bounded() -> None:
    """Packets that never bring a frame are forgotten."""
    flight, one = InFlight(), fragment("1")
    first = flight.add(packet(one, 0))
    for at in range(MAX_IN_FLIGHT):
        flight.add(packet(one, at))
    assert flight.take(first) is None
