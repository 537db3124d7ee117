"""The tool behind ``make fuzz``, without the library that guides it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.fuzz import __main__ as tool
from tests.fuzz.target import TARGETS


def test_progress_lines_are_counted() -> None:
    """libFuzzer's lines give executions, corpus, and what is new since the seeds."""
    run = tool.Run(TARGETS["mkv"])
    for line in (
        "INFO: Running with entropic power schedule (0xFF, 100).",
        "#10\tINITED cov: 94 ft: 517 corp: 9/24Kb exec/s: 0 rss: 90Mb",
        "#2048\tNEW    cov: 99 ft: 640 corp: 31/80Kb lim: 3787 exec/s: 0 rss: 90Mb",
        "stat::number_of_executed_units: 4096",
    ):
        tool._note(run, line)
    assert (run.executions, run.features_before, run.features, run.corpus) == (4096, 517, 640, 31)


def test_a_failed_input_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A crash's input is copied to the target's folder by its digest; slow ones are not."""
    monkeypatch.setattr(tool, "REGRESSIONS", tmp_path / "kept")
    crash, slow = tmp_path / "crash-1234", tmp_path / "slow-unit-1234"
    crash.write_bytes(b"bad")
    slow.write_bytes(b"slow")
    run = tool.Run(TARGETS["mkv"])
    tool._conclude(run, 77, [crash, slow])
    assert (run.state, run.is_crash) == ("crash", True)
    assert run.kept == tmp_path / "kept" / "mkv" / "2f05d4b689d270ca"
    assert run.kept.read_bytes() == b"bad"


def test_unknown_targets_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    """A target that is not there is named, with those that are."""
    with pytest.raises(SystemExit):
        tool._parse(["mkw"])
    assert "no target mkw; there are aws_json" in capsys.readouterr().err
    assert tool._parse(["mkv acks", "--seconds", "3"]).target == ["mkv", "acks"]
