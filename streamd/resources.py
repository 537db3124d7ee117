"""The AWS resources the daemon keeps, as frozen values.

Field names are ours; ``api/convert.py`` spells AWS's. Values convert to JSON and back
with pydantic (``model_dump_json``/``model_validate_json``), which is how the store keeps them.
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from streamd.lifecycle import Status

__all__ = [
    "DEFAULT_FACE_MATCH_THRESHOLD_PERCENT",
    "DEFAULT_MAX_DURATION_SECONDS",
    "DEFAULT_MIN_CONFIDENCE_PERCENT",
    "Collection",
    "ConnectedHomeSettings",
    "Face",
    "FaceRefusal",
    "FaceSearchSettings",
    "FacesChange",
    "KinesisOutput",
    "RefusalReason",
    "RegionOfInterest",
    "S3Output",
    "Session",
    "StartRequest",
    "StreamProcessor",
    "StreamProcessorDefinition",
    "User",
    "UserStatus",
    "VideoStream",
    "collection_arn",
    "stream_processor_arn",
]

DEFAULT_FACE_MATCH_THRESHOLD_PERCENT = 80.0
"""FaceSearchSettings.FaceMatchThreshold; lower values are stored as this (AWS API Reference)."""
DEFAULT_MIN_CONFIDENCE_PERCENT = 50.0
"""ConnectedHomeSettings.MinConfidence (AWS API Reference)."""
DEFAULT_MAX_DURATION_SECONDS = 10
"""StreamProcessingStopSelector.MaxDurationInSeconds (AWS API Reference)."""


class _Value(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class RegionOfInterest(_Value):
    """One region: a box or a polygon, as ratios of the frame."""

    bounding_box: tuple[float, float, float, float] | None = None
    """(left, top, width, height)."""
    polygon: tuple[tuple[float, float], ...] | None = None
    """(x, y) points, 3 to 10."""


class KinesisOutput(_Value):
    """Output.KinesisDataStream."""

    kind: Literal["kinesis"] = "kinesis"
    arn: str


class S3Output(_Value):
    """Output.S3Destination."""

    kind: Literal["s3"] = "s3"
    bucket: str
    key_prefix: str | None = None


class FaceSearchSettings(_Value):
    """Settings.FaceSearch."""

    kind: Literal["face-search"] = "face-search"
    collection_id: str
    face_match_threshold_percent: float = DEFAULT_FACE_MATCH_THRESHOLD_PERCENT


class ConnectedHomeSettings(_Value):
    """Settings.ConnectedHome."""

    kind: Literal["connected-home"] = "connected-home"
    labels: tuple[str, ...]
    """As the client gave them: PERSON, PET, PACKAGE, ALL."""
    min_confidence_percent: float = DEFAULT_MIN_CONFIDENCE_PERCENT


class StreamProcessorDefinition(_Value):
    """What CreateStreamProcessor said and UpdateStreamProcessor may change."""

    input_arn: str
    """ARN of the Kinesis video stream, echoed as given."""
    output: Annotated[KinesisOutput | S3Output, Field(discriminator="kind")]
    settings: Annotated[FaceSearchSettings | ConnectedHomeSettings, Field(discriminator="kind")]
    role_arn: str
    sns_topic_arn: str | None = None
    kms_key_id: str | None = None
    regions_of_interest: tuple[RegionOfInterest, ...] = ()
    opt_in: bool = False
    """DataSharingPreference.OptIn."""


class StreamProcessor(_Value):
    """One stream processor as the store holds it."""

    account_id: str
    name: str
    arn: str
    definition: StreamProcessorDefinition
    status: Status
    status_message: str | None = None
    created_at: datetime
    last_updated_at: datetime
    version: int
    """Counts every change; the compare in compare-and-set."""


class StartRequest(_Value):
    """What StartStreamProcessor said."""

    producer_timestamp_ms: int | None = None
    fragment_number: str | None = None
    max_duration_seconds: int | None = None


class Session(_Value):
    """One run of a stream processor, and who holds it."""

    session_id: str
    """A UUID; S3 path element and ``sessionId`` of notifications."""
    account_id: str
    processor_name: str
    start: StartRequest
    created_at: datetime
    stop_requested: bool = False
    owner: str | None = None
    """The worker that claimed it."""
    epoch: int = 0
    """Fencing number: rises with every claim; a stale one may write nothing."""
    last_fragment_number: str | None = None
    """All results up to this fragment have reached the sink."""


class VideoStream(_Value):
    """One Kinesis video stream of the embedded endpoint."""

    account_id: str
    name: str
    arn: str
    """``arn:aws:kinesisvideo:REGION:ACCOUNT:stream/NAME/CREATION_MS``."""
    version: str
    """CurrentVersion; changes with every update."""
    created_at: datetime
    data_retention_hours: int = 0
    device_name: str | None = None
    media_type: str | None = None
    kms_key_id: str | None = None
    home: str | None = None
    """Id of the replica on whose disk its fragments lie; ``None``: it has none yet."""


class Collection(_Value):
    """A face collection."""

    account_id: str
    collection_id: str
    arn: str
    face_model_version: str
    created_at: datetime
    incarnation: str = ""
    """Never given to two collections anywhere; an id may be used again after a deletion."""
    revision: int = 0
    """Rises with every face added or deleted; readers of vectors watch it."""
    face_count: int = 0
    user_count: int = 0


class Face(_Value):
    """The metadata of an indexed face; its vector travels apart."""

    face_id: str
    image_id: str
    external_image_id: str | None = None
    bounding_box: tuple[float, float, float, float]
    """(left, top, width, height), as ratios of the indexed image."""
    confidence_percent: float
    user_id: str | None = None
    """The user it is associated with; caches of vectors do not know it."""


class UserStatus(StrEnum):
    """Where a user stands; associations are finished when they are answered, so never between."""

    CREATED = "CREATED"
    """It has no faces."""
    ACTIVE = "ACTIVE"
    """Its vector is that of all its faces."""


class User(_Value):
    """A person of a collection, known by the faces associated with it."""

    user_id: str
    face_count: int = 0

    @property
    def status(self) -> UserStatus:
        """What the API calls UserStatus."""
        return UserStatus.ACTIVE if self.face_count else UserStatus.CREATED


class RefusalReason(StrEnum):
    """Why a face was not associated with a user, or not taken from it."""

    FACE_NOT_FOUND = "FACE_NOT_FOUND"
    ASSOCIATED_TO_A_DIFFERENT_USER = "ASSOCIATED_TO_A_DIFFERENT_USER"
    LOW_MATCH_CONFIDENCE = "LOW_MATCH_CONFIDENCE"


class FaceRefusal(_Value):
    """A face that was not associated with a user, or not taken from it."""

    face_id: str
    reason: RefusalReason | None
    """``None``: the user has as many faces as it may; AWS has no word for that."""
    user_id: str | None = None
    """The user the face belongs to, where that is the reason."""
    confidence_percent: float | None = None
    """How similar the face is to the user, where that is too little."""


class FacesChange(_Value):
    """What became of the faces of one request; those already as wanted are in neither list."""

    changed: tuple[str, ...]
    refused: tuple[FaceRefusal, ...]
    user: User
    """As it is after the request."""


def stream_processor_arn(*, region: str, account_id: str, name: str) -> str:
    """Return ``arn:aws:rekognition:REGION:ACCOUNT:streamprocessor/NAME``."""
    return f"arn:aws:rekognition:{region}:{account_id}:streamprocessor/{name}"


def collection_arn(*, region: str, account_id: str, collection_id: str) -> str:
    """Return ``arn:aws:rekognition:REGION:ACCOUNT:collection/ID``."""
    return f"arn:aws:rekognition:{region}:{account_id}:collection/{collection_id}"
