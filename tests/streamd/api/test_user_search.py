"""Facts about searching users, seen through boto3."""

from __future__ import annotations

import csv
import io
import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from streamd.pipeline.collection_search import CollectionSearch
from tests.support.faces import face_analyzer, jpeg, portrait
from tests.support.rekognition import Endpoint, add_face, make_face, open_endpoint
from tests.support.shared import MEDIA, needs_shared

_numbers = itertools.count(1)
NOBODY = "00000000-0000-0000-0000-000000000000"


@pytest.fixture
def collection(client: Any) -> str:
    """A collection of its own for each test."""
    name = f"search-{next(_numbers)}"
    client.create_collection(CollectionId=name)
    return name


def user(client: Any, collection: str, user_id: str, *face_ids: str) -> None:
    client.create_user(CollectionId=collection, UserId=user_id)
    if face_ids:
        client.associate_faces(CollectionId=collection, UserId=user_id, FaceIds=list(face_ids))


def image() -> dict[str, Any]:
    buffer = io.BytesIO()
    Image.fromarray(np.zeros((200, 200, 3), dtype=np.uint8)).save(buffer, "PNG")
    return {"Bytes": buffer.getvalue()}


def found(answer: Any) -> list[tuple[str, float]]:
    assert all(match["User"]["UserStatus"] == "ACTIVE" for match in answer["UserMatches"])
    return [
        (match["User"]["UserId"], round(match["Similarity"], 2)) for match in answer["UserMatches"]
    ]


def test_users_like_a_face(endpoint: Endpoint, client: Any, collection: str) -> None:
    """Matches from 80 % on, most similar first; users without faces are never found."""
    near = add_face(endpoint, collection, 1.0, 0.02)
    middle = add_face(endpoint, collection, 1.0, 0.1)
    far = add_face(endpoint, collection, 1.0, 0.3)
    asked = add_face(endpoint, collection, 1.0)
    for user_id, face_ids in (("far", [far]), ("middle", [middle]), ("near", [near]), ("new", [])):
        user(client, collection, user_id, *face_ids)

    def search(**params: Any) -> list[tuple[str, float]]:
        answer = client.search_users(CollectionId=collection, FaceId=asked, **params)
        assert answer["SearchedFace"] == {"FaceId": asked}
        assert "SearchedUser" not in answer
        assert answer["FaceModelVersion"] == "9.1"
        return found(answer)

    assert search() == [("near", 98.0), ("middle", 90.0)]
    assert search(UserMatchThreshold=95) == [("near", 98.0)]
    assert search(UserMatchThreshold=0) == [("near", 98.0), ("middle", 90.0), ("far", 70.0)]
    assert search(UserMatchThreshold=0, MaxUsers=1) == [("near", 98.0)]
    assert search(UserMatchThreshold=99) == []


def test_users_like_a_user(endpoint: Endpoint, client: Any, collection: str) -> None:
    """A user is not its own match, and costs the others no place."""
    for user_id, x in (("ann", 0.0), ("bob", 0.05), ("eve", 0.15)):
        user(client, collection, user_id, add_face(endpoint, collection, 1.0, x))
    user(client, collection, "new")
    answer = client.search_users(CollectionId=collection, UserId="ann")
    assert answer["SearchedUser"] == {"UserId": "ann"}
    assert "SearchedFace" not in answer
    assert found(answer) == [("bob", 95.0), ("eve", 85.0)]
    answer = client.search_users(CollectionId=collection, UserId="ann", MaxUsers=1)
    assert found(answer) == [("bob", 95.0)]
    answer = client.search_users(CollectionId=collection, UserId="new", UserMatchThreshold=0)
    assert found(answer) == []


def test_a_user_stands_for_all_its_faces(endpoint: Endpoint, client: Any, collection: str) -> None:
    """A user is compared by the mean of its faces, and the next search knows every change."""
    asked = add_face(endpoint, collection, 1.0)
    left, right = (
        add_face(endpoint, collection, 1.0, 0.1),
        add_face(endpoint, collection, 1.0, -0.1),
    )
    ann = {"CollectionId": collection, "UserId": "ann"}
    user(client, collection, "ann", left)

    def similarity() -> float:
        matches = found(
            client.search_users(CollectionId=collection, FaceId=asked, UserMatchThreshold=0)
        )
        return matches[0][1] if matches else 0.0

    assert similarity() == 90.0
    client.associate_faces(**ann, FaceIds=[right])
    assert similarity() == 99.5  # half-way, and as long as the two
    client.disassociate_faces(**ann, FaceIds=[left])
    assert similarity() == 90.0
    client.disassociate_faces(**ann, FaceIds=[right])
    assert similarity() == 0.0
    client.associate_faces(**ann, FaceIds=[asked])
    assert similarity() == 100.0
    client.delete_user(**ann)
    assert similarity() == 0.0


def test_neither_or_both(client: Any, collection: str) -> None:
    """A search begins from a user or from a face."""
    for params in ({}, {"UserId": "ann", "FaceId": NOBODY}):
        with pytest.raises(client.exceptions.InvalidParameterException) as caught:
            client.search_users(CollectionId=collection, **params)
        assert caught.value.response["Error"]["Message"] == (
            "Request has invalid parameters. Exactly one of UserId and FaceId is needed."
        )


def test_an_unknown_face(client: Any, collection: str) -> None:
    """A face nobody indexed is told as SearchFaces tells it."""
    with pytest.raises(client.exceptions.InvalidParameterException) as caught:
        client.search_users(CollectionId=collection, FaceId=NOBODY)
    assert caught.value.response["Error"]["Message"] == "faceId was not found in the collection."


def test_users_of_an_image(endpoint: Endpoint, client: Any, collection: str) -> None:
    """The largest face is searched for; the others are told with their reasons."""
    user(client, collection, "ann", add_face(endpoint, collection, 1.0, 0.1))
    large = make_face(left=0.1, size=0.5, confidence=97.5)
    small = make_face(left=0.7, size=0.2)
    endpoint.analyzer.found = [(small, (0.0, 1.0, 0.0, 0.0)), (large, (1.0, 0.0, 0.0, 0.0))]
    embedded = endpoint.analyzer.embedded
    answer = client.search_users_by_image(CollectionId=collection, Image=image())
    assert found(answer) == [("ann", 90.0)]
    assert answer["FaceModelVersion"] == "9.1"
    assert answer["SearchedFace"]["FaceDetail"]["BoundingBox"]["Width"] == 0.5
    assert answer["SearchedFace"]["FaceDetail"]["Confidence"] == 97.5
    [other] = answer["UnsearchedFaces"]
    assert other["Reasons"] == ["FACE_NOT_LARGEST"]
    assert other["FaceDetails"]["BoundingBox"]["Width"] == 0.2
    assert endpoint.analyzer.embedded == embedded + 1
    answer = client.search_users_by_image(
        CollectionId=collection, Image=image(), UserMatchThreshold=91
    )
    assert found(answer) == []


def test_filtered_faces_are_not_searched(endpoint: Endpoint, client: Any, collection: str) -> None:
    """With a filter the largest good face is searched for; without one quality does not count."""
    user(client, collection, "ann", add_face(endpoint, collection, 1.0))
    blurred = make_face(left=0.1, size=0.5, sharpness=0.1)
    good = make_face(left=0.7, size=0.2)
    endpoint.analyzer.found = [(blurred, (0.0, 1.0, 0.0, 0.0)), (good, (1.0, 0.0, 0.0, 0.0))]
    answer = client.search_users_by_image(CollectionId=collection, Image=image())
    assert answer["SearchedFace"]["FaceDetail"]["BoundingBox"]["Width"] == 0.5
    answer = client.search_users_by_image(
        CollectionId=collection, Image=image(), QualityFilter="AUTO"
    )
    assert answer["SearchedFace"]["FaceDetail"]["BoundingBox"]["Width"] == 0.2
    assert found(answer) == [("ann", 100.0)]
    assert [each["Reasons"] for each in answer["UnsearchedFaces"]] == [["LOW_SHARPNESS"]]


def test_no_face_is_no_error(endpoint: Endpoint, client: Any, collection: str) -> None:
    """Without a usable face there are no matches and no SearchedFace."""
    user(client, collection, "ann", add_face(endpoint, collection, 1.0))
    endpoint.analyzer.found = []
    answer = client.search_users_by_image(CollectionId=collection, Image=image())
    assert answer["UserMatches"] == answer["UnsearchedFaces"] == []
    assert "SearchedFace" not in answer
    endpoint.analyzer.found = [(make_face(brightness=1.0), (1.0, 0.0, 0.0, 0.0))]
    answer = client.search_users_by_image(
        CollectionId=collection, Image=image(), QualityFilter="LOW"
    )
    assert answer["UserMatches"] == []
    assert "SearchedFace" not in answer
    assert [each["Reasons"] for each in answer["UnsearchedFaces"]] == [["LOW_BRIGHTNESS"]]


def test_a_collection_without_users(endpoint: Endpoint, client: Any, collection: str) -> None:
    """Where nobody has a face nobody is found."""
    asked = add_face(endpoint, collection, 1.0)
    answer = client.search_users(CollectionId=collection, FaceId=asked, UserMatchThreshold=0)
    assert answer["UserMatches"] == []
    with pytest.raises(client.exceptions.ResourceNotFoundException):
        client.search_users_by_image(CollectionId="nobody", Image=image())


def test_deleted_vectors_leave_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Users' vectors go from memory and disk with their collection, and nobody else's."""
    indexes: list[CollectionSearch] = []
    original = CollectionSearch.search_users

    def noted(self: CollectionSearch, *args: Any, **kwargs: Any) -> list[tuple[str, float]]:
        indexes.append(self)
        return original(self, *args, **kwargs)

    monkeypatch.setattr(CollectionSearch, "search_users", noted)
    for endpoint in open_endpoint(tmp_path, load_analyzer=None):
        for name in ("gone", "kept"):
            endpoint.client.create_collection(CollectionId=name)
            asked = add_face(endpoint, name, 1.0)
            user(endpoint.client, name, "ann", asked)
            endpoint.client.search_users(CollectionId=name, UserId="ann")
            endpoint.client.search_faces(CollectionId=name, FaceId=asked)
        assert len(list((tmp_path / "collections").iterdir())) == 4
        endpoint.client.delete_collection(CollectionId="gone")
        assert len(list((tmp_path / "collections").iterdir())) == 2
        assert len(indexes[0]._indexes) == 2


def test_a_real_person_is_found(real: Endpoint) -> None:
    """Photographs of one person make a user whom another photograph finds."""
    client = real.client
    client.create_collection(CollectionId="people")
    client.create_user(CollectionId="people", UserId="eileen")
    sizes = (512, 420)
    face_ids = [
        client.index_faces(CollectionId="people", Image=jpeg(portrait().resize((size, size))))[
            "FaceRecords"
        ][0]["Face"]["FaceId"]
        for size in sizes
    ]
    answer = client.associate_faces(CollectionId="people", UserId="eileen", FaceIds=face_ids[:1])
    answer = client.associate_faces(CollectionId="people", UserId="eileen", FaceIds=face_ids[1:])
    assert answer["UnsuccessfulFaceAssociations"] == []
    matches = client.search_users_by_image(
        CollectionId="people", Image=jpeg(portrait().resize((360, 360)))
    )
    [(user_id, similarity)] = found(matches)
    assert user_id == "eileen"
    assert similarity > 95


@pytest.fixture(scope="module")
def nine_people(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Endpoint]:
    """An endpoint with the light drop-in face pack."""
    analyzer = face_analyzer("yunet-retail0095")
    yield from open_endpoint(tmp_path_factory.mktemp("nine"), load_analyzer=lambda: analyzer)


def photo(file: str) -> dict[str, Any]:
    with Image.open(MEDIA / file) as picture:  # one of them is WebP, whatever its name says
        return jpeg(picture.convert("RGB"))


@needs_shared[0]
@needs_shared[1]
def test_nine_people_are_told_apart(nine_people: Endpoint) -> None:
    """With all photographs but one of each person, that one finds this person and nobody else."""
    client = nine_people.client
    client.create_collection(CollectionId="nine")
    photos: dict[str, list[str]] = {}
    with (MEDIA / "faces.csv").open() as rows:
        for row in csv.DictReader(rows):
            photos.setdefault(row["person_id"], []).append(row["file"])
    for person, files in photos.items():
        client.create_user(CollectionId="nine", UserId=person)
        face_ids = []
        for file in files[1:]:
            answer = client.index_faces(
                CollectionId="nine", Image=photo(file), MaxFaces=1, QualityFilter="NONE"
            )
            face_ids.append(answer["FaceRecords"][0]["Face"]["FaceId"])
        for face_id in face_ids:  # one by one, so that each is compared with the user so far
            answer = client.associate_faces(CollectionId="nine", UserId=person, FaceIds=[face_id])
            assert answer["AssociatedFaces"] == [{"FaceId": face_id}], person
    for person, files in photos.items():
        [(user_id, similarity)] = found(
            client.search_users_by_image(CollectionId="nine", Image=photo(files[0]))
        )
        assert user_id == person
        assert similarity > 95
