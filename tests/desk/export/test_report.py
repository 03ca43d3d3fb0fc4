"""The report of a case: what a court asks, page numbers, whole rows, both languages, no foreign word that acts."""

from __future__ import annotations

import re
from collections import defaultdict
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from weasyprint import HTML
from weasyprint.formatting_structure import boxes

from agent.core.media import Gop
from agent.core.timebase import ClockQuality
from desk.cases.models import Triage
from desk.custody import log
from desk.custody.models import Entry
from desk.export import words
from desk.export.case_content import CaseContent, gather
from desk.export.certificates import JURISDICTIONS, render_certificate
from desk.export.report import render_html, render_pdf
from desk.people.roles import Role
from tests.clients.requester.conftest import NOW_S, filmed
from tests.desk.agencies import Agency
from tests.desk.export.street import Street, make_case
from tests.lengths import one_in


def content_of(street: Street, folder: Path) -> CaseContent:
    return gather(street.case, folder, now_s=NOW_S)


def html_of(content: CaseContent, **more: Any) -> str:
    return render_html(content, **({"language": "en", "now_s": NOW_S, "made_by": "Eva Officer"} | more))


def test_a_report_names_requests_answers_clips_consents_hashes_and_custody(street: Street, tmp_path: Path) -> None:
    Triage.objects.create(answer=street.answers[0], verdict="relevant", by=street.agency.people[Role.ASKER])
    content = content_of(street, tmp_path)
    entries = list(Entry.objects.filter(case_number=street.case.number))
    text = html_of(content, entries=entries, checkpoint=log.newest_note(street.agency.organisation).decode())
    for verification in street.verifications:
        disclosed = verification.disclosed
        assert disclosed is not None
        wanted = [disclosed.manifest.device, verification.disclosure, disclosed.approver]
        wanted += [each.opened_sha256 for each in verification.items]
        wanted += [each.item.part.sha256 for each in verification.items]
        assert [each for each in wanted if each not in text] == []
    for said in (
        street.asked[0].request.id, "300 m around 52.37020, 4.89520", "A burglary in the street", "Det. R. Visser",
        "supervisor", "relevant", "request.approved", "answer.received", "every check holds", "Eva Officer",
        "deleted after 90 days",
        "courts and prosecutors; anyone who asks for it", "Burglary",
        "What this does not prove", words.CLOCKS[ClockQuality.SYNCED], words.day_time((NOW_S - 6000) * 1000),
    ):  # fmt: skip
        assert str(said) in text
    dutch = html_of(content, language="nl", entries=entries)
    for said in (
        '<html lang="nl">',
        "Wat dit niet bewijst",
        "elke controle klopt",
        "rechtbanken en het Openbaar",
        "300 m rond 52.37020",
    ):
        assert said in dutch
    assert [clip.label for clip in content.clips] == ["A.1", "B.1", "A.2", "B.2"], "in the order of their times"


@pytest.mark.parametrize("quality", one_in(2, ClockQuality))
def test_a_doubtful_clock_is_said_with_each_clip(
    agency: Agency, gops: list[Gop], tmp_path: Path, quality: ClockQuality
) -> None:
    street = make_case(agency, "1", "")
    street.answer(street.ask(), filmed(gops, quality=quality))
    text = html_of(content_of(street, tmp_path))
    assert text.count(str(words.CLOCKS[quality])) >= 3
    for other in set(ClockQuality) - {quality}:
        assert str(words.CLOCKS[other]) not in text


class Parsed(HTMLParser):
    """Tags and addresses of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.addresses: list[str] = []
        self.handlers: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.addresses += [value or "" for name, value in attrs if name in ("src", "href", "action", "data")]
        self.handlers += [name for name, _value in attrs if name.startswith("on")]


HOSTILE = (
    "<script>alert(1)</script>",
    '"><img src=file:///etc/passwd onerror=x>',
    "</style><style>*{background:url(http://evil.example/)}",
    "{{ settings.SECRET_KEY }}{% load x %}",
    "=HYPERLINK(0)",
    "\u202egpj.exe\u2066",
)


@pytest.mark.parametrize("text", one_in(3, HOSTILE))
def test_no_foreign_word_acts_in_a_report_or_a_certificate(
    agency: Agency, tmp_path: Path, gops: list[Gop], text: str
) -> None:
    street = make_case(agency, "1", text * 2)
    agency.organisation.name = text
    agency.organisation.save()
    answer = street.answer(street.ask(), filmed(gops))
    answer.state, answer.reason = "quarantined", text
    answer.save()
    street.answer(street.ask(), filmed(gops, name="another"))
    street.case.number = text  # of a case that was renamed: a signed request refuses most of these
    street.case.save()
    log.record(agency.organisation, text, "x", text, case=street.case.number)
    content = content_of(street, tmp_path)
    entries = list(Entry.objects.filter(case_number=street.case.number))
    made = [html_of(content, entries=entries, made_by=text, language=language) for language in ("en", "nl")]
    made += [render_certificate(each, content, now_s=NOW_S) for each in JURISDICTIONS]
    for page in made:
        parsed = Parsed(page)
        assert not parsed.tags & {"script", "link", "iframe", "object", "form", "a", "base"}
        assert not parsed.handlers
        assert all(address.startswith("data:image/jpeg;base64,") for address in parsed.addresses)
        assert len(re.findall("</style>", page)) == 1
        assert "\u202e" not in page
    pdf = render_pdf(made[0])
    assert pdf.startswith(b"%PDF-")
    assert not [word for word in (b"/JavaScript", b"/URI", b"/Launch", b"/EmbeddedFile") if word in pdf]


def test_a_pdf_loads_no_file_and_no_address(tmp_path: Path) -> None:
    secret = tmp_path / "secret.svg"
    secret.write_text('<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"><text>SECRET</text></svg>')
    page = f'<img src="{secret.as_uri()}"><link rel="stylesheet" href="{secret.as_uri()}"><p>shown</p>'
    assert len(render_pdf(page)) < len(HTML(string=page).write_pdf())


def test_each_page_has_its_number_and_no_row_of_a_table_is_cut(street: Street, tmp_path: Path) -> None:
    organisation = street.agency.organisation
    for number in range(120):
        log.record(organisation, "x" * (number % 90), "clip.opened", f"answer {'5f' * 16}", case=street.case.number)
    entries = list(Entry.objects.filter(case_number=street.case.number))
    document = HTML(string=html_of(content_of(street, tmp_path), entries=entries)).render()
    pages = document.pages
    assert len(pages) > 4
    seen: dict[int, set[int]] = defaultdict(set)
    heads: dict[int, set[int]] = defaultdict(set)
    layouts: set[str] = set()
    for number, page in enumerate(pages):
        found = list(page._page_box.descendants())
        written = "".join(box.text for box in found if isinstance(box, boxes.TextBox))
        for box in found:
            if isinstance(box, boxes.TableRowBox) and box.element is not None:
                inside = heads if box.element.find("th") is not None else seen
                inside[id(box.element)].add(number)
            if isinstance(box, boxes.TableBox):
                layouts.add(box.style["table_layout"])
        margins = "".join(
            box.text
            for margin in page._page_box.children
            if isinstance(margin, boxes.MarginBox)
            for box in margin.descendants()
            if isinstance(box, boxes.TextBox)
        )
        assert f"{number + 1} / {len(pages)}" in margins
        assert "Case 2027-0114" in margins
        assert written
    assert layouts == {"fixed"}, "each other layout measures a cell at every place where it may break"
    assert seen
    assert {len(each) for each in seen.values()} == {1}
    assert max(len(each) for each in heads.values()) >= 3, "a table's head is repeated on each of its pages"


def test_certificates_are_templates_in_their_language_and_fill_in_the_files(street: Street, tmp_path: Path) -> None:
    content = content_of(street, tmp_path)
    marks = {
        "us-fre-902": ("Not legal advice", "902(13) and 902(14)", "28 U.S.C. § 1746"),
        "uk-section-9": ("Not legal advice", "Criminal Justice Act 1967, s. 9", "liable to prosecution"),
        "nl-verklaring": ("Geen juridisch advies", "Concept", "Wetboek van Strafvordering"),
        "de-erklaerung": ("Keine Rechtsberatung", "Entwurf", "StPO"),
    }
    assert {each.id for each in JURISDICTIONS} == set(marks)
    for jurisdiction in JURISDICTIONS:
        page = render_certificate(jurisdiction, content, now_s=NOW_S)
        assert f'<html lang="{jurisdiction.language}">' in page
        assert [mark for mark in marks[jurisdiction.id] if mark not in page] == []
        hashes = [item.opened_sha256 for verification in street.verifications for item in verification.items]
        assert [each for each in hashes if each not in page] == []
        assert page.count('class="blank"') >= 4


def test_a_case_without_answers_has_a_report(agency: Agency, tmp_path: Path) -> None:
    text = html_of(content_of(make_case(agency, "7", ""), tmp_path), entries=[])
    assert "No clip was shared." in text
