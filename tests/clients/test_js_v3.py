"""AWS SDK for JavaScript v3 against a running daemon that demands signatures."""

from __future__ import annotations

import time
from pathlib import Path

import av
import pytest

from tests.support.client_programs import JAVASCRIPT_V3, Steps
from tests.support.daemon import Daemon

CLIENT = JAVASCRIPT_V3
pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(420),
    pytest.mark.xdist_group("client-js-v3"),
]


@pytest.fixture(scope="module")
def story(javascript_story: Steps) -> Steps:
    """What the client saw."""
    return javascript_story


def test_collection_holds_the_indexed_face(story: Steps) -> None:
    """IndexFaces, SearchFacesByImage and a paginator agree; numbers and dates have their types."""
    seen = story["collection"]
    assert seen["status"] == 200
    assert seen["faceCount"] == 1
    assert seen["matched"] == "astronaut"
    assert seen["similarity"] > 99
    assert set(seen["pose"]) == {"Pitch", "Roll", "Yaw"}
    assert abs(seen["createdMs"] / 1000 - time.time()) < 300


def test_users_and_pictures_are_answered(story: Steps) -> None:
    """A user made of one face is found by a picture; two pictures of it are compared."""
    seen = story["users"]
    assert (seen["associated"], seen["userId"], seen["userStatus"]) == ([True], "mae", "ACTIVE")
    assert (seen["compared"], seen["detected"]) == ([True], 1)


def test_answers_carry_what_was_asked_for(story: Steps) -> None:
    """DescribeStreamProcessor gives the float back, ListTagsForResource the letter ö."""
    seen = story["running"]
    assert seen["settings"] == {"FaceSearch": {"CollectionId": "js-v3", "FaceMatchThreshold": 85.5}}
    assert seen["tags"] == {"site": "höher"}


@pytest.mark.parametrize(
    ("step", "field", "name"),
    [
        ("collection", "alreadyExists", "ResourceAlreadyExistsException"),
        ("users", "conflict", "ConflictException"),
        ("running", "busy", "ResourceInUseException"),
        ("running", "streamInUse", "ResourceInUseException"),
        ("deleted", "gone", "ResourceNotFoundException"),
        ("deleted", "noStream", "ResourceNotFoundException"),
    ],
)
def test_errors_are_instances_of_their_class(
    story: Steps, step: str, field: str, name: str
) -> None:
    """``instanceof`` held in the program; here the rest of what the SDK says of the error."""
    error = story[step][field]
    assert error["name"] == name
    assert error["fault"] == "client"
    assert error["status"] == (404 if field == "noStream" else 400)
    assert error["requestId"]
    assert error["message"]


def test_faces_of_the_media_are_found(story: Steps, signed_daemon: Daemon) -> None:
    """Two seconds of video give ten records, each with the face the client indexed."""
    records = signed_daemon.records("js-v3")
    assert len(records) == 10
    for record in records:
        (face,) = record["FaceSearchResponse"]
        assert face["MatchedFaces"][0]["Face"]["ExternalImageId"] == "astronaut"
    assert story["deleted"]


@pytest.mark.parametrize("name", ["live.mkv", "archived.mkv"])
def test_media_that_was_read_plays(story: Steps, media: Path, name: str) -> None:
    """GetMedia's stream and GetMediaForFragmentList's hold all twenty pictures."""
    assert story["media"]["live"] == {"contentType": "video/webm", "fragments": 2}
    assert len(story["media"]["archived"]) == 2
    with av.open(str(media / name)) as container:
        assert sum(1 for _ in container.decode(video=0)) == 20


def test_a_wrong_clock_is_mended_by_the_client(story: Steps) -> None:
    """Ten minutes behind, the first try is refused and the Date header repairs the second."""
    assert story["signatures"]["attemptsWithWrongClock"] == 2


def test_a_wrong_secret_is_refused(story: Steps) -> None:
    """The error has the code of AWS's front end."""
    refused = story["signatures"]["refused"]
    assert refused["name"] == "InvalidSignatureException"
    assert refused["status"] == 400


def test_presigned_requests_are_served(story: Steps) -> None:
    """A signature in the query, made by the client's signer, opens ListStreams."""
    assert story["signatures"]["presigned"] == 200
    assert story["signatures"]["presignedAnswer"] == {"StreamInfoList": []}
