"""Every sentence of SECURITY.md and docs/security that claims something has its test in `security_sentences.py`."""

from __future__ import annotations

import re
from collections.abc import Iterable

import pytest

from tests.install.security_sentences import (
    DESK_CANNOT,
    FRONT,
    FRONT_WORDS,
    LATER,
    LIMIT_WORDS,
    LIMITS,
    MECHANISMS,
    PEERS,
    PROMISES,
    WORDS,
)
from tests.install.test_security_table import ANALYSIS, AT_A_DESK, PAGES, PROMISED, ROOT, missing, rows

SECURITY = (ROOT / "SECURITY.md").read_text(encoding="utf-8")
LIMITED = (PAGES / "limits.md").read_text(encoding="utf-8")
ATTACKED = "## What an attacker gains from one process"
LISTED = [
    *PROMISES.items(),
    *MECHANISMS.items(),
    *LATER.items(),
    *FRONT.items(),
    *LIMITS.items(),
    *((" -> ".join(each), shown) for each, shown in PEERS.items()),
    *((": ".join(each), shown) for each, shown in DESK_CANNOT.items()),
]
FIGURE = re.compile(r"\d|\b(refuse[sd]?|notices?|doctor|bounded|at most|never|report says)\b")
"""A sentence of limits.md with one of these states more than a limit."""
NO_FIGURE = re.compile(r"`[^`]*`|\((?:decision )?\d+\)|\(0\d+\)|H\.26\d|X25519|Ed25519|TLS 1\.3|[Dd]ecision \d+")
"""Numbers that count nothing."""


def sentences_in(text: str) -> list[str]:
    """The sentences of paragraphs and list items, without tables and marks of Markdown."""
    plain = re.sub(r"^#.*$|^\d+\. |^\|.*$", "", text, flags=re.MULTILINE)
    plain = re.sub(r"^- \*\*([^*]*)\.\*\*", r"\n\n\1:", plain, flags=re.MULTILINE)
    plain = re.sub(r"\[([^\]]*)\]\([^)]*\)|\*\*|^- ", r"\1", plain, flags=re.MULTILINE)
    paragraphs = [" ".join(part.split()) for part in re.split(r"\n\n|\n(?=[A-Z][^\n]*\*\*)|\n(?=- )", plain)]
    found = [each for part in paragraphs for each in re.split(r"(?<=[.!?]) +(?=[A-Z`*\d])", part) if each]
    return [each[0].upper() + each[1:] for each in found]


def of_promises() -> list[str]:
    items = re.split(r"\n(?=\d+\. \*\*)", PROMISED.partition("## What shows each promise")[0])[1:]
    return [each for item in items for each in sentences_in(item)]


def of_mechanisms() -> list[str]:
    return sentences_in(ANALYSIS.partition("\n")[2].partition(ATTACKED)[0])


def of_later_sections() -> list[str]:
    return sentences_in(ANALYSIS.partition(ATTACKED)[2])


def of_the_front() -> list[str]:
    listed = re.sub(r"^- ", "\n- ", SECURITY.partition("\n")[2], flags=re.MULTILINE)
    return [each for each in sentences_in(listed) if not each.startswith("Doorward protects the people")]


def of_limits() -> list[str]:
    return sentences_in(LIMITED.partition("\n## ")[2].partition("\n")[2])


def states_more_than_a_limit(sentence: str) -> bool:
    return bool(FIGURE.search(NO_FIGURE.sub("", sentence)))


def unshown(sentences: Iterable[str], begins: Iterable[str]) -> list[str]:
    """Those that do not begin like exactly one of `begins`."""
    return [each for each in sentences if sum(each.startswith(begin) for begin in begins) != 1]


def test_every_sentence_of_the_promises_has_its_test() -> None:
    found = of_promises()
    assert len(found) >= 70
    assert unshown(found, [*PROMISES, *WORDS]) == []


def test_every_sentence_about_how_they_are_kept_has_its_test() -> None:
    found = of_mechanisms()
    assert len(found) >= 80
    assert unshown(found, [*MECHANISMS, *WORDS]) == []


def test_every_sentence_of_the_later_sections_has_its_test() -> None:
    found = of_later_sections()
    assert len(found) >= 85
    assert unshown(found, [*LATER, *WORDS]) == []


def test_every_sentence_of_security_md_has_its_test() -> None:
    found = of_the_front()
    assert len(found) >= 17
    assert unshown(found, [*FRONT, *FRONT_WORDS]) == []


def test_every_figure_and_protection_among_the_limits_has_its_test() -> None:
    found = of_limits()
    assert len(found) >= 220
    stated = [each for each in found if states_more_than_a_limit(each)]
    assert len(stated) >= 35
    assert unshown(stated, [*LIMITS, *LIMIT_WORDS]) == []


def test_every_row_of_what_a_peer_can_make_a_process_hold_has_its_test() -> None:
    held = rows(ANALYSIS, "## What a peer can make a process hold")
    assert {(peer, process) for peer, process, _ in held} == PEERS.keys()


def test_every_thing_that_a_person_at_a_desk_cannot_do_has_its_test() -> None:
    claims = [(row[0], claim) for row in AT_A_DESK for claim in row[2].split("; ")]
    assert len(claims) >= 30
    counted = {
        (who, said): sum(who == each and said.startswith(begin) for each, begin in DESK_CANNOT) for who, said in claims
    }
    assert [said for said, count in counted.items() if count != 1] == []


def test_nothing_is_listed_that_no_page_says() -> None:
    said = {
        "promises": ([*PROMISES], of_promises()),
        "mechanisms": ([*MECHANISMS], of_mechanisms()),
        "later": ([*LATER], of_later_sections()),
        "words": ([*WORDS], [*of_promises(), *of_mechanisms(), *of_later_sections()]),
        "front": ([*FRONT, *FRONT_WORDS], of_the_front()),
        "limits": ([*LIMITS, *LIMIT_WORDS], of_limits()),
    }
    for page, (begins, sentences) in said.items():
        assert [begin for begin in begins if not any(each.startswith(begin) for each in sentences)] == [], page
    cannot = [(row[0], claim) for row in AT_A_DESK for claim in row[2].split("; ")]
    assert [
        each for each in DESK_CANNOT if not any(who == each[0] and said.startswith(each[1]) for who, said in cannot)
    ] == []


@pytest.mark.parametrize(("begin", "shown"), LISTED, ids=[begin for begin, _ in LISTED])
def test_what_shows_a_sentence_is_there(begin: str, shown: tuple[str, ...]) -> None:
    assert missing(" ".join(f"`{each}`" for each in shown)) == []


def test_a_sentence_without_a_test_is_noticed() -> None:
    planted = ["No key that opens footage is in the doorbell.", "No doorbell is ever wet."]
    assert unshown(planted, [*PROMISES, *WORDS]) == ["No doorbell is ever wet."]
    assert states_more_than_a_limit("A doorbell keeps 12 of them (decision 53).")
    assert not states_more_than_a_limit("A doorbell keeps some of them (decision 53, `at most 3`).")
