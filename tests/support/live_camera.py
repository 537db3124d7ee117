"""A camera that never gives up: sends a video in a loop in real time, connects again when cut off.

It notes what it was promised: the numbers of the fragments acknowledged PERSISTED.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import threading
import time
from collections.abc import Iterable
from functools import cache

from streamd.kvs import mkv_write
from tests.support.media import EncodedPacket, Video, cluster, encode, moving_shapes
from tests.support.producer import now_ms

__all__ = ["LiveCamera", "quiet_video"]

RECONNECT_SECONDS = 0.1
_HEADERS = {
    "x-amzn-fragment-timecode-type": "ABSOLUTE",
    "x-amzn-producer-start-timestamp": "0",
    "Transfer-Encoding": "chunked",
}


@cache
def quiet_video(*, fps: int = 10, seconds: float = 4.0, fragment_seconds: float = 0.5) -> Video:
    """Return a small scene without faces, in fragments, cheap to decode and to search."""
    pictures = moving_shapes(round(fps * seconds), width_px=160, height_px=120)
    return encode(pictures, fps=fps, gop=max(1, round(fps * fragment_seconds)))


class LiveCamera:
    """Sends to one stream from a thread of its own until stopped."""

    def __init__(self, port: int, stream: str, video: Video, *, host: str = "127.0.0.1") -> None:
        self.stream = stream
        self.port = port
        self.persisted: list[str] = []
        """Numbers of the fragments that are promised to be stored, in order."""
        self.connections = 0
        self.garbage = threading.Event()
        """While set, what is sent is no media."""
        self.stalled = threading.Event()
        """While set, the connection stays open and nothing is sent."""
        self._host = host
        self._video = video
        self._fragments = video.fragments()
        times = sorted(packet.pts_ms for packet in video.packets)
        self._step_ms = times[1] - times[0]
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"camera-{stream}")

    def start(self) -> LiveCamera:
        """Begin to send."""
        self._thread.start()
        return self

    def stop(self) -> list[str]:
        """End after the fragment being sent, wait for the last acknowledgements, return all."""
        self._stop.set()
        self._thread.join(30)
        assert not self._thread.is_alive(), f"camera {self.stream} hangs"
        return self.persisted

    def _run(self) -> None:
        while not self._stop.is_set():
            with contextlib.suppress(OSError, http.client.HTTPException):
                self._connect()
            self._stop.wait(RECONNECT_SECONDS)

    def _connect(self) -> None:
        connection = http.client.HTTPConnection(self._host, self.port, timeout=20)
        try:
            connection.putrequest("POST", "/putMedia")
            for name, value in {"x-amzn-stream-name": self.stream, **_HEADERS}.items():
                connection.putheader(name, value)
            connection.endheaders()
            self.connections += 1
            reader = threading.Thread(target=self._read_acks, args=(connection,))
            reader.start()
            try:
                self._send(connection, reader)
            finally:
                reader.join(20)
        finally:
            connection.close()

    def _send(self, connection: http.client.HTTPConnection, reader: threading.Thread) -> None:
        _send_chunk(connection, mkv_write.stream_header([self._video.track]))
        length_ms = _end_ms(self._fragments[-1]) + self._step_ms
        started_ms = now_ms()
        while not self._stop.is_set() and reader.is_alive():
            for fragment in self._fragments:
                if self._stop.is_set() or not reader.is_alive():
                    break
                while self.stalled.is_set() and not self._stop.is_set():
                    time.sleep(0.05)
                if self.garbage.is_set():
                    _send_chunk(connection, b"\x1f\x43\xb6\x75garbage" * 50)
                _send_chunk(connection, cluster(self._video, fragment, start_ms=started_ms))
                self._wait_until(started_ms + _end_ms(fragment) + self._step_ms)
            # Rounds follow each other without a gap, but for one after a long stop.
            started_ms += length_ms
            if started_ms < now_ms() - 1000:
                started_ms = now_ms()
        connection.send(b"0\r\n\r\n")

    def _wait_until(self, at_ms: int) -> None:
        self._stop.wait(max(0.0, at_ms / 1000 - time.time()))

    def _read_acks(self, connection: http.client.HTTPConnection) -> None:
        with contextlib.suppress(OSError, http.client.HTTPException, ValueError):
            answer = connection.getresponse()
            while line := answer.readline():
                if line.strip() and (ack := json.loads(line))["EventType"] == "PERSISTED":
                    self.persisted.append(ack["FragmentNumber"])


def _end_ms(fragment: Iterable[EncodedPacket]) -> int:
    return max(packet.pts_ms for packet in fragment)


def _send_chunk(connection: http.client.HTTPConnection, data: bytes) -> None:
    connection.send(b"%x\r\n%s\r\n" % (len(data), data))
