"""Decoders of a graphics device, by PyAV; where there is none, nobody is the worse for it.

libav's own fall-back to software covers codecs and profiles that a device does not know, not a
device that is missing: that is found out once for the process, and said once.
"""

from __future__ import annotations

import functools
import logging
from typing import Final, cast

import av
from av.codec.hwaccel import HWAccel, hwdevices_available
from av.video.codeccontext import VideoCodecContext

__all__ = ["DEVICES", "NO_DEVICE", "open_hardware"]

logger = logging.getLogger(__name__)

NO_DEVICE: Final = "none"
AUTO: Final = "auto"
DEVICES: Final = ("cuda", "qsv", "vaapi", "videotoolbox", "d3d11va")
"""By libav's names, best first."""


def open_hardware(codec: str, device: str) -> VideoCodecContext | None:
    """Return a context that decodes on a device, or ``None`` for the CPU.

    Args:
        codec: By libav's name, such as ``h264``.
        device: One of :data:`DEVICES`, ``auto`` for the first that works, or ``none``.

    """
    if device == NO_DEVICE:
        return None
    for name in DEVICES if device == AUTO else (device,):
        if _works(name):
            context = _open(codec, name)
            # Without a decoder for this codec on the device libav takes its own, unasked.
            if context is not None and context.is_hwaccel:
                return context
    _say_once(device)
    return None


@functools.cache
def _works(device: str) -> bool:
    return device in hwdevices_available() and _open("h264", device) is not None


def _open(codec: str, device: str) -> VideoCodecContext | None:
    try:
        accelerator = HWAccel(device_type=device, allow_software_fallback=True)
        return cast(VideoCodecContext, av.CodecContext.create(codec, "r", hwaccel=accelerator))
    except (OSError, ValueError, NotImplementedError, av.FFmpegError) as error:
        logger.debug("no decoder on %s: %s", device, error)
        return None


@functools.cache
def _say_once(device: str) -> None:
    logger.warning(
        "video is decoded on the CPU: 'analysis.hardware_decoder' is %s, and %s",
        device,
        "no device for it was found" if device == AUTO else "there is none here",
    )
