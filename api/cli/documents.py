"""The commands for published documents."""

# As in main: every command imports what it runs when it runs it.
# ruff: noqa: PLC0415  imports inside the commands, as said above

from __future__ import annotations

import json
import sys
from collections.abc import Awaitable, Callable
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from api.cli.running import run
from api.cli.settings import read_command_settings

if TYPE_CHECKING:
    from domain.documents.ports import Documents
    from infra.settings import Settings

documents = typer.Typer(help="The documents that clients name by their hashes.", no_args_is_help=True)


@documents.command()
def publish(
    manifests: Annotated[
        list[Path], typer.Argument(help="As Relay, Apollo or GraphQL Codegen write them.", dir_okay=False)
    ],
) -> None:
    """Publishes all the documents of manifests, or says why none of them is."""
    read = [_read(path) for path in manifests]
    settings = read_command_settings("database_url")

    async def add(published: Documents) -> None:
        from api.main import limits_of
        from domain.documents.manifests import read_manifest
        from schema.build import build_schema
        from schema.documents import Documents as Checked
        from schema.publishing import publications

        texts = [text for manifest in read for text in read_manifest(manifest)]
        checked = publications(Checked(build_schema()._schema, limits_of(settings)), texts)
        added = await published.publish(checked)
        typer.echo(f"Published: {added} of {len(checked)}; the others were before.")

    _with_documents(settings, add)


@documents.command(name="list")
def list_() -> None:
    """Shows the documents there are, oldest first."""

    async def show(published: Documents) -> None:
        typer.echo("\t".join(("id", "kind", "name", "published", "retired", "uses", "used")))
        for each in await published.all():
            instants = (each.published_at, each.retired_at, each.last_used_at)
            since, until, used = map(_written, instants)
            columns = (f"sha256:{each.hash}", each.kind, each.name or "-", since, until, str(each.uses), used)
            typer.echo("\t".join(columns))

    _with_documents(read_command_settings("database_url"), show)


@documents.command()
def retire(ids: Annotated[list[str], typer.Argument(help="As the list has them.")]) -> None:
    """Has documents executed no more, within about a second."""

    async def end(published: Documents) -> None:
        from domain.documents.model import hash_in

        for id in ids:
            retired = await published.retire(hash_in(id) or id)
            typer.echo(f"Retired: sha256:{retired.hash}, {retired.name or '-'}.")

    _with_documents(read_command_settings("database_url"), end)


def _read(path: Path) -> object:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        typer.echo(f"{path} cannot be read: {reason}", err=True)
        raise typer.Exit(1) from error


def _with_documents(settings: Settings, use: Callable[[Documents], Awaitable[None]]) -> NoReturn:
    run(settings, _used(settings, use), sys.exit)


async def _used(settings: Settings, use: Callable[[Documents], Awaitable[None]]) -> None:
    from domain.errors import Refusal, Refusals
    from infra.bootstrap import CannotStart, open_documents

    try:
        async with open_documents(settings) as published:
            await use(published)
    except Refusals as refused:
        raise CannotStart("\n".join(map(_said, refused.refusals))) from refused
    except Refusal as refusal:
        raise CannotStart(_said(refusal)) from refusal


def _said(refusal: Exception) -> str:
    path: tuple[str, ...] = getattr(refusal, "path", ())
    return f"{path[0]}: {refusal}" if path else str(refusal)


def _written(instant: datetime | None) -> str:
    return "-" if instant is None else instant.strftime("%Y-%m-%dT%H:%M:%SZ")
