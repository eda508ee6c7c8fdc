"""Where an overview is read from."""

from __future__ import annotations

from typing import Protocol

from domain.overview.model import Overview


class Overviews(Protocol):
    async def read(self, queues: int, workers: int) -> Overview:
        """Of at most so many of each. Raises Unavailable."""
        ...
