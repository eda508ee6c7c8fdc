"""The commands: one for each process, `dev` for all of them in one, and what is run once."""

# Every command imports what it runs when it runs it: a start of `dev` has three seconds in all, and
# `carillon --help` should not load a web server.
# ruff: noqa: PLC0415  imports inside the commands, as said above

from __future__ import annotations

import logging
import sys
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from api.cli.banner import banner
from api.cli.dead_letters import dead_letters
from api.cli.documents import documents
from api.cli.running import run
from api.cli.schema import schema
from api.cli.settings import BAD_SETTINGS, read_embedded_settings, read_service_settings
from api.cli.tokens import tokens
from api.cli.top import top
from api.listening import CannotListen, address_of, listen, listens_to_strangers, where

if TYPE_CHECKING:
    from socket import socket

    from infra.settings import Settings

app = typer.Typer(
    help="Carillon, a task scheduler with a GraphQL face.",
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

keys = typer.Typer(help="The keys that encrypt what is secret at rest.", no_args_is_help=True)
app.add_typer(keys, name="keys")
app.add_typer(tokens, name="tokens")
app.add_typer(documents, name="documents")
app.add_typer(schema, name="schema")
app.add_typer(dead_letters, name="dead-letters")
app.command()(top)


def _say_version(*, asked: bool) -> None:
    if asked:
        from infra.version import version

        typer.echo(f"carillon {version()}")
        raise typer.Exit


@app.callback()
def _main(
    _: Annotated[
        bool,
        typer.Option("--version", callback=_say_version, is_eager=True, help="Say which this is."),
    ] = False,
) -> None: ...


Host = Annotated[str, typer.Option(help="Where to listen; what others can reach needs authentication.")]
Port = Annotated[int, typer.Option(help="The port to listen at; 0 takes a free one.", min=0, max=65_535)]


@app.command()
def dev(host: Host = "127.0.0.1", port: Port = 8000) -> None:
    """Everything in one process, with a PostgreSQL of its own."""
    settings = read_embedded_settings()
    if "log_format" not in settings.model_fields_set:
        settings = settings.model_copy(update={"log_format": "console"})
    listener = _listen(settings, host, port)
    from api.embedded import serve_everything
    from jobs.process import leave

    def announce() -> None:
        typer.echo(banner(address_of(listener), settings.home))

    run(settings, serve_everything(settings, listener, announce), leave)


@app.command()
def api(host: Host = "127.0.0.1", port: Port = 8000) -> None:
    """GraphQL over HTTP and websockets, health and metrics."""
    settings = read_service_settings()
    listener = _listen(settings, host, port)
    from api.serving import serve

    def announce() -> None:
        logging.getLogger(__name__).info("api listens on %s", where(listener))

    run(settings, serve(settings, listener, announce), sys.exit)


@app.command()
def worker() -> None:
    """Runs tasks."""
    _run_process("worker")


@app.command()
def scheduler() -> None:
    """Hands due tasks to the workers, and rescues what was lost."""
    _run_process("scheduler")


@app.command()
def relay() -> None:
    """Publishes what happened to tasks."""
    _run_process("relay")


@app.command()
def notifier() -> None:
    """Turns what happened into notifications."""
    _run_process("notifier")


@app.command()
def migrate() -> None:
    """Brings the database to the schema of this version."""
    settings = read_service_settings("database_url")
    from infra.bootstrap import migrate_database

    async def bring_up_to_date() -> None:
        await migrate_database(settings)
        typer.echo("The database is up to date.")

    run(settings, bring_up_to_date(), sys.exit)


@keys.command()
def new(
    id: Annotated[str, typer.Argument(help="What to call it: letters, digits, hyphens and underscores.")],
) -> None:
    """Prints a new key, to put first in CARILLON_ENCRYPTION_KEYS."""
    from infra.encryption.keys import ID, new_key

    if not ID.fullmatch(id):
        raise typer.BadParameter(
            "an id is 1 to 32 letters, digits, hyphens and underscores, a letter or digit first"
        )
    typer.echo(new_key(id))


@keys.command()
def rotate() -> None:
    """Encrypts everything with the first key, so that the others can be dropped."""
    settings = read_service_settings("database_url")
    from infra.bootstrap import CannotStart, reencrypt_database

    async def reencrypt() -> None:
        done = await reencrypt_database(settings)
        typer.echo(f"Encrypted anew: {done.changed}.")
        if done.unreadable:
            reasons = "; ".join(sorted(done.reasons))
            raise CannotStart(f"Not decrypted, and left as they are: {done.unreadable} ({reasons}).")

    run(settings, reencrypt(), sys.exit)


def _run_process(part: str) -> NoReturn:
    settings = read_service_settings()
    from jobs.process import Part, run_process

    run_process(settings, Part(part))


def _listen(settings: Settings, host: str, port: int) -> socket:
    if settings.authentication == "none" and listens_to_strangers(host):
        typer.echo(
            f"Without authentication only this machine may connect, and others reach {host}: set "
            "CARILLON_AUTHENTICATION=required (see docs/authentication.md), or listen at 127.0.0.1.",
            err=True,
        )
        raise typer.Exit(BAD_SETTINGS)
    try:
        return listen(host, port)
    except CannotListen as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from error
