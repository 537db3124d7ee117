"""What a check of ``streamd doctor`` finds, and how a check is run."""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from streamd.config import Settings
from streamd.logs import masked

__all__ = [
    "NETWORK_SECONDS",
    "Check",
    "Finding",
    "Verdict",
    "broken",
    "good",
    "notable",
    "run_check",
]

NETWORK_SECONDS = 5.0


class Verdict(enum.Enum):
    """How good a finding is; the value is its sign."""

    GOOD = "✓"
    NOTABLE = "!"
    BROKEN = "✗"


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One line of the report."""

    verdict: Verdict
    title: str
    detail: str
    next_step: str | None = None


Check = Callable[[Settings], Iterator[Finding]]


def run_check(check: Check, settings: Settings) -> list[Finding]:
    """Run a check; a failure nobody foresaw is a finding, too."""
    findings: list[Finding] = []
    try:
        findings.extend(check(settings))
    except Exception as error:  # noqa: BLE001 - the wall of this command: one check must not hide the others
        title = check.__name__.removeprefix("check_").replace("_", " ")
        findings.append(broken(title, masked(f"{type(error).__name__}: {error}")))
    return findings


def good(title: str, detail: str) -> Finding:
    """All is well."""
    return Finding(verdict=Verdict.GOOD, title=title, detail=detail)


def notable(title: str, detail: str, next_step: str | None = None) -> Finding:
    """It works, and could be better."""
    return Finding(verdict=Verdict.NOTABLE, title=title, detail=detail, next_step=next_step)


def broken(title: str, detail: str, next_step: str | None = None) -> Finding:
    """It does not work."""
    # Messages of libraries have lines of their own; a finding is one.
    one_line = " ".join(detail.split())
    return Finding(
        verdict=Verdict.BROKEN, title=title, detail=one_line, next_step=next_step or None
    )
