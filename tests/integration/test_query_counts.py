"""How many statements a query costs, on PostgreSQL."""

from __future__ import annotations

import pytest

from api.main import create_app
from infra.bootstrap import ApiServices, open_api_services
from infra.settings import Settings
from tests.support.graphql_client import HttpClient, http_client
from tests.support.serving import serving

pytestmark = pytest.mark.postgres

CREATE = "mutation($tasks: [CreateTaskInput!]!) { createTasks(input: {tasks: $tasks}) { createdCount } }"
LIST = """{ tasks(first: 50, orderBy: CREATED_AT_DESC) { nodes {
    id title attempts { nodes { number worker } } notifications { nodes { title task { id title } } } } } }"""


def statements(services: ApiServices) -> float:
    return sum(
        sample.value
        for metric in services.metrics.collect()
        for sample in metric.samples
        if sample.name == "carillon_sql_seconds_count"
    )


async def cost(client: HttpClient, services: ApiServices, query: str) -> float:
    before = statements(services)
    await client.execute(query)
    return statements(services) - before


async def test_fifty_tasks_with_attempts_and_notifications_cost_at_most_four_statements(
    database_url: str,
) -> None:
    settings = Settings.model_validate({"database_url": database_url})
    async with (
        open_api_services(settings) as services,
        serving(create_app(services)) as address,
        http_client(address) as client,
    ):
        await client.execute(CREATE, tasks=[{"title": f"task {n}"} for n in range(60)])
        assert await cost(client, services, LIST) <= 4
        assert await cost(client, services, LIST.replace("first: 50", "first: 1")) <= 4
        told = LIST.replace("id title attempts", "id title progress { at } log { message } attempts")
        assert await cost(client, services, told) <= 6
