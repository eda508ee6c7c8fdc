"""The rules of Prometheus: each alert fires when it should, and not before, and leads to its page."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from graphql import parse, validate

from schema.build import build_schema
from tests.support.alert_cases import CASES, HEALTHY, Case, Series, written
from tests.support.dashboards import queries
from tests.support.promtool import FOLDER, RULES, promtool
from tests.support.runbooks import PAGES, blocks

ROOT = Path(__file__).parents[2]
HOURS = 500
"""Minutes from which on rules are evaluated less often, or a test would take too long."""
SEVERITIES = {"warning", "critical"}
COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text())


def rules(kind: str) -> Iterator[dict[str, Any]]:
    """Those that make an `alert`, or those that `record`."""
    for file in RULES:
        for group in yaml.safe_load(file.read_text())["groups"]:
            yield from (rule for rule in group["rules"] if kind in rule)


ALERTS = list(rules("alert"))


def named(rule: dict[str, Any]) -> str:
    return f"{rule['alert']} {rule['labels']['severity']}"


def firing(alert: str, at: int, *, fires: bool) -> dict[str, Any]:
    name, severity = alert.split()
    return {
        "expr": f'count(ALERTS{{alertname="{name}",severity="{severity}",alertstate="firing"}}) > bool 0',
        "eval_time": f"{at}m",
        "exp_samples": [{"labels": "{}", "value": 1}] if fires else [],
    }


def scraped(name: str, series: Series, *expected: dict[str, Any]) -> dict[str, Any]:
    together = {**HEALTHY, **series}
    return {
        "name": name,
        "interval": "1m",
        "input_series": written(together),
        "promql_expr_test": list(expected),
    }


def both(alert: str, one: Case) -> Iterator[dict[str, Any]]:
    yield scraped(
        f"{alert} fires",
        one.fires,
        firing(alert, one.pending, fires=False),
        firing(alert, one.at, fires=True),
    )
    yield scraped(f"{alert} is silent", one.silent, firing(alert, one.at, fires=False))


def run(folder: Path, tests: list[dict[str, Any]], every: str = "1m") -> None:
    file = folder / "tests.yml"
    whole = {"rule_files": [str(rule) for rule in RULES], "evaluation_interval": every, "tests": tests}
    file.write_text(yaml.safe_dump(whole))
    promtool("test", "rules", file)


@pytest.mark.promtool
def test_the_configuration_and_its_rules_are_valid() -> None:
    promtool("check", "config", "prometheus.yml")


@pytest.mark.promtool
@pytest.mark.parametrize("alert", CASES)
def test_it_fires_in_time_and_is_silent_below(alert: str, tmp_path: Path) -> None:
    for one in CASES[alert]:
        run(tmp_path, list(both(alert, one)), "5m" if one.at > HOURS else "1m")


@pytest.mark.promtool
def test_while_all_is_well_nothing_fires(tmp_path: Path) -> None:
    none = [{"expr": "ALERTS", "eval_time": f"{at}m", "exp_samples": []} for at in (0, 5, 20, 100)]
    run(tmp_path, [scraped("healthy", {}, *none)])


@pytest.mark.promtool
def test_what_is_told_has_its_figures(tmp_path: Path) -> None:
    told = {
        "exp_labels": {"severity": "critical"},
        "exp_annotations": {
            "summary": "A great many due tasks pile up",
            "description": "5.2k tasks are due and not handed over to a worker.",
            "runbook": "docs/runbooks/CarillonDueBacklog.md",
        },
    }
    waits = {"exp_labels": {"severity": "critical"}}
    waits["exp_annotations"] = {
        "summary": "A due task has not been handed over",
        "description": "The task that has waited longest has been due for 1m 15s.",
        "runbook": "docs/runbooks/CarillonTasksWait.md",
    }
    test = {
        "interval": "1m",
        "input_series": [
            {"series": "carillon_tasks_due", "values": "5200x10"},
            {"series": "carillon_oldest_due_seconds", "values": "75x10"},
        ],
        "alert_rule_test": [
            {"alertname": "CarillonDueBacklog", "eval_time": "3m", "exp_alerts": [told]},
            {"alertname": "CarillonTasksWait", "eval_time": "3m", "exp_alerts": [waits]},
        ],
    }
    run(tmp_path, [test])


@pytest.mark.promtool
def test_the_queries_of_the_pages_are_valid(tmp_path: Path) -> None:
    asked = [query for page in PAGES for query in blocks(page, "promql")]
    file = tmp_path / "queries.yml"
    made = [{"record": f"query:{number}", "expr": query} for number, query in enumerate(asked)]
    file.write_text(yaml.safe_dump({"groups": [{"name": "pages", "rules": made}]}))
    promtool("check", "rules", file)


def test_the_operations_of_the_pages_are_valid() -> None:
    schema = build_schema()._schema
    for page in PAGES:
        for text in blocks(page, "graphql"):
            assert validate(schema, parse(text)) == [], page.name


def test_every_alert_is_made_to_fire_and_to_be_silent() -> None:
    assert sorted(CASES) == sorted(map(named, ALERTS))


def test_every_alert_says_how_grave_it_is_for_how_long_and_what_to_do() -> None:
    for rule in ALERTS:
        assert rule["labels"]["severity"] in SEVERITIES, named(rule)
        assert rule["for"], named(rule)
        assert set(rule["annotations"]) == {"summary", "description", "runbook"}, named(rule)
        assert rule["annotations"]["runbook"] == f"docs/runbooks/{rule['alert']}.md"


def test_every_alert_has_a_page_and_every_page_an_alert() -> None:
    pages = {page.stem: page.read_text() for page in PAGES}
    assert set(pages) == {rule["alert"] for rule in ALERTS}
    for alert, text in pages.items():
        assert text.startswith(f"# {alert}\n")
        assert re.findall(r"^## (.+)$", text, re.MULTILINE) == ["See", "Do"], alert


def test_every_page_with_commands_leads_to_where_they_run() -> None:
    for page in PAGES:
        text = page.read_text()
        has = re.search("```sh|bin/carillon|rabbitmqctl|curl ", text) is not None
        assert has == ("(../operations.md#where-commands-run)" in text), page.name


def test_what_is_recorded_is_what_alerts_and_dashboards_go_by() -> None:
    recorded = {rule["record"] for rule in rules("record")}
    expressions = [rule["expr"] for rule in ALERTS] + [query.expression for query in queries()]
    asked = {name for text in expressions for name in re.findall(r"carillon:[a-z_]+:\w+", text)}
    assert asked == recorded


def test_every_part_of_the_installation_is_scraped_where_it_serves_its_figures() -> None:
    scraped_jobs = yaml.safe_load((FOLDER / "prometheus.yml").read_text())["scrape_configs"]
    found = {}
    for job in scraped_jobs:
        if not job["job_name"].startswith("carillon-"):
            continue
        [how] = job["dns_sd_configs"]
        [host] = how["names"]
        assert job["job_name"] == f"carillon-{host}"
        found[host] = how["port"]
    ours = {name for name, service in COMPOSE["services"].items() if "build" in service} - {"migrate"}
    metrics = int(COMPOSE["services"]["worker"]["environment"]["CARILLON_METRICS_PORT"])
    api = int(COMPOSE["services"]["api"]["command"][-1])
    assert found == {name: api if name == "api" else metrics for name in ours}
