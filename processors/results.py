"""What analyzers find in one picture: plain values, boxes relative to the whole picture."""

from __future__ import annotations

from dataclasses import dataclass

from processors.geometry import Box, Point

__all__ = [
    "DetectedFace",
    "DetectedLabel",
    "DetectedObject",
    "Landmarks",
    "Pose",
    "Quality",
]


@dataclass(frozen=True, kw_only=True, slots=True)
class Landmarks:
    """The five landmarks of a face, as ratios of the picture; left is the picture's left."""

    eye_left: Point
    eye_right: Point
    nose: Point
    mouth_left: Point
    mouth_right: Point


@dataclass(frozen=True, kw_only=True, slots=True)
class Pose:
    """Head pose in degrees, -180 to 180.

    ``yaw`` is positive when the face turns to the picture's right, ``pitch`` when it looks
    up, ``roll`` when the head leans clockwise in the picture.
    """

    pitch: float
    roll: float
    yaw: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Quality:
    """How good the picture of a face is, 0 to 100; the formulas are in ``faces/quality.py``."""

    brightness: float
    sharpness: float


@dataclass(frozen=True, kw_only=True, slots=True)
class DetectedFace:
    """One face in one picture."""

    box: Box
    confidence_percent: float
    landmarks: Landmarks
    pose: Pose | None
    """``None`` where the pack cannot tell."""
    quality: Quality


@dataclass(frozen=True, kw_only=True, slots=True)
class DetectedLabel:
    """One object in one picture."""

    name: str
    """PERSON, PET or PACKAGE."""
    confidence_percent: float
    box: Box
    class_name: str
    """What the network itself calls it, such as ``dog``."""


@dataclass(frozen=True, kw_only=True, slots=True)
class DetectedObject:
    """One object in one picture, by the network's own name for its kind."""

    class_name: str
    """Such as ``cell phone``."""
    confidence_percent: float
    box: Box
