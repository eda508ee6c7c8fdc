"""Locks on a home: one process owns it, and its PostgreSQL is known to live or not, whoever was killed.

All are flocks, which end with the process whatever ends it. The server inherits its own, and so do its
backends: while one of them lives the lock is held, and a recorded pid is never mistaken for another's.
"""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import pwd
import stat
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

from infra.embedded_postgres.errors import CannotStart, HomeInUse

ENTER_LIMIT = 30.0
"""Seconds to wait for whoever starts the server of a home, or uses it for a command."""
_LOOK_AGAIN = 0.02


def make_home(home: Path, account: pwd.struct_passwd) -> Path:
    """The home's real path; made if missing, closed to all but us and, only to pass through, the server."""
    home = home.resolve()
    try:
        home.mkdir(mode=0o700 if account.pw_uid == os.geteuid() else 0o711, parents=True, exist_ok=True)
    except OSError as error:
        raise CannotStart(f"{home} cannot be made: choose another CARILLON_HOME") from error
    found = home.stat()
    if found.st_uid != os.geteuid() or found.st_mode & stat.S_IWOTH:
        raise CannotStart(
            f"{home} belongs to another user, or every user may write to it, and so could reach the database: "
            "put that right, or choose another CARILLON_HOME"
        )
    return home


@asynccontextmanager
async def entered(home: Path) -> AsyncIterator[None]:
    """Hold off whoever else would start the server of this home, or use it for a command. Raises HomeInUse.

    So a server is never met half-started, nor does one that a command started end under another command.
    """
    with _opened(home / "entry.lock") as lock:
        try:
            async with asyncio.timeout(ENTER_LIMIT):
                while not _locked(lock):  # noqa: ASYNC110  nobody tells of the end of another process's lock
                    await asyncio.sleep(_LOOK_AGAIN)
        except TimeoutError as error:
            raise HomeInUse(
                f"another command has used this home for {ENTER_LIMIT:.0f} s, or still starts on it: {home}"
            ) from error
        yield


def has_owner(home: Path) -> bool:
    """Whether a process owns the home just now."""
    with _opened(home / "owner.lock") as lock:
        return not _locked(lock)


@contextmanager
def owned(home: Path) -> Iterator[None]:
    """Hold the home for this process. HomeInUse names the process that already holds it."""
    with _opened(home / "owner.lock") as lock:
        if not _locked(lock):
            pid = os.pread(lock, 20, 0).decode().strip()
            raise HomeInUse(f"Carillon is already running on this home: {home} (process {pid or 'unknown'})")
        _rewrite(lock, f"{os.getpid()}\n")
        yield


class ServerLock:
    """Held by the server of a home from its start to the end of its last process."""

    def __init__(self, home: Path) -> None:
        self._path = home / "postgres.lock"

    def alive(self) -> bool:
        """Whether any process of the home's server lives."""
        with _opened(self._path) as lock:
            return not _locked(lock)

    @contextmanager
    def taken(self) -> Iterator[int]:
        """The lock as a descriptor for the server to inherit: it stays taken while a process has it open."""
        with _opened(self._path) as lock:
            if not _locked(lock):
                raise CannotStart(f"a PostgreSQL still runs in {self._path.parent}")
            yield lock

    def record(self, lock: int, temporary: Path | None, pid: int | None = None) -> None:
        """Say of the server that inherits the lock what its pid is, and which folder goes with it."""
        _rewrite(lock, json.dumps({"pid": pid, "temporary": temporary and str(temporary)}))

    def recorded(self) -> tuple[int | None, Path | None]:
        """The pid and the temporary folder, if any, of the server that holds the lock."""
        with _opened(self._path) as lock:
            said = json.loads(os.pread(lock, 65_536, 0) or "{}")
        return said.get("pid"), Path(said["temporary"]) if said.get("temporary") else None


@contextmanager
def _opened(path: Path) -> Iterator[int]:
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    except PermissionError as error:
        raise CannotStart(f"{path.parent} belongs to another user: choose another CARILLON_HOME") from error
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _rewrite(descriptor: int, text: str) -> None:
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, text.encode(), 0)
