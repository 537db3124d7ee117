"""Every operation as an IAM action: what it is done to, and whether it is audited.

The one table that authorisation and the audit log read. Resources are found in the request
alone, so that a caller without the right to a thing does not learn whether it exists
(*Service Authorization Reference*, "Amazon Rekognition", "Amazon Kinesis Video Streams").
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from streamd.protocol.service import load_service
from streamd.resources import collection_arn, stream_processor_arn

__all__ = ["ACTIONS", "ALL", "Action", "Place"]

ALL = "*"
"""What an action is done to that has no resource of its own."""

_Params = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True, slots=True)
class Place:
    """Where a request's names belong: they are names of the caller's account."""

    region: str
    account_id: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Action:
    """One operation."""

    name: str
    """As in policies: ``rekognition:IndexFaces``."""
    resources: Callable[[Place, _Params], Sequence[str]]
    """Finds the ARNs in the input members."""
    is_audited: bool
    """Whether it changes something or opens a collection."""


def _everything(_place: Place, _params: _Params) -> Sequence[str]:
    return [ALL]


def _collection(place: Place, params: _Params) -> Sequence[str]:
    return [
        collection_arn(
            region=place.region,
            account_id=place.account_id,
            collection_id=params["CollectionId"],
        )
    ]


def _processor(place: Place, params: _Params) -> Sequence[str]:
    return [
        stream_processor_arn(region=place.region, account_id=place.account_id, name=params["Name"])
    ]


def _new_processor(place: Place, params: _Params) -> Sequence[str]:
    # A face search reads a collection for as long as it lives: it takes the right to both.
    found = params["Settings"].get("FaceSearch", {}).get("CollectionId")
    collection = _collection(place, {"CollectionId": found}) if found else ()
    return [*_processor(place, params), *collection]


def _tagged(_place: Place, params: _Params) -> Sequence[str]:
    return [params["ResourceArn"]]


def _video_stream(place: Place, params: _Params) -> Sequence[str]:
    arn = params.get("StreamARN") or params.get("ResourceARN")
    if arn:
        return [arn]
    name = params.get("StreamName")
    # Its creation time, the last part of a stream's ARN, is not in the request.
    return (
        [f"arn:aws:kinesisvideo:{place.region}:{place.account_id}:stream/{name}/*"]
        if name
        else [ALL]
    )


_REKOGNITION: Mapping[Callable[[Place, _Params], Sequence[str]], Sequence[str]] = {
    _new_processor: ["CreateStreamProcessor"],
    _processor: [
        "DeleteStreamProcessor",
        "DescribeStreamProcessor",
        "StartStreamProcessor",
        "StopStreamProcessor",
        "UpdateStreamProcessor",
    ],
    _collection: [
        "AssociateFaces",
        "CreateCollection",
        "CreateUser",
        "DeleteCollection",
        "DeleteFaces",
        "DeleteUser",
        "DescribeCollection",
        "DisassociateFaces",
        "IndexFaces",
        "ListFaces",
        "ListUsers",
        "SearchFaces",
        "SearchFacesByImage",
        "SearchUsers",
        "SearchUsersByImage",
    ],
    _tagged: ["ListTagsForResource", "TagResource", "UntagResource"],
    _everything: [
        "CompareFaces",
        "DetectFaces",
        "DetectLabels",
        "ListCollections",
        "ListStreamProcessors",
    ],
}
_READS_NO_FACES = frozenset(
    {
        "CompareFaces",
        "DescribeStreamProcessor",
        "DetectFaces",
        "DetectLabels",
        "ListCollections",
        "ListStreamProcessors",
        "ListTagsForResource",
    }
)
_CHANGES_NO_STREAM = ("Describe", "Get", "List")
"""Beginnings of the names of Kinesis Video's operations that only read."""


def _actions() -> Mapping[str, Action]:
    found = [
        Action(
            name=f"rekognition:{name}",
            resources=resources,
            is_audited=name not in _READS_NO_FACES,
        )
        for resources, names in _REKOGNITION.items()
        for name in names
    ]
    # All of Kinesis Video's operations are on a stream but ListStreams.
    names = {"PutMedia"}
    for service in ("kinesisvideo", "kinesis-video-media", "kinesis-video-archived-media"):
        names.update(load_service(service).operations)
    found += [
        Action(
            name=f"kinesisvideo:{name}",
            resources=_everything if name == "ListStreams" else _video_stream,
            is_audited=not name.startswith(_CHANGES_NO_STREAM),
        )
        for name in sorted(names)
    ]
    return {action.name: action for action in found}


ACTIONS: Mapping[str, Action] = _actions()
"""By name."""
