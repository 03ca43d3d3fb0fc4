"""The pages about the CRA and EN 18031 assess each requirement once, and everything that they name exists."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGES = ROOT / "docs" / "conformity"
VERDICTS = {"met", "in part", "not met", "N/A"}
ANNEX_I = {
    "3. Essential requirements": ["1", *(f"2{letter}" for letter in "abcdefghijklm")],
    "4. Handling of vulnerabilities": [str(number) for number in range(1, 9)],
}
EN_18031 = {
    "ACM": 2, "AUM": 6, "SUM": 3, "SSM": 3, "SCM": 4, "RLM": 1, "NMM": 1, "TCM": 1, "CCK": 3, "GEC": 7, "CRY": 1,
    "LGM": 4, "DLM": 1, "UNM": 2,
}  # fmt: skip
"""The mechanisms of EN 18031-1 and -2, without those for toys and childcare."""


def rows(text: str) -> list[list[str]]:
    lines = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line[:1] == "|"]
    return [row for row in lines if row[0] not in ("number", "mechanism") and set(row[0]) != {"-"}]


@pytest.mark.parametrize("part", ANNEX_I)
def test_each_requirement_of_annex_i_is_assessed_once_and_in_order(part: str) -> None:
    section = (PAGES / "cra.md").read_text().split(f"## {part}")[1].split("\n## ")[0]
    assert [row[0] for row in rows(section)] == ANNEX_I[part]
    assert {row[2] for row in rows(section)} <= VERDICTS


def test_each_mechanism_of_en_18031_is_assessed_once() -> None:
    found = rows((PAGES / "en-18031.md").read_text())
    assert [row[0] for row in found] == [
        f"{mechanism}-{number}" for mechanism, count in EN_18031.items() for number in range(1, count + 1)
    ]
    assert {row[2] for row in found} <= VERDICTS


@pytest.mark.parametrize("page", ["cra.md", "en-18031.md", "vulnerabilities.md", "data-protection.md"])
def test_every_file_that_a_page_names_exists(page: str) -> None:
    named = [name for name in re.findall(r"`([\w./-]+)`", (PAGES / page).read_text()) if "/" in name or ".md" in name]
    assert [name for name in named if not (ROOT / name).exists()] == []


def test_a_verdict_of_met_names_what_shows_it() -> None:
    tables = rows((PAGES / "en-18031.md").read_text())
    for part in ANNEX_I:
        tables += rows((PAGES / "cra.md").read_text().split(f"## {part}")[1].split("\n## ")[0])
    assert [row[0] for row in tables if row[2] == "met" and "`" not in row[3] and "](" not in row[3]] == []


LEGAL_TEXTS = {
    "Early warning, within 24 hours": ("Doorward 0", "unlawful act", "member states"),
    "Notification, within 72 hours": (
        "Product",
        "Fault",
        "Use",
        "Measures taken",
        "Measures for users",
        "Confidential",
    ),
    "Final report, within 14 days of the remedy": (
        "Product",
        "Fault",
        "Gravity",
        "Effect",
        "Attacker",
        "Remedy",
        "CVSS:4.0/",
    ),
    "Advisory": (
        "Affected",
        "Mended in",
        "Gravity",
        "What can happen",
        "What to do",
        "Who found it",
        "CVE-",
        "CVSS:4.0/",
    ),
}
"""The texts of the drill, and the subjects of each. Source: article 14(2) of Regulation (EU) 2024/2847."""


def test_the_drill_has_the_text_of_each_report_that_the_law_demands_and_of_the_advisory() -> None:
    parts = (PAGES / "vulnerabilities.md").read_text().split("## The texts of the drill\n")[1].split("\n### ")[1:]
    texts = dict(part.split("\n", 1) for part in parts)
    assert list(texts) == list(LEGAL_TEXTS)
    for name, subjects in LEGAL_TEXTS.items():
        quoted = " ".join(line[2:] for line in texts[name].splitlines() if line.startswith("> "))
        assert [subject for subject in subjects if subject not in quoted] == [], name
