"""A table of a document that is made from the code, between two marks."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

__all__ = ["ROOT", "WrittenTable"]

ROOT = Path(__file__).parents[2]
_END = "<!-- end -->"


@dataclass(frozen=True, kw_only=True)
class WrittenTable:
    """Prints, writes and finds again one table."""

    document: Path
    begin: str
    """The line before the table; it names the module that makes it."""
    make: Callable[[], str]
    """Returns the table in Markdown, made from the code as it is."""

    def written(self) -> str:
        """Return the table as the document has it."""
        return self.document.read_text().partition(self.begin)[2].partition(_END)[0].strip()

    def write(self) -> None:
        """Replace it in the document."""
        before, mark, rest = self.document.read_text().partition(self.begin)
        after = rest.partition(_END)[2]
        assert mark, f"{self.document.name} has no line {self.begin}"
        self.document.write_text(f"{before}{self.begin}\n{self.make()}\n{_END}{after}")

    def main(self) -> None:
        """Print it, or with ``--write`` write it."""
        if "--write" in sys.argv:
            self.write()
        else:
            print(self.make())
