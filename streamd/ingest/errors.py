"""What can be wrong with video and with where it comes from.

::

    MediaError                       (StreamdError)
    ├── DecodeError                  the video cannot be decoded at all
    │   ├── UnsupportedCodecError    no decoder for the track's CodecID
    │   └── PictureTooLargeError     more pixels than allowed
    └── MediaSourceError             GetMedia did not answer with media
        ├── StreamNotFoundError      the video stream does not exist
        ├── AccessDeniedError        credentials or rights do not allow it
        │   └── RoleDeniedError      the role to read it by cannot be assumed
        ├── MediaRejectedError       the request itself is wrong
        └── MediaUnavailableError    network, server fault, time-out: may work later
            └── ThrottledError       too many calls or connections: wait longer
"""

from __future__ import annotations

from streamd.errors import StreamdError

__all__ = [
    "AccessDeniedError",
    "DecodeError",
    "MediaError",
    "MediaRejectedError",
    "MediaSourceError",
    "MediaUnavailableError",
    "PictureTooLargeError",
    "RoleDeniedError",
    "StreamNotFoundError",
    "ThrottledError",
    "UnsupportedCodecError",
]


class MediaError(StreamdError):
    """Video cannot be read."""


class DecodeError(MediaError):
    """The video cannot be decoded at all; single damaged packets are only counted."""


class UnsupportedCodecError(DecodeError):
    """There is no decoder for the track's CodecID."""

    def __init__(self, codec_id: str, detail: str = "") -> None:
        super().__init__(f"video codec {codec_id!r} is not supported{detail and ': ' + detail}")
        self.codec_id = codec_id


class PictureTooLargeError(DecodeError):
    """The video has more pixels than allowed."""

    def __init__(self, width_px: int, height_px: int, max_pixels: int) -> None:
        super().__init__(
            f"pictures of {width_px} x {height_px} pixels, {max_pixels} pixels are the most"
        )
        self.width_px = width_px
        self.height_px = height_px
        self.max_pixels = max_pixels


class MediaSourceError(MediaError):
    """GetMedia did not answer with media."""


class StreamNotFoundError(MediaSourceError):
    """The video stream does not exist."""


class AccessDeniedError(MediaSourceError):
    """Credentials or rights do not allow reading the video stream."""


class RoleDeniedError(AccessDeniedError):
    """The role that may read the video stream is missing, or may not be assumed."""


class MediaRejectedError(MediaSourceError):
    """The request itself is wrong; trying again brings the same answer."""


class MediaUnavailableError(MediaSourceError):
    """The network, the server or a time-out: the same call may work later."""


class ThrottledError(MediaUnavailableError):
    """Too many calls or connections; wait longer before the next."""
