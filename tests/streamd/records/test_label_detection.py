"""Label-detection messages and results against their documented forms."""

from __future__ import annotations

import uuid

import pytest

from processors.geometry import Box
from processors.results import DetectedLabel
from streamd.records import FramePosition, label_detection
from streamd.records.label_detection import SessionInformation, Sighting
from streamd.resources import StartRequest

STREAM_ARN = "arn:aws:kinesisvideo:us-east-1:111122223333:stream/porch/1700000000123"
POSITION = FramePosition(
    fragment_number="91343852333181432392682062607102920146264812345",
    server_timestamp_ms=1700000100512,
    producer_timestamp_ms=1700000099874,
    frame_offset_ns=1_200_000_000,
)
SESSION = SessionInformation(
    stream_arn=STREAM_ARN,
    processor_name="porch-sp",
    session_id="5a0d6c1e-0000-4000-8000-000000000001",
    start=StartRequest(producer_timestamp_ms=1700000098000, max_duration_seconds=30),
    tags={"site": "home"},
)
REQUEST = {
    "name": "porch-sp",
    "startSelector": {"kVSStreamStartSelector": {"producerTimestamp": 1700000098000}},
    "stopSelector": {"maxDurationInSeconds": 30},
}


def sighting(name: str = "PERSON", *, media_time_ms: int = 2100, hero: bool = True) -> Sighting:
    return Sighting(
        label=DetectedLabel(
            name=name,
            confidence_percent=93.1,
            box=Box(left=0.4, top=0.2, width=0.2, height=0.5),
            class_name="person",
        ),
        position=POSITION,
        media_time_ms=media_time_ms,
        frame_uri="s3://my-bucket/cams/frame.jpg" if hero else None,
        crop_uri="s3://my-bucket/cams/crop.jpg" if hero else None,
    )


def test_label_detected_is_the_documented_message() -> None:
    """Every key of LABEL_DETECTED, times in epoch milliseconds."""
    message = label_detection.label_detected(SESSION, sighting())
    labels = message["labels"]
    assert isinstance(labels, list)
    assert uuid.UUID(labels[0].pop("id")).version == 5
    assert uuid.UUID(str(message.pop("eventId"))).version == 5
    assert message == {
        "inputInformation": {"kinesisVideo": {"streamArn": STREAM_ARN}},
        "eventNamespace": {"type": "LABEL_DETECTED"},
        "labels": [
            {
                "name": "PERSON",
                "confidence": 93.1,
                "frameImageUri": "s3://my-bucket/cams/frame.jpg",
                "croppedImageUri": "s3://my-bucket/cams/crop.jpg",
                "videoMapping": {
                    "kinesisVideoMapping": {
                        "fragmentNumber": "91343852333181432392682062607102920146264812345",
                        "serverTimestamp": 1700000100512,
                        "producerTimestamp": 1700000099874,
                        "frameOffsetMillis": 1200,
                    }
                },
                "boundingBox": {"left": 0.4, "top": 0.2, "height": 0.5, "width": 0.2},
            }
        ],
        "tags": {"site": "home"},
        "sessionId": "5a0d6c1e-0000-4000-8000-000000000001",
        "startStreamProcessorRequest": REQUEST,
    }


def test_complete_is_the_documented_message() -> None:
    """Every key of STREAM_PROCESSING_COMPLETE; it has no labels."""
    message = label_detection.processing_complete(SESSION, processed_ms=31200)
    assert uuid.UUID(str(message.pop("eventId"))).version == 5
    assert message == {
        "inputInformation": {
            "kinesisVideo": {"streamArn": STREAM_ARN, "processedVideoDurationMillis": 31200}
        },
        "eventNamespace": {"type": "STREAM_PROCESSING_COMPLETE"},
        "streamProcessingResults": {"message": "Stream processing completed successfully."},
        "tags": {"site": "home"},
        "sessionId": "5a0d6c1e-0000-4000-8000-000000000001",
        "startStreamProcessorRequest": REQUEST,
    }


def test_a_failed_session_says_why() -> None:
    """The status message is part of the completion message."""
    text = label_detection.failure_message("Bucket b not found")
    assert text == "Stream processing failed: Bucket b not found"


def test_a_message_for_kinesis_has_no_image_uris() -> None:
    """Where no images are kept, none are named."""
    message = label_detection.label_detected(SESSION, sighting(hero=False))
    labels = message["labels"]
    assert isinstance(labels, list)
    assert not {"frameImageUri", "croppedImageUri"} & set(labels[0])


@pytest.mark.parametrize(
    ("start", "request_echo"),
    [
        (StartRequest(), {"name": "porch-sp"}),
        (
            StartRequest(fragment_number="913"),
            {
                "name": "porch-sp",
                "startSelector": {"kVSStreamStartSelector": {"fragmentNumber": "913"}},
            },
        ),
        (
            StartRequest(max_duration_seconds=5),
            {"name": "porch-sp", "stopSelector": {"maxDurationInSeconds": 5}},
        ),
    ],
    ids=["bare", "fragment", "duration"],
)
def test_the_start_request_is_echoed(start: StartRequest, request_echo: dict[str, object]) -> None:
    """What Start did not say is absent."""
    session = SessionInformation(
        stream_arn=STREAM_ARN, processor_name="porch-sp", session_id="s", start=start
    )
    message = label_detection.processing_complete(session, processed_ms=0)
    assert message["startStreamProcessorRequest"] == request_echo


def test_a_class_has_one_event_in_a_session() -> None:
    """Seen again after a crash, in another frame, the event keeps its id."""
    first = label_detection.label_detected(SESSION, sighting(media_time_ms=2100))
    again = label_detection.label_detected(SESSION, sighting(media_time_ms=2300))
    pet = label_detection.label_detected(SESSION, sighting("PET"))
    assert first["eventId"] == again["eventId"] != pet["eventId"]


def test_results_list_everything_in_the_order_of_time() -> None:
    """results.json names processor and session and has time and box of each detection."""
    document = label_detection.results(
        SESSION,
        [sighting("PET", media_time_ms=900, hero=False), sighting("PERSON", media_time_ms=300)],
        processed_ms=31200,
    )
    labels = document.pop("labels")
    assert isinstance(labels, list)
    assert [(s["timestampMillis"], s["name"], s["boundingBox"]) for s in labels] == [
        (300, "PERSON", {"left": 0.4, "top": 0.2, "height": 0.5, "width": 0.2}),
        (900, "PET", {"left": 0.4, "top": 0.2, "height": 0.5, "width": 0.2}),
    ]
    assert document == {
        "streamProcessorName": "porch-sp",
        "sessionId": "5a0d6c1e-0000-4000-8000-000000000001",
        "inputInformation": {
            "kinesisVideo": {"streamArn": STREAM_ARN, "processedVideoDurationMillis": 31200}
        },
        "streamProcessingResults": {"message": "Stream processing completed successfully."},
        "tags": {"site": "home"},
        "startStreamProcessorRequest": REQUEST,
    }
