"""``streamd doctor``: is everything in order, and if not, what to do."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from streamd.cli.options import ConfigFile

if TYPE_CHECKING:
    from rich.text import Text

    from streamd.cli.findings import Finding

__all__ = ["doctor"]


def doctor(
    *,
    config: ConfigFile = None,
    data_dir: Annotated[
        Path | None, typer.Option(help="As of streamd serve. [default: ./streamd-data]")
    ] = None,
) -> None:
    """Check settings, models, outputs, endpoints and clock, and say the next step.

    Exits 1 if something is broken. A daemon that does not run is no fault.
    """
    from streamd.cli.checks import CHECKS  # noqa: PLC0415
    from streamd.cli.findings import Finding, Verdict, run_check  # noqa: PLC0415
    from streamd.cli.output import out_console  # noqa: PLC0415
    from streamd.cli.serve import serve_overrides  # noqa: PLC0415
    from streamd.config import load_settings  # noqa: PLC0415
    from streamd.errors import ConfigError  # noqa: PLC0415

    # What goes wrong is a finding here, not a log line.
    logging.getLogger().addHandler(logging.NullHandler())
    console = out_console()
    try:
        settings = load_settings(config, serve_overrides(data_dir, None))
    except ConfigError as error:
        step = "deploy/streamd.toml explains every setting"
        finding = Finding(
            verdict=Verdict.BROKEN, title="settings", detail=str(error), next_step=step
        )
        console.print(_line(finding), soft_wrap=True)
        raise typer.Exit(1) from None
    where = "defaults and environment" if config is None else str(config)
    good = Finding(verdict=Verdict.GOOD, title="settings", detail=where)
    console.print(_line(good), soft_wrap=True)
    broken = 0
    for check in CHECKS:
        for finding in run_check(check, settings):
            broken += finding.verdict is Verdict.BROKEN
            console.print(_line(finding), soft_wrap=True)
    if broken:
        console.print(f"\n{broken} broken", style="bold red")
        raise typer.Exit(1)
    console.print("\nnothing is broken", style="bold green")


def _line(finding: Finding) -> Text:
    from rich.text import Text  # noqa: PLC0415

    from streamd.cli.findings import Verdict  # noqa: PLC0415

    style = {Verdict.GOOD: "green", Verdict.NOTABLE: "yellow", Verdict.BROKEN: "bold red"}
    text = Text(f"{finding.verdict.value} ", style=style[finding.verdict])
    text.append(f"{finding.title:<16} ", style="bold default")
    text.append(finding.detail, style="not bold default")
    if finding.next_step:
        text.append(f"\n  {'':<16} next: {finding.next_step}", style="not bold default")
    return text
