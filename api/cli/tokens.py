"""The commands for access tokens."""

# As in main: every command imports what it runs when it runs it.
# ruff: noqa: PLC0415  imports inside the commands, as said above

from __future__ import annotations

import re
import sys
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from api.cli.running import run
from api.cli.settings import read_command_settings

if TYPE_CHECKING:
    from domain.tenancy.service import TokenService
    from domain.tenancy.tokens import AccessToken
    from infra.settings import Settings

tokens = typer.Typer(help="The tokens that callers of the API are known by.", no_args_is_help=True)

_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


class _Role(StrEnum):
    """As domain.tenancy.model.Role, in letters that are easy to type."""

    viewer = "viewer"
    editor = "editor"
    admin = "admin"


Tenant = Annotated[str | None, typer.Option(help="Which tenant; CARILLON_TENANT when not given.")]


@tokens.command()
def create(
    name: Annotated[str, typer.Option(help="What it is for, to know it again by.")],
    role: Annotated[_Role, typer.Option(help="What its bearer may do.", case_sensitive=False)],
    tenant: Tenant = None,
    owner: Annotated[
        str | None, typer.Option(help="Bind it to an owner, whose tasks alone its bearer sees and changes.")
    ] = None,
    expires: Annotated[
        str, typer.Option(help="After so long, such as 12h, 90d or 4w; or never. 90 days unless given.")
    ] = "90d",
) -> None:
    """Makes a token and prints it, this once."""
    lifetime = _lifetime(expires)

    async def make(service: TokenService, of: str) -> None:
        from domain.tenancy.model import Role

        issued = await service.create(
            tenant=of, name=name, role=Role(role.upper()), owner=owner, lifetime=lifetime
        )
        until = issued.token.expires_at
        ending = "It does not expire." if until is None else f"It expires at {_written(until)}."
        typer.echo(f"{issued.token.prefix}: {ending} It is shown this once.", err=True)
        typer.echo(issued.text)

    _with_service(tenant, make)


@tokens.command(name="list")
def list_(tenant: Tenant = None) -> None:
    """Shows the tokens there are, oldest first, without what is secret of them."""

    async def show(service: TokenService, of: str) -> None:
        typer.echo("\t".join(("prefix", "name", "role", "owner", "created", "expires", "revoked", "used")))
        for token in await service.all(of):
            typer.echo("\t".join(_columns(token)))

    _with_service(tenant, show)


@tokens.command()
def revoke(
    prefix: Annotated[str, typer.Argument(help="Its first characters, as the list has them.")],
    tenant: Tenant = None,
) -> None:
    """Makes a token invalid, within ten seconds."""

    async def end(service: TokenService, of: str) -> None:
        token = await service.revoke(of, prefix)
        typer.echo(f"Revoked: {token.prefix}, {token.name}.")

    _with_service(tenant, end)


def _with_service(tenant: str | None, use: Callable[[TokenService, str], Awaitable[None]]) -> NoReturn:
    settings = read_command_settings("database_url")
    run(settings, _used(settings, tenant or settings.tenant, use), sys.exit)


async def _used(settings: Settings, tenant: str, use: Callable[[TokenService, str], Awaitable[None]]) -> None:
    from domain.errors import Refusal, Refusals
    from infra.bootstrap import CannotStart, open_token_service

    try:
        async with open_token_service(settings) as service:
            await use(service, tenant)
    except Refusals as refused:
        raise CannotStart("\n".join(map(_said, refused.refusals))) from refused
    except Refusal as refusal:
        raise CannotStart(_said(refusal)) from refusal


def _said(refusal: Exception) -> str:
    path: tuple[str, ...] = getattr(refusal, "path", ())
    return f"--{path[0]}: {refusal}" if path else str(refusal)


def _lifetime(text: str) -> timedelta | None:
    if text == "never":
        return None
    found = re.fullmatch(r"(\d{1,6})([smhdw])", text)
    if found is None:
        raise typer.BadParameter("say a number and a unit, such as 12h, 90d or 4w; or never")
    return timedelta(**{_UNITS[found[2]]: int(found[1])})


def _columns(token: AccessToken) -> tuple[str, ...]:
    instants = (token.created_at, token.expires_at, token.revoked_at, token.last_used_at)
    return (token.prefix, token.name, token.role, token.owner or "-", *map(_written, instants))


def _written(instant: datetime | None) -> str:
    return "-" if instant is None else instant.strftime("%Y-%m-%dT%H:%M:%SZ")
