"""Parameter sets of H.265, as far as slice headers need them (ITU-T H.265, 7.3.2 and 7.3.7)."""

from __future__ import annotations

from dataclasses import dataclass

from streamd.gate.bits import BitReader
from streamd.gate.errors import HeadError

__all__ = ["HevcPps", "HevcSps", "PictureSet", "read_picture_set", "read_pps", "read_sps"]

PictureSet = tuple[tuple[int, bool], ...]
"""A short-term reference picture set: distance in picture order, used by the current picture."""


@dataclass(frozen=True, kw_only=True, slots=True)
class HevcSps:
    """What slice headers need of a sequence parameter set."""

    top_sub_layer: int
    chroma: int
    """ChromaArrayType."""
    separate_colour_planes: bool
    address_bits: int
    order_bits: int
    has_sao: bool
    picture_sets: tuple[PictureSet, ...]
    has_long_term: bool
    long_term: tuple[bool, ...]
    """Used by the current picture, for each candidate the sequence names."""
    temporal_mvp: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class HevcPps:
    """What slice headers need of a picture parameter set."""

    sps: int
    dependent_slices: bool
    output_flag: bool
    extra_bits: int
    cabac_init: bool
    references: tuple[int, int]
    qp: int
    weighted_p: bool
    weighted_b: bool
    lists_modification: bool


def read_sps(bits: BitReader) -> tuple[int, HevcSps]:
    """Return a sequence parameter set and its number.

    Raises:
        HeadError: If it is damaged.

    """
    bits.u(4)
    sub_layers = bits.u(3)
    bits.u(1)
    _skip_profile(bits, sub_layers)
    number = bits.ue(15)
    chroma = bits.ue(3)
    separate = chroma == 3 and bool(bits.u(1))
    width, height = bits.ue(65535), bits.ue(65535)
    if bits.u(1):
        _skip(bits, 4)
    _skip(bits, 2)
    order_bits = bits.ue(12) + 4
    for _ in range(0 if bits.u(1) else sub_layers, sub_layers + 1):
        _skip(bits, 3)
    block_bits = bits.ue(3) + 3 + bits.ue(3)
    _skip(bits, 4)
    if bits.u(1) and bits.u(1):
        _skip_scaling_lists(bits)
    bits.u(1)
    has_sao = bool(bits.u(1))
    if bits.u(1):  # pcm_enabled_flag
        bits.u(8)
        _skip(bits, 2)
        bits.u(1)
    sets: list[PictureSet] = []
    for index in range(count := bits.ue(64)):
        sets.append(read_picture_set(bits, index, count, sets))
    has_long_term, long_term = bool(bits.u(1)), []
    if has_long_term:
        for _ in range(bits.ue(32)):
            bits.u(order_bits)
            long_term.append(bool(bits.u(1)))
    columns, rows = (-(-side // (1 << block_bits)) for side in (width, height))
    return number, HevcSps(
        top_sub_layer=sub_layers,
        chroma=0 if separate else chroma,
        separate_colour_planes=separate,
        address_bits=max(0, columns * rows - 1).bit_length(),
        order_bits=order_bits,
        has_sao=has_sao,
        picture_sets=tuple(sets),
        has_long_term=has_long_term,
        long_term=tuple(long_term),
        temporal_mvp=bool(bits.u(1)),
    )


def read_picture_set(bits: BitReader, index: int, count: int, sets: list[PictureSet]) -> PictureSet:
    """Read st_ref_pic_set(index): ``index`` is ``count`` in a slice header.

    Raises:
        HeadError: If it is damaged.

    """
    if index and bits.u(1):
        return _predicted_set(bits, index, count, sets)
    negative, positive = bits.ue(16), bits.ue(16)
    found: list[tuple[int, bool]] = []
    for number, sign in ((negative, -1), (positive, 1)):
        distance = 0
        for _ in range(number):
            distance += sign * (bits.ue(32767) + 1)
            found.append((distance, bool(bits.u(1))))
    return tuple(found)


def _predicted_set(bits: BitReader, index: int, count: int, sets: list[PictureSet]) -> PictureSet:
    back = bits.ue(index - 1) + 1 if index == count else 1
    sign = bits.u(1)
    step = (1 - 2 * sign) * (bits.ue(32767) + 1)
    found: list[tuple[int, bool]] = []
    for distance, _ in (*sets[index - back], (0, False)):
        is_used = bool(bits.u(1))
        # "use_delta_flag … inferred to be equal to 1" where it is not sent.
        if (is_used or bits.u(1)) and distance + step:
            found.append((distance + step, is_used))
    if len(found) > 16:
        raise HeadError("a reference picture set of more than 16 pictures")
    # (7-61), (7-62): the nearest first, those shown before the picture in front.
    return tuple(sorted(found, key=lambda each: (each[0] > 0, abs(each[0]))))


def read_pps(bits: BitReader) -> tuple[int, HevcPps]:
    """Return a picture parameter set and its number.

    Raises:
        HeadError: If it is damaged, or has extensions that change slice headers.

    """
    number, sps = bits.ue(63), bits.ue(15)
    dependent, output_flag = bool(bits.u(1)), bool(bits.u(1))
    extra_bits = bits.u(3)
    bits.u(1)
    cabac_init = bool(bits.u(1))
    references = (bits.ue(14) + 1, bits.ue(14) + 1)
    qp = 26 + bits.se()
    bits.u(2)
    if bits.u(1):
        bits.ue(3)
    bits.se()
    bits.se()
    bits.u(1)
    weighted_p, weighted_b = bool(bits.u(1)), bool(bits.u(1))
    bits.u(1)
    has_tiles = bits.u(1)
    bits.u(1)
    if has_tiles:
        _skip_tiles(bits)
    bits.u(1)
    if bits.u(1):  # deblocking_filter_control_present_flag
        bits.u(1)
        if not bits.u(1):
            bits.se()
            bits.se()
    if bits.u(1):
        _skip_scaling_lists(bits)
    lists_modification = bool(bits.u(1))
    bits.ue()
    bits.u(1)
    if bits.u(1) and bits.u(8) & 0x7F:  # all but pps_range_extension, which changes none of it
        raise HeadError("extensions of H.265")
    return number, HevcPps(
        sps=sps,
        dependent_slices=dependent,
        output_flag=output_flag,
        extra_bits=extra_bits,
        cabac_init=cabac_init,
        references=references,
        qp=qp,
        weighted_p=weighted_p,
        weighted_b=weighted_b,
        lists_modification=lists_modification,
    )


def _skip(bits: BitReader, count: int) -> None:
    for _ in range(count):
        bits.ue()


def _skip_profile(bits: BitReader, sub_layers: int) -> None:
    """Read on behind profile_tier_level()."""
    bits.u(96)
    present = [(bits.u(1), bits.u(1)) for _ in range(sub_layers)]
    if sub_layers:
        bits.u(2 * (8 - sub_layers))
    for has_profile, has_level in present:
        bits.u(88 * has_profile + 8 * has_level)


def _skip_scaling_lists(bits: BitReader) -> None:
    """Read on behind scaling_list_data()."""
    for size in range(4):
        for _ in range(2 if size == 3 else 6):
            if not bits.u(1):
                bits.ue(5)
                continue
            if size > 1:
                bits.se()
            for _ in range(min(64, 16 << 2 * size)):
                bits.se()


def _skip_tiles(bits: BitReader) -> None:
    columns, rows = bits.ue(1000), bits.ue(1000)
    if not bits.u(1):
        _skip(bits, columns + rows)
    bits.u(1)
