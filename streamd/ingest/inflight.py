"""Which packet a decoded frame came from, and which fragments can bring no more frames.

A decoder gives frames in the order they are shown, packets go in in the order they are decoded;
with B-frames the last frames of a fragment surface while the next one is read. Pure.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from streamd.kvs.fragments import FragmentInfo, Packet

__all__ = ["InFlight", "PacketPlace"]

MAX_IN_FLIGHT: Final = 64
"""Packets remembered; decoders hold back 16 frames at most (H.264 and H.265, DPB size)."""


@dataclass(slots=True)
class _Open:
    fragment: FragmentInfo
    order: int
    waiting: int = 0  # packets whose frame may still come
    ended: bool = False


@dataclass(slots=True)
class PacketPlace:
    """Where a packet lies."""

    fragment: FragmentInfo
    offset_ns: int
    keyframe: bool
    opened: _Open
    waiting: bool = True


class InFlight:
    """Packets given to a decoder, by a number that travels through it as the frame's pts."""

    def __init__(self) -> None:
        self._next = 0
        self._places: dict[int, PacketPlace] = {}
        self._open: list[_Open] = []
        self._opened = 0
        self._completed: list[FragmentInfo] = []

    def add(self, packet: Packet) -> int:
        """Note a packet that goes into the decoder; return its number."""
        current = self.begin(packet.fragment)
        current.waiting += 1
        number, self._next = self._next, self._next + 1
        self._places[number] = PacketPlace(
            packet.fragment, packet.offset_ns, packet.keyframe, current
        )
        if len(self._places) > MAX_IN_FLIGHT:
            oldest = next(iter(self._places))
            self._settle(self._places.pop(oldest))
        return number

    def begin(self, fragment: FragmentInfo) -> _Open:
        """Note that packets of this fragment come; one that did not end is given up."""
        if self._open and self._open[-1].fragment is fragment:
            return self._open[-1]
        self._open = [each for each in self._open if each.ended]
        self._opened += 1
        self._open.append(_Open(fragment, self._opened))
        return self._open[-1]

    def end(self, fragment: FragmentInfo) -> None:
        """Note that the fragment has no more packets."""
        self.begin(fragment).ended = True
        self._collect()

    def take(self, number: int | None) -> PacketPlace | None:
        """Return the place of the packet a frame came from.

        Args:
            number: The frame's pts. Where a decoder lost it, the oldest packet is taken.
        """
        if number is None or number not in self._places:
            number = next(iter(self._places), None) if number is None else None
        if number is None:
            return None
        place = self._places.pop(number)
        self._settle(place)
        # Frames come in the order they are shown: whatever is shown before this one and has
        # not come will not come (dropped by the decoder, or damaged).
        shown = (place.opened.order, place.offset_ns)
        for each in self._places.values():
            if (each.opened.order, each.offset_ns) < shown:
                self._settle(each)
        self._collect()
        return place

    def drop(self, number: int) -> None:
        """Note that a packet could not be decoded."""
        place = self._places.pop(number, None)
        if place is not None:
            self._settle(place)
            self._collect()

    def settle(self) -> None:
        """Note that the decoder is empty; more packets may come of a fragment that did not end."""
        for place in self._places.values():
            self._settle(place)
        self._places.clear()
        self._collect()

    def clear(self) -> None:
        """Note that the decoder is empty; a fragment that did not end will not complete."""
        self.settle()
        self._open.clear()

    def completed(self) -> list[FragmentInfo]:
        """Return, once, the ended fragments that can bring no more frames, in order."""
        done, self._completed = self._completed, []
        return done

    def _settle(self, place: PacketPlace) -> None:
        if place.waiting:
            place.waiting = False
            place.opened.waiting -= 1

    def _collect(self) -> None:
        while self._open and self._open[0].ended and self._open[0].waiting <= 0:
            self._completed.append(self._open.pop(0).fragment)
