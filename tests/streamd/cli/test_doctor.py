"""``streamd doctor``: every finding is a line, and the exit code says whether one is bad."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import typer

from streamd.cli import checks
from streamd.cli.doctor import doctor
from streamd.cli.findings import Finding, Verdict
from streamd.config import Settings


def good(_settings: Settings) -> Iterator[Finding]:
    yield Finding(verdict=Verdict.GOOD, title="disk", detail="12 GB free")


def bad(_settings: Settings) -> Iterator[Finding]:
    yield Finding(
        verdict=Verdict.BROKEN, title="broker", detail="no answer", next_step="start [it]"
    )


def breaks(_settings: Settings) -> Iterator[Finding]:
    raise RuntimeError("rtsp://u:hush@camera broke")
    yield


def test_nothing_broken_ends_well(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Settings and every check have a line; the command returns, which is exit code 0."""
    monkeypatch.setattr(checks, "CHECKS", (good,))
    doctor(data_dir=tmp_path)
    out = capsys.readouterr().out
    assert "settings" in out
    assert "12 GB free" in out
    assert out.rstrip().endswith("nothing is broken")


def test_one_broken_thing_is_exit_1(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A check that breaks is a finding, hides no other one, and tells no secret."""
    monkeypatch.setattr(checks, "CHECKS", (breaks, bad, good))
    with pytest.raises(typer.Exit) as caught:
        doctor(data_dir=tmp_path)
    assert caught.value.exit_code == 1
    out = capsys.readouterr().out
    assert "start [it]" in out
    assert "12 GB free" in out
    assert "hush" not in out
    assert out.rstrip().endswith("2 broken")


def test_wrong_settings_are_a_finding(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing else can be checked without them."""
    config = tmp_path / "streamd.toml"
    config.write_text("[server]\nlisten = '8700'\n")
    with pytest.raises(typer.Exit) as caught:
        doctor(config=config)
    assert caught.value.exit_code == 1
    out = capsys.readouterr().out
    assert "'server.listen' must be HOST:PORT" in out
    assert "deploy/streamd.toml explains every setting" in out
