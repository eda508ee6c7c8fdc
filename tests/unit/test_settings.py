"""Settings that would not work together are refused, with the one that is to change."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from tests.support.engine_fakes import settings_of


def test_attempts_are_kept_as_long_as_their_tasks() -> None:
    with pytest.raises(ValidationError, match="CARILLON_RETAIN_ATTEMPTS_DAYS must be at least"):
        settings_of(retain_failed_days=31)
    assert settings_of(retain_failed_days=31, retain_attempts_days=31).retain_attempts_days == 31


def test_allowed_origins_are_written_as_browsers_write_them() -> None:
    allowed = settings_of(allowed_origins="https://app.example.com, http://localhost:5173,http://[::1]:80")
    assert allowed.allowed_origins == ("https://app.example.com", "http://localhost:5173", "http://[::1]:80")


@pytest.mark.parametrize(
    "origin",
    ["*", "null", "app.example.com", "https://app.example.com/", "https://App.example.com", "https://*.a.b"],
)
def test_what_is_no_origin_is_not_allowed(origin: str) -> None:
    with pytest.raises(ValidationError, match="allowed_origins"):
        settings_of(allowed_origins=origin)


def test_trusting_published_documents_alone_takes_authentication() -> None:
    with pytest.raises(ValueError, match="CARILLON_DOCUMENTS=trusted needs CARILLON_AUTHENTICATION"):
        settings_of(documents="trusted")
    assert settings_of(documents="trusted", authentication="required").documents == "trusted"


def test_the_tenants_with_figures_of_their_own_are_the_own_one_and_those_named() -> None:
    assert settings_of(tenant="ours", metrics_tenants="a, b,a,ours").measured_tenants == ("ours", "a", "b")
    with pytest.raises(ValidationError, match="metrics_tenants"):
        settings_of(metrics_tenants=",".join(f"t{number}" for number in range(51)))
