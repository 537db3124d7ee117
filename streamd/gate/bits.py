"""Bits of an RBSP: fixed-length and Exp-Golomb codes (H.264 and H.265, 7.2 and 9). Pure."""

from __future__ import annotations

from typing import Final

from streamd.gate.errors import HeadError

__all__ = ["BitReader"]

_ESCAPE: Final = b"\x00\x00\x03"
_MOST_ZEROS: Final = 32
"""No code of the standards has more: ue(v) and se(v) are below 2 to the 32nd."""


class BitReader:
    """Reads from the front of a NAL unit's payload.

    The payload is one integer from which bits are shifted out: in Python that costs less than
    going over bytes, and the heads read here are short.
    """

    __slots__ = ("_left", "_value")

    def __init__(self, payload: bytes) -> None:
        # "emulation_prevention_three_byte": discarded by the decoding process (7.3.1).
        data = payload.replace(_ESCAPE, _ESCAPE[:2]) if _ESCAPE in payload else payload
        self._value = int.from_bytes(data)
        self._left = 8 * len(data)

    def u(self, bits: int) -> int:
        """Read an unsigned number of so many bits, most significant first.

        Raises:
            HeadError: If the payload has ended, here as in the methods below.

        """
        self._left -= bits
        if self._left < 0:
            raise HeadError("the head of a NAL unit ends too early")
        return (self._value >> self._left) & ((1 << bits) - 1)

    def ue(self, most: int = 0xFFFFFFFF) -> int:
        """Read an unsigned Exp-Golomb code of at most ``most``."""
        rest = self._value & ((1 << self._left) - 1)
        zeros = self._left - rest.bit_length()
        self._left -= 2 * zeros + 1
        if zeros > _MOST_ZEROS or self._left < 0:
            raise HeadError("no Exp-Golomb code, or one that was cut off")
        number = (rest >> self._left) - 1
        if number > most:
            raise HeadError(f"a number of at most {most} was expected, got {number}")
        return number

    def se(self) -> int:
        """Read a signed Exp-Golomb code."""
        number = self.ue()
        return (number + 1) // 2 if number & 1 else -(number // 2)
