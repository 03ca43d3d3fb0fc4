"""Labels are read strictly, and a wrong one names its clip."""

from __future__ import annotations

import json

import pytest

from agent.core.motion_accuracy.labels import parse_labels
from agent.core.motion_accuracy.scoring import Interval
from agent.errors import FormatError

GOOD = {"file": "office.mp4", "duration_s": 82.1, "events_s": [[23, 81.5]], "what": "a man reads"}


def test_a_label_is_read_with_its_intervals() -> None:
    (label,) = parse_labels(json.dumps({"office": GOOD}))
    assert (label.name, label.file, label.duration_s) == ("office", "office.mp4", 82.1)
    assert label.events == (Interval(23, 81.5),)
    assert label.dont_care == ()


@pytest.mark.parametrize(
    "wrong",
    [
        {"file": None, "duration_s": 1},
        {**GOOD, "duration_s": "long"},
        {**GOOD, "events_s": [[5, 4]]},
        {**GOOD, "events_s": [[1, 2, 3]]},
        {**GOOD, "events_s": [[1, float("nan")]]},
        [],
    ],
)
def test_a_wrong_label_names_its_clip(wrong: object) -> None:
    with pytest.raises(FormatError, match="'office'"):
        parse_labels(json.dumps({"office": wrong}))


@pytest.mark.parametrize("text", ["", "[]", "{"])
def test_what_is_no_object_is_refused(text: str) -> None:
    with pytest.raises(FormatError):
        parse_labels(text)
