"""Reading records and notifications."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from processors.geometry import Box
from streamd.demo.results import FaceSeen, FrameResult, JsonLines, LabelSeen, SessionOver, parse

NUMBER = "91343852333181432392682062607102920146264812345"


def record(*matches: tuple[str | None, float]) -> dict[str, Any]:
    """Return a record of one face with these matches."""
    return {
        "InputInformation": {
            "KinesisVideo": {
                "StreamArn": "arn:aws:kinesisvideo:us-east-1:000000000000:stream/s/1",
                "FragmentNumber": NUMBER,
                "ServerTimestamp": 1700000100.5,
                "ProducerTimestamp": 1700000099.25,
                "FrameOffsetInSeconds": 1.25,
            }
        },
        "StreamProcessorInformation": {"Status": "RUNNING"},
        "FaceSearchResponse": [
            {
                "DetectedFace": {
                    "BoundingBox": {"Height": 0.4, "Width": 0.3, "Left": 0.1, "Top": 0.2}
                },
                "MatchedFaces": [
                    {
                        "Similarity": similarity,
                        "Face": {"FaceId": "id-1", **({"ExternalImageId": name} if name else {})},
                    }
                    for name, similarity in matches
                ],
            }
        ],
    }


def test_a_record_with_matches() -> None:
    """The best match names the face; times and latency follow from the fragment's."""
    [result] = parse(record(("bob", 81.0), ("alice", 97.5)), now=1700000102.0)
    assert result == FrameResult(
        fragment_number=NUMBER,
        offset_seconds=1.25,
        shown_at=1700000100.5,
        latency_seconds=0.25,
        faces=(
            FaceSeen(
                box=Box(left=0.1, top=0.2, width=0.3, height=0.4),
                name="alice",
                similarity_percent=97.5,
            ),
        ),
    )


def test_a_face_nobody_knows() -> None:
    """No match: unknown."""
    [result] = parse(record(), now=0.0)
    assert isinstance(result, FrameResult)
    assert result.faces[0].name is None
    assert result.faces[0].text == "unknown"


def test_a_match_without_a_name_shows_its_id() -> None:
    """ExternalImageId is optional."""
    [result] = parse(record((None, 90.0)), now=0.0)
    assert isinstance(result, FrameResult)
    assert result.faces[0].text == "id-1 90.0 %"


def notification(message: dict[str, Any]) -> dict[str, Any]:
    return {"TopicArn": "arn:aws:sns:us-east-1:0:t", "Message": json.dumps(message)}


def test_a_label() -> None:
    """LABEL_DETECTED: milliseconds, lower-case boxes."""
    message = {
        "eventNamespace": {"type": "LABEL_DETECTED"},
        "labels": [
            {
                "name": "PET",
                "confidence": 93.0,
                "frameImageUri": "s3://bucket/key.jpg",
                "videoMapping": {
                    "kinesisVideoMapping": {
                        "fragmentNumber": NUMBER,
                        "serverTimestamp": 1700000100512,
                        "producerTimestamp": 1700000099000,
                        "frameOffsetMillis": 1200,
                    }
                },
                "boundingBox": {"left": 0.4, "top": 0.2, "height": 0.5, "width": 0.25},
            }
        ],
    }
    [result] = parse(notification(message))
    assert result == LabelSeen(
        label="PET",
        confidence_percent=93.0,
        box=Box(left=0.4, top=0.2, width=0.25, height=0.5),
        fragment_number=NUMBER,
        offset_seconds=1.2,
        shown_at=1700000100.2,
        image_uri="s3://bucket/key.jpg",
    )


def test_the_end_of_a_session() -> None:
    """STREAM_PROCESSING_COMPLETE says how long and how it went."""
    message = {
        "eventNamespace": {"type": "STREAM_PROCESSING_COMPLETE"},
        "inputInformation": {"kinesisVideo": {"processedVideoDurationMillis": 24000}},
        "streamProcessingResults": {"message": "done"},
    }
    assert list(parse(notification(message))) == [
        SessionOver(message="done", processed_seconds=24.0)
    ]


def test_lines_are_followed(tmp_path: Path) -> None:
    """Only complete lines are given, each once; a file that is not there yet has none."""
    path = tmp_path / "x.jsonl"
    lines = JsonLines(path)
    assert list(lines.poll()) == []
    path.write_text('{"a": 1}\n{"a"')
    assert list(lines.poll()) == [{"a": 1}]
    with path.open("a") as file:
        file.write(': 2}\n{"a": 3}\n')
    assert list(lines.poll()) == [{"a": 2}, {"a": 3}]
    assert list(lines.poll()) == []
