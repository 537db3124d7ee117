"""Keys, accounts and the audit log, from outside: real clients against a running daemon."""

from __future__ import annotations

import json
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.support.daemon import Daemon, running_daemon, wait_until
from tests.support.producer import put_video
from tests.support.scenes import astronaut_jpeg, face_video
from tests.support.story import create_face_search, wait_for_status

OURS, THEIRS = "111111111111", "222222222222"
OUR_KEY, THEIR_KEY, CAMERA_KEY = "AKIDOURS", "AKIDTHEIRS", "AKIDCAMERA"
SECRETS = {
    OUR_KEY: "secret-of-ours-0001",
    THEIR_KEY: "secret-of-theirs-0002",
    CAMERA_KEY: "secret-of-the-camera-0003",
}
CREDENTIALS: list[dict[str, Any]] = [
    {"access_key_id": OUR_KEY, "secret_access_key": SECRETS[OUR_KEY]},
    {"access_key_id": THEIR_KEY, "secret_access_key": SECRETS[THEIR_KEY], "account_id": THEIRS},
    {
        "access_key_id": CAMERA_KEY,
        "secret_access_key": SECRETS[CAMERA_KEY],
        "allow": ["kinesisvideo:PutMedia"],
        "resources": [f"arn:aws:kinesisvideo:*:{OURS}:stream/cam/*"],
    },
]


def _env(audit: Path) -> dict[str, str]:
    return {
        "STREAMD_AUTH__MODE": "sigv4",
        "STREAMD_AUTH__CREDENTIALS": json.dumps(CREDENTIALS),
        "STREAMD_AWS__ACCOUNT_ID": OURS,
        "STREAMD_SERVER__AUDIT_LOG": str(audit),
    }


@pytest.fixture(scope="module")
def audit_log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The audit log of the daemon of this module."""
    return tmp_path_factory.mktemp("audit") / "audit.jsonl"


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory, audit_log: Path) -> Iterator[Daemon]:
    """A daemon with two accounts."""
    data_dir = tmp_path_factory.mktemp("accounts") / "data"
    with running_daemon(data_dir, _env(audit_log)) as running:
        yield running


def _client(daemon: Daemon, service: str, key: str) -> Any:
    return daemon.client(service, key=key, secret=SECRETS[key])


def _as(daemon: Daemon, key: str) -> Daemon:
    daemon.credentials = (key, SECRETS[key])
    return daemon


def _refusal(call: Any, **arguments: Any) -> tuple[int, str, str]:
    with pytest.raises(ClientError) as caught:
        call(**arguments)
    answer = caught.value.response
    status = answer["ResponseMetadata"]["HTTPStatusCode"]
    return status, answer["Error"]["Code"], answer["Error"]["Message"]


def test_two_accounts_run_the_same_names_and_see_their_own(daemon: Daemon) -> None:
    """Collection, stream, stream processor and results of one name stay apart."""
    video = face_video(1.0)
    arns = {}
    for key, account in ((OUR_KEY, OURS), (THEIR_KEY, THEIRS)):
        _, arns[key] = create_face_search(_as(daemon, key), "hall", account=account)
        assert f":{account}:stream/hall/" in arns[key]
        daemon.client("rekognition").start_stream_processor(Name="hall")
        wait_for_status(daemon, "hall", "RUNNING")
    # Only they send video: only their processor has results.
    put_video(daemon.port, "hall", video, credentials=(THEIR_KEY, SECRETS[THEIR_KEY]))
    folder = daemon.data_dir / "outputs"
    theirs = folder / "accounts" / THEIRS / "kinesis" / "hall.jsonl"
    wait_until(lambda: theirs.exists() and len(theirs.read_text().splitlines()) == 5, what="5")
    assert not (folder / "kinesis" / "hall.jsonl").exists()
    put_video(daemon.port, "hall", video, credentials=(OUR_KEY, SECRETS[OUR_KEY]))
    wait_until(lambda: len(daemon.records("hall")) == 5, what="5 records of ours")
    record = daemon.records("hall")[0]
    assert record["InputInformation"]["KinesisVideo"]["StreamArn"] == arns[OUR_KEY]

    for key in (OUR_KEY, THEIR_KEY):
        rekognition = _client(daemon, "rekognition", key)
        rekognition.stop_stream_processor(Name="hall")
        wait_for_status(_as(daemon, key), "hall", "STOPPED")


def test_nothing_of_the_other_account_can_be_seen(daemon: Daemon) -> None:
    """Names, ARNs, lists and tags of another account are as if they were not there."""
    ours, theirs = (_client(daemon, "rekognition", key) for key in (OUR_KEY, THEIR_KEY))
    our_video, their_video = (_client(daemon, "kinesisvideo", k) for k in (OUR_KEY, THEIR_KEY))
    made = ours.create_collection(CollectionId="private", Tags={"a": "b"})
    arn = our_video.create_stream(StreamName="private", DataRetentionInHours=1)["StreamARN"]

    assert "private" not in theirs.list_collections()["CollectionIds"]
    names = [info["StreamName"] for info in their_video.list_streams()["StreamInfoList"]]
    assert "private" not in names
    missing = "ResourceNotFoundException"
    assert _refusal(theirs.describe_collection, CollectionId="private")[1] == missing
    image = {"Bytes": astronaut_jpeg()}
    assert _refusal(theirs.index_faces, CollectionId="private", Image=image)[1] == missing
    collection = made["CollectionArn"]
    assert _refusal(theirs.list_tags_for_resource, ResourceArn=collection)[1] == missing
    assert _refusal(theirs.tag_resource, ResourceArn=collection, Tags={"x": "y"})[1] == missing
    for where in ({"StreamName": "private"}, {"StreamARN": arn}):
        assert _refusal(their_video.describe_stream, **where)[1] == missing
        assert _refusal(their_video.list_tags_for_stream, **where)[1] == missing
        media = _client(daemon, "kinesis-video-media", THEIR_KEY)
        selector = {"StartSelectorType": "EARLIEST"}
        assert _refusal(media.get_media, StartSelector=selector, **where)[1] == missing
        archived = _client(daemon, "kinesis-video-archived-media", THEIR_KEY)
        assert _refusal(archived.list_fragments, **where)[1] == missing
    assert _refusal(their_video.delete_stream, StreamARN=arn)[1] == missing
    with pytest.raises(AssertionError, match="stream is not found"):
        put_video(
            daemon.port, "private", face_video(0.4), credentials=(THEIR_KEY, SECRETS[THEIR_KEY])
        )
    assert our_video.describe_stream(StreamName="private")["StreamInfo"]["StreamARN"] == arn


def test_a_key_for_one_camera_does_nothing_else(daemon: Daemon) -> None:
    """It sends to its stream; everything else is refused in AWS's words."""
    video = _client(daemon, "kinesisvideo", OUR_KEY)
    for name in ("cam", "garden"):
        video.create_stream(StreamName=name, DataRetentionInHours=1)
    camera = (CAMERA_KEY, SECRETS[CAMERA_KEY])
    acks = put_video(daemon.port, "cam", face_video(0.4), credentials=camera)
    assert acks[-1]["EventType"] == "PERSISTED"
    with pytest.raises(AssertionError, match="not authorized to perform: kinesisvideo:PutMedia"):
        put_video(daemon.port, "garden", face_video(0.4), credentials=camera)
    user = f"arn:aws:iam::{OURS}:user/{CAMERA_KEY}"
    assert _refusal(
        _client(daemon, "kinesisvideo", CAMERA_KEY).describe_stream, StreamName="cam"
    ) == (
        401,
        "NotAuthorizedException",
        f"User: {user} is not authorized to perform: kinesisvideo:DescribeStream on resource: "
        f"arn:aws:kinesisvideo:us-east-1:{OURS}:stream/cam/*",
    )
    assert _refusal(_client(daemon, "kinesisvideo", CAMERA_KEY).list_streams)[:2] == (
        401,
        "AccessDeniedException",
    )
    rekognition = _client(daemon, "rekognition", CAMERA_KEY)
    assert _refusal(rekognition.create_collection, CollectionId="mine") == (
        400,
        "AccessDeniedException",
        f"User: {user} is not authorized to perform: rekognition:CreateCollection on resource: "
        f"arn:aws:rekognition:us-east-1:{OURS}:collection/mine",
    )


def test_a_header_does_not_change_the_account(daemon: Daemon) -> None:
    """Only the daemon's own workers may say whom they act for."""
    theirs = _client(daemon, "kinesisvideo", THEIR_KEY)
    _client(daemon, "kinesisvideo", OUR_KEY).create_stream(StreamName="header")

    def add(request: Any, **_: Any) -> None:
        request.headers["X-Streamd-Account"] = OURS

    theirs.meta.events.register("before-sign", add)
    assert _refusal(theirs.describe_stream, StreamName="header")[1] == "ResourceNotFoundException"


def test_changes_and_looks_into_collections_leave_a_line(daemon: Daemon, audit_log: Path) -> None:
    """Who, what and when, as JSON lines that only their owner reads; refusals too."""
    rekognition = _client(daemon, "rekognition", THEIR_KEY)
    rekognition.create_collection(CollectionId="audited")
    rekognition.index_faces(CollectionId="audited", Image={"Bytes": astronaut_jpeg()})
    rekognition.search_faces_by_image(CollectionId="audited", Image={"Bytes": astronaut_jpeg()})
    rekognition.list_collections()
    _refusal(rekognition.list_faces, CollectionId="nowhere")
    camera = _client(daemon, "rekognition", CAMERA_KEY)
    _refusal(camera.delete_collection, CollectionId="audited")
    answer = rekognition.delete_collection(CollectionId="audited")

    def lines() -> list[dict[str, Any]]:
        found = [json.loads(line) for line in audit_log.read_text().splitlines()]
        about = ("/audited", "/nowhere")
        return [line for line in found if line["resources"][0].endswith(about)]

    wait_until(lambda: len(lines()) >= 6, what="6 audit lines")
    shown = [(line["operation"], line["result"], line["access_key_id"]) for line in lines()]
    assert shown == [
        ("rekognition:CreateCollection", "OK", THEIR_KEY),
        ("rekognition:IndexFaces", "OK", THEIR_KEY),
        ("rekognition:SearchFacesByImage", "OK", THEIR_KEY),
        ("rekognition:ListFaces", "ResourceNotFoundException", THEIR_KEY),
        ("rekognition:DeleteCollection", "AccessDeniedException", CAMERA_KEY),
        ("rekognition:DeleteCollection", "OK", THEIR_KEY),
    ]
    last = lines()[-1]
    assert last["request_id"] == answer["ResponseMetadata"]["RequestId"]
    assert last["resources"] == [f"arn:aws:rekognition:us-east-1:{THEIRS}:collection/audited"]
    assert (last["account"], last["peer"]) == (THEIRS, "127.0.0.1")
    assert stat.S_IMODE(audit_log.stat().st_mode) == 0o600
    assert max(len(line) for line in audit_log.read_text().splitlines()) < 1000
    for secret in SECRETS.values():
        assert secret not in audit_log.read_text()
        assert secret not in daemon.log()


def _write_keys(path: Path, keys: dict[str, str]) -> None:
    tables = [
        f'[[credentials]]\naccess_key_id = "{key}"\nsecret_access_key = "{secret}"\n'
        for key, secret in keys.items()
    ]
    draft = path.with_suffix(".new")
    draft.write_text("".join(tables))
    draft.chmod(0o600)
    draft.rename(path)


def test_keys_are_rotated_by_editing_their_file(data_dir: Path, tmp_path: Path) -> None:
    """Old and new key are valid side by side; then the old one is not; no restart."""
    keys = tmp_path / "keys.toml"
    _write_keys(keys, {"AKIDOLD": "old-secret"})
    env = {"STREAMD_AUTH__MODE": "sigv4", "STREAMD_AUTH__CREDENTIALS_FILE": str(keys)}
    refusals = {"UnrecognizedClientException", "InvalidSignatureException"}
    with running_daemon(data_dir, env) as daemon:

        def works(key: str, secret: str) -> bool:
            try:
                daemon.client("rekognition", key=key, secret=secret).list_collections()
            except ClientError as error:
                if error.response["Error"]["Code"] in refusals:
                    return False
                raise
            return True

        assert works("AKIDOLD", "old-secret")
        _write_keys(keys, {"AKIDOLD": "old-secret", "AKIDNEW": "new-secret"})
        wait_until(lambda: works("AKIDNEW", "new-secret"), what="the new key")
        assert works("AKIDOLD", "old-secret")

        keys.write_text('credentials = "broken-secret"')
        wait_until(lambda: "keys not changed" in daemon.log(), what="the refusal of a broken file")
        assert works("AKIDOLD", "old-secret")
        assert "broken-secret" not in daemon.log()

        _write_keys(keys, {"AKIDNEW": "newest-secret"})
        wait_until(lambda: not works("AKIDOLD", "old-secret"), what="the end of the old key")
        assert works("AKIDNEW", "newest-secret")
        assert not works("AKIDNEW", "new-secret")
        assert "-secret" not in daemon.log()
