"""Opening a source with libavformat: what it is asked for, and what its errors mean."""

from __future__ import annotations

import contextlib
import errno
import re
import socket
import urllib.parse
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import av
import av.container
import av.error

from streamd.producer.errors import SourceError

__all__ = [
    "RAW_FORMATS",
    "SourceOptions",
    "av_errors",
    "is_live",
    "is_segmented",
    "mask_credentials",
    "open_container",
]

LIVE_SCHEMES = ("rtsp", "rtsps", "rtmp", "rtmps", "srt", "udp", "rtp")
RAW_FORMATS = ("h264", "hevc")
SEGMENTED_FORMATS = ("hls", "dash")
_QUERY_VALUE = re.compile(r"(?<==)[^&#\s]+")
_USERINFO = re.compile(r"(?<=://)[^/@\s]+@")
_UNREACHABLE = (errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EHOSTDOWN, errno.ENETDOWN)


@dataclass(frozen=True, kw_only=True)
class SourceOptions:
    """How a source is read."""

    audio: bool = False
    """Send the audio too, where it is AAC."""
    transcode: bool = False
    """Encode to H.264 with a keyframe every two seconds even where it is not needed."""
    frame_rate: float | None = None
    """Frames per second of a source without timestamps; ``None``: what its headers say."""
    rtsp_transport: str = "tcp"
    """``tcp`` or ``udp``."""
    open_timeout_seconds: float = 10.0
    read_timeout_seconds: float = 5.0
    """A camera silent this long is gone; also the longest a read cannot be interrupted."""


def is_live(url: str, container: av.container.InputContainer | None = None) -> bool:
    """Say whether a source never ends but by a fault; of HTTP only the open container tells."""
    scheme = url.partition("://")[0].lower()
    if url.startswith("/dev/") or scheme in LIVE_SCHEMES:
        return True
    if container is None or scheme not in ("http", "https"):
        return False
    has_end = container.duration is not None and container.duration > 0
    return not has_end and container.format.name not in RAW_FORMATS


def is_segmented(container: av.container.InputContainer) -> bool:
    """Say whether packets come in bursts, a segment at a time."""
    return any(name in SEGMENTED_FORMATS for name in container.format.name.split(","))


def mask_credentials(url: str) -> str:
    """Return the URL without user name, password, and whatever its query says.

    Cameras take passwords there, under any name.
    """
    place, mark, query = _USERINFO.sub("***@", url).partition("?")
    return place + mark + _QUERY_VALUE.sub("***", query)


def open_container(url: str, options: SourceOptions) -> av.container.InputContainer:
    """Open a source for reading; blocks no longer than the options say.

    Raises:
        SourceError: If it cannot be opened; its hint is the user's next step.

    """
    scheme = url.partition("://")[0].lower() if "://" in url else "file"
    if scheme == "file":
        _check_file(Path(url.removeprefix("file://")))
    limits = (options.open_timeout_seconds, options.read_timeout_seconds)
    with av_errors(url, "cannot be opened"):
        return av.open(
            url,
            format="v4l2" if url.startswith("/dev/video") else None,
            options={"rtsp_transport": options.rtsp_transport} if scheme.startswith("rtsp") else {},
            # libavformat waits for ever on a frozen camera unless it is told not to.
            timeout=None if scheme == "file" else limits,
        )


@contextlib.contextmanager
def av_errors(url: str, what: str) -> Iterator[None]:
    """Turn libavformat's errors into ours, with the next step."""
    name = mask_credentials(url)
    try:
        yield
    except av.error.HTTPUnauthorizedError as error:
        hint = "put the camera's user and password into the URL: rtsp://USER:PASSWORD@HOST/…"
        raise SourceError(f"{name} asks for a password (401)", hint=hint) from error
    except av.error.HTTPForbiddenError as error:
        hint = "give this user the right to watch, in the camera's own settings"
        raise SourceError(f"{name} {what}: forbidden (403)", hint=hint) from error
    except av.error.HTTPNotFoundError as error:
        hint = "check the path after the host: the camera's manual names its streams"
        raise SourceError(f"{name} {what}: no such stream (404)", hint=hint) from error
    except av.error.ExitError as error:
        # PyAV interrupts libavformat when its time is up.
        hint = "check that the camera runs, and that no firewall is between"
        raise SourceError(f"{name} {what}: it has gone silent", hint=hint) from error
    except av.error.InvalidDataError as error:
        raise SourceError(f"{name} {what}: this is not a video") from error
    except av.error.ProtocolNotFoundError as error:
        hint = "rtsp://, rtmp://, http://, udp://, a file, or /dev/videoN"
        raise SourceError(f"{name} {what}: unknown kind of URL", hint=hint) from error
    except (av.error.FFmpegError, OSError) as error:
        reason, next_step = _reason(url, error)
        raise SourceError(f"{name} {what}: {reason}", hint=next_step) from error


def _reason(url: str, error: Exception) -> tuple[str, str | None]:
    reason = getattr(error, "strerror", None) or str(error)
    number = getattr(error, "errno", None)
    if number == errno.ECONNREFUSED:
        return reason, "check the port, and that the camera's RTSP (or other) service is on"
    if number in _UNREACHABLE:
        return reason, "check the address, the network cable and the route to the camera"
    if number in (errno.ETIMEDOUT, errno.EAGAIN):
        return "it has gone silent", "check that the camera runs, and that no firewall is between"
    if number == errno.EACCES:
        return reason, "give this user the right to read it"
    if number == errno.EIO and not _has_address(url):
        return "its host name has no address", "check the host name, or write the address"
    return reason, None


def _has_address(url: str) -> bool:
    """Libavformat calls a name that does not resolve an input/output error."""
    host = urllib.parse.urlsplit(url).hostname
    if not host:
        return True
    try:
        return bool(socket.getaddrinfo(host, None))
    except OSError:
        return False


def _check_file(path: Path) -> None:
    if not path.exists():
        raise SourceError(f"{path} does not exist", hint="check the path given to --source")
    if path.is_dir():
        raise SourceError(f"{path} is a directory", hint="name one video file")
