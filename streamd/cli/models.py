"""``streamd models``: which packs there are, fetching them, checking them."""

from __future__ import annotations

import contextlib
import functools
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from rich.progress import Progress, ProgressColumn, TaskID
    from rich.text import Text

    from processors.models.packs import Pack, PackFile, PackState
    from streamd.config import Settings

__all__ = ["app"]

ConfigOption = Annotated[Path | None, typer.Option("--config", "-c", help="Settings file.")]
DataDirOption = Annotated[
    Path | None, typer.Option(help="Where packs lie, in models/. [default: ./streamd-data]")
]

app = typer.Typer(help="Model packs: list, pull, verify.", no_args_is_help=True)


@app.command("list")
def list_packs(*, config: ConfigOption = None, data_dir: DataDirOption = None) -> None:
    """Show every pack: state, what it can tell, licence, and the next command."""
    from processors.models.packs import catalog, pack_state  # noqa: PLC0415
    from streamd.cli.output import out_console  # noqa: PLC0415

    settings = _settings(config, data_dir)
    console = out_console()
    used = _used(settings)
    head = f"  {'pack':<24}{'tells':<23}{'state':<15}{'size':<9}licence"
    console.print(head, style="bold", markup=False, soft_wrap=True)
    for pack in catalog():
        state = pack_state(pack, settings.models_dir)
        row = _row(pack, state, is_used=pack.name in used, mirror=settings.models.mirror)
        console.print(row, soft_wrap=True)
    note = f"▶ in use; packs lie in {settings.models_dir}"
    console.print(f"\n{note}", markup=False, soft_wrap=True)


@app.command("pull")
def pull(
    names: Annotated[list[str], typer.Argument(metavar="NAME...", help="Packs to fetch.")],
    *,
    mirror: Annotated[
        str | None,
        typer.Option(metavar="DIR|URL", help="Instead of models.mirror and official sources."),
    ] = None,
    config: ConfigOption = None,
    data_dir: DataDirOption = None,
) -> None:
    """Fetch packs: from the mirror where there is one, else from their official sources."""
    from rich.progress import Progress  # noqa: PLC0415

    from processors.models.packs import find_pack, pull_pack  # noqa: PLC0415
    from streamd.cli.output import out_console  # noqa: PLC0415

    settings = _settings(config, data_dir)
    console = out_console()
    with _pack_errors():
        packs = [find_pack(name) for name in names]
        for pack in packs:
            with Progress(*_columns(), console=console, disable=not console.is_terminal) as bar:
                tasks = {f.name: bar.add_task(f.name, total=f.size_bytes) for f in pack.files}
                pull_pack(
                    pack,
                    settings.models_dir,
                    mirror=mirror or settings.models.mirror,
                    progress=functools.partial(_advance, bar, tasks),
                )
            console.print(f"✓ {pack.name} is ready in {settings.models_dir}", soft_wrap=True)


@app.command("verify")
def verify(
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="[NAME...]", help="[default: every pack that is there]"),
    ] = None,
    *,
    config: ConfigOption = None,
    data_dir: DataDirOption = None,
) -> None:
    """Compare every file of packs with its sha256; exits 1 if one is damaged or missing."""
    from processors.models.packs import (  # noqa: PLC0415
        PackStatus,
        catalog,
        find_pack,
        pack_state,
    )
    from streamd.cli.output import out_console  # noqa: PLC0415

    settings = _settings(config, data_dir)
    console = out_console()
    with _pack_errors():
        packs = [find_pack(name) for name in names] if names else list(catalog())
    bad = 0
    for pack in packs:
        state = pack_state(pack, settings.models_dir)
        absent = state.status in {PackStatus.MISSING, PackStatus.NOT_INSTALLED}
        if absent and not names:
            continue
        bad += state.status is not PackStatus.READY
        console.print(_verdict(pack, state), markup=False, soft_wrap=True)
    raise typer.Exit(1 if bad else 0)


def _row(pack: Pack, state: PackState, *, is_used: bool, mirror: str | None) -> Text:
    """Return a pack's line, what it is below, and the next command where there is one."""
    from rich.text import Text  # noqa: PLC0415

    from processors.models.packs import PackStatus  # noqa: PLC0415
    from streamd.cli.output import megabytes  # noqa: PLC0415

    styles = {PackStatus.READY: "green", PackStatus.DAMAGED: "bold red"}
    size = sum(file.size_bytes or 0 for file in pack.files)
    tells = "faces" if pack.kind == "faces" else ", ".join(pack.labels)
    text = Text("▶ " if is_used else "  ", style="bold cyan")
    text.append(f"{pack.name:<24}", style="bold" if is_used else "not bold default")
    text.append(f"{tells:<23}", style="not bold default")
    text.append(f"{state.status.value:<15}", style=styles.get(state.status, "yellow"))
    text.append(f"{megabytes(size) if size else '':<9}{pack.licence}", style="not bold default")
    about = f"{pack.title}; {pack.note}" if pack.note else pack.title
    text.append(f"\n    {about}", style="dim not bold")
    if state.advice:
        # Some files have no official address.
        pulls = state.advice.startswith("streamd") and mirror is None
        where = " --mirror DIR" if pulls and any(f.url is None for f in pack.files) else ""
        text.append(f"\n    next: {state.advice}{where}", style="not bold default")
    return text


def _columns() -> Sequence[ProgressColumn]:
    from rich import progress  # noqa: PLC0415

    return (
        progress.TextColumn("{task.description}"),
        progress.BarColumn(),
        progress.DownloadColumn(),
        progress.TransferSpeedColumn(),
    )


def _advance(bar: Progress, tasks: Mapping[str, TaskID], file: PackFile, done: int) -> None:
    bar.update(tasks[file.name], completed=done)


@contextlib.contextmanager
def _pack_errors() -> Iterator[None]:
    from processors.errors import ModelError, PullError, UnknownPackError  # noqa: PLC0415
    from streamd.cli.output import show_error  # noqa: PLC0415

    try:
        yield
    except ModelError as error:
        unknown = isinstance(error, UnknownPackError)
        mirror = "streamd models pull NAME --mirror DIR" if isinstance(error, PullError) else None
        show_error(str(error), hint="streamd models list" if unknown else mirror)
        raise typer.Exit(2 if unknown else 1) from None


def _verdict(pack: Pack, state: PackState) -> str:
    from processors.models.packs import PackStatus  # noqa: PLC0415

    if state.status is PackStatus.READY:
        return f"✓ {pack.name}: {len(pack.files)} files as they should be"
    text = f"✗ {pack.name}: {state.status.value}: {', '.join(state.files)}"
    return f"{text}\n  next: {state.advice}" if state.advice else text


def _used(settings: Settings) -> Sequence[str]:
    from processors.models.packs import best_label_pack  # noqa: PLC0415

    labels = settings.models.labels
    chosen = best_label_pack(settings.models_dir).name if labels == "auto" else labels
    return settings.models.faces, chosen


def _settings(config: Path | None, data_dir: Path | None) -> Settings:
    from streamd.cli.serve import serve_overrides  # noqa: PLC0415
    from streamd.config import load_settings  # noqa: PLC0415

    # Nothing is served: who may call does not matter, nor where.
    return load_settings(config, serve_overrides(data_dir, None, insecure=True))
