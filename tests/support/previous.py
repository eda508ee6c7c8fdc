"""The version before this one, as the history has it, to run beside this one."""

from __future__ import annotations

import subprocess
from pathlib import Path

from tests.support.processes import ROOT, process

COMMIT = "a7f4ff1f2ea763273e48326721540cf817162fae"
"""Of the version that an upgrade begins from: to be moved on with each release."""


def missing() -> str | None:
    """Why it cannot be had."""
    asked = ("git", "cat-file", "-e", f"{COMMIT}^{{commit}}")
    known = subprocess.run(asked, cwd=ROOT, capture_output=True, check=False).returncode == 0
    return None if known else "the history does not reach back to the previous version"


def unpack(folder: Path) -> Path:
    """Its files."""
    archive = subprocess.run(("git", "archive", COMMIT), cwd=ROOT, capture_output=True, check=True).stdout
    folder.mkdir()
    subprocess.run(("tar", "--extract", "--directory", str(folder)), input=archive, check=True)
    return folder


async def migrate(root: Path, url: str, log: Path) -> None:
    """Bring a database to the layout of the version at `root`."""
    async with process("migrate", log=log, environment={"CARILLON_DATABASE_URL": url}, root=root) as running:
        assert await running.ended() == 0, running.said()
