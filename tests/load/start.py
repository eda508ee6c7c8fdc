"""How long `carillon dev` takes until it is ready: `python -m tests.load.start`.

Method: from the start of the process to the first answer of its readiness that says ready, asked every 20 ms;
on a fresh home, whose database is made then, and on a home that a clean stop or a kill -9 left. Prints the
median and the worst of each, and of the stop by SIGTERM.
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
import time
from pathlib import Path
from statistics import median

from tests.support.processes import embedded


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    times: dict[str, list[float]] = {"fresh": [], "stopped": [], "killed": [], "stop": []}
    for _ in range(parser.parse_args().rounds):
        with tempfile.TemporaryDirectory() as folder:
            for left in ("fresh", "stopped", "killed"):
                await _measure(Path(folder), left, times)
    for name, seconds in times.items():
        print(f"{name:8} s: median {median(seconds):.2f}, worst {max(seconds):.2f}, of {len(seconds)}")


async def _measure(folder: Path, left: str, times: dict[str, list[float]]) -> None:
    began = time.monotonic()
    async with embedded(folder / "home", folder / "log") as (_, dev):
        times[left].append(time.monotonic() - began)
        began = time.monotonic()
        if left == "stopped":  # so that the next start finds what a kill leaves
            dev.kill()
            await dev.ended()
        else:
            await dev.stop()
            times["stop"].append(time.monotonic() - began)


if __name__ == "__main__":
    asyncio.run(main())
