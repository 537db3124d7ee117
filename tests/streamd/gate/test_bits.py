"""Bits are read as the standards write them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamd.gate.bits import BitReader
from streamd.gate.errors import HeadError


class Writer:
    """Writes what the reader reads; for tests of parsers too."""

    def __init__(self) -> None:
        self._bits = ""

    def u(self, number: int, bits: int) -> Writer:
        self._bits += f"{number:0{bits}b}" if bits else ""
        return self

    def ue(self, number: int) -> Writer:
        code = f"{number + 1:b}"
        self._bits += "0" * (len(code) - 1) + code
        return self

    def se(self, number: int) -> Writer:
        return self.ue(2 * number - 1 if number > 0 else -2 * number)

    def payload(self) -> bytes:
        """With the stop bit, and with emulation prevention."""
        text = self._bits + "1"
        text += "0" * (-len(text) % 8)
        raw, made = bytes(int(text[i : i + 8], 2) for i in range(0, len(text), 8)), bytearray()
        for byte in raw:
            if made[-2:] == b"\x00\x00" and byte <= 3:
                made.append(3)
            made.append(byte)
        return bytes(made)


codes = st.lists(
    st.one_of(
        st.tuples(st.just("u"), st.integers(0, 2**16 - 1)),
        st.tuples(st.just("ue"), st.integers(0, 2**32 - 2)),
        st.tuples(st.just("se"), st.integers(-(2**31) + 1, 2**31 - 1)),
    ),
    max_size=60,
)


@given(codes)
def test_what_was_written_is_read(numbers: list[tuple[str, int]]) -> None:
    """Any run of codes comes back, escapes and all."""
    writer = Writer()
    for kind, number in numbers:
        if kind == "u":
            writer.u(number, 16)
        elif kind == "ue":
            writer.ue(number)
        else:
            writer.se(number)
    reader = BitReader(writer.payload())
    read = {"u": lambda: reader.u(16), "ue": reader.ue, "se": reader.se}
    assert [read[kind]() for kind, _ in numbers] == [number for _, number in numbers]


@given(st.binary(max_size=12), st.lists(st.sampled_from("123"), max_size=300))
def test_any_bytes(data: bytes, kinds: list[str]) -> None:
    """Any bytes end in numbers or in the one error, within their length."""
    reader = BitReader(data)
    try:
        for kind in kinds:
            {"1": lambda: reader.u(3), "2": reader.ue, "3": reader.se}[kind]()
    except HeadError:
        pass
    else:
        assert len(kinds) <= 8 * len(data)


def test_bounds() -> None:
    """A number above what the standard allows is an error, as is one without end."""
    with pytest.raises(HeadError, match="at most 3 was expected, got 4"):
        BitReader(Writer().ue(4).payload()).ue(3)
    with pytest.raises(HeadError, match="no Exp-Golomb code"):
        BitReader(bytes(40)).ue()
    with pytest.raises(HeadError, match="too early"):
        BitReader(b"").u(1)
