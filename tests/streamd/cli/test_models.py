"""streamd models: list, pull from a mirror, verify."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from processors.models import packs
from processors.models.catalog import Pack, PackFile
from streamd.cli import app

CONTENT = b"a network" * 1000


@pytest.fixture(autouse=True)
def _catalog(monkeypatch: pytest.MonkeyPatch) -> None:
    """A catalog of one pack whose file is small."""
    file = PackFile(
        name="net.onnx",
        role="detector",
        sha256=hashlib.sha256(CONTENT).hexdigest(),
        size_bytes=len(CONTENT),
        licence="Apache-2.0",
        source="made by the test",
    )
    pack = Pack(
        name="tiny",
        kind="labels",
        version="1.0",
        family="nanodet",
        title="A tiny pack",
        licence="Apache-2.0",
        files=(file,),
        labels=("PERSON", "PET"),
    )
    whole = packs.catalog()
    faces = next(p for p in whole if p.name == "faces")
    monkeypatch.setattr(packs, "catalog", lambda: (pack, faces))
    monkeypatch.setattr(
        packs, "find_pack", lambda name: {"tiny": pack, "faces": faces}.get(name) or _find(name)
    )


_find = packs.find_pack


def models(tmp_path: Path, *arguments: str) -> Result:
    command = ["models", *arguments, "--data-dir", str(tmp_path / "data")]
    return CliRunner().invoke(app, command, env={"COLUMNS": "160"})


def mirror(tmp_path: Path, content: bytes = CONTENT) -> str:
    folder = tmp_path / "mirror"
    folder.mkdir()
    (folder / "net.onnx").write_bytes(content)
    return str(folder)


def test_list_shows_state_labels_licence_and_next_command(tmp_path: Path) -> None:
    """A pack that is not there says how to get it."""
    result = models(tmp_path, "list")
    assert result.exit_code == 0, result.output
    line = next(x for x in result.output.splitlines() if "tiny " in x)
    assert "PERSON, PET" in line
    assert "missing" in line
    assert "Apache-2.0" in line
    assert "next: streamd models pull tiny --mirror DIR" in result.output
    assert "▶ faces" in result.output


def test_pull_then_list_and_verify(tmp_path: Path) -> None:
    """A pulled pack is ready, in use and intact."""
    source = mirror(tmp_path)
    result = models(tmp_path, "pull", "tiny", "--mirror", source)
    assert result.exit_code == 0, result.output
    assert "tiny is ready" in result.output
    assert (tmp_path / "data" / "models" / "net.onnx").read_bytes() == CONTENT
    assert "▶ tiny" in models(tmp_path, "list").output
    verified = models(tmp_path, "verify")
    assert verified.exit_code == 0
    assert "✓ tiny: 1 files as they should be" in verified.output


def test_pull_refuses_other_content(tmp_path: Path) -> None:
    """A file with another hash is an error of one line, and is not kept."""
    result = models(tmp_path, "pull", "tiny", "--mirror", mirror(tmp_path, b"x" * len(CONTENT)))
    assert result.exit_code == 1
    assert "sha256" in result.output
    assert not (tmp_path / "data" / "models" / "net.onnx").exists()


def test_pull_of_an_unknown_pack(tmp_path: Path) -> None:
    """An unknown name exits 2 and says where names are listed."""
    result = models(tmp_path, "pull", "nope")
    assert result.exit_code == 2
    assert "next: streamd models list" in result.output


def test_verify_finds_damage(tmp_path: Path) -> None:
    """A changed file exits 1 and says the command that mends it."""
    models(tmp_path, "pull", "tiny", "--mirror", mirror(tmp_path))
    (tmp_path / "data" / "models" / "net.onnx").write_bytes(b"y" * len(CONTENT))
    result = models(tmp_path, "verify")
    assert result.exit_code == 1
    assert "✗ tiny: damaged: net.onnx" in result.output
    assert "next: streamd models pull tiny" in result.output


def test_verify_of_a_named_pack_wants_it_there(tmp_path: Path) -> None:
    """Without a name absent packs are passed over; with it they are a failure."""
    assert models(tmp_path, "verify").exit_code == 0
    assert models(tmp_path, "verify", "tiny").exit_code == 1
