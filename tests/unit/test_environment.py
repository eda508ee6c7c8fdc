"""The commands in bin/ make their own environment, or say in plain words what is missing."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

BIN = Path(__file__).parents[2] / "bin"


@pytest.fixture
def environment(tmp_path: Path) -> ModuleType:
    """bin/environment.py, as it is in a checkout with an environment that is up to date."""
    checkout = tmp_path / "check out"
    (checkout / "bin").mkdir(parents=True)
    copy = checkout / "bin/environment.py"
    copy.write_text((BIN / "environment.py").read_text())
    (checkout / "requirements.lock").write_text("a-package==1\n")
    spec = importlib.util.spec_from_file_location("environment", copy)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    made: Any = module
    made.python_of(made.ENVIRONMENT).parent.mkdir(parents=True)
    made.python_of(made.ENVIRONMENT).symlink_to(sys.executable)
    (made.ENVIRONMENT / made.STAMP).write_text(made.stamp())
    return module


def test_a_changed_lock_file_a_moved_checkout_and_an_unfinished_environment_are_noticed(
    environment: Any,
) -> None:
    assert environment.is_current(environment.ENVIRONMENT)
    environment.LOCK.write_text("a-package==2\n")
    assert not environment.is_current(environment.ENVIRONMENT)
    environment.LOCK.write_text("a-package==1\n")
    moved = environment.ROOT.rename(environment.ROOT.parent / "moved")
    assert not environment.is_current(environment.ENVIRONMENT)
    moved.rename(environment.ROOT)
    (environment.ENVIRONMENT / environment.STAMP).unlink()
    assert not environment.is_current(environment.ENVIRONMENT)


def test_an_old_python_is_told_what_to_do(
    environment: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(environment, "OLDEST", (3, 99))
    with pytest.raises(SystemExit):
        environment.refuse_what_cannot_work()
    assert "Carillon needs Python 3.99 or newer" in capsys.readouterr().err


def test_a_python_without_venv_is_told_what_to_install(
    environment: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "ensurepip" else name)
    with pytest.raises(SystemExit):
        environment.refuse_what_cannot_work()
    assert "no module ensurepip" in (said := capsys.readouterr().err)
    assert "apt-get install python3-venv" in said


def test_programs_are_renamed_to_where_they_end_up(environment: Any) -> None:
    folder = environment.UNFINISHED / "bin"
    folder.mkdir(parents=True)
    (folder / "program").write_text(f"#!{environment.UNFINISHED}/bin/python\n")
    environment.rename_in_programs(folder)
    assert (folder / "program").read_text() == f"#!{environment.ENVIRONMENT}/bin/python\n"


def test_a_module_finds_the_project_first_and_then_the_callers_folder(environment: Any, tmp_path: Path) -> None:
    (environment.ROOT / "ours.py").write_text("import theirs, name; print(theirs.__name__, name.OF)\n")
    (environment.ROOT / "name.py").write_text("OF = 'ours'\n")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "theirs.py").touch()
    (elsewhere / "name.py").write_text("OF = 'theirs'\n")
    command = (sys.executable, environment.ROOT / "bin/environment.py", "ours")
    done = subprocess.run(command, cwd=elsewhere, capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("theirs ours\n", "")


@pytest.mark.parametrize("command", ["carillon", "check", "dev", "lock", "test"])
def test_commands_are_posix_scripts_that_anyone_may_run(command: str) -> None:
    assert os.access(BIN / command, os.X_OK)
    assert (BIN / command).read_text().startswith("#!/bin/sh\n")
    subprocess.run(("sh", "-n", BIN / command), check=True)
