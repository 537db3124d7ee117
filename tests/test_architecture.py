"""What the layout promises, checked on every module."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
MODULES = sorted(
    path
    for package in ("streamd", "processors")
    for path in (ROOT / package).rglob("*.py")
    if "migrations" not in path.parts
)
DOORS = {
    "av": ("streamd/ingest", "streamd/producer", "streamd/demo"),
    "onnxruntime": ("processors/models/runtime.py", "streamd/cli/doctor"),
    "boto3": ("streamd/aws.py", "streamd/demo", "streamd/cli"),
    "aiokafka": ("streamd/sinks/kafka", "streamd/cli/doctor"),
    "sqlalchemy": ("streamd/store", "streamd/gateway"),
}

LATE = {"onnxruntime", "alembic", "aiokafka", "av"}


def _tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


def _imports(tree: ast.Module) -> set[str]:
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.add(node.module.partition(".")[0])
    return found


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(ROOT)))
def test_module_says_its_job_and_stays_small(path: Path) -> None:
    """Every module has a docstring and at most 500 lines."""
    assert ast.get_docstring(_tree(path)), "no docstring"
    assert len(path.read_text().splitlines()) <= 500


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(ROOT)))
def test_foreign_library_has_one_door(path: Path) -> None:
    """Libraries with types of their own are imported only where the layout says."""
    name = str(path.relative_to(ROOT))
    for library in _imports(_tree(path)) & DOORS.keys():
        assert name.startswith(DOORS[library]), f"{library} has its door elsewhere"


@pytest.mark.parametrize(
    "room",
    [
        *("processors", "streamd/kvs", "streamd/gate", "streamd/records", "streamd/store"),
        *("streamd/aws.py", "streamd/roles.py"),
    ],
)
def test_blocking_and_pure_rooms_do_not_know_the_loop(room: str) -> None:
    """Only the joining rooms import asyncio."""
    place = ROOT / room
    files = [place] if place.is_file() else sorted(place.rglob("*.py"))
    assert [str(f) for f in files if "asyncio" in _imports(_tree(f))] == []


def test_idle_processes_hold_no_library_they_may_never_need() -> None:
    """Networks, migrations and Kafka are imported by whoever first needs them."""
    held = f"import sys, streamd.daemon; print({LATE!r} & sys.modules.keys())"
    out = subprocess.run([sys.executable, "-c", held], cwd=ROOT, capture_output=True, check=True)
    assert out.stdout.decode().strip() == "set()"
