"""Draws the figures of RESULTS.md from the measurements: `python plots.py motion.json FOLDER`, with matplotlib.

Runs in the benchmark's own environment, so it imports nothing of the project.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("svg")
import matplotlib.pyplot as plt

OURS = "Doorward"


def accuracy_against_cost(found: dict[str, Any], path: Path) -> None:
    """One point a detector: what a busy step costs, what it gets right in disturbed scenes."""
    figure, axes = plt.subplots(figsize=(7, 4))
    sums, costs = found["accuracy"]["sums"], found["cost"]["ms"]
    for name, row in sums.items():
        cost = costs.get(name.split(",")[0]) or {}
        if "busy" not in cost:
            continue
        axes.scatter(cost["idle"][0], row["drawn"]["f1"], color="tab:red" if name == OURS else "tab:gray")
        axes.annotate(
            name, (cost["idle"][0], row["drawn"]["f1"]), xytext=(4, 3), textcoords="offset points", fontsize=8
        )
    axes.set(
        xscale="log",
        xlabel="thread CPU of an idle step, ms (paced)",
        ylabel="event F1, disturbed scenes",
        ylim=(0, 1.02),
    )
    figure.tight_layout()
    figure.savefig(path)


def false_alarms(found: dict[str, Any], path: Path) -> None:
    sums = found["accuracy"]["sums"]
    names = sorted(sums, key=lambda name: -sums[name]["drawn"]["false_per_h"])
    figure, axes = plt.subplots(figsize=(7, 4))
    rates = [sums[name]["drawn"]["false_per_h"] for name in names]
    axes.barh(names, rates, color=["tab:red" if name == OURS else "tab:gray" for name in names])
    for row, rate in enumerate(rates):
        axes.annotate(f"{rate:.1f}", (rate, row), xytext=(3, -3), textcoords="offset points", fontsize=8)
    axes.set(xlabel="false alarms an hour of disturbance")
    figure.tight_layout()
    figure.savefig(path)


if __name__ == "__main__":
    results, folder = json.loads(Path(sys.argv[1]).read_text()), Path(sys.argv[2])
    mpl.rcParams["svg.hashsalt"] = "doorward"
    if "accuracy" in results:
        false_alarms(results, folder / "false-alarms.svg")
    if {"accuracy", "cost"} <= results.keys():
        accuracy_against_cost(results, folder / "accuracy-against-cost.svg")
