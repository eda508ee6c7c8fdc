"""Settings that would not work together are refused, with the one that is to change."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from tests.support.engine_fakes import settings_of


def test_attempts_are_kept_as_long_as_their_tasks() -> None:
    with pytest.raises(ValidationError, match="retain_attempts_days must be at least"):
        settings_of(retain_failed_days=31)
    assert settings_of(retain_failed_days=31, retain_attempts_days=31).retain_attempts_days == 31
