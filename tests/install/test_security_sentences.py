"""Every sentence of the promises, and of how they are kept, has its test in `security_sentences.py`."""

from __future__ import annotations

import re

import pytest

from tests.install.security_sentences import MECHANISMS, PROMISES, WORDS
from tests.install.test_security_table import ANALYSIS, PROMISED, missing

LISTED = [*PROMISES.items(), *MECHANISMS.items()]


def sentences_in(text: str) -> list[str]:
    """The sentences of paragraphs and list items, without marks of Markdown."""
    plain = re.sub(r"^#.*$|^\d+\. ", "", text, flags=re.MULTILINE)
    plain = re.sub(r"^- \*\*([^*]*)\.\*\*", r"\n\n\1:", plain, flags=re.MULTILINE)
    plain = re.sub(r"\[([^\]]*)\]\([^)]*\)|\*\*|^- ", r"\1", plain, flags=re.MULTILINE)
    paragraphs = [" ".join(part.split()) for part in re.split(r"\n\n|\n(?=[A-Z][^\n]*\*\*)", plain)]
    return [each for part in paragraphs for each in re.split(r"(?<=[.!?]) +(?=[A-Z])", part) if each]


def of_promises(page: str) -> list[str]:
    items = re.split(r"\n(?=\d+\. \*\*)", page.partition("## What shows each promise")[0])[1:]
    return [each for item in items for each in sentences_in(item)]


def of_mechanisms(page: str) -> list[str]:
    return sentences_in(page.partition("\n")[2].partition("## What an attacker gains from one process")[0])


def unshown(sentences: list[str]) -> list[str]:
    begins = [*(begin for begin, _ in LISTED), *WORDS]
    return [each for each in sentences if sum(each.startswith(begin) for begin in begins) != 1]


def test_every_sentence_of_the_promises_has_its_test() -> None:
    found = of_promises(PROMISED)
    assert len(found) >= 70
    assert unshown(found) == []


def test_every_sentence_about_how_they_are_kept_has_its_test() -> None:
    found = of_mechanisms(ANALYSIS)
    assert len(found) >= 80
    assert unshown(found) == []


def test_nothing_is_listed_that_no_page_says() -> None:
    said = [*of_promises(PROMISED), *of_mechanisms(ANALYSIS)]
    begins = [*(begin for begin, _ in LISTED), *WORDS]
    assert [begin for begin in begins if not any(each.startswith(begin) for each in said)] == []


@pytest.mark.parametrize(("begin", "shown"), LISTED, ids=[begin for begin, _ in LISTED])
def test_what_shows_a_sentence_is_there(begin: str, shown: tuple[str, ...]) -> None:
    assert missing(" ".join(f"`{each}`" for each in shown)) == []


def test_a_sentence_without_a_test_is_noticed() -> None:
    assert unshown(["No key that opens footage is in the doorbell.", "No doorbell is ever wet."]) == [
        "No doorbell is ever wet."
    ]
