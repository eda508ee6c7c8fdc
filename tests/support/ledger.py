"""What handlers did, told by themselves and not by Carillon, in a file that survives every server and kill."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from uuid import UUID

from carillon import Context

VARIABLE = "LEDGER"
"""The file's path, in the environment of a process that loads `ledger_handlers`."""

Moment = Literal["started", "ended"]


@dataclass(frozen=True, slots=True)
class Entry:
    task: UUID
    attempt: int
    fence: int
    moment: Moment
    process: int
    """The pid of the worker."""


def note(context: Context, moment: Moment) -> None:
    """One short line by one write at the end of the file: lines of several processes never mix."""
    entry = [str(context.task_id), context.attempt, context.fence, moment, os.getpid()]
    file = os.open(os.environ[VARIABLE], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.write(file, f"{json.dumps(entry)}\n".encode())
    finally:
        os.close(file)


class Ledger:
    def __init__(self, path: Path) -> None:
        self.path = path

    def entries(self, *tasks: UUID) -> list[Entry]:
        """In the order of events; of these tasks, or of all."""
        if not self.path.exists():
            return []
        rows = map(json.loads, self.path.read_text().splitlines())
        found = [Entry(UUID(task), *rest) for task, *rest in rows]
        return [entry for entry in found if not tasks or entry.task in tasks]

    def noted(self, moment: Moment, *tasks: UUID) -> list[Entry]:
        return [entry for entry in self.entries(*tasks) if entry.moment == moment]
