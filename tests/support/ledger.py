"""Double-entry bookkeeping of results: what was promised against what arrived."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

__all__ = ["Ledger", "audit", "positions"]

Position = tuple[str, float]
"""Fragment number and offset of a frame: what makes a record one and the same."""


@dataclass(frozen=True, kw_only=True)
class Ledger:
    """How the records of one face search compare with its fragments."""

    promised: frozenset[str]
    records: int
    distinct: int
    lost: frozenset[str]
    """Fragments without any record."""
    thin: Mapping[str, int]
    """Fragments with fewer records than they should have."""
    is_ordered: bool
    """Whether first occurrences are in order; repeats may follow later."""

    @property
    def repeated(self) -> int:
        """Records that came a second time."""
        return self.records - self.distinct


def positions(records: Iterable[Mapping[str, Any]]) -> list[Position]:
    """Return where the records belong, in their order of arrival."""
    videos = [record["InputInformation"]["KinesisVideo"] for record in records]
    return [(v["FragmentNumber"], v["FrameOffsetInSeconds"]) for v in videos]


def audit(
    records: Iterable[Mapping[str, Any]], promised: Iterable[str], *, per_fragment: int = 1
) -> Ledger:
    """Compare records with the fragments acknowledged as persisted.

    Args:
        records: As they arrived.
        promised: Numbers of fragments.
        per_fragment: Fewest records a fragment must have.

    """
    found = positions(records)
    firsts = list(dict.fromkeys(found))
    counts: dict[str, int] = {}
    for number, _ in firsts:
        counts[number] = counts.get(number, 0) + 1
    wanted = frozenset(promised)
    return Ledger(
        promised=wanted,
        records=len(found),
        distinct=len(firsts),
        lost=wanted - counts.keys(),
        thin={n: counts[n] for n in wanted & counts.keys() if counts[n] < per_fragment},
        is_ordered=firsts == sorted(firsts),
    )
