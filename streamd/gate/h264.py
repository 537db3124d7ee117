"""Heads of H.264 pictures: slice headers as far as the quantiser (ITU-T H.264, 7.3.2 and 7.3.3).

Progressive pictures without slice groups or data partitioning are read, which is what cameras
send. Everything else is a :class:`HeadError`, never a guess.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from streamd.gate.bits import BitReader
from streamd.gate.errors import HeadError
from streamd.gate.heads import FEW_BYTES, MANY_BYTES, PictureHead, SliceKind, spans_of_lengths
from streamd.kvs.nal import NalForm, length_size, split_annexb

__all__ = ["H264Heads"]

MOST_SLICES: Final = 4
"""Whose quantiser is read; the picture's other slices are looked at for their type alone."""

_SLICE, _PARTITIONS, _IDR, _SPS, _PPS = 1, (2, 3, 4), 5, 7, 8
_HIGH_PROFILES: Final = (100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135)
_P, _B, _I, _SP, _SI = range(5)
_KINDS: Final = {_P: SliceKind.P, _SP: SliceKind.P, _B: SliceKind.B}


@dataclass(frozen=True, kw_only=True, slots=True)
class _Sps:
    chroma: int  # ChromaArrayType
    separate_colour_planes: bool
    frame_num_bits: int
    order_type: int
    order_bits: int
    order_always_zero: bool
    frames_only: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class _Pps:
    sps: int
    cabac: bool
    order_in_frame: bool
    references: tuple[int, int]
    weighted_p: bool
    weighted_b: bool
    qp: int
    redundant: bool


class H264Heads:
    """Reads the packets of one track, see :class:`streamd.gate.heads.Heads`."""

    def __init__(self, codec_private: bytes) -> None:
        self._form = NalForm("h264", codec_private)
        self._sps: dict[int, _Sps] = {}
        self._pps: dict[int, _Pps] = {}
        for unit in _parameter_sets(codec_private):
            self._keep(unit)

    def read(self, data: bytes) -> PictureHead:
        """Return the head of the picture in a packet.

        Raises:
            HeadError: If it cannot be read.

        """
        kinds: set[SliceKind] = set()
        is_entry, is_disposable = True, True
        quantisers: list[int] = []
        for begin, end in self._form.spans(data):
            if begin >= end:
                continue
            unit_type = data[begin] & 31
            if unit_type in (_SLICE, _IDR):
                is_entry = is_entry and unit_type == _IDR
                is_disposable = is_disposable and not data[begin] & 0x60
                if len(quantisers) < MOST_SLICES:
                    kind, quantiser = self._slice(data[begin : min(end, begin + MANY_BYTES)])
                    kinds.add(kind)
                    quantisers.append(quantiser)
            elif unit_type in (_SPS, _PPS):
                self._keep(data[begin : min(end, begin + MANY_BYTES)])
            elif unit_type in _PARTITIONS:
                raise HeadError("data partitioning")
        if not quantisers:
            raise HeadError("a packet without a slice")
        return PictureHead(
            kind=next(kind for kind in (SliceKind.B, SliceKind.P, SliceKind.I) if kind in kinds),
            qp=sum(quantisers) / len(quantisers),
            is_entry=is_entry,
            is_disposable=is_disposable,
        )

    def _keep(self, unit: bytes) -> None:
        unit_type = unit[0] & 31 if unit else 0
        if unit_type == _SPS:
            number, sps = _read_sps(BitReader(unit[1:]))
            self._sps[number] = sps
        elif unit_type == _PPS:
            index, pps = _read_pps(BitReader(unit[1:]))
            self._pps[index] = pps

    def _slice(self, unit: bytes) -> tuple[SliceKind, int]:
        try:
            return self._read_slice(unit[:FEW_BYTES])
        except HeadError:
            if len(unit) <= FEW_BYTES:
                raise
            return self._read_slice(unit)

    def _read_slice(self, unit: bytes) -> tuple[SliceKind, int]:
        is_idr, is_reference = unit[0] & 31 == _IDR, bool(unit[0] & 0x60)
        bits = BitReader(unit[1:])
        bits.ue()  # first_mb_in_slice
        slice_type = bits.ue(9) % 5
        pps = self._pps.get(bits.ue(255))
        sps = self._sps.get(pps.sps) if pps else None
        if pps is None or sps is None:
            raise HeadError("a slice whose parameter sets are missing")
        if not sps.frames_only:
            raise HeadError("interlaced video")
        if sps.separate_colour_planes:
            bits.u(2)
        bits.u(sps.frame_num_bits)
        if is_idr:
            bits.ue(65535)
        if sps.order_type == 0:
            bits.u(sps.order_bits)
            if pps.order_in_frame:
                bits.se()
        elif sps.order_type == 1 and not sps.order_always_zero:
            bits.se()
            if pps.order_in_frame:
                bits.se()
        if pps.redundant:
            bits.ue(127)
        if slice_type not in (_I, _SI):
            _skip_prediction(bits, slice_type, sps, pps)
        if is_reference:
            _skip_marking(bits, is_idr=is_idr)
        if pps.cabac and slice_type not in (_I, _SI):
            bits.ue(2)
        return _KINDS.get(slice_type, SliceKind.I), pps.qp + bits.se()


def _skip_prediction(bits: BitReader, slice_type: int, sps: _Sps, pps: _Pps) -> None:
    """Read on behind the lists of references and their weights."""
    first, second = pps.references
    if slice_type == _B:
        bits.u(1)
    if bits.u(1):  # num_ref_idx_active_override_flag
        first = bits.ue(31) + 1
        if slice_type == _B:
            second = bits.ue(31) + 1
    lists = (first, second) if slice_type == _B else (first,)
    for _ in lists:
        if bits.u(1):
            while bits.ue(3) != 3:  # modification_of_pic_nums_idc
                bits.ue()
    if pps.weighted_b if slice_type == _B else pps.weighted_p:
        bits.ue(7)
        if sps.chroma:
            bits.ue(7)
        for count in lists:
            for _ in range(count):
                _skip_weights(bits, has_chroma=bool(sps.chroma))


def _skip_weights(bits: BitReader, *, has_chroma: bool) -> None:
    if bits.u(1):
        bits.se()
        bits.se()
    if has_chroma and bits.u(1):
        for _ in range(4):
            bits.se()


def _skip_marking(bits: BitReader, *, is_idr: bool) -> None:
    """Read on behind dec_ref_pic_marking()."""
    if is_idr:
        bits.u(2)
    elif bits.u(1):
        while operation := bits.ue(6):
            if operation != 5:
                bits.ue()
            if operation == 3:
                bits.ue()


def _read_sps(bits: BitReader) -> tuple[int, _Sps]:
    profile = bits.u(8)
    bits.u(16)
    number = bits.ue(31)
    chroma, separate = 1, False
    if profile in _HIGH_PROFILES:
        chroma = bits.ue(3)
        separate = chroma == 3 and bool(bits.u(1))
        bits.ue(6)
        bits.ue(6)
        bits.u(1)
        if bits.u(1):
            for index in range(12 if chroma == 3 else 8):
                if bits.u(1):
                    _skip_scaling_list(bits, 16 if index < 6 else 64)
    frame_num_bits = bits.ue(12) + 4
    order_type, order_bits, always_zero = bits.ue(2), 0, False
    if order_type == 0:
        order_bits = bits.ue(12) + 4
    elif order_type == 1:
        always_zero = bool(bits.u(1))
        bits.se()
        bits.se()
        for _ in range(bits.ue(255)):
            bits.se()
    bits.ue()  # max_num_ref_frames
    bits.u(1)
    bits.ue()
    bits.ue()
    return number, _Sps(
        chroma=0 if separate else chroma,
        separate_colour_planes=separate,
        frame_num_bits=frame_num_bits,
        order_type=order_type,
        order_bits=order_bits,
        order_always_zero=always_zero,
        frames_only=bool(bits.u(1)),
    )


def _skip_scaling_list(bits: BitReader, size: int) -> None:
    last = following = 8
    for _ in range(size):
        if following:
            following = (last + bits.se()) % 256
        last = following or last


def _read_pps(bits: BitReader) -> tuple[int, _Pps]:
    number, sps = bits.ue(255), bits.ue(31)
    cabac, order_in_frame = bool(bits.u(1)), bool(bits.u(1))
    if bits.ue(7):
        raise HeadError("slice groups")
    references = (bits.ue(31) + 1, bits.ue(31) + 1)
    weighted_p, weighted_b = bool(bits.u(1)), bits.u(2) == 1
    qp = 26 + bits.se()
    bits.se()
    bits.se()
    bits.u(2)
    return number, _Pps(
        sps=sps,
        cabac=cabac,
        order_in_frame=order_in_frame,
        references=references,
        weighted_p=weighted_p,
        weighted_b=weighted_b,
        qp=qp,
        redundant=bool(bits.u(1)),
    )


def _parameter_sets(codec_private: bytes) -> list[bytes]:
    """Return the parameter sets of an avcC record, or of the start codes in its place."""
    if length_size("h264", codec_private) is None:
        return [unit[:MANY_BYTES] for unit in split_annexb(codec_private)]
    # ISO/IEC 14496-15, 5.3.3.1: numOfSequenceParameterSets at 5, behind those the PPS's number.
    sets = list(spans_of_lengths(codec_private, 6, 2, codec_private[5] & 31))
    position = 6 + sum(2 + len(unit) for unit in sets)
    if position < len(codec_private):
        sets += spans_of_lengths(codec_private, position + 1, 2, codec_private[position])
    return [unit[:MANY_BYTES] for unit in sets]
