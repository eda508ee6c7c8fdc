"""Every code that a client can meet is documented."""

from __future__ import annotations

import re

from schema.error_codes import CODES, PAGE, USER_ERRORS, page
from schema.user_errors import UserErrorCode
from tests.rules.sources import ROOT

GIVEN = (
    r'"code": "([A-Z_]+)"',
    r'\brefused\(\s*"([A-Z_]+)"',
    r'\berror_entry\(\s*"([A-Z_]+)"',
    r'\b_Refused\(\s*\d+,\s*"([A-Z_]+)"',
    r'^    code(?:: ClassVar\[str\])? = "([A-Z_]+)"',
    r'^    _bound\(.*"([A-Z_]+)"\)$',
    r'^        \(shape\..*"([A-Z_]+)"\),$',
)
"""How the source gives an error its code."""
LIMIT = r'_limit_hit\(\d+, "([a-z_]+)"'
"""The name of a limit, whose code is in capitals."""


def given() -> set[str]:
    files = [file for part in ("api", "domain", "schema") for file in (ROOT / part).rglob("*.py")]
    sources = [file.read_text() for file in files]
    found = {code for text in sources for way in GIVEN for code in re.findall(way, text, re.MULTILINE)}
    return found | {name.upper() for text in sources for name in re.findall(LIMIT, text)}


def test_every_code_of_the_source_is_in_the_list_and_the_other_way_round() -> None:
    listed = [each.name for each in CODES]
    assert listed == sorted(listed)
    assert given() == set(listed) | USER_ERRORS


def test_what_only_payloads_tell_is_in_their_enum() -> None:
    assert {each.value for each in UserErrorCode} >= USER_ERRORS


def test_the_page_of_errors_is_that_of_the_list() -> None:
    assert PAGE.read_text() == page()
