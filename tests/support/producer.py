"""A PutMedia producer for tests: whole bodies, or fragment by fragment in real time."""

from __future__ import annotations

import contextlib
import http.client
import json
import threading
import time
from collections.abc import Iterable, Iterator
from typing import Any

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from streamd.kvs import mkv_write
from tests.support.media import Video, cluster

__all__ = ["now_ms", "put_media", "put_video"]


def now_ms() -> int:
    """Return wall time in milliseconds since 1970."""
    return int(time.time() * 1000)


def put_media(
    port: int, stream: str, body: Iterable[bytes], *, credentials: tuple[str, str] | None = None
) -> list[dict[str, Any]]:
    """Send a body to PutMedia on the loopback and return its acknowledgements.

    With ``credentials`` (key id, secret) it is signed as a Java producer signs, without its body.
    """
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    headers = {
        "x-amzn-stream-name": stream,
        "x-amzn-fragment-timecode-type": "ABSOLUTE",
        "x-amzn-producer-start-timestamp": "0",
        "Transfer-Encoding": "chunked",
    }
    if credentials is not None:
        headers = _signed(f"http://127.0.0.1:{port}/putMedia", headers, credentials)
    with contextlib.closing(connection):
        # The server may answer and close before the end of the body.
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            connection.request(
                "POST", "/putMedia", body=iter(body), headers=headers, encode_chunked=True
            )
        with connection.getresponse() as answer:
            text = answer.read().decode()
            assert answer.status == 200, text
    return [json.loads(line) for line in text.splitlines() if line.strip()]


def put_video(
    port: int,
    stream: str,
    video: Video,
    *,
    start_ms: int | None = None,
    real_time: bool = False,
    repeat: int = 1,
    stop: threading.Event | None = None,
    credentials: tuple[str, str] | None = None,
) -> list[dict[str, Any]]:
    """Send a video, its first picture at ``start_ms`` (now); several times one after the other."""
    start = now_ms() if start_ms is None else start_ms
    body = _body(video, start, real_time, repeat, stop)
    return put_media(port, stream, body, credentials=credentials)


def _signed(url: str, headers: dict[str, str], credentials: tuple[str, str]) -> dict[str, str]:
    request = AWSRequest(
        method="POST", url=url, headers={**headers, "X-Amz-Content-SHA256": "UNSIGNED-PAYLOAD"}
    )
    SigV4Auth(Credentials(*credentials), "kinesisvideo", "us-east-1").add_auth(request)
    return dict(request.headers.items())


def _body(
    video: Video, start_ms: int, real_time: bool, repeat: int, stop: threading.Event | None
) -> Iterator[bytes]:
    times = sorted(packet.pts_ms for packet in video.packets)
    length_ms = times[-1] + times[1] - times[0]
    yield mkv_write.stream_header([video.track])
    for round_ in range(repeat):
        for fragment in video.fragments():
            if stop is not None and stop.is_set():
                return
            start = start_ms + round_ * length_ms
            yield cluster(video, fragment, start_ms=start)
            if real_time:
                end = start + max(p.pts_ms for p in fragment)
                time.sleep(max(0.0, end / 1000 - time.time()))
