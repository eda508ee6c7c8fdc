"""The processes of a run share its tests out by files, but for folders that are one piece of work."""

from __future__ import annotations

import pytest

from tests.support.processes import ROOT
from tests.support.work_units import TOGETHER, unit_of


@pytest.mark.parametrize("folder", TOGETHER)
def test_files_of_a_folder_that_share_what_is_slow_to_start_are_one_unit(folder: str) -> None:
    files = [str(file.relative_to(ROOT)) for file in (ROOT / folder).glob("test_*.py")]
    assert len(files) > 1
    assert {unit_of(file) for file in files} == {folder}


def test_any_other_file_is_one_by_itself() -> None:
    assert unit_of("tests/faults/test_audit.py") == "tests/faults/test_audit.py"
    assert unit_of("tests/unit/test_work_units.py") == "tests/unit/test_work_units.py"
