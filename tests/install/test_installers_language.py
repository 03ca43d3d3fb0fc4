"""The installer asks and explains in the reader's language, on the system's Python and before anything is installed."""

from __future__ import annotations

import ast
import io
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.core.languages import ENGLISH, LANGUAGES
from agent.sentences import knows

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "scripts"))

from installation import answers, words  # noqa: E402

INSTALLER = ROOT / "scripts" / "installation"
OTHERS = sorted(LANGUAGES.keys() - {ENGLISH})
SAYING = {"say": 1, "fail": 2, "tell_failure": 2, "_ask": 1, "in_words": 1, "FailedError": 2, "UnfitError": 2}
TEMPLATE = 'name = "x"\nkind = "usb"\n#: [page]\n'


def texts_of(node: ast.expr) -> Iterator[str]:
    """Yields the texts of an argument, with {} for their values."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node.value
    elif isinstance(node, ast.JoinedStr):
        parts = [part.value if isinstance(part, ast.Constant) else "{}" for part in node.values]
        yield "".join(map(str, parts))
    elif isinstance(node, ast.IfExp):
        yield from texts_of(node.body)
        yield from texts_of(node.orelse)


def said() -> Iterator[str]:
    for path in sorted(INSTALLER.glob("*.py")):
        for call in ast.walk(ast.parse(path.read_text())):
            if not isinstance(call, ast.Call):
                continue
            name = call.func.id if isinstance(call.func, ast.Name) else ""
            for argument in call.args[: SAYING.get(name, 0)]:
                yield from texts_of(argument)
            if name == "run" and len(call.args) > 1:
                yield from (f"{text}." for text in texts_of(call.args[1]) if text)


@pytest.mark.parametrize("code", OTHERS)
def test_every_text_of_the_installer_is_in_the_language(code: str) -> None:
    found = set(said())
    assert len(found) > 50
    # Values that say something themselves are looked up in pieces, as they are when they are printed.
    lacking = [each for each in found if any(part.isalpha() for part in each) and not knows(each.strip(), code)]
    assert lacking == ["{} is back, and {}."]
    assert knows("x is back, and runs.", code)
    assert knows("x is back, and does not run well either.", code)
    for each in ("make your keys, on your own computer, not here", "is everything well?", "what is it doing?"):
        assert knows(each, code)


def asked(monkeypatch: pytest.MonkeyPatch, language: str, *typed: str) -> tuple[str, list[str]]:
    questions: list[str] = []
    waiting = list(typed)

    def answer(question: str) -> str:
        questions.append(question)
        return waiting.pop(0)

    monkeypatch.setenv("DOORWARD_LANGUAGE", language)
    monkeypatch.setattr("builtins.input", answer)
    monkeypatch.setattr(answers, "pi_cameras", list)
    for name in ("stdin", "stdout"):
        terminal = io.StringIO()
        terminal.isatty = lambda: True  # type: ignore[method-assign]
        monkeypatch.setattr(sys, name, terminal)
    return answers.configuration(TEMPLATE, None), questions


@pytest.mark.parametrize(
    ("language", "question", "yes", "no"),
    [("de", "Wie heißt diese Türklingel?", "ja", "nein"), ("ar", "ما اسم هذا الجرس؟", "نعم", "لا"),
     ("en", "What is this doorbell called?", "yes", "no")],
)  # fmt: skip
def test_the_four_questions_take_their_answers_in_the_language(
    monkeypatch: pytest.MonkeyPatch, language: str, question: str, yes: str, no: str
) -> None:
    text, questions = asked(monkeypatch, language, "Tür", "", "", yes)
    assert question in questions[0]
    assert len(questions) == 4
    assert 'name = "Tür"' in text
    assert "\n[page]" in text
    assert "\n[page]" in asked(monkeypatch, language, "", "", "", "")[0], "Enter means yes"
    assert "#: [page]" in asked(monkeypatch, language, "", "", "", no)[0]
    assert "#: [page]" in asked(monkeypatch, language, "", "", "", "maybe", "no")[0], "English counts too"


def test_a_failure_is_told_in_the_language_without_the_control_codes_of_its_text(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DOORWARD_LANGUAGE", "nl")
    words.tell_failure("Another installation runs.", "wait for it to end.")
    words.say("Making version \x1b[31m1.0")
    captured = capsys.readouterr()
    assert captured.err == "\nFout: Er loopt een andere installatie.\n  Wat te doen: wacht tot die klaar is.\n"
    assert captured.out == "  Versie \N{REPLACEMENT CHARACTER}[31m1.0 wordt gemaakt\n"


def test_the_systems_python_alone_says_it_in_the_language_of_the_terminal() -> None:
    program = f"""
import sys
sys.path.insert(0, {str(INSTALLER.parent)!r})
from installation.words import tell_failure
tell_failure("only root may do this.", "put sudo in front.")
"""
    done = subprocess.run(
        ["/usr/bin/python3", "-I", "-B", "-c", program],
        capture_output=True, text=True, check=True, env={"LANG": "fr_FR.UTF-8", "PYTHONIOENCODING": "utf-8"},
    )  # fmt: skip
    assert done.stderr == "\nErreur\u00a0: seul root peut faire cela.\n  Que faire\u00a0: mettez sudo devant.\n"
