"""Reads pages of figures with Prometheus' own parser, and applies the rules of its linter (`promtool check metrics`).

Source: https://prometheus.io/docs/practices/naming/ and prometheus/client_golang, testutil/promlint.
"""

from __future__ import annotations

import http.client
import re
from collections.abc import Mapping

from prometheus_client.parser import text_string_to_metric_families

__all__ = ["page_at", "read_by_prometheus"]

_KINDS = ("counter", "gauge", "histogram")
_UNITS = (
    "milliseconds",
    "minutes",
    "hours",
    "days",
    "kilobytes",
    "megabytes",
    "bits",
    "fahrenheit",
    "kelvin",
    "percent",
)


def read_by_prometheus(page: str) -> Mapping[str, float]:
    """Returns each figure by its name and labels. Raises `AssertionError` if the linter would complain."""
    found: dict[str, float] = {}
    for name, kind in re.findall(r"(?m)^# TYPE (\S+) (\S+)$", page):  # the parser mends the names of counters
        assert (kind == "counter") == name.endswith("_total"), f"{name} is a {kind}"
    for family in text_string_to_metric_families(page):
        assert family.documentation, f"{family.name}: no help text"
        assert family.type in _KINDS, f"{family.name}: its type is {family.type}"
        assert not set(_UNITS) & set(family.name.split("_")), f"{family.name}: no base unit"
        assert family.name == family.name.lower(), family.name
        assert not family.name.endswith(_KINDS), f"{family.name}: the type is in the name"
        assert family.samples, f"{family.name}: no figure"
        for sample in family.samples:
            labels = ",".join(f"{name}={value}" for name, value in sorted(sample.labels.items()))
            assert f"{sample.name}{{{labels}}}" not in found, f"{sample.name}: twice"
            found[f"{sample.name}{{{labels}}}"] = sample.value
    return found


def page_at(port: int) -> str:
    """Returns the figures that a program serves at this port of this computer."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request("GET", "/metrics")
    answer = connection.getresponse()
    page = answer.read().decode()
    connection.close()
    assert answer.status == 200
    return page
