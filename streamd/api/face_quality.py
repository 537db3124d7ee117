"""QualityFilter: which detected faces are good enough, and why the others are not.

AWS says what the levels mean, not where they lie. Ours are limits on what the analyzer tells
of a face. AUTO is the default of IndexFaces and leaves out what would rarely be matched again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from processors.picture import Picture
from processors.results import DetectedFace

__all__ = ["Sifted", "sift"]


@dataclass(frozen=True, kw_only=True)
class _Limits:
    confidence_percent: float
    side_px: float
    """Shorter side of the face's box."""
    brightness: float
    sharpness: float
    turn_degrees: float
    """Largest yaw or pitch, either way."""


_LIMITS: dict[str, _Limits | None] = {
    "NONE": None,
    "LOW": _Limits(confidence_percent=60, side_px=16, brightness=5, sharpness=1, turn_degrees=85),
    "AUTO": _Limits(confidence_percent=80, side_px=24, brightness=10, sharpness=2, turn_degrees=70),
    "MEDIUM": _Limits(
        confidence_percent=90, side_px=32, brightness=20, sharpness=5, turn_degrees=55
    ),
    "HIGH": _Limits(
        confidence_percent=95, side_px=60, brightness=30, sharpness=15, turn_degrees=35
    ),
}


@dataclass(frozen=True, kw_only=True)
class Sifted:
    """Faces that count, and those that do not with AWS's reasons; both largest first."""

    kept: Sequence[DetectedFace]
    dropped: Sequence[tuple[DetectedFace, list[str]]]


def sift(
    faces: Sequence[DetectedFace],
    picture: Picture,
    *,
    quality_filter: str,
    max_faces: int | None = None,
) -> Sifted:
    """Apply QualityFilter and MaxFaces.

    "IndexFaces filters out the faces with the lowest quality first, then those with the
    smallest bounding boxes" (*API Reference*).

    Args:
        faces: Detected faces, largest first.
        picture: The picture they were found in.
        quality_filter: A value of QualityFilter.
        max_faces: Faces to keep at most; ``None`` for all.

    """
    kept: list[DetectedFace] = []
    dropped: list[tuple[DetectedFace, list[str]]] = []
    for face in faces:
        reasons = _reasons(face, picture, _LIMITS[quality_filter])
        if reasons:
            dropped.append((face, reasons))
        else:
            kept.append(face)
    if max_faces is not None and len(kept) > max_faces:
        ranked = sorted(kept, key=lambda face: _rank(face, picture))
        chosen = {id(face) for face in ranked[:max_faces]}
        dropped += [(face, ["EXCEEDS_MAX_FACES"]) for face in kept if id(face) not in chosen]
        kept = [face for face in kept if id(face) in chosen]
    dropped.sort(key=lambda item: -item[0].box.area)
    return Sifted(kept=kept, dropped=dropped)


def _rank(face: DetectedFace, picture: Picture) -> tuple[bool, float]:
    poor = bool(_reasons(face, picture, _LIMITS["AUTO"]))
    return poor, -face.box.area


def _reasons(face: DetectedFace, picture: Picture, limits: _Limits | None) -> list[str]:
    if limits is None:
        return []
    side_px = min(face.box.width * picture.width_px, face.box.height * picture.height_px)
    turn = max(abs(face.pose.yaw), abs(face.pose.pitch)) if face.pose is not None else 0.0
    failed = {
        "EXTREME_POSE": turn > limits.turn_degrees,
        "LOW_BRIGHTNESS": face.quality.brightness < limits.brightness,
        "LOW_SHARPNESS": face.quality.sharpness < limits.sharpness,
        "LOW_CONFIDENCE": face.confidence_percent < limits.confidence_percent,
        "SMALL_BOUNDING_BOX": side_px < limits.side_px,
    }
    return [reason for reason, is_failed in failed.items() if is_failed]
