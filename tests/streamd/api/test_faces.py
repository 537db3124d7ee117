"""Facts about the faces of collections, seen through boto3."""

from __future__ import annotations

import io
import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from PIL import Image

from processors.results import DetectedFace
from tests.support.faces import jpeg, portrait
from tests.support.rekognition import Endpoint, make_face

_numbers = itertools.count()

ALICE, BOB = (1.0, 0.0, 0.0, 0.0), (0.0, 1.0, 0.0, 0.0)
NEAR_ALICE = (1.0, 0.1, 0.0, 0.0)  # similarity 90 to ALICE


def image(*, marked: int | None = None) -> dict[str, Any]:
    """An image no other call has made."""
    number = next(_numbers) if marked is None else marked
    pixels = np.zeros((200, 200, 3), dtype=np.uint8)
    pixels[0, 0] = (number // 256, number % 256, 7)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return {"Bytes": buffer.getvalue()}


@pytest.fixture
def collection(client: Any) -> str:
    """A collection of its own for each test."""
    name = f"faces-{next(_numbers)}"
    client.create_collection(CollectionId=name)
    return name


Found = Sequence[tuple[DetectedFace, Sequence[float]]]


def index(
    endpoint: Endpoint, collection: str, found: Found, image_: Any = None, **params: Any
) -> Any:
    endpoint.analyzer.found = list(found)
    return endpoint.client.index_faces(CollectionId=collection, Image=image_ or image(), **params)


def ids(records: Any) -> list[str]:
    return [record["Face"]["FaceId"] for record in records]


def test_an_indexed_face_is_listed(endpoint: Endpoint, collection: str) -> None:
    """IndexFaces answers face and detail; ListFaces and DescribeCollection know the face."""
    face = make_face()
    answer = index(endpoint, collection, [(face, ALICE)], ExternalImageId="alice:1")
    [record] = answer["FaceRecords"]
    assert answer["FaceModelVersion"] == "9.1"
    assert answer["UnindexedFaces"] == []
    assert record["Face"]["ExternalImageId"] == "alice:1"
    assert record["Face"]["IndexFacesModelVersion"] == "9.1"
    assert record["FaceDetail"]["Pose"] == {"Roll": 2.0, "Yaw": 3.0, "Pitch": 1.0}
    listed = endpoint.client.list_faces(CollectionId=collection)
    assert listed["Faces"] == [record["Face"]]
    assert listed["FaceModelVersion"] == "9.1"
    assert endpoint.client.describe_collection(CollectionId=collection)["FaceCount"] == 1


def test_the_same_image_gives_the_same_ids(endpoint: Endpoint, collection: str) -> None:
    """A repeat stores nothing; another collection gets the same ids, another external id not."""
    found = [(make_face(), ALICE)]
    first = index(endpoint, collection, found, image(marked=50_000))["FaceRecords"]
    again = index(endpoint, collection, found, image(marked=50_000))["FaceRecords"]
    assert again == first
    assert endpoint.client.describe_collection(CollectionId=collection)["FaceCount"] == 1
    endpoint.client.create_collection(CollectionId=f"{collection}-2")
    elsewhere = index(endpoint, f"{collection}-2", found, image(marked=50_000))["FaceRecords"]
    assert ids(elsewhere) == ids(first)
    named = index(endpoint, collection, found, image(marked=50_000), ExternalImageId="x")
    assert ids(named["FaceRecords"]) != ids(first)
    assert named["FaceRecords"][0]["Face"]["ImageId"] == first[0]["Face"]["ImageId"]


def test_records_are_largest_first(endpoint: Endpoint, collection: str) -> None:
    """FaceRecords come by size; what MaxFaces leaves out is told with its reason."""
    faces = [make_face(left=0.1 * n, size=size) for n, size in enumerate((0.2, 0.4, 0.3))]
    answer = index(endpoint, collection, [(face, ALICE) for face in faces], MaxFaces=2)
    widths = [r["FaceDetail"]["BoundingBox"]["Width"] for r in answer["FaceRecords"]]
    assert widths == [0.4, 0.3]
    [left_out] = answer["UnindexedFaces"]
    assert left_out["Reasons"] == ["EXCEEDS_MAX_FACES"]
    assert left_out["FaceDetail"]["BoundingBox"]["Width"] == 0.2


def test_a_hundred_faces_at_most(endpoint: Endpoint, collection: str) -> None:
    """Of 120 faces the 100 largest are indexed, whatever MaxFaces says; the rest is not told."""
    found = [(make_face(left=0.0, top=0.0, size=0.1 + n / 1000), ALICE) for n in range(120)]
    answer = index(endpoint, collection, found, MaxFaces=1000)
    widths = [record["FaceDetail"]["BoundingBox"]["Width"] for record in answer["FaceRecords"]]
    assert len(widths) == 100
    assert widths == sorted(widths, reverse=True)
    assert widths[-1] == pytest.approx(0.12)
    assert answer["UnindexedFaces"] == []
    assert endpoint.client.describe_collection(CollectionId=collection)["FaceCount"] == 100


def test_max_faces_keeps_the_best_then_the_largest(endpoint: Endpoint, collection: str) -> None:
    """Without a filter the poorest faces make room first, then the smallest."""
    poor = make_face(size=0.5, sharpness=0.5)
    faces = [poor, *(make_face(size=size) for size in (0.2, 0.4, 0.3))]
    answer = index(
        endpoint, collection, [(face, ALICE) for face in faces], MaxFaces=2, QualityFilter="NONE"
    )
    widths = [record["FaceDetail"]["BoundingBox"]["Width"] for record in answer["FaceRecords"]]
    assert widths == [0.4, 0.3]
    assert [
        (face["FaceDetail"]["BoundingBox"]["Width"], face["Reasons"])
        for face in answer["UnindexedFaces"]
    ] == [(0.5, ["EXCEEDS_MAX_FACES"]), (0.2, ["EXCEEDS_MAX_FACES"])]


def test_boxes_may_leave_the_image(endpoint: Endpoint, collection: str) -> None:
    """A face at the edge keeps its box: below 0 and above 1, in every answer alike."""
    face = make_face(left=-0.25, top=0.75, size=0.5)
    box = {"Width": 0.5, "Height": 0.5, "Left": -0.25, "Top": 0.75}
    [record] = index(endpoint, collection, [(face, ALICE)])["FaceRecords"]
    assert record["Face"]["BoundingBox"] == record["FaceDetail"]["BoundingBox"] == box
    [listed] = endpoint.client.list_faces(CollectionId=collection)["Faces"]
    assert listed["BoundingBox"] == box
    searched = endpoint.client.search_faces_by_image(CollectionId=collection, Image=image())
    assert searched["SearchedFaceBoundingBox"] == box


def test_faces_of_one_image(endpoint: Endpoint, collection: str) -> None:
    """Faces of one image share its ImageId and ExternalImageId, and have ids of their own."""
    found = [(make_face(left=left, size=0.2), ALICE) for left in (0.1, 0.4, 0.7)]
    answer = index(endpoint, collection, found, ExternalImageId="group:1")
    faces = [record["Face"] for record in answer["FaceRecords"]]
    assert len({face["FaceId"] for face in faces}) == 3
    assert len({face["ImageId"] for face in faces}) == 1
    assert {face["ExternalImageId"] for face in faces} == {"group:1"}


def test_a_deleted_face_is_indexed_again(endpoint: Endpoint, collection: str) -> None:
    """A repeat after a deletion stores the face once more, under its id."""
    found = [(make_face(), ALICE)]
    [first] = ids(index(endpoint, collection, found, image(marked=55_000))["FaceRecords"])
    endpoint.client.delete_faces(CollectionId=collection, FaceIds=[first])
    again = index(endpoint, collection, found, image(marked=55_000))["FaceRecords"]
    assert ids(again) == [first]
    assert endpoint.client.describe_collection(CollectionId=collection)["FaceCount"] == 1


def test_a_full_collection(
    endpoint: Endpoint, collection: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One face over the limit is ServiceQuotaExceededException; a repeat needs no room."""
    monkeypatch.setattr("streamd.store.face_rows.MAX_FACES", 1)
    found = [(make_face(), ALICE)]
    index(endpoint, collection, found, image(marked=56_000))
    with pytest.raises(endpoint.client.exceptions.ServiceQuotaExceededException):
        index(endpoint, collection, found)
    assert len(index(endpoint, collection, found, image(marked=56_000))["FaceRecords"]) == 1
    assert endpoint.client.describe_collection(CollectionId=collection)["FaceCount"] == 1


def test_answers_tell_the_model_and_no_orientation(endpoint: Endpoint, collection: str) -> None:
    """Every answer about faces names the collection's model; OrientationCorrection is null."""
    indexed = index(endpoint, collection, [(make_face(), ALICE)])
    [alice] = ids(indexed["FaceRecords"])
    client = endpoint.client
    for answer in (
        indexed,
        client.list_faces(CollectionId=collection),
        client.search_faces(CollectionId=collection, FaceId=alice),
        client.search_faces_by_image(CollectionId=collection, Image=image()),
    ):
        assert answer["FaceModelVersion"] == "9.1"
        assert "OrientationCorrection" not in answer


@pytest.mark.parametrize("size", [0, 1, 2, 3, 4096])
def test_sizes_of_pages(endpoint: Endpoint, collection: str, size: int) -> None:
    """MaxResults goes from 0, which stands for the default, to 4096."""
    for _ in range(3):
        index(endpoint, collection, [(make_face(), ALICE)])
    first = endpoint.client.list_faces(CollectionId=collection, MaxResults=size)
    assert len(first["Faces"]) == min(size or 1000, 3)
    assert ("NextToken" in first) == (0 < size < 3)


@pytest.mark.parametrize("size", [-1, 4097])
def test_pages_that_are_refused(client: Any, collection: str, size: int) -> None:
    """Other sizes are InvalidParameterException."""
    for call in (client.list_faces, client.list_collections):
        params = {"CollectionId": collection} if call == client.list_faces else {}
        with pytest.raises(client.exceptions.InvalidParameterException):
            call(MaxResults=size, **params)


def test_the_quality_filter_is_auto_by_default(endpoint: Endpoint, collection: str) -> None:
    """A dark face is left out with its reason, unless the filter is NONE."""
    found = [(make_face(brightness=3.0, confidence=50.0), ALICE)]
    answer = index(endpoint, collection, found)
    assert answer["FaceRecords"] == []
    assert answer["UnindexedFaces"][0]["Reasons"] == ["LOW_BRIGHTNESS", "LOW_CONFIDENCE"]
    assert len(index(endpoint, collection, found, QualityFilter="NONE")["FaceRecords"]) == 1


def test_a_face_that_cannot_be_aligned_is_left_out_alone(
    endpoint: Endpoint, collection: str
) -> None:
    """A face without usable landmarks costs the others nothing."""
    endpoint.analyzer.not_alignable = {97.0}
    bad, good = make_face(left=0.1, confidence=97.0), make_face()
    answer = index(endpoint, collection, [(bad, BOB), (good, ALICE)])
    assert len(answer["FaceRecords"]) == 1
    assert answer["UnindexedFaces"][0]["Reasons"] == ["LOW_FACE_QUALITY"]


def test_an_image_without_faces(endpoint: Endpoint, collection: str) -> None:
    """IndexFaces of no face is an empty answer, SearchFacesByImage an error in AWS's words."""
    answer = index(endpoint, collection, [])
    assert (answer["FaceRecords"], answer["UnindexedFaces"]) == ([], [])
    with pytest.raises(endpoint.client.exceptions.InvalidParameterException) as caught:
        endpoint.client.search_faces_by_image(CollectionId=collection, Image=image())
    assert caught.value.response["Error"]["Message"] == (
        "There are no faces in the image. Should be at least 1."
    )


def test_search_faces(endpoint: Endpoint, collection: str) -> None:
    """Matches at or above the threshold, most similar first, without the face itself."""
    [alice] = ids(index(endpoint, collection, [(make_face(), ALICE)])["FaceRecords"])
    [near] = ids(index(endpoint, collection, [(make_face(), NEAR_ALICE)])["FaceRecords"])
    twin_at = (1.0, 0.02, 0.0, 0.0)
    [twin] = ids(index(endpoint, collection, [(make_face(), twin_at)])["FaceRecords"])
    [bob] = ids(index(endpoint, collection, [(make_face(), BOB)])["FaceRecords"])

    def search(**params: Any) -> list[tuple[str, float]]:
        answer = endpoint.client.search_faces(CollectionId=collection, FaceId=alice, **params)
        assert answer["SearchedFaceId"] == alice
        assert answer["FaceModelVersion"] == "9.1"
        return [(m["Face"]["FaceId"], round(m["Similarity"], 3)) for m in answer["FaceMatches"]]

    assert search() == [(twin, 98.0), (near, 90.0)]
    assert search(FaceMatchThreshold=95) == [(twin, 98.0)]
    assert search(FaceMatchThreshold=99) == []
    assert search(MaxFaces=1) == [(twin, 98.0)]
    endpoint.client.delete_faces(CollectionId=collection, FaceIds=[twin])
    assert search() == [(near, 90.0)]
    assert bob not in {face_id for face_id, _similarity in search(FaceMatchThreshold=80)}


def test_an_unknown_face_id(client: Any, collection: str) -> None:
    """SearchFaces for a face nobody indexed is InvalidParameterException in AWS's words."""
    with pytest.raises(client.exceptions.InvalidParameterException) as caught:
        client.search_faces(CollectionId=collection, FaceId="00000000-0000-0000-0000-000000000000")
    assert caught.value.response["Error"]["Message"] == "faceId was not found in the collection."


def test_search_by_image_takes_the_largest_face(endpoint: Endpoint, collection: str) -> None:
    """The largest face is searched for, and its box and confidence are told."""
    [alice] = ids(index(endpoint, collection, [(make_face(), ALICE)])["FaceRecords"])
    large, small = make_face(left=0.2, size=0.5, confidence=97.5), make_face(left=0.8, size=0.1)
    endpoint.analyzer.found = [(small, BOB), (large, NEAR_ALICE)]
    embedded = endpoint.analyzer.embedded
    answer = endpoint.client.search_faces_by_image(CollectionId=collection, Image=image())
    assert answer["SearchedFaceBoundingBox"] == {
        "Width": 0.5,
        "Height": 0.5,
        "Left": 0.2,
        "Top": 0.4,
    }
    assert answer["SearchedFaceConfidence"] == 97.5
    [match] = answer["FaceMatches"]
    assert match["Face"]["FaceId"] == alice
    assert match["Similarity"] == pytest.approx(90.0)
    assert endpoint.analyzer.embedded == embedded + 1


def test_search_by_image_filters_only_when_asked(endpoint: Endpoint, collection: str) -> None:
    """QualityFilter is NONE by default; with a level a poor face counts as none."""
    endpoint.analyzer.found = [(make_face(sharpness=0.1), ALICE)]
    answer = endpoint.client.search_faces_by_image(CollectionId=collection, Image=image())
    assert answer["FaceMatches"] == []
    with pytest.raises(endpoint.client.exceptions.InvalidParameterException):
        endpoint.client.search_faces_by_image(
            CollectionId=collection, Image=image(), QualityFilter="AUTO"
        )


def test_list_faces_pages(endpoint: Endpoint, collection: str) -> None:
    """The paginator finds every face once, in the order they were added."""
    added = [
        face_id
        for n in range(5)
        for face_id in ids(index(endpoint, collection, [(make_face(), ALICE)])["FaceRecords"])
    ]
    paginator = endpoint.client.get_paginator("list_faces")
    for params in ({}, {"FaceIds": added}):
        pages = list(
            paginator.paginate(CollectionId=collection, **params, PaginationConfig={"PageSize": 2})
        )
        assert [len(page["Faces"]) for page in pages] == [2, 2, 1]
        assert [face["FaceId"] for page in pages for face in page["Faces"]] == added
    wanted = [added[3], "00000000-0000-0000-0000-000000000000", added[1]]
    listed = endpoint.client.list_faces(CollectionId=collection, FaceIds=wanted)["Faces"]
    assert [face["FaceId"] for face in listed] == [added[3], added[1]]
    assert endpoint.client.list_faces(CollectionId=collection, UserId="u")["Faces"] == []


def test_a_token_of_another_collection(endpoint: Endpoint, collection: str) -> None:
    """A token of ListFaces works for its collection only."""
    for _ in range(2):
        index(endpoint, collection, [(make_face(), ALICE)])
    token = endpoint.client.list_faces(CollectionId=collection, MaxResults=1)["NextToken"]
    endpoint.client.create_collection(CollectionId=f"{collection}-2")
    with pytest.raises(endpoint.client.exceptions.InvalidPaginationTokenException):
        endpoint.client.list_faces(CollectionId=f"{collection}-2", NextToken=token)


def test_delete_faces(endpoint: Endpoint, collection: str) -> None:
    """Deleted faces are told; those that were not there have FACE_NOT_FOUND."""
    [alice] = ids(index(endpoint, collection, [(make_face(), ALICE)])["FaceRecords"])
    nobody = "00000000-0000-0000-0000-000000000000"
    answer = endpoint.client.delete_faces(CollectionId=collection, FaceIds=[nobody, alice, alice])
    assert answer["DeletedFaces"] == [alice]
    assert answer["UnsuccessfulFaceDeletions"] == [
        {"FaceId": nobody, "Reasons": ["FACE_NOT_FOUND"]}
    ]
    assert endpoint.client.list_faces(CollectionId=collection)["Faces"] == []


@pytest.mark.parametrize(
    ("operation", "params"),
    [
        ("index_faces", {"Image": image()}),
        ("list_faces", {}),
        ("delete_faces", {"FaceIds": ["00000000-0000-0000-0000-000000000000"]}),
        ("search_faces", {"FaceId": "00000000-0000-0000-0000-000000000000"}),
        ("search_faces_by_image", {"Image": image()}),
    ],
)
def test_unknown_collections(client: Any, operation: str, params: dict[str, Any]) -> None:
    """Every operation on a collection nobody has is ResourceNotFoundException."""
    with pytest.raises(client.exceptions.ResourceNotFoundException) as caught:
        getattr(client, operation)(CollectionId="nobody", **params)
    assert caught.value.response["Error"]["Message"] == "Collection:nobody not found!"


def test_a_collection_of_another_model(endpoint: Endpoint, collection: str) -> None:
    """Faces of two model versions are never compared."""
    endpoint.analyzer.model_version = "9.2"
    try:
        with pytest.raises(endpoint.client.exceptions.InvalidParameterException) as caught:
            index(endpoint, collection, [(make_face(), ALICE)])
        assert "version 9.1, which can not be compared with version 9.2" in str(caught.value)
    finally:
        del endpoint.analyzer.model_version


BAD_IMAGES: dict[str, tuple[dict[str, Any], str]] = {
    "neither": ({}, "InvalidParameterException"),
    "both": (
        {**image(), "S3Object": {"Bucket": "bucket", "Name": "a"}},
        "InvalidParameterException",
    ),
    "no bytes": ({"Bytes": b""}, "InvalidParameterException"),
    "no name": ({"S3Object": {"Bucket": "bucket"}}, "InvalidParameterException"),
    "not an image": ({"Bytes": b"hello"}, "InvalidImageFormatException"),
    "over 5 MB": ({"Bytes": b"\xff\xd8\xff" + bytes(5_242_878)}, "ImageTooLargeException"),
    "5 MB of zeros": ({"Bytes": b"\xff\xd8\xff" + bytes(5_242_877)}, "InvalidImageFormatException"),
    "unknown object": (
        {"S3Object": {"Bucket": "bucket", "Name": "nothing"}},
        "InvalidS3ObjectException",
    ),
    "large object": ({"S3Object": {"Bucket": "bucket", "Name": "large"}}, "ImageTooLargeException"),
}


@pytest.mark.parametrize("name", BAD_IMAGES)
def test_images_that_are_refused(endpoint: Endpoint, collection: str, name: str) -> None:
    """Each kind of bad image has its modelled exception, for both operations."""
    endpoint.bucket.objects["bucket", "large", None] = bytes(16 * 1024 * 1024)
    params, code = BAD_IMAGES[name]
    for operation in ("index_faces", "search_faces_by_image"):
        with pytest.raises(getattr(endpoint.client.exceptions, code)) as caught:
            getattr(endpoint.client, operation)(CollectionId=collection, Image=params)
        assert "internal" not in str(caught.value)


def test_images_of_s3(endpoint: Endpoint, collection: str) -> None:
    """An S3 object is read by bucket, name and version, and has the ids of the same bytes."""
    data = image(marked=60_000)
    endpoint.bucket.objects["bucket", "a/b.png", "v1"] = data["Bytes"]
    s3_object = {"S3Object": {"Bucket": "bucket", "Name": "a/b.png", "Version": "v1"}}
    found = [(make_face(), ALICE)]
    by_name = index(endpoint, collection, found, s3_object)["FaceRecords"]
    by_bytes = index(endpoint, collection, found, data)["FaceRecords"]
    assert ids(by_name) == ids(by_bytes)


def test_a_real_face_is_found_again(real: Endpoint) -> None:
    """The built-in pack indexes a photograph and finds its person in a smaller, turned copy."""
    client = real.client
    client.create_collection(CollectionId="people")
    original = portrait()
    indexed = client.index_faces(
        CollectionId="people", Image=jpeg(original), ExternalImageId="astronaut"
    )
    [record] = indexed["FaceRecords"]
    box = record["FaceDetail"]["BoundingBox"]
    assert 0.3 < box["Left"] < 0.45
    assert 0.05 < box["Top"] < 0.25
    assert record["FaceDetail"]["Confidence"] > 95
    assert len(record["FaceDetail"]["Landmarks"]) == 5
    smaller = original.resize((400, 400))
    matches = client.search_faces_by_image(CollectionId="people", Image=jpeg(smaller))
    [match] = matches["FaceMatches"]
    assert match["Face"]["ExternalImageId"] == "astronaut"
    assert match["Similarity"] > 95
    exif = Image.Exif()
    exif[0x0112] = 6  # stored lying on its left side
    lying = jpeg(original.transpose(Image.Transpose.ROTATE_90), exif=exif.tobytes())
    turned = client.search_faces_by_image(CollectionId="people", Image=lying)
    assert turned["SearchedFaceBoundingBox"]["Left"] == pytest.approx(box["Left"], abs=0.02)
    assert turned["FaceMatches"][0]["Similarity"] > 95
    blank = Image.new("RGB", (300, 300), (90, 120, 90))
    with pytest.raises(client.exceptions.InvalidParameterException):
        client.search_faces_by_image(CollectionId="people", Image=jpeg(blank))
