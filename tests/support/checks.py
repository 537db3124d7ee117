"""Running a check of ``streamd doctor`` on settings of a test's own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from streamd.cli.findings import Check, Finding, run_check
from streamd.config import Settings, load_settings

__all__ = ["only", "settings"]


def settings(tmp_path: Path, **sections: dict[str, Any]) -> Settings:
    """Return settings with a data directory below ``tmp_path``."""
    server = {"data_dir": tmp_path / "data", "listen": "127.0.0.1:0", **sections.pop("server", {})}
    return load_settings(overrides={"server": server, **sections})


def only(check: Check, of: Settings) -> Finding:
    """Run a check that has one finding."""
    findings = run_check(check, of)
    assert len(findings) == 1, findings
    return findings[0]
