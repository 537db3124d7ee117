"""Face search on decoded frames: detect, embed, match, one record for every analysed frame."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from processors.faces.analyzer import FaceAnalyzer
from processors.faces.tracks import FaceTracks
from processors.picture import Picture
from processors.results import DetectedFace
from streamd.metrics import Metrics
from streamd.pipeline.collection_search import CollectionSearch
from streamd.pipeline.errors import SessionFailedError
from streamd.pipeline.finds import Find, finds_of_faces
from streamd.pipeline.progress import SessionProgress
from streamd.pipeline.regions import regions_of
from streamd.pipeline.stillness import Stillness
from streamd.records import FramePosition, OutboxItem, face_search, object_item, record_item
from streamd.records.face_search import FaceMatch, FoundFace
from streamd.records.layout import records_key, session_prefix
from streamd.resources import FaceSearchSettings, KinesisOutput, Session, StreamProcessor
from streamd.store.errors import NotFoundError

__all__ = ["FaceSearchAnalysis"]

MAX_MATCHES = 100
"""Matches listed for one face; AWS documents no bound for stream processors."""


class FaceSearchAnalysis:
    """Turns frames into face-search records (blocking; used by one thread at a time)."""

    kind = "face-search"

    def __init__(
        self,
        *,
        processor: StreamProcessor,
        session: Session,
        analyzer: FaceAnalyzer,
        search: CollectionSearch,
        region_min_overlap: float,
        follows_faces: bool,
        skips_still: bool,
        metrics: Metrics,
    ) -> None:
        settings = processor.definition.settings
        assert isinstance(settings, FaceSearchSettings)
        self._processor = processor
        self._analyzer = analyzer
        self._search = search
        self._collection_id = settings.collection_id
        self._threshold_percent = settings.face_match_threshold_percent
        self.regions = regions_of(processor.definition.regions_of_interest)
        self._min_overlap = region_min_overlap
        self.has_found = False
        self._found: list[FoundFace] = []
        self._stillness = Stillness(self.regions) if skips_still else None
        self._follows_faces = follows_faces
        self._tracks = FaceTracks()
        self._metrics = metrics
        self._prefix: str | None = None
        self._lines: list[tuple[str, dict[str, object]]] = []
        output = processor.definition.output
        if not isinstance(output, KinesisOutput):
            self._prefix = session_prefix(
                output.key_prefix, processor_name=processor.name, session_id=session.session_id
            )

    @property
    def finds(self) -> Sequence[Find]:
        """What the last frame showed."""
        return finds_of_faces(self._found)

    def analyze(
        self,
        picture: Picture,
        position: FramePosition,
        *,
        progress: SessionProgress,
        arrived_ms: int,
    ) -> list[OutboxItem]:
        """Return the record of one frame.

        Raises:
            SessionFailedError: If the collection is gone.

        """
        del progress
        faces = self._look(picture, position)
        self.has_found = bool(faces)
        found = self._found = self._find(picture, faces, position)
        self._count(found)
        document = face_search.build(
            stream_arn=self._processor.definition.input_arn, position=position, faces=found
        )
        return self._address(document, position, arrived_ms)

    def fragment_done(self, fragment_number: str, *, progress: SessionProgress) -> list[OutboxItem]:
        """Return the fragment's records as one object, where the output is S3."""
        del progress
        output = self._processor.definition.output
        documents = [document for number, document in self._lines if number == fragment_number]
        if isinstance(output, KinesisOutput) or not documents or self._prefix is None:
            return []
        self._lines = [line for line in self._lines if line[0] != fragment_number]
        return [
            object_item(
                face_search.lines(documents),
                bucket=output.bucket,
                key=records_key(self._prefix, fragment_number=fragment_number),
                content_type=face_search.LINES_CONTENT_TYPE,
                kms_key_id=self._processor.definition.kms_key_id,
            )
        ]

    def finish(self, *, progress: SessionProgress, failure: str | None) -> list[OutboxItem]:
        """Return what the end of the session adds: the records of a fragment cut short."""
        del failure
        numbers = dict.fromkeys(number for number, _ in self._lines)
        return [item for n in numbers for item in self.fragment_done(n, progress=progress)]

    def _look(self, picture: Picture, position: FramePosition) -> list[DetectedFace]:
        if self.regions.crop.area <= 0:
            return []  # all regions lie outside the frame
        if self._stillness is None:
            return self._detect(picture)
        if self._stillness.holds(picture, position.media_seconds):
            self._metrics.frames_still.labels(self._processor.name).inc()
            return []
        faces = self._detect(picture)
        self._stillness.looked(picture, position.media_seconds, has_found=bool(faces))
        return faces

    def _detect(self, picture: Picture) -> list[DetectedFace]:
        return [
            face
            for face in self._analyzer.detect(picture, region=self.regions.crop)
            if self.regions.contains(face.box, min_overlap=self._min_overlap)
        ]

    def _find(
        self, picture: Picture, faces: Sequence[DetectedFace], position: FramePosition
    ) -> list[FoundFace]:
        """Match the faces, each by a vector of this frame or, where it is followed, before."""
        if not self._follows_faces:
            return self._match(faces, self._analyzer.embed(picture, faces)) if faces else []
        seconds = position.media_seconds
        tracks = self._tracks.follow(faces, seconds)
        due = [
            (face, track)
            for face, track in zip(faces, tracks, strict=True)
            if track.wants_embedding(face, seconds)
        ]
        if due:
            vectors = self._analyzer.embed(picture, [face for face, _ in due])
            for (face, track), vector in zip(due, vectors, strict=True):
                track.learn(vector, face, seconds, self._analyzer.similarity_percent)
            self._metrics.faces_embedded.labels(self._processor.name).inc(len(due))
        if not faces:
            return []
        held = [track.vector for track in tracks if track.vector is not None]
        found = self._match(faces, np.stack(held))
        for track, one in zip(tracks, found, strict=True):
            track.is_matched = bool(one.matches)
        return found

    def _match(
        self, faces: Sequence[DetectedFace], vectors: NDArray[np.float32]
    ) -> list[FoundFace]:
        try:
            matches = self._search.search(
                self._processor.account_id,
                self._collection_id,
                vectors,
                limit=MAX_MATCHES,
                threshold_percent=self._threshold_percent,
                analyzer=self._analyzer,
            )
        except NotFoundError:
            raise SessionFailedError("Collection not found") from None
        return [
            FoundFace(
                detected=face,
                matches=[FaceMatch(face=m, similarity_percent=s) for m, s in similar],
            )
            for face, similar in zip(faces, matches, strict=True)
        ]

    def _address(
        self, document: dict[str, object], position: FramePosition, arrived_ms: int
    ) -> list[OutboxItem]:
        output = self._processor.definition.output
        if not isinstance(output, KinesisOutput):
            self._lines.append((position.fragment_number, document))
            return []
        return [
            record_item(
                document,
                stream_arn=output.arn,
                processor_name=self._processor.name,
                event_id=face_search.event_id(
                    stream_arn=self._processor.definition.input_arn, position=position
                ),
                arrived_ms=arrived_ms,
            )
        ]

    def _count(self, found: Sequence[FoundFace]) -> None:
        name = self._processor.name
        if found:
            self._metrics.detections.labels(name, "FACE").inc(len(found))
        matched = sum(1 for face in found if face.matches)
        if matched:
            self._metrics.matches.labels(name).inc(matched)
