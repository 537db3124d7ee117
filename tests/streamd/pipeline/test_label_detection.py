"""Label sessions: first sights announced with their pictures, everything listed at the end."""

from __future__ import annotations

import json
from typing import Any, cast

import numpy as np
import pytest
from prometheus_client import CollectorRegistry

from processors.geometry import Box
from processors.labels import LabelAnalyzer
from processors.picture import ArrayPicture, Picture
from processors.results import DetectedLabel
from streamd.metrics import Metrics
from streamd.pipeline import label_detection
from streamd.pipeline.label_detection import (
    LabelDetectionAnalysis,
    missing_labels,
    requested_labels,
)
from streamd.pipeline.progress import SessionProgress
from streamd.records import OutboxItem
from streamd.resources import ConnectedHomeSettings, KinesisOutput
from tests.support.analysis import SESSION, position, processor_of
from tests.support.store import LABELS

TOPIC = "arn:aws:sns:us-east-1:111122223333:porch"
PICTURE = ArrayPicture(np.full((120, 160, 3), 90, np.uint8))


def found(name: str, confidence: float = 90.0, *, left: float = 0.2) -> DetectedLabel:
    box = Box(left=left, top=0.2, width=0.3, height=0.3)
    return DetectedLabel(name=name, confidence_percent=confidence, box=box, class_name=name.lower())


class Labels:
    """An analyzer of people and pets that finds what it is told to."""

    name = "scripted"
    labels = frozenset({"PERSON", "PET"})

    def __init__(self, *seen: DetectedLabel) -> None:
        self.seen = list(seen)

    def detect(
        self, picture: Picture, *, region: Box, min_confidence_percent: float
    ) -> list[DetectedLabel]:
        assert picture is PICTURE
        assert region.area == 1.0
        return [each for each in self.seen if each.confidence_percent >= min_confidence_percent]


def analysis(analyzer: Labels, *labels: str, **changes: Any) -> LabelDetectionAnalysis:
    wanted = labels or ("PERSON", "PET")
    settings = ConnectedHomeSettings(labels=wanted, min_confidence_percent=60.0)
    more = {"settings": settings, "sns_topic_arn": TOPIC, **changes}
    return LabelDetectionAnalysis(
        processor=processor_of(LABELS, **more),
        session=SESSION,
        tags={"room": "porch"},
        analyzer=cast(LabelAnalyzer, analyzer),
        labels=requested_labels(wanted),
        region_min_overlap=0.5,
        skips_still=False,
        metrics=Metrics(CollectorRegistry()),
    )


@pytest.fixture
def progress() -> SessionProgress:
    return SessionProgress(session_id="s-1")


def look(
    made: LabelDetectionAnalysis, progress: SessionProgress, offset_ms: int = 0
) -> list[OutboxItem]:
    return made.analyze(PICTURE, position(1, offset_ms), progress=progress, arrived_ms=7)


def test_the_first_sight_of_a_class_is_announced(progress: SessionProgress) -> None:
    """Frame and crop first, then the notification that names them; later sights are only kept."""
    made = analysis(Labels(found("PERSON")))
    items = look(made, progress)
    assert [item.kind for item in items] == ["s3", "s3", "sns"]
    assert all(item.body.startswith(b"\xff\xd8") for item in items[:2])
    message = json.loads(items[2].body)
    assert [label["name"] for label in message["labels"]] == ["PERSON"]
    uris = json.dumps(message)
    assert all((item.key or "nothing") in uris for item in items[:2])
    assert look(made, progress, 200) == []
    assert len(progress.sightings) == 2


def test_the_surest_one_of_a_class_is_shown(progress: SessionProgress) -> None:
    """One announcement for each class of a frame, with its best detection."""
    made = analysis(Labels(found("PET", 70.0), found("PERSON", 80.0), found("PET", 99.0)))
    messages = [json.loads(item.body) for item in look(made, progress) if item.kind == "sns"]
    told = [(m["labels"][0]["name"], m["labels"][0]["confidence"]) for m in messages]
    assert told == [("PET", 99.0), ("PERSON", 80.0)]


def test_what_was_not_asked_for_is_not_told(progress: SessionProgress) -> None:
    """Neither other classes nor what is below MinConfidence."""
    made = analysis(Labels(found("PET"), found("PERSON", 59.0)), "PERSON")
    assert look(made, progress) == []
    assert progress.sightings == []


def test_a_session_that_goes_on_announces_nothing_twice(progress: SessionProgress) -> None:
    """What was seen is kept with the results."""
    look(analysis(Labels(found("PERSON"))), progress)
    again = SessionProgress.model_validate_json(progress.model_dump_json())
    assert look(analysis(Labels(found("PERSON"))), again, 200) == []


def test_the_end_lists_everything_once(progress: SessionProgress) -> None:
    """results.json and STREAM_PROCESSING_COMPLETE; a second end adds nothing."""
    made = analysis(Labels(found("PERSON")))
    look(made, progress)
    look(made, progress, 200)
    results, notice = made.finish(progress=progress, failure=None)
    assert (results.kind, notice.kind) == ("s3", "sns")
    assert results.key is not None
    assert results.key.endswith("results.json")
    assert json.loads(notice.body)["eventNamespace"]["type"] == "STREAM_PROCESSING_COMPLETE"
    assert made.finish(progress=progress, failure=None) == []


def test_a_failure_is_told_in_the_notice(progress: SessionProgress) -> None:
    """With the reason."""
    [_, notice] = analysis(Labels()).finish(progress=progress, failure="no more video")
    assert "no more video" in json.dumps(json.loads(notice.body))


def test_what_goes_to_kinesis_has_no_pictures(progress: SessionProgress) -> None:
    """There is no bucket for them: the record alone is sent, and to the topic as well."""
    arn = "arn:aws:kinesis:us-east-1:111122223333:stream/out"
    made = analysis(Labels(found("PERSON")), output=KinesisOutput(arn=arn))
    assert [item.kind for item in look(made, progress)] == ["kinesis", "sns"]


def test_sights_are_bounded(progress: SessionProgress, monkeypatch: pytest.MonkeyPatch) -> None:
    """A crowd does not fill the memory; what is announced stays announced."""
    monkeypatch.setattr(label_detection, "MAX_SIGHTINGS", 2)
    made = analysis(Labels(found("PERSON")))
    for number in range(5):
        look(made, progress, number * 200)
    assert len(progress.sightings) == 2


@pytest.mark.parametrize(
    ("labels", "says"),
    [
        (("PERSON",), None),
        (("ALL",), None),
        (("PERSON", "PACKAGE"), "cannot tell PACKAGE"),
        (("ALL", "PACKAGE"), "cannot tell PACKAGE"),
    ],
    ids=["known", "all there is", "named", "named beside all"],
)
def test_a_label_that_was_named_must_be_found(labels: tuple[str, ...], says: str | None) -> None:
    """ALL asks for what there is; a watch over a named one would be a false comfort."""
    refusal = missing_labels(cast(LabelAnalyzer, Labels()), labels)
    assert (refusal is None) == (says is None)
    assert says is None or says in (refusal or "")
