"""The command for the GraphQL schema, for those who make clients of it."""

# As in main: every command imports what it runs when it runs it.
# ruff: noqa: PLC0415  imports inside the commands, as said above

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

schema = typer.Typer(help="The GraphQL schema of this version.", no_args_is_help=True)


@schema.callback()
def _alone() -> None:
    """A group of one: without it Typer takes the only command for the group."""


@schema.command()
def export(
    output: Annotated[
        Path | None, typer.Option(help="The file to write it to; printed when not given.", dir_okay=False)
    ] = None,
) -> None:
    """Writes the schema as SDL, with its descriptions."""
    from schema.export import sdl

    if output is None:
        typer.echo(sdl(), nl=False)
        return
    try:
        output.write_text(sdl(), encoding="utf-8")
    except OSError as error:
        typer.echo(f"{output} cannot be written: {error.strerror}", err=True)
        raise typer.Exit(1) from error
