"""The benchmark of the face search finds the faces it asks for."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.bench import vectors


def test_every_way_finds_the_enrolled(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Rows for both sizes, each with recall 1 and a cost."""
    output = tmp_path / "vectors.json"
    sizes = ["--faces", "300", "20000", "--dim", "32"]
    vectors.main([*sizes, "--repeats", "1", "--output", str(output)])
    rows = json.loads(output.read_text())["vectors"]
    assert {(row["row"], row["faces"]) for row in rows} >= {
        ("streamd", 300),
        ("numpy", 300),
        ("streamd", 20000),
        ("numpy", 20000),
    }
    assert {row["recall_at_1"] for row in rows} == {1.0}
    assert all(row["single_ms"] > 0 for row in rows)
    assert "recall@1" in capsys.readouterr().out
