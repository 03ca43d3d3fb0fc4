"""Counts the steps of a walk from what the browser's driver saw: presses, fields, codes to scan, files to install.

The rule: a scan is a step, and so is a file to install, with the press that gets it. Otherwise a step is at most two
presses with the fields of one form. The press that sends a form ends its step.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from typing import Final

from tests.browser.browser import Browser

__all__ = ["Act", "Steps", "judge", "steps_of"]

MOST_STEPS: Final = 7
MOST: Final = {"press": 9, "field": 5, "scan": 1, "install": 1}
"""The parts of the seven steps. Fields: network, password, passphrase twice, and the kit's last characters."""
_MOST_PRESSES: Final = 2
_ALONE: Final = ("scan", "install")

Act = tuple[str, str, float]
"""Its kind, the words on the thing, and the Unix time in seconds."""


def steps_of(acts: Sequence[Act]) -> list[list[Act]]:
    """Groups what a person did into steps."""
    steps: list[list[Act]] = []
    is_open = False
    for act in acts:
        kind = act[0]
        kinds = [each for each, *_ in steps[-1]] if is_open else []
        is_full = kinds.count("press") >= _MOST_PRESSES
        if not is_open or is_full or kind in _ALONE:
            steps.append([])
            kinds = []
        steps[-1].append(act)
        is_open = kind not in _ALONE and not (kind == "press" and "field" in kinds)
    return steps


def judge(acts: Sequence[Act]) -> None:
    """Fails if a person has to do more than promised: one more step, press, field, code or file is too many."""
    steps = steps_of(acts)
    assert len(steps) <= MOST_STEPS, steps
    counts = Counter(kind for kind, *_ in acts)
    assert all(counts[kind] <= MOST.get(kind, 0) for kind in counts), counts


class Steps:
    """The walk of a person, on one phone after the other."""

    def __init__(self) -> None:
        self.acts: list[Act] = []
        self._began_s = time.time()

    def add(self, phone: Browser) -> None:
        """Counts everything that was done on this phone's page since the last call."""
        self.acts += phone.acts("ana")

    def judge(self) -> None:
        judge(self.acts)

    @property
    def done(self) -> list[str]:
        """One line for each step, with the second at which it was done."""
        lines = []
        for number, step in enumerate(steps_of(self.acts), 1):
            what = ", ".join(f"{kind} “{words}”" if words else kind for kind, words, _ in step)
            lines.append(f"{number}. {what} ({step[-1][2] - self._began_s:.0f} s)")
        return lines
