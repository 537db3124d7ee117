"""Facts about DetectFaces and CompareFaces, seen through boto3."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import pytest
from PIL import Image

from processors.results import DetectedFace
from tests.support.faces import face_analyzer, jpeg, portrait
from tests.support.rekognition import Endpoint, make_face, open_endpoint
from tests.support.shared import MEDIA, needs_shared

ALICE, BOB = (1.0, 0.0, 0.0, 0.0), (0.0, 1.0, 0.0, 0.0)
Vector = tuple[float, float, float, float]


def image(side: int = 200) -> dict[str, Any]:
    buffer = io.BytesIO()
    Image.fromarray(np.zeros((side, side, 3), dtype=np.uint8)).save(buffer, "PNG")
    return {"Bytes": buffer.getvalue()}


def near_alice(percent: float) -> Vector:
    """A vector that is similar to Alice's."""
    return (1.0, (100 - percent) / 100, 0.0, 0.0)


def script(
    endpoint: Endpoint,
    source: list[tuple[DetectedFace, Vector]],
    target: list[tuple[DetectedFace, Vector]],
) -> dict[str, Any]:
    """Have faces found in a source and a target image; returns the request."""
    by_side = {200: source, 300: target}

    class Faces(list[tuple[DetectedFace, Sequence[float]]]):
        def __iter__(self) -> Iterator[tuple[DetectedFace, Sequence[float]]]:
            # The analyzer notes the picture before it looks for faces.
            return iter(by_side[endpoint.analyzer.pictures[-1].width_px])

    endpoint.analyzer.found = Faces()
    return {"SourceImage": image(200), "TargetImage": image(300)}


def test_detect_faces(endpoint: Endpoint, client: Any) -> None:
    """Every face with its default attributes, largest first; no orientation is told."""
    endpoint.analyzer.found = [(make_face(size=size), ALICE) for size in (0.1, 0.3, 0.2)]
    answer = client.detect_faces(Image=image(), Attributes=["DEFAULT"])
    answer.pop("ResponseMetadata")
    assert set(answer) == {"FaceDetails"}
    widths = [face["BoundingBox"]["Width"] for face in answer["FaceDetails"]]
    assert widths == [0.3, 0.2, 0.1]
    for face in answer["FaceDetails"]:
        assert set(face) == {"BoundingBox", "Confidence", "Landmarks", "Pose", "Quality"}


def test_poor_faces_are_detected_too(endpoint: Endpoint, client: Any) -> None:
    """DetectFaces has no filter."""
    poor = make_face(sharpness=0.0, brightness=0.0, confidence=1.0)
    endpoint.analyzer.found = [(poor, ALICE)]
    assert len(client.detect_faces(Image=image())["FaceDetails"]) == 1


def test_the_hundred_largest(endpoint: Endpoint, client: Any) -> None:
    """Of 120 faces the 100 largest are told."""
    faces = [make_face(left=0.0, top=0.0, size=0.1 + n / 1000) for n in range(120)]
    endpoint.analyzer.found = [(face, ALICE) for face in faces]
    details = client.detect_faces(Image=image())["FaceDetails"]
    assert len(details) == 100
    assert details[0]["BoundingBox"]["Width"] == pytest.approx(0.219)
    assert details[-1]["BoundingBox"]["Width"] == pytest.approx(0.12)


def test_no_face_is_an_empty_list(endpoint: Endpoint, client: Any) -> None:
    """An image without a face is no error."""
    endpoint.analyzer.found = []
    assert client.detect_faces(Image=image())["FaceDetails"] == []


def test_compare_faces(endpoint: Endpoint, client: Any) -> None:
    """Matches from 80 % on, most similar first; the rest is unmatched; the source is told."""
    large, small = make_face(size=0.4, confidence=98.5), make_face(size=0.1)
    request = script(
        endpoint,
        [(small, BOB), (large, ALICE)],
        [
            (make_face(size=0.5), near_alice(85)),
            (make_face(size=0.4), near_alice(79)),
            (make_face(size=0.3), near_alice(95)),
            (make_face(size=0.2), BOB),
        ],
    )
    answer = client.compare_faces(**request)
    answer.pop("ResponseMetadata")
    assert set(answer) == {"SourceImageFace", "FaceMatches", "UnmatchedFaces"}
    assert answer["SourceImageFace"] == {
        "BoundingBox": {"Width": 0.4, "Height": 0.4, "Left": 0.4, "Top": 0.4},
        "Confidence": 98.5,
    }
    assert [
        (match["Face"]["BoundingBox"]["Width"], round(match["Similarity"], 2))
        for match in answer["FaceMatches"]
    ] == [(0.3, 95.0), (0.5, 85.0)]
    assert [face["BoundingBox"]["Width"] for face in answer["UnmatchedFaces"]] == [0.4, 0.2]
    members = {"BoundingBox", "Confidence", "Landmarks", "Pose", "Quality"}
    for face in (*answer["UnmatchedFaces"], *(m["Face"] for m in answer["FaceMatches"])):
        assert set(face) == members


@pytest.mark.parametrize(("threshold", "matched"), [(0, 3), (79, 3), (85, 2), (96, 0)])
def test_the_threshold(endpoint: Endpoint, client: Any, threshold: float, matched: int) -> None:
    """A match has the threshold or more; matches and the unmatched are all faces."""
    target = [(make_face(size=0.1 + n / 10), near_alice(p)) for n, p in enumerate((80, 86, 95.5))]
    request = script(endpoint, [(make_face(), ALICE)], target)
    answer = client.compare_faces(**request, SimilarityThreshold=threshold)
    assert len(answer["FaceMatches"]) == matched
    assert len(answer["UnmatchedFaces"]) == 3 - matched


def test_filtered_faces_are_not_compared(endpoint: Endpoint, client: Any) -> None:
    """With QualityFilter poor faces are neither matched nor unmatched, on either side."""
    source = [(make_face(size=0.4, sharpness=0.1), BOB), (make_face(size=0.2), ALICE)]
    target = [(make_face(size=0.4, brightness=1.0), ALICE), (make_face(size=0.2), ALICE)]
    request = script(endpoint, source, target)
    answer = client.compare_faces(**request)  # the default is NONE
    assert answer["SourceImageFace"]["BoundingBox"]["Width"] == 0.4
    assert (len(answer["FaceMatches"]), len(answer["UnmatchedFaces"])) == (0, 2)
    answer = client.compare_faces(**request, QualityFilter="AUTO")
    assert answer["SourceImageFace"]["BoundingBox"]["Width"] == 0.2
    assert (len(answer["FaceMatches"]), len(answer["UnmatchedFaces"])) == (1, 0)


@pytest.mark.parametrize("empty", ["SourceImage", "TargetImage"])
def test_an_image_without_a_face(endpoint: Endpoint, client: Any, empty: str) -> None:
    """No face in either image is InvalidParameterException that says in which."""
    one = [(make_face(), ALICE)]
    request = script(
        endpoint, [] if empty == "SourceImage" else one, [] if empty == "TargetImage" else one
    )
    with pytest.raises(client.exceptions.InvalidParameterException) as caught:
        client.compare_faces(**request)
    assert caught.value.response["Error"]["Message"] == (
        f"Request has invalid parameters. There are no faces in the {empty}."
    )


def test_bad_images(client: Any) -> None:
    """Images are judged as everywhere."""
    bad = {"Bytes": b"hello"}
    calls: tuple[Callable[[], Any], ...] = (
        lambda: client.detect_faces(Image=bad),
        lambda: client.compare_faces(SourceImage=bad, TargetImage=image()),
    )
    for call in calls:
        with pytest.raises(client.exceptions.InvalidImageFormatException):
            call()
    with pytest.raises(client.exceptions.InvalidS3ObjectException):
        client.detect_faces(Image={"S3Object": {"Bucket": "bucket", "Name": "nothing"}})


def test_a_real_face(real: Endpoint) -> None:
    """A photograph has one face, which is like itself, smaller and lying on its side."""
    client = real.client
    [face] = client.detect_faces(Image=jpeg(portrait()))["FaceDetails"]
    assert face["Confidence"] > 95
    exif = Image.Exif()
    exif[0x0112] = 6
    lying = portrait().resize((400, 400)).transpose(Image.Transpose.ROTATE_90)
    answer = client.compare_faces(
        SourceImage=jpeg(portrait()), TargetImage=jpeg(lying, exif=exif.tobytes())
    )
    [match] = answer["FaceMatches"]
    assert match["Similarity"] > 95
    box = match["Face"]["BoundingBox"]
    assert box["Left"] == pytest.approx(face["BoundingBox"]["Left"], abs=0.03)
    assert answer["UnmatchedFaces"] == []


@pytest.fixture(scope="module")
def light(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Endpoint]:
    """An endpoint with the light drop-in face pack."""
    analyzer = face_analyzer("yunet-retail0095")
    yield from open_endpoint(tmp_path_factory.mktemp("light"), load_analyzer=lambda: analyzer)


@needs_shared[0]
@needs_shared[1]
def test_real_groups(light: Endpoint) -> None:
    """As many faces are detected as were counted by hand."""
    counted = {}
    with (MEDIA / "groups.csv").open() as rows:
        for row in csv.DictReader(rows):
            name, count = list(row.values())[:2]
            counted[name] = int(count)
    assert counted
    for name, count in counted.items():
        path = MEDIA / name if (MEDIA / name).is_file() else MEDIA / "groups" / name
        details = light.client.detect_faces(Image={"Bytes": path.read_bytes()})["FaceDetails"]
        good = [face for face in details if face["Confidence"] > 80]
        assert len(good) == count, name
