"""Pictures for people: boxes with names on them, regions shaded, objects cut out, as JPEG.

Everything is drawn in proportion to the picture, so that a name reads as well on a 640 px
preview as on a 1920 px frame. A name keeps its colour from picture to picture.
"""

from __future__ import annotations

import functools
import io
import re
import unicodedata
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from processors.geometry import Box, Point, Polygon
from processors.picture import ArrayPicture, pixel_rectangle
from processors.results import Landmarks

__all__ = [
    "Annotation",
    "Color",
    "annotate",
    "color_of",
    "crop_jpeg",
    "encode_jpeg",
]

Color = tuple[int, int, int]
"""Red, green, blue, 0 to 255."""
Rectangle = tuple[float, float, float, float]
"""Left, top, right, bottom in pixels."""

LABEL_COLORS: dict[str, Color] = {
    "PERSON": (56, 189, 248),
    "PET": (251, 146, 60),
    "PACKAGE": (192, 132, 252),
}
# Far apart from each other, bright enough for black text and to stand out on video.
NAME_COLORS: tuple[Color, ...] = (
    (74, 222, 128),
    (250, 204, 21),
    (244, 114, 182),
    (45, 212, 191),
    (163, 230, 53),
    (129, 140, 248),
    (248, 113, 113),
    (253, 186, 116),
    (232, 121, 249),
    (94, 234, 212),
)
REGION_COLOR: Color = (52, 211, 153)
REGION_OPACITY = 0.22
DARK: Color = (15, 17, 21)
LIGHT: Color = (255, 255, 255)

CROP_MARGIN = 0.12
"""What a cut-out object gets on each side, as a share of its own size."""
JPEG_QUALITY = 90
MIN_FONT_PX = 13
_FONT_SHARE = 0.0225
_CHANGING = re.compile(r"[\s\d.,:%()-]+$")


@dataclass(frozen=True, kw_only=True, slots=True)
class Annotation:
    """One find to draw."""

    box: Box
    text: str = ""
    """A name and a figure, such as ``alice 97 %``; empty: the box alone."""
    color: Color | None = None
    """``None``: by the text without its figure, see :func:`color_of`."""
    landmarks: Landmarks | None = None


def annotate(
    rgb: NDArray[np.uint8],
    items: Sequence[Annotation],
    *,
    regions: Sequence[Box | Polygon] = (),
) -> NDArray[np.uint8]:
    """Return a copy of the picture with regions, boxes and names drawn on it.

    Args:
        rgb: The picture, shape (height, width, 3).
        items: What to draw; a later one lies over an earlier one, all names over all boxes.
        regions: The regions of interest, shaded below everything else.

    """
    image = Image.fromarray(np.ascontiguousarray(rgb))
    _shade(image, regions)
    canvas = _Canvas(image)
    for item in items:
        canvas.box(item)
    for item in items:
        canvas.name(item)
    return np.asarray(image, dtype=np.uint8)


def color_of(text: str) -> Color:
    """Return the colour of a label or name; a figure at its end does not matter."""
    name = _CHANGING.sub("", text)
    if name in LABEL_COLORS:
        return LABEL_COLORS[name]
    return NAME_COLORS[zlib.crc32(name.encode()) % len(NAME_COLORS)]


def encode_jpeg(rgb: NDArray[np.uint8], *, quality: int = JPEG_QUALITY) -> bytes:
    """Return the picture as JPEG; ``quality`` 1 to 95."""
    target = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(rgb)).save(target, format="JPEG", quality=quality)
    return target.getvalue()


def crop_jpeg(
    rgb: NDArray[np.uint8],
    box: Box,
    *,
    margin: float = CROP_MARGIN,
    quality: int = JPEG_QUALITY,
) -> bytes:
    """Return an object, with a little of what is around it, as JPEG.

    Args:
        rgb: The whole picture, shape (height, width, 3).
        box: The object; what lies outside the picture is left out.
        margin: Added on each side, as a share of the box's width or height.
        quality: 1 to 95.

    Raises:
        ValueError: If nothing of the object lies inside the picture.

    """
    around = Box.from_edges(
        left=box.left - margin * box.width,
        top=box.top - margin * box.height,
        right=box.right + margin * box.width,
        bottom=box.bottom + margin * box.height,
    )
    left, top, right, bottom = pixel_rectangle(ArrayPicture(rgb), around)
    return encode_jpeg(rgb[top:bottom, left:right], quality=quality)


class _Canvas:
    """One picture being drawn on."""

    def __init__(self, image: Image.Image) -> None:
        self._width, self._height = image.size
        self._draw = ImageDraw.Draw(image)
        # By the area: a tall picture gets no smaller names than a wide one.
        size = max(MIN_FONT_PX, round(_FONT_SHARE * (self._width * self._height) ** 0.5))
        self._font = _font(size)
        self._line = max(2, round(size / 9))
        self._padding = max(2, round(size / 4.5))
        self._text_height = sum(self._font.getmetrics())
        self._names: list[Rectangle] = []

    def box(self, item: Annotation) -> None:
        """Draw an item's box, with a dark edge that keeps it visible on any ground."""
        left, top, right, bottom = self._rectangle(item.box)
        edge = max(1, self._line // 3)
        color = item.color or color_of(item.text)
        radius = self._line * 1.5
        self._draw.rounded_rectangle(
            (left - edge, top - edge, right + edge, bottom + edge),
            radius=radius + edge,
            outline=DARK,
            width=self._line + 2 * edge,
        )
        self._draw.rounded_rectangle(
            (left, top, right, bottom), radius=radius, outline=color, width=self._line
        )
        if item.landmarks is not None:
            self._dots(item.landmarks, color, face_width=right - left)

    def name(self, item: Annotation) -> None:
        """Write an item's text on a filled tag at its box, clear of the other tags."""
        text = self._fitting(item.text)
        if not text:
            return
        color = item.color or color_of(item.text)
        tag = self._free_place(item.box, text)
        self._names.append(tag)
        left, top, right, bottom = tag
        self._draw.rounded_rectangle(
            (left, top, right - 1, bottom - 1), radius=self._line * 1.5, fill=color
        )
        self._draw.text(
            (left + self._padding, (top + bottom) / 2),
            text,
            fill=_readable_on(color),
            font=self._font,
            anchor="lm",
        )

    def _rectangle(self, box: Box) -> Rectangle:
        """Return the box in pixels, kept inside so that its outline is seen all round."""
        inside = box.clipped()
        right = min(self._width - 1.0, inside.right * self._width)
        bottom = min(self._height - 1.0, inside.bottom * self._height)
        left = min(inside.left * self._width, right)
        top = min(inside.top * self._height, bottom)
        # A box thinner than its own outline could not be drawn.
        least = 2.0 * self._line
        return left, top, max(right, left + least), max(bottom, top + least)

    def _dots(self, landmarks: Landmarks, color: Color, *, face_width: float) -> None:
        radius = max(1.0, min(self._line * 1.2, face_width / 28))
        for point in _points(landmarks):
            x, y = point.x * self._width, point.y * self._height
            self._draw.ellipse(
                (x - radius - 1, y - radius - 1, x + radius + 1, y + radius + 1), fill=DARK
            )
            self._draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=color)

    def _fitting(self, text: str) -> str:
        """Return the text on one line, shortened to the picture's width.

        The built-in font knows ASCII only: accents are dropped, other signs become "?".
        """
        plain = unicodedata.normalize("NFKD", " ".join(text.split()))
        plain = "".join(sign for sign in plain if not unicodedata.combining(sign))
        text = plain.encode("ascii", "replace").decode()
        room = self._width - 2 * self._padding
        if self._font.getlength(text) <= room:
            return text
        while text and self._font.getlength(f"{text}...") > room:
            text = text[:-1]
        return f"{text}..." if text else ""

    def _free_place(self, box: Box, text: str) -> Rectangle:
        """Return where the tag goes: above the box, else below it, else in it."""
        width = self._font.getlength(text) + 2 * self._padding
        height = self._text_height + self._padding
        left, top, _, bottom = self._rectangle(box)
        left = max(0.0, min(left, self._width - width))
        places: list[Rectangle] = [
            (left, y, left + width, y + height)
            for y in (top - height, bottom, top, bottom - height)
            if 0 <= y <= self._height - height
        ]
        for place in places:
            if not any(_touch(place, other) for other in self._names):
                return place
        return places[0] if places else (left, 0.0, left + width, height)


def _shade(image: Image.Image, regions: Sequence[Box | Polygon]) -> None:
    """Lay a translucent colour over each region, with a solid edge."""
    width, height = image.size
    line = max(2, round((width * height) ** 0.5 / 360))
    for region in regions:
        outline = [(x * width * 2, y * height * 2) for x, y in _corners(region)]
        # Drawn at twice the size and shrunk: slanted edges come out smooth.
        mask = Image.new("L", (width * 2, height * 2), 0)
        pen = ImageDraw.Draw(mask)
        pen.polygon(outline, fill=round(255 * REGION_OPACITY))
        pen.line([*outline, outline[0], outline[1]], fill=255, width=line * 2, joint="curve")
        image.paste(REGION_COLOR, (0, 0), mask.resize((width, height), Image.Resampling.BOX))


def _corners(shape: Box | Polygon) -> list[tuple[float, float]]:
    """Return a shape's outline; far-off points are pulled in, for Pillow counts in 32 bits."""
    if isinstance(shape, Polygon):
        corners: Iterable[tuple[float, float]] = ((point.x, point.y) for point in shape.points)
    else:
        corners = (
            (shape.left, shape.top),
            (shape.right, shape.top),
            (shape.right, shape.bottom),
            (shape.left, shape.bottom),
        )
    return [(max(-4.0, min(5.0, x)), max(-4.0, min(5.0, y))) for x, y in corners]


def _points(landmarks: Landmarks) -> tuple[Point, ...]:
    return (
        landmarks.eye_left,
        landmarks.eye_right,
        landmarks.nose,
        landmarks.mouth_left,
        landmarks.mouth_right,
    )


def _touch(one: Rectangle, other: Rectangle) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


def _readable_on(color: Color) -> Color:
    """Return dark or light text, whichever stands out more on the colour."""
    red, green, blue = color
    brightness = 0.299 * red + 0.587 * green + 0.114 * blue
    return DARK if brightness > 128 else LIGHT


@functools.lru_cache(maxsize=16)
def _font(size_px: int) -> ImageFont.FreeTypeFont:
    """Return Pillow's built-in font: no font file has to be on the machine."""
    font = ImageFont.load_default(size_px)
    assert isinstance(font, ImageFont.FreeTypeFont), "Pillow was built without FreeType"
    return font
