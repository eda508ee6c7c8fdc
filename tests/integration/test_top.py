"""What an operator sees of queues and workers: what is there, and no more than asked for."""

from __future__ import annotations

import asyncio
import os
import re
import sys
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from io import StringIO
from pathlib import Path
from signal import SIGINT

import pytest
from rich.console import Console

from api.cli.overview import duration, rendered
from domain.actions.model import Failed, Succeeded
from domain.attempts.model import settle
from domain.attempts.retry import RetryPolicy
from domain.overview.model import Overview
from infra.postgres.overview import PostgresOverviews
from tests.support.claiming import set_queue
from tests.support.storage import Storage, a_task, due_in

ROOT = Path(__file__).parents[2]
Command = Callable[..., Awaitable[asyncio.subprocess.Process]]
NOW = datetime(2030, 1, 31, 8, 15, tzinfo=UTC)
pytestmark = pytest.mark.postgres


async def seen(storage: Storage, queues: int = 10, workers: int = 10, counted: int = 10_000) -> Overview:
    return await PostgresOverviews(storage.database, counted).read(queues, workers)


def shown(overview: Overview, width: int = 120) -> str:
    console = Console(width=width, record=True, file=StringIO())
    console.print(rendered(overview, NOW))
    return console.export_text()


async def test_what_waits_runs_and_ended_is_seen_by_queue(storage: Storage) -> None:
    worker = await storage.a_worker(slots=7)
    done = await storage.started(worker, due_in(-3, queue="mail"), due_in(-3, queue="mail"))
    await storage.attempts.finish(worker, [settle(each, Succeeded(), 0) for each in done])
    once = RetryPolicy(max_attempts=1)
    (lost,) = await storage.started(worker, a_task(queue="mail", retry=once))
    await storage.attempts.finish(worker, [settle(lost, Failed(type="Boom", message="no luck"), 0)])
    await storage.started(worker, a_task(queue="mail"))
    await storage.added(due_in(-20, queue="reports", tenant="zoo"), due_in(-1, queue="reports", tenant="zoo"))
    await storage.added(due_in(60, queue="tomorrow"))

    overview = await seen(storage)
    reports, mail = overview.queues
    assert (reports.tenant, reports.name, reports.due) == ("zoo", "reports", 2)
    assert reports.oldest_due_seconds >= 20
    assert reports.lateness_median is None
    assert (mail.name, mail.due, mail.running) == ("mail", 0, 1)
    assert mail.succeeded_per_second == pytest.approx(2 / 60)
    assert mail.failed_per_second == pytest.approx(1 / 60)
    assert mail.lateness_median is not None
    assert mail.lateness_p99 is not None
    assert mail.lateness_median >= 3
    [there] = overview.workers
    assert (there.slots, there.running, there.draining) == (7, 1, False)
    assert overview.outbox_events > 0


async def test_a_paused_queue_is_seen_though_nothing_is_in_it(storage: Storage) -> None:
    await set_queue(storage, "mail", paused=True)
    [mail] = (await seen(storage)).queues
    assert (mail.name, mail.paused, mail.due) == ("mail", True, 0)


async def test_the_fullest_queues_come_first_and_no_more_than_asked_for(storage: Storage) -> None:
    for number, name in enumerate("abc"):
        await storage.added(*(a_task(queue=name) for _ in range(number + 1)))
    assert [each.name for each in (await seen(storage, queues=2)).queues] == ["c", "b"]


async def test_what_is_not_counted_to_its_end_says_so(storage: Storage) -> None:
    await storage.added(
        *(due_in(-1, queue="full") for _ in range(4)), *(due_in(-1, queue="mail") for _ in range(2))
    )
    await storage.added(*(due_in(-1, queue="keyed") for _ in range(4)))
    await storage.execute("update tasks set awaits_key = true where queue = 'keyed'")
    overview = await seen(storage, counted=3)
    assert {(each.name, each.due, each.more_due) for each in overview.queues} == {
        ("full", 3, True),
        ("keyed", 3, True),
        ("mail", 2, False),
    }
    told = shown(overview)
    assert "due 8+" in told
    assert re.search(r"acme/full +3\+ ", told)
    assert re.search(r"acme/mail +2 ", told)
    assert "+" not in shown(await seen(storage))
    assert "outbox 7+ (" in shown(replace(overview, outbox_events=7, more_outbox_events=True))


async def test_a_worker_whose_lease_ended_stands_out(storage: Storage) -> None:
    worker = await storage.a_worker()
    await storage.lapse(worker)
    overview = await seen(storage)
    assert overview.workers[0].lease_seconds < 0
    assert "ended" in shown(overview)


async def test_an_installation_without_workers_is_told_so(storage: Storage) -> None:
    told = shown(await seen(storage))
    assert "No worker is there" in told
    assert "Nothing is due" in told


async def test_in_a_narrow_terminal_names_can_be_told_and_sentences_read(storage: Storage) -> None:
    told = shown(await seen(storage), width=80)
    assert "No worker is there: nothing runs." in told
    assert "Nothing is due, runs or ended in the last minute." in told
    await storage.added(a_task(tenant="default", queue="default"))
    assert "default/default" in shown(await seen(storage), width=80)


async def test_what_a_tenant_wrote_steers_no_terminal(storage: Storage) -> None:
    await storage.added(a_task(tenant="[bold]a\x1b]0;owned\x07", queue="mail"))
    told = shown(await seen(storage))
    assert "[bold]a" in told
    assert "\x1b" not in told


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(-0.01, "0 ms"), (0.25, "250 ms"), (5, "5.0 s"), (90, "1.5 min"), (5_400, "1.5 h"), (129_600, "1.5 d")],
)
def test_a_duration_is_told_in_the_largest_unit_that_fits(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def command(storage: Storage, *arguments: str, **variables: str) -> Command:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("CARILLON_", "COLUMNS"))}
    environment = kept | {"CARILLON_DATABASE_URL": storage.url, "TERM": "xterm"} | variables
    return partial(
        asyncio.create_subprocess_exec,
        *(sys.executable, "-m", "api.cli", "top", *arguments),
        cwd=ROOT,
        env=environment,
    )


async def test_the_command_looks_once_where_there_is_no_terminal(storage: Storage) -> None:
    await storage.a_worker(slots=1_000)
    await storage.added(a_task(queue="mail"), due_in(-timedelta(minutes=2).total_seconds(), queue="mail"))
    process = await command(storage)(stdout=asyncio.subprocess.PIPE)
    told, _ = await asyncio.wait_for(process.communicate(), 30)
    assert process.returncode == 0
    assert "acme/mail" in told.decode()
    assert re.match(r"Carillon [\d:]+ UTC .* outbox .*\)\n", told.decode()), "on one line, however long"
    assert re.search(r"\b2\.\d min", told.decode()), "of the two, and what starting the command took"


async def test_in_a_terminal_it_follows_until_it_is_interrupted(storage: Storage) -> None:
    master, slave = os.openpty()
    process = await command(storage, "--interval", "0.2", COLUMNS="120")(
        stdin=slave, stdout=slave, stderr=slave
    )
    os.close(slave)
    try:
        async with asyncio.timeout(30):
            told = await until(master, "No worker is there")
            await storage.a_worker()
            told += await until(master, "worker-")
            process.send_signal(SIGINT)
            assert await process.wait() == 0
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
        os.close(master)
    assert "Traceback" not in told


async def until(terminal: int, text: str) -> str:
    """What it shows until it shows that."""
    shown = ""
    while text not in shown:
        shown += (await asyncio.to_thread(os.read, terminal, 65_536)).decode(errors="replace")
    return shown
