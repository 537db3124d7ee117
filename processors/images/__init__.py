"""Properties of whole pictures: their quality and their colours."""

from processors.images.colours import DominantColour, dominant_colours
from processors.images.properties import AreaProperties, PictureProperties, picture_properties
from processors.images.quality import brightness, contrast, luma, sharpness

__all__ = [
    "AreaProperties",
    "DominantColour",
    "PictureProperties",
    "brightness",
    "contrast",
    "dominant_colours",
    "luma",
    "picture_properties",
    "sharpness",
]
