"""Alerts and refusals in each language, translated alike in Python and in the page."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import agent.sentences as module
from agent.clients.opening import HybridIdentity
from agent.clients.owner import recovery_kit as kit
from agent.clients.owner.recovery_kit import read_kit, recovery_kit
from agent.core.alerts.alert_messages import LAST, MEANWHILE
from agent.core.alerts.kinds import ALERTS, TEST, UNNAMED
from agent.core.languages import ENGLISH, LANGUAGES, LanguageCode, in_decimals
from agent.sentences import Catalogue, in_language, knows, reader_language
from tests.sentences.shown_texts import shown_texts
from tests.web.test_the_program import node

ROOT = Path(__file__).resolve().parents[2]
OTHERS = sorted(LANGUAGES.keys() - {ENGLISH})
FOLDER = Path(module.__file__).parent
FILES = {each: json.loads((FOLDER / f"{each}.json").read_text(encoding="utf-8")) for each in OTHERS}
COMMANDS = {each: json.loads((FOLDER / f"commands-{each}.json").read_text(encoding="utf-8")) for each in OTHERS}
ONLY_FOR_OPERATORS = {
    "agent/custodian/alerts/private_file.py", "agent/custodian/capture_key.py", "agent/custodian/journal_sqlite.py",
    "agent/custodian/ledger_writer.py",
    "agent/custodian/link_sessions.py", "agent/custodian/live_buffer.py",
    "agent/custodian/page/app.py", "agent/custodian/page/certificate_authority.py", "agent/custodian/page/documents.py",
    "agent/custodian/page/mdns.py", "agent/custodian/page/server.py", "agent/custodian/page/listener.py",
    "agent/custodian/state_folder.py", "agent/custodian/time_log.py",
}  # fmt: skip
"""They fail while a process starts, or towards another process or a witness: in the log, and for `doorward doctor`."""
SAME = {"1  Open {}", "2  Open {}", "Segment {}: {}", "Doorward {} on Python {} ({}), {}."}
"""Sentences that are the same in a language. Single words may be."""
MADE_ELSEWHERE = {"{} {}", "{}", "{}."}
DETECTOR = ROOT / "agent" / "recorder" / "detector_opencv.py"
BUGS = {
    "A camera was opened without a description.", "A camera was started before it was opened.",
    "A microphone was started before it was opened.", "A speaker was used before it was opened.",
    "A receiver did not return for 30 s.", "The receiver failed; its own error says why.",
    "The script has been played to its end.",
}  # fmt: skip
"""They say that a program is wrong, or end a camera of the tests."""


def sentences(path: Path) -> Iterator[str]:
    """Messages and remedies of each error that is made in the file, with {} for a value."""
    for node_ in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node_, ast.Call) and getattr(node_.func, "id", "").endswith("Error"):
            words = [*node_.args[:1], *(each.value for each in node_.keywords if each.arg == "remedy")]
            yield from filter(None, map(written, words))


def written(found: ast.expr) -> str:
    if isinstance(found, ast.Constant) and isinstance(found.value, str):
        return found.value
    if isinstance(found, ast.JoinedStr):
        return "".join(str(each.value) if isinstance(each, ast.Constant) else "{}" for each in found.values)
    return ""


def test_the_codes_of_the_configuration_are_the_languages() -> None:
    assert [each.value for each in LanguageCode] == list(LANGUAGES)


@pytest.mark.parametrize("language", OTHERS)
def test_every_alert_is_said_in_the_language(language: str) -> None:
    alerts = {each.text for each in ALERTS.values()} | {UNNAMED.text, TEST, LAST, MEANWHILE}
    assert alerts - FILES[language].keys() == set()


@pytest.mark.parametrize("language", OTHERS)
def test_every_refusal_of_the_custodian_is_said_in_the_language(language: str) -> None:
    missing = {}
    for path in (ROOT / "agent" / "custodian").rglob("*.py"):
        name = str(path.relative_to(ROOT))
        if name in ONLY_FOR_OPERATORS:
            continue
        marked = [(each, each.replace("{}", "µ")) for each in sentences(path) if each not in MADE_ELSEWHERE]
        if lacking := [each for each, said in marked if " " in each and in_language(said, language) == said]:
            missing[name] = lacking
    assert missing == {}


@pytest.mark.parametrize("language", OTHERS)
def test_every_fault_of_camera_sound_and_detection_is_said_in_the_language(language: str) -> None:
    """`doorward doctor`, the page's settings and Home Assistant show them."""
    folders = [ROOT / "agent" / "recorder" / each for each in ("capture", "playback")]
    paths = [*(path for folder in folders for path in sorted(folder.rglob("*.py"))), DETECTOR]
    said = {text for path in paths for _, text in shown_texts(path)}
    assert {each for each in said - BUGS if not knows(each, language)} == set()
    assert len(said) > 80, "the reading of the code finds them"


def test_the_languages_have_the_same_sentences_with_the_same_values() -> None:
    for files in (FILES, COMMANDS):
        assert len({frozenset(each) for each in files.values()}) == 1
        for language, found in files.items():
            for english, words in found.items():
                assert english.count("{}") == words.count("{}"), (language, english)
                assert words != "", (language, english)
                assert words != english or english in SAME or not english.count(" "), (language, english)


@pytest.mark.parametrize("language", OTHERS)
def test_a_translation_names_the_commands_of_the_sentence_and_no_other(language: str) -> None:
    """A command behind the colon of a sentence is no part of it, so a translation with it said it twice."""
    named = re.compile(r"doorward owner [a-z-]+")
    commands = json.loads((FOLDER / f"commands-{language}.json").read_text(encoding="utf-8"))
    assert {each: words for each, words in commands.items() if named.findall(each) != named.findall(words)} == {}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("The doorbell rang.", "Es hat geklingelt."),
        ("Segment abc is not stored. It was evicted, or never here.",
         "Das Segment abc ist nicht gespeichert. Es wurde verdrängt oder war nie hier."),
        ("The camera at rtsp://cam/1 stopped sending (it has ended its stream). Check its power and the network.",
         "Die Kamera unter rtsp://cam/1 sendet nicht mehr (sie hat ihren Datenstrom beendet). Prüfen Sie ihren Strom "
         "und das Netz."),
        ("The microphone 'hw:1' cannot be opened.", "Das Mikrofon 'hw:1' kann nicht geöffnet werden."),
        ("Words that the catalogue lacks.", "Words that the catalogue lacks."),
        ("", ""),
    ],
)  # fmt: skip
def test_a_text_is_translated_as_far_as_it_has_known_sentences(text: str, said: str) -> None:
    assert in_language(text, "de") == said
    assert in_language(text, ENGLISH) == in_language(text, "xx") == text


@pytest.mark.parametrize(
    ("language", "mark"), [("en", "."), ("ar", "."), *((each, ",") for each in ("de", "es", "fr", "nl"))]
)
def test_a_measured_number_has_the_decimal_mark_of_the_language(language: str, mark: str) -> None:
    said = in_language("Room for 12.5 GB of segments: 8 h of motion at the full bitrate.", language)
    assert f" 12{mark}5 " in said
    assert in_decimals("12.34 s, 0.5 km²", language) == f"12{mark}34 s, 0{mark}5 km²"


@pytest.mark.parametrize(
    "typed",
    [
        "version 1.2",
        "192.168.1.20:8443",
        "52.0907, 5.1214",
        "stock age (1.3 or newer)",
        "1.2.3 s",
        "a1.5 s",
        "0.5 sets",
    ],
)
def test_a_number_that_a_reader_types_keeps_its_point(typed: str) -> None:
    assert in_decimals(typed, "de") == typed


@pytest.mark.parametrize(
    ("environment", "language"),
    [
        ({}, "en"),
        ({"LANG": "de_DE.UTF-8"}, "de"),
        ({"LANG": "nl"}, "nl"),
        ({"LANG": "C.UTF-8", "LANGUAGE": "de"}, "en"),
        ({"LANG": "pt_PT.UTF-8"}, "en"),
        ({"LANG": "de_DE.UTF-8", "LC_ALL": "fr_BE@euro"}, "fr"),
        ({"LANG": "de_DE.UTF-8", "LC_MESSAGES": "es_ES", "LC_ALL": ""}, "es"),
        ({"LANG": "pt_PT.UTF-8", "LANGUAGE": "pt:ar:de"}, "ar"),
        ({"LANG": "deu"}, "en"),
    ],
)
def test_a_terminals_language_is_found_as_gettext_finds_it(environment: dict[str, str], language: str) -> None:
    assert reader_language(environment) == language


@pytest.mark.parametrize("language", OTHERS)
def test_the_recovery_page_is_in_the_language_and_age_still_reads_it(language: str) -> None:
    identity = HybridIdentity(bytes(32))
    page = recovery_kit("owner-1", identity, "2026-11-28", language)
    sentences = (kit._TITLE, kit._MADE, kit._ABOUT, *kit._STEPS, *(words for words, _ in kit._WAYS), kit._NAME)
    assert [each for each in sentences if in_language(each, language) == each] == []
    assert in_language(kit._TITLE, language) in page
    assert kit._TITLE not in page
    assert "\n#      doorward owner recover --keys NEW-FOLDER --recovery-kit THAT-FILE\n" in page
    assert all(line.startswith("#") for line in page.splitlines()[:-1])
    assert page.endswith(identity.secret_text() + "\n")
    assert read_kit(page).secret_text() == identity.secret_text()


def test_the_page_says_the_doorbells_sentences_as_python_does() -> None:
    texts = [
        "Check the disk.",
        "Segment abc is not stored. It was evicted, or never here.",
        "The device stopped answering: no route to host.",
        "This message is larger than 65536 bytes.",
        "Words that the catalogue lacks.",
        "Check the disk. Words that the catalogue lacks.",
        "",
    ]
    found = node("sentences.mjs", json.dumps([FILES["de"], texts]))
    assert found["said"] == [*(in_language(each, "de") for each in texts[:4]), None, None, ""]


def test_the_nearest_pattern_is_chosen_for_values_that_could_be_sentences() -> None:
    found = Catalogue(
        {
            "No {} answers.": "{} schweigt.",
            "No {} answers at {}.": "{} schweigt bei {}.",
            "the camera of the door": "die Kamera",
        }
    )
    assert found.say("No recorder answers at home.") == "recorder schweigt bei home."
    assert found.say("No the camera of the door answers.") == "die Kamera schweigt."
