"""The schema is as the rules of @graphql-eslint would have it, those for Relay too."""

from __future__ import annotations

from pathlib import Path

import pytest

from schema.export import SDL
from tests.support.node_clients import run_client

pytestmark = pytest.mark.node

WORSE = '''
""".""" type Query { """.""" tasks: TaskConnection, """.""" others(first: Int): OtherConnection @deprecated }
""".""" type TaskConnection { """.""" edges: Int, """.""" pageInfo: PageInfo }
""".""" type OtherConnection { edges: [Other!]!, """.""" pageInfo: PageInfo! }
""".""" type Other { """.""" number: Int }
""".""" type PageInfo { """.""" hasNextPage: Boolean }
""".""" enum kind_of { """.""" a }
'''


async def test_no_rule_has_anything_against_the_schema() -> None:
    assert await run_client("lint-schema.js", str(SDL)) == []


async def test_the_rules_find_what_is_against_them(tmp_path: Path) -> None:
    worse = tmp_path / "schema.graphql"
    worse.write_text(WORSE)
    found = {message["ruleId"] for message in await run_client("lint-schema.js", str(worse))}
    assert {name.removeprefix("@graphql-eslint/") for name in found} == {
        "naming-convention",
        "no-unreachable-types",
        "relay-arguments",
        "relay-connection-types",
        "relay-edge-types",
        "relay-page-info",
        "require-deprecation-reason",
        "require-description",
        "strict-id-in-types",
    }
