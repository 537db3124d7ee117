"""Dead letters: kept, counted, bounded."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from streamd.metrics import Metrics
from streamd.pipeline.dead_letters import BurialReason, DeadLetters
from streamd.records import OutboxItem
from tests.support.clock import ManualClock


def item(number: int, size: int = 10) -> OutboxItem:
    return OutboxItem(
        kind="kinesis",
        target="arn:aws:kinesis:us-east-1:000000000000:stream/faces",
        key=str(number),
        content_type="application/json",
        body=b"x" * size,
    )


def keys(path: Path) -> list[str]:
    return [json.loads(line)["key"] for line in path.read_text().splitlines()]


def dead_letters(folder: Path, *, max_bytes: int) -> tuple[DeadLetters, Metrics]:
    metrics = Metrics(CollectorRegistry())
    letters = DeadLetters(folder, "door", max_bytes=max_bytes, metrics=metrics, clock=ManualClock())
    return letters, metrics


def test_a_letter_says_when_and_why(tmp_path: Path) -> None:
    """The file holds the whole item; the counter its sink and the reason's kind."""
    letters, metrics = dead_letters(tmp_path, max_bytes=10_000)
    letters.bury([(item(1), "too long")], sink_name="kafka", reason=BurialReason.REFUSED)
    (line,) = letters.path.read_text().splitlines()
    found = json.loads(line)
    assert (found["time"], found["reason"], found["body"]) == (
        "2023-11-14T22:13:20.000+00:00",
        "too long",
        "x" * 10,
    )
    labels = {"sink": "kafka", "reason": "refused"}
    assert metrics.registry.get_sample_value("streamd_dead_letters_total", labels) == 1


def test_the_oldest_letters_make_room(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The files never hold more than the bound; the newest are all there, and the log tells."""
    letters, _ = dead_letters(tmp_path, max_bytes=4_000)
    for number in range(40):
        letters.bury([(item(number), "no")], sink_name="kafka", reason=BurialReason.REFUSED)
        assert sum(file.stat().st_size for file in tmp_path.iterdir()) <= 4_000
    kept = [*keys(tmp_path / "door.jsonl.1"), *keys(letters.path)]
    assert kept == [str(number) for number in range(40 - len(kept), 40)]
    assert len(kept) >= 8
    assert "the oldest dead letters were dropped" in caplog.text


def test_a_letter_longer_than_the_bound_is_kept(tmp_path: Path) -> None:
    """Better one too many than none."""
    letters, _ = dead_letters(tmp_path, max_bytes=1_000)
    letters.bury([(item(1, 5_000), "no")], sink_name="s3", reason=BurialReason.EXPIRED)
    assert keys(letters.path) == ["1"]
