"""How the commands print: one console each for results and for what went wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["error_console", "megabytes", "out_console", "show_error"]

PLAIN_WIDTH = 100
"""Columns where there is no terminal to ask."""


def out_console() -> Console:
    """Return a console on standard output."""
    return _console(stderr=False)


def error_console() -> Console:
    """Return a console on standard error."""
    return _console(stderr=True)


def show_error(message: str, *, hint: str | None = None) -> None:
    """Say what is wrong in one line, and what to do in another."""
    console = error_console()
    console.print("[bold red]error:[/]", end=" ")
    console.print(message, markup=False, soft_wrap=True)
    if hint:
        console.print("[bold] next:[/]", end=" ")
        console.print(hint, markup=False, soft_wrap=True)


def megabytes(size_bytes: int) -> str:
    """Return a size for people, such as ``3.9 MB``."""
    if size_bytes < 1_000_000:
        return f"{size_bytes / 1000:.0f} kB"
    if size_bytes < 1_000_000_000:
        return f"{size_bytes / 1_000_000:.1f} MB"
    return f"{size_bytes / 1_000_000_000:.1f} GB"


def _console(*, stderr: bool) -> Console:
    from rich.console import Console  # noqa: PLC0415 - keeps `streamd --help` fast

    console = Console(stderr=stderr, highlight=False)
    if not console.is_terminal:
        # A log file has no width; rich would fold lines at 80.
        console = Console(stderr=stderr, highlight=False, width=max(console.width, PLAIN_WIDTH))
    return console
