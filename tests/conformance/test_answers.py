"""Every served operation answered, and every answer held strictly against its output shape.

The requests are one story: each operation finds what the ones before have made. Each is sent
three times, plain, with a member the model does not know, and with null for every optional
member that is absent; all three mean the same.
"""

from __future__ import annotations

import base64
import itertools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest

from tests.support.daemon import Daemon
from tests.support.producer import put_video
from tests.support.scenes import astronaut_jpeg, face_video
from tests.support.served import KINESIS_VIDEO, REKOGNITION, served_operations
from tests.support.shapes import load_model
from tests.support.wire import Wire, check_answer, check_error, check_headers

_STREAMING = {"GetMedia", "GetMediaForFragmentList"}
"""Their answer is a body of video, not a document."""
VIDEO = KINESIS_VIDEO[0]
_NOW = {"StartTimestamp": 0, "EndTimestamp": 4_000_000_000}


@dataclass
class World:
    """What the requests name, and names nobody has used."""

    wire: Wire
    image: str
    stream_arn: str
    fragment: str
    face_id: str = ""
    collection_arn: str = ""
    _numbers: Iterator[int] = field(default_factory=itertools.count)

    def fresh(self) -> str:
        return f"fresh-{next(self._numbers)}"

    def call(self, service: str, operation: str, **request: Any) -> Any:
        """Call an operation that must work."""
        return check_answer(service, operation, self.wire.call(service, operation, request))

    def processor(self, **changes: Any) -> str:
        """Create a stream processor of label detection and return its name."""
        request = _create_processor(self) | changes
        self.call(REKOGNITION, "CreateStreamProcessor", **request)
        return str(request["Name"])

    def face_search(self) -> str:
        output = {"KinesisDataStream": {"Arn": "arn:aws:kinesis:us-east-1:000000000000:stream/o"}}
        settings = {"FaceSearch": {"CollectionId": "people"}}
        return self.processor(Output=output, Settings=settings)

    def started(self) -> str:
        name = self.face_search()
        self.call(REKOGNITION, "StartStreamProcessor", Name=name)
        return name

    def collection(self) -> str:
        name = self.fresh()
        self.call(REKOGNITION, "CreateCollection", CollectionId=name)
        return name

    def user(self) -> str:
        name = self.fresh()
        self.call(REKOGNITION, "CreateUser", CollectionId="people", UserId=name)
        return name

    def user_with_face(self) -> str:
        name = self.user()
        face = self.indexed_face()
        request = {"CollectionId": "people", "UserId": name, "FaceIds": [face]}
        self.call(REKOGNITION, "AssociateFaces", **request)
        return name

    def indexed_face(self) -> str:
        answer = self.call(
            REKOGNITION,
            "IndexFaces",
            CollectionId="people",
            Image={"Bytes": self.image},
            ExternalImageId=self.fresh(),  # a second time with one id is the same face
        )
        return str(answer["FaceRecords"][0]["Face"]["FaceId"])

    def video_stream(self) -> dict[str, Any]:
        name = self.fresh()
        self.call(VIDEO, "CreateStream", StreamName=name, Tags={"a": "1"})
        info = self.call(VIDEO, "DescribeStream", StreamName=name)["StreamInfo"]
        return dict(info)


def _create_processor(world: World) -> dict[str, Any]:
    return {
        "Name": world.fresh(),
        "Input": {"KinesisVideoStream": {"Arn": world.stream_arn}},
        "Output": {"S3Destination": {"Bucket": "bucket", "KeyPrefix": "a/"}},
        "NotificationChannel": {"SNSTopicArn": "arn:aws:sns:us-east-1:000000000000:topic"},
        "Settings": {"ConnectedHome": {"Labels": ["PERSON"], "MinConfidence": 60.5}},
        "RoleArn": "arn:aws:iam::000000000000:role/streamd",
        "KmsKeyId": "alias/key",
        "RegionsOfInterest": [
            {"BoundingBox": {"Left": 0, "Top": 0.1, "Width": 0.5, "Height": 0.5}},
            {"Polygon": [{"X": 0, "Y": 0}, {"X": 1, "Y": 0}, {"X": 1, "Y": 1}]},
        ],
        "DataSharingPreference": {"OptIn": True},
        "Tags": {"team": "door"},
    }


def _update_stream(world: World) -> dict[str, Any]:
    stream = world.video_stream()
    return {
        "StreamARN": stream["StreamARN"],
        "CurrentVersion": stream["Version"],
        "DeviceName": "cam",
        "MediaType": "video/h264",
    }


def _update_retention(world: World) -> dict[str, Any]:
    stream = world.video_stream()
    return {
        "StreamName": stream["StreamName"],
        "CurrentVersion": stream["Version"],
        "Operation": "INCREASE_DATA_RETENTION",
        "DataRetentionChangeInHours": 3,
    }


def _picture(world: World) -> dict[str, Any]:
    return {"Image": {"Bytes": world.image}}


def _update_storage(world: World) -> dict[str, Any]:
    stream = world.video_stream()
    return {
        "StreamName": stream["StreamName"],
        "CurrentVersion": stream["Version"],
        "StreamStorageConfiguration": {"DefaultStorageTier": "HOT"},
    }


_COLLECTION = {"CollectionId": "people"}

# Rekognition has operations of these names too.
VIDEO_REQUESTS: Mapping[str, Callable[[World], dict[str, Any]]] = {
    "TagResource": lambda w: {
        "ResourceARN": w.stream_arn,
        "Tags": [{"Key": "c", "Value": "3"}],
    },
    "UntagResource": lambda w: {"ResourceARN": w.stream_arn, "TagKeyList": ["none"]},
    "ListTagsForResource": lambda w: {"ResourceARN": w.stream_arn},
}

REQUESTS: Mapping[str, Callable[[World], dict[str, Any]]] = {
    "CreateCollection": lambda w: {"CollectionId": w.fresh(), "Tags": {"a": "1"}},
    "DescribeCollection": lambda _: _COLLECTION,
    "ListCollections": lambda _: {"MaxResults": 1},
    "DeleteCollection": lambda w: {"CollectionId": w.collection()},
    "IndexFaces": lambda w: {**_COLLECTION, **_picture(w), "ExternalImageId": "a:b"},
    "ListFaces": lambda _: {**_COLLECTION, "MaxResults": 1},
    "DeleteFaces": lambda w: {**_COLLECTION, "FaceIds": [w.indexed_face()]},
    "SearchFaces": lambda w: {**_COLLECTION, "FaceId": w.face_id, "FaceMatchThreshold": 0},
    "SearchFacesByImage": lambda w: {**_COLLECTION, **_picture(w), "FaceMatchThreshold": 0},
    "CreateUser": lambda w: {**_COLLECTION, "UserId": w.fresh()},
    "DeleteUser": lambda w: {**_COLLECTION, "UserId": w.user()},
    "ListUsers": lambda _: {**_COLLECTION, "MaxResults": 1},
    "AssociateFaces": lambda w: {
        **_COLLECTION,
        "UserId": w.user(),
        "FaceIds": [w.indexed_face()],
    },
    "DisassociateFaces": lambda w: {
        **_COLLECTION,
        "UserId": w.user(),
        "FaceIds": [w.indexed_face()],
    },
    "SearchUsers": lambda w: {
        **_COLLECTION,
        "UserId": w.user_with_face(),
        "UserMatchThreshold": 0,
    },
    "SearchUsersByImage": lambda w: {
        **_COLLECTION,
        **_picture(w),
        "UserMatchThreshold": 0,
        "MaxUsers": (w.user_with_face(), 5)[1],
    },
    "DetectFaces": lambda w: {**_picture(w), "Attributes": ["ALL"]},
    "CompareFaces": lambda w: {
        "SourceImage": {"Bytes": w.image},
        "TargetImage": {"Bytes": w.image},
        "SimilarityThreshold": 0,
    },
    "DetectLabels": lambda w: {
        **_picture(w),
        "MaxLabels": 10,
        "MinConfidence": 1,
        "Features": ["GENERAL_LABELS", "IMAGE_PROPERTIES"],
    },
    "CreateStreamProcessor": _create_processor,
    "DescribeStreamProcessor": lambda w: {"Name": w.processor()},
    "ListStreamProcessors": lambda w: {"MaxResults": len([w.processor(), w.processor()]) - 1},
    "StartStreamProcessor": lambda w: {"Name": w.face_search()},
    "StopStreamProcessor": lambda w: {"Name": w.started()},
    "UpdateStreamProcessor": lambda w: {
        "Name": w.processor(),
        "SettingsForUpdate": {"ConnectedHomeForUpdate": {"Labels": ["ALL"]}},
        "ParametersToDelete": ["RegionsOfInterest"],
    },
    "DeleteStreamProcessor": lambda w: {"Name": w.processor()},
    "TagResource": lambda w: {"ResourceArn": w.collection_arn, "Tags": {"b": "2"}},
    "UntagResource": lambda w: {"ResourceArn": w.collection_arn, "TagKeys": ["none"]},
    "ListTagsForResource": lambda w: {"ResourceArn": w.collection_arn},
    "CreateStream": lambda w: {
        "StreamName": w.fresh(),
        "DeviceName": "cam",
        "MediaType": "video/h264",
        "DataRetentionInHours": 5,
    },
    "DescribeStream": lambda w: {"StreamARN": w.stream_arn},
    "ListStreams": lambda _: {"MaxResults": 1},
    "DeleteStream": lambda w: {"StreamARN": w.video_stream()["StreamARN"]},
    "UpdateStream": _update_stream,
    "UpdateDataRetention": _update_retention,
    "UpdateStreamStorageConfiguration": _update_storage,
    "DescribeStreamStorageConfiguration": lambda _: {"StreamName": "cam"},
    "GetDataEndpoint": lambda w: {"StreamARN": w.stream_arn, "APIName": "PUT_MEDIA"},
    "TagStream": lambda w: {"StreamARN": w.stream_arn, "Tags": {"b": "2"}},
    "UntagStream": lambda w: {"StreamARN": w.stream_arn, "TagKeyList": ["b"]},
    "ListTagsForStream": lambda w: {"StreamARN": w.stream_arn},
    "ListFragments": lambda w: {
        "StreamARN": w.stream_arn,
        "MaxResults": 1,
        "FragmentSelector": {
            "FragmentSelectorType": "SERVER_TIMESTAMP",
            "TimestampRange": _NOW,
        },
    },
    "GetMediaForFragmentList": lambda w: {"StreamARN": w.stream_arn, "Fragments": [w.fragment]},
    "GetMedia": lambda w: {
        "StreamARN": w.stream_arn,
        "StartSelector": {"StartSelectorType": "EARLIEST"},
    },
}
"""A request that works, by operation."""


def _request(world: World, service: str, operation: str) -> dict[str, Any]:
    own = VIDEO_REQUESTS if service == VIDEO else {}
    return own.get(operation, REQUESTS.get(operation, _unknown))(world)


def _unknown(_world: World) -> dict[str, Any]:
    pytest.fail("an operation is served for which REQUESTS has no request that works")


@pytest.fixture(scope="module")
def world(daemon: Daemon, wire: Wire) -> World:
    """A collection with a face, a video stream with a fragment."""
    image = base64.b64encode(astronaut_jpeg()).decode()
    answer = wire.call(VIDEO, "CreateStream", {"StreamName": "cam", "DataRetentionInHours": 1})
    arn = check_answer(VIDEO, "CreateStream", answer)["StreamARN"]
    acks = put_video(daemon.port, "cam", face_video(1.0))
    fragment = next(ack["FragmentNumber"] for ack in acks if ack["EventType"] == "PERSISTED")
    world = World(wire=wire, image=image, stream_arn=arn, fragment=fragment)
    created = world.call(REKOGNITION, "CreateCollection", CollectionId="people", Tags={"a": "1"})
    world.collection_arn = created["CollectionArn"]
    world.face_id = world.indexed_face()
    world.collection()
    world.call(VIDEO, "CreateStream", StreamName="other")
    return world


def _with_unknown(_service: str, _operation: str, request: dict[str, Any]) -> dict[str, Any]:
    return {**request, "MemberOfTheFuture": {"a": [1, None]}, "name": "lower case is unknown"}


def _with_nulls(service: str, operation: str, request: dict[str, Any]) -> dict[str, Any]:
    model = load_model(service)
    shape = model.input_shape(operation)
    members = model.shapes[shape]["members"] if shape else {}
    return {**dict.fromkeys(members), **request}


def _plain(_service: str, _operation: str, request: dict[str, Any]) -> dict[str, Any]:
    return request


@pytest.mark.parametrize(
    "form", [_plain, _with_unknown, _with_nulls], ids=["plain", "unknown", "nulls"]
)
@pytest.mark.parametrize(
    ("service", "operation"),
    [pytest.param(*pair, id=pair[1]) for pair in served_operations()],
)
def test_the_answer_fits_the_output_shape(
    service: str,
    operation: str,
    form: Callable[[str, str, dict[str, Any]], dict[str, Any]],
    world: World,
) -> None:
    """A valid request is answered with the shape's members, types and bounds, and no others."""
    request = form(service, operation, _request(world, service, operation))
    reply = world.wire.call(service, operation, request)
    if operation in _STREAMING:
        assert reply.status == 200
        check_headers(reply, "video/webm")
        assert reply.body.startswith(b"\x1a\x45\xdf\xa3")
    else:
        check_answer(service, operation, reply)


def _pages(service: str, operation: str) -> bool:
    """Return whether an operation is asked for pages of a size."""
    model = load_model(service)
    shape = model.input_shape(operation)
    return shape is not None and {"NextToken", "MaxResults"} <= set(model.shapes[shape]["members"])


@pytest.mark.parametrize(
    ("service", "operation"),
    [pytest.param(*pair, id=pair[1]) for pair in served_operations() if _pages(*pair)],
)
def test_pages_join_to_the_whole(service: str, operation: str, world: World) -> None:
    """Pages of one item, followed to the end, hold what one large page holds."""
    base = _request(world, service, operation) | {"MaxResults": 1}
    items: dict[str, list[Any]] = {}
    request = dict(base)
    for _ in range(500):
        page = world.call(service, operation, **request)
        for member, value in page.items():
            if isinstance(value, list):
                assert len(value) <= 1
                items.setdefault(member, []).extend(value)
        if "NextToken" not in page:
            break
        request = base | {"NextToken": page["NextToken"]}
    whole = world.call(service, operation, **{**base, "MaxResults": 500})
    assert "NextToken" not in whole
    assert items == {member: value for member, value in whole.items() if type(value) is list}


@pytest.mark.parametrize(
    "operation",
    [
        name
        for service, name in served_operations()
        if service == REKOGNITION and _pages(service, name)
    ],
)
def test_a_token_is_its_own(operation: str, world: World) -> None:
    """A token that was changed anywhere is InvalidPaginationTokenException."""
    base = _request(world, REKOGNITION, operation) | {"MaxResults": 1}
    makers = {"ListUsers": world.user, "ListFaces": world.indexed_face}
    for _ in range(2):
        makers.get(operation, world.collection)()
    token = world.call(REKOGNITION, operation, **base)["NextToken"]
    assert len(token) <= 255
    changed = [token[:-1], token + "0", token[1:], token.swapcase(), token[::-1], ""]
    changed += [
        token[:at] + ("0" if token[at] != "0" else "1") + token[at + 1 :]
        for at in range(len(token))
    ]
    for text in changed:
        reply = world.wire.call(REKOGNITION, operation, {**base, "NextToken": text})
        message = check_error(REKOGNITION, reply, code="InvalidPaginationTokenException")
        assert message == "Invalid Pagination Token"
    assert world.call(REKOGNITION, operation, **base, NextToken=token)
