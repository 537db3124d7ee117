"""What the analyses of sessions are given: processors, a session, positions, pictures."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import numpy as np

from processors.picture import ArrayPicture
from streamd.lifecycle import Status
from streamd.records import FramePosition
from streamd.resources import Session, StartRequest, StreamProcessor, StreamProcessorDefinition
from tests.support.store import ACCOUNT

__all__ = ["NOW", "PICTURE", "SESSION", "position", "processor_of"]

NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)
PICTURE = ArrayPicture(np.zeros((120, 160, 3), np.uint8))
SESSION = Session(
    session_id="s-1",
    account_id=ACCOUNT,
    processor_name="door",
    start=StartRequest(),
    created_at=NOW,
)


def processor_of(definition: StreamProcessorDefinition, **changes: Any) -> StreamProcessor:
    """Return the stream processor "door", its definition changed as said."""
    return StreamProcessor(
        account_id=ACCOUNT,
        name="door",
        arn=f"arn:aws:rekognition:us-east-1:{ACCOUNT}:streamprocessor/door",
        definition=definition.model_copy(update=changes),
        status=Status.RUNNING,
        created_at=NOW,
        last_updated_at=NOW,
        version=1,
    )


def position(fragment: int, offset_ms: int = 0) -> FramePosition:
    """Return where a frame lies; fragments are a second long."""
    return FramePosition(
        fragment_number=str(fragment),
        server_timestamp_ms=1_700_000_000_000 + fragment * 1000,
        producer_timestamp_ms=1_700_000_000_000 + fragment * 1000,
        frame_offset_ns=offset_ms * 1_000_000,
    )
