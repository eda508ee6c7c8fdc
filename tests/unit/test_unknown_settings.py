"""A setting that is misspelt does not pass in silence."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from infra.settings import Settings
from infra.unknown_settings import PREFIX, READ_ELSEWHERE, unknown_settings
from tests.rules.sources import ROOT, modules
from tests.unit.test_cli import URLS, carillon


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("CARILLON_REDIS_ULR", ["CARILLON_REDIS_ULR is no setting: is CARILLON_REDIS_URL meant?"]),
        ("CARILLON_WORKERSLOTS", ["CARILLON_WORKERSLOTS is no setting: is CARILLON_WORKER_SLOTS meant?"]),
        ("CARILLON_QQQQQ", ["CARILLON_QQQQQ is no setting"]),
        ("CARILLON_REDIS_URL", []),
        ("carillon_redis_url", []),
        ("CARILLON_HOME", []),
        ("CARILLON_REQUIRE_SERVICES", []),
        ("PATH", []),
    ],
)
def test_what_looks_like_a_setting_and_is_none_is_told_with_the_nearest(name: str, told: list[str]) -> None:
    assert unknown_settings([name]) == told


def test_a_process_that_lacks_a_setting_is_told_of_the_one_that_is_misspelt() -> None:
    misspelt = {"CARILLON_REDIS_ULR": "redis://:hunter2@127.0.0.1"}
    given = {name: url for name, url in URLS.items() if name != "CARILLON_REDIS_URL"}
    ended = carillon("worker", **given, **misspelt)
    assert ended.returncode == 2
    first, second = ended.stderr.splitlines()
    assert first.startswith("Not set: CARILLON_REDIS_URL.")
    assert second == "CARILLON_REDIS_ULR is no setting: is CARILLON_REDIS_URL meant?"


@pytest.mark.parametrize("command", [["keys", "rotate"], ["relay"]])
def test_what_starts_all_the_same_warns_once_and_without_the_value(command: list[str]) -> None:
    # Both end by themselves: the one has no key, the other no handlers.
    ended = carillon(*command, **URLS, CARILLON_METRICS_PROT="hunter2", CARILLON_HANDLERS="no_such_module")
    assert ended.returncode == 1
    [line] = [line for line in ended.stderr.splitlines() if "PROT" in line]
    assert "CARILLON_METRICS_PROT is no setting: is CARILLON_METRICS_PORT meant?" in line
    assert '"level": "warning"' in line
    assert "hunter2" not in line


def test_every_variable_that_files_of_ours_name_is_a_setting_or_read_elsewhere() -> None:
    documents = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
    deployed = [*ROOT.glob("*.yml"), *(ROOT / "deploy").rglob("*.yaml"), *(ROOT / "deploy").rglob("*.example")]
    files = [*modules(), *documents, *deployed]
    texts = [file.read_text() for file in files if file.name != Path(__file__).name]
    named = {name for text in texts for name in re.findall(rf"\b{PREFIX}[A-Z_]*[A-Z]\b", text)}
    known = {f"{PREFIX}{name.upper()}" for name in Settings.model_fields}
    assert named - known == READ_ELSEWHERE
