"""The main job for faces, driven by boto3 from outside."""

from __future__ import annotations

from decimal import Decimal

import pytest
from botocore.exceptions import ClientError

from tests.support.daemon import Daemon, wait_until
from tests.support.producer import now_ms, put_video
from tests.support.scenes import face_video
from tests.support.story import create_face_search, wait_for_status


def test_faces_of_a_live_stream_reach_the_output(daemon: Daemon) -> None:
    """Every analysed frame has a record that names the known face and finds its frame."""
    face_id, arn = create_face_search(daemon, "door")
    rekognition = daemon.client("rekognition")
    assert "SessionId" in rekognition.start_stream_processor(Name="door")
    wait_for_status(daemon, "door", "RUNNING")

    start_ms = now_ms()
    acks = put_video(daemon.port, "door", face_video(4.0), start_ms=start_ms)
    persisted = [ack["FragmentNumber"] for ack in acks if ack["EventType"] == "PERSISTED"]
    assert len(persisted) == 4
    # 4 s at 5 analysed frames a second, from a camera with 10.
    records = wait_until(
        lambda: found if len(found := daemon.records("door")) >= 20 else None, what="20 records"
    )

    assert len(records) == 20
    assert [r["StreamProcessorInformation"]["Status"] for r in records] == ["RUNNING"] * 20
    for index, record in enumerate(records):
        video = record["InputInformation"]["KinesisVideo"]
        assert video["StreamArn"] == arn
        assert video["FragmentNumber"] == persisted[index // 5]
        offset = Decimal(str(video["FrameOffsetInSeconds"]))
        at_ms = round(Decimal(str(video["ProducerTimestamp"])) * 1000 + offset * 1000)
        assert at_ms == start_ms + index * 200
        (face,) = record["FaceSearchResponse"]
        (match,) = face["MatchedFaces"]
        assert match["Face"]["FaceId"] == face_id
        assert match["Face"]["ExternalImageId"] == "astronaut"
        assert match["Similarity"] > 95

    with pytest.raises(rekognition.exceptions.ResourceInUseException):
        rekognition.delete_stream_processor(Name="door")
    rekognition.stop_stream_processor(Name="door")
    wait_for_status(daemon, "door", "STOPPED")
    rekognition.delete_stream_processor(Name="door")
    with pytest.raises(rekognition.exceptions.ResourceNotFoundException):
        rekognition.describe_stream_processor(Name="door")


def test_h265_is_decoded_too(daemon: Daemon) -> None:
    """A camera that sends H.265 is searched like one that sends H.264."""
    create_face_search(daemon, "hevc")
    daemon.client("rekognition").start_stream_processor(Name="hevc")
    wait_for_status(daemon, "hevc", "RUNNING")
    put_video(daemon.port, "hevc", face_video(1.0, codec="hevc"))
    records = wait_until(
        lambda: found if len(found := daemon.records("hevc")) >= 5 else None, what="5 records"
    )
    assert all(len(r["FaceSearchResponse"]) == 1 for r in records)


def test_missing_stream_fails_in_awss_words(daemon: Daemon) -> None:
    """Start answers 200; the failure shows as FAILED with AWS's StatusMessage."""
    create_face_search(daemon, "gone", stream="gone-stream")
    video, rekognition = daemon.client("kinesisvideo"), daemon.client("rekognition")
    arn = video.describe_stream(StreamName="gone-stream")["StreamInfo"]["StreamARN"]
    video.delete_stream(StreamARN=arn)
    rekognition.start_stream_processor(Name="gone")
    wait_for_status(daemon, "gone", "FAILED")
    message = rekognition.describe_stream_processor(Name="gone")["StatusMessage"]
    assert message == "Stream gone-stream doesn't exist"


def test_missing_collection_fails_in_awss_words(daemon: Daemon) -> None:
    """A collection deleted before the start is found missing by the session."""
    create_face_search(daemon, "nobody")
    rekognition = daemon.client("rekognition")
    rekognition.delete_collection(CollectionId="nobody")
    rekognition.start_stream_processor(Name="nobody")
    wait_for_status(daemon, "nobody", "FAILED")
    assert (
        rekognition.describe_stream_processor(Name="nobody")["StatusMessage"]
        == "Collection not found"
    )


def test_region_of_interest_hides_what_lies_outside(daemon: Daemon) -> None:
    """A face outside all regions is neither searched nor listed; the frame still has its record."""
    corner = {"BoundingBox": {"Left": 0.0, "Top": 0.6, "Width": 0.3, "Height": 0.4}}
    create_face_search(daemon, "corner", RegionsOfInterest=[corner])
    daemon.client("rekognition").start_stream_processor(Name="corner")
    wait_for_status(daemon, "corner", "RUNNING")
    put_video(daemon.port, "corner", face_video(1.0))
    records = wait_until(
        lambda: found if len(found := daemon.records("corner")) >= 5 else None, what="5 records"
    )
    assert [r["FaceSearchResponse"] for r in records] == [[]] * 5


def test_metrics_tell_what_happened(daemon: Daemon) -> None:
    """/metrics sums up control and worker processes."""
    create_face_search(daemon, "measured")
    daemon.client("rekognition").start_stream_processor(Name="measured")
    wait_for_status(daemon, "measured", "RUNNING")
    before = daemon.metric("streamd_frames_analyzed_total")
    put_video(daemon.port, "measured", face_video(1.0))
    wait_until(lambda: len(daemon.records("measured")) == 5, what="5 records")
    assert daemon.metric("streamd_frames_analyzed_total") == before + 5
    status, text = daemon.get("/metrics")
    assert status == 200
    assert 'streamd_records_delivered_total{sink="local"}' in text
    assert 'streamd_api_requests_total{code="200",operation="CreateCollection"' in text


def test_unserved_operation_names_itself(daemon: Daemon) -> None:
    """An operation of another system answers a clear AWS error."""
    with pytest.raises(ClientError, match="DetectText"):
        daemon.client("rekognition").detect_text(Image={"Bytes": b"x"})
