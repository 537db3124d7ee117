"""Clips that try the gate: one scene, many ways of moving in it, lighting it and encoding it.

Real footage where it is (``../shared/media``): a room into which a person comes, cut out of it
for the small, slow and fast ones. Elsewhere a drawn figure walks over a drawn room; detectors
see nobody in it, motion is the same.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import cast

import av
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from tests.support.media import Video, demux, moving_shapes

__all__ = ["CLIPS", "Clip", "make"]

Rgb = NDArray[np.uint8]
FPS = 30
FOOTAGE_FPS = 10
SIZE = (768, 432)
VISIT = (5.0, 21.5)
"""Of the footage, in seconds: from an empty room to an empty room."""


@dataclass(frozen=True, kw_only=True)
class Clip:
    """How a clip is made."""

    name: str
    what: str
    scene: str = "visit"
    seconds: int = 110
    size: tuple[int, int] = (1280, 720)
    codec: str = "libx264"
    gop: int = 60
    b_frames: int = 0
    rate: str = ""
    """Bits a second, held constantly; empty: constant quality."""
    noise: float = 2.0
    """Standard deviation of the sensor's noise, in levels of 256."""
    region: tuple[float, float, float, float] | None = None
    options: dict[str, str] = field(default_factory=dict)


CLIPS = (
    Clip(name="home-vbr", what="a visit of 15 s, constant quality", noise=1.0),
    Clip(
        name="home",
        what="a visit of 15 s, 1080p, constant rate, noise",
        size=(1920, 1080),
        rate="4000000",
        noise=3.0,
        seconds=150,
    ),
    Clip(
        name="idle",
        what="nothing at all, 1080p",
        scene="empty",
        size=(1920, 1080),
        rate="4000000",
        noise=3.0,
        seconds=90,
    ),
    Clip(name="b-frames", what="a visit, 3 B-frames", b_frames=3),
    Clip(name="small", what="a person of a seventh of the height, far away", scene="small"),
    Clip(name="slow", what="a person who creeps in", scene="slow"),
    Clip(name="fast", what="a person who crosses in 1 s between keyframes", scene="fast"),
    Clip(
        name="fast-noise",
        what="the same, constant rate, much noise",
        scene="fast",
        rate="2000000",
        noise=5.0,
    ),
    Clip(name="light", what="lamps, dusk and a visit", scene="light"),
    Clip(
        name="night",
        what="a dark room, much noise, constant rate, a visit",
        scene="night",
        rate="1000000",
        noise=5.0,
    ),
    Clip(name="long-gop", what="a visit, keyframes every 8 s", gop=240),
    Clip(name="long-fast", what="crossings in 1 s, keyframes every 8 s", scene="fast", gop=240),
    # Longer does not fit into a fragment: block times are 16 bits of milliseconds.
    Clip(name="gop-30s", what="a visit, keyframes every 30 s", gop=900),
    Clip(name="hevc", what="a visit, H.265", codec="libx265"),
    Clip(name="busy", what="a person most of the time", scene="busy", seconds=70),
    Clip(name="cars", what="cars all the time, automatic exposure", scene="cars", noise=0.0),
)


def make(clip: Clip, shared: Path, folder: Path) -> Video:
    """Return a clip, from the folder if it was made before."""
    path = folder / f"{clip.name}.mkv"
    if not path.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(".part")
        _encode(clip, _pictures(clip, shared), part)
        part.rename(path)
    return demux(path)


def _pictures(clip: Clip, shared: Path) -> Iterator[Rgb]:
    if clip.scene == "cars":
        source = shared / "media" / "video" / "parking_cars.mp4"
        return _looped(source) if source.is_file() else moving_shapes(clip.seconds * FPS)
    return _SCENES[clip.scene](_footage(shared))


def _footage(shared: Path) -> list[Rgb]:
    """Pictures of the room at 10 a second, 72 s of them."""
    path = shared / "media" / "video" / "one_by_one_a.mp4"
    if not path.is_file():
        return list(_drawn(720))
    with av.open(str(path)) as container:
        return [
            frame.reformat(*SIZE, "rgb24").to_ndarray().astype(np.uint8)
            for frame in container.decode(video=0)
        ]


def _drawn(count: int) -> Iterator[Rgb]:
    ys, xs = np.mgrid[0 : SIZE[1], 0 : SIZE[0]]
    room = np.stack([120 + xs // 12, 110 + ys // 8, 90 + (xs // 40 + ys // 40) % 2 * 25], axis=2)
    for index in range(count):
        picture = room.astype(np.uint8)
        seconds = index / FOOTAGE_FPS
        if 6 < seconds < 20:
            left = int((seconds - 6) / 14 * (SIZE[0] + 100)) - 100
            picture[150:400, max(0, left) : max(0, left + 90)] = (60, 50, 70)
        yield picture


def _looped(path: Path) -> Iterator[Rgb]:
    while True:
        with av.open(str(path)) as container:
            for frame in container.decode(video=0):
                for _ in range(
                    max(1, round(FPS / float(container.streams.video[0].average_rate or 15)))
                ):
                    yield frame.to_ndarray(format="rgb24").astype(np.uint8)


def _at(pictures: list[Rgb], seconds: float) -> Rgb:
    return pictures[min(len(pictures) - 1, int(seconds * FOOTAGE_FPS))]


def _empty(pictures: list[Rgb]) -> Iterator[Rgb]:
    while True:
        yield pictures[40]


def _visit(pictures: list[Rgb]) -> Iterator[Rgb]:
    """Nobody for 60 s, a visit, nobody."""
    begin, end = VISIT
    for index in range(10**9):
        seconds = index / FPS - 60
        yield _at(pictures, begin + min(max(0.0, seconds), end - begin))


def _busy(pictures: list[Rgb]) -> Iterator[Rgb]:
    for index in range(10**9):
        yield _at(pictures, index / FPS)


def _cutout(pictures: list[Rgb], height: int) -> list[tuple[Rgb, NDArray[np.float32]]]:
    """The visitor cut out of the room, at a height in pixels of the room's picture."""
    empty = pictures[40].astype(np.int16)
    found = []
    for seconds in np.arange(8.0, 18.0, 0.1):
        picture = _at(pictures, float(seconds))
        changed = np.abs(picture.astype(np.int16) - empty).max(axis=2) > 24
        mask = Image.fromarray((changed * 255).astype(np.uint8)).filter(ImageFilter.MedianFilter(9))
        box = mask.getbbox()
        if box is None:
            continue
        scale = height / SIZE[1]
        size = (max(1, round((box[2] - box[0]) * scale)), max(1, round((box[3] - box[1]) * scale)))
        part = Image.fromarray(picture).crop(box).resize(size, Image.Resampling.BOX)
        alpha = mask.crop(box).resize(size, Image.Resampling.BOX)
        found.append((np.asarray(part, np.uint8), _share(alpha)))
    return found


def _share(alpha: Image.Image) -> NDArray[np.float32]:
    return np.asarray(alpha, np.float32)[..., None] / np.float32(255)


def _paste(room: Rgb, cutout: tuple[Rgb, NDArray[np.float32]], left: int, bottom: int) -> Rgb:
    part, alpha = cutout
    picture = room.copy()
    top = bottom - part.shape[0]
    begin, end = max(0, left), min(SIZE[0], left + part.shape[1])
    if begin < end:
        inner = slice(begin - left, end - left)
        ground = picture[top:bottom, begin:end]
        mixed = ground * (1 - alpha[:, inner]) + part[:, inner] * alpha[:, inner]
        picture[top:bottom, begin:end] = mixed.astype(np.uint8)
    return picture


def _walk(
    pictures: list[Rgb], height: int, bottom: int, where: Callable[[float], float | None]
) -> Iterator[Rgb]:
    """A cut-out person whose left edge is where the function of time says, in widths."""
    people, room = _cutout(pictures, height), pictures[40]
    for index in range(10**9):
        place = where(index / FPS)
        if place is None:
            yield room
        else:
            cutout = people[index // 3 % len(people)]
            yield _paste(room, cutout, round(place * SIZE[0]), bottom)


def _small(pictures: list[Rgb]) -> Iterator[Rgb]:
    def where(seconds: float) -> float | None:
        return 0.3 + (seconds - 60) / 20 * 0.4 if 60 < seconds < 80 else None

    return _walk(pictures, 62, 200, where)


def _slow(pictures: list[Rgb]) -> Iterator[Rgb]:
    def where(seconds: float) -> float | None:
        return -0.2 + (seconds - 50) * 0.006 if 50 < seconds < 95 else None

    return _walk(pictures, 300, 420, where)


def _fast(pictures: list[Rgb]) -> Iterator[Rgb]:
    def where(seconds: float) -> float | None:
        # A second or so behind a keyframe at every even second, gone before the next one.
        phase = seconds % 16
        return -0.2 + (phase - 0.4) / 1.0 * 1.2 if seconds > 40 and 0.4 < phase < 1.4 else None

    return _walk(pictures, 220, 400, where)


def _light(pictures: list[Rgb]) -> Iterator[Rgb]:
    for index, picture in enumerate(_visit(pictures)):
        seconds = index / FPS
        level = 1 - 0.25 * min(1.0, max(0.0, (seconds - 30) / 60))
        if 45 < seconds < 52 or seconds > 84:
            level *= 0.7
        level *= 1 + 0.004 * math.sin(seconds * 2)
        yield (picture * level).astype(np.uint8)


def _night(pictures: list[Rgb]) -> Iterator[Rgb]:
    for picture in _visit(pictures):
        yield (picture * 0.25).astype(np.uint8)


_SCENES: dict[str, Callable[[list[Rgb]], Iterator[Rgb]]] = {
    "empty": _empty,
    "visit": _visit,
    "busy": _busy,
    "small": _small,
    "slow": _slow,
    "fast": _fast,
    "light": _light,
    "night": _night,
}


def _encode(clip: Clip, pictures: Iterator[Rgb], path: Path) -> None:
    width, height = clip.size
    random = np.random.default_rng(1)
    bank = random.normal(0, clip.noise, (height + 64, width + 64)).round().astype(np.int8)
    with av.open(str(path), "w", format="matroska") as container:
        stream = cast(av.VideoStream, container.add_stream(clip.codec, rate=FPS))
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.gop_size, stream.max_b_frames, stream.thread_count = clip.gop, clip.b_frames, 2
        stream.options = dict(_options(clip))
        last: Rgb | None = None
        planes: list[NDArray[np.uint8]] = []
        for index in range(clip.seconds * FPS):
            picture = next(pictures)
            if picture is not last:
                planes, last = _planes(picture, width, height), picture
            y, x = random.integers(0, 64, 2)
            grainy = planes[0] + bank[y : y + height, x : x + width].astype(np.int16)
            luma = np.clip(grainy, 0, 255).astype(np.uint8) if clip.noise else planes[0]
            frame = av.VideoFrame.from_ndarray(
                np.concatenate([luma.reshape(-1), *(p.reshape(-1) for p in planes[1:])]).reshape(
                    height * 3 // 2, width
                ),
                "yuv420p",
            )
            frame.pts, frame.time_base = index, Fraction(1, FPS)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def _planes(picture: Rgb, width: int, height: int) -> list[NDArray[np.uint8]]:
    frame = av.VideoFrame.from_ndarray(picture, "rgb24").reformat(width, height, "yuv420p")
    whole = frame.to_ndarray().reshape(-1).astype(np.uint8)
    luma, chroma = width * height, width * height // 4
    return [
        whole[:luma].reshape(height, width),
        whole[luma : luma + chroma],
        whole[luma + chroma :],
    ]


def _options(clip: Clip) -> dict[str, object]:
    keys = f"keyint={clip.gop}:min-keyint={min(clip.gop, 250)}:scenecut=0:bframes={clip.b_frames}"
    if clip.codec == "libx265":
        params = {"x265-params": f"{keys}:open-gop=0:log-level=none", "preset": "ultrafast"}
        return {**params, "crf": "26", **clip.options}
    rate = {"crf": "24"}
    if clip.rate:
        rate = {"b": clip.rate, "maxrate": clip.rate, "bufsize": clip.rate}
    return {"x264-params": keys, "preset": "veryfast", **rate, **clip.options}
