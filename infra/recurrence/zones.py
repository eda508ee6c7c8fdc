"""Time zones from the tzdata package: every process that runs the same release has the same ones."""

from __future__ import annotations

from functools import cache
from importlib.metadata import version
from importlib.resources import files
from zoneinfo import ZoneInfo

from domain.errors import Invalid


@cache
def zone_database_version() -> str:
    """Of the package: the release that IANA calls 2026f is its 2026.6."""
    return version("tzdata")


@cache
def zone_names() -> frozenset[str]:
    """Every name IANA knows, links included; but "Factory", which says that nobody has chosen a zone."""
    return frozenset((files("tzdata") / "zones").read_text().split()) - {"Factory"}


@cache  # at most one for each name
def zone_named(name: str) -> ZoneInfo:
    """Raises Invalid with the path `("timeZone",)`."""
    if name not in zone_names():
        raise Invalid(_refusal(name), ("timeZone",))
    place = files("tzdata") / "zoneinfo"
    with place.joinpath(*name.split("/")).open("rb") as data:
        return ZoneInfo.from_file(data, key=name)


def _refusal(name: str) -> str:
    meant = {known.casefold(): known for known in zone_names()}.get(name.casefold())
    if meant is not None:
        return f"Time zones are written as IANA has them: {meant}."
    return f"{name[:40]!r} is not an IANA time zone; one is Europe/Berlin."
