"""The preview says what the owner's page says: the same texts, in each of its languages, whatever was promised."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

import agent
from agent.clients.promise import days_in_words, page_texts, promised
from agent.core.languages import LANGUAGES
from agent.wire.area import Circle
from agent.wire.fields import Incident, Kind, OnwardKind
from desk.asking.incidents import INCIDENTS, ONWARD
from desk.asking.owner_preview import OwnerView, Promise, owner_view
from desk.people.roles import Role
from tests.desk.agencies import Agency
from tests.desk.asking.asking_desk import drafted, vouch

PAGES = Path(agent.__file__).parent / "web" / "src" / "pages"
FROM_S = 1_795_870_800  # Saturday 28 November 2026, 14:00 in Amsterdam


def view(language: str = "en", **changes: object) -> OwnerView:
    values: dict[str, object] = {
        "who": "Rijnstad Police",
        "kind": "police",
        "incident": "burglary",
        "case": "2026-117",
        "area": Circle(lat=52.0907, lon=5.1214, radius_m=300),
        "from_s": FROM_S,
        "to_s": FROM_S + 5400,
        "not_after_s": FROM_S + 7 * 86_400,
        "contact": ("Night desk", "", "+31 20 1234567"),
        "description": "A burglary took place here.",
        "description_language": "en",
        "promise": Promise(30, ("court", "defence"), "Code of criminal procedure"),
        "zone": ZoneInfo("Europe/Amsterdam"),
        **changes,
    }
    return owner_view(language=language, **values)  # type: ignore[arg-type]


def test_the_facts_are_those_of_the_owners_page_in_its_order() -> None:
    assert view().facts == (
        ("Case", "2026-117"),
        ("About", "Saturday 28 November, 14:00 – 15:30"),
        ("Area", "28 hectares around 52.091, 5.121."),
        ("They keep it", "30 days from its arrival, unless a law or a court requires longer."),
        (
            "They may pass it on to",
            "courts and prosecutors; the accused and their lawyers. In their words: Code of criminal procedure",
        ),
        ("Open until", "5 Dec 2026"),
        ("Contact", "Night desk · +31 20 1234567"),
    )
    assert view(to_s=FROM_S + 43_200).facts[1][1] == "Saturday 28 November, 14:00 – Sunday 29 November, 02:00"


def test_a_promise_to_pass_it_on_to_no_one_is_said() -> None:
    shown = view(promise=Promise(1, ()))
    assert shown.facts[4][1] == "No one"
    assert shown.decision[1] == "It states that it passes your footage on to no one."
    assert "1 day" in shown.decision[0]


def test_that_only_a_neighbour_opens_the_answer_is_said_of_neighbours_alone() -> None:
    sentence = page_texts("en")["promise.neighbour"]
    assert view(kind="neighbour").decision[2] == sentence
    assert sentence not in view(kind="police").decision


@pytest.mark.parametrize("language", LANGUAGES)
def test_each_kind_incident_and_party_has_words_in_each_language_of_owners(language: str) -> None:
    for kind in Kind:
        for incident in Incident:
            shown = view(language, kind=kind.value, incident=incident.value)
            assert "{" not in shown.lead
    everything = view(language, promise=Promise(3650, tuple(each.value for each in OnwardKind)))
    assert everything.facts[4][1].count(";") == len(OnwardKind) - 1
    assert not any("{" in each for each in (*everything.decision, *(value for _, value in everything.facts)))
    assert days_in_words(730, language) != days_in_words(729, language)


def test_the_desk_names_each_incident_and_party_of_the_protocol() -> None:
    assert set(INCIDENTS) == set(Incident)
    assert list(ONWARD) == [each.value for each in OnwardKind]


def test_a_name_that_holds_a_place_of_a_text_stays_as_it_is() -> None:
    assert view(who="The {days} of {parties}").decision[0].startswith("The {days} of {parties} states that")


def source_of(function: Any) -> str:
    return Path(function.__code__.co_filename).read_text()


def test_the_preview_uses_each_text_of_the_facts_on_the_owners_page() -> None:
    """A fact that the page adds must come into the preview, too."""
    request = (PAGES / "request.js").read_text()
    facts = request[request.index("function facts(") : request.index("const NEAR_M")]
    facts += (PAGES / "promise.js").read_text()
    wanted = set(re.findall(r't\("((?:request|promise)\.[a-z.-]+)"', facts))
    ours = set(re.findall(r"""['"]([a-z.-]+)['"]""", "".join(map(source_of, (owner_view, promised)))))
    absent = wanted - ours
    assert absent == {"promise.days", "request.outline"} & wanted, "one and other stand for themselves"
    assert all(key in page_texts("en") or f"{key}.one" in page_texts("en") for key in wanted)


@pytest.mark.parametrize(
    ("language", "when"),
    [
        ("ar", "السبت، 28 نوفمبر, 14:00 – 15:30"),
        ("de", "Samstag, 28. November, 14:00 – 15:30"),
        ("es", "sábado, 28 de noviembre, 14:00 – 15:30"),
        ("fr", "samedi 28 novembre, 14:00 – 15:30"),
        ("nl", "zaterdag 28 november, 14:00 – 15:30"),
    ],
)
def test_the_day_is_written_in_the_owners_language(language: str, when: str) -> None:
    assert view(language).facts[1][1] == when


@pytest.mark.parametrize(
    ("days", "form"), [(1, "one"), (2, "two"), (7, "few"), (11, "many"), (100, "other"), (110, "few"), (365, "many")]
)
def test_a_number_of_days_has_one_of_the_six_forms_of_arabic(days: int, form: str) -> None:
    assert days_in_words(days, "ar") == page_texts("ar")[f"promise.days.{form}"].replace("{n}", str(days))


def test_each_language_of_owners_is_a_button_in_its_own_words_and_script(agency: Agency) -> None:
    """A supervisor who reads Arabic has to find it, and to read it from right to left."""
    vouch(agency)
    draft, client = drafted(agency), agency.client(Role.ASKER)
    page = client.get(f"/requests/{draft.pk}?owner=ar").content.decode()
    for code, language in LANGUAGES.items():
        assert re.search(rf'href="\?owner={code}"[^>]*lang="{code}">{language.name}</a>', page), code
    assert '<div class="owner-page" lang="ar" dir="rtl">' in page
    assert (
        '<div class="owner-page" lang="es" dir="ltr">' in client.get(f"/requests/{draft.pk}?owner=es").content.decode()
    )
