"""Imports keep to the layers of pyproject.toml, and nothing is replaced by a mock."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.rules.sources import ROOT, imported, modules, parsed, shown

MOCKS = ("unittest.mock", "mock", "pytest_mock")


def test_the_import_contracts_are_kept() -> None:
    # Not in this process: it sets logging up for itself.
    command = (Path(sys.executable).with_name("lint-imports"), "--no-cache", "--no-logo")
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_nothing_is_mocked() -> None:
    mocking = [
        f"{shown(file)} imports {name}"
        for file in modules()
        for name in imported(parsed(file))
        if any(f"{name}.".startswith(f"{mock}.") for mock in MOCKS)
    ]
    assert not mocking, "\n".join(mocking)
