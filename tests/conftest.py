"""In which order tests run, and what a run says at its end: which real servers were there."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import pytest
from xdist.scheduler import LoadScopeScheduling

FAULTS = "tests/faults/"
LONG_FIRST = (FAULTS, "tests/services/", "tests/e2e/", "tests/clients/")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with what takes long, so that no process is left alone with it at the end."""
    # False comes before True.
    items.sort(key=lambda i: (not i.nodeid.startswith(LONG_FIRST), not i.nodeid.startswith(FAULTS)))


def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> LoadScopeScheduling:
    """Replace ``--dist loadfile``."""
    return _FilesAndFaults(config, log)


class _FilesAndFaults(LoadScopeScheduling):  # type: ignore[misc]  # it has no types
    """Each file to one process; all faults to one: two at a time would be faults to each other."""

    def _split_scope(self, nodeid: str) -> str:
        return FAULTS if nodeid.startswith(FAULTS) else nodeid.partition("::")[0]


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
