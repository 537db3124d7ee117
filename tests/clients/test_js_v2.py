"""AWS SDK for JavaScript v2 against a running daemon that demands signatures."""

from __future__ import annotations

import time
from pathlib import Path

import av
import pytest

from tests.support.client_programs import JAVASCRIPT_V2, Steps
from tests.support.daemon import Daemon

CLIENT = JAVASCRIPT_V2
pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(420),
    pytest.mark.xdist_group("client-js-v2"),
]


@pytest.fixture(scope="module")
def story(javascript_story: Steps) -> Steps:
    """What the client saw."""
    return javascript_story


def test_collection_holds_the_indexed_face(story: Steps) -> None:
    """IndexFaces, SearchFacesByImage and DescribeCollection agree; dates are dates."""
    seen = story["collection"]
    assert seen["status"] == 200
    assert seen["faceCount"] == 1
    assert seen["matched"] == "astronaut"
    assert seen["similarity"] > 99
    assert abs(seen["createdMs"] / 1000 - time.time()) < 300


def test_pages_end_after_the_last_processor(story: Steps) -> None:
    """``eachPage`` follows NextToken and stops where there is none."""
    seen = story["running"]
    assert seen["settings"] == {"FaceSearch": {"CollectionId": "js-v2", "FaceMatchThreshold": 85.5}}
    assert seen["pages"] == [["js-v2"]]


@pytest.mark.parametrize(
    ("step", "field", "code", "status"),
    [
        ("collection", "alreadyExists", "ResourceAlreadyExistsException", 400),
        ("running", "busy", "ResourceInUseException", 400),
        ("running", "invalid", "InvalidParameterException", 400),
        ("deleted", "gone", "ResourceNotFoundException", 400),
        ("deleted", "noStream", "ResourceNotFoundException", 404),
        ("signatures", "early", "InvalidSignatureException", 400),
        ("signatures", "refused", "InvalidSignatureException", 400),
    ],
)
def test_errors_have_code_status_and_request_id(
    story: Steps, step: str, field: str, code: str, status: int
) -> None:
    """What the SDK makes of an error is what it makes of AWS's."""
    error = story[step][field]
    assert (error["code"], error["statusCode"]) == (code, status)
    assert error["requestId"]
    assert error["message"]


def test_faces_of_the_media_are_found(story: Steps, signed_daemon: Daemon) -> None:
    """Two seconds of video give ten records, each with the face the client indexed."""
    records = signed_daemon.records("js-v2")
    assert len(records) == 10
    for record in records:
        (face,) = record["FaceSearchResponse"]
        assert face["MatchedFaces"][0]["Face"]["ExternalImageId"] == "astronaut"
    assert story["deleted"]


@pytest.mark.parametrize("name", ["live.mkv", "archived.mkv"])
def test_media_that_was_read_plays(story: Steps, media: Path, name: str) -> None:
    """GetMedia's stream and GetMediaForFragmentList's hold all twenty pictures."""
    assert story["media"]["live"] == 2
    assert len(story["media"]["archived"]) == 2
    with av.open(str(media / name)) as container:
        assert sum(1 for _ in container.decode(video=0)) == 20


def test_a_wrong_clock_is_mended_by_the_client(story: Steps) -> None:
    """With ``correctClockSkew`` ten minutes ahead cost one retry."""
    assert story["signatures"]["collections"] == []
    assert story["signatures"]["retries"] == 1
