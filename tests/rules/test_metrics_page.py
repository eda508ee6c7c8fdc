"""Every figure that a process tells is documented as it is, and bears the name that Prometheus expects."""

from __future__ import annotations

import ast
import re

from infra.telemetry.metrics_page import PAGE, SOURCES, figures, page
from tests.rules.sources import ROOT

FIGURES = figures()
MADE = re.compile(r"\b(?:Counter|Gauge|Histogram|Summary|Info|Enum)\(\s*f?[\"']")
"""What the source makes, however it is written down."""


def test_the_page_of_figures_is_that_of_the_source() -> None:
    assert PAGE.read_text() == page()


def test_no_figure_of_the_source_is_missing() -> None:
    files = [file for part in SOURCES for file in (ROOT / part).rglob("*.py")]
    assert sum(len(MADE.findall(ast.unparse(ast.parse(file.read_text())))) for file in files) == len(FIGURES)


def test_names_say_what_they_are_of_and_in_which_unit() -> None:
    names = [each.name for each in FIGURES]
    assert len(names) == len(set(names))
    for each in FIGURES:
        assert re.fullmatch(r"carillon(_[a-z]+)+", each.name), each.name
        assert each.name.endswith("_total") is (each.kind == "counter"), each.name
        assert each.kind != "histogram" or each.name.endswith("_seconds"), each.name
        assert not re.search("_(milliseconds|ms|minutes|kilobytes|percent)(_|$)", each.name), each.name


def test_no_label_could_hold_an_id_or_a_text_of_a_caller() -> None:
    bounded = {
        "code",
        "consumer",
        "kind",
        "limit",
        "link",
        "loop",
        "method",
        "name",
        "of",
        "operation",
        "outcome",
        "pool",
        "queue",
        "reason",
        "route",
        "state",
        "status",
        "table",
        "tenant",
        "to",
        "transport",
        "version",
        "work",
    }
    assert {label for each in FIGURES for label in each.labels} == bounded
