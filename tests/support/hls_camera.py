"""A live HLS playlist that grows in real time: segments of one second, and a switch to freeze."""

from __future__ import annotations

import contextlib
import functools
import http.server
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from tests.support.video_files import write_hls

__all__ = ["HlsCamera", "hls_camera"]

_LISTED = 4


class HlsCamera:
    """A playlist at ``url``; setting ``frozen`` leaves it as it is, with the server answering."""

    def __init__(self, folder: Path, *, seconds: int) -> None:
        self._lines = write_hls(folder, seconds=seconds).read_text().splitlines()
        self._segments = [line for line in self._lines if line.endswith(".ts")]
        self._started = time.monotonic()
        self._shown = 0
        self.frozen = threading.Event()
        self.url = ""

    def playlist(self) -> str:
        """Return the playlist of now."""
        if not self.frozen.is_set():
            self._shown = int(time.monotonic() - self._started)
        last = min(len(self._segments), _LISTED + self._shown)
        first = max(0, last - _LISTED)
        lines = ["#EXTM3U", "#EXT-X-VERSION:3", "#EXT-X-TARGETDURATION:1"]
        lines.append(f"#EXT-X-MEDIA-SEQUENCE:{first}")
        for name in self._segments[first:last]:
            lines += ["#EXTINF:1.0,", name]
        return "\n".join(lines) + "\n"


@contextlib.contextmanager
def hls_camera(folder: Path, *, seconds: int = 60) -> Iterator[HlsCamera]:
    """Serve a live playlist for the length of a ``with`` block, for at most ``seconds``."""
    camera = HlsCamera(folder, seconds=seconds)

    class Handler(http.server.SimpleHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            if not self.path.endswith(".m3u8"):
                super().do_GET()
                return
            body = camera.playlist().encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/vnd.apple.mpegurl")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *arguments: object) -> None:
            del arguments

    handler = functools.partial(Handler, directory=str(folder))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    camera.url = f"http://127.0.0.1:{server.server_port}/live.m3u8"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield camera
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
