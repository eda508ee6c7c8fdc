"""What the rules of Prometheus ask for is what the processes of an installation tell."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

import httpx2
import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from tests.support.graphql_client import http_client
from tests.support.installation import open_installation
from tests.support.processes import free_port
from tests.support.promtool import RULES
from tests.support.runbooks import PAGES, blocks
from tests.support.waiting import until

pytestmark = [pytest.mark.postgres, pytest.mark.redis, pytest.mark.rabbit]

PARTS = ("worker", "scheduler", "relay", "notifier")
CREATE = 'mutation { createTask(input: { title: "Now", scheduledAt: "2026-01-01T00:00:00Z" }) { task { id } } }'
READ = "{ tasks(first: 1) { nodes { id } } }"
SELECTOR = re.compile(r"\b(carillon_\w+)(?:\{([^}]*)\})?")
CONDITION = re.compile(r'(\w+)(=~|!~|!=|=)"([^"]*)"')
GROUPED = re.compile(r"\bby \(([^)]*)\)")
OF_PROMETHEUS = {"job", "instance", "le"}
"""Labels that it adds itself, or that buckets have, which are looked at by their values."""

Samples = dict[str, list[dict[str, str]]]
"""The labels of all samples of a name."""


def expressions() -> list[str]:
    groups = [group for file in RULES for group in yaml.safe_load(file.read_text())["groups"]]
    return [rule["expr"] for group in groups for rule in group["rules"]]


def asked(expression: str) -> list[tuple[str, list[tuple[str, str, str]]]]:
    """Each metric of ours that it names, with the conditions on its labels."""
    return [(name, CONDITION.findall(conditions)) for name, conditions in SELECTOR.findall(expression)]


def holds(condition: tuple[str, str, str], labels: dict[str, str]) -> bool:
    label, operator, value = condition
    if operator in {"=", "!="}:
        return (labels.get(label) == value) is (operator == "=")
    return label in labels and bool(re.fullmatch(value, labels[label])) is (operator == "=~")


def grouped(expression: str) -> set[str]:
    labels = {label.strip() for labels in GROUPED.findall(expression) for label in labels.split(",")}
    return labels - OF_PROMETHEUS


def missing(samples: Samples) -> set[str]:
    """What an expression asks for and no process tells."""
    found = set()
    for expression in expressions():
        for name, conditions in asked(expression):
            told = samples.get(name, [])
            if not any(all(holds(one, labels) for one in conditions) for labels in told):
                found.add(f"{name} {conditions}")
            found |= {
                f"{name} by {label}" for label in grouped(expression) if not any(label in one for one in told)
            }
    return found


async def scrape(addresses: list[str]) -> Samples:
    samples: Samples = {}
    async with httpx2.AsyncClient(trust_env=False, timeout=10) as client:
        for address in addresses:
            text = (await client.get(f"{address}/metrics")).text
            for name in re.findall(r"^# TYPE (\w+) ", text, re.MULTILINE):
                samples.setdefault(name, [])
            for family in text_string_to_metric_families(text):
                for sample in family.samples:
                    samples.setdefault(sample.name, []).append(dict(sample.labels))
    return samples


def unknown(samples: Samples) -> set[str]:
    """What a page asks for and no process knows. What has not happened yet has no sample, but a type."""
    queries = [query for page in PAGES for query in blocks(page, "promql")]
    return {
        name for query in queries for name in re.findall(r"\b(?:carillon|process)_\w+", query)
    } - samples.keys()


async def test_every_figure_and_label_that_a_rule_names_is_told(
    postgres_server: str, migrated: str, tmp_path: Path
) -> None:
    ports = {part: free_port() for part in PARTS}
    nobody = f"http://127.0.0.1:{free_port()}"
    async with open_installation(
        postgres_server, migrated, tmp_path, "api", CARILLON_OTLP_ENDPOINT=nobody
    ) as installation:
        await asyncio.gather(
            *(installation.start_one(part, CARILLON_METRICS_PORT=str(port)) for part, port in ports.items())
        )
        async with http_client(installation.api) as client:
            await client.post(CREATE)
            await client.post(READ)
        addresses = [installation.api, *(f"http://127.0.0.1:{port}" for port in ports.values())]

        async def all_told() -> bool:
            return not missing(await scrape(addresses))

        try:
            await until(all_told, 20)
        except TimeoutError:
            pytest.fail("not told: " + "; ".join(missing(await scrape(addresses))))
        assert unknown(await scrape(addresses)) == set()


def test_what_nobody_tells_is_found() -> None:
    told: Samples = {"carillon_tasks_due": [{"job": "x"}]}
    assert "carillon_dead_letters []" in missing(told)
    assert "carillon_dead_letters by of" in missing(told | {"carillon_dead_letters": [{}]})
    assert not any(line.startswith("carillon_tasks_due ") for line in missing(told))
