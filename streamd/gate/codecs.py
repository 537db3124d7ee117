"""Which codecs' heads can be read. Pure."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Final

from streamd.gate.errors import HeadError
from streamd.gate.h264 import H264Heads
from streamd.gate.heads import Heads
from streamd.gate.hevc import HevcHeads

__all__ = ["heads_of"]

logger = logging.getLogger(__name__)

_HEADS: Final[dict[str, Callable[[bytes], Heads]]] = {
    "V_MPEG4/ISO/AVC": H264Heads,
    "V_MPEG/ISO/AVC": H264Heads,
    "V_MPEGH/ISO/HEVC": HevcHeads,
}


def heads_of(codec_id: str, codec_private: bytes) -> Heads | None:
    """Return what reads the heads of a track's packets; ``None`` where nothing here can."""
    kind = _HEADS.get(codec_id)
    try:
        return kind(codec_private) if kind is not None else None
    except HeadError as error:
        logger.debug("heads of %s cannot be read: %s", codec_id, error)
        return None
