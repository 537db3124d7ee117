"""Results in Kafka, Kinesis Data Streams, S3 and SNS, as settings say; nothing lost in between."""

from __future__ import annotations

import base64
import hashlib
import hmac
import http.server
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.daemon import Daemon, running_daemon, wait_until
from tests.support.kafka import MockCluster, mock_cluster, read_topic
from tests.support.moto import Moto, moto_server
from tests.support.producer import now_ms, put_video
from tests.support.scenes import face_video
from tests.support.story import create_face_search, create_labels, status_of, wait_for_status

pytestmark = pytest.mark.xdist_group("brokers")


@pytest.fixture(scope="module")
def cluster() -> Iterator[MockCluster]:
    """A Kafka cluster of the test's own."""
    with mock_cluster() as running:
        yield running


@pytest.fixture(scope="module")
def moto() -> Iterator[Moto]:
    """Stand-ins for Kinesis, S3 and SNS."""
    with moto_server() as running:
        yield running


def _positions(records: list[dict[str, Any]]) -> list[tuple[str, float]]:
    videos = [record["InputInformation"]["KinesisVideo"] for record in records]
    return [(v["FragmentNumber"], v["FrameOffsetInSeconds"]) for v in videos]


def test_records_go_to_a_kafka_topic_in_order(data_dir: Path, cluster: MockCluster) -> None:
    """The topic is named after the data stream, the key is the processor, order holds."""
    cluster.create_topic("cam", partitions=4)
    env = {
        "STREAMD_OUTPUTS__KINESIS": "kafka",
        "STREAMD_KAFKA__BOOTSTRAP_SERVERS": cluster.bootstrap_servers,
    }
    with running_daemon(data_dir, env) as daemon:
        create_face_search(daemon, "cam")
        daemon.client("rekognition").start_stream_processor(Name="cam")
        wait_for_status(daemon, "cam", "RUNNING")
        put_video(daemon.port, "cam", face_video(2.0))
        messages = read_topic(cluster, "cam", 10)
    assert {message.key() for message in messages} == {b"cam"}
    records = [json.loads(message.value() or b"") for message in messages]
    assert _positions(records) == sorted(set(_positions(records)))
    assert all(record["FaceSearchResponse"] for record in records)


def test_broker_that_is_away_costs_nothing(data_dir: Path, cluster: MockCluster) -> None:
    """Records made while the broker is down wait in the outbox and arrive afterwards, once."""
    cluster.create_topic("patient", partitions=1)
    env = {
        "STREAMD_OUTPUTS__KINESIS": "kafka",
        "STREAMD_KAFKA__BOOTSTRAP_SERVERS": cluster.bootstrap_servers,
    }
    with running_daemon(data_dir, env) as daemon:
        create_face_search(daemon, "patient")
        daemon.client("rekognition").start_stream_processor(Name="patient")
        wait_for_status(daemon, "patient", "RUNNING")
        cluster.set_down()
        try:
            put_video(daemon.port, "patient", face_video(2.0))
            wait_until(
                lambda: daemon.metric("streamd_frames_analyzed_total") >= 10, what="10 frames"
            )
            assert status_of(daemon, "patient") == "RUNNING"
        finally:
            cluster.set_up()
        messages = read_topic(cluster, "patient", 10)
    records = [json.loads(message.value() or b"") for message in messages]
    assert len(set(_positions(records))) == 10


def test_missing_topic_fails_in_awss_words(data_dir: Path, cluster: MockCluster) -> None:
    """Where the broker makes no topics by itself, a missing one ends the session FAILED."""
    cluster.fail_topic("nowhere", 3)  # UNKNOWN_TOPIC_OR_PART
    env = {
        "STREAMD_OUTPUTS__KINESIS": "kafka",
        "STREAMD_KAFKA__BOOTSTRAP_SERVERS": cluster.bootstrap_servers,
    }
    with running_daemon(data_dir, env) as daemon:
        create_face_search(daemon, "nowhere")
        daemon.client("rekognition").start_stream_processor(Name="nowhere")
        wait_for_status(daemon, "nowhere", "FAILED")
        answer = daemon.client("rekognition").describe_stream_processor(Name="nowhere")
    assert answer["StatusMessage"] == "Stream nowhere under account 000000000000 not found"


def test_aws_services_take_the_results(data_dir: Path, moto: Moto) -> None:
    """Kinesis gets records, S3 the pictures and results, SNS what an SQS queue then holds."""
    moto.client("kinesis").create_stream(StreamName="cam", ShardCount=1)
    moto.client("s3").create_bucket(Bucket="porch-bucket")
    topic = moto.client("sns").create_topic(Name="porch-bucket")["TopicArn"]
    queue = moto.client("sqs").create_queue(QueueName="porch")["QueueUrl"]
    moto.client("sns").subscribe(
        TopicArn=topic, Protocol="sqs", Endpoint="arn:aws:sqs:us-east-1:123456789012:porch"
    )
    env = {"STREAMD_AWS__ACCOUNT_ID": "123456789012"}
    for service in ("kinesis", "s3", "sns"):
        env[f"STREAMD_OUTPUTS__{service.upper()}"] = service
        env[f"STREAMD_{service.upper()}__ENDPOINT_URL"] = moto.endpoint_url
        env[f"STREAMD_{service.upper()}__ACCESS_KEY_ID"] = "test"
        env[f"STREAMD_{service.upper()}__SECRET_ACCESS_KEY"] = "test"
    with running_daemon(data_dir, env) as daemon:
        _, arn = create_face_search(daemon, "cam", account="123456789012")
        create_labels(daemon, "porch-bucket", arn, account="123456789012")
        rekognition = daemon.client("rekognition")
        rekognition.start_stream_processor(Name="cam")
        wait_for_status(daemon, "cam", "RUNNING")
        start_ms = now_ms()
        session = rekognition.start_stream_processor(
            Name="porch-bucket",
            StartSelector={"KVSStreamStartSelector": {"ProducerTimestamp": start_ms}},
            StopSelector={"MaxDurationInSeconds": 2},
        )["SessionId"]
        put_video(daemon.port, "cam", face_video(2.0), start_ms=start_ms)
        assert wait_for_status(daemon, "porch-bucket", "STOPPED", "FAILED") == "STOPPED"
        wait_until(
            lambda: daemon.metric("streamd_records_delivered_total") >= 10 + 3 + 2,
            what="everything delivered",
        )

    shard = moto.client("kinesis").get_shard_iterator(
        StreamName="cam", ShardId="shardId-000000000000", ShardIteratorType="TRIM_HORIZON"
    )["ShardIterator"]
    records = moto.client("kinesis").get_records(ShardIterator=shard)["Records"]
    assert {record["PartitionKey"] for record in records} == {"cam"}
    positions = _positions([json.loads(record["Data"]) for record in records])
    assert len(positions) == 10
    assert positions == sorted(positions)

    listed = moto.client("s3").list_objects_v2(Bucket="porch-bucket")["Contents"]
    keys = [item["Key"] for item in listed]
    prefix = f"cameras/porch-bucket/{session}"
    assert f"{prefix}/results.json" in keys
    assert [key.split("/")[3] for key in keys] == ["crops", "frames", "results.json"]

    messages = moto.client("sqs").receive_message(QueueUrl=queue, MaxNumberOfMessages=10)
    bodies = [json.loads(json.loads(m["Body"])["Message"]) for m in messages["Messages"]]
    assert sorted(body["eventNamespace"]["type"] for body in bodies) == [
        "LABEL_DETECTED",
        "STREAM_PROCESSING_COMPLETE",
    ]


class _Receiver(http.server.BaseHTTPRequestHandler):
    """Keeps what webhooks bring."""

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        assert isinstance(self.server, _Receiving)
        self.server.received.append((dict(self.headers.items()), body))
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


class _Receiving(http.server.ThreadingHTTPServer):
    """A receiver of webhooks on a free port."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Receiver)
        self.received: list[tuple[dict[str, str], bytes]] = []


@pytest.fixture
def receiver() -> Iterator[_Receiving]:
    with _Receiving() as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def test_the_end_of_a_session_is_told_although_its_bucket_is_gone(
    data_dir: Path, moto: Moto, receiver: _Receiving
) -> None:
    """Deleted under way: FAILED in AWS's words; signed webhooks come past what cannot leave."""
    moto.client("s3").create_bucket(Bucket="vanishing")
    secret = base64.b64encode(b"0123456789abcdef01234567").decode()
    env = {
        "STREAMD_OUTPUTS__S3": "s3",
        "STREAMD_S3__ENDPOINT_URL": moto.endpoint_url,
        "STREAMD_S3__ACCESS_KEY_ID": "test",
        "STREAMD_S3__SECRET_ACCESS_KEY": "test",
        "STREAMD_OUTPUTS__SNS": "webhook",
        "STREAMD_WEBHOOK__URL": f"http://127.0.0.1:{receiver.server_port}/{{topic}}",
        "STREAMD_WEBHOOK__SECRET": f"whsec_{secret}",
    }
    with running_daemon(data_dir, env) as daemon:
        _, arn = create_face_search(daemon, "cam")
        create_labels(daemon, "vanishing", arn)
        rekognition = daemon.client("rekognition")
        start_ms = now_ms()
        rekognition.start_stream_processor(
            Name="vanishing",
            StartSelector={"KVSStreamStartSelector": {"ProducerTimestamp": start_ms}},
            StopSelector={"MaxDurationInSeconds": 10},
        )
        wait_until(
            lambda: daemon.metric("streamd_get_media_connections") >= 1, what="the session to read"
        )
        moto.client("s3").delete_bucket(Bucket="vanishing")
        put_video(daemon.port, "cam", face_video(2.0), start_ms=start_ms)
        wait_for_status(daemon, "vanishing", "FAILED")
        answer = rekognition.describe_stream_processor(Name="vanishing")
        log = daemon.log()
    assert answer["StatusMessage"] == "Bucket vanishing not found"
    messages = [json.loads(json.loads(body)["Message"]) for _, body in receiver.received]
    assert [message["eventNamespace"]["type"] for message in messages] == [
        "LABEL_DETECTED",
        "STREAM_PROCESSING_COMPLETE",
    ]
    assert messages[1]["streamProcessingResults"]["message"] == (
        "Stream processing failed: Bucket vanishing not found"
    )
    for (headers, body), message in zip(receiver.received, messages, strict=True):
        assert headers["webhook-id"] == message["eventId"]
        signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
        digest = hmac.digest(base64.b64decode(secret), signed, hashlib.sha256)
        assert headers["webhook-signature"] == f"v1,{base64.b64encode(digest).decode()}"
    assert secret not in log


def test_what_a_dead_sink_kept_back_is_delivered_without_a_session(
    data_dir: Path, cluster: MockCluster
) -> None:
    """Stopped while the broker was down: the records arrive when it is back, with no new Start."""
    cluster.create_topic("late", partitions=1)
    env = {
        "STREAMD_OUTPUTS__KINESIS": "kafka",
        "STREAMD_KAFKA__BOOTSTRAP_SERVERS": cluster.bootstrap_servers,
        "STREAMD_SERVER__DRAIN_SECONDS": "4",
    }
    daemon = Daemon(data_dir, env)
    try:
        daemon.start()
        create_face_search(daemon, "late")
        daemon.client("rekognition").start_stream_processor(Name="late")
        wait_for_status(daemon, "late", "RUNNING")
        cluster.set_down()
        try:
            put_video(daemon.port, "late", face_video(1.0))
            wait_until(lambda: daemon.metric("streamd_frames_analyzed_total") >= 5, what="5 frames")
            daemon.client("rekognition").stop_stream_processor(Name="late")
            wait_for_status(daemon, "late", "STOPPED", seconds=40)
        finally:
            cluster.set_up()
        messages = read_topic(cluster, "late", 5)
        records = [json.loads(message.value() or b"") for message in messages]
        # What was on its way to the broker at the stop may come twice; nothing is missing.
        assert len(set(_positions(records))) == 5
    finally:
        daemon.stop()
