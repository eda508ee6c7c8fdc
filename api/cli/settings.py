"""Settings as the command line reads them: what is wrong is told in a line for each, without its value."""

from __future__ import annotations

from typing import NoReturn

import typer
from pydantic import ValidationError
from pydantic_settings import SettingsError

from api.cli.printable import printable
from infra.settings import Settings
from infra.unknown_settings import unknown_here

SERVICES = ("database_url", "redis_url", "amqp_url")
BAD_SETTINGS = 2
"""Exit code, as for a wrong argument."""


def read_settings() -> Settings:
    try:
        return Settings()
    except ValidationError as error:
        faults: dict[str, list[str]] = {}
        for each in error.errors(include_url=False, include_context=False, include_input=False):
            # What is wrong with several together has no place, and names them itself.
            place = f"{_variable(str(each['loc'][0]))}: " if each["loc"] else ""
            faults.setdefault(place, []).append(each["msg"].removeprefix("Value error, "))
        _refuse([f"{place}{'; '.join(messages)}" for place, messages in faults.items()])
    except SettingsError as error:
        _refuse([str(error)])


def read_service_settings(*needed: str) -> Settings:
    """For a process that runs on services: every URL it needs must be set."""
    settings = read_settings()
    missing = [_variable(name) for name in needed or SERVICES if getattr(settings, name) is None]
    if missing:
        _refuse([f"Not set: {', '.join(missing)}. (`carillon dev` runs without any of them.)"])
    return settings


def read_command_settings(*needed: str) -> Settings:
    """For a command beside the processes. Without any service it uses what `carillon dev` keeps in its home."""
    settings = read_settings()
    present = [name for name in SERVICES if getattr(settings, name) is not None]
    if not present and (settings.home / "postgres").is_dir():
        return settings
    missing = [_variable(name) for name in needed or SERVICES if name not in present]
    if missing:
        place = f"`carillon dev` has not run in {settings.home.absolute()} either: see CARILLON_HOME"
        _refuse([f"Not set: {', '.join(missing)}. ({place}.)"])
    return settings


def read_embedded_settings() -> Settings:
    settings = read_settings()
    present = [_variable(name) for name in SERVICES if getattr(settings, name) is not None]
    if present:
        _refuse([f"`carillon dev` brings its own services: unset {', '.join(present)}."])
    return settings


def _variable(name: str) -> str:
    return f"CARILLON_{name.upper()}"


def _refuse(lines: list[str]) -> NoReturn:
    for line in [*lines, *unknown_here()]:
        typer.echo(printable(line), err=True)
    raise typer.Exit(BAD_SETTINGS)
