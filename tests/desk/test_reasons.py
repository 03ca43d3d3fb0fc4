"""Each reason that a clerk can meet on a Dutch page is Dutch: each sentence of each error of the desk's code."""

from __future__ import annotations

import ast
import json
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
from django.template import Context, Template
from django.utils import translation

from agent.clients.requester.checks import CheckKind, CheckOutcome
from agent.errors import ConfigurationError, DoorwardError, StorageError
from desk.cases.models import Answer, SignedRequest
from desk.people.roles import Role
from desk.reasons import error_words, in_words
from tests.desk.agencies import Agency
from tests.desk.test_matrix import answer

ROOT = Path(__file__).resolve().parents[2]
OPERATOR_ONLY = {
    "agent/config/settings.py", "agent/config/reading.py", "desk/config.py", "desk/cli.py", "desk/backup.py",
    "agent/clients/requester/recovery.py", "agent/core/vault/excerpt.py", "desk/server.py",
    "desk/custody/command.py", "desk/people/operator_links.py", "desk/people/operator_confirmations.py",
    "agent/wire/cell_digest.py", "agent/wire/control.py", "agent/wire/inbound.py", "agent/wire/link/handshake.py",
}  # fmt: skip
"""Their errors are the command line's, for the operator of the desk, or a doorbell's and its owner's."""
ONLY_VALUES = {"{}: {}", "{}: {}.", "'{}': {}", "{}…: {}"}
"""Sentences without words. Their parts are translated."""
SAID = "agent/clients/requester/verification.py"


@pytest.fixture(autouse=True)
def dutch() -> Iterator[None]:
    with translation.override("nl"):
        yield


WHERE = (
    "agent/wire", "agent/mqtt", "agent/platform/files.py", "agent/platform/certificates.py", "agent/clients/requester",
    "agent/clients/opening", "agent/clients/media", "agent/clients/time_confirmations.py", "agent/core/disclosure",
    "agent/core/ledger", "agent/core/vault", "desk",
)  # fmt: skip
"""The code whose errors a page of the desk can show."""


def modules() -> list[Path]:
    places = [ROOT / each for each in WHERE]
    found = [path for each in places for path in (each.rglob("*.py") if each.is_dir() else [each])]
    ours = [path.relative_to(ROOT) for path in found if "node_modules" not in path.parts]
    return sorted(path for path in ours if str(path) not in OPERATOR_ONLY and any(sentences(path)))


@cache
def sentences(path: Path) -> tuple[str, ...]:
    """Messages and remedies of each error that is made in the file, with {} for a value."""
    source = (ROOT / path).read_text(encoding="utf-8")
    return tuple(_sentences(ast.parse(source))) if "Error(" in source else ()


def _sentences(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        name = getattr(node.func, "id", getattr(node.func, "attr", ""))
        if name.endswith("Error") and name[:1].isupper() and node.args:
            words = [node.args[-1] if name == "LinkError" else node.args[0]]
            words += [each.value for each in node.keywords if each.arg == "remedy"]
            yield from filter(None, map(_written, words))


def _written(node: ast.expr) -> str:
    """The text of a literal. Empty for anything that is put together elsewhere, or translated by gettext already."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(str(each.value) if isinstance(each, ast.Constant) else "{}" for each in node.values)
    return ""


def is_dutch(sentence: str) -> bool:
    """Values are marks, so that a sentence that only swallows another one whole does not count."""
    filled = sentence
    for number in range(sentence.count("{}")):
        filled = filled.replace("{}", f"µ{number}", 1)
    found = in_words(filled)
    return found != filled and all(f"µ{number}" in found for number in range(sentence.count("{}")))


def test_each_sentence_has_one_translation() -> None:
    """Two people who add a sentence at the same time would leave one translation that nothing shows."""
    pairs: list[tuple[str, object]] = []
    json.loads((ROOT / "desk/reasons/nl.json").read_text(encoding="utf-8"), object_pairs_hook=pairs.extend)
    names = [name for name, _ in pairs]
    assert len(names) > 300
    assert sorted(names) == sorted(set(names))


@pytest.mark.parametrize("path", modules(), ids=str)
def test_each_error_of_the_desk_s_code_has_dutch_words(path: Path) -> None:
    same = {"chmod 600 {}", "PostgreSQL: {}."}  # the same in both languages
    missing = [each for each in sentences(path) if each not in ONLY_VALUES | same and not is_dutch(each)]
    assert missing == [], "add them to desk/reasons/nl.json"


def test_the_checks_of_an_answer_are_dutch() -> None:
    for each in (*CheckKind, *CheckOutcome):
        assert in_words(each.value) != each.value
    tree = ast.parse((ROOT / SAID).read_text(encoding="utf-8"))
    proved = [
        node for node in ast.walk(tree) if isinstance(node, ast.Call) and getattr(node.func, "attr", "") == "prove"
    ]
    labels = [_written(node.args[0]) for node in proved]
    assert len(labels) > 10
    missing = [each for each in labels if each and each != "{} {} (SHA-256)" and not is_dutch(each)]
    assert missing == []


@pytest.mark.parametrize(
    ("english", "dutch_words"),
    [
        (
            "3 of 8 parts have not arrived. Continue to receive.",
            "3 van 8 delen zijn niet aangekomen. Ga door met ontvangen.",
        ),
        (
            "The broker at a.example:8883 does not answer. Check the network, host and port, and any firewall between.",
            "De broker op a.example:8883 antwoordt niet. Controleer het netwerk, host en poort, en elke firewall "
            "ertussen.",
        ),
        ("Line 4: this is not the name of a place.", "Regel 4: dit is niet de naam van een plaats."),
        (
            "No file opens. The first: This is not an age file.",
            "Geen bestand gaat open. Het eerste: Dit is geen age-bestand.",
        ),
        ("list.toml, line 3: tips: a file name.", "list.toml, line 3: tips: een bestandsnaam."),
        ("Something that is not in the list.", "Something that is not in the list."),
        ("", ""),
    ],
)
def test_sentences_with_values_and_several_sentences_are_put_together(english: str, dutch_words: str) -> None:
    assert in_words(english) == dutch_words


def test_words_in_another_language_stay() -> None:
    with translation.override("en"):
        assert in_words("Continue to receive.") == "Continue to receive."


def test_an_error_has_dutch_words_and_remedy() -> None:
    error = ConfigurationError("The root's key does not open.", remedy="Check the passphrase. Nothing was signed.")
    assert error_words(error) == (
        "De sleutel van de root gaat niet open. Controleer de wachtzin. Er is niets ondertekend."
    )
    assert isinstance(error, DoorwardError)
    assert error_words(StorageError("x")) == "x"


def test_words_without_a_translation_are_marked_as_english_and_escaped() -> None:
    shown = Template("{% load reasons %}{{ text|reason }}").render(Context({"text": "A <b>new</b> fault"}))
    assert shown == '<span lang="en">A &lt;b&gt;new&lt;/b&gt; fault</span>'


def test_a_dutch_clerk_reads_why_an_answer_is_quarantined(agency: Agency) -> None:
    made = answer(agency)
    reason = "The owner's approval in this disclosure is for another request."
    Answer.objects.filter(pk=made["answer_pk"]).update(state="quarantined", reason=reason)
    assert SignedRequest.objects.exists()
    client = agency.client(Role.EVIDENCE_OFFICER)
    for path in (f"/cases/{made['pk']}", "/receiving/"):
        page = client.get(path, headers={"accept-language": "nl"}).content.decode()
        assert "De goedkeuring van de eigenaar in dit antwoord is voor een ander verzoek." in page
