"""Label-detection messages and the results of a session.

*Amazon Rekognition Developer Guide*, "Reference: Label detection notifications for connected home
features". Casing is lowerCamelCase throughout. A class is announced once in a session, so the
event id follows from session and class: a repeat after a crash carries the same one.

Extension: where a label processor writes to Kinesis, the same messages are its records, without
image URIs.

``results.json`` (AWS documents that it exists and what it is about, not its form)::

    {
      "streamProcessorName": "porch",
      "sessionId": "5a0...",
      "inputInformation": {"kinesisVideo": {"streamArn": "arn:...",
                                            "processedVideoDurationMillis": 31200}},
      "streamProcessingResults": {"message": "..."},
      "tags": {},
      "startStreamProcessorRequest": {"name": "porch", ...},
      "labels": [                       every detection that counted, in the order of time
        {"timestampMillis": 1200,       media time since the start of the session
         "id": "...", "name": "PERSON", "confidence": 93.1,
         "frameImageUri": "s3://...",   only where the class was first seen
         "croppedImageUri": "s3://...",
         "videoMapping": {"kinesisVideoMapping": {"fragmentNumber": "...", ...}},
         "boundingBox": {"left": 0.4, "top": 0.2, "height": 0.5, "width": 0.2}}
      ]
    }
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from processors.geometry import Box
from processors.results import DetectedLabel
from streamd.records.values import (
    Document,
    FramePosition,
    offset_milliseconds,
    percent,
    ratio,
)
from streamd.records.values import event_id as make_event_id
from streamd.resources import StartRequest

__all__ = [
    "COMPLETE_MESSAGE",
    "SUBJECT",
    "SessionInformation",
    "Sighting",
    "complete_event_id",
    "detected_event_id",
    "failure_message",
    "label_detected",
    "processing_complete",
    "results",
]

SUBJECT = "Rekognition Stream Processing Event"
"""Subject of every notification."""
COMPLETE_MESSAGE = "Stream processing completed successfully."
"""``streamProcessingResults.message`` of a session that ended well (AWS's text is not known)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SessionInformation:
    """What all messages of one session say."""

    stream_arn: str
    processor_name: str
    session_id: str
    start: StartRequest
    tags: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class Sighting:
    """One detection that counted."""

    label: DetectedLabel
    position: FramePosition
    media_time_ms: int
    """Media time since the start of the session."""
    frame_uri: str | None = None
    """``s3://`` URI of the hero frame, where this is the first sight of the class."""
    crop_uri: str | None = None


def label_detected(session: SessionInformation, sighting: Sighting) -> Document:
    """Return the LABEL_DETECTED message of a class's first sight."""
    return {
        "inputInformation": {"kinesisVideo": {"streamArn": session.stream_arn}},
        "eventNamespace": {"type": "LABEL_DETECTED"},
        "labels": [_label(session, sighting)],
        "eventId": detected_event_id(session, sighting.label.name),
        **_common(session),
    }


def processing_complete(
    session: SessionInformation, *, processed_ms: int, message: str = COMPLETE_MESSAGE
) -> Document:
    """Return the STREAM_PROCESSING_COMPLETE message.

    Args:
        session: The session that is over.
        processed_ms: Media time it has processed.
        message: How it ended: the default, or :func:`failure_message`.

    """
    return {
        "inputInformation": _processed(session, processed_ms),
        "eventNamespace": {"type": "STREAM_PROCESSING_COMPLETE"},
        "streamProcessingResults": {"message": message},
        "eventId": complete_event_id(session),
        **_common(session),
    }


def results(
    session: SessionInformation,
    sightings: Iterable[Sighting],
    *,
    processed_ms: int,
    message: str = COMPLETE_MESSAGE,
) -> Document:
    """Return the document of ``results.json``; its form is told at the top of this module."""
    ordered = sorted(sightings, key=lambda sighting: sighting.media_time_ms)
    return {
        "streamProcessorName": session.processor_name,
        "sessionId": session.session_id,
        "inputInformation": _processed(session, processed_ms),
        "streamProcessingResults": {"message": message},
        "tags": dict(session.tags),
        "startStreamProcessorRequest": _start_request(session),
        "labels": [
            {"timestampMillis": sighting.media_time_ms, **_label(session, sighting)}
            for sighting in ordered
        ],
    }


def failure_message(reason: str) -> str:
    """Return the ``message`` of a session that ended FAILED with this StatusMessage."""
    return f"Stream processing failed: {reason}"


def detected_event_id(session: SessionInformation, label_name: str) -> str:
    """Return the id of the one LABEL_DETECTED event of a class in a session."""
    return make_event_id("LABEL_DETECTED", session.session_id, label_name)


def complete_event_id(session: SessionInformation) -> str:
    """Return the id of the one STREAM_PROCESSING_COMPLETE event of a session."""
    return make_event_id("STREAM_PROCESSING_COMPLETE", session.session_id)


def _common(session: SessionInformation) -> Document:
    return {
        "tags": dict(session.tags),
        "sessionId": session.session_id,
        "startStreamProcessorRequest": _start_request(session),
    }


def _processed(session: SessionInformation, processed_ms: int) -> Document:
    return {
        "kinesisVideo": {
            "streamArn": session.stream_arn,
            "processedVideoDurationMillis": processed_ms,
        }
    }


def _label(session: SessionInformation, sighting: Sighting) -> Document:
    position, label = sighting.position, sighting.label
    document: Document = {
        "id": _detection_id(session, sighting),
        "name": label.name,
        "confidence": percent(label.confidence_percent),
    }
    if sighting.frame_uri is not None:
        document["frameImageUri"] = sighting.frame_uri
    if sighting.crop_uri is not None:
        document["croppedImageUri"] = sighting.crop_uri
    document["videoMapping"] = {
        "kinesisVideoMapping": {
            "fragmentNumber": position.fragment_number,
            "serverTimestamp": position.server_timestamp_ms,
            "producerTimestamp": position.producer_timestamp_ms,
            "frameOffsetMillis": offset_milliseconds(position.frame_offset_ns),
        }
    }
    document["boundingBox"] = _lower_box(label.box)
    return document


def _detection_id(session: SessionInformation, sighting: Sighting) -> str:
    # The box tells apart two objects of one class in one frame.
    box = sighting.label.box
    return make_event_id(
        session.session_id,
        session.stream_arn,
        sighting.position.fragment_number,
        sighting.position.frame_offset_ns,
        sighting.label.name,
        *(ratio(edge) for edge in (box.left, box.top, box.width, box.height)),
    )


def _lower_box(box: Box) -> Document:
    return {
        "left": ratio(box.left),
        "top": ratio(box.top),
        "height": ratio(box.height),
        "width": ratio(box.width),
    }


def _start_request(session: SessionInformation) -> Document:
    request: Document = {"name": session.processor_name}
    start = session.start
    if start.producer_timestamp_ms is not None:
        request["startSelector"] = {
            "kVSStreamStartSelector": {"producerTimestamp": start.producer_timestamp_ms}
        }
    elif start.fragment_number is not None:
        request["startSelector"] = {
            "kVSStreamStartSelector": {"fragmentNumber": start.fragment_number}
        }
    if start.max_duration_seconds is not None:
        request["stopSelector"] = {"maxDurationInSeconds": start.max_duration_seconds}
    return request
