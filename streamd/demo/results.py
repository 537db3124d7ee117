"""Reading what the daemon writes: records and notifications, as they come."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from processors.geometry import Box

__all__ = ["FaceSeen", "FrameResult", "JsonLines", "LabelSeen", "Result", "SessionOver", "parse"]


@dataclass(frozen=True, kw_only=True)
class FaceSeen:
    """One face of a record."""

    box: Box
    name: str | None
    """ExternalImageId of the best match; ``None``: nobody of the collection."""
    similarity_percent: float | None

    @property
    def text(self) -> str:
        """Name and similarity, as drawn on a frame."""
        if self.name is None or self.similarity_percent is None:
            return "unknown"
        return f"{self.name} {self.similarity_percent:.1f} %"


@dataclass(frozen=True, kw_only=True)
class FrameResult:
    """The record of one analysed frame."""

    fragment_number: str
    offset_seconds: float
    shown_at: float
    """Producer time of the frame, seconds since 1970."""
    latency_seconds: float
    """From the frame's arrival at the stream to its record in our hands."""
    faces: tuple[FaceSeen, ...]


@dataclass(frozen=True, kw_only=True)
class LabelSeen:
    """A LABEL_DETECTED notification."""

    label: str
    confidence_percent: float | None
    box: Box
    fragment_number: str
    offset_seconds: float
    shown_at: float
    image_uri: str | None


@dataclass(frozen=True, kw_only=True)
class SessionOver:
    """A STREAM_PROCESSING_COMPLETE notification."""

    message: str
    processed_seconds: float


Result: TypeAlias = FrameResult | LabelSeen | SessionOver


class JsonLines:
    """Follows a file of JSON lines that another process appends to."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._offset = 0

    def poll(self) -> Iterator[dict[str, Any]]:
        """Yield the lines that are complete and new."""
        try:
            with self._path.open("rb") as file:
                file.seek(self._offset)
                data = file.read()
        except FileNotFoundError:
            return
        complete = data[: data.rfind(b"\n") + 1]
        self._offset += len(complete)
        for line in complete.splitlines():
            yield json.loads(line)


def parse(document: dict[str, Any], *, now: float | None = None) -> Iterator[Result]:
    """Yield what a record, or a line of notifications, says.

    Args:
        document: One line.
        now: When it was read, seconds since 1970; ``None``: now.

    """
    if "Message" in document:  # the local SNS line around the message
        yield from _notification(json.loads(document["Message"]))
    else:
        yield _record(document, time.time() if now is None else now)


def _record(document: dict[str, Any], now: float) -> FrameResult:
    video = document["InputInformation"]["KinesisVideo"]
    offset = float(video["FrameOffsetInSeconds"])
    return FrameResult(
        fragment_number=video["FragmentNumber"],
        offset_seconds=offset,
        shown_at=float(video["ProducerTimestamp"]) + offset,
        # The stream got the fragment's first frame at ServerTimestamp, this one later.
        latency_seconds=now - (float(video["ServerTimestamp"]) + offset),
        faces=tuple(map(_face, document["FaceSearchResponse"])),
    )


def _face(document: dict[str, Any]) -> FaceSeen:
    matches = document["MatchedFaces"]
    best = max(matches, key=lambda match: float(match["Similarity"]), default=None)
    face = {} if best is None else best["Face"]
    return FaceSeen(
        box=_box(document["DetectedFace"]["BoundingBox"]),
        name=None if best is None else face.get("ExternalImageId") or face["FaceId"],
        similarity_percent=None if best is None else float(best["Similarity"]),
    )


def _notification(message: dict[str, Any]) -> Iterator[Result]:
    if message["eventNamespace"]["type"] == "LABEL_DETECTED":
        yield from map(_label, message["labels"])
        return
    processed = message["inputInformation"]["kinesisVideo"].get("processedVideoDurationMillis", 0)
    yield SessionOver(
        message=message["streamProcessingResults"]["message"],
        processed_seconds=processed / 1000,
    )


def _label(document: dict[str, Any]) -> LabelSeen:
    position = document["videoMapping"]["kinesisVideoMapping"]
    offset = position["frameOffsetMillis"] / 1000
    return LabelSeen(
        label=document["name"],
        confidence_percent=document.get("confidence"),
        box=_box(document["boundingBox"]),
        fragment_number=position["fragmentNumber"],
        offset_seconds=offset,
        shown_at=position["producerTimestamp"] / 1000 + offset,
        image_uri=document.get("frameImageUri"),
    )


def _box(document: dict[str, float]) -> Box:
    """Read a box in either casing: records write Left, notifications left."""
    edges = {key.lower(): float(value) for key, value in document.items()}
    return Box(**edges)
