"""The table of metrics in ``deploy/METRICS.md``, made from what is registered.

``python -m tests.support.metrics_table`` prints it; ``--write`` puts it into the document.
"""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from streamd.metrics import Metrics
from tests.support.written_table import ROOT, WrittenTable

__all__ = ["METRICS_TABLE", "Instrument", "instruments", "name_of"]

Instrument = Counter | Gauge | Histogram


def instruments() -> list[Instrument]:
    """Return every metric, in the order of ``streamd/metrics.py``."""
    values = vars(Metrics(CollectorRegistry())).values()
    return [value for value in values if isinstance(value, Instrument)]


def name_of(instrument: Instrument) -> str:
    """Return the name queries use; the library keeps that of a counter without its ending."""
    ending = "_total" if instrument._type == "counter" else ""
    return f"{instrument._name}{ending}"


def _table() -> str:
    lines = ["| metric | type | labels | meaning |", "| --- | --- | --- | --- |"]
    for one in instruments():
        labels = ", ".join(f"`{label}`" for label in one._labelnames)
        lines.append(f"| `{name_of(one)}` | {one._type} | {labels} | {one._documentation} |")
    return "\n".join(lines)


METRICS_TABLE = WrittenTable(
    document=ROOT / "deploy" / "METRICS.md",
    begin="<!-- metrics: made by tests.support.metrics_table -->",
    make=_table,
)

if __name__ == "__main__":
    METRICS_TABLE.main()
