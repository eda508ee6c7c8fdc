"""Random commands of clients, schedulers, workers and rescuers: storage is at every step as the rules say."""

from __future__ import annotations

import pytest

from tests.support.engine import Engine
from tests.support.engine_machine import drive

pytestmark = pytest.mark.postgres


@pytest.mark.usefixtures("anyio_backend")
def test_storage_does_what_the_model_says(engine: Engine) -> None:
    drive(engine, examples=30)


@pytest.mark.long
@pytest.mark.fault(0, "500 random histories of 60 commands, held against the model")
@pytest.mark.usefixtures("anyio_backend")
def test_storage_does_what_the_model_says_for_a_long_time(engine: Engine) -> None:
    drive(engine, examples=500, steps=60)
