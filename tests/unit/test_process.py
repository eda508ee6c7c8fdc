"""A process ends when it is told to, whatever its handlers do."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]

DEAF = """
import asyncio, threading, time
from jobs.process import leave

async def deaf():
    while True:
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            pass

async def main():
    task = asyncio.get_running_loop().create_task(deaf())
    await asyncio.sleep(0)
    threading.Thread(target=time.sleep, args=(3600,)).start()
    print("told", end="")
    leave({code})

asyncio.run(main())
"""


def test_neither_a_thread_nor_a_task_that_does_not_stop_holds_it_up() -> None:
    for code in (0, 1):
        ended = subprocess.run(
            [sys.executable, "-c", DEAF.format(code=code)],
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
        assert (ended.returncode, ended.stdout, ended.stderr) == (code, "told", "")
