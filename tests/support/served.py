"""Which operations the daemon serves, read from what is registered."""

from __future__ import annotations

import functools
import inspect
from typing import Any
from unittest.mock import MagicMock

from streamd.api.server import RekognitionApi
from streamd.gateway.archived import ArchivedMedia
from streamd.gateway.control import Control
from tests.support.shapes import load_model

__all__ = ["KINESIS_VIDEO", "REKOGNITION", "served_operations"]

REKOGNITION = "rekognition"
KINESIS_VIDEO = ("kinesisvideo", "kinesis-video-media", "kinesis-video-archived-media")


@functools.cache
def served_operations() -> tuple[tuple[str, str], ...]:
    """Return (service, operation) of everything that is served, in order of names."""
    video = {*_built(Control).operations, *_built(ArchivedMedia).operations, "GetMedia"}
    found = [(REKOGNITION, name) for name in sorted(_built(RekognitionApi).operations)]
    for service in KINESIS_VIDEO:
        found += [(service, name) for name in sorted(video & set(load_model(service).operations))]
    return tuple(found)


def _built(part: Any) -> Any:
    """Return a part wired to nothing: its operations are known before any of them runs."""
    return part(**{name: MagicMock() for name in inspect.signature(part).parameters})
