"""How fast schedules that are due in the same second fire: `python -m tests.load.firing`.

Method: a fresh database on the server of CARILLON_DATABASE_URL (or the local one) is filled with cron schedules
in several time zones that fire in one second. As many loops as asked for, each with its own connections and
all in this process, fire them as the scheduler does: task, event and cursor in one transaction of up to 200.
Measured is the time from that second until the last schedule was settled, by the database's clock. With --cut,
a connection at work is terminated every so many seconds, 30 at most. Prints one line of figures.
"""

from __future__ import annotations

import argparse
import asyncio

from infra.postgres.migrate import migrate
from tests.support.many_schedules import fire_together
from tests.support.services import fresh_database, open_postgres


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--schedules", type=int, default=10_000)
    parser.add_argument("--schedulers", type=int, default=3)
    parser.add_argument("--cut", type=float, help="seconds between two connections cut")
    options = parser.parse_args()
    async with open_postgres() as server, fresh_database(server, fill=migrate) as url:
        fires = await fire_together(
            url, schedules=options.schedules, schedulers=options.schedulers, cut_every=options.cut
        )
    print(
        f"{options.schedulers} schedulers, {fires.killed} connections cut: {fires.tasks} tasks of "
        f"{fires.distinct} schedules, {fires.events} events, in {fires.seconds:.2f} s "
        f"({fires.tasks / fires.seconds:,.0f}/s)"
    )


if __name__ == "__main__":
    asyncio.run(main())
