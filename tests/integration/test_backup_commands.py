"""What is to be run to back up and to restore can be run, and does what is said of it."""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import asyncpg
import pytest
import yaml

from infra.bootstrap import migrate_database
from infra.postgres.tenants import ROLE
from infra.settings import Settings
from tests.support import backup
from tests.support.owners import plain_owner
from tests.support.services import fresh_database

pytestmark = pytest.mark.postgres

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/operations.md").read_text()
IN_COMPOSE = "docker compose exec -T postgres pg_dump --username carillon --format=custom carillon"
[DUMP] = re.findall(r"^    (pg_dump .+)$", PAGE, re.MULTILINE)
[RESTORE] = re.findall(r"^    (pg_restore .+)$", PAGE, re.MULTILINE)
[CRON] = re.findall(r"^    15 2 \* \* \*  (.+)$", PAGE, re.MULTILINE)


def of_cron(folder: Path) -> str:
    """What the line does on this machine, as cron hands it to the shell."""
    (folder / "backups").mkdir(exist_ok=True)
    assert IN_COMPOSE in CRON
    here: str = CRON.replace(IN_COMPOSE, 'pg_dump --format=custom "$CARILLON_DATABASE_URL"')
    return here.replace("/srv/carillon", str(folder)).replace("\\%", "%")


def of_kubernetes(folder: Path) -> str:
    job = yaml.safe_load((ROOT / "deploy/kubernetes/backup/backup.yaml").read_text())
    [container] = job["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"]
    assert container["command"] == ["sh", "-euc"]
    (folder / "backups").mkdir(exist_ok=True)
    script: str = container["args"][0]
    return f"cd {folder}/backups\n{script}"


async def run(command: str, folder: Path, server: str, **urls: str) -> int | None:
    program = await backup.program("pg_dump", server)
    path = f"{Path(program).parent}:{os.environ['PATH']}"
    shell = await asyncio.create_subprocess_exec(
        "sh", "-euc", command, cwd=folder, env=dict(os.environ) | {"PATH": path} | urls
    )
    return await asyncio.wait_for(shell.wait(), 30)


@pytest.mark.parametrize("nightly", [of_cron, of_kubernetes])
async def test_each_night_makes_a_whole_dump_and_drops_what_is_old(
    nightly: Callable[[Path], str], database_url: str, postgres_server: str, tmp_path: Path
) -> None:
    command, backups = nightly(tmp_path), tmp_path / "backups"
    for name, days in (("carillon-old.dump", 16), ("carillon-young.dump", 3)):
        (backups / name).touch()
        then = (datetime.now(UTC) - timedelta(days=days)).timestamp()
        os.utime(backups / name, (then, then))
    assert await run(command, tmp_path, postgres_server, CARILLON_DATABASE_URL=database_url) == 0
    today = backups / f"carillon-{datetime.now():%F}.dump"  # noqa: DTZ005  as `date` says it
    assert set(backups.iterdir()) == {today, backups / "carillon-young.dump"}
    async with fresh_database(postgres_server) as restored:
        await backup.restore(today, restored)
    today.unlink()
    assert await run(command, tmp_path, postgres_server, CARILLON_DATABASE_URL=f"{database_url}_gone") != 0
    assert not today.exists(), "what is not whole has no name"


async def test_a_dump_is_restored_where_its_owner_is_not_known(postgres_server: str, tmp_path: Path) -> None:
    async with fresh_database(postgres_server) as url, plain_owner(postgres_server, url) as owner:
        await of_tenants(url, owner)
        await migrate_database(Settings.model_validate({"database_url": owner}))
        assert await run(DUMP, tmp_path, postgres_server, CARILLON_DATABASE_URL=owner) == 0
    async with fresh_database(postgres_server) as url, plain_owner(postgres_server, url) as login:
        await of_tenants(url, login)
        assert await run(RESTORE, tmp_path, postgres_server, RESTORED_URL=login) == 0
        await migrate_database(Settings.model_validate({"database_url": login}))
        there = await asyncpg.connect(login)
        assert await there.fetchval("select count(*) from tasks") == 0
        await there.execute(f"set role {ROLE}")
        assert await there.fetchval("select count(*) from tasks") == 0, "rights came with it"
        await there.close()


async def of_tenants(url: str, owner: str) -> None:
    """What an administrator does for a login that may not make roles."""
    there = await asyncpg.connect(url)
    user = re.findall("//([^:]+):", owner)[0]
    await there.execute(f"grant {ROLE} to {user}")
    await there.close()
