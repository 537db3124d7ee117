"""Everything a session needs before it reads: models, collection, sinks, outbox, position.

What is missing for good ends the session FAILED with AWS's text (*Developer Guide*,
"Troubleshooting streaming video"); what is only away now does not.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass

from pydantic import ValidationError

from processors.errors import ModelError
from streamd.pipeline.chain import FrameAnalysis, MediaChain
from streamd.pipeline.delivery import Delivery
from streamd.pipeline.errors import SessionFailedError
from streamd.pipeline.face_search import FaceSearchAnalysis
from streamd.pipeline.fence import FencedSinks, IsHeld
from streamd.pipeline.label_detection import (
    LabelDetectionAnalysis,
    missing_labels,
    requested_labels,
)
from streamd.pipeline.onlooker import Onlooker
from streamd.pipeline.outbox import Outbox
from streamd.pipeline.outbox_file import outbox_name, outbox_path
from streamd.pipeline.parts import SessionParts
from streamd.pipeline.progress import SessionProgress
from streamd.records import Kind
from streamd.resources import (
    DEFAULT_MAX_DURATION_SECONDS,
    ConnectedHomeSettings,
    FaceSearchSettings,
    KinesisOutput,
    Session,
    StreamProcessor,
)
from streamd.sinks.errors import SinkGoneError, SinkUnavailableError
from streamd.sinks.router import SinkRouter
from streamd.store.errors import NotFoundError, StaleEpochError

__all__ = ["Prepared", "prepare", "targets_of"]

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """A session that can begin to read."""

    chain: MediaChain
    delivery: Delivery
    notice: str | None
    """What the models cannot tell of what was asked; shown as StatusMessage."""


async def prepare(
    processor: StreamProcessor,
    session: Session,
    parts: SessionParts,
    *,
    is_held: IsHeld,
    on_delivered: Callable[[str], None],
    on_gone: Callable[[str], None],
    on_health: Callable[[str | None], None],
) -> Prepared:
    """Make a session's chain and delivery.

    Raises:
        SessionFailedError: If something it needs is missing for good.
        StaleEpochError: If the session is held no more.

    """
    try:
        analysis, notice = await _analysis(processor, session, parts)
    except ModelError as error:
        raise SessionFailedError(str(error)) from error
    sinks = parts.sinks
    if processor.account_id != parts.settings.aws.account_id:
        sinks = sinks.of_account(processor.account_id)
    if (role_arn := parts.role_of(processor)) is not None:
        sinks = sinks.of_role(role_arn)
    await _check_targets(processor, sinks, session)
    # Opening the outbox takes it from whoever has it. All this took a while: by now that may be
    # the session of a stream processor that was made anew under this name.
    await parts.run_blocking(parts.store.check_held, session.session_id, session.epoch)
    name = outbox_name(
        processor.account_id, processor.name, own_account_id=parts.settings.aws.account_id
    )
    outbox = await parts.engine.run(_open_outbox, name, parts)
    progress = await parts.engine.run(_progress, outbox, session)
    progress.role_arn = role_arn
    settings = processor.definition.settings
    max_duration_ms = None
    if isinstance(settings, ConnectedHomeSettings):
        seconds = session.start.max_duration_seconds or DEFAULT_MAX_DURATION_SECONDS
        max_duration_ms = seconds * 1000
    chain = MediaChain(
        processor_name=processor.name,
        analysis=analysis,
        outbox=outbox,
        progress=progress,
        max_duration_ms=max_duration_ms,
        metrics=parts.metrics,
        clock=parts.clock,
        watcher=(
            Onlooker(processor, parts.settings, parts.clock)
            if parts.settings.console.enabled
            else None
        ),
    )
    delivery = Delivery(
        outbox,
        FencedSinks(sinks, is_held),
        processor_name=name,
        dead_letter_dir=parts.settings.data_dir / "dead-letter",
        metrics=parts.metrics,
        clock=parts.clock,
        run_blocking=parts.run_outbox,
        targets=[target for _, target in targets_of(processor)],
        settings=parts.settings.outbox,
        on_delivered=on_delivered,
        on_gone=on_gone,
        on_health=on_health,
        session_id=session.session_id,
    )
    return Prepared(chain=chain, delivery=delivery, notice=notice)


async def _analysis(
    processor: StreamProcessor, session: Session, parts: SessionParts
) -> tuple[FrameAnalysis, str | None]:
    settings = processor.definition.settings
    if isinstance(settings, FaceSearchSettings):
        return await _face_search(processor, session, settings, parts), None
    return await _label_detection(processor, session, settings, parts)


async def _face_search(
    processor: StreamProcessor,
    session: Session,
    settings: FaceSearchSettings,
    parts: SessionParts,
) -> FrameAnalysis:
    analyzer = await parts.engine.run(parts.engine.faces)
    try:
        collection = await parts.run_blocking(
            parts.store.collection, processor.account_id, settings.collection_id
        )
    except NotFoundError:
        raise SessionFailedError("Collection not found") from None
    if collection.face_model_version != analyzer.model_version:
        # "Faces of different versions cannot be compared" (Developer Guide, model versioning).
        raise SessionFailedError(
            f"Collection {settings.collection_id} has face model version "
            f"{collection.face_model_version}, the loaded pack {analyzer.name} has "
            f"{analyzer.model_version}: set models.faces to the pack it was made with"
        )
    return FaceSearchAnalysis(
        processor=processor,
        session=session,
        analyzer=analyzer,
        search=parts.search,
        region_min_overlap=parts.settings.analysis.region_min_overlap,
        follows_faces=parts.settings.analysis.follow_faces,
        skips_still=parts.settings.analysis.skip_still,
        metrics=parts.metrics,
    )


async def _label_detection(
    processor: StreamProcessor,
    session: Session,
    settings: ConnectedHomeSettings,
    parts: SessionParts,
) -> tuple[FrameAnalysis, str | None]:
    analyzer = await parts.engine.run(parts.engine.labels)
    if (refusal := missing_labels(analyzer, settings.labels)) is not None:
        raise SessionFailedError(refusal)
    asked = requested_labels(settings.labels)
    unknown = asked - analyzer.labels
    notes = [f"not detected: {', '.join(sorted(unknown))}"] if unknown else []
    if analyzer.note:
        notes.append(analyzer.note)
    try:
        tags = await parts.run_blocking(parts.store.tags, processor.arn)
    except NotFoundError:
        # Deleted since it was claimed, which Delete may do while STARTING.
        raise StaleEpochError(session.session_id, session.epoch) from None
    analysis = LabelDetectionAnalysis(
        processor=processor,
        session=session,
        tags=dict(tags),
        analyzer=analyzer,
        labels=asked,
        region_min_overlap=parts.settings.analysis.region_min_overlap,
        skips_still=parts.settings.analysis.skip_still,
        metrics=parts.metrics,
    )
    return analysis, f"Label pack {analyzer.name}: {'; '.join(notes)}" if notes else None


async def _check_targets(processor: StreamProcessor, sinks: SinkRouter, session: Session) -> None:
    log = {"stream_processor": processor.name, "session": session.session_id}
    for kind, target in targets_of(processor):
        try:
            await sinks.check(kind, target)
        except SinkGoneError as error:
            if session.epoch <= 1:
                raise SessionFailedError(str(error)) from error
            # It has begun, so its end is to be told: delivery finds the same and ends it.
            logger.warning("output %s is gone: %s", target, error, extra=log)
        except SinkUnavailableError as error:
            # Away, not missing: results wait in the outbox.
            logger.warning("output %s cannot be checked now: %s", target, error, extra=log)


def targets_of(processor: StreamProcessor) -> list[tuple[Kind, str]]:
    """Return where the processor's results go: kind of output, and ARN or bucket."""
    definition = processor.definition
    output = definition.output
    targets: list[tuple[Kind, str]] = (
        [("kinesis", output.arn)] if isinstance(output, KinesisOutput) else [("s3", output.bucket)]
    )
    if definition.sns_topic_arn is not None:
        targets.append(("sns", definition.sns_topic_arn))
    return targets


def _open_outbox(name: str, parts: SessionParts) -> Outbox:
    return Outbox(
        outbox_path(parts.settings.data_dir / "outbox", name),
        max_bytes=parts.settings.outbox.max_bytes,
        clock=parts.clock,
    )


def _progress(outbox: Outbox, session: Session) -> SessionProgress:
    last = outbox.begin(session.session_id)
    state = outbox.state()
    if state is not None:
        try:
            return _caught_up(SessionProgress.model_validate_json(state), session)
        except ValidationError:
            logger.exception(
                "state of session cannot be read, going on after its last fragment",
                extra={"stream_processor": session.processor_name, "session": session.session_id},
            )
    # Another machine's outbox is out of reach: what it had delivered is in the store.
    progress = SessionProgress(session_id=session.session_id, last_fragment_number=last)
    return _caught_up(progress, session)


def _caught_up(progress: SessionProgress, session: Session) -> SessionProgress:
    """Move a session to where it was delivered up to, by another machine since it was here."""
    delivered, here = session.last_fragment_number, progress.last_fragment_number
    if delivered is None or (here is not None and int(here) >= int(delivered)):
        return progress
    return progress.model_copy(update={"last_fragment_number": delivered, "position": None})
