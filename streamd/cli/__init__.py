"""The ``streamd`` command. Modules of commands import what they need when they run."""

from __future__ import annotations

import sys

import typer

from streamd import __version__
from streamd.cli import demo, doctor, health, migrate, models, put_media, serve
from streamd.cli.output import show_error

__all__ = ["app", "main"]

app = typer.Typer(
    name="streamd",
    help="A self-hosted, wire-compatible Amazon Rekognition Streaming Video.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("serve")(serve.serve)
app.command("put-media")(put_media.put_media)
app.add_typer(models.app, name="models")
app.command("migrate")(migrate.migrate)
app.command("doctor")(doctor.doctor)
app.command("health")(health.health)
app.command("demo")(demo.demo)


def _show_version(wanted: bool) -> None:  # noqa: FBT001 - typer calls it so
    if wanted:
        typer.echo(f"streamd {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    *,
    version: bool = typer.Option(
        False,  # noqa: FBT003 - typer's way
        "--version",
        callback=_show_version,
        is_eager=True,
        help="Show the version and exit.",
    ),
) -> None:
    del version


def main() -> None:
    """Run the command line; errors that have a name end with one line, not a traceback."""
    from streamd.errors import ConfigError, StreamdError  # noqa: PLC0415 - see the module

    try:
        app()
    except ConfigError as error:
        show_error(str(error), hint="deploy/streamd.toml explains every setting")
        sys.exit(2)
    except StreamdError as error:
        show_error(str(error), hint=getattr(error, "hint", None))
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)
