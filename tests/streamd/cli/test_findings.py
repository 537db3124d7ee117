"""How a check is run."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from streamd.cli.findings import Finding, Verdict
from streamd.config import Settings
from tests.support.checks import only, settings


def test_a_failing_check_is_a_finding(tmp_path: Path) -> None:
    """An exception nobody foresaw is shown, masked, and does not stop the others."""

    def check_something(_settings: Settings) -> Iterator[Finding]:
        raise RuntimeError("rtsp://u:hush@camera")
        yield

    finding = only(check_something, settings(tmp_path))
    assert finding.verdict is Verdict.BROKEN
    assert finding.detail == "RuntimeError: rtsp://***@camera"
