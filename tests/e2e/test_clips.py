"""Real footage through the daemon: what the notes beside the clips say is what comes out."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.daemon import Daemon, running_daemon, wait_until
from tests.support.shared import MEDIA, MODELS, needs_shared
from tests.support.story import create_face_search, create_labels, wait_for_status

pytestmark = [*needs_shared, pytest.mark.xdist_group("clips")]


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """A daemon with the drop-in face and label packs."""
    env = {
        "STREAMD_MODELS__DIR": str(MODELS),
        "STREAMD_MODELS__FACES": "yunet-retail0095",
        "STREAMD_MODELS__LABELS": "nanodet-plus-m",
        "STREAMD_ANALYSIS__FPS": "2",
    }
    with running_daemon(tmp_path_factory.mktemp("clips") / "data", env) as running:
        yield running


def _put(daemon: Daemon, stream: str, clip: str) -> None:
    sent = subprocess.run(
        [
            *(sys.executable, "-m", "streamd", "put-media", "--stream", stream, "--fast"),
            *("--endpoint", daemon.url, "--source", str(MEDIA / "video" / clip)),
        ],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert sent.returncode == 0, sent.stdout + sent.stderr


def _label_session(daemon: Daemon, name: str, clip: str, labels: tuple[str, ...]) -> dict[str, Any]:
    """Run a session of 60 s over a clip; returns the first sight of each label, by name."""
    video, rekognition = daemon.client("kinesisvideo"), daemon.client("rekognition")
    arn = video.create_stream(StreamName=name, DataRetentionInHours=1)["StreamARN"]
    _put(daemon, name, clip)
    create_labels(daemon, name, arn, labels=labels)
    rekognition.start_stream_processor(
        Name=name,
        StartSelector={"KVSStreamStartSelector": {"ProducerTimestamp": 1}},
        StopSelector={"MaxDurationInSeconds": 60},
    )
    assert wait_for_status(daemon, name, "STOPPED", "FAILED", seconds=90) == "STOPPED"
    messages = wait_until(lambda: daemon.notifications(name), what="COMPLETE")
    assert messages[-1]["eventNamespace"]["type"] == "STREAM_PROCESSING_COMPLETE"
    return {label["name"]: label for m in messages[:-1] for label in m["labels"]}


def test_kitten_is_a_pet(daemon: Daemon) -> None:
    """The kitten clip announces PET at its first frame; what was not asked for is not told."""
    seen = _label_session(daemon, "kitten", "kitten.mp4", ("PET",))
    assert set(seen) == {"PET"}
    assert seen["PET"]["videoMapping"]["kinesisVideoMapping"]["frameOffsetMillis"] == 0


def test_empty_room_is_silent(daemon: Daemon) -> None:
    """Nothing but the end is announced."""
    assert _label_session(daemon, "room", "empty_room.mp4", ("PERSON", "PET")) == {}


def test_person_is_announced_when_she_comes(daemon: Daemon) -> None:
    """One by one: nobody before 6.1 s, the first sight before 7.4 s (clear from 6.4 s on)."""
    seen = _label_session(daemon, "table", "one_by_one_a.mp4", ("PERSON", "PET"))
    assert set(seen) == {"PERSON"}
    mapping = seen["PERSON"]["videoMapping"]["kinesisVideoMapping"]
    video = daemon.client("kinesis-video-archived-media")
    fragments = video.list_fragments(
        StreamName="table",
        FragmentSelector={
            "FragmentSelectorType": "SERVER_TIMESTAMP",
            "TimestampRange": {"StartTimestamp": 1, "EndTimestamp": 4_000_000_000},
        },
    )["Fragments"]
    start = min(f["ProducerTimestamp"].timestamp() for f in fragments)
    at = mapping["producerTimestamp"] / 1000 + mapping["frameOffsetMillis"] / 1000 - start
    assert 6.1 <= at <= 7.4


def test_head_that_turns_is_one_face_in_every_frame(daemon: Daemon) -> None:
    """head_pose_man: exactly one face in each record, at 2 analysed frames a second."""
    create_face_search(daemon, "head")
    daemon.client("rekognition").start_stream_processor(Name="head")
    wait_for_status(daemon, "head", "RUNNING")
    _put(daemon, "head", "head_pose_man.mp4")
    records = wait_until(
        lambda: found if len(found := daemon.records("head")) >= 39 else None,
        seconds=60,
        what="39 records",
    )
    assert {len(record["FaceSearchResponse"]) for record in records} == {1}
    faces = [record["FaceSearchResponse"][0] for record in records]
    assert all(face["MatchedFaces"] == [] for face in faces)
    yaws = [face["DetectedFace"]["Pose"]["Yaw"] for face in faces]
    assert min(yaws) < -15
    assert max(yaws) > 15
    widths = [face["DetectedFace"]["BoundingBox"]["Width"] * 1920 for face in faces]
    assert 150 < sorted(widths)[len(widths) // 2] < 350


def test_known_person_is_told_from_strangers(daemon: Daemon) -> None:
    """A collection of nine people: each one's other photos find that person and nobody else."""
    rekognition = daemon.client("rekognition")
    rekognition.create_collection(CollectionId="nine")
    # One of the pictures is WebP by the name of a JPEG, which AWS takes no more than we do.
    people = {
        folder.name: [p for p in sorted(folder.glob("*.jpg")) if p.read_bytes()[:2] == b"\xff\xd8"]
        for folder in sorted((MEDIA / "faces").iterdir())
    }
    for person, (first, *_) in people.items():
        rekognition.index_faces(
            CollectionId="nine",
            Image={"Bytes": first.read_bytes()},
            ExternalImageId=person,
            MaxFaces=1,
        )
    found = wrong = total = 0
    for person, (_, *others) in people.items():
        for photo in others:
            total += 1
            matches = rekognition.search_faces_by_image(
                CollectionId="nine", Image={"Bytes": photo.read_bytes()}
            )["FaceMatches"]
            names = {match["Face"]["ExternalImageId"] for match in matches}
            found += person in names
            wrong += bool(names - {person})
    assert wrong == 0
    assert found == total
