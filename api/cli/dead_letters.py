"""The commands for dead letters."""

# As in main: every command imports what it runs when it runs it.
# ruff: noqa: PLC0415  imports inside the commands, as said above

from __future__ import annotations

import json
import sys
from collections.abc import Awaitable, Callable, Collection
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from api.cli.printable import printable
from api.cli.running import run
from api.cli.settings import BAD_SETTINGS, read_command_settings

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
    """Shows them, kind by kind, the oldest first; they stay where they are."""

    async def tell(service: DeadLetterService) -> None:
        found = await service.all()
        typer.echo("\t".join(("id", "tenant", "at", "what", "title", "action")))
        for letter in found.items:
            typer.echo("\t".join(map(printable, (*_columns(letter), *_task_of(letter)))))
        if found.unseen:
            typer.echo(
                "There may be more than can be looked at: replay or purge some, and list again.", err=True
            )

    _with_service(tenant, tell)


@dead_letters.command()
def show(
    ids: Annotated[list[str], typer.Argument(help="As the list has them.")], tenant: Tenant = None
) -> None:
    """Shows all that is known of some, credentials left out."""

    async def tell(service: DeadLetterService) -> None:
        from infra.bootstrap import CannotStart

        found = {letter.id: letter for letter in (await service.all()).items}
        if missing := [id for id in ids if id not in found]:
            raise CannotStart(f"There is no dead letter {', '.join(missing)}.")
        for id in ids:
            typer.echo(_whole(found[id]))

    _with_service(tenant, tell)


@dead_letters.command()
def replay(ids: Ids = None, of: Of = None, tenant: Tenant = None) -> None:
    """Runs tasks again, and gives events back to be handled. What is none any more is passed over."""
    chosen = _chosen(ids, of)

    async def give_back(service: DeadLetterService) -> None:
        typer.echo(f"Replayed: {await service.replay(chosen)}.")

    _with_service(tenant, give_back, chosen)


@dead_letters.command()
def purge(ids: Ids = None, of: Of = None, tenant: Tenant = None, yes: Yes = False) -> None:
    """Deletes them for good; asks first."""
    chosen = _chosen(ids, of)
    if not yes:
        which = f"all of {of}" if of else ", ".join(ids or [])
        typer.confirm(f"Delete {printable(which)} for good?", abort=True, err=True)

    async def delete(service: DeadLetterService) -> None:
        typer.echo(f"Purged: {await service.purge(chosen)}.")

    _with_service(tenant, delete, chosen)


def _chosen(ids: list[str] | None, of: str | None) -> dict[str, Chosen]:
    """By kinds that there are: what is chosen wrongly is refused before anything is asked."""
    if bool(ids) == bool(of):
        typer.echo("Say which: either ids, or --of a kind.", err=True)
        raise typer.Exit(BAD_SETTINGS)
    from domain.dead_letters.model import Chosen, named
    from infra.bootstrap import dead_letter_kinds

    chosen = named(ids or []) if of is None else {of: Chosen()}
    known = dead_letter_kinds(read_command_settings())
    if missing := [kind for kind in chosen if kind not in known]:
        kinds = ", ".join(known)
        told = f"There are no dead letters of {printable(missing[0])} here: {kinds} are the kinds."
        typer.echo(told, err=True)
        raise typer.Exit(1)
    return chosen


def _with_service(
    tenant: str | None,
    use: Callable[[DeadLetterService], Awaitable[None]],
    kinds: Collection[str] | None = None,
) -> NoReturn:
    """Without kinds it is about all there are."""
    settings = read_command_settings()
    run(settings, _used(settings, tenant or settings.tenant, kinds, use), sys.exit)


async def _used(
    settings: Settings,
    tenant: str,
    kinds: Collection[str] | None,
    use: Callable[[DeadLetterService], Awaitable[None]],
) -> None:
    from infra.bootstrap import open_dead_letters

    async with open_dead_letters(settings, tenant, kinds) as service:
        looked_at = ", ".join(service.kinds)
        await use(service)
    if settings.embedded and kinds is None:
        typer.echo(
            f"Looked at: {looked_at}. Events that a running `carillon dev` could not handle are in its own "
            "process: ask it for `deadLetters` over GraphQL.",
            err=True,
        )


def _columns(letter: DeadLetter) -> tuple[str, ...]:
    at = "-" if letter.at is None else letter.at.strftime("%Y-%m-%dT%H:%M:%SZ")
    return letter.id, letter.tenant or "-", at, letter.what


def _task_of(letter: DeadLetter) -> tuple[str, str]:
    """Its title, and what it was to do; of what is of no one task, neither. A URL may be secret in part."""
    told = letter.content
    if not isinstance(told, dict) or "title" not in told:
        return "-", "-"
    action = told.get("action") or {"kind": told.get("action_kind", "-")}
    return str(told["title"]), " ".join(str(action[key]) for key in ("kind", "handler") if key in action)


def _whole(letter: DeadLetter) -> str:
    id, tenant, at, what = _columns(letter)
    told = {"id": id, "tenant": tenant, "at": at, "what": what, "body": letter.content}
    return json.dumps(told, indent=2)
