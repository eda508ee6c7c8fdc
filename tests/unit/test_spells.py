"""What happens often is told when it begins and when it has ended, not each time."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

import pytest

from infra.telemetry import spells
from infra.telemetry.spells import Spell
from tests.support.waiting import until

log = logging.getLogger(__name__)


class Happening:
    def __init__(self, caplog: pytest.LogCaptureFixture, lasts: Callable[[], bool] = lambda: False) -> None:
        caplog.set_level("INFO", __name__)
        self._caplog = caplog
        self.times = 0
        self._spell = Spell(log, begins="it begins", ended="it ended", counted=lambda: self.times, lasts=lasts)

    def again(self) -> None:
        self._spell.goes_on(why="it is a test")
        self.times += 1

    @property
    def told(self) -> list[str]:
        return [record.getMessage() for record in self._caplog.records if record.name == __name__]

    @property
    def counts(self) -> list[int]:
        return [vars(record)["count"] for record in self._caplog.records if record.getMessage() == "it ended"]


async def test_its_beginning_and_its_end_are_told_with_how_often_it_was(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spells, "QUIET", 0.05)
    happening = Happening(caplog)
    for count in (3, 2):
        for _ in range(count):
            happening.again()
        assert happening.told[-1] == "it begins"
        assert vars(caplog.records[-1])["why"] == "it is a test"
        await until(lambda: happening.told[-1] == "it ended")
    assert happening.told == ["it begins", "it ended"] * 2
    assert happening.counts == [3, 2]


async def test_what_comes_and_goes_is_told_as_one(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spells, "QUIET", 1.0)
    happening, began = Happening(caplog), time.monotonic()

    def long_enough() -> bool:
        happening.again()
        return time.monotonic() > began + 1.2 * spells.QUIET

    await until(long_enough)
    assert happening.told == ["it begins"]
    await until(lambda: happening.told[-1] == "it ended")
    assert happening.counts == [happening.times]


async def test_it_has_not_ended_while_it_lasts(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spells, "QUIET", 0.01)
    looks = iter([True, True, True, False])
    happening = Happening(caplog, lasts=lambda: next(looks, False))
    happening.again()
    await until(lambda: happening.told[-1] == "it ended")
    assert list(looks) == []
