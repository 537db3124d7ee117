"""The console's own calls on a real daemon: what they tell, and whom."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from tests.support.daemon import Daemon, running_daemon, wait_until
from tests.support.pictures import size_of
from tests.support.scenes import astronaut_jpeg, face_pictures
from tests.support.story import wait_for_status
from tests.support.video_files import write_video

OURS, THEIRS = "000000000000", "222222222222"
ADMIN, VIEWER, NO_VIDEO, OTHER = (
    "AKIDADMIN0000001",
    "AKIDVIEW00000001",
    "AKIDNOVIDEO00001",
    "AKIDOTHER0000001",
)
SECRET = "s" * 32
CREDENTIALS = [
    {"access_key_id": ADMIN, "secret_access_key": SECRET},
    {
        "access_key_id": VIEWER,
        "secret_access_key": SECRET,
        "allow": ["rekognition:Describe*", "rekognition:List*", "kinesisvideo:GetMedia"],
        "resources": ["*"],
    },
    {
        "access_key_id": NO_VIDEO,
        "secret_access_key": SECRET,
        "allow": ["rekognition:*"],
    },
    {"access_key_id": OTHER, "secret_access_key": SECRET, "account_id": THEIRS},
]


def _ask(
    daemon: Daemon, call: str, key: str | None = ADMIN, /, **query: str
) -> tuple[int, str, bytes, dict[str, str]]:
    """Return status, content type, body and headers of one of the console's own calls."""
    url = f"{daemon.url}/console/api/{call}" + (f"?{urlencode(query)}" if query else "")
    request = AWSRequest(method="GET", url=url, headers={})
    if key is not None:
        SigV4Auth(Credentials(key, SECRET), "rekognition", "us-east-1").add_auth(request)
    try:
        sent = urllib.request.Request(url, headers=dict(request.headers.items()))
        with urllib.request.urlopen(sent, timeout=60) as answer:
            return (
                answer.status,
                answer.headers.get_content_type(),
                answer.read(),
                dict(answer.headers),
            )
    except urllib.error.HTTPError as error:
        return error.code, error.headers.get_content_type(), error.read(), dict(error.headers)


def _json(daemon: Daemon, call: str, key: str | None = ADMIN, /, **query: str) -> Any:
    status, kind, body, _ = _ask(daemon, call, key, **query)
    assert (status, kind) == (200, "application/json"), body
    return json.loads(body)


def _code(daemon: Daemon, call: str, key: str | None, /, **query: str) -> str:
    status, _, body, _ = _ask(daemon, call, key, **query)
    assert status == 400, body
    return str(json.loads(body)["__type"])


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """A daemon with a camera and a face search that runs on it."""
    folder = tmp_path_factory.mktemp("console")
    clip = write_video(folder / "clip.mkv", fps=10, gop=10, pictures=face_pictures(40))
    cameras = {
        "hall": {"url": str(clip)},
        "attic": {"url": "rtsp://admin:hunter2@127.0.0.1:9/secret-path", "open_timeout_seconds": 1},
    }
    env = {
        "STREAMD_AUTH__MODE": "sigv4",
        "STREAMD_AUTH__CREDENTIALS": json.dumps(CREDENTIALS),
        "STREAMD_CAMERAS": json.dumps(cameras),
        "STREAMD_SERVER__WORKERS": "2",
        "STREAMD_SERVER__AUDIT_LOG": str(folder / "audit.jsonl"),
    }
    with running_daemon(folder / "data", env) as running:
        running.credentials = (ADMIN, SECRET)
        rekognition = running.client("rekognition")
        rekognition.create_collection(CollectionId="family")
        rekognition.index_faces(
            CollectionId="family", ExternalImageId="eileen", Image={"Bytes": astronaut_jpeg()}
        )
        for name in ("hall-faces", "stopped"):
            rekognition.create_stream_processor(
                Name=name,
                Input={"KinesisVideoStream": {"Arn": _stream_arn(running, "hall")}},
                Output={
                    "KinesisDataStream": {"Arn": f"arn:aws:kinesis:us-east-1:{OURS}:stream/out"}
                },
                Settings={"FaceSearch": {"CollectionId": "family", "FaceMatchThreshold": 80}},
                RoleArn=f"arn:aws:iam::{OURS}:role/streamd",
            )
        rekognition.start_stream_processor(Name="hall-faces")
        wait_for_status(running, "hall-faces", "RUNNING")
        yield running


def _stream_arn(daemon: Daemon, name: str) -> str:
    video = daemon.client("kinesisvideo")

    def found() -> list[str]:
        streams = video.list_streams()["StreamInfoList"]
        return [one["StreamARN"] for one in streams if one["StreamName"] == name]

    return str(wait_until(found, what=f"the stream {name}")[0])


def _live(daemon: Daemon, name: str = "hall-faces") -> tuple[dict[str, Any], bytes]:
    def shown() -> bytes | None:
        status, kind, body, _ = _ask(daemon, "live", name=name)
        assert status == 200, body
        return body if kind == "application/octet-stream" else None

    line, _, jpeg = wait_until(shown, what="a frame").partition(b"\n")
    return json.loads(line), jpeg


def test_the_page_and_its_settings_need_no_signature(daemon: Daemon) -> None:
    """They tell how to sign, and nothing of anybody."""
    assert daemon.get("/console/")[0] == 200
    told = _json(daemon, "settings", None)
    assert (told["AuthMode"], told["Region"], told["KeepsSightings"]) == (
        "sigv4",
        "us-east-1",
        True,
    )


@pytest.mark.parametrize(
    "name", ["stream-processors", "live", "sightings", "sighting", "video-streams", "still"]
)
def test_all_else_needs_one(daemon: Daemon, name: str) -> None:
    """Without a signature every other call is refused in Rekognition's form."""
    assert _code(daemon, name, None) == "MissingAuthenticationTokenException"


def test_the_last_analysed_frame_is_shown_with_what_was_found(daemon: Daemon) -> None:
    """The face has its name, its box lies in the frame, and later frames follow."""
    head, jpeg = _live(daemon)
    assert size_of(jpeg) == (448, 336)
    (find,) = head["Finds"]
    assert (find["Label"], find["ExternalImageId"]) == ("FACE", "eileen")
    assert find["Similarity"] >= 80
    assert 0 < find["BoundingBox"]["Left"] < 1
    wait_until(lambda: _live(daemon)[0]["AnalyzedAt"] > head["AnalyzedAt"], what="a later frame")


def test_a_frame_that_is_known_is_not_sent_again(daemon: Daemon) -> None:
    """Who names the frame it has is told that there is no other, until there is."""

    def is_unchanged() -> bool:
        head, _ = _live(daemon)
        kind, body = _ask(daemon, "live", name="hall-faces", after=str(head["AnalyzedAt"]))[1:3]
        return kind == "application/json" and json.loads(body) == {"State": "UNCHANGED"}

    wait_until(is_unchanged, what="the same frame")


def test_what_does_not_run_shows_no_frame(daemon: Daemon) -> None:
    """A stopped one says so; one that is not there is not found."""
    assert _json(daemon, "live", name="stopped") == {"State": "NOT_RUNNING", "Status": "STOPPED"}
    assert _code(daemon, "live", ADMIN, name="nobody") == "ResourceNotFoundException"
    assert _code(daemon, "live", ADMIN) == "InvalidParameterException"


def test_no_frame_is_left_when_nobody_watches(daemon: Daemon) -> None:
    """Some seconds after the last look the frame is gone from the disk."""
    _live(daemon)
    live = daemon.data_dir / "console" / "live"
    assert [path.stat().st_mode & 0o777 for path in live.glob("*.frame")] == [0o600]
    assert live.stat().st_mode & 0o777 == 0o700
    wait_until(lambda: not list(live.iterdir()), what="an empty directory")


def test_sightings_have_their_pictures(daemon: Daemon) -> None:
    """Who was seen is listed with a picture, and with the stream processor as its last result."""
    found = wait_until(lambda: _json(daemon, "sightings")["Sightings"], what="a sighting")
    sighting = next(one for one in found if one.get("ExternalImageId") == "eileen")
    assert sighting["StreamProcessorName"] == "hall-faces"
    assert sighting["StartedAt"] <= sighting["LastSeenAt"]
    query = {"name": "hall-faces", "id": sighting["Id"]}
    status, kind, jpeg, headers = _ask(daemon, "sighting", **query)
    assert (status, kind, headers["Cache-Control"]) == (200, "image/jpeg", "no-store")
    assert max(size_of(jpeg)) <= 480
    listed = _json(daemon, "stream-processors")["StreamProcessors"]
    by_name = {one["Name"]: one for one in listed}
    assert by_name["hall-faces"]["Status"] == "RUNNING"
    assert by_name["hall-faces"]["LastSighting"]["StreamProcessorName"] == "hall-faces"
    assert by_name["stopped"]["LastSighting"] is None
    assert _json(daemon, "sightings", name="stopped")["Sightings"] == []


@pytest.mark.parametrize("sighting_id", ["../../streamd", "1700000000000-00000000"])
def test_a_sighting_that_is_not_there_is_not_found(daemon: Daemon, sighting_id: str) -> None:
    """Nor is a path that leads elsewhere."""
    code = _code(daemon, "sighting", ADMIN, name="hall-faces", id=sighting_id)
    assert code == "ResourceNotFoundException"


def test_cameras_tell_their_state_and_no_password(daemon: Daemon) -> None:
    """The one that sends is live with a picture; the other has none, and keeps its secrets."""

    def is_live() -> dict[str, Any] | None:
        streams = _json(daemon, "video-streams")["Streams"]
        found = {one["StreamName"]: one for one in streams}
        return found if found["hall"]["State"] == "LIVE" else None

    streams = wait_until(is_live, what="a live camera")
    assert streams["hall"]["Camera"]["IsRelayed"]
    assert streams["attic"]["State"] == "EMPTY"
    assert streams["attic"]["Camera"]["Source"] == "rtsp://127.0.0.1:9"
    assert "hunter2" not in json.dumps(streams)
    assert "secret-path" not in json.dumps(streams)
    status, kind, jpeg, _ = _ask(daemon, "still", stream="hall")
    assert (status, kind, size_of(jpeg)) == (200, "image/jpeg", (448, 336))
    assert _code(daemon, "still", ADMIN, stream="nobody") == "ResourceNotFoundException"


def test_a_viewer_sees_and_no_more(daemon: Daemon) -> None:
    """Rights to describe and to read media are those to watch; streams it may not list."""
    assert _ask(daemon, "live", VIEWER, name="hall-faces")[0] == 200
    assert _json(daemon, "sightings", VIEWER)["Sightings"]
    assert _code(daemon, "video-streams", VIEWER) == "AccessDeniedException"


def test_who_may_not_read_the_video_sees_no_face(daemon: Daemon) -> None:
    """Without kinesisvideo:GetMedia there is no frame, no sighting, no still; names there are."""
    for name in ("live", "sightings", "sighting"):
        assert _code(daemon, name, NO_VIDEO, name="hall-faces", id="x") == "AccessDeniedException"
    assert _code(daemon, "still", NO_VIDEO, stream="hall") == "AccessDeniedException"
    assert _json(daemon, "sightings", NO_VIDEO)["Sightings"] == []
    listed = _json(daemon, "stream-processors", NO_VIDEO)["StreamProcessors"]
    assert [one["Name"] for one in listed] == ["hall-faces", "stopped"]
    assert not any("LastSighting" in one for one in listed)


def test_another_account_sees_nothing(daemon: Daemon) -> None:
    """Neither stream processors, nor sightings, nor cameras, nor that they exist."""
    assert _json(daemon, "stream-processors", OTHER)["StreamProcessors"] == []
    assert _json(daemon, "sightings", OTHER)["Sightings"] == []
    assert _json(daemon, "video-streams", OTHER)["Streams"] == []
    for name in ("live", "sightings", "sighting"):
        code = _code(daemon, name, OTHER, name="hall-faces", id="x")
        assert code == "ResourceNotFoundException"
    assert _code(daemon, "still", OTHER, stream="hall") == "ResourceNotFoundException"


def test_looks_are_in_the_audit_log(daemon: Daemon) -> None:
    """Who watched what is there once, however many frames were seen."""
    _live(daemon)
    _live(daemon)
    audit = Path(daemon.data_dir).with_name("audit.jsonl")

    def watched() -> list[Any]:
        lines = [json.loads(line) for line in audit.read_text().splitlines()]
        return [
            line["resources"]
            for line in lines
            if line["operation"] == "console:WatchStreamProcessor"
            and line["access_key_id"] == ADMIN
        ]

    arn = f"arn:aws:rekognition:us-east-1:{OURS}:streamprocessor/hall-faces"
    assert wait_until(watched, what="a line") == [[arn]]
