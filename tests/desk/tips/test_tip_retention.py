"""A tip is kept for the days that its receipt promised, then deleted, unless a legal hold stops that."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from typing import Any

import pytest
from django.utils import timezone

from agent.clients.requester.disclosure_folder import AnswerFolder, DisclosureOrigin
from agent.clients.requester.identity import Requester
from agent.clients.requester.incoming_tips import OpenedTip
from agent.errors import StorageError
from agent.wire.disclosures import ReceiptState
from agent.wire.topics import ANONYMOUS
from desk.cases import case_work
from desk.cases.models import Case
from desk.custody.answers import audit_files
from desk.custody.models import Entry
from desk.people.organisations import requester_of
from desk.people.roles import Role
from desk.tips import inbox, tip_retention
from desk.tips.models import Tip
from tests.clients.requester.test_incoming_tips import TIP, laid, words
from tests.desk.agencies import Agency
from tests.desk.kept import change_part, is_kept
from tests.desk.tips.test_tips_inbox import arrived

DAY_S = 86_400


def tip_here(agency: Agency) -> tuple[Requester, Tip]:
    requester = requester_of(agency.organisation)
    laid(requester, words(requester))
    return requester, arrived(agency)


def due(agency: Agency, requester: Requester, days: float) -> int:
    now_s = int(timezone.now().timestamp() + days * DAY_S)
    return tip_retention.tips_due(agency.organisation, requester, now_s)


def actions() -> list[str]:
    found = Entry.objects.filter(object=f"tip {TIP}").order_by("number")
    return list(found.values_list("action", flat=True))


def post(agency: Agency, tip: Tip, act: str, role: Role = Role.EVIDENCE_OFFICER) -> Any:
    return agency.client(role).post(f"/tips/{tip.pk}/{act}", {"reason": "a court asked"}, follow=True)


def test_a_tip_is_really_deleted_after_the_days_that_its_receipt_promised(agency: Agency) -> None:
    requester, tip = tip_here(agency)
    assert tip.retention_days == requester.profile.retention_days == 30
    assert "Deleted in 30 days, on" in agency.client(Role.ASKER).get("/tips/").content.decode()
    assert due(agency, requester, 29.9) == 0
    assert is_kept(requester, TIP)
    assert due(agency, requester, 30.1) == 1
    assert not is_kept(requester, TIP)
    assert due(agency, requester, 31) == 0, "once"
    assert actions() == ["tip.arrived", "tip.deleted"]
    assert Entry.objects.get(action="tip.deleted").actor == "retention"
    page = agency.client(Role.ASKER).get("/tips/").content.decode()
    assert "Deleted on" in page
    for path in (f"/tips/{tip.pk}", f"/tips/{tip.pk}/assign"):
        assert agency.client(Role.ASKER).post(path).status_code == 404


def test_the_days_of_a_tip_are_those_at_its_arrival(agency: Agency) -> None:
    requester, tip = tip_here(agency)
    requester.change_defaults(2, "nl")
    assert (requester_of(agency.organisation).profile.retention_days, tip.retention_days) == (2, 30)
    assert due(agency, requester, 3) == 0
    Tip.objects.all().delete()
    inbox.note_arrival(agency.organisation, TIP)
    assert Tip.objects.get().retention_days == 2


def test_a_legal_hold_of_the_tip_stops_its_deletion_until_it_ends(agency: Agency) -> None:
    requester, tip = tip_here(agency)
    assert "legal hold" in post(agency, tip, "hold").content.decode()
    assert due(agency, requester, 40) == 0
    assert "Nothing was changed" in post(agency, tip, "delete").content.decode()
    assert "Not deleted: legal hold" in agency.client(Role.ASKER).get("/tips/").content.decode()
    post(agency, tip, "release")
    assert due(agency, requester, 40) == 1
    assert actions() == ["tip.arrived", "tip.held", "tip.hold-ended", "tip.deleted"]
    assert "Nothing was changed" in post(agency, tip, "hold").content.decode()


def test_the_legal_hold_of_its_case_stops_its_deletion(agency: Agency) -> None:
    requester, tip = tip_here(agency)
    case = Case.objects.create(organisation=agency.organisation, number="2026-1")
    inbox.assign(tip, agency.people[Role.ASKER], case)
    case_work.hold_case(case, agency.people[Role.SUPERVISOR], "a court asked")
    assert due(agency, requester, 40) == 0
    assert not tip_retention.delete_tip(agency.organisation, requester, tip.pk, "retention")
    page = agency.client(Role.EVIDENCE_OFFICER).get(f"/tips/{tip.pk}/deletion").content.decode()
    assert "The legal hold of case 2026-1 keeps it." in page
    case_work.end_hold(case, agency.people[Role.SUPERVISOR], "it ended")
    assert due(agency, requester, 40) == 1
    assert Entry.objects.get(action="tip.deleted").case_number == "2026-1"


@pytest.mark.parametrize("to_another", [False, True], ids=["out", "to another case"])
def test_a_person_who_may_end_no_hold_takes_no_tip_out_of_a_held_case(agency: Agency, to_another: bool) -> None:
    requester, tip = tip_here(agency)
    held, other = (Case.objects.create(organisation=agency.organisation, number=each) for each in ("2026-1", "2026-2"))
    inbox.assign(tip, agency.people[Role.ASKER], held)
    case_work.hold_case(held, agency.people[Role.SUPERVISOR], "a court asked")
    chosen = {"case": str(other.pk) if to_another else ""}
    page = agency.client(Role.ASKER).post(f"/tips/{tip.pk}/assign", chosen, follow=True)
    assert "The legal hold of its case keeps this tip in the case." in page.content.decode()
    assert due(agency, requester, 40) == 0
    assert is_kept(requester, TIP)
    case_work.end_hold(held, agency.people[Role.SUPERVISOR], "it ended")
    agency.client(Role.ASKER).post(f"/tips/{tip.pk}/assign", chosen)
    tip.refresh_from_db()
    assert tip.case == (other if to_another else None)


def while_it_opens(monkeypatch: pytest.MonkeyPatch, act: Callable[[], object]) -> None:
    """Lets a colleague act while the tip is being opened, which takes seconds if it has footage."""
    whole = inbox.open_tip

    def slowly(requester: Requester, tip: str) -> OpenedTip:
        opened = whole(requester, tip)
        act()
        return opened

    monkeypatch.setattr(inbox, "open_tip", slowly)


def test_a_hold_that_comes_while_a_colleague_opens_the_tip_stays(
    agency: Agency, monkeypatch: pytest.MonkeyPatch
) -> None:
    requester, tip = tip_here(agency)
    officer = agency.people[Role.EVIDENCE_OFFICER]
    while_it_opens(monkeypatch, lambda: tip_retention.hold_tip(tip, officer, "a court asked"))
    assert "A white van." in agency.client(Role.ASKER).post(f"/tips/{tip.pk}").content.decode()
    tip.refresh_from_db()
    assert (tip.legal_hold, tip.hold_reason, tip.hold_by) == (True, "a court asked", officer)
    assert tip.opened_by == agency.people[Role.ASKER]
    assert due(agency, requester, 40) == 0


def test_a_tip_that_is_deleted_while_a_colleague_opens_it_is_not_shown_and_stays_deleted(
    agency: Agency, monkeypatch: pytest.MonkeyPatch
) -> None:
    requester, tip = tip_here(agency)
    delete = tip_retention.delete_tip
    while_it_opens(monkeypatch, lambda: delete(agency.organisation, requester, tip.pk, "retention"))
    page = agency.client(Role.ASKER).post(f"/tips/{tip.pk}")
    assert page.status_code == 422
    assert "This tip was deleted meanwhile." in page.content.decode()
    tip.refresh_from_db()
    assert tip.deleted_at is not None


def lost_tip(requester: Requester, *, refused: bool, begun_s: int) -> None:
    """A tip that is in no inbox: its footage was refused, or its doorbell never sent the rest of it."""
    answer = requester.answer(TIP)
    answer.create(
        DisclosureOrigin(v=1, device=ANONYMOUS, parts=2, size_bytes=5, sha256="0" * 64, begun_ms=begun_s * 1000)
    )
    answer.write(1, 0, b"sealed footage")
    if refused:
        answer.end(ReceiptState.REFUSED, "A part is not the recorded one.", ended_ms=begun_s * 1000)
    requester.answers.ended(TIP)


@pytest.mark.parametrize(("refused", "days"), [(True, 1), (False, 30)], ids=["refused", "never whole"])
def test_a_tip_that_reached_no_inbox_is_deleted_as_well(agency: Agency, refused: bool, days: int) -> None:
    requester = requester_of(agency.organisation)
    requester.change_defaults(30, "en")
    lost_tip(requester, refused=refused, begun_s=int(timezone.now().timestamp()))
    assert due(agency, requester, days - 0.1) == 0
    assert requester.answer(TIP).is_known()
    assert due(agency, requester, days + 0.1) == 1
    assert not requester.answer(TIP).is_known()
    assert due(agency, requester, days + 1) == 0, "once"
    assert actions() == ["tip.deleted"]
    assert list(audit_files(agency.organisation)) == []


def test_an_officer_deletes_a_tip_at_once_with_a_reason(agency: Agency) -> None:
    requester, tip = tip_here(agency)
    assert agency.client(Role.ASKER).post(f"/tips/{tip.pk}/delete", {"reason": "x"}).status_code == 403
    page = agency.client(Role.EVIDENCE_OFFICER).post(f"/tips/{tip.pk}/delete", {"reason": ""})
    assert "This field is required" in page.content.decode()
    post(agency, tip, "delete")
    assert not is_kept(requester, TIP)
    assert Entry.objects.get(action="tip.deleted").detail["reason"] == "a court asked"


def test_a_tip_that_cannot_be_deleted_keeps_no_other_and_stays_listed(
    agency: Agency, monkeypatch: pytest.MonkeyPatch
) -> None:
    requester, tip = tip_here(agency)
    other = Tip.objects.create(
        organisation=agency.organisation, disclosure_id="e" * 32, due_at=timezone.now() - datetime.timedelta(days=1)
    )
    kept = AnswerFolder.delete

    def refuse(answer: AnswerFolder) -> int:
        if answer.disclosure == TIP:
            raise StorageError("no", remedy="yes")
        return kept(answer)

    monkeypatch.setattr(AnswerFolder, "delete", refuse)
    with pytest.raises(StorageError):
        due(agency, requester, 40)
    tip.refresh_from_db()
    other.refresh_from_db()
    assert tip.deleted_at is None
    assert other.deleted_at is not None


def test_the_audit_notices_a_changed_tip_and_one_that_is_still_there(agency: Agency) -> None:
    requester, tip = tip_here(agency)
    assert list(audit_files(agency.organisation)) == []
    change_part(requester, TIP, 0, lambda _data: b"another tip")
    (found,) = audit_files(agency.organisation)
    assert found.said.startswith(f"Tip {TIP}: ")
    tip_retention.delete_tip(agency.organisation, requester, tip.pk, "retention")
    laid(requester, words(requester))
    (left,) = audit_files(agency.organisation)
    assert "states that it is deleted" in left.said
