"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

__all__ = ["ConfigFile"]

ConfigFile = Annotated[
    Path | None,
    typer.Option(
        "--config",
        "-c",
        envvar="STREAMD_CONFIG",
        help="Settings file; deploy/streamd.toml explains it.",
    ),
]
"""``--config FILE``, or the variable, by which all commands in a container agree on one file."""
