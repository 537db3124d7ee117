"""Publishes a file in real time, again and again, as an encoder does: RTSP, RTMP or UDP.

A process of its own, so that it can be paused, slowed and killed whatever libavformat does::

    with publisher("rtsp://127.0.0.1:8554/door", clip, form="rtsp") as process:
        process.send_signal(signal.SIGSTOP)
"""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av

__all__ = ["publisher"]


@contextlib.contextmanager
def publisher(
    url: str, clip: Path, *, form: str, options: dict[str, str] | None = None, speed: float = 1.0
) -> Iterator[subprocess.Popen[bytes]]:
    """Publish for the length of a ``with`` block.

    Args:
        url: Where to.
        clip: A video file, remuxed.
        form: libavformat's name: ``rtsp``, ``flv``, ``mpegts``.
        options: Of libavformat.
        speed: 0.5: half as fast as the clip is.

    """
    arguments = [f"{name}={value}" for name, value in (options or {}).items()]
    process = subprocess.Popen(
        [sys.executable, "-m", __name__, url, str(clip), form, str(speed), *arguments],
        stdin=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield process
    finally:
        process.send_signal(signal.SIGCONT)
        process.kill()
        process.wait(10)


def _publish(url: str, clip: Path, form: str, speed: float, options: dict[str, str]) -> None:
    with av.open(str(clip)) as source, av.open(url, "w", format=form, options=options) as sink:
        targets = {s.index: sink.add_stream_from_template(s) for s in source.streams}
        sink.start_encoding()
        started, base, end = time.monotonic(), Fraction(0), Fraction(0)
        while True:
            for packet in source.demux():
                if packet.dts is None or packet.pts is None:
                    continue
                due = base + packet.dts * packet.time_base
                end = max(end, due + (packet.duration or 0) * packet.time_base)
                time.sleep(max(0.0, started + float(due) / speed - time.monotonic()))
                shift = round(base / packet.time_base)
                packet.pts, packet.dts = packet.pts + shift, packet.dts + shift
                packet.stream = targets[packet.stream_index]
                sink.mux(packet)
            base = end
            source.seek(0)


def _main() -> None:
    url, clip, form, speed, *rest = sys.argv[1:]
    options = dict(each.split("=", 1) for each in rest)
    deadline = time.monotonic() + 60
    while True:
        # The server may not listen yet, or anew after it was replaced.
        with contextlib.suppress(OSError, av.FFmpegError):
            _publish(url, Path(clip), form, float(speed), options)
        if time.monotonic() > deadline:
            return
        time.sleep(0.2)


if __name__ == "__main__":
    _main()
