"""CPU time that an installation has used, by what used it, read from /proc."""

from __future__ import annotations

import os
import time
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path

from tests.support.installation import Installation

_TICKS = os.sysconf("SC_CLK_TCK")
_BACKENDS = "select pid from pg_stat_activity where datname = current_database()"


async def cpu_seconds(installation: Installation) -> Mapping[str, float]:
    """Since each process began. `postgres` is the database's own backends, `rabbitmq` and `redis` the whole
    servers, whoever else uses them."""
    used: defaultdict[str, float] = defaultdict(float)
    for member in installation.members:
        used[member.kind] += _of(member.pid)
    for record in await installation.database.fetch(_BACKENDS):
        used["postgres"] += _of(record["pid"])
    for name, program in (("rabbitmq", "beam.smp"), ("redis", "redis-server")):
        used[name] += sum(_of(pid) for pid in _running(program))
    return used


def process_seconds(pid: int) -> float:
    """Of one running process, to the nanosecond: by the id that Linux gives its clock."""
    return time.clock_gettime(~pid << 3 | 2)


def shares(before: Mapping[str, float], after: Mapping[str, float], per: float) -> str:
    """CPU seconds between the two for each `per`, by what used them, and their sum."""
    used = {name: (seconds - before[name]) / per for name, seconds in after.items()}
    parts = " ".join(f"{name} {seconds:.3f}" for name, seconds in used.items())
    return f"{sum(used.values()):.3f} ({parts})"


def _of(pid: int) -> float:
    try:
        line = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return 0.0
    user, system = line.rpartition(")")[2].split()[11:13]
    return (int(user) + int(system)) / _TICKS


def _running(program: str) -> list[int]:
    return [
        int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit() and _name(entry) == program
    ]


def _name(process: Path) -> str:
    try:
        return (process / "comm").read_text().strip()
    except (FileNotFoundError, ProcessLookupError):
        return ""
