"""Prepares what compose.yaml starts; run in streamd's own image, as often as one likes.

``stores`` makes the Kafka topics and buckets; ``example`` a collection, and a face search on the
camera that is started.
"""

from __future__ import annotations

import asyncio
import sys

import boto3
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import NoError, TopicAlreadyExistsError, for_code
from botocore.config import Config

from streamd.config import load_settings

CAMERA, COLLECTION, PROCESSOR = "door", "family", "door-faces"
TOPICS = ("faces", "alerts")
RESULTS_BUCKET = "streamd-results"
ACCOUNT = "000000000000"


def main(step: str) -> None:
    """Take one of the two steps."""
    {"stores": make_stores, "example": make_example}[step]()


def make_stores() -> None:
    """Make topics and buckets where streamd's settings say."""
    settings = load_settings()
    asyncio.run(_make_topics(settings.kafka.bootstrap_servers))
    secret = settings.s3.secret_access_key
    s3 = boto3.client(
        "s3",
        endpoint_url=settings.s3.endpoint_url,
        region_name=settings.s3.region,
        aws_access_key_id=settings.s3.access_key_id,
        aws_secret_access_key=None if secret is None else secret.get_secret_value(),
        config=Config(s3={"addressing_style": "path"}),
    )
    for bucket in (RESULTS_BUCKET, settings.kinesis_video.archive_bucket):
        try:
            s3.create_bucket(Bucket=bucket)
            _say(f"bucket {bucket} made")
        except (s3.exceptions.BucketAlreadyOwnedByYou, s3.exceptions.BucketAlreadyExists):
            _say(f"bucket {bucket} is there")


def make_example() -> None:
    """Make a collection, and start a face search on the camera's video stream."""
    rekognition, video = boto3.client("rekognition"), boto3.client("kinesisvideo")
    region = rekognition.meta.region_name
    try:
        rekognition.create_collection(CollectionId=COLLECTION)
    except rekognition.exceptions.ResourceAlreadyExistsException:
        _say(f"collection {COLLECTION} is there")
    try:
        stream = video.create_stream(StreamName=CAMERA, DataRetentionInHours=24)["StreamARN"]
    except video.exceptions.ResourceInUseException:  # made for the camera already
        stream = video.describe_stream(StreamName=CAMERA)["StreamInfo"]["StreamARN"]
    try:
        rekognition.create_stream_processor(
            Name=PROCESSOR,
            Input={"KinesisVideoStream": {"Arn": stream}},
            Output={
                "KinesisDataStream": {"Arn": f"arn:aws:kinesis:{region}:{ACCOUNT}:stream/faces"}
            },
            Settings={"FaceSearch": {"CollectionId": COLLECTION, "FaceMatchThreshold": 85}},
            RoleArn=f"arn:aws:iam::{ACCOUNT}:role/streamd",
        )
        rekognition.start_stream_processor(Name=PROCESSOR)
        _say(f"stream processor {PROCESSOR} started")
    except rekognition.exceptions.ResourceInUseException:
        # Whether it runs is its owner's business by now.
        _say(f"stream processor {PROCESSOR} is there")


async def _make_topics(brokers: str) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=brokers)
    await admin.start()
    try:
        wanted = [NewTopic(name, num_partitions=3, replication_factor=1) for name in TOPICS]
        answer = await admin.create_topics(wanted)
        # What a broker refuses is said in its answer; nothing is raised.
        for name, code, *_ in answer.topic_errors:
            error = for_code(code)
            if error is TopicAlreadyExistsError:
                _say(f"topic {name} is there")
            elif error is NoError:
                _say(f"topic {name} made")
            else:
                raise error(f"topic {name} cannot be made")
    finally:
        await admin.close()


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")


if __name__ == "__main__":
    main(sys.argv[1])
