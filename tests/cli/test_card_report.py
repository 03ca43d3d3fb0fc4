"""The text on the memory card is in each language, and opens on any computer."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.cli import card_report
from agent.core.languages import LANGUAGES
from agent.core.setup_state import SetupState
from agent.sentences import in_language

FAILURES = [state for state in SetupState if state.reads and state is not SetupState.WAITING]
ALL = [
    card_report.NO_CODE,
    card_report.USED_BEFORE,
    *map(card_report.state_in_words, FAILURES),
    *[each for each in [card_report.faults_in("one\ntwo")] if each],
]


@pytest.mark.parametrize("said", ALL)
def test_each_sentence_is_there_in_each_language(said: tuple[str, str], tmp_path: Path) -> None:
    card_report.write_report(tmp_path, said)
    data = (tmp_path / card_report.REPORT).read_bytes()
    assert data.startswith(b"\xef\xbb\xbfEnglish\r\n")
    assert b"\n" not in data.replace(b"\r\n", b"")
    text = data.decode("utf-8-sig")
    for code, language in LANGUAGES.items():
        assert f"{language.name}\r\n" in text
        for sentence in said:
            assert in_language(sentence, code) in text
            assert code == "en" or in_language(sentence, code) != sentence


def test_each_failure_has_other_words() -> None:
    assert len(FAILURES) == 4
    assert len({card_report.state_in_words(state) for state in FAILURES}) == len(FAILURES)


@pytest.mark.parametrize(("text", "line"), [("code\n\n\nmore", 4), ("\ncode\nmore", 3), ("code", 0), ("code\n \n", 0)])
def test_the_line_that_is_too_much_is_named(text: str, line: int) -> None:
    found = card_report.faults_in(text)
    assert (found is None) is (line == 0)
    assert found is None or found[0].startswith(f"Line {line} ")


def test_a_report_that_is_not_there_is_removed_without_a_word(tmp_path: Path) -> None:
    card_report.remove_report(tmp_path)
    card_report.write_report(tmp_path, card_report.NO_CODE)
    card_report.remove_report(tmp_path)
    assert list(tmp_path.iterdir()) == []
