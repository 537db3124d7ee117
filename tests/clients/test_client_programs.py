"""How clients are installed, and what a machine without their tools or their index is told."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support import client_programs
from tests.support.client_programs import (
    Client,
    ClientUnavailableError,
    install,
    installed,
    run_steps,
)


@pytest.fixture(autouse=True)
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A client's source folder, and an empty place to build it in."""
    source = tmp_path / "sources" / "client"
    source.mkdir(parents=True)
    (source / "package").write_text("1")
    monkeypatch.setattr(client_programs, "SOURCES", tmp_path / "sources")
    monkeypatch.setattr(client_programs, "TARGET", tmp_path / "built")
    return tmp_path


def client(*build: str, tool: str = "sh") -> Client:
    return Client(name="client", tools=(tool,), build=build)


def test_a_client_is_built_once(folders: Path) -> None:
    """The second time nothing is run; a changed source is built anew in place of the old."""
    first = install(client("sh", "-c", "touch built"))
    assert sorted(path.name for path in first.iterdir()) == ["built", "package"]
    assert install(client("false")) == first
    (folders / "sources" / "client" / "package").write_text("2")
    second = install(client("sh", "-c", "touch rebuilt"))
    assert (second / "rebuilt").exists()
    assert not first.exists()


def test_a_tool_that_is_not_there_is_named() -> None:
    """Its tests are skipped with that reason."""
    with pytest.raises(pytest.skip.Exception, match="needs no-such-tool, not on PATH"):
        installed(client("true", tool="no-such-tool"))


def test_an_index_out_of_reach_is_asked_once(folders: Path) -> None:
    """The failure stays for the other tests of the run, and leaves nothing half built."""
    with pytest.raises(ClientUnavailableError, match=r"sh answered 7, see .*client\.log"):
        install(client("sh", "-c", "exit 7"))
    with pytest.raises(ClientUnavailableError, match="sh answered 7"):
        install(client("sh", "-c", "touch built"))
    assert [path.suffix for path in (folders / "built").iterdir() if path.is_dir()] == []


def test_an_index_that_hangs_has_a_time_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """After it the client is not installed."""
    monkeypatch.setattr(client_programs, "INSTALL_SECONDS", 0.05)
    with pytest.raises(ClientUnavailableError, match="was not installed within 0 s"):
        install(client("sleep", "10"))


def test_a_program_that_fails_tells_how_far_it_came() -> None:
    """Its steps and its stderr are in the assertion."""
    script = """printf '{"step": "one", "a": 1}\\n'; echo broken >&2; exit 3"""
    with pytest.raises(AssertionError, match=r"(?s)ended with 3 after the steps \['one'\].*broken"):
        run_steps(["sh", "-c", script], env={})
