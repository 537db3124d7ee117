"""The first picture of a clip as JPEG; run as a process of its own.

``python -m streamd.ingest.still < clip.mkv > still.jpg``. Whoever wants a picture of video that
anybody may have sent lets it be decoded where a crash costs nothing but the picture.
"""

from __future__ import annotations

import sys
from typing import Final

from processors.draw import encode_jpeg
from processors.geometry import WHOLE_PICTURE
from streamd.errors import StreamdError
from streamd.ingest.decode import DecodedFrame, Decoder
from streamd.ingest.errors import DecodeError
from streamd.kvs.fragments import FragmentReader, Packet

__all__ = ["main", "still_of"]

MAX_PX: Final = 1280
"""Of the longer side."""
_QUALITY: Final = 82


def still_of(clip: bytes, *, max_px: int = MAX_PX) -> bytes:
    """Return the first picture of a GetMedia or GetMediaForFragmentList body as JPEG.

    Raises:
        DecodeError: If there is none.
        MkvError: If it is no such body.

    """
    decoder = Decoder()
    for event in FragmentReader().feed(clip):
        if isinstance(event, Packet):
            for frame in decoder.decode([event]):
                return _jpeg(frame, max_px)
    for frame in decoder.drain():
        return _jpeg(frame, max_px)
    raise DecodeError("the clip holds no picture that can be decoded")


def _jpeg(frame: DecodedFrame, max_px: int) -> bytes:
    scale = min(1.0, max_px / max(frame.width_px, frame.height_px))
    width, height = (max(1, round(side * scale)) for side in (frame.width_px, frame.height_px))
    return encode_jpeg(frame.rgb(WHOLE_PICTURE, width_px=width, height_px=height), quality=_QUALITY)


def main() -> int:
    """Read standard input, write standard output; returns the exit code."""
    try:
        jpeg = still_of(sys.stdin.buffer.read())
    except StreamdError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    sys.stdout.buffer.write(jpeg)
    return 0


if __name__ == "__main__":
    sys.exit(main())
