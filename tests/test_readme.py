"""What the README says is what the code does."""

from __future__ import annotations

import fnmatch
import re
from pathlib import Path

import pytest

from streamd.config import Settings
from streamd.protocol.service import load_service
from tests.support.compatibility import OPERATIONS_TABLE, served_operations, table
from tests.support.metrics_table import METRICS_TABLE, instruments, name_of
from tests.support.written_table import ROOT

README = ROOT / "README.md"
DOCUMENTS = (README, ROOT / "CHANGELOG.md", ROOT / "deploy" / "OPERATIONS.md")


def test_table_of_operations_is_what_is_registered() -> None:
    """Made anew from the registered operations, the table is the same.

    If it is not: ``python -m tests.support.compatibility --write``.
    """
    assert OPERATIONS_TABLE.written() == table()


def test_every_operation_of_the_service_is_in_one_row() -> None:
    """All 75 operations are listed, each once."""
    text = table()
    operations = load_service("rekognition").operations
    assert len(operations) == 75
    cells = [name for line in text.splitlines()[2:] for name in line.split("|")[2:4]]
    listed = [name.strip() for cell in cells for name in cell.split(",") if name.strip() != "none"]
    assert sorted(listed) == sorted(operations)
    assert served_operations() <= set(operations)


def test_every_room_is_on_the_map() -> None:
    """Each package and module of streamd is named under "The rooms"."""
    members = [path for path in (ROOT / "streamd").iterdir() if not path.stem.startswith("_")]
    rooms = {path.stem for path in members if path.is_dir() or path.suffix == ".py"}
    named = set(re.findall(r"\w+", README.read_text().partition("## The rooms")[2]))
    assert rooms - named == set(), "name it in README.md, under The rooms"


def test_table_of_metrics_is_what_is_registered() -> None:
    """Made anew from the registered metrics, the table is the same.

    If it is not: ``python -m tests.support.metrics_table --write``.
    """
    assert METRICS_TABLE.written() == METRICS_TABLE.make()


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_documents_name_metrics_that_exist(document: Path) -> None:
    """A metric somebody is told to look at is one the daemon exports."""
    there = [name_of(one) for one in instruments()]
    named = set(re.findall(r"`(streamd_\w+\*?)", document.read_text()))
    assert [name for name in named if not fnmatch.filter(there, name)] == []


def test_readme_names_settings_that_exist() -> None:
    """Every STREAMD_SECTION__KEY of the README is a setting."""
    for name in set(re.findall(r"STREAMD_([A-Z_]+__[A-Z_]+)=", README.read_text())):
        section, _, key = name.lower().partition("__")
        assert key in type(getattr(Settings(), section)).model_fields, name
