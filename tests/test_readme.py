"""What the README says is what the code does."""

from __future__ import annotations

from streamd.protocol.service import load_service
from tests.support.compatibility import BEGIN, END, README, served_operations, table


def test_table_of_operations_is_what_is_registered() -> None:
    """Made anew from the registered operations, the table is the same.

    If it is not: ``python -m tests.support.compatibility --write``.
    """
    written = README.read_text().partition(BEGIN)[2].partition(END)[0].strip()
    assert written == table()


def test_every_operation_of_the_service_is_in_one_row() -> None:
    """All 75 operations are listed, each once."""
    text = table()
    operations = load_service("rekognition").operations
    assert len(operations) == 75
    cells = [name for line in text.splitlines()[2:] for name in line.split("|")[2:4]]
    listed = [name.strip() for cell in cells for name in cell.split(",") if name.strip() != "none"]
    assert sorted(listed) == sorted(operations)
    assert served_operations() <= set(operations)
