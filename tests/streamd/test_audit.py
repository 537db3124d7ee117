"""Where audit lines go."""

from __future__ import annotations

import json
import logging
import stat
from pathlib import Path
from typing import Any

import pytest

from streamd import audit
from streamd.errors import ConfigError
from streamd.protocol.identity import Identity

WHO = Identity(account_id="1" * 12, access_key_id="AKIDONE")


def _record(result: str = "OK") -> None:
    audit.record(
        operation="rekognition:CreateCollection",
        result=result,
        resources=["arn:aws:rekognition:us-east-1:111111111111:collection/a"],
        identity=WHO,
        peer="10.0.0.7",
        request_id="r-1",
    )


def _lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_file_has_one_json_object_a_line(tmp_path: Path) -> None:
    """It is appended to, and only its owner may read it."""
    path = tmp_path / "audit.jsonl"
    for result in ("OK", "AccessDeniedException"):
        with audit.auditing(str(path)):
            _record(result)
    first, second = _lines(path)
    assert first.pop("time").endswith("Z")
    assert first == {
        "operation": "rekognition:CreateCollection",
        "result": "OK",
        "resources": ["arn:aws:rekognition:us-east-1:111111111111:collection/a"],
        "account": "111111111111",
        "access_key_id": "AKIDONE",
        "peer": "10.0.0.7",
        "request_id": "r-1",
    }
    assert second["result"] == "AccessDeniedException"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_file_that_is_moved_away_is_begun_anew(tmp_path: Path) -> None:
    """As logrotate does it; lines written before the move are in the moved file."""
    path, old = tmp_path / "audit.jsonl", tmp_path / "audit.jsonl.1"
    with audit.auditing(str(path)):
        _record("OK")
        while not path.read_text():
            pass
        path.rename(old)
        _record("AccessDeniedException")
    assert [line["result"] for line in _lines(old)] == ["OK"]
    assert [line["result"] for line in _lines(path)] == ["AccessDeniedException"]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_line_that_cannot_be_written_is_in_the_log(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A full or missing disk loses no line in silence."""
    folder = tmp_path / "gone"
    folder.mkdir()
    with audit.auditing(str(folder / "audit.jsonl")):
        folder.rename(tmp_path / "moved")
        _record()
    (said,) = [r.getMessage() for r in caplog.records if r.name == "streamd.audit_file"]
    assert said.startswith("audit line not written: {")
    assert "CreateCollection" in said


def test_lines_go_to_the_log_whatever_its_level(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By default they are among the others."""
    monkeypatch.setattr(logging.getLogger(), "level", logging.WARNING)
    with audit.auditing("log"):
        _record()
    assert [record.getMessage() for record in caplog.records] == ["rekognition:CreateCollection"]
    assert caplog.records[0].__dict__["access_key_id"] == "AKIDONE"


def test_off_writes_nothing(caplog: pytest.LogCaptureFixture) -> None:
    """Neither here nor there."""
    with caplog.at_level(logging.DEBUG), audit.auditing("off"):
        _record()
    assert not caplog.records


def test_a_file_that_cannot_be_opened_ends_the_start(tmp_path: Path) -> None:
    """Better no daemon than one that changes things unseen."""
    with pytest.raises(ConfigError, match=r"'server.audit_log': .* No such file"):  # noqa: SIM117
        with audit.auditing(str(tmp_path / "missing" / "audit.jsonl")):
            pass
