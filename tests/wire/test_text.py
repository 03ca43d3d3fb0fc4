"""Text for the owner's eyes: what a stranger may write, and what is repaired or refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.errors import FormatError
from agent.wire.fields import check_text, clean_text, text_fault

ALLOWED = [
    "Two people left a cellar in Hafenstraße carrying a bicycle.",
    "Between 3.30 and 4.15 a.m., about 12.5 m from the gate; reward: none!",
    "漢字とかな、한글, кириллица, العربية",
    "No. 7, e.g. the blue door",
    "🚲 bicycle",
]
REFUSED = {
    "two spaces": "a  b",
    "space first": " a",
    "space last": "a ",
    "tab": "a\tb",
    "newline": "a\nb",
    "line separator": "a\u2028b",
    "no-break space": "a\u00a0b",
    "null": "a\x00b",
    "delete": "a\x7fb",
    "right-to-left override": "a\u202eb",
    "bidi isolate": "a\u2066b",
    "zero-width space": "a\u200bb",
    "zero-width joiner": "a\u200db",
    "soft hyphen": "a\u00adb",
    "tag characters": "a\U000e0041b",
    "private use": "a\ue000b",
    "half a surrogate pair": "a\ud800b",
    "not in form C": "e\u0301",
    "piled marks": "x" + "\u0335\u0336\u0337\u0338\u0334",
    "link with a mark that shows nothing": "see evil.c\u034fom",
    "link with a variation selector": "see evil\ufe0f.com",
    "www with a mark that shows nothing": "see ww\u034fw.x",
    "nothing to be seen": "\u3164",
    "gaps of empty Braille cells": "a\u2800\u2800b",
    "bare domain, one dot leader": "see example\u2024com",
    "bare domain, small full stop": "see example\ufe52com",
    "bare domain, of Roman numerals": "see example.\u2160\u2160",
    "https": "see https://x",
    "HTTP": "see HTTP://x",
    "www": "see www.x",
    "bare domain": "see bit.ly/abc",
    "bare domain, fullwidth dot": "see example\uff0ecom",
    "bare domain, ideographic dot": "see example\u3002com",
    "mail address": "write to a@b.example",
    "mailto": "mailto:x",
    "javascript": "javascript:x",
}


@pytest.mark.parametrize("words", ALLOWED)
def test_plain_words_pass(words: str) -> None:
    assert text_fault(words) is None
    assert clean_text(words) == words


@pytest.mark.parametrize("name", REFUSED)
def test_words_that_pretend_are_refused(name: str) -> None:
    with pytest.raises(FormatError, match="description"):
        check_text("description", REFUSED[name], 500)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("e\u0301", "is not in Unicode normal form C"),
        ("a  b", "has spaces at an end or two in a row"),
        ("a\u202eb", "holds the character U+202E"),
        ("a\u00a0b", "holds the character U+00A0"),
        ("q" + "\u0336" * 5, "piles up combining marks"),
        ("q" + "\u20dd" * 5, "piles up combining marks"),
        ("\u0336" * 5, "piles up combining marks"),
        ("q" + "\u0336" * 4, None),
        ("q" + "\u0336" * 4 + "a" + "\u0336" * 4, None),
        ("see bit.ly", "holds what looks like a link"),
    ],
)
def test_what_is_wrong_with_words_is_said(words: str, said: str | None) -> None:
    assert text_fault(words) == said


@pytest.mark.parametrize("gap", ["\t", "\n", "\r", "\u00a0", "\u2028", "\u2029", " \t "])
def test_every_kind_of_space_is_repaired_to_one(gap: str) -> None:
    assert clean_text(f"a{gap}b") == "a b"


def test_what_cannot_be_seen_is_taken_out() -> None:
    assert clean_text("a\u200bb\x07c\ue000\u034f\u3164\U000e0100") == "abc"


def test_the_length_is_counted_in_characters_and_both_ends_are_allowed() -> None:
    check_text("x", "é" * 500, 500)
    check_text("x", "é", 500)
    for words in ("", "é" * 501):
        with pytest.raises(FormatError, match="characters, allowed are"):
            check_text("x", words, 500)


@given(st.text(max_size=60))
def test_cleaning_leaves_nothing_but_what_only_words_can_mend(words: str) -> None:
    cleaned = clean_text(words)
    assert clean_text(cleaned) == cleaned
    left = text_fault(cleaned)
    assert left is None or "link" in left or "marks" in left


@given(st.text(max_size=60))
def test_clean_text_is_left_alone(words: str) -> None:
    if text_fault(words) is None:
        assert clean_text(words) == words
