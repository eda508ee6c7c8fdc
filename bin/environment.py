"""Runs a module of the project in an environment made from the lock file, making that first if need be.

python3 bin/environment.py MODULE [ARGUMENT ...]

Needs nothing but Python. The environment is `.venv` beside this folder, and is remade when the lock file, the
Python version or its own place has changed. The module finds the project first, then the caller's folder.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

OLDEST = (3, 11)
ROOT = Path(__file__).resolve().parent.parent
LOCK = ROOT / "requirements.lock"
ENVIRONMENT = ROOT / ".venv"
UNFINISHED = ROOT / ".venv.new"
REPLACED = ROOT / ".venv.old"
STAMP = "made-from"  # the file that says so; written last


def main() -> None:
    module, *arguments = sys.argv[1:]
    if not is_current(ENVIRONMENT):
        refuse_what_cannot_work()
        with alone() as lock:
            if not is_current(ENVIRONMENT):  # another command may have made it while we waited
                make(lock)
    python = str(python_of(ENVIRONMENT))
    paths = [str(ROOT), os.getcwd(), *filter(None, [os.environ.get("PYTHONPATH")])]
    os.environ["PYTHONPATH"] = os.pathsep.join(paths)
    # -P: not the caller's folder first, where a module of the same name as ours would be taken for it.
    os.execv(python, [python, "-P", "-m", module, *arguments])


def is_current(environment: Path) -> bool:
    try:
        return (environment / STAMP).read_text() == stamp() and python_of(environment).exists()
    except FileNotFoundError:
        return False


def stamp() -> str:
    """What the environment is made from. Its place counts too: programs in it name it."""
    lock = hashlib.sha256(LOCK.read_bytes()).hexdigest()
    return "{} Python {}.{} {}\n".format(lock, *sys.version_info[:2], ROOT)


def python_of(environment: Path) -> Path:
    return environment / "bin" / "python"


def refuse_what_cannot_work() -> None:
    if sys.version_info < OLDEST:
        stop(
            "Carillon needs Python {}.{} or newer, and {} is {}.{}.\n"
            "Install a newer one, or name it: PYTHON=/path/to/python3.12 bin/dev".format(
                *OLDEST, sys.executable, *sys.version_info[:2]
            )
        )
    absent = [name for name in ("venv", "ensurepip") if importlib.util.find_spec(name) is None]
    if absent:
        stop(
            "{} has no module {}, which makes environments.\n"
            "On Debian and Ubuntu: apt-get install python3-venv".format(
                sys.executable, " and no module ".join(absent)
            )
        )


@contextlib.contextmanager
def alone() -> Iterator[int]:
    """One command at a time makes the environment; the others wait for it."""
    lock = os.open(ROOT, os.O_RDONLY)
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("Another command is making the environment: waiting for it ...")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield lock
    finally:
        os.close(lock)


def make(lock: int) -> None:
    """Build aside, then put in place."""
    say(f"Making the environment from {LOCK.name} (once) ...")
    made_from = stamp()
    shutil.rmtree(UNFINISHED, ignore_errors=True)
    shutil.rmtree(REPLACED, ignore_errors=True)
    run(lock, sys.executable, "-m", "venv", str(UNFINISHED))
    python = str(python_of(UNFINISHED))
    quiet = ("--quiet", "--disable-pip-version-check", "--no-input")
    run(lock, python, "-m", "pip", "install", *quiet, "--require-hashes", "--requirement", str(LOCK))
    rename_in_programs(UNFINISHED / "bin")
    (UNFINISHED / STAMP).write_text(made_from)
    if ENVIRONMENT.exists():
        ENVIRONMENT.rename(REPLACED)
    UNFINISHED.rename(ENVIRONMENT)
    shutil.rmtree(REPLACED, ignore_errors=True)


def rename_in_programs(folder: Path) -> None:
    """Programs of packages start with the path of the Python they were installed for."""
    built, final = str(UNFINISHED).encode(), str(ENVIRONMENT).encode()
    for program in folder.iterdir():
        if not program.is_symlink() and built in program.read_bytes():
            program.write_bytes(program.read_bytes().replace(built, final))


def run(lock: int, *command: str) -> None:
    """The command inherits the lock: should we be killed, nobody else builds while it still does."""
    if subprocess.run(command, pass_fds=[lock], check=False).returncode:
        stop("The environment could not be made: see above. Try again when that is put right.")


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def stop(text: str) -> None:
    say(text)
    raise SystemExit(1)


if __name__ == "__main__":
    main()
