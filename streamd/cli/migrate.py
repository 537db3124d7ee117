"""``streamd migrate``: the tables of the store, before the daemons of a new version start."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

__all__ = ["migrate"]


def migrate(
    *,
    config: Annotated[Path | None, typer.Option("--config", "-c", help="Settings file.")] = None,
    data_dir: Annotated[
        Path | None, typer.Option(help="As of streamd serve. [default: ./streamd-data]")
    ] = None,
) -> None:
    """Bring the store's tables to this version.

    streamd serve does the same when it starts; on its own it tells a deployment whether the store
    can be migrated before any daemon is replaced. Several may run at once.
    """
    from streamd.cli.output import out_console  # noqa: PLC0415
    from streamd.cli.serve import serve_overrides  # noqa: PLC0415
    from streamd.clock import SystemClock  # noqa: PLC0415
    from streamd.config import load_settings  # noqa: PLC0415
    from streamd.store import Store  # noqa: PLC0415
    from streamd.store.database import newest_version  # noqa: PLC0415

    # Nothing is served: who may call does not matter, nor where.
    settings = load_settings(config, serve_overrides(data_dir, None, insecure=True))
    store = Store(settings.store_url, clock=SystemClock())
    try:
        before = store.migrate()
    finally:
        store.close()
    after = newest_version()
    done = f"is at version {after}" if before == after else f"migrated: {before or 'new'} → {after}"
    out_console().print(f"✓ store {done}", markup=False, soft_wrap=True)
