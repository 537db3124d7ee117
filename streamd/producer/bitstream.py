"""From start codes to length prefixes: what Kinesis Video wants of H.264, H.265 and AAC."""

from __future__ import annotations

from streamd.kvs.nal import is_annexb, length_prefixed, split_annexb

__all__ = [
    "aac_config",
    "is_annexb",
    "length_prefixed",
    "parameter_sets",
    "split_annexb",
    "strip_adts",
]

_H264_PARAMETER_SETS = frozenset({7, 8})
_H265_PARAMETER_SETS = frozenset({32, 33, 34})
AAC_LC = 2
_SAMPLING_HZ = (
    96000, 88200, 64000, 48000, 44100, 32000, 24000, 22050, 16000, 12000, 11025, 8000, 7350,
)  # fmt: skip


def parameter_sets(codec: str, units: list[bytes]) -> list[bytes]:
    """Return those units that are parameter sets (SPS, PPS; VPS too for H.265)."""
    if codec == "h264":
        return [unit for unit in units if unit[0] & 0x1F in _H264_PARAMETER_SETS]
    return [unit for unit in units if unit[0] >> 1 & 0x3F in _H265_PARAMETER_SETS]


def aac_config(sampling_hz: int, channels: int) -> bytes:
    """Return the AudioSpecificConfig of AAC-LC (ISO 14496-3, 1.6.2.1).

    Raises:
        ValueError: If ADTS, where this comes from, knows no such sampling rate.

    """
    config = AAC_LC << 11 | _SAMPLING_HZ.index(sampling_hz) << 7 | channels << 3
    return config.to_bytes(2, "big")


def strip_adts(data: bytes) -> bytes:
    """Return an AAC frame without its ADTS header (ISO 14496-3, 1.A.2), if it has one."""
    if len(data) < 7 or data[0] != 0xFF or data[1] & 0xF6 != 0xF0:
        return data
    return data[7:] if data[1] & 1 else data[9:]
