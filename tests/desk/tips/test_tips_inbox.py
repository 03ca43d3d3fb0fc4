"""Tips arrive, are opened in memory with an entry in the log, and go into a case of the same organisation."""

from __future__ import annotations

from agent.clients.requester.news import ReceiverEvent, ReceiverEventKind
from agent.wire.disclosures import PartKind
from desk.cases.models import Case
from desk.custody.models import Entry
from desk.people.organisations import requester_of
from desk.people.roles import Role
from desk.receiving.answer_rows import AnswerRecorder
from desk.receiving.reconcile import reconcile
from desk.tips.models import Tip
from tests.clients.requester.house import House
from tests.clients.requester.test_incoming_tips import TIP, laid, one_of, shown, words
from tests.damage import with_another_end
from tests.desk.agencies import Agency


def arrived(agency: Agency) -> Tip:
    """The tip on the disk, noted as the receiver notes it at its start."""
    requester = requester_of(agency.organisation)
    reconcile(agency.organisation, requester, AnswerRecorder(agency.organisation, requester))
    assert agency.client(Role.ASKER).get("/tips/").status_code == 200
    return Tip.objects.get(organisation=agency.organisation)


def test_the_receiver_lists_a_tip_once(agency: Agency) -> None:
    requester = requester_of(agency.organisation)
    laid(requester, words(requester))
    recorder = AnswerRecorder(agency.organisation, requester)
    for _ in range(2):
        recorder.record(ReceiverEvent(ReceiverEventKind.TIP, TIP))
    assert arrived(agency).disclosure_id == TIP


def test_a_tip_is_listed_opened_and_recorded(agency: Agency) -> None:
    laid(requester_of(agency.organisation), words(requester_of(agency.organisation), "A <b>white</b> van."))
    tip = arrived(agency)
    page = agency.client(Role.ASKER).post(f"/tips/{tip.pk}").content.decode()
    assert "A &lt;b&gt;white&lt;/b&gt; van." in page
    assert "nothing is proven" in page
    tip.refresh_from_db()
    assert tip.opened_by == agency.people[Role.ASKER]
    actions = list(Entry.objects.filter(organisation=agency.organisation).values_list("action", flat=True))
    assert [each for each in actions if each.startswith("tip.")] == ["tip.arrived", "tip.opened"]
    arrived(agency)  # a second look lists it once


def test_a_tip_is_not_opened_by_following_a_link(agency: Agency) -> None:
    laid(requester_of(agency.organisation), words(requester_of(agency.organisation)))
    assert agency.client(Role.ASKER).get(f"/tips/{arrived(agency).pk}").status_code == 405


def test_a_clip_and_a_picture_of_a_tip_are_shown_from_memory(agency: Agency, house: House) -> None:
    requester = requester_of(agency.organisation)
    segment, poster = one_of(house, PartKind.SEGMENT), one_of(house, PartKind.POSTER)
    laid(requester, *shown(requester, house, segment, poster))
    tip, client = arrived(agency), agency.client(Role.ASKER)
    assert house.device_id in client.post(f"/tips/{tip.pk}").content.decode()
    clip = client.get(f"/tips/{tip.pk}/files/0")
    assert (clip["Content-Type"], clip.content) == ("video/mp4", segment.content)
    assert client.get(f"/tips/{tip.pk}/files/1")["Content-Type"] == "image/jpeg"
    assert client.get(f"/tips/{tip.pk}/files/2").status_code == 404
    assert Entry.objects.filter(action="tip.footage-viewed", object=f"tip {tip.disclosure_id}").exists()


def test_a_tip_that_was_changed_on_the_way_is_kept_aside_with_the_reason(agency: Agency, house: House) -> None:
    requester = requester_of(agency.organisation)
    manifest, parts = shown(requester, house, one_of(house, PartKind.SEGMENT))
    laid(requester, manifest, [with_another_end(parts[0])])
    tip = arrived(agency)
    page = agency.client(Role.ASKER).post(f"/tips/{tip.pk}").content.decode()
    assert "It does not open" in page
    tip.refresh_from_db()
    assert tip.problem
    assert agency.client(Role.ASKER).get(f"/tips/{tip.pk}/files/0").status_code == 404


def test_a_tip_goes_into_a_case_of_its_organisation_only(agency: Agency, other_agency: Agency) -> None:
    laid(requester_of(agency.organisation), words(requester_of(agency.organisation)))
    tip, client = arrived(agency), agency.client(Role.ASKER)
    ours, theirs = (
        Case.objects.create(organisation=each.organisation, number="2026-1", created_by=each.people[Role.ASKER])
        for each in (agency, other_agency)
    )
    assert client.post(f"/tips/{tip.pk}/assign", {"case": theirs.pk}).status_code == 404
    assert client.post(f"/tips/{tip.pk}/assign", {"case": "x"}).status_code == 404
    assert client.post(f"/tips/{tip.pk}/assign", {"case": ours.pk}).status_code == 302
    tip.refresh_from_db()
    assert tip.case == ours
    assert other_agency.client(Role.ASKER).post(f"/tips/{tip.pk}").status_code == 404
    assert other_agency.client(Role.ASKER).get(f"/tips/{tip.pk}/files/0").status_code == 404
