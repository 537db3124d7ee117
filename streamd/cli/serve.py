"""``streamd serve``: settings, logs and the metrics directory, then the daemon."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from typing import Annotated, Any

import typer

from streamd.cli.options import ConfigFile

__all__ = ["serve"]

METRICS_ENV = "PROMETHEUS_MULTIPROC_DIR"


def serve(
    *,
    config: ConfigFile = None,
    data_dir: Annotated[
        Path | None, typer.Option(help="Where everything is kept. [default: ./streamd-data]")
    ] = None,
    listen: Annotated[
        str | None, typer.Option(metavar="HOST:PORT", help="[default: 127.0.0.1:8700]")
    ] = None,
    insecure: Annotated[
        bool, typer.Option("--insecure", help="Allow no authentication on an open address.")
    ] = False,
) -> None:
    """Run the daemon: Rekognition API, embedded Kinesis Video and the workers.

    Ready when /readyz answers 200. SIGTERM drains and exits 0.
    """
    from streamd import logs  # noqa: PLC0415
    from streamd.config import load_settings  # noqa: PLC0415

    settings = load_settings(config, serve_overrides(data_dir, listen, insecure=insecure))
    logs.configure(settings.server.log_format, settings.server.log_level)
    # prometheus_client reads the variable when it is imported, by us and by every worker.
    metrics_dir = tempfile.mkdtemp(prefix="streamd-metrics-")
    os.environ[METRICS_ENV] = metrics_dir
    try:
        from streamd import daemon  # noqa: PLC0415

        code = daemon.run(settings)
    finally:
        shutil.rmtree(metrics_dir, ignore_errors=True)
    raise typer.Exit(code)


def serve_overrides(
    data_dir: Path | None, listen: str | None, *, insecure: bool = False
) -> dict[str, dict[str, Any]]:
    """Return the settings that options of the command line stand for."""
    server: dict[str, Any] = {}
    if data_dir is not None:
        server["data_dir"] = data_dir
    if listen is not None:
        server["listen"] = listen
    return {"server": server, "auth": {"insecure": True} if insecure else {}}
