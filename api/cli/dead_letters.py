"""The commands for dead letters."""

# As in main: every command imports what it runs when it runs it.
# ruff: noqa: PLC0415  imports inside the commands, as said above

from __future__ import annotations

import json
import sys
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from api.cli.printable import printable
from api.cli.running import run
from api.cli.settings import BAD_SETTINGS, read_service_settings

if TYPE_CHECKING:
    from domain.dead_letters.model import Chosen, DeadLetter
    from domain.dead_letters.service import DeadLetterService
    from infra.settings import Settings

dead_letters = typer.Typer(
    help="What was given up: the failed tasks of a tenant, and the events of all that could not be handled.",
    no_args_is_help=True,
)

Tenant = Annotated[str | None, typer.Option(help="Whose failed tasks; CARILLON_TENANT when not given.")]
Ids = Annotated[list[str] | None, typer.Argument(help="As the list has them.")]
Of = Annotated[str | None, typer.Option(help="All of this kind: task, outbox, or a consumer such as notifier.")]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask: they are gone for good.")]


@dead_letters.command(name="list")
def list_(tenant: Tenant = None) -> None:
    """Shows them, of each kind the oldest 1,000; they stay where they are."""

    async def tell(service: DeadLetterService) -> None:
        typer.echo("\t".join(("id", "tenant", "at", "what")))
        for letter in await service.listed():
            typer.echo("\t".join(map(printable, _columns(letter))))

    _with_service(tenant, tell)


@dead_letters.command()
def show(
    ids: Annotated[list[str], typer.Argument(help="As the list has them.")], tenant: Tenant = None
) -> None:
    """Shows all that is known of some, credentials left out."""

    async def tell(service: DeadLetterService) -> None:
        from infra.bootstrap import CannotStart

        found = {letter.id: letter for letter in await service.listed()}
        if missing := [id for id in ids if id not in found]:
            raise CannotStart(f"There is no dead letter {', '.join(missing)}.")
        for id in ids:
            typer.echo(_whole(found[id]))

    _with_service(tenant, tell)


@dead_letters.command()
def replay(ids: Ids = None, of: Of = None, tenant: Tenant = None) -> None:
    """Runs tasks again, and gives events back to be handled. What is none any more is passed over."""
    _refuse_unless_one(ids, of)

    async def give_back(service: DeadLetterService) -> None:
        typer.echo(f"Replayed: {await service.replay(_chosen(ids, of))}.")

    _with_service(tenant, give_back)


@dead_letters.command()
def purge(ids: Ids = None, of: Of = None, tenant: Tenant = None, yes: Yes = False) -> None:
    """Deletes them for good; asks first."""
    _refuse_unless_one(ids, of)
    if not yes:
        which = f"all of {of}" if of else ", ".join(ids or [])
        typer.confirm(f"Delete {printable(which)} for good?", abort=True, err=True)

    async def delete(service: DeadLetterService) -> None:
        typer.echo(f"Purged: {await service.purge(_chosen(ids, of))}.")

    _with_service(tenant, delete)


def _refuse_unless_one(ids: list[str] | None, of: str | None) -> None:
    if bool(ids) == bool(of):
        typer.echo("Say which: either ids, or --of a kind.", err=True)
        raise typer.Exit(BAD_SETTINGS)


def _chosen(ids: list[str] | None, of: str | None) -> dict[str, Chosen]:
    from domain.dead_letters.model import Chosen, named

    return named(ids or []) if of is None else {of: Chosen()}


def _with_service(tenant: str | None, use: Callable[[DeadLetterService], Awaitable[None]]) -> NoReturn:
    settings = read_service_settings()
    run(settings, _used(settings, tenant or settings.tenant, use), sys.exit)


async def _used(settings: Settings, tenant: str, use: Callable[[DeadLetterService], Awaitable[None]]) -> None:
    from domain.dead_letters.failed_tasks import KIND, FailedTasks
    from domain.dead_letters.service import DeadLetterService
    from domain.errors import Unavailable
    from infra.bootstrap import CannotStart, open_services

    async with open_services(settings) as services:
        kinds = {KIND: FailedTasks(services.tasks, tenant), **services.dead_letters}
        try:
            await use(DeadLetterService(kinds, services.count_settled))
        except Unavailable as fault:
            raise CannotStart(f"{fault}.") from fault


def _columns(letter: DeadLetter) -> tuple[str, ...]:
    at = "-" if letter.at is None else letter.at.strftime("%Y-%m-%dT%H:%M:%SZ")
    return letter.id, letter.tenant or "-", at, letter.what


def _whole(letter: DeadLetter) -> str:
    id, tenant, at, what = _columns(letter)
    told = {"id": id, "tenant": tenant, "at": at, "what": what, "body": letter.content}
    return json.dumps(told, indent=2)
