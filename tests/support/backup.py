"""A database copied to a file and back, by PostgreSQL's own programs."""

from __future__ import annotations

import asyncio
import re
import shutil
import subprocess
from pathlib import Path

import asyncpg

from infra.embedded_postgres.binaries import find_binaries


async def dump(url: str, file: Path) -> None:
    await _run(await program("pg_dump", url), "--format=custom", f"--file={file}", f"--dbname={url}")


async def restore(file: Path, url: str) -> None:
    """Into a database that is there and empty."""
    await _run(await program("pg_restore", url), "--exit-on-error", "--no-owner", f"--dbname={url}", str(file))


async def _run(*command: str) -> None:
    running = await asyncio.create_subprocess_exec(*command, stderr=asyncio.subprocess.PIPE)
    _, complained = await running.communicate()
    assert running.returncode == 0, complained.decode()


async def program(name: str, url: str) -> str:
    """One of the version of the server: a newer one writes what an older server does not read."""
    connection = await asyncpg.connect(url)
    wanted = connection.get_server_version().major
    await connection.close()
    found = [each for each in (shutil.which(name), str(find_binaries() / name)) if each is not None]
    return next(each for each in found if _major(each) == wanted)


def _major(program: str) -> int:
    said = subprocess.run((program, "--version"), capture_output=True, text=True, check=True).stdout
    version = re.search(r"(\d+)\.", said)
    assert version is not None, said
    return int(version[1])
