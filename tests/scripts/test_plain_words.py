"""The check of plain words finds each word, in every kind of file, and takes code for code."""

from __future__ import annotations

import pytest

from scripts.plain_words import PLAIN, RATES, SUBJECT, all_faults, beyond, faults, prose_of, rates
from tests.lengths import LONG


@LONG
def test_every_text_of_the_repository_is_in_plain_words() -> None:
    """In `make test` the static checks say so."""
    found = all_faults()
    assert not found, "\n".join(found)


@pytest.mark.parametrize("words", sorted(PLAIN))
def test_a_planted_word_is_found_with_its_replacement(words: str) -> None:
    assert faults("docs/a.md", f"# Title\n\nIt starts {words}.\n") == [f"docs/a.md:3: '{words}': write {PLAIN[words]}"]


@pytest.mark.parametrize(
    ("name", "source", "line"),
    [
        ("agent/a.py", '"""Starts.\n\nThen nobody\nwaits.\n"""\n', 3),
        ("agent/a.py", "x = 1  # nobody waits\n", 1),
        ("agent/web/src/a.js", "/**\n * Nobody waits.\n */\nlet x;\n", 2),
        ("agent/web/texts/en.json", '{\n  "a": "Nobody waits."\n}\n', 2),
        ("config/a.toml", "a = 1\n# Nobody waits.\n", 2),
        ("config/mosquitto/a.acl", "# Nobody waits.\n", 1),
        ("systemd/a.service", "[Unit]\n# Nobody waits.\n", 2),
        ("systemd/a.path", "[Unit]\n# Nobody waits.\n", 2),
        ("config/a.yaml", "# Nobody waits.\na: 1\n", 1),
        ("desk/a.css", "/* Nobody waits. */\n", 1),
        ("Makefile", "# Nobody waits.\nall:\n", 1),
        ("Makefile", "all: build ## Nobody waits.\n", 1),
        ("agent/web/templates/a.html", "<p>\nNobody waits.\n", 2),
        ("agent/a.py", 'raise Error("Nobody waits.")\n', 1),
        ("scripts/a.py", 'print(f"{name}: nobody waits.")\n', 1),
    ],
)
def test_a_word_is_found_in_every_kind_of_file(name: str, source: str, line: int) -> None:
    assert [fault.partition(": ")[0] for fault in faults(name, source)] == [f"{name}:{line}"]


def test_a_phrase_is_found_across_two_lines() -> None:
    assert faults("agent/a.py", "# It starts by\n# itself.\n")[0].startswith("agent/a.py:1: 'by itself'")


def test_code_is_not_prose() -> None:
    assert faults("agent/a.py", 'nobody = "nobody"\n') == []
    assert faults("tests/a.py", 'act("Nobody waits.")\n') == []  # a test may quote a person
    assert faults("docs/a.md", "The user `nobody`.\n\n```\nnobody\n```\n") == []


def test_a_possessive_before_its_noun_is_plain() -> None:
    assert faults("agent/a.py", '"""Opens paths of its own page."""\n') == []
    assert faults("agent/a.py", '"""It has a test of its own, and waits."""\n') != []


@pytest.mark.parametrize(
    ("name", "source", "line", "word"),
    [
        ("agent/a.py", '"""Starts.\n\nWhat remains\nwaits.\n"""\n', 3, "What"),
        ("agent/a.py", "x = 1  # Of the last day\n", 1, "Of"),
        ("agent/web/src/a.js", "/**\n * Waits. Who asks must sign.\n */\n", 2, "Who"),
        ("docs/a.md", "# What it is\n\nA doorbell.\nIt waits. Whoever\nasks must sign.\n", 4, "Whoever"),
    ],
)
def test_a_sentence_without_its_subject_in_front_is_found(name: str, source: str, line: int, word: str) -> None:
    expected = f"{name}:{line}: '{word}' opens a sentence: {SUBJECT}"
    assert expected in faults(name, source)


def test_questions_headings_and_the_middle_of_a_sentence_may_have_these_words() -> None:
    assert faults("docs/a.md", "## What it does\n\nWho may ask? It depends on\nWhat it is.\n") == []
    assert faults("agent/a.py", '"""Tells owners what left, and who asked."""\n') == []


def test_the_documents_say_what_is_rather_than_what_is_not() -> None:
    """The share of `make test`; the next test takes seconds."""
    texts = list(prose_of("*.md"))
    assert len(texts) > 100
    assert beyond(rates(texts)) == []


@LONG
def test_the_whole_repository_says_what_is_rather_than_what_is_not() -> None:
    assert beyond(rates(prose_of())) == []


def test_a_rate_beyond_its_bound_is_told() -> None:
    plain = "If the disk is full, for example, the oldest file goes. " * 10
    assert beyond(rates([plain])) == []
    assert [line.partition(":")[0] for line in beyond(rates([plain, "Nothing is not lost. "]))] == [
        "not, no, never, nothing, without"
    ]
    assert {line.partition(":")[0] for line in beyond(rates(["The device answers."]))} == {"for example", "if"}
    assert len(beyond(rates(["No one whose page waits so long has none of its own."]))) == len(RATES)
