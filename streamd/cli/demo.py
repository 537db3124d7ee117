"""``streamd demo``: the main job on a sample camera, or on the user's own video."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

__all__ = ["demo"]


def demo(
    *,
    source: Annotated[
        str | None,
        typer.Option(metavar="FILE|URL", help="Your own video. [default: a sample camera]"),
    ] = None,
    face: Annotated[
        Path | None, typer.Option(metavar="PHOTO", help="A photograph of someone in it.")
    ] = None,
    name: Annotated[
        str | None, typer.Option(help="Who that is. [default: the photograph's name]")
    ] = None,
    models: Annotated[
        str | None,
        typer.Option(metavar="DIR|URL", help="Mirror of model packs: adds PET to the labels."),
    ] = None,
    output: Annotated[Path, typer.Option(metavar="DIR", help="Where annotated frames go.")] = Path(
        "demo-output"
    ),
    keep: Annotated[bool, typer.Option("--keep", help="Keep the data directory.")] = False,
) -> None:
    """Show it all: a camera, a collection, a face search and a label processor.

    Starts its own daemon on a free port and a temporary directory, and removes both.
    """
    import logging  # noqa: PLC0415

    from processors.errors import ModelError  # noqa: PLC0415
    from streamd.cli.output import out_console  # noqa: PLC0415
    from streamd.demo.errors import DemoError  # noqa: PLC0415
    from streamd.demo.screen import Screen  # noqa: PLC0415
    from streamd.demo.story import DemoOptions, Story  # noqa: PLC0415

    # A connection that breaks while the demo is stopped is no news.
    logging.getLogger("asyncio").setLevel(logging.CRITICAL)
    options = DemoOptions(
        source=source, face=face, name=name, models=models, output=output, keep=keep
    )
    try:
        Story(options, Screen(out_console())).tell()
    except ModelError as error:
        raise DemoError(str(error)) from error
