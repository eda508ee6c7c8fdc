"""What one process of a run takes on at a time: a file, or a folder whose files share what is slow to start."""

from __future__ import annotations

from typing_extensions import override
from xdist.scheduler import LoadFileScheduling  # type: ignore[import-untyped]  # it has none

TOGETHER = ("tests/faults/behind_proxies",)


def unit_of(file: str) -> str:
    return next((folder for folder in TOGETHER if file.startswith(f"{folder}/")), file)


class WorkUnits(LoadFileScheduling):  # type: ignore[misc]  # without types it is of any
    @override
    def _split_scope(self, nodeid: str) -> str:
        return unit_of(super()._split_scope(nodeid))
