"""The self-assessment names all 78 provisions once, and everything it points at exists."""

from __future__ import annotations

import re
from pathlib import Path

from tests.config.test_no_error_shows_a_secret import KEYS

ROOT = Path(__file__).resolve().parents[2]
NUMBERS = {
    "5.0": "1", "5.1": "1 2 2A 3 4 5", "5.2": "1 2 3",
    "5.3": "1 2 3 4A 4B 5 6A 6B 7 8 9 10 11 12 13 14 15A 15B 16", "5.4": "1 2 3 4", "5.5": "1 2 3 4 5 6 7 8",
    "5.6": "1 2 3 4A 4B 5 6 7 8 9", "5.7": "1 2", "5.8": "1 2 3", "5.9": "1 2 3", "5.10": "1", "5.11": "1 2 3 4",
    "5.12": "1 2 3", "5.13": "1A 1B", "6": "1 2 3A 3B 4 5 6 7 8",
}  # fmt: skip


def rows() -> list[list[str]]:
    text = (Path(__file__).parent / "EN-303-645.md").read_text()
    found = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line.startswith("|")
    ]
    return found[2:]


def test_all_seventy_eight_provisions_are_assessed_once_and_in_order() -> None:
    wanted = [f"{clause}-{number}" for clause, numbers in NUMBERS.items() for number in numbers.split()]
    assert len(wanted) == 78
    assert [row[0] for row in rows()] == wanted


def test_each_has_a_verdict_and_a_reason_and_what_it_names_exists() -> None:
    for provision, about, verdict, reason in rows():
        assert about
        assert verdict in ("met", "not met", "N/A"), provision
        assert len(reason) > 5, provision
        named = [name for name in re.findall(r"`([\w./-]+)`", reason) if "/" in name or name.endswith((".md", ".cfg"))]
        assert all((ROOT / name).exists() for name in named), (provision, named)
        assert verdict != "met" or named or "doorward" in reason, f"{provision} is said to be met and shows nothing"


def test_at_most_three_provisions_are_not_met_and_each_of_them_has_a_plan_or_a_reason() -> None:
    not_met = {provision: reason for provision, _, verdict, reason in rows() if verdict == "not met"}
    assert len(not_met) <= 3
    assert [each for each, reason in not_met.items() if not re.search(r"(?i)\b(plan|reason): \w+ \w+", reason)] == []


def test_every_key_that_holds_a_password_is_named() -> None:
    """The assessment said that there are none, while a doorbell could have one for its broker."""
    reasons = {provision: reason for provision, _, _, reason in rows()}
    named = set(re.findall(r"`([a-z_.]+)`", reasons["5.1-1"]))
    assert {*KEYS, "broker.password_file"} <= named
