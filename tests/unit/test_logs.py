"""What is in a line of the log, and what is taken out of it."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator

import asyncpg
import pytest

from infra.telemetry.logs import configure_logs
from infra.telemetry.trace import in_trace
from tests.support.engine_fakes import settings_of

TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
log = logging.getLogger("tests")


@pytest.fixture(autouse=True)
def _as_it_was() -> Iterator[None]:
    """The levels and handlers of the whole process, for the other tests."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    levels = {name: logging.getLogger(name).level for name in list(logging.Logger.manager.loggerDict)}
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    for name, was in levels.items():
        logging.getLogger(name).setLevel(was)


def test_a_line_names_the_trace_and_the_span_it_was_written_in(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs(settings_of())
    with in_trace(TRACEPARENT):
        log.info("inside", extra={"tasks": 3})
    log.info("outside")
    inside, outside = map(json.loads, capsys.readouterr().err.splitlines())
    assert (inside["event"], inside["tasks"], inside["level"]) == ("inside", 3, "info")
    assert (inside["trace_id"], inside["span_id"]) == (TRACEPARENT[3:35], TRACEPARENT[36:52])
    assert not {"trace_id", "span_id"} & outside.keys()


@pytest.mark.parametrize(
    ("fault", "kept"),
    [
        (OSError("cannot reach postgresql://someone:hunter2@127.0.0.1/x"), "postgresql://***@127.0.0.1/x"),
        (asyncpg.CheckViolationError("violates a check"), "violates a check"),
        (asyncpg.DataError("invalid input for query argument $5: 'hunter2' (not text)"), "query argument $5"),
    ],
)
@pytest.mark.parametrize("form", ["json", "console"])
def test_what_a_driver_quotes_is_left_out(
    capsys: pytest.CaptureFixture[str], fault: Exception, kept: str, form: str
) -> None:
    if isinstance(fault, asyncpg.CheckViolationError):
        fault.__dict__["detail"] = "Failing row contains (1, hunter2,\n\nhunter2)."
    configure_logs(settings_of(log_format=form))
    try:
        raise RuntimeError("it failed") from fault
    except RuntimeError:
        log.exception("a fault")
    said = capsys.readouterr().err
    assert "hunter2" not in said
    assert kept in said
    assert "RuntimeError: it failed" in said, "what comes after it is told"
