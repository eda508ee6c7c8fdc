"""The command line where the clock is wrong by OFFSET seconds: `python -m tests.support.other_clock KIND`."""

from __future__ import annotations

import os
from datetime import datetime, timedelta

from typing_extensions import override

from api.cli.main import app
from infra.bootstrap import opening
from infra.system import SystemClock


class WrongClock(SystemClock):
    @override
    def now(self) -> datetime:
        return super().now() + timedelta(seconds=float(os.environ["OFFSET"]))


if __name__ == "__main__":
    vars(opening)["SystemClock"] = WrongClock
    app()
