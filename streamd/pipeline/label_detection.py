"""Label detection on decoded frames: first sights are announced, all are listed at the end."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from processors.draw import crop_jpeg, encode_jpeg
from processors.geometry import WHOLE_PICTURE
from processors.labels import LabelAnalyzer
from processors.picture import Picture
from processors.results import DetectedLabel
from streamd.metrics import Metrics
from streamd.pipeline.finds import Find, finds_of_labels
from streamd.pipeline.progress import SessionProgress
from streamd.pipeline.regions import regions_of
from streamd.pipeline.stillness import Stillness
from streamd.records import (
    FramePosition,
    OutboxItem,
    encode,
    label_detection,
    notification_item,
    object_item,
    record_item,
)
from streamd.records.items import JSON
from streamd.records.label_detection import SessionInformation, Sighting
from streamd.records.layout import (
    crop_key,
    hero_frame_key,
    object_uri,
    results_key,
    session_prefix,
)
from streamd.resources import (
    ConnectedHomeSettings,
    KinesisOutput,
    S3Output,
    Session,
    StreamProcessor,
)

__all__ = ["ALL_LABELS", "LabelDetectionAnalysis", "missing_labels", "requested_labels"]

ALL_LABELS = frozenset({"PERSON", "PET", "PACKAGE"})
JPEG = "image/jpeg"
MAX_SIGHTINGS = 20_000
"""Detections kept for results.json: 120 s of a crowd at 5 frames a second."""


def requested_labels(labels: Sequence[str]) -> frozenset[str]:
    """Return the classes to look for; ALL stands for the three."""
    return ALL_LABELS if "ALL" in labels else frozenset(labels)


def missing_labels(analyzer: LabelAnalyzer, labels: Sequence[str]) -> str | None:
    """Return why the pack cannot do what is asked, and the remedy; ``None`` if it can.

    ALL asks for what there is; a label that was named must be found, or a watch over it
    would be a false comfort.
    """
    unknown = requested_labels(labels) - analyzer.labels
    named = unknown & set(labels)
    if not named and unknown != ALL_LABELS:
        return None
    return (
        f"Label pack {analyzer.name} cannot tell {', '.join(sorted(named or unknown))}; "
        "see 'streamd models list' and get one that can: streamd models pull NAME"
    )


class LabelDetectionAnalysis:
    """Turns frames into notifications, pictures and the session's results (blocking)."""

    kind = "connected-home"

    def __init__(
        self,
        *,
        processor: StreamProcessor,
        session: Session,
        tags: dict[str, str],
        analyzer: LabelAnalyzer,
        labels: frozenset[str],
        region_min_overlap: float,
        skips_still: bool,
        metrics: Metrics,
    ) -> None:
        definition = processor.definition
        assert isinstance(definition.settings, ConnectedHomeSettings)
        self._processor = processor
        self._analyzer = analyzer
        self._labels = labels
        self._min_confidence = definition.settings.min_confidence_percent
        self.regions = regions_of(definition.regions_of_interest)
        self._min_overlap = region_min_overlap
        self._stillness = Stillness(self.regions) if skips_still else None
        self.has_found = False
        self._found: list[DetectedLabel] = []
        self._metrics = metrics
        self._information = SessionInformation(
            stream_arn=definition.input_arn,
            processor_name=processor.name,
            session_id=session.session_id,
            start=session.start,
            tags=tags,
        )
        self._s3 = definition.output if isinstance(definition.output, S3Output) else None
        self._prefix = session_prefix(
            self._s3.key_prefix if self._s3 else None,
            processor_name=processor.name,
            session_id=session.session_id,
        )

    @property
    def finds(self) -> Sequence[Find]:
        """What the last frame showed."""
        return finds_of_labels(self._found)

    def analyze(
        self,
        picture: Picture,
        position: FramePosition,
        *,
        progress: SessionProgress,
        arrived_ms: int,
    ) -> list[OutboxItem]:
        """Return pictures and a notification for every class seen for the first time."""
        media_time_ms = progress.media_time_ms(position)
        items: list[OutboxItem] = []
        rgb: NDArray[np.uint8] | None = None
        # The surest detection of a class makes its hero frame.
        labels = self._found = self._look(picture, position)
        self.has_found = bool(labels)
        for label in sorted(labels, key=lambda found: -found.confidence_percent):
            self._metrics.detections.labels(self._processor.name, label.name).inc()
            sighting = Sighting(label=label, position=position, media_time_ms=media_time_ms)
            if label.name not in progress.seen:
                progress.seen.append(label.name)
                if rgb is None:
                    rgb = _full_rgb(picture)
                sighting, pictures = self._hero(sighting, rgb, arrived_ms)
                items += [*pictures, *self._announce(sighting, arrived_ms)]
            if len(progress.sightings) < MAX_SIGHTINGS:
                progress.sightings.append(sighting)
        return items

    def fragment_done(self, fragment_number: str, *, progress: SessionProgress) -> list[OutboxItem]:
        """Add nothing: results are written once, at the end of the session."""
        del fragment_number, progress
        return []

    def finish(self, *, progress: SessionProgress, failure: str | None) -> list[OutboxItem]:
        """Return the session's results and its one STREAM_PROCESSING_COMPLETE."""
        if progress.complete:
            return []
        progress.complete = True
        message = (
            label_detection.COMPLETE_MESSAGE
            if failure is None
            else label_detection.failure_message(failure)
        )
        processed_ms = progress.processed_ms
        items: list[OutboxItem] = []
        if self._s3 is not None:
            results = label_detection.results(
                self._information, progress.sightings, processed_ms=processed_ms, message=message
            )
            items.append(self._object(encode(results), results_key(self._prefix), JSON, None))
        document = label_detection.processing_complete(
            self._information, processed_ms=processed_ms, message=message
        )
        event_id = label_detection.complete_event_id(self._information)
        return [*items, *self._message(document, event_id, None)]

    def _look(self, picture: Picture, position: FramePosition) -> list[DetectedLabel]:
        if self.regions.crop.area <= 0:
            return []  # all regions lie outside the frame
        if self._stillness is None:
            return self._detect(picture)
        if self._stillness.holds(picture, position.media_seconds):
            self._metrics.frames_still.labels(self._processor.name).inc()
            return []
        labels = self._detect(picture)
        self._stillness.looked(picture, position.media_seconds, has_found=bool(labels))
        return labels

    def _detect(self, picture: Picture) -> list[DetectedLabel]:
        found = self._analyzer.detect(
            picture, region=self.regions.crop, min_confidence_percent=self._min_confidence
        )
        return [
            label
            for label in found
            if label.name in self._labels
            and self.regions.contains(label.box, min_overlap=self._min_overlap)
        ]

    def _hero(
        self, sighting: Sighting, rgb: NDArray[np.uint8], arrived_ms: int
    ) -> tuple[Sighting, list[OutboxItem]]:
        if self._s3 is None:
            return sighting, []
        label, position = sighting.label, sighting.position
        frame = hero_frame_key(self._prefix, label=label.name, position=position)
        crop = crop_key(self._prefix, label=label.name, position=position)
        pictures = [
            self._object(encode_jpeg(rgb), frame, JPEG, arrived_ms),
            self._object(crop_jpeg(rgb, label.box), crop, JPEG, arrived_ms),
        ]
        told = Sighting(
            label=label,
            position=position,
            media_time_ms=sighting.media_time_ms,
            frame_uri=object_uri(self._s3.bucket, frame),
            crop_uri=object_uri(self._s3.bucket, crop),
        )
        return told, pictures

    def _announce(self, sighting: Sighting, arrived_ms: int) -> list[OutboxItem]:
        document = label_detection.label_detected(self._information, sighting)
        event_id = label_detection.detected_event_id(self._information, sighting.label.name)
        return self._message(document, event_id, arrived_ms)

    def _message(
        self, document: dict[str, object], event_id: str, arrived_ms: int | None
    ) -> list[OutboxItem]:
        definition, name = self._processor.definition, self._processor.name
        items: list[OutboxItem] = []
        if isinstance(definition.output, KinesisOutput):
            items.append(
                record_item(
                    document,
                    stream_arn=definition.output.arn,
                    processor_name=name,
                    event_id=event_id,
                    arrived_ms=arrived_ms,
                )
            )
        if definition.sns_topic_arn is not None:
            items.append(
                notification_item(
                    document,
                    topic_arn=definition.sns_topic_arn,
                    processor_name=name,
                    subject=label_detection.SUBJECT,
                    event_id=event_id,
                    arrived_ms=arrived_ms,
                )
            )
        return items

    def _object(
        self, body: bytes, key: str, content_type: str, arrived_ms: int | None
    ) -> OutboxItem:
        assert self._s3 is not None
        return object_item(
            body,
            bucket=self._s3.bucket,
            key=key,
            content_type=content_type,
            kms_key_id=self._processor.definition.kms_key_id,
            arrived_ms=arrived_ms,
        )


def _full_rgb(picture: Picture) -> NDArray[np.uint8]:
    return picture.rgb(WHOLE_PICTURE, width_px=picture.width_px, height_px=picture.height_px)
