"""``streamd health``: does the daemon of these settings answer; for health checks of containers."""

from __future__ import annotations

from typing import Annotated

import typer

from streamd.cli.options import ConfigFile

__all__ = ["health"]


def health(
    *,
    config: ConfigFile = None,
    listen: Annotated[
        str | None, typer.Option(metavar="HOST:PORT", help="As of streamd serve.")
    ] = None,
    ready: Annotated[
        bool, typer.Option("--ready", help="Ask whether it can work, too: store and workers.")
    ] = False,
    timeout: Annotated[float, typer.Option(help="Seconds to wait for the answer.", min=0.1)] = 4.0,
) -> None:
    """Ask the daemon of these settings, on this machine, whether it is well.

    Exits 0 if it is, 1 if not. Its certificate is not checked: it is for another name.
    """
    from streamd.cli.probe import ask  # noqa: PLC0415
    from streamd.cli.serve import serve_overrides  # noqa: PLC0415
    from streamd.config import load_settings  # noqa: PLC0415

    settings = load_settings(config, serve_overrides(None, listen))
    is_well, answer = ask(
        settings.server, "/readyz" if ready else "/healthz", timeout_seconds=timeout
    )
    typer.echo(answer, err=not is_well)
    raise typer.Exit(0 if is_well else 1)
