"""The alarms for operators and their runbook: each alarm has its steps and a drill, and asks for figures that exist."""

from __future__ import annotations

import re
from pathlib import Path

from desk import figures
from desk.receiving.worker_figures import WorkerFigures
from tests.install.test_security_table import missing

ROOT = Path(__file__).resolve().parents[2]
RULES = (ROOT / "config" / "prometheus" / "alerts.yml").read_text("utf-8")
RUNBOOK = (ROOT / "docs" / "runbook.md").read_text("utf-8")
ALARMS = re.findall(r"- alert: (\w+)\n +expr: (.*?)\n +(?:for|labels): .*?runbook: \"([^\"]+)\"\}", RULES, re.DOTALL)
"""Name, expression and place in the runbook of each alarm."""
SECTIONS = dict(re.findall(r"(?m)^## (\d+\. .+)\n((?:(?!^## ).*\n)*)", RUNBOOK))


def anchor(title: str) -> str:
    """As GitHub makes it."""
    return re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")


def test_each_alarm_has_its_section_and_each_of_ten_sections_an_alarm_and_a_drill() -> None:
    assert len(ALARMS) == RULES.count("- alert:") >= 10
    assert len(SECTIONS) == 10
    by_place = {f"docs/runbook.md#{anchor(title)}": text for title, text in SECTIONS.items()}
    assert {place for _, _, place in ALARMS} == by_place.keys()
    for name, _, place in ALARMS:
        assert f"`{name}`" in by_place[place], name
    for title, text in SECTIONS.items():
        steps, _, drilled = text.partition("Drilled by")
        assert {"1.", "2."} <= set(re.findall(r"(?m)^\d\.", steps)), title
        assert "**Over** if" in steps, title
        assert missing(drilled) == [], title


def test_each_alarm_and_step_asks_for_a_figure_that_a_dashboard_shows() -> None:
    """The dashboards have each figure that there is, and no other: their tests compare them with the services."""
    dashboards = (ROOT / "config" / "grafana" / f"{name}.json" for name in ("brokers", "desk", "workers"))
    there = {name for each in dashboards for name in re.findall("doorward_[a-z_]+", each.read_text("utf-8"))}
    asked = {name for _, expression, _ in ALARMS for name in re.findall("doorward_[a-z_]+", expression)}
    assert asked
    assert asked - there == set()
    assert set(re.findall("doorward_[a-z_]+", RUNBOOK)) - there == set()


def test_each_label_that_an_alarm_looks_at_has_a_sample(data: Path) -> None:
    page = figures.page() + WorkerFigures().page()
    labels = re.findall(r'doorward_\w+\{\w+="\w+"\}', "".join(expression for _, expression, _ in ALARMS) + RUNBOOK)
    assert len(labels) >= 3
    assert [each for each in labels if f"{each} " not in page] == []
