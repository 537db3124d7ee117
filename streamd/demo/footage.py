"""The sample camera: a clip that pans and zooms over photographs of scikit-image's package.

The photographs lie inside the wheel (astronaut: NASA, public domain; chelsea, coffee: CC0;
rocket: NASA/SpaceX, CC0), so the demo needs no network. One of them shows a real face.
"""

from __future__ import annotations

import functools
import importlib.util
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from streamd.demo.errors import DemoError

__all__ = ["FACE_NAME", "SampleCamera", "make_footage", "sample_face"]

WIDTH_PX, HEIGHT_PX, FRAME_RATE = 1280, 720, 25
KEYFRAME_FRAMES = 50
"""Fragments of two seconds."""
FADE_FRAMES = 5
FACE_NAME = "eileen"
"""Whose face the sample camera sees: astronaut Eileen Collins."""
ENLARGE = 2
"""Photographs are enlarged once, well; frames are then cut out quickly."""

Planes = tuple[Image.Image, Image.Image, Image.Image]
View = tuple[float, float, float]
"""Centre x, centre y and width of what the camera sees, as ratios of the photograph's width."""


@dataclass(frozen=True, kw_only=True)
class Scene:
    """A move of the camera over one photograph."""

    photo: str
    seconds: float
    start: View
    end: View


# The face of the astronaut is at about (0.43, 0.22) of the picture and 0.18 wide.
SCENES = (
    Scene(photo="coffee.png", seconds=4, start=(0.50, 0.33, 0.92), end=(0.46, 0.30, 0.62)),
    Scene(photo="astronaut.png", seconds=7, start=(0.58, 0.66, 0.70), end=(0.45, 0.26, 0.62)),
    Scene(photo="chelsea.png", seconds=6, start=(0.50, 0.33, 1.00), end=(0.48, 0.35, 0.80)),
    Scene(photo="astronaut.png", seconds=6, start=(0.40, 0.30, 0.50), end=(0.52, 0.29, 0.94)),
    Scene(photo="rocket.jpg", seconds=3, start=(0.50, 0.28, 0.70), end=(0.50, 0.36, 0.96)),
)


@dataclass(frozen=True, kw_only=True)
class SampleCamera:
    """The clip that was made."""

    path: Path
    seconds: float
    frames: int


def make_footage(
    path: Path, *, progress: Callable[[int, int], None] = lambda _done, _total: None
) -> SampleCamera:
    """Write the clip as MP4.

    Args:
        path: Where to.
        progress: Called with frames done and frames in all.

    Raises:
        DemoError: If the photographs are not installed.

    """
    total = sum(round(scene.seconds * FRAME_RATE) for scene in SCENES)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=FRAME_RATE)
        stream.width, stream.height, stream.pix_fmt = WIDTH_PX, HEIGHT_PX, "yuv420p"
        stream.gop_size = KEYFRAME_FRAMES
        stream.options = {"preset": "ultrafast", "crf": "24", "sc_threshold": "0"}
        for index, planes in enumerate(_frames()):
            frame = av.VideoFrame.from_ndarray(_yuv420(planes), "yuv420p")
            frame.pts, frame.time_base = index, Fraction(1, FRAME_RATE)
            container.mux(stream.encode(frame))
            progress(index + 1, total)
        container.mux(stream.encode(None))
    return SampleCamera(path=path, seconds=total / FRAME_RATE, frames=total)


def sample_face() -> bytes:
    """Return the photograph whose face the sample camera sees, as a user would upload it."""
    return _photo_file("astronaut.png").read_bytes()


def _frames() -> Iterator[Planes]:
    before: Planes | None = None
    for scene in SCENES:
        count = round(scene.seconds * FRAME_RATE)
        planes: Planes | None = None
        for index in range(count):
            planes = _view(scene, index / (count - 1))
            if before is not None and index < FADE_FRAMES:
                share = (index + 1) / (FADE_FRAMES + 1)
                y, u, v = (Image.blend(a, b, share) for a, b in zip(before, planes, strict=True))
                planes = (y, u, v)
            yield planes
        before = planes


def _view(scene: Scene, progress: float) -> Planes:
    """Cut out what the camera sees; it starts and stops softly."""
    photo = _photo(scene.photo)
    width, height = photo[0].size
    eased = (1 - math.cos(math.pi * progress)) / 2
    x, y, seen = (a + (b - a) * eased for a, b in zip(scene.start, scene.end, strict=True))
    # Half a hertz of sway, as a camera on a pole has.
    x += 0.004 * math.sin(progress * scene.seconds * math.pi)
    half_width = seen * width / 2
    half_height = half_width * HEIGHT_PX / WIDTH_PX
    left = min(max(x * width - half_width, 0), width - 2 * half_width)
    top = min(max(y * width - half_height, 0), height - 2 * half_height)
    box = (left, top, left + 2 * half_width, top + 2 * half_height)
    bilinear = Image.Resampling.BILINEAR
    luma = photo[0].resize((WIDTH_PX, HEIGHT_PX), bilinear, box=box)
    half = (WIDTH_PX // 2, HEIGHT_PX // 2)
    return luma, photo[1].resize(half, bilinear, box=box), photo[2].resize(half, bilinear, box=box)


@functools.cache
def _photo(name: str) -> Planes:
    """Return a photograph as video: luma and two chroma planes, in video's range of values.

    Cutting views out of these is three times as fast as converting every frame from RGB.
    """
    image = Image.open(_photo_file(name)).convert("RGB")
    size = (image.width * ENLARGE, image.height * ENLARGE)
    y, u, v = image.resize(size, Image.Resampling.LANCZOS).convert("YCbCr").split()
    chroma = [round(128 + (value - 128) * 224 / 255) for value in range(256)]
    return (
        y.point([round(16 + value * 219 / 255) for value in range(256)]),
        u.point(chroma),
        v.point(chroma),
    )


def _yuv420(planes: Planes) -> NDArray[np.uint8]:
    return np.concatenate([np.asarray(p, np.uint8).reshape(-1) for p in planes]).reshape(
        HEIGHT_PX * 3 // 2, WIDTH_PX
    )


def _photo_file(name: str) -> Path:
    # Found, not imported: skimage's import takes a second and its fetchers use the network.
    spec = importlib.util.find_spec("skimage")
    folders = spec.submodule_search_locations if spec is not None else None
    path = Path(next(iter(folders))) / "data" / name if folders else None
    if path is None or not path.is_file():
        raise DemoError(
            "the photographs of the sample camera are not installed",
            hint="pip install 'streamd[demo]', or name your own video: --source FILE",
        )
    return path
