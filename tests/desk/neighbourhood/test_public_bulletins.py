"""Public bulletins: read without signing in, as page, feed and alert, and checked with `openssl` alone."""

from __future__ import annotations

import datetime
import io
import re
import subprocess
import zipfile
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from django.utils import timezone

from agent.clients.requester.identity import Requester
from agent.wire import envelope
from desk.neighbourhood.cap import NAMESPACE
from desk.neighbourhood.feed import GEORSS
from desk.neighbourhood.published import current
from desk.people.models import Organisation
from desk.people.organisations import requester_of
from desk.people.roles import Role
from desk.tips.models import Bulletin
from tests.desk.agencies import Agency, browser
from tests.desk.asking.asking_desk import vouch
from tests.desk.tips.test_bulletins import written

ATOM = "{http://www.w3.org/2005/Atom}"
CAP = f"{{{NAMESPACE}}}"


def published(agency: Agency, **changes: object) -> Bulletin:
    if not Bulletin.objects.filter(organisation=agency.organisation).exists():
        vouch(agency)
    bulletin = written(agency, **changes)
    assert agency.client(Role.SUPERVISOR).post(f"/tips/bulletins/{bulletin.pk}/publish").status_code == 302
    bulletin.refresh_from_db()
    return bulletin


def get(address: str, status: int = 200) -> Any:
    answer = browser().get(address)
    assert answer.status_code == status, answer.content
    return answer


def test_anyone_reads_the_bulletins_in_force_and_only_those(agency: Agency, other_agency: Agency) -> None:
    published(agency)
    published(other_agency, title="Bridge closed", description="Until Monday.")
    ended = published(agency, title="Storm over")
    written(agency, title="Only a draft")
    Bulletin.objects.filter(pk=ended.pk).update(not_after_s=int(timezone.now().timestamp()))
    page = get("/bulletins").content.decode()
    assert "Water off" in page
    assert "Bridge closed" in page
    assert "Storm over" not in page
    assert "Only a draft" not in page
    get(f"/bulletins/{ended.bulletin_id}", 404)
    get("/bulletins/" + "0" * 32, 404)
    one = get("/bulletins?from=waterland-police").content.decode()
    assert "Bridge closed" in one
    assert "Water off" not in one
    get("/bulletins?from=unknown", 404)
    dutch = browser().get("/bulletins?from=waterland-police", headers={"accept-language": "nl"}).content.decode()
    assert "Veiligheidsberichten van Waterland Police" in dutch


def test_a_page_for_anyone_opens_the_folder_of_each_organisation_once(
    agency: Agency, other_agency: Agency, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Opening costs more than the rest of a bulletin, and the page shows 200 of them to each reader."""
    for title in ("Water off", "Water back", "Water off again"):
        published(agency, title=title)
    published(other_agency, title="Bridge closed")
    opened: list[str] = []

    def opens(organisation: Organisation) -> Requester:
        opened.append(organisation.requester_id)
        return requester_of(organisation)

    monkeypatch.setattr("desk.neighbourhood.published.requester_of", opens)
    assert get("/bulletins").content.decode().count("Water") >= 3
    assert sorted(opened) == ["rijnstad-police", "waterland-police"]


def test_a_reader_gets_no_cookie_and_caches_may_keep_feed_and_files(agency: Agency) -> None:
    bulletin = published(agency)
    client = browser()
    address = f"/bulletins/{bulletin.bulletin_id}"
    for each in ("/bulletins", address, "/bulletins.atom", f"{address}.cap", f"{address}.zip"):
        answer = client.get(each)
        assert answer.status_code == 200
        assert not answer.cookies, each
    for each in ("/bulletins.atom", f"{address}.cap", f"{address}.zip"):
        assert client.get(each)["Cache-Control"] == "public, max-age=60"


def test_a_bulletin_is_checked_with_openssl_alone_and_a_changed_word_is_noticed(agency: Agency, tmp_path: Path) -> None:
    bulletin = published(agency)
    data = get(f"/bulletins/{bulletin.bulletin_id}.zip").content
    assert data == get(f"/bulletins/{bulletin.bulletin_id}.zip").content, "the same bulletin is always the same file"
    zipfile.ZipFile(io.BytesIO(data)).extractall(tmp_path / "read")
    (folder,) = (tmp_path / "read").iterdir()
    told = (folder / "README.txt").read_text()
    command = next(line.strip() for line in told.splitlines() if line.strip().startswith("openssl"))
    assert str(requester_of(agency.organisation).key) in told

    def check() -> subprocess.CompletedProcess[str]:
        return subprocess.run(command.split(), cwd=folder, capture_output=True, text=True, check=False)

    assert "Verified Successfully" in check().stdout
    signed = folder / "bulletin.signed"
    signed.write_bytes(signed.read_bytes().replace(b"No water", b"Hot water"))
    assert check().returncode != 0


def test_the_feed_names_each_bulletin_with_its_page_and_organisation(agency: Agency, other_agency: Agency) -> None:
    bulletin = published(agency, title="Water & gas off", description="Boil <everything>.")
    published(other_agency, title="Bridge closed")
    feed = ElementTree.fromstring(get("/bulletins.atom").content)
    entries = feed.findall(f"{ATOM}entry")
    assert [each.findtext(f"{ATOM}title") for each in entries] == ["Bridge closed", "Water & gas off"]
    entry = entries[1]
    assert entry.findtext(f"{ATOM}summary") == "Boil <everything>."
    assert entry.findtext(f"{ATOM}author/{ATOM}name") == "Rijnstad Police"
    link = entry.find(f"{ATOM}link")
    assert link is not None
    assert link.get("href", "").endswith(f"/bulletins/{bulletin.bulletin_id}")
    one = ElementTree.fromstring(get("/bulletins.atom?from=rijnstad-police").content)
    assert len(one.findall(f"{ATOM}entry")) == 1


def test_the_feed_states_each_area_and_the_desk_asks_no_reader_for_a_place(agency: Agency) -> None:
    published(agency)
    corners = "52.1, 5.1\n52.1, 5.12\n52.11, 5.12"
    published(agency, title="Bridge closed", shape="polygon", corners=corners)
    entries = ElementTree.fromstring(get("/bulletins.atom").content).findall(f"{ATOM}entry")
    assert [each.findtext(f"{{{GEORSS}}}circle") for each in entries] == [None, "52.0907000 5.1214000 500"]
    assert [each.findtext(f"{{{GEORSS}}}polygon") for each in entries] == [
        "52.1000000 5.1000000 52.1000000 5.1200000 52.1100000 5.1200000 52.1000000 5.1000000", None,
    ]  # fmt: skip
    page = get("/bulletins").content.decode()
    assert "Water off" in page
    forms = re.findall(r"<form.*?</form>", page, re.DOTALL)
    assert not [each for each in forms if re.search(r'name="(lat|lon|near|place|area)', each)]
    assert "geolocation" not in page


def test_the_alert_has_the_elements_of_cap_in_the_order_of_its_schema(agency: Agency) -> None:
    bulletin = published(agency)
    alert = ElementTree.fromstring(get(f"/bulletins/{bulletin.bulletin_id}.cap").content)
    assert alert.tag == f"{CAP}alert"
    assert [each.tag.removeprefix(CAP) for each in alert] == [
        "identifier", "sender", "sent", "status", "msgType", "scope", "info",
    ]  # fmt: skip
    info = alert.find(f"{CAP}info")
    assert info is not None
    assert [each.tag.removeprefix(CAP) for each in info] == [
        "language", "category", "event", "urgency", "severity", "certainty", "expires", "senderName", "headline",
        "description", "web", "area",
    ]  # fmt: skip
    assert alert.findtext(f"{CAP}identifier") == bulletin.bulletin_id
    assert info.findtext(f"{CAP}headline") == "Water off"
    assert info.findtext(f"{CAP}language") == bulletin.language == "nl"
    assert info.findtext(f"{CAP}area/{CAP}circle") == "52.0907000,5.1214000 0.500"
    expires = info.findtext(f"{CAP}expires") or ""
    assert expires.endswith("-00:00")
    assert bulletin.until is not None
    assert datetime.datetime.fromisoformat(expires) == bulletin.until.replace(microsecond=0)


def test_a_polygon_of_an_alert_ends_where_it_begins(agency: Agency) -> None:
    corners = "52.090, 5.120\n52.090, 5.130\n52.095, 5.130"
    bulletin = published(agency, shape="polygon", centre="", radius_m="", corners=corners)
    alert = ElementTree.fromstring(get(f"/bulletins/{bulletin.bulletin_id}.cap").content)
    pairs = (alert.findtext(f"{CAP}info/{CAP}area/{CAP}polygon") or "").split()
    assert len(pairs) == 4
    assert pairs[0] == pairs[-1] == "52.0900000,5.1200000"


def test_words_changed_in_the_database_are_not_shown_because_the_signed_ones_are(agency: Agency) -> None:
    bulletin = published(agency)
    Bulletin.objects.filter(pk=bulletin.pk).update(title="Send money", description="To this account.")
    for address in ("/bulletins", f"/bulletins/{bulletin.bulletin_id}"):
        page = get(address).content.decode()
        assert "Water off" in page
        assert "Send money" not in page


def test_a_bulletin_that_another_key_signed_is_hidden_and_the_others_stay(agency: Agency, other_agency: Agency) -> None:
    forged, true = published(agency), published(other_agency, title="Bridge closed")
    ours, theirs = requester_of(agency.organisation), requester_of(other_agency.organisation)
    name = f"bulletins/{forged.bulletin_id}/bulletin.dsse"
    signed = ours.notes.read(name, 1 << 20)
    assert signed is not None
    claimed = envelope.read_unverified(signed)
    ours.notes.write(name, theirs.sign(claimed.payload_type, claimed.payload))
    assert [each.message.id for each in current(timezone.now())] == [true.bulletin_id]
    get(f"/bulletins/{forged.bulletin_id}", 404)
