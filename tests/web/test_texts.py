"""Every text of the page is in every language, with its values, its plural forms and its code."""

from __future__ import annotations

import gzip
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from agent.core.languages import ENGLISH, LANGUAGES
from tests.web.test_the_program import WEB, node

PLURALS = {
    "ar": {"zero", "one", "two", "few", "many", "other"},
}
"""The forms that whole numbers below a million take (CLDR); `one` and `other` in all other languages."""
FORM = re.compile(r"\.(zero|one|two|few|many|other)$")
TEXTS = {
    language: json.loads((WEB / "texts" / f"{language}.json").read_text(encoding="utf-8")) for language in LANGUAGES
}
OTHERS = sorted(set(LANGUAGES) - {ENGLISH})
SAME = json.loads((Path(__file__).parent / "same_in_english.json").read_text(encoding="utf-8"))
"""Keys with the same text as in English, for each language: names, loanwords, abbreviations."""
COUNTED = {key.removesuffix(".one") for key in TEXTS[ENGLISH] if key.endswith(".one")}
COUNTED = {key for key in COUNTED if f"{key}.other" in TEXTS[ENGLISH]}


def base(key: str) -> str:
    found = FORM.sub("", key)
    return found if found in COUNTED else key


def holes(text: str) -> set[str]:
    return set(re.findall(r"\{\w+\}", text))


def code(text: str) -> list[str]:
    """Returns the commands that a reader types, up to the words in capitals that stand for a value."""
    return [re.sub(r"\b[A-ZÄÖÜÉ]{2,}\b", "VALUE", each) for each in re.findall("`[^`]*`", text)]


def sources() -> list[Path]:
    modules = [path for path in (WEB / "src").rglob("*.js") if "node_modules" not in path.parts]
    return [*modules, *(WEB / "templates").iterdir()]


@pytest.mark.parametrize("language", OTHERS)
def test_a_language_has_every_text_in_all_its_plural_forms_and_no_other(language: str) -> None:
    forms = PLURALS.get(language, {"one", "other"})
    plain = {key for key in TEXTS[ENGLISH] if base(key) == key}
    wanted = plain | {f"{key}.{form}" for key in COUNTED for form in forms}
    assert TEXTS[language].keys() == wanted


def test_the_plural_forms_are_those_that_browsers_choose() -> None:
    found = node("plurals.mjs", json.dumps(sorted(LANGUAGES)))
    assert found == {each: sorted(PLURALS.get(each, {"one", "other"})) for each in LANGUAGES}


@pytest.mark.parametrize("language", OTHERS)
def test_a_translation_keeps_the_values_and_the_code_of_the_english_text(language: str) -> None:
    for key, text in TEXTS[language].items():
        english = TEXTS[ENGLISH][key if key in TEXTS[ENGLISH] else f"{base(key)}.other"]
        # One, two or no clips may be said in words.
        spoken = {"{n}"} if base(key) != key and not key.endswith((".few", ".many", ".other")) else set()
        assert holes(text) - spoken == holes(english) - spoken, key
        assert code(text) == code(english), key
        assert bool(text) == bool(english), key
        assert text == text.strip(), key


@pytest.mark.parametrize("language", OTHERS)
def test_a_text_that_equals_the_english_one_is_meant_to(language: str) -> None:
    same = {key for key, text in TEXTS[language].items() if text and text == TEXTS[ENGLISH].get(key)}
    assert same == set(SAME[language])


NOT_THE_FORM_OF_ADDRESS = {
    "es": r"\b(usted|ustedes|su (timbre|navegador|router|contraseña))\b",
    "de": r"\b([Dd]u|[Dd]ein\w*|[Dd]ich|[Dd]ir)\b",
    "fr": r"\b(tu|toi|tes)\b|[^\u00a0][:;?!»](?= |$)|«(?!\u00a0)|\w'\w",
    "nl": r"\b([Jj]e|[Jj]ij|[Jj]ouw|[Jj]ullie)\b",
}
"""The form that the glossary of the language excludes, and in French punctuation without its no-break space."""


@pytest.mark.parametrize("language", sorted(NOT_THE_FORM_OF_ADDRESS))
def test_a_language_keeps_the_form_of_address_of_its_glossary(language: str) -> None:
    wrong = re.compile(NOT_THE_FORM_OF_ADDRESS[language])
    assert {key: text for key, text in TEXTS[language].items() if wrong.search(text)} == {}


def test_every_text_that_the_program_says_is_in_the_catalogue() -> None:
    wanted = set()
    for path in sources():
        wanted |= set(re.findall(r"""\bt\(["']([a-z0-9.-]+)["']""", path.read_text()))
        wanted |= set(re.findall(r"""(?:Page|Open|Format)Error\("([a-z0-9.-]+)\"""", path.read_text()))
    said = {base(key) for key in TEXTS[ENGLISH]}
    wanted = {key for key in wanted if not key.endswith(".")}
    assert wanted <= said, wanted - said


class Words(HTMLParser):
    """Collects the texts of a template that are no expression."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self.is_style = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.is_style = tag == "style"

    def handle_endtag(self, tag: str) -> None:
        self.is_style = False

    def handle_data(self, data: str) -> None:
        if self.is_style:
            return
        self.found += re.findall(r"\w+", re.sub(r"\{%.*?%\}|\{\{.*?\}\}|\{#.*?#\}", "", data, flags=re.DOTALL))


def test_no_words_stand_outside_the_catalogue() -> None:
    """Texts as a reader sees them: words between tags, and strings that begin like a sentence."""
    stray = {}
    for path in sources():
        text = path.read_text()
        if path.suffix == ".html":
            words = Words()
            words.feed(text)
            found = [word for word in words.found if word != "Doorward"]
        else:
            code = re.sub(r"/\*.*?\*/|^\s*//.*?$|\s//\s.*?$", "", text, flags=re.DOTALL | re.MULTILINE)
            found = re.findall(r'"([A-Z][a-z]+(?: [a-z]+)+[^"\\]*)"', code)
            # Only a programmer sees these.
            found = [each for each in found if f'TypeError("{each}"' not in code and f' Error("{each}"' not in code]
        if found:
            stray[path.name] = found
    assert stray == {}


def test_a_phone_loads_the_texts_of_one_language() -> None:
    program = (WEB / "static" / "app.js").read_text(encoding="utf-8")
    service = (WEB / "static" / "worker-service.js").read_text(encoding="utf-8")
    for language in LANGUAGES:
        assert TEXTS[language]["approve.text"] not in program + service, language
        assert len(gzip.compress((WEB / "texts" / f"{language}.json").read_bytes())) < 40_000, language
