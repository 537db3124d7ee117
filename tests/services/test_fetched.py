"""A program is made once, whole or not at all, and a failure is told without another wait."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.services.fetched import ServiceUnavailableError, fetched, tell


def refuse(path: Path) -> None:
    path.write_text("half")
    raise ServiceUnavailableError("no network")


def test_what_is_there_is_not_made_again(tmp_path: Path) -> None:
    """A file, and the same for a folder."""
    made: list[Path] = []

    def make(path: Path) -> None:
        made.append(path)
        path.mkdir()
        (path / "a.jar").touch()

    target = tmp_path / "cache" / "jars"
    for _ in range(2):
        assert (fetched(target, make, tools=("sh",)) / "a.jar").exists()
    assert len(made) == 1
    assert [path.name for path in target.parent.iterdir()] == ["jars"]


def test_a_failure_spares_the_next_ones_the_wait(tmp_path: Path) -> None:
    """It says the same; who insists tries again. Nothing half made is left."""
    target = tmp_path / "server"
    with pytest.raises(ServiceUnavailableError, match="no network"):
        fetched(target, refuse, tools=())
    with pytest.raises(ServiceUnavailableError, match="no network"):
        fetched(target, Path.touch, tools=())
    assert [path.name for path in tmp_path.iterdir()] == ["server.failed"]
    assert fetched(target, Path.touch, tools=(), insists=True) == target


def test_a_missing_tool_is_named(tmp_path: Path) -> None:
    """Nothing is tried without it."""
    with pytest.raises(ServiceUnavailableError, match="server needs no-such-tool"):
        fetched(tmp_path / "server", Path.touch, tools=("no-such-tool",))


def test_commands_say_how_it_went(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A failure is not one of the command: the tests are skipped then."""
    assert tell(lambda: fetched(tmp_path / "server", refuse, tools=())) == 0
    assert tell(lambda: fetched(tmp_path / "other", Path.touch, tools=())) == 0
    assert capsys.readouterr().out.splitlines() == ["no network", "other is ready"]
