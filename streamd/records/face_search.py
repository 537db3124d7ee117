"""Face-search records: one JSON document for each analysed frame.

*Amazon Rekognition Developer Guide*, "Reference: Kinesis face recognition record". Casing is
UpperCamelCase and keys stand in the order of the guide's sample. A repeated record is recognised
by StreamArn, FragmentNumber and FrameOffsetInSeconds.

Extension: where a face processor writes to S3, the records of a fragment are the lines of one
object (:func:`lines`).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from processors.geometry import Box, Point
from processors.results import DetectedFace, Landmarks, Pose
from streamd.records.values import (
    Document,
    FramePosition,
    encode,
    epoch_seconds,
    offset_seconds,
    percent,
    ratio,
    upper_box,
)
from streamd.records.values import event_id as make_event_id
from streamd.resources import Face

__all__ = ["LINES_CONTENT_TYPE", "FaceMatch", "FoundFace", "build", "event_id", "lines"]

LINES_CONTENT_TYPE = "application/x-ndjson"
"""Content type of an object of records."""


@dataclass(frozen=True, kw_only=True, slots=True)
class FaceMatch:
    """A face of the collection that a detected face is similar to."""

    face: Face
    similarity_percent: float


@dataclass(frozen=True, kw_only=True, slots=True)
class FoundFace:
    """A face in the frame and its matches, in any order."""

    detected: DetectedFace
    matches: Sequence[FaceMatch] = ()


def build(*, stream_arn: str, position: FramePosition, faces: Sequence[FoundFace]) -> Document:
    """Return the record of one analysed frame.

    Args:
        stream_arn: ARN of the video stream as the processor was created with it.
        position: Where the frame lies.
        faces: What was found in it; none makes ``FaceSearchResponse`` an empty list.

    """
    return {
        "InputInformation": {
            "KinesisVideo": {
                "StreamArn": stream_arn,
                "FragmentNumber": position.fragment_number,
                "ServerTimestamp": epoch_seconds(position.server_timestamp_ms),
                "ProducerTimestamp": epoch_seconds(position.producer_timestamp_ms),
                "FrameOffsetInSeconds": offset_seconds(position.frame_offset_ns),
            }
        },
        # "The only documented value is RUNNING."
        "StreamProcessorInformation": {"Status": "RUNNING"},
        "FaceSearchResponse": [_response(face) for face in faces],
    }


def event_id(*, stream_arn: str, position: FramePosition) -> str:
    """Return the id every repeat of this record carries."""
    return make_event_id(
        "face-search", stream_arn, position.fragment_number, position.frame_offset_ns
    )


def lines(documents: Iterable[Document]) -> bytes:
    """Return records as JSON lines, the body of an S3 object."""
    return b"".join(encode(document) + b"\n" for document in documents)


def _response(found: FoundFace) -> Document:
    # Stable: matches of equal similarity keep the order the index gave them.
    matches = sorted(found.matches, key=lambda match: -match.similarity_percent)
    return {
        "DetectedFace": _detected_face(found.detected),
        "MatchedFaces": [_matched_face(match) for match in matches],
    }


def _detected_face(face: DetectedFace) -> Document:
    document: Document = {
        "BoundingBox": upper_box(face.box),
        "Confidence": percent(face.confidence_percent),
        "Landmarks": _landmarks(face.landmarks),
    }
    if face.pose is not None:
        document["Pose"] = _pose(face.pose)
    document["Quality"] = {
        "Brightness": percent(face.quality.brightness),
        "Sharpness": percent(face.quality.sharpness),
    }
    return document


def _landmarks(landmarks: Landmarks) -> list[Document]:
    named: tuple[tuple[str, Point], ...] = (
        ("eyeLeft", landmarks.eye_left),
        ("eyeRight", landmarks.eye_right),
        ("nose", landmarks.nose),
        ("mouthLeft", landmarks.mouth_left),
        ("mouthRight", landmarks.mouth_right),
    )
    return [{"X": ratio(point.x), "Y": ratio(point.y), "Type": name} for name, point in named]


def _pose(pose: Pose) -> Document:
    return {"Pitch": ratio(pose.pitch), "Roll": ratio(pose.roll), "Yaw": ratio(pose.yaw)}


def _matched_face(match: FaceMatch) -> Document:
    left, top, width, height = match.face.bounding_box
    face: Document = {
        # The box in the indexed image, not in this frame.
        "BoundingBox": upper_box(Box(left=left, top=top, width=width, height=height)),
        "FaceId": match.face.face_id,
        "Confidence": percent(match.face.confidence_percent),
        "ImageId": match.face.image_id,
    }
    if match.face.external_image_id is not None:
        face["ExternalImageId"] = match.face.external_image_id
    return {"Similarity": percent(match.similarity_percent), "Face": face}
