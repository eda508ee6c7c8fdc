"""Clients that others wrote, and that run on Node: installed once, and used by scripts of ours."""

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

FOLDER = Path(__file__).parents[1] / "clients"
REQUIRED = os.environ.get("CI") == "true"
"""Whether a test that finds no Node fails, instead of being reported as not run."""
INSTALLED = FOLDER / "node_modules/.made-from"
INSTALL = ("npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund")
INSTALL_SECONDS = 180
RUN_SECONDS = 60


@cache
def missing() -> str | None:
    """Why the clients cannot be run, and what to do; None when they can. Installs them if need be."""
    if shutil.which("node") is None or shutil.which("npm") is None:
        return "no Node here: install Node 20 or newer, with npm"
    with (FOLDER / "package-lock.json").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # another run of the tests may be installing them
        wanted = lock.read()
        if INSTALLED.exists() and INSTALLED.read_text() == wanted:
            return None
        try:
            subprocess.run(INSTALL, cwd=FOLDER, capture_output=True, timeout=INSTALL_SECONDS, check=True)
        except subprocess.SubprocessError as error:
            return f"npm could not install {FOLDER.name}: {error}"
        INSTALLED.write_text(wanted)
    return None


async def run_client(script: str, *arguments: str) -> Any:
    """What the script says at its end, as JSON. Fails with all it wrote when it does."""
    process = await asyncio.create_subprocess_exec(
        "node", script, *arguments, cwd=FOLDER, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    try:
        async with asyncio.timeout(RUN_SECONDS):
            said, complained = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode == 0, complained.decode() + said.decode()
    return json.loads(said)
