"""Video files for tests of readers: any container, with or without timestamps."""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path
from typing import cast

import av
import numpy as np
from numpy.typing import NDArray

from tests.support.media import moving_shapes

__all__ = ["write_hls", "write_video"]


def write_video(
    path: Path,
    *,
    count: int = 40,
    fps: int = 20,
    gop: int = 20,
    b_frames: int = 0,
    encoder: str = "libx264",
    container_format: str | None = None,
    width_px: int = 160,
    height_px: int = 120,
    with_audio: bool = False,
    options: dict[str, str] | None = None,
    pictures: Iterable[NDArray[np.uint8]] | None = None,
) -> Path:
    """Write moving shapes, or ``pictures``, into a file; the container follows the suffix."""
    if pictures is None:
        pictures = moving_shapes(count, width_px=width_px, height_px=height_px)
    else:
        pictures = list(pictures)
        height_px, width_px = pictures[0].shape[:2]
    with av.open(str(path), "w", format=container_format, options=options or {}) as container:
        stream = cast(av.VideoStream, container.add_stream(encoder, rate=fps))
        stream.width, stream.height = width_px, height_px
        stream.pix_fmt = "yuvj420p" if encoder == "mjpeg" else "yuv420p"
        stream.thread_count = 1
        stream.max_b_frames = b_frames
        stream.gop_size = gop
        if encoder == "libx264":
            stream.options = {"preset": "ultrafast", "sc_threshold": "0", "b-adapt": "0"}
        elif encoder == "libx265":
            stream.options = {"preset": "ultrafast", "x265-params": "log-level=none:pools=none"}
        sound = container.add_stream("aac", rate=8000) if with_audio else None
        if sound is not None:
            sound.layout = "mono"
        for index, picture in enumerate(pictures):
            frame = av.VideoFrame.from_ndarray(picture, "rgb24")
            frame.pts, frame.time_base = index, Fraction(1, fps)
            container.mux(stream.encode(frame))
            if sound is not None:
                _sound(container, sound, index, samples=8000 // fps)
        container.mux(stream.encode(None))
        if sound is not None:
            container.mux(sound.encode(None))
    return path


def write_hls(folder: Path, *, seconds: int = 4, ended: bool = True) -> Path:
    """Write moving shapes as a playlist of segments of one second, and return the playlist."""
    path = write_video(
        folder / "live.m3u8",
        count=10 * seconds,
        fps=10,
        gop=10,
        container_format="hls",
        options={"hls_time": "1", "hls_list_size": "0"},
    )
    if not ended:
        path.write_text(path.read_text().replace("#EXT-X-ENDLIST\n", ""))
    return path


def _sound(
    container: av.container.OutputContainer, stream: av.AudioStream, index: int, *, samples: int
) -> None:
    frame = av.AudioFrame(format="fltp", layout="mono", samples=samples)
    for plane in frame.planes:
        plane.update(bytes(plane.buffer_size))
    frame.sample_rate, frame.pts = 8000, index * samples
    container.mux(stream.encode(frame))
