"""Faces in AWS's spelling, and the ids of faces and images.

Ids are derived, not random: "the same image indexed into two collections of the same model
gives the same FaceIds" (*Developer Guide*). The ExternalImageId is part of a face's id,
because only the same image with the same ExternalImageId counts as a repeat.
"""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Sequence
from typing import Any

from processors.geometry import Box, Point
from processors.results import DetectedFace
from streamd.resources import Face

__all__ = [
    "box_to_wire",
    "compared_face_to_wire",
    "face_detail_to_wire",
    "face_to_wire",
    "indexed_face",
    "percent_to_wire",
]

_BOX_DIGITS = 6


def indexed_face(
    face: DetectedFace, *, image_digest: bytes, model_version: str, external_image_id: str | None
) -> Face:
    """Return the metadata to store for a detected face."""
    box = tuple(
        round(value, _BOX_DIGITS)
        for value in (face.box.left, face.box.top, face.box.width, face.box.height)
    )
    identity = f"{model_version}|{box}|{external_image_id or ''}"
    return Face(
        face_id=_uuid(b"face", image_digest, identity.encode()),
        image_id=_uuid(b"image", image_digest),
        external_image_id=external_image_id,
        bounding_box=box,
        confidence_percent=percent_to_wire(face.confidence_percent),
    )


def face_to_wire(face: Face, *, model_version: str) -> dict[str, Any]:
    """Return a stored face as ``Face``."""
    left, top, width, height = face.bounding_box
    return {
        "FaceId": face.face_id,
        "BoundingBox": {"Width": width, "Height": height, "Left": left, "Top": top},
        "ImageId": face.image_id,
        "ExternalImageId": face.external_image_id,
        "Confidence": face.confidence_percent,
        "IndexFacesModelVersion": model_version,
        "UserId": face.user_id,
    }


def face_detail_to_wire(face: DetectedFace) -> dict[str, Any]:
    """Return a detected face as ``FaceDetail``: the members that are always there.

    The further attributes (age, emotions, ...) need networks that are not served yet.
    """
    marks = face.landmarks
    detail: dict[str, Any] = {
        "BoundingBox": box_to_wire(face.box),
        "Confidence": percent_to_wire(face.confidence_percent),
        "Landmarks": _landmarks(
            (
                ("eyeLeft", marks.eye_left),
                ("eyeRight", marks.eye_right),
                ("mouthLeft", marks.mouth_left),
                ("mouthRight", marks.mouth_right),
                ("nose", marks.nose),
            )
        ),
        "Quality": {
            "Brightness": float(face.quality.brightness),
            "Sharpness": float(face.quality.sharpness),
        },
    }
    if face.pose is not None:
        detail["Pose"] = {
            "Roll": float(face.pose.roll),
            "Yaw": float(face.pose.yaw),
            "Pitch": float(face.pose.pitch),
        }
    return detail


def compared_face_to_wire(face: DetectedFace) -> dict[str, Any]:
    """Return a detected face as ``ComparedFace``, which has the same members as far as we tell."""
    return face_detail_to_wire(face)


def box_to_wire(box: Box) -> dict[str, float]:
    """Return a box as ``BoundingBox``."""
    return {
        "Width": float(box.width),
        "Height": float(box.height),
        "Left": float(box.left),
        "Top": float(box.top),
    }


def percent_to_wire(value: float) -> float:
    """Return a percentage as ``Percent``, whatever rounding made of it."""
    return min(100.0, max(0.0, float(value)))


def _landmarks(points: Sequence[tuple[str, Point]]) -> list[dict[str, Any]]:
    return [{"Type": name, "X": float(point.x), "Y": float(point.y)} for name, point in points]


def _uuid(*parts: bytes) -> str:
    # Version 8 of RFC 9562: a UUID from data of one's own making.
    raw = bytearray(hashlib.sha256(b"|".join(parts)).digest()[:16])
    raw[6] = raw[6] & 0x0F | 0x80
    raw[8] = raw[8] & 0x3F | 0x80
    return str(uuid.UUID(bytes=bytes(raw)))
