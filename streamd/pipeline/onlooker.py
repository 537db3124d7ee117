"""Who looks at analysed frames for the console: the live view and the sightings of one session.

Nothing here may cost a session its results: what fails is said once and left.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

from processors.picture import Picture
from streamd.clock import Clock, epoch_ms
from streamd.config import Settings
from streamd.ingest.errors import DecodeError
from streamd.pipeline.finds import Find
from streamd.pipeline.live_frames import FramePublisher, LiveFrames, position_document
from streamd.pipeline.picture_files import picture_key
from streamd.pipeline.sightings import SightingFiles, SightingLog
from streamd.records import FramePosition
from streamd.resources import StreamProcessor

__all__ = ["Onlooker", "key_of", "live_frames", "sighting_files"]

logger = logging.getLogger(__name__)


def key_of(processor: StreamProcessor) -> str:
    """Return what a stream processor's pictures are filed under."""
    return picture_key(
        processor.account_id, processor.name, created_ms=epoch_ms(processor.created_at)
    )


def live_frames(settings: Settings, clock: Clock) -> LiveFrames:
    """Return the files of frames that are watched."""
    return LiveFrames(settings.data_dir / "console" / "live", clock=clock)


def sighting_files(settings: Settings) -> SightingFiles:
    """Return the files of sightings."""
    return SightingFiles(
        settings.data_dir / "console" / "sightings",
        limit=settings.console.sightings if settings.console.enabled else 0,
        max_age_seconds=settings.console.sightings_hours * 3600,
    )


class Onlooker:
    """Sees every analysed frame of one session (blocking; used by one thread at a time)."""

    def __init__(self, processor: StreamProcessor, settings: Settings, clock: Clock) -> None:
        key = key_of(processor)
        files = sighting_files(settings)
        self._publisher = FramePublisher(live_frames(settings, clock), key, clock=clock)
        self._log = SightingLog(files, key, clock=clock) if files.limit else None
        self._name = processor.name
        self._is_failing = False

    def see(self, picture: Picture, position: FramePosition, finds: Sequence[Find]) -> None:
        """Look at a frame and what it shows."""
        try:
            if self._log is not None and finds:
                self._log.note(picture, position, finds, position_document(position))
            self._publisher.note(picture, position, finds)
        except (OSError, DecodeError, ValueError) as error:
            # A full disk, a picture that cannot be scaled, a box outside of it.
            if not self._is_failing:
                logger.warning(
                    "the console is shown nothing: %s",
                    error,
                    extra={"stream_processor": self._name},
                )
            self._is_failing = True
        else:
            self._is_failing = False

    def close(self) -> None:
        """Leave no frame behind; may be called twice."""
        self._publisher.close()
