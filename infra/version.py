"""Which version of Carillon this is: what pyproject.toml says, which lies beside the packages."""

from __future__ import annotations

import tomllib
from functools import cache
from pathlib import Path

from prometheus_client import CollectorRegistry, Gauge

PROJECT = Path(__file__).parents[1] / "pyproject.toml"


@cache
def version() -> str:
    told: str = tomllib.loads(PROJECT.read_text(encoding="utf-8"))["project"]["version"]
    return told


def tell_version(registry: CollectorRegistry) -> None:
    info = Gauge("carillon_build_info", "1, with the version of Carillon", ["version"], registry=registry)
    info.labels(version()).set(1)
