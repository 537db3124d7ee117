"""The clips that are measured, made once into a folder outside the repository.

A clip is known by its recipe: whoever changes the recipe, its footage or :data:`EDITION` gets a
new file. All are 60 s long and begin with a keyframe, so that a sender can play them again and
again. Real footage is used where the shared media are there, photographs otherwise.

busy: a street with eight people and more in every picture.
home: an empty room; a person comes and goes, seconds 20 to 26 of 60 (10 %).
idle: the empty room alone.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Final, cast

import av
import numpy as np
from av.video.reformatter import VideoReformatter
from numpy.typing import NDArray
from PIL import Image

from tests.support.media import Video, demux
from tests.support.scenes import photo

__all__ = ["CLIPS", "Clip", "Recipe", "cache_folder", "make_clip"]

EDITION: Final = 2
"""Raised when this module makes other pictures from the same recipe."""
GOP_SECONDS: Final = 2
NOISE: Final = 3.0
"""Standard deviation of the sensor's noise, of 255."""
VISIT: Final = (20, 26)

Planes = NDArray[np.uint8]
"""A picture as YUV 4:2:0: rows of luma, then those of chroma."""


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """What a clip shows and how it is encoded."""

    name: str
    scene: str
    """``busy``, ``home`` or ``idle``."""
    width: int = 1920
    height: int = 1080
    fps: int = 30
    codec: str = "h264"
    cbr_kbits: int | None = None
    """Constant bit rate; ``None``: variable, at a constant quality, as most cameras are sold."""
    b_frames: int = 0
    seconds: int = 60

    def key(self, footage: str) -> str:
        """Return what tells this clip's file from all others."""
        told = json.dumps([EDITION, footage, asdict(self)], sort_keys=True)
        return f"{self.name}-{hashlib.sha256(told.encode()).hexdigest()[:12]}"


@dataclass(frozen=True, kw_only=True)
class Clip:
    """A clip that is there."""

    recipe: Recipe
    path: Path
    footage: str
    """What it was made from."""
    _video: list[Video] = field(default_factory=list)

    @property
    def name(self) -> str:
        """The recipe's name."""
        return self.recipe.name

    def video(self) -> Video:
        """Return its packets."""
        if not self._video:
            self._video.append(demux(self.path))
        return self._video[0]

    @property
    def kbits_per_second(self) -> int:
        """Mean bit rate."""
        return round(self.path.stat().st_size * 8 / 1000 / self.recipe.seconds)


def _variants() -> Iterator[Recipe]:
    for scene in ("busy", "home", "idle"):
        yield Recipe(name=scene, scene=scene)
        yield Recipe(name=f"{scene}-b", scene=scene, b_frames=3)
        yield Recipe(name=f"{scene}-cbr", scene=scene, cbr_kbits=4000)
        yield Recipe(name=f"{scene}-cbr-b", scene=scene, cbr_kbits=4000, b_frames=3)
    yield Recipe(name="4k15", scene="home", width=3840, height=2160, fps=15)
    yield Recipe(name="h265", scene="home", codec="hevc")
    yield Recipe(name="small", scene="idle", width=320, height=180, fps=10, seconds=20)


CLIPS: Final = {recipe.name: recipe for recipe in _variants()}
"""All recipes by name."""


def cache_folder() -> Path:
    """Return where clips are kept unless told otherwise."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "streamd" / "bench"


def make_clip(
    recipe: Recipe, folder: Path, shared: Path, progress: Callable[[float], None]
) -> Clip:
    """Return the clip, made now if it is not there.

    Args:
        recipe: What it is.
        folder: Where clips are kept; made if it is not there.
        shared: The shared media, where they are.
        progress: Told how much of it is made, 0 to 1.

    """
    scene = _footage(recipe.scene, shared)
    path = folder / f"{recipe.key(scene.told)}.mkv"
    if not path.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        unfinished = path.with_suffix(f".{os.getpid()}.part")
        try:
            _encode(recipe, scene.pictures(recipe), unfinished, progress)
            unfinished.replace(path)
        finally:
            unfinished.unlink(missing_ok=True)
    progress(1.0)
    return Clip(recipe=recipe, path=path, footage=scene.told)


@dataclass(frozen=True, kw_only=True)
class _Footage:
    told: str
    pictures: Callable[[Recipe], Iterator[Planes]]


def _footage(scene: str, shared: Path) -> _Footage:
    folder = shared / "media" / "video"
    street, room = folder / "people_walking.mp4", folder / "one_by_one_a.mp4"
    if scene == "busy":
        if street.is_file():
            return _Footage(told=street.name, pictures=lambda recipe: _street(street, recipe))
        return _Footage(told="pan over a portrait", pictures=_pan)
    if room.is_file():
        return _Footage(told=room.name, pictures=lambda recipe: _room(room, recipe))
    return _Footage(told="a portrait before a photograph", pictures=_still_life)


def _street(path: Path, recipe: Recipe) -> Iterator[Planes]:
    while True:
        yield from _read(path, recipe, 0, 10.4)


def _room(path: Path, recipe: Recipe) -> Iterator[Planes]:
    # One person comes to a table at 6.1 s, and goes until 19.8 s: the way in, and the way out.
    # The footage has 10 pictures a second: the motion is that of a camera in dim light.
    shown = 0
    # The mean of the empty pictures: played in a loop, the marks that their compression has left
    # would be motion ten times a second, and the seam would be more. Noise is added to it.
    empty = _mean(_read(path, recipe, 0, 5.9))
    visit = iter(())  # type: Iterator[Planes]
    while True:
        second, rest = divmod(shown, recipe.fps)
        if recipe.scene == "home" and (second, rest) == (VISIT[0], 0):
            visit = _visit(path, recipe)
        picture = next(visit, None)
        yield empty if picture is None else picture
        shown += 1


def _visit(path: Path, recipe: Recipe) -> Iterator[Planes]:
    for begin, end in ((6.1, 9.1), (16.8, 19.8)):
        pictures = list(_read(path, recipe, begin, end))
        for index in range(int((end - begin) * recipe.fps)):
            yield pictures[min(index * 10 // recipe.fps, len(pictures) - 1)]


def _mean(pictures: Iterator[Planes]) -> Planes:
    total, count = np.zeros(1), 0
    for picture in pictures:
        total = total + picture
        count += 1
    return np.rint(total / count).astype(np.uint8)


def _read(path: Path, recipe: Recipe, begin: float, end: float) -> Iterator[Planes]:
    scaler = VideoReformatter()
    with av.open(str(path)) as container:
        for frame in container.decode(video=0):
            if frame.time is None or frame.time < begin:
                continue
            if frame.time >= end:
                return
            scaled = scaler.reformat(frame, recipe.width, recipe.height, "yuv420p")
            yield cast(Planes, scaled.to_ndarray())


def _pan(recipe: Recipe) -> Iterator[Planes]:
    wide = photo("astronaut.png").resize((recipe.width * 4 // 3,) * 2)
    index = 0
    while True:
        left = index * 2 % (wide.width - recipe.width)
        yield _planes(wide.crop((left, 100, left + recipe.width, 100 + recipe.height)))
        index += 1


def _still_life(recipe: Recipe) -> Iterator[Planes]:
    size = (recipe.width, recipe.height)
    room = photo("coffee.png").resize(size)
    person = photo("astronaut.png").resize((recipe.height * 2 // 3,) * 2)
    still = _planes(room)
    index = 0
    while True:
        along = (index / recipe.fps - VISIT[0]) / (VISIT[1] - VISIT[0])
        if recipe.scene == "home" and 0 <= along < 1:
            there = room.copy()
            left = round(recipe.width * (0.8 - 0.7 * abs(2 * along - 1)))
            there.paste(person, (left, recipe.height // 4))
            yield _planes(there)
        else:
            yield still
        index += 1


def _planes(image: Image.Image) -> Planes:
    frame = av.VideoFrame.from_ndarray(np.asarray(image, np.uint8), "rgb24")
    return cast(Planes, frame.reformat(format="yuv420p").to_ndarray())


def _encode(
    recipe: Recipe, pictures: Iterator[Planes], path: Path, progress: Callable[[float], None]
) -> None:
    count = recipe.seconds * recipe.fps
    with av.open(str(path), "w", format="matroska") as container:
        name = {"h264": "libx264", "hevc": "libx265"}[recipe.codec]
        stream = cast(av.VideoStream, container.add_stream(name, rate=recipe.fps))
        stream.width, stream.height, stream.pix_fmt = recipe.width, recipe.height, "yuv420p"
        stream.codec_context.time_base = Fraction(1, recipe.fps)
        stream.max_b_frames = recipe.b_frames
        stream.options = {**_options(recipe)}
        for index, planes in enumerate(_noisy(pictures, recipe.height)):
            if index == count:
                break
            frame = av.VideoFrame.from_ndarray(planes, "yuv420p")
            frame.pts, frame.time_base = index, Fraction(1, recipe.fps)
            container.mux(stream.encode(frame))
            if index % recipe.fps == 0:
                progress(index / count)
        container.mux(stream.encode(None))


def _options(recipe: Recipe) -> dict[str, str]:
    gop = GOP_SECONDS * recipe.fps
    groups = f"keyint={gop}:min-keyint={gop}:scenecut=0:bframes={recipe.b_frames}:b-adapt=0"
    if recipe.codec == "hevc":
        params = f"log-level=none:{groups}:open-gop=0"
        return {"preset": "ultrafast", "crf": "26", "x265-params": params}
    # As cameras encode: one reference, no pyramid of B-frames.
    params = f"{groups}:ref=1:b-pyramid=none:open-gop=0"
    options = {"preset": "veryfast", "x264-params": params}
    if recipe.cbr_kbits is None:
        return {**options, "crf": "25"}
    rate = f"{recipe.cbr_kbits}k"
    return {**options, "crf": "-1", "b": rate, "maxrate": rate, "bufsize": rate}


def _noisy(pictures: Iterator[Planes], height: int) -> Iterator[Planes]:
    """Add the noise of a sensor, new in every picture, to the luma."""
    random = np.random.default_rng(1)
    noise: NDArray[np.int16] | None = None
    for picture in pictures:
        luma = picture[:height]
        if noise is None:
            shape = (luma.shape[0] + 64, luma.shape[1] + 64)
            noise = np.rint(random.normal(0, NOISE, shape)).astype(np.int16)
        y, x = random.integers(0, 64, 2)
        grainy = luma + noise[y : y + luma.shape[0], x : x + luma.shape[1]]
        made = picture.copy()
        np.clip(grainy, 0, 255, out=grainy)
        made[:height] = grainy
        yield made
