"""Do the cameras of the settings send video: asked of the daemon that relays them, else tried."""

from __future__ import annotations

import concurrent.futures
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from streamd.cli.findings import NETWORK_SECONDS, Finding, broken, good, notable
from streamd.config import CameraSettings, Settings

if TYPE_CHECKING:
    from streamd.producer.probe import SourceReport

__all__ = ["check_cameras"]

AT_ONCE = 16
OPEN_SECONDS = 10.0
READ_SECONDS = 3.0
LOOK_SECONDS = 6.0
"""Many cameras send a sender report every five seconds."""
TOTAL_SECONDS = 2 * (OPEN_SECONDS + READ_SECONDS) + LOOK_SECONDS
"""libavformat needs up to twice a time limit to notice it."""


@dataclass(kw_only=True)
class _Relayed:
    """What the daemon's metrics say of a camera."""

    is_up: bool = False
    frames: int = 0
    clock_offset_seconds: float | None = None
    uses_camera_clock: bool = False


def check_cameras(settings: Settings) -> Iterator[Finding]:
    """Each camera is relayed by the running daemon, or can be opened and read."""
    if not settings.cameras:
        return
    relayed = _relayed(settings)
    # A camera may allow few connections: one that sends is not opened again.
    tried = {
        name: camera
        for name, camera in settings.cameras.items()
        if name not in relayed or not relayed[name].is_up
    }
    found = _try(tried)
    for name in settings.cameras:
        if name in found:
            yield found[name]
        else:
            yield _as_relayed(name, relayed[name])


def _relayed(settings: Settings) -> dict[str, _Relayed]:
    """Ask the daemon; nothing where none runs."""
    from prometheus_client.parser import text_string_to_metric_families  # noqa: PLC0415

    server = settings.server
    scheme = "http" if server.tls_cert is None else "https"
    host = "127.0.0.1" if server.host in {"0.0.0.0", "::"} else server.host  # noqa: S104 - compared, not bound
    try:
        with urllib.request.urlopen(  # noqa: S310 - http(s) by construction
            f"{scheme}://{host}:{server.port}/metrics", timeout=NETWORK_SECONDS
        ) as answer:
            families = list(text_string_to_metric_families(answer.read().decode()))
    except (OSError, ValueError, urllib.error.URLError):
        return {}
    found: dict[str, _Relayed] = {}
    for sample in (sample for family in families for sample in family.samples):
        if "camera" not in sample.labels:
            continue
        camera = found.setdefault(sample.labels["camera"], _Relayed())
        if sample.name == "streamd_camera_up":
            camera.is_up = sample.value > 0
        elif sample.name == "streamd_camera_frames_total":
            camera.frames = int(sample.value)
        elif sample.name == "streamd_camera_clock_offset_seconds":
            camera.clock_offset_seconds = sample.value
        elif sample.name == "streamd_camera_clock_used":
            camera.uses_camera_clock = sample.value > 0
    return found


def _as_relayed(name: str, state: _Relayed) -> Finding:
    title = f"camera {name}"
    detail = f"the daemon relays it: {state.frames} frames so far"
    offset = state.clock_offset_seconds
    if offset is None:
        return good(title, f"{detail}, no clock of its own")
    detail = f"{detail}, its clock is {offset:+.1f} s off"
    return good(title, f"{detail} and {'' if state.uses_camera_clock else 'not '}used")


def _try(cameras: Mapping[str, CameraSettings]) -> dict[str, Finding]:
    if not cameras:
        return {}
    pool = concurrent.futures.ThreadPoolExecutor(
        min(AT_ONCE, len(cameras)), thread_name_prefix="camera"
    )
    try:
        looks = {name: pool.submit(_look, name, camera) for name, camera in cameras.items()}
        rounds = -(-len(cameras) // AT_ONCE)
        concurrent.futures.wait(looks.values(), timeout=rounds * TOTAL_SECONDS)
        return {
            name: look.result()
            if look.done()
            else broken(f"camera {name}", f"does not answer within {TOTAL_SECONDS:.0f} s")
            for name, look in looks.items()
        }
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def _look(name: str, camera: CameraSettings) -> Finding:
    from streamd.producer import SourceError, SourceOptions  # noqa: PLC0415
    from streamd.producer.probe import look_at  # noqa: PLC0415

    options = SourceOptions(
        audio=camera.audio,
        transcode=camera.transcode,
        rtsp_transport=camera.rtsp_transport,
        open_timeout_seconds=min(camera.open_timeout_seconds, OPEN_SECONDS),
        read_timeout_seconds=min(camera.read_timeout_seconds, READ_SECONDS),
    )
    try:
        report = look_at(camera.url.get_secret_value(), options, seconds=LOOK_SECONDS)
    except SourceError as error:
        step = error.hint or f"check cameras.{name}.url"
        return broken(f"camera {name}", str(error), step)
    return _as_seen(name, camera, report)


def _as_seen(name: str, camera: CameraSettings, report: SourceReport) -> Finding:
    from streamd.producer.camera_clock import ClockChoice, ClockSource  # noqa: PLC0415
    from streamd.producer.tracks import CODEC_IDS  # noqa: PLC0415

    title = f"camera {name}"
    offset = report.clock_offset_seconds
    sound = "no sound"
    if report.audio_codec is not None:
        kept = camera.audio and report.audio_codec == "aac"
        sound = f"{report.audio_codec} sound {'kept' if kept else 'left out'}"
    clock = "no clock of its own" if offset is None else f"clock {offset:+.1f} s off"
    size = f"{report.width_px}x{report.height_px}"
    detail = f"{report.codec} {size}, {report.frame_rate:g} fps, {sound}, {clock}"
    if report.codec not in CODEC_IDS and not camera.transcode:
        step = "set the camera to H.264 or H.265: encoding its video takes much of a core"
        return notable(title, detail, step)
    choice = ClockChoice(ClockSource(camera.clock))
    choice.choose(None if offset is None else int(offset * 1e9), 0)
    if choice.complaint() is not None:
        return notable(title, detail, "set the camera's clock (NTP); this machine's is used")
    if camera.audio and report.audio_codec not in (None, "aac"):
        return notable(title, detail, "set the camera's sound to AAC: nothing else is kept")
    return good(title, detail)
