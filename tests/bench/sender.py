"""Cameras, as a process of its own: a clip sent to PutMedia in real time, frame by frame.

``python -m tests.bench.sender PORT CLIP SECONDS START_MS STREAM...``. Every stream gets the clip,
again and again, with rising timestamps: its first picture at START_MS (milliseconds since 1970)
and each picture at its own time, which is its producer timestamp. Streams begin one after the
other within a group of pictures, so that their keyframes do not fall together. Prints, at the
end, how late it was itself: milliseconds at the 99th percentile.
"""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from streamd.kvs import mkv_write
from tests.support.media import Video, demux

__all__ = ["lateness_ms", "start_sender"]

START_SECONDS = 4.0
"""From the call to the first picture: the process has to start."""


def start_sender(
    port: int, clip: Path, streams: Sequence[str], *, seconds: float
) -> tuple[subprocess.Popen[bytes], int]:
    """Start the process; returns it, and when its first picture is due (ms since 1970)."""
    start_ms = int((time.time() + START_SECONDS) * 1000)
    arguments = [str(port), str(clip), str(seconds), str(start_ms), *streams]
    process = subprocess.Popen([sys.executable, "-m", __name__, *arguments], stdout=subprocess.PIPE)
    return process, start_ms


def lateness_ms(process: subprocess.Popen[bytes], *, seconds: float) -> float:
    """Wait for the end of a sender and return how late it was."""
    output, _ = process.communicate(timeout=seconds)
    if process.returncode != 0:
        raise RuntimeError(f"the sender ended with {process.returncode}")
    return float(output)


def _chunks(video: Video, start_ms: int, seconds: float) -> Iterator[tuple[float, bytes]]:
    """Yield what is sent and when it is due, seconds since 1970."""
    times = sorted(packet.pts_ms for packet in video.packets)
    step = (times[-1] - times[0]) / (len(times) - 1)
    length_ms = round(times[-1] + step)
    blocks = []
    for fragment in video.fragments():
        at = min(packet.pts_ms for packet in fragment)
        parts = [
            mkv_write.simple_block(1, p.pts_ms - at, p.data, keyframe=p.keyframe) for p in fragment
        ]
        blocks.append((at, parts))
    yield start_ms / 1000, mkv_write.stream_header([video.track])
    begin = 0
    while True:
        number = 0
        for at, parts in blocks:
            head = mkv_write.cluster_start(start_ms + begin + at)
            for part in parts:
                # Encoders give packets out in the order of decoding.
                due_ms = begin + number * step
                if due_ms >= seconds * 1000:
                    return
                yield (start_ms + due_ms) / 1000, head + part
                head = b""
                number += 1
        begin += length_ms


async def _send(port: int, stream: str, video: Video, start_ms: int, seconds: float) -> list[float]:
    late = []
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(
        b"POST /putMedia HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n"
        b"x-amzn-fragment-timecode-type: ABSOLUTE\r\nx-amzn-producer-start-timestamp: 0\r\n"
        b"x-amzn-stream-name: " + stream.encode() + b"\r\n\r\n"
    )
    acks = asyncio.create_task(_drop(reader))
    try:
        for due, data in _chunks(video, start_ms, seconds):
            await asyncio.sleep(max(0.0, due - time.time()))
            writer.write(b"%x\r\n%b\r\n" % (len(data), data))
            await writer.drain()
            late.append(time.time() - due)
        writer.write(b"0\r\n\r\n")
        await writer.drain()
        # The last acknowledgements, and the end of the answer.
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(asyncio.shield(acks), 20)
    finally:
        acks.cancel()
        await asyncio.gather(acks, return_exceptions=True)
        writer.close()
    return late


async def _drop(reader: asyncio.StreamReader) -> None:
    status = await reader.readline()
    if b" 200 " not in status:
        raise RuntimeError(f"PutMedia answered {status!r}")
    while (data := await reader.read(65536)) and not data.endswith(b"0\r\n\r\n"):
        pass


async def _main(port: int, clip: Path, seconds: float, start_ms: int, streams: list[str]) -> None:
    video = demux(clip)
    keys = [packet.pts_ms for packet in video.packets if packet.keyframe]
    group_ms = keys[1] - keys[0] if len(keys) > 1 else 2000
    jobs = [
        _send(port, stream, video, start_ms + index * group_ms // len(streams), seconds)
        for index, stream in enumerate(streams)
    ]
    late = sorted(each for times in await asyncio.gather(*jobs) for each in times)
    print(late[int(len(late) * 0.99)] * 1000)


if __name__ == "__main__":
    asyncio.run(
        _main(
            int(sys.argv[1]), Path(sys.argv[2]), float(sys.argv[3]), int(sys.argv[4]), sys.argv[5:]
        )
    )
