"""Values to put into a store."""

from __future__ import annotations

import uuid

import numpy as np
from numpy.typing import NDArray

from streamd.resources import (
    Collection,
    ConnectedHomeSettings,
    Face,
    FaceSearchSettings,
    KinesisOutput,
    S3Output,
    StreamProcessor,
    StreamProcessorDefinition,
)
from streamd.store import Store

__all__ = ["ACCOUNT", "FACE_SEARCH", "LABELS", "create_collection", "create_processor", "make_face"]

ACCOUNT = "111122223333"

FACE_SEARCH = StreamProcessorDefinition(
    input_arn="arn:aws:kinesisvideo:us-east-1:111122223333:stream/door/1",
    output=KinesisOutput(arn="arn:aws:kinesis:us-east-1:111122223333:stream/out"),
    settings=FaceSearchSettings(collection_id="people"),
    role_arn="arn:aws:iam::111122223333:role/r",
)
LABELS = FACE_SEARCH.model_copy(
    update={
        "output": S3Output(bucket="bucket"),
        "settings": ConnectedHomeSettings(labels=("PERSON",)),
    }
)


def create_processor(
    store: Store, name: str, definition: StreamProcessorDefinition = FACE_SEARCH, **tags: str
) -> StreamProcessor:
    """Create a stream processor by name."""
    return store.create_stream_processor(
        account_id=ACCOUNT,
        name=name,
        arn=f"arn:aws:rekognition:us-east-1:{ACCOUNT}:streamprocessor/{name}",
        definition=definition,
        tags=tags,
        limit=10_000,
    )


def create_collection(store: Store, collection_id: str = "people", **tags: str) -> Collection:
    """Create a collection by id."""
    return store.create_collection(
        account_id=ACCOUNT,
        collection_id=collection_id,
        arn=f"arn:aws:rekognition:us-east-1:{ACCOUNT}:collection/{collection_id}",
        face_model_version="1.0",
        tags=tags,
    )


def make_face(number: int, *, size: int = 4) -> tuple[Face, NDArray[np.float32]]:
    """Return the face of a number, and a vector that holds the number."""
    face = Face(
        face_id=str(uuid.UUID(int=number)),
        image_id=str(uuid.UUID(int=1000 + number)),
        external_image_id=f"person-{number}",
        bounding_box=(0.1, -0.2, 0.3, 1.4),
        confidence_percent=99.5,
    )
    return face, np.full(size, number, np.float32)
