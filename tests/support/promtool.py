"""Prometheus' own tool, which checks rules and runs them."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

REQUIRED = os.environ.get("CI") == "true"
"""Whether a test that does not find it fails, instead of being reported as not run."""
FOLDER = Path(__file__).parents[2] / "deploy/prometheus"
RULES = sorted((FOLDER / "rules").glob("*.yml"))


def missing() -> str | None:
    """Why it cannot be run, and what to do; None when it can."""
    if shutil.which("promtool") is None:
        return "no promtool here: install Prometheus (on Debian and Ubuntu: apt-get install prometheus)"
    return None


def promtool(*words: str | Path) -> str:
    """What it says; fails with all of it when it is not content."""
    ended = subprocess.run(("promtool", *words), cwd=FOLDER, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout
