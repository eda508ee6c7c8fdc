"""What runs says which version it is: to who asks for it, in figures and in traces."""

from __future__ import annotations

import tomllib
from pathlib import Path

from infra.bootstrap import open_services
from infra.settings import Settings
from tests.unit.test_cli import carillon

PYPROJECT = Path(__file__).parents[2] / "pyproject.toml"
VERSION = tomllib.loads(PYPROJECT.read_text())["project"]["version"]
GONE = {
    "database_url": "postgresql://nobody@127.0.0.1:1/nothing",
    "redis_url": "redis://127.0.0.1:1",
    "amqp_url": "amqp://nobody:nothing@127.0.0.1:1/",
}


def test_the_command_line_says_its_version() -> None:
    ended = carillon("--version")
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, f"carillon {VERSION}\n", "")


async def test_a_process_tells_its_version_among_its_figures() -> None:
    async with open_services(Settings.model_validate(GONE)) as services:
        assert services.metrics.get_sample_value("carillon_build_info", {"version": VERSION}) == 1
