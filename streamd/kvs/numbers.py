"""Fragment numbers: 47-digit decimal strings that rise in the order fragments are received.

Recorded numbers of the service behave as 2**156 + k * 2**92 + a small part, consecutive ones
about 2**92 apart. Ours put the time of arrival into k, so that a stream that is deleted and
made again, or whose last number was lost, never uses one twice. Equal length keeps the order
of strings the order of numbers; never turn one into a float.
"""

from __future__ import annotations

import re
from typing import Final

__all__ = [
    "DIGITS",
    "MAX_SALT",
    "is_fragment_number",
    "new_number",
    "next_number",
    "previous_number",
]

DIGITS: Final = 47

_BASE: Final = 1 << 156
_STEP: Final = 1 << 92
_STEPS_PER_MS: Final = 1 << 16
MAX_SALT: Final = _STEP - 1
_WIRE = re.compile(r"[0-9]{1,128}", re.ASCII)


def is_fragment_number(text: str) -> bool:
    """Whether the API accepts the text as a fragment number (1 to 128 digits)."""
    return _WIRE.fullmatch(text) is not None


def new_number(previous: str | None, *, server_timestamp_ms: int, salt: int = 0) -> str:
    """Return the number of a fragment that just arrived.

    Args:
        previous: Number of the newest fragment of the stream, ``None`` where there is none.
        server_timestamp_ms: When the fragment began to arrive, milliseconds since 1970. When
            the clock went back the number still rises.
        salt: 0 to ``MAX_SALT``, the small part. Whoever draws one of its own makes no number
            that another makes, even of fragments that arrive at both in one millisecond.

    """
    step = server_timestamp_ms * _STEPS_PER_MS
    if previous is not None:
        step = max(step, (int(previous) - _BASE) // _STEP + 1)
    return _spell(_BASE + step * _STEP + salt)


def next_number(number: str) -> str:
    """Return the smallest number greater than this one."""
    return _spell(int(number) + 1)


def previous_number(number: str) -> str:
    """Return the greatest number less than this one; "after it" then means "from this one".

    Raises:
        ValueError: If the number is 0.

    """
    if int(number) == 0:
        raise ValueError("no fragment number is less than 0")
    return _spell(int(number) - 1)


def _spell(number: int) -> str:
    return f"{number:0{DIGITS}d}"
