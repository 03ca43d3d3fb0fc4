"""The request as an owner reads it: in the words of the owner's page, in the owner's language. No network.

The words come from the file that the owner's page shows (`agent/web/texts`), so that both say the same. The order of
the facts is that of `agent/web/src/pages/request.js`.
"""

from __future__ import annotations

import datetime
import functools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final
from zoneinfo import ZoneInfo

from agent.clients.promise import days_in_words, no_calling_back, page_texts, parties_in_words, promise_sentences
from agent.core.languages import LANGUAGES
from agent.wire.area import Area
from agent.wire.fields import Kind, OnwardKind

__all__ = ["OwnerView", "Promise", "owner_view"]

_M2_PER_HECTARE: Final = 10_000
_HECTARES: Final = {
    "ar": ("هكتار", "هكتار"),
    "de": ("Hektar", "Hektar"),
    "en": ("hectare", "hectares"),
    "es": ("hectárea", "hectáreas"),
    "fr": ("hectare", "hectares"),
    "nl": ("hectare", "hectare"),
}
_MONTHS: Final = {
    "ar": [
        "يناير",
        "فبراير",
        "مارس",
        "إبريل",
        "مايو",
        "يونيو",
        "يوليو",
        "أغسطس",
        "سبتمبر",
        "أكتوبر",
        "نوفمبر",
        "ديسمبر",
    ],
    "de": [
        "Januar",
        "Februar",
        "März",
        "April",
        "Mai",
        "Juni",
        "Juli",
        "August",
        "September",
        "Oktober",
        "November",
        "Dezember",
    ],
    "en": [
        "January",
        "February",
        "March",
        "April",
        "May",
        "June",
        "July",
        "August",
        "September",
        "October",
        "November",
        "December",
    ],
    "es": [
        "enero",
        "febrero",
        "marzo",
        "abril",
        "mayo",
        "junio",
        "julio",
        "agosto",
        "septiembre",
        "octubre",
        "noviembre",
        "diciembre",
    ],
    "fr": [
        "janvier",
        "février",
        "mars",
        "avril",
        "mai",
        "juin",
        "juillet",
        "août",
        "septembre",
        "octobre",
        "novembre",
        "décembre",
    ],
    "nl": [
        "januari",
        "februari",
        "maart",
        "april",
        "mei",
        "juni",
        "juli",
        "augustus",
        "september",
        "oktober",
        "november",
        "december",
    ],
}
_WEEKDAYS: Final = {
    "ar": ["الاثنين", "الثلاثاء", "الأربعاء", "الخميس", "الجمعة", "السبت", "الأحد"],
    "de": ["Montag", "Dienstag", "Mittwoch", "Donnerstag", "Freitag", "Samstag", "Sonntag"],
    "en": ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"],
    "es": ["lunes", "martes", "miércoles", "jueves", "viernes", "sábado", "domingo"],
    "fr": ["lundi", "mardi", "mercredi", "jeudi", "vendredi", "samedi", "dimanche"],
    "nl": ["maandag", "dinsdag", "woensdag", "donderdag", "vrijdag", "zaterdag", "zondag"],
}
_DATES: Final = {
    "de": "{weekday}, {day}. {month}",
    "es": "{weekday}, {day} de {month}",
    "ar": "{weekday}، {day} {month}",
}
_OTHER_DATES: Final = "{weekday} {day} {month}"
_SHORT_MONTHS: Final = ("en", "es")
"""Their months are shortened to three letters, as the browser does."""


@dataclass(frozen=True, slots=True)
class Promise:
    """Promises of a request about the footage."""

    retention_days: int
    onward: tuple[str, ...]
    basis: str = ""


@dataclass(frozen=True, slots=True)
class OwnerView:
    """The request's card. Each fact is a name and a value."""

    language: str
    who: str
    lead: str
    facts: tuple[tuple[str, str], ...]
    description: str
    description_language: str
    words_caption: str
    get: tuple[str, tuple[str, ...]]
    never: tuple[str, tuple[str, ...]]
    decision: tuple[str, ...]
    """Sentences where the owner decides."""

    @property
    def direction(self) -> str:
        """Returns the direction of the owner's script, as HTML names it."""
        return LANGUAGES[self.language].direction


def owner_view(
    *,
    language: str,
    who: str,
    kind: str,
    incident: str,
    case: str,
    area: Area,
    from_s: int,
    to_s: int,
    not_after_s: int,
    contact: tuple[str, ...],
    description: str,
    description_language: str,
    promise: Promise,
    zone: ZoneInfo,
) -> OwnerView:
    """Returns the card in the owner's `language`, with times in the zone of the door."""
    t = functools.partial(_text, page_texts(language))
    bounds = area.bounds
    place = f"{bounds.middle_latitude:.3f}, {(bounds.west + bounds.east) / 2:.3f}"
    when = _span(from_s, to_s, zone, language)
    until = _short_date(datetime.datetime.fromtimestamp(not_after_s, zone), language)
    facts = (
        (t("request.case"), case),
        (t("request.when"), when),
        (t("request.area"), t("request.area.text", size=_size(area.opened_m2, language), place=place) + "."),
        *_promises(language, promise),
        (t("request.open-until"), until),
        (t("request.contact"), " · ".join(each for each in contact if each)),
    )
    return OwnerView(
        language=language,
        who=who,
        lead=t("requests.asks", kind=t(f"kind.{kind}"), incident=t(f"incident.{incident}")),
        facts=facts,
        description=description,
        description_language=description_language,
        words_caption=t("request.words"),
        get=(t("request.get"), tuple(t(f"request.get.{number}") for number in (1, 2, 3))),
        never=(t("request.never"), tuple(t(f"request.never.{number}") for number in (1, 2, 3, 4))),
        decision=_decision(language, who, kind, promise),
    )


def _text(known: Mapping[str, str], key: str, **values: str) -> str:
    text = known[key]
    for name, value in values.items():
        text = text.replace(f"{{{name}}}", value)
    return text


def _kinds(promise: Promise) -> tuple[OnwardKind, ...]:
    return tuple(kind for kind in OnwardKind if kind.value in promise.onward)


def _decision(language: str, who: str, kind: str, promise: Promise) -> tuple[str, ...]:
    """Returns the sentences beside the owner's yes."""
    neighbour = kind == Kind.NEIGHBOUR.value
    sentences = promise_sentences(who, promise.retention_days, _kinds(promise), language, is_neighbour=neighbour)
    return (*sentences, no_calling_back(language))


def _promises(language: str, promise: Promise) -> tuple[tuple[str, str], ...]:
    t = functools.partial(_text, page_texts(language))
    passed = parties_in_words(_kinds(promise), language) or t("promise.passed.none")
    if promise.basis:
        passed = f"{passed}. {t('promise.basis')} {promise.basis}"
    kept = t("promise.kept.text", days=days_in_words(promise.retention_days, language))
    return (t("promise.kept"), kept), (t("promise.passed"), passed)


def _size(m2: float, language: str) -> str:
    if m2 < _M2_PER_HECTARE:
        return f"{round(m2)} m²"
    hectares = round(m2 / _M2_PER_HECTARE)
    return f"{hectares} {_HECTARES[language][hectares != 1]}"


def _span(from_s: int, to_s: int, zone: ZoneInfo, language: str) -> str:
    since, until = (datetime.datetime.fromtimestamp(each, zone) for each in (from_s, to_s))
    last = f"{until:%H:%M}" if since.date() == until.date() else f"{_day(until, language)}, {until:%H:%M}"
    return f"{_day(since, language)}, {since:%H:%M} – {last}"


def _day(at: datetime.datetime, language: str) -> str:
    weekday, month = _WEEKDAYS[language][at.weekday()], _MONTHS[language][at.month - 1]
    return _DATES.get(language, _OTHER_DATES).format(weekday=weekday, day=at.day, month=month)


def _short_date(at: datetime.datetime, language: str) -> str:
    month = _MONTHS[language][at.month - 1]
    return f"{at.day} {month[:3] if language in _SHORT_MONTHS else month} {at.year}"
