"""How commands print, on a terminal and elsewhere."""

from __future__ import annotations

import pytest

from streamd.cli.output import megabytes, out_console, show_error


@pytest.mark.parametrize(
    ("size", "text"),
    [(0, "0 kB"), (1_499, "1 kB"), (3_900_000, "3.9 MB"), (2_500_000_000, "2.5 GB")],
)
def test_sizes_are_for_people(size: int, text: str) -> None:
    """In powers of ten, as disks and networks are sold."""
    assert megabytes(size) == text


def test_an_error_and_its_next_step_are_two_lines(capsys: pytest.CaptureFixture[str]) -> None:
    """On standard error, whatever characters they hold."""
    show_error("[auth] is missing", hint="add [auth] mode")
    show_error("alone")
    found = capsys.readouterr()
    assert found.out == ""
    assert found.err.splitlines() == [
        "error: [auth] is missing",
        " next: add [auth] mode",
        "error: alone",
    ]


def test_a_log_file_has_room(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where there is no terminal lines are folded at 100 columns, not at 80."""
    monkeypatch.delenv("COLUMNS", raising=False)
    console = out_console()
    assert console.width >= 100
    console.print("x" * 99)
    assert capsys.readouterr().out == "x" * 99 + "\n"
