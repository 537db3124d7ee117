"""What a run says at its end: which real servers were there, and why others were not."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import pytest


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """List the tests marked ``service`` by module: how many ran, and why the others did not."""
    lines = list(_service_lines(terminalreporter))
    if lines:
        terminalreporter.section("third-party servers")
        for line in lines:
            terminalreporter.line(line)


def _service_lines(reporter: pytest.TerminalReporter) -> Iterator[str]:
    counts: dict[str, Counter[str]] = {}
    reasons: dict[str, set[str]] = {}
    for outcome in ("passed", "failed", "error", "skipped"):
        for report in reporter.stats.get(outcome, []):
            if "service" not in getattr(report, "keywords", ()):
                continue
            module = report.nodeid.partition("::")[0]
            counts.setdefault(module, Counter())[outcome] += 1
            if outcome == "skipped" and isinstance(report.longrepr, tuple):
                reasons.setdefault(module, set()).add(report.longrepr[2])
    for module, found in sorted(counts.items()):
        told = ", ".join(f"{number} {outcome}" for outcome, number in found.items())
        why = "".join(f"; {reason}" for reason in sorted(reasons.get(module, ())))
        yield f"{module}: {told}{why}"
