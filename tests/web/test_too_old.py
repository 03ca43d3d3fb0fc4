"""An old browser is told so in clear words, in place of an empty page: the page's first script, run in node."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from agent.core.languages import LANGUAGES
from tests.web.test_the_program import node

pytestmark = pytest.mark.interop

WEB = Path(__file__).resolve().parents[2] / "agent" / "web"
UNREADABLE = "Uncaught SyntaxError: Unexpected token '.'"


def test_a_browser_that_lacks_something_or_cannot_read_the_program_is_told_and_no_other() -> None:
    cases: list[tuple[dict[str, Any], bool]] = [
        ({}, False),
        *(({"without": [each]}, True) for each in ("modules", "Worker", "indexedDB", "structuredClone")),
        *(({"without": [each]}, True) for each in ("AbortSignal", "timeout", "findLast")),
        ({"without": ["modules"], "early": True}, True),
        ({"without": ["timeout"], "early": True, "runs": True}, True),  # a program that starts and fails later
        ({"error": {"message": UNREADABLE}}, True),
        ({"error": {"message": "expected expression, got '?'"}}, True),
        ({"error": {}}, False),  # the file did not arrive: the doorbell is away
        ({"error": {"message": UNREADABLE}, "runs": True}, False),
    ]
    assert node("too_old.mjs", json.dumps([case for case, _ in cases])) == [told for _, told in cases]


def test_the_first_script_is_read_by_a_browser_of_2012() -> None:
    program = (WEB / "static" / "too-old.js").read_text()
    assert re.search(r"=>|`|\b(const|let|class|async)\b|\?\.|\?\?|\.\.\.", program) is None


@pytest.mark.parametrize("document", ["shell", "pair"])
def test_the_words_for_an_old_browser_are_in_each_document_with_a_program(document: str) -> None:
    text = (WEB / "templates" / f"{document}.html").read_text()
    assert re.search(r"""<p id="too-old"[^>]* hidden>\{\{ t\('too-old'\) \}\}""", text)
    frame = (WEB / "templates" / "frame.html").read_text()
    assert frame.index("too-old.js") < frame.index("app.js"), "it runs first"


def test_the_set_up_page_says_it_in_each_language_until_its_program_runs() -> None:
    page = (WEB / "static" / "set-up.html").read_text()
    before, _, program = page.partition("<script>")
    for language in LANGUAGES:
        told = json.loads((WEB / "texts" / f"{language}.json").read_text())["too-old"]
        assert f'<p lang="{language}" dir="auto">{told}</p>' in before
    assert '"timeout"in AbortSignal' in program


def test_the_first_document_says_that_it_waits_and_later_what_to_do_before_its_program_runs() -> None:
    style = (WEB / "static" / "page.css").read_text()
    line, remedy = (re.search(pattern, style) for pattern in (r"appear 0s ([\d.]+)s", r"animation-delay: ([\d.]+)s"))
    assert line
    assert remedy
    assert 0 < float(line[1]) < 1 < float(remedy[1]) < 10
