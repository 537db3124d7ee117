"""The face-search record against the sample of the documentation."""

from __future__ import annotations

import json

import pytest

from processors.geometry import Box, Point
from processors.results import DetectedFace, Landmarks, Pose, Quality
from streamd.records import FramePosition, encode, face_search
from streamd.records.face_search import FaceMatch, FoundFace
from streamd.resources import Face

STREAM_ARN = "arn:aws:kinesisvideo:eu-west-1:111122223333:stream/front-door/1700000000123"
POSITION = FramePosition(
    fragment_number="91343852333181432392682062607102920146264812345",
    server_timestamp_ms=1700000100512,
    producer_timestamp_ms=1700000099874,
    frame_offset_ns=1_200_000_000,
)
SAMPLE = """{
  "InputInformation": {
    "KinesisVideo": {
      "StreamArn": "arn:aws:kinesisvideo:eu-west-1:111122223333:stream/front-door/1700000000123",
      "FragmentNumber": "91343852333181432392682062607102920146264812345",
      "ServerTimestamp": 1700000100.512,
      "ProducerTimestamp": 1700000099.874,
      "FrameOffsetInSeconds": 1.2
    }
  },
  "StreamProcessorInformation": {"Status": "RUNNING"},
  "FaceSearchResponse": [
    {
      "DetectedFace": {
        "BoundingBox": {"Height": 0.21, "Width": 0.12, "Left": 0.44, "Top": 0.18},
        "Confidence": 99.91,
        "Landmarks": [
          {"X": 0.472, "Y": 0.262, "Type": "eyeLeft"},
          {"X": 0.526, "Y": 0.259, "Type": "eyeRight"},
          {"X": 0.501, "Y": 0.301, "Type": "nose"},
          {"X": 0.479, "Y": 0.34, "Type": "mouthLeft"},
          {"X": 0.521, "Y": 0.338, "Type": "mouthRight"}
        ],
        "Pose": {"Pitch": 3.2, "Roll": -1.7, "Yaw": 8.4},
        "Quality": {"Brightness": 71.5, "Sharpness": 88.2}
      },
      "MatchedFaces": [
        {
          "Similarity": 97.4,
          "Face": {
            "BoundingBox": {"Height": 0.52, "Width": 0.39, "Left": 0.31, "Top": 0.2},
            "FaceId": "0e6bd1f2-5d7c-4f0e-9a52-7c1f7a7f0b11",
            "Confidence": 99.98,
            "ImageId": "5b7e7e5e-2f0f-5f5c-8a1d-3a3df6a0c222",
            "ExternalImageId": "alice.jpg"
          }
        }
      ]
    }
  ]
}"""


def detected(*, pose: Pose | None = None) -> DetectedFace:
    return DetectedFace(
        box=Box(left=0.44, top=0.18, width=0.12, height=0.21),
        confidence_percent=99.91,
        landmarks=Landmarks(
            eye_left=Point(x=0.472, y=0.262),
            eye_right=Point(x=0.526, y=0.259),
            nose=Point(x=0.501, y=0.301),
            mouth_left=Point(x=0.479, y=0.340),
            mouth_right=Point(x=0.521, y=0.338),
        ),
        pose=pose,
        quality=Quality(brightness=71.5, sharpness=88.2),
    )


def match(similarity_percent: float, external_image_id: str | None = "alice.jpg") -> FaceMatch:
    return FaceMatch(
        similarity_percent=similarity_percent,
        face=Face(
            face_id="0e6bd1f2-5d7c-4f0e-9a52-7c1f7a7f0b11",
            image_id="5b7e7e5e-2f0f-5f5c-8a1d-3a3df6a0c222",
            external_image_id=external_image_id,
            bounding_box=(0.31, 0.2, 0.39, 0.52),
            confidence_percent=99.98,
        ),
    )


def response(face: FoundFace) -> dict[str, object]:
    document = json.loads(
        encode(face_search.build(stream_arn=STREAM_ARN, position=POSITION, faces=[face]))
    )
    answer: dict[str, object] = document["FaceSearchResponse"][0]
    return answer


def test_the_record_is_the_documented_sample() -> None:
    """Every key, in the order of the sample, with exactly the sample's numbers."""
    face = FoundFace(
        detected=detected(pose=Pose(pitch=3.2, roll=-1.7, yaw=8.4)), matches=[match(97.4)]
    )
    document = face_search.build(stream_arn=STREAM_ARN, position=POSITION, faces=[face])
    assert json.dumps(document, indent=2) == json.dumps(json.loads(SAMPLE), indent=2)


def test_a_frame_without_faces_has_an_empty_list() -> None:
    """A record is written for each analysed frame, whatever is in it."""
    document = face_search.build(stream_arn=STREAM_ARN, position=POSITION, faces=[])
    assert document["FaceSearchResponse"] == []


def test_a_face_without_a_match_has_an_empty_list() -> None:
    """A stranger is in the record with no matches."""
    assert response(FoundFace(detected=detected()))["MatchedFaces"] == []


def test_an_unknown_pose_is_absent() -> None:
    """What the pack cannot tell is not made up."""
    face = response(FoundFace(detected=detected(pose=None)))["DetectedFace"]
    assert isinstance(face, dict)
    assert list(face) == ["BoundingBox", "Confidence", "Landmarks", "Quality"]


def test_matches_stand_by_similarity() -> None:
    """The most similar face comes first, whatever order the search gave."""
    found = FoundFace(detected=detected(), matches=[match(81.0), match(99.5), match(90.25)])
    matches = response(found)["MatchedFaces"]
    assert isinstance(matches, list)
    assert [m["Similarity"] for m in matches] == [99.5, 90.25, 81.0]


def test_a_face_indexed_without_an_external_id_has_none() -> None:
    """ExternalImageId is there only where indexing gave one."""
    matches = response(FoundFace(detected=detected(), matches=[match(90, None)]))["MatchedFaces"]
    assert isinstance(matches, list)
    assert "ExternalImageId" not in matches[0]["Face"]


def test_repeats_of_a_record_have_one_id() -> None:
    """The id depends on stream, fragment and offset, not on what was found."""
    first = face_search.event_id(stream_arn=STREAM_ARN, position=POSITION)
    assert first == face_search.event_id(stream_arn=STREAM_ARN, position=POSITION)


@pytest.mark.parametrize(
    ("fragment_number", "frame_offset_ns"), [("1", 1_200_000_000), (POSITION.fragment_number, 0)]
)
def test_other_frames_have_other_ids(fragment_number: str, frame_offset_ns: int) -> None:
    """Another fragment or another offset is another record."""
    other = FramePosition(
        fragment_number=fragment_number,
        server_timestamp_ms=1700000100512,
        producer_timestamp_ms=1700000099874,
        frame_offset_ns=frame_offset_ns,
    )
    assert face_search.event_id(stream_arn=STREAM_ARN, position=other) != face_search.event_id(
        stream_arn=STREAM_ARN, position=POSITION
    )


def test_records_of_a_fragment_are_lines_of_an_object() -> None:
    """With an S3 output, each line is one record."""
    assert face_search.lines([{"a": 1}, {"b": 2}]) == b'{"a":1}\n{"b":2}\n'
