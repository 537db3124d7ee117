"""The main job for labels: first sights announced, pictures kept, the session's end told."""

from __future__ import annotations

import json
from typing import Any

import pytest
from PIL import Image

from tests.support.daemon import Daemon, wait_until
from tests.support.producer import now_ms, put_video
from tests.support.scenes import face_video
from tests.support.story import create_labels, wait_for_status


def _complete(daemon: Daemon, topic: str) -> list[dict[str, Any]] | None:
    messages = daemon.notifications(topic)
    types = [m["eventNamespace"]["type"] for m in messages]
    return messages if "STREAM_PROCESSING_COMPLETE" in types else None


def test_session_announces_a_person_once_and_its_end(daemon: Daemon) -> None:
    """One LABEL_DETECTED with hero frame and crop, one COMPLETE, results.json, then STOPPED."""
    video, rekognition = daemon.client("kinesisvideo"), daemon.client("rekognition")
    arn = video.create_stream(StreamName="porch", DataRetentionInHours=1)["StreamARN"]
    create_labels(daemon, "porch-labels", arn, Tags={"site": "home"})
    start_ms = now_ms()
    put_video(daemon.port, "porch", face_video(4.0), start_ms=start_ms)

    session = rekognition.start_stream_processor(
        Name="porch-labels",
        StartSelector={"KVSStreamStartSelector": {"ProducerTimestamp": start_ms}},
        StopSelector={"MaxDurationInSeconds": 2},
    )["SessionId"]
    assert wait_for_status(daemon, "porch-labels", "STOPPED", "FAILED") == "STOPPED"

    detected, complete = wait_until(lambda: _complete(daemon, "porch-labels"), what="COMPLETE")
    assert detected["eventNamespace"]["type"] == "LABEL_DETECTED"
    assert detected["sessionId"] == complete["sessionId"] == session
    assert detected["tags"] == {"site": "home"}
    assert detected["startStreamProcessorRequest"]["name"] == "porch-labels"
    (label,) = detected["labels"]
    assert label["name"] == "PERSON"
    mapping = label["videoMapping"]["kinesisVideoMapping"]
    assert mapping["producerTimestamp"] == start_ms
    assert mapping["frameOffsetMillis"] == 0
    # Whole fragments of a second: the session ends at the end of the second one.
    assert complete["inputInformation"]["kinesisVideo"]["processedVideoDurationMillis"] == 2000

    root = daemon.data_dir / "outputs" / "s3"
    with Image.open(root / label["frameImageUri"].removeprefix("s3://")) as frame:
        assert frame.size == (448, 336)
    with Image.open(root / label["croppedImageUri"].removeprefix("s3://")) as crop:
        assert crop.width < 448
    results = json.loads(
        (root / "porch-labels" / "cameras" / "porch-labels" / session / "results.json").read_text()
    )
    assert len(results["labels"]) == 10


def test_media_beyond_the_duration_is_left_alone(daemon: Daemon) -> None:
    """What follows the last fragment of the session is read by nobody, in however large pieces."""
    video, rekognition = daemon.client("kinesisvideo"), daemon.client("rekognition")
    arn = video.create_stream(StreamName="long", DataRetentionInHours=1)["StreamARN"]
    create_labels(daemon, "long-labels", arn)
    start_ms = now_ms()
    put_video(daemon.port, "long", face_video(4.0), start_ms=start_ms, repeat=3)
    for _ in range(3):
        rekognition.start_stream_processor(
            Name="long-labels",
            StartSelector={"KVSStreamStartSelector": {"ProducerTimestamp": start_ms}},
            StopSelector={"MaxDurationInSeconds": 1},
        )
        assert wait_for_status(daemon, "long-labels", "STOPPED", "FAILED") == "STOPPED"


def test_media_that_ends_early_ends_the_session(daemon: Daemon) -> None:
    """A session of 60 s over 1 s of media is STOPPED soon after the media, with its COMPLETE."""
    video, rekognition = daemon.client("kinesisvideo"), daemon.client("rekognition")
    arn = video.create_stream(StreamName="short", DataRetentionInHours=1)["StreamARN"]
    create_labels(daemon, "short-labels", arn)
    acks = put_video(daemon.port, "short", face_video(1.0))
    number = next(a["FragmentNumber"] for a in acks if a["EventType"] == "PERSISTED")
    rekognition.start_stream_processor(
        Name="short-labels",
        StartSelector={"KVSStreamStartSelector": {"FragmentNumber": number}},
        StopSelector={"MaxDurationInSeconds": 60},
    )
    assert rekognition.describe_stream_processor(Name="short-labels")["Status"] == "STARTING", (
        "a label session is never RUNNING"
    )
    assert wait_for_status(daemon, "short-labels", "STOPPED", "FAILED") == "STOPPED"
    messages = wait_until(lambda: _complete(daemon, "short-labels"), what="COMPLETE")
    # The fragment that was named belongs to the session.
    mapping = messages[0]["labels"][0]["videoMapping"]["kinesisVideoMapping"]
    assert mapping["fragmentNumber"] == number


def test_label_the_pack_cannot_tell_is_refused_with_the_remedy(daemon: Daemon) -> None:
    """PACKAGE with the faces pack: Start is refused, and the message names label and command."""
    video, rekognition = daemon.client("kinesisvideo"), daemon.client("rekognition")
    arn = video.create_stream(StreamName="parcel", DataRetentionInHours=1)["StreamARN"]
    create_labels(daemon, "parcel-labels", arn, labels=("PACKAGE",))
    with pytest.raises(rekognition.exceptions.InvalidParameterException) as caught:
        rekognition.start_stream_processor(
            Name="parcel-labels",
            StartSelector={"KVSStreamStartSelector": {"ProducerTimestamp": 1}},
        )
    assert "PACKAGE" in str(caught.value)
    assert "streamd models pull" in str(caught.value)


def test_start_without_selector_is_refused(daemon: Daemon) -> None:
    """A label session must be told where to begin."""
    video, rekognition = daemon.client("kinesisvideo"), daemon.client("rekognition")
    arn = video.create_stream(StreamName="lost", DataRetentionInHours=1)["StreamARN"]
    create_labels(daemon, "lost-labels", arn)
    with pytest.raises(rekognition.exceptions.InvalidParameterException):
        rekognition.start_stream_processor(Name="lost-labels")
