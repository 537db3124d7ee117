"""Heads of H.265 pictures: slice headers as far as the quantiser (ITU-T H.265, 7.3.6).

The base layer is read. Pictures that are shown before the keyframe they follow, open groups of
pictures and extensions that change slice headers are a :class:`HeadError`, never a guess.
"""

from __future__ import annotations

from typing import Final

from streamd.gate.bits import BitReader
from streamd.gate.errors import HeadError
from streamd.gate.heads import FEW_BYTES, MANY_BYTES, PictureHead, SliceKind, spans_of_lengths
from streamd.gate.hevc_sets import HevcPps, HevcSps, read_picture_set, read_pps, read_sps
from streamd.kvs.nal import NalForm, length_size, split_annexb

__all__ = ["HevcHeads"]

MOST_SLICES: Final = 4
"""Whose quantiser is read."""

_LEADING: Final = range(6, 10)  # RADL and RASL
_RANDOM_ACCESS: Final = range(16, 24)
_IDR: Final = (19, 20)
_SLICES: Final = range(32)
_LAST_SUB_LAYER_TYPE: Final = 14
_SPS, _PPS = 33, 34
_HVCC_ARRAYS_AT: Final = 22
_B, _P, _I = range(3)
_KINDS: Final = (SliceKind.B, SliceKind.P, SliceKind.I)


class HevcHeads:
    """Reads the packets of one track, see :class:`streamd.gate.heads.Heads`."""

    def __init__(self, codec_private: bytes) -> None:
        self._form = NalForm("hevc", codec_private)
        self._sps: dict[int, HevcSps] = {}
        self._pps: dict[int, HevcPps] = {}
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
            if end - begin < 2 or data[begin] & 1 or data[begin + 1] >> 3:
                continue  # nuh_layer_id: another layer
            unit_type = data[begin] >> 1 & 63
            if unit_type in (_SPS, _PPS):
                self._keep(data[begin : min(end, begin + MANY_BYTES)])
            if unit_type not in _SLICES:
                continue
            if unit_type in _LEADING:
                raise HeadError("pictures shown before the keyframe they follow")
            is_entry = is_entry and unit_type in _IDR
            if len(quantisers) >= MOST_SLICES:
                continue
            read = self._slice(data[begin : min(end, begin + MANY_BYTES)])
            if read is not None:  # a dependent segment says nothing
                kind, quantiser, is_last_layer = read
                kinds.add(kind)
                quantisers.append(quantiser)
                # "a sub-layer non-reference picture" may serve higher sub-layers.
                is_disposable = is_disposable and is_last_layer and _is_non_reference(unit_type)
        if not quantisers:
            raise HeadError("a packet without a slice")
        return PictureHead(
            kind=next(kind for kind in _KINDS if kind in kinds),
            qp=sum(quantisers) / len(quantisers),
            is_entry=is_entry,
            is_disposable=is_disposable,
        )

    def _keep(self, unit: bytes) -> None:
        unit_type = unit[0] >> 1 & 63 if len(unit) > 2 else 0
        if unit_type == _SPS:
            number, sps = read_sps(BitReader(unit[2:]))
            self._sps[number] = sps
        elif unit_type == _PPS:
            index, pps = read_pps(BitReader(unit[2:]))
            self._pps[index] = pps

    def _slice(self, unit: bytes) -> tuple[SliceKind, int, bool] | None:
        try:
            return self._read_slice(unit[:FEW_BYTES])
        except HeadError:
            if len(unit) <= FEW_BYTES:
                raise
            return self._read_slice(unit)

    def _read_slice(self, unit: bytes) -> tuple[SliceKind, int, bool] | None:
        unit_type = unit[0] >> 1 & 63
        bits = BitReader(unit[2:])
        is_first = bits.u(1)
        if unit_type in _RANDOM_ACCESS:
            bits.u(1)
        pps = self._pps.get(bits.ue(63))
        sps = self._sps.get(pps.sps) if pps else None
        if pps is None or sps is None:
            raise HeadError("a slice whose parameter sets are missing")
        if not is_first:
            is_dependent = pps.dependent_slices and bits.u(1)
            bits.u(sps.address_bits)
            if is_dependent:
                return None
        bits.u(pps.extra_bits)
        slice_type = bits.ue(2)
        bits.u(pps.output_flag + 2 * sps.separate_colour_planes)
        current, temporal_mvp = 0, False
        if unit_type not in _IDR:
            bits.u(sps.order_bits)
            current = _references(bits, sps)
            temporal_mvp = sps.temporal_mvp and bool(bits.u(1))
        if sps.has_sao:
            bits.u(2 if sps.chroma else 1)
        if slice_type != _I:
            _skip_prediction(bits, slice_type, sps, pps, current, temporal_mvp=temporal_mvp)
        is_last_layer = (unit[1] & 7) - 1 >= sps.top_sub_layer
        return _KINDS[slice_type], pps.qp + bits.se(), is_last_layer


def _references(bits: BitReader, sps: HevcSps) -> int:
    """Read which pictures may be referred to; return how many may be now (NumPicTotalCurr)."""
    count = len(sps.picture_sets)
    if not bits.u(1):
        chosen = read_picture_set(bits, count, count, list(sps.picture_sets))
    elif count > 0:
        index = bits.u((count - 1).bit_length())
        if index >= count:
            raise HeadError("a reference picture set that is not there")
        chosen = sps.picture_sets[index]
    else:
        raise HeadError("a reference picture set of a sequence without any")
    current = sum(is_used for _, is_used in chosen)
    return current + (_long_term(bits, sps) if sps.has_long_term else 0)


def _long_term(bits: BitReader, sps: HevcSps) -> int:
    named = bits.ue(32) if sps.long_term else 0
    current = 0
    for index in range(named + bits.ue(32)):
        if index < named:
            number = bits.u((len(sps.long_term) - 1).bit_length())
            if number >= len(sps.long_term):
                raise HeadError("a long-term picture that is not there")
            current += sps.long_term[number]
        else:
            bits.u(sps.order_bits)
            current += bits.u(1)
        if bits.u(1):
            bits.ue()
    return current


def _skip_prediction(
    bits: BitReader,
    slice_type: int,
    sps: HevcSps,
    pps: HevcPps,
    current: int,
    *,
    temporal_mvp: bool,
) -> None:
    """Read on behind the lists of references and their weights."""
    first, second = pps.references
    if bits.u(1):  # num_ref_idx_active_override_flag
        first = bits.ue(14) + 1
        if slice_type == _B:
            second = bits.ue(14) + 1
    lists = (first, second) if slice_type == _B else (first,)
    if pps.lists_modification and current > 1:
        for count in lists:
            if bits.u(1):
                bits.u(count * (current - 1).bit_length())
    if slice_type == _B:
        bits.u(1)
    if pps.cabac_init:
        bits.u(1)
    if temporal_mvp:
        from_first = slice_type != _B or bool(bits.u(1))
        if (first if from_first else second) > 1:
            bits.ue(14)
    if pps.weighted_b if slice_type == _B else pps.weighted_p:
        _skip_weights(bits, lists, has_chroma=bool(sps.chroma))
    bits.ue(4)  # five_minus_max_num_merge_cand


def _skip_weights(bits: BitReader, lists: tuple[int, ...], *, has_chroma: bool) -> None:
    """Read on behind pred_weight_table()."""
    bits.ue(7)
    if has_chroma:
        bits.se()
    for count in lists:
        luma = [bits.u(1) for _ in range(count)]
        chroma = [bits.u(1) for _ in range(count)] if has_chroma else [0] * count
        for has_luma_weight, has_chroma_weight in zip(luma, chroma, strict=True):
            for _ in range(2 * has_luma_weight + 4 * has_chroma_weight):
                bits.se()


def _is_non_reference(unit_type: int) -> bool:
    return unit_type <= _LAST_SUB_LAYER_TYPE and unit_type % 2 == 0


def _parameter_sets(codec_private: bytes) -> list[bytes]:
    """Return the parameter sets of an hvcC record, or of the start codes in its place."""
    if length_size("hevc", codec_private) is None:
        return [unit[:MANY_BYTES] for unit in split_annexb(codec_private)]
    # ISO/IEC 14496-15, 8.3.3.1: numOfArrays at 22; each has its type, a number, and its units.
    sets: list[bytes] = []
    position = _HVCC_ARRAYS_AT + 1
    for _ in range(codec_private[_HVCC_ARRAYS_AT]):
        count = int.from_bytes(codec_private[position + 1 : position + 3])
        units = list(spans_of_lengths(codec_private, position + 3, 2, count))
        if len(units) < count or not units:
            break
        sets += units
        position += 3 + sum(2 + len(unit) for unit in units)
    return [unit[:MANY_BYTES] for unit in sets]
