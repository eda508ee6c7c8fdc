"""What runs on Node: clients that others wrote, used by scripts of ours, and examples. Installed once."""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import shutil
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
CLIENTS = "tests/clients"
REQUIRED = os.environ.get("CI") == "true"
"""Whether a test that finds no Node fails, instead of being reported as not run."""
INSTALL = ("npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund")
INSTALL_SECONDS = 180
RUN_SECONDS = 60


@cache
def missing(folder: str = CLIENTS) -> str | None:
    """Why what is in this folder cannot be run, and what to do; None when it can. Installs it if need be."""
    if shutil.which("node") is None or shutil.which("npm") is None:
        return "no Node here: install Node 20 or newer, with npm"
    place = ROOT / folder
    made_from = place / "node_modules/.made-from"
    with (place / "package-lock.json").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # another run of the tests may be installing it
        wanted = lock.read()
        if made_from.exists() and made_from.read_text() == wanted:
            return None
        try:
            subprocess.run(INSTALL, cwd=place, capture_output=True, timeout=INSTALL_SECONDS, check=True)
        except subprocess.SubprocessError as error:
            return f"npm could not install {folder}: {error}"
        made_from.write_text(wanted)
    return None


async def run_client(script: str, *arguments: str) -> Any:
    """What the script says at its end, as JSON. Fails with all it wrote when it does."""
    return json.loads(await run_in(CLIENTS, "node", script, *arguments))


async def run_in(folder: str, *words: str) -> str:
    """What the command says to its standard output. Fails with all it wrote when it does."""
    process = await asyncio.create_subprocess_exec(
        *words, cwd=ROOT / folder, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    try:
        async with asyncio.timeout(RUN_SECONDS):
            said, complained = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode == 0, complained.decode() + said.decode()
    return said.decode()
