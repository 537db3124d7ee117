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


PROVED_ELSEWHERE = {
    "streamd/cli/demo.py": (
        "options handed to the story, which is told there",
        "tests/streamd/demo/test_story.py",
    ),
    "streamd/daemon.py": ("the control process is tested as a process", "tests/e2e"),
    **{
        f"streamd/gateway/{name}.py": (
            "a part of the archive in S3, seen through it, over a real server and its faults",
            "tests/streamd/gateway/test_s3_archive.py",
        )
        for name in ("object_index", "object_listing", "object_sweep")
    },
    "streamd/gateway/file_writer.py": (
        "the writer of the files it is tested with",
        "tests/streamd/gateway/test_fragment_files.py",
    ),
    "streamd/gateway/gateway.py": (
        "the parts put together: every test that calls the gateway calls this one",
        "tests/support/gateway.py",
    ),
    "streamd/gateway/upload.py": (
        "uploads are told apart by what producers send and hear",
        "tests/streamd/gateway/test_put_media.py",
    ),
    "streamd/listener.py": (
        "connections are refused, given up and renewed on the daemon's own port",
        "tests/e2e/test_limits.py",
    ),
    "streamd/pipeline/session.py": (
        "a session is seen from outside: by what it delivers, and how it ends",
        "tests/e2e/test_endings.py",
    ),
    "streamd/worker.py": ("a worker is killed, suspended and starved as a process", "tests/faults"),
}
"""Modules without a partner among the tests: why, and where they are proved."""


def _says_something(path: Path) -> bool:
    """Whether a module does anything that a test of it alone could find wrong."""
    if path.name in ("__init__.py", "__main__.py", "errors.py"):
        return False
    functions = (
        node
        for node in ast.walk(_tree(path))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    )
    return any(len(node.body) > 1 or not ast.get_docstring(node) for node in functions)


def _partner_of(test: Path) -> Path | None:
    """Return the module a test file mirrors: of the longest name its own begins with."""
    folder = ROOT / test.parent.relative_to(ROOT / "tests")
    words = test.stem.removeprefix("test_").split("_")
    names = ("_".join(words[:count]) for count in range(len(words), 0, -1))
    return next((folder / f"{name}.py" for name in names if (folder / f"{name}.py").exists()), None)


def test_every_module_has_its_tests_beside_it() -> None:
    """``a/b.py`` is tested by ``tests/a/test_b.py`` or ``tests/a/test_b_….py``.

    Declarations alone need none. What can only be seen from outside is listed above.
    """
    tests = (
        path
        for room in ("streamd", "processors")
        for path in (ROOT / "tests" / room).rglob("test_*.py")
    )
    tested = {_partner_of(test) for test in tests}
    without = {str(m.relative_to(ROOT)) for m in MODULES if _says_something(m) and m not in tested}
    assert without == PROVED_ELSEWHERE.keys()


@pytest.mark.parametrize("module", PROVED_ELSEWHERE)
def test_what_is_proved_elsewhere_is_proved_somewhere(module: str) -> None:
    """The place that is named is there."""
    reason, place = PROVED_ELSEWHERE[module]
    assert reason
    assert (ROOT / place).exists()
