"""A camera for tests: RTSP over TCP (interleaved), H.264 by RFC 6184, on a thread of its own.

It plays a video in real time, in a loop if asked, to every client that comes. Faults are
switches: ``stall`` keeps connections open and sends nothing, ``drop_all`` cuts them. With
``clock_ahead_seconds`` it tells its time in RTCP sender reports (RFC 3550, 6.4.1).
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import struct
import threading
import time
from collections.abc import Iterator

from tests.support.media import Video, avcc_units, nal_units

__all__ = ["RtspCamera", "rtsp_camera"]

_CLOCK_HZ = 90_000
_MAX_PAYLOAD = 1400
_FU_A = 28
_NTP_SECONDS = 2_208_988_800
"""From 1900, where NTP begins, to 1970."""
_REPORT_SECONDS = 0.5


class RtspCamera:
    """One camera at ``rtsp://127.0.0.1:PORT/live``."""

    def __init__(self, video: Video, *, loop: bool = True, password: str | None = None) -> None:
        self._video = video
        self._repeats = loop
        self._password = password
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="rtsp-camera")
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self.port = 0
        self.stalled = threading.Event()
        self.sessions = 0
        self.refusal: str | None = None
        """Answer to everything, such as ``404 Not Found``."""
        self.clock_ahead_seconds: float | None = None
        """How wrong its clock is; ``None``: it has none. May be changed while it plays."""

    @property
    def url(self) -> str:
        """Where it is reached, with credentials where it wants some."""
        user = f"viewer:{self._password}@" if self._password else ""
        return f"rtsp://{user}127.0.0.1:{self.port}/live"

    def start(self) -> None:
        """Listen, on the port used before if there was one."""
        if not self._thread.is_alive():
            self._thread.start()
        self._call(self._listen())

    def stop(self) -> None:
        """Stop listening and cut all connections, as a camera that lost its power."""
        self._call(self._close())

    def drop_all(self) -> None:
        """Cut all connections; the camera goes on listening."""
        self._call(self._cut())

    def close(self) -> None:
        """End for good."""
        self.stop()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)
        self._loop.close()

    def _call(self, work: object) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(5)  # type: ignore[arg-type]  # coroutines of ours

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _close(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
        await self._cut()

    async def _cut(self) -> None:
        for writer in list(self._writers):
            writer.transport.abort()
        await asyncio.sleep(0)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        player: asyncio.Task[None] | None = None
        try:
            while request := await self._request(reader):
                method, headers = request
                if self.refusal is not None:
                    self._answer(writer, headers, {}, code=self.refusal)
                elif not self._authorized(headers):
                    self._answer(
                        writer,
                        headers,
                        {"WWW-Authenticate": 'Basic realm="cam"'},
                        code="401 Unauthorized",
                    )
                elif method == "DESCRIBE":
                    self._answer(writer, headers, {"Content-Type": "application/sdp"}, self._sdp())
                elif method == "SETUP":
                    self._answer(
                        writer,
                        headers,
                        {"Transport": "RTP/AVP/TCP;unicast;interleaved=0-1", "Session": "1"},
                    )
                elif method == "PLAY":
                    self._answer(writer, headers, {"Session": "1", "Range": "npt=0-"})
                    self.sessions += 1
                    player = asyncio.create_task(self._play(writer))
                elif method == "TEARDOWN":
                    self._answer(writer, headers, {"Session": "1"})
                    break
                else:
                    self._answer(
                        writer, headers, {"Public": "OPTIONS, DESCRIBE, SETUP, PLAY, TEARDOWN"}
                    )
                await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            if player is not None:
                player.cancel()
                await asyncio.gather(player, return_exceptions=True)
            self._writers.discard(writer)
            writer.close()

    @staticmethod
    async def _request(reader: asyncio.StreamReader) -> tuple[str, dict[str, str]] | None:
        while True:
            first = await reader.read(1)
            if not first:
                return None
            if first == b"$":  # RTCP of the client, passed over
                _, size = struct.unpack(">BH", await reader.readexactly(3))
                await reader.readexactly(size)
                continue
            head = (first + await reader.readuntil(b"\r\n\r\n")).decode()
            line, *rest = head.strip().split("\r\n")
            pairs = (each.split(":", 1) for each in rest)
            return line.split()[0], {k.strip().lower(): v.strip() for k, v in pairs}

    def _authorized(self, headers: dict[str, str]) -> bool:
        if self._password is None:
            return True
        wanted = base64.b64encode(f"viewer:{self._password}".encode()).decode()
        return headers.get("authorization") == f"Basic {wanted}"

    @staticmethod
    def _answer(
        writer: asyncio.StreamWriter,
        headers: dict[str, str],
        more: dict[str, str],
        body: str = "",
        *,
        code: str = "200 OK",
    ) -> None:
        lines = [f"RTSP/1.0 {code}", f"CSeq: {headers.get('cseq', '0')}"]
        lines += [f"{name}: {value}" for name, value in more.items()]
        if body:
            lines.append(f"Content-Length: {len(body)}")
        writer.write(("\r\n".join(lines) + "\r\n\r\n" + body).encode())

    def _sdp(self) -> str:
        sets = list(avcc_units(self._video.track.codec_private))
        joined = ",".join(base64.b64encode(each).decode() for each in sets)
        profile = sets[0][1:4].hex()
        return (
            "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=camera\r\nc=IN IP4 0.0.0.0\r\nt=0 0\r\n"
            "m=video 0 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\n"
            f"a=fmtp:96 packetization-mode=1;profile-level-id={profile};"
            f"sprop-parameter-sets={joined}\r\na=control:trackID=0\r\n"
        )

    async def _play(self, writer: asyncio.StreamWriter) -> None:
        sequence = 0
        started, started_at = time.monotonic(), time.time()
        reported = -_REPORT_SECONDS
        for at_ms, data in self._pictures():
            await asyncio.sleep(max(0.0, started + at_ms / 1000 - time.monotonic()))
            while self.stalled.is_set():  # noqa: ASYNC110  # set by another thread
                await asyncio.sleep(0.05)
            if at_ms / 1000 - reported >= _REPORT_SECONDS and self.clock_ahead_seconds is not None:
                reported = at_ms / 1000
                report = self._report(at_ms, started_at + self.clock_ahead_seconds)
                writer.write(struct.pack(">cBH", b"$", 1, len(report)) + report)
            units = list(nal_units(data))
            for index, unit in enumerate(units):
                for payload, end in _payloads(unit):
                    marker = 0x80 if end and index == len(units) - 1 else 0
                    stamp = at_ms * _CLOCK_HZ // 1000 & 0xFFFFFFFF
                    rtp = struct.pack(">BBHII", 0x80, 96 | marker, sequence & 0xFFFF, stamp, 1)
                    packet = rtp + payload
                    writer.write(struct.pack(">cBH", b"$", 0, len(packet)) + packet)
                    sequence += 1
            await writer.drain()

    @staticmethod
    def _report(at_ms: int, started_at: float) -> bytes:
        ntp = int((started_at + at_ms / 1000 + _NTP_SECONDS) * 2**32)
        stamp = at_ms * _CLOCK_HZ // 1000 & 0xFFFFFFFF
        return struct.pack(">BBHIQIII", 0x80, 200, 6, 1, ntp, stamp, 0, 0)

    def _pictures(self) -> Iterator[tuple[int, bytes]]:
        packets = self._video.packets
        length = packets[-1].pts_ms + packets[1].pts_ms - packets[0].pts_ms
        base = 0
        while True:
            for packet in packets:
                yield base + packet.pts_ms, packet.data
            base += length
            if not self._repeats:
                return


@contextlib.contextmanager
def rtsp_camera(
    video: Video, *, loop: bool = True, password: str | None = None
) -> Iterator[RtspCamera]:
    """Run a camera for the length of a ``with`` block."""
    camera = RtspCamera(video, loop=loop, password=password)
    camera.start()
    try:
        yield camera
    finally:
        camera.close()


def _payloads(unit: bytes) -> Iterator[tuple[bytes, bool]]:
    """Split a NAL unit into RTP payloads: as it is, or as fragments (FU-A)."""
    if len(unit) <= _MAX_PAYLOAD:
        yield unit, True
        return
    indicator, kind = unit[0] & 0xE0 | _FU_A, unit[0] & 0x1F
    body = unit[1:]
    for start in range(0, len(body), _MAX_PAYLOAD):
        end = start + _MAX_PAYLOAD >= len(body)
        header = kind | (0x80 if start == 0 else 0) | (0x40 if end else 0)
        yield bytes((indicator, header)) + body[start : start + _MAX_PAYLOAD], end
