"""Exports and guest links in a browser: who may, what leaves, and what the custody log says of it."""

from __future__ import annotations

import datetime
import io
import re
import shutil
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.core.cache import cache
from django.test import Client
from django.utils import timezone

from agent.clients.media.confined import ConfinedMedia
from agent.clients.requester import content_credentials
from agent.errors import FormatError, StorageError
from desk.cases.deletion import delete_answer
from desk.cases.films import OpenFilms, PrivateMemory
from desk.cases.models import Answer, SignedRequest
from desk.custody.models import Entry
from desk.export import bundle, forms, guests, views
from desk.export.models import Export, GuestLink
from desk.people.models import Membership
from desk.people.organisations import folder_of, requester_of
from desk.people.roles import PERMISSIONS, Action, Role
from tests.desk.agencies import Agency, browser
from tests.desk.export.street import Street
from tests.desk.kept import change_part

EXPORT = {"language": "en", "jurisdictions": ["us-fre-902", "nl-verklaring"], "with_keys": "on"}


def acts(street: Street) -> list[str]:
    rows = Entry.objects.filter(case_number=street.case.number).order_by("number")
    return [row.action for row in rows if row.action.split(".")[0] in ("case", "report", "guest")]


def unzipped(data: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def share(street: Street, **changed: object) -> tuple[str, Client]:
    """The address of a new guest link, and the browser of its maker."""
    clips = [f"{street.answers[0].disclosure_id}:2"]
    form = {"recipient": "A. de Boer, OM", "party": "prosecution", "days": "7", "clips": clips} | changed
    client = street.agency.client(Role.EVIDENCE_OFFICER)
    page = client.post(f"/cases/{street.case.pk}/share", form).content.decode()
    found = re.search(r"https://localhost(/guest/[\w-]{43})<", page)
    assert found is not None, page
    return found[1], client


def delete(street: Street, answer: Answer) -> None:
    organisation = street.agency.organisation
    person = street.agency.people[Role.EVIDENCE_OFFICER]
    SignedRequest.objects.get_or_create(
        request_id=answer.request_id,
        defaults={"case": street.case, "from_ms": 0, "to_ms": 1, "not_after": timezone.now(), "retention_days": 30},
    )
    assert delete_answer(organisation, requester_of(organisation), answer.pk, person, "asked by its owner")


def opened(street: Street) -> Client:
    """The browser of a guest who has opened the link."""
    address, _client = share(street)
    guest = browser()
    assert guest.post(address).status_code == 302
    return guest


def test_only_the_named_roles_export_and_share_and_see_the_buttons(street: Street) -> None:
    case = street.case.pk
    for role in Role:
        client = street.agency.client(role)
        shown = client.get(f"/cases/{case}").content.decode()
        for page, action in ((f"/cases/{case}/export", Action.EXPORT), (f"/cases/{case}/share", Action.SHARE)):
            allowed = role in PERMISSIONS[action]
            assert (f'href="{page}"' in shown) == allowed
            assert client.get(page).status_code == (200 if allowed else 403)


def test_a_case_of_another_organisation_is_not_found(street: Street, other_agency: Agency) -> None:
    _address, _client = share(street)
    client = other_agency.client(Role.EVIDENCE_OFFICER)
    link = GuestLink.objects.get()
    for page in (f"/cases/{street.case.pk}/export", f"/cases/{street.case.pk}/share"):
        assert (client.get(page).status_code, client.post(page, EXPORT).status_code) == (404, 404)
    assert client.post(f"/cases/{street.case.pk}/report.pdf").status_code == 404
    assert client.post(f"/guest-links/{link.pk}/revoke").status_code == 404


def test_an_export_is_in_the_log_before_it_leaves_and_its_folder_is_wiped(
    street: Street, data: Path, laid_out: None
) -> None:
    client = street.agency.client(Role.EVIDENCE_OFFICER)
    response = client.post(f"/cases/{street.case.pk}/export", EXPORT)
    assert response["Content-Disposition"].startswith('attachment; filename="case-2027-0114.zip"')
    entry = Entry.objects.latest("number")
    assert (entry.action, entry.detail["with_keys"]) == ("case.exported", True)
    made = unzipped(response.getvalue())
    response.close()
    top = "case-2027-0114"
    assert {f"{top}/report.pdf", f"{top}/files.csv", f"{top}/custody-extract.json", f"{top}/SHA256SUMS"} <= set(made)
    assert f"{top}/certificates/us-fre-902.pdf" in made
    assert f"{top}/certificates/uk-section-9.pdf" not in made
    assert f"{top}/keys/{street.asked[0].request.id}.identity" in made
    assert Export.objects.get().sha256 == entry.detail["sha256"]
    assert not list((data / "cache").glob("export-*"))
    assert "case.exported" not in made[f"{top}/custody-extract.json"].decode()
    assert Export.objects.get().sha256 in client.get(f"/cases/{street.case.pk}/export").content.decode()


def test_credentials_are_a_choice_of_the_person_that_is_logged_and_absent_without_the_package(
    street: Street, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("c2pa", reason="not installed: c2pa-python")
    client, page = street.agency.client(Role.EVIDENCE_OFFICER), f"/cases/{street.case.pk}/export"
    assert 'name="with_credentials"' in client.get(page).content.decode()
    made, logged = posted(client, page)
    assert logged is True
    assert sum(name.endswith("/c2pa/all.mp4") for name in made) == len(street.answers)
    monkeypatch.setattr(forms, "has_c2pa", lambda: False)
    assert 'name="with_credentials"' not in client.get(page).content.decode()
    made, logged = posted(client, page)
    assert logged is False
    assert not any("/c2pa/" in name for name in made)


def posted(client: Client, page: str) -> tuple[dict[str, bytes], object]:
    """An export with credentials, and the choice that the log names."""
    response = client.post(page, EXPORT | {"with_credentials": "on"})
    made = unzipped(response.getvalue())
    response.close()
    return made, Entry.objects.latest("number").detail["with_credentials"]


def test_a_browser_that_leaves_during_an_export_leaves_no_film_behind(street: Street, data: Path) -> None:
    response = street.agency.client(Role.EVIDENCE_OFFICER).post(f"/cases/{street.case.pk}/export", EXPORT)
    next(iter(response))
    assert list((data / "cache").glob("export-*/export/answers/*/all.mp4"))
    response.close()
    assert not list((data / "cache").glob("export-*"))


def test_a_deletion_wipes_the_export_that_is_being_sent(street: Street, data: Path) -> None:
    response = street.agency.client(Role.EVIDENCE_OFFICER).post(f"/cases/{street.case.pk}/export", EXPORT)
    pieces = iter(response)
    next(pieces)
    delete(street, street.answers[0])
    assert not list((data / "cache").glob("export-*/export/*"))
    with pytest.raises(FileNotFoundError):
        list(pieces)
    response.close()


def test_footage_that_is_deleted_while_its_export_is_made_does_not_leave(
    street: Street, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gathered = bundle.gather

    def slow(*words: object, **more: object) -> object:
        """Opens the answers. One of them is then deleted, and its copy is written after that."""
        content = gathered(*words, **more)  # type: ignore[arg-type]
        folder = content.answers[0].opened.folder  # type: ignore[union-attr]
        copy = data / "copy"
        shutil.copytree(folder.parents[1], copy)
        delete(street, street.answers[0])
        shutil.copytree(copy, folder.parents[1])
        return content

    monkeypatch.setattr(bundle, "gather", slow)
    officer, guest = street.agency.client(Role.EVIDENCE_OFFICER), opened(street)
    page = officer.post(f"/cases/{street.case.pk}/export", EXPORT)
    assert "was deleted meanwhile" in page.content.decode()
    assert not list((data / "cache").glob("export-*"))
    assert "case.exported" not in acts(street)
    assert guest.post("/guest/download").status_code == 404


def test_the_report_alone_is_a_pdf_in_the_chosen_language(street: Street, data: Path, laid_out: None) -> None:
    client = street.agency.client(Role.SUPERVISOR)
    response = client.post(f"/cases/{street.case.pk}/report.pdf", {"language": "nl"})
    assert (response["Content-Type"], response.content[:5]) == ("application/pdf", b"%PDF-")
    assert acts(street) == ["report.exported"]
    assert not list((data / "cache").glob("export-*"))


def test_an_export_that_fails_says_why_and_leaves_nothing_behind(
    street: Street, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = street.agency.client(Role.SUPERVISOR)
    monkeypatch.setattr("desk.export.private_folder.MOST_BYTES", 10)
    page = client.post(f"/cases/{street.case.pk}/export", EXPORT)
    assert "One export has at most" in page.content.decode()
    page = client.post(f"/cases/{street.case.pk}/report.pdf", follow=True)
    assert "One export has at most" in page.content.decode()
    monkeypatch.undo()
    (folder_of(street.agency.organisation) / "signing.key").chmod(0o644)
    page = client.post(f"/cases/{street.case.pk}/export", EXPORT)
    assert "signing.key" in page.content.decode()
    assert (acts(street), list((data / "cache").glob("export-*"))) == ([], [])


def test_a_guest_sees_and_takes_the_chosen_clips_only(street: Street) -> None:
    guest = opened(street)
    page = guest.get("/guest").content.decode()
    assert page.count("<li ") == 1
    assert "A. de Boer, OM" in page
    assert guest.get("/guest")["Referrer-Policy"] == "same-origin"
    made = unzipped(guest.post("/guest/download").getvalue())
    chosen = f"case-2027-0114/answers/{street.answers[0].disclosure_id}"
    assert {name for name in made if "/answers/" in name} == {
        f"{chosen}/clips/clip-02.mp4", f"{chosen}/pictures/clip-02.jpg", f"{chosen}/segments/segment-003.mp4",
    }  # fmt: skip
    assert "custody" not in "".join(made)
    assert acts(street) == ["guest.made", "guest.opened", "guest.downloaded"]
    entry = Entry.objects.latest("number")
    assert entry.actor.endswith("(A. de Boer, OM)")
    assert entry.detail["clips"] == [f"{street.answers[0].disclosure_id} 2"]


def test_a_guest_may_ask_for_copies_with_credentials_of_the_chosen_clips_only(
    street: Street, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("c2pa", reason="not installed: c2pa-python")
    guest = opened(street)
    assert 'name="with_credentials"' in guest.get("/guest").content.decode()
    made = unzipped(guest.post("/guest/download", {"with_credentials": "on"}).getvalue())
    chosen = f"case-2027-0114/answers/{street.answers[0].disclosure_id}"
    copies = {name: data for name, data in made.items() if "/c2pa/" in name}
    assert set(copies) == {f"{chosen}/c2pa/{name}" for name in ("clip-02.mp4", "clip-02.jpg", "segment-003.mp4")}
    other = street.answers[1].disclosure_id.encode()
    assert not any(other in data or b"segment-001" in data for data in copies.values())
    assert Entry.objects.latest("number").detail["with_credentials"] is True
    monkeypatch.setattr(content_credentials, "has_c2pa", lambda: False)
    assert 'name="with_credentials"' not in guest.get("/guest").content.decode()
    made = unzipped(guest.post("/guest/download", {"with_credentials": "on"}).getvalue())
    assert not any("/c2pa/" in name for name in made)
    assert Entry.objects.latest("number").detail["with_credentials"] is False


def test_a_guest_is_told_which_of_the_chosen_files_have_no_copy_and_of_no_other_file(
    street: Street, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("c2pa", reason="not installed: c2pa-python")
    sign = ConfinedMedia.sign_copy

    def refuse(media: ConfinedMedia, path: Path, *more: Any) -> None:
        if path.parent.name == "segments":
            raise FormatError("This film takes no credentials.")
        sign(media, path, *more)

    monkeypatch.setattr(ConfinedMedia, "sign_copy", refuse)
    made = unzipped(opened(street).post("/guest/download", {"with_credentials": "on"}).getvalue())
    assert {name.rpartition("/")[2] for name in made if "/c2pa/" in name} == {"clip-02.jpg", "LEFT-OUT.txt"}
    name = f"case-2027-0114/answers/{street.answers[0].disclosure_id}/c2pa/LEFT-OUT.txt"
    assert made[name].decode().splitlines() == [
        "segment-003.mp4: This film takes no credentials.",
        "clip-02.mp4: It was made of a file without credentials.",
    ]
    assert b"c2pa/LEFT-OUT.txt" in made["case-2027-0114/SHA256SUMS"]


@pytest.mark.parametrize("chosen", [True, False])
def test_a_download_of_a_guest_asks_for_the_room_of_its_copies(
    street: Street, monkeypatch: pytest.MonkeyPatch, chosen: bool
) -> None:
    asked: list[bool] = []

    def full(_sealed_bytes: int, *, copies: bool = False) -> None:
        asked.append(copies)
        raise StorageError("The disk of the desk has no room for this export.")

    monkeypatch.setattr(views, "require_room", full)
    monkeypatch.setattr(content_credentials, "has_c2pa", lambda: True)
    response = opened(street).post("/guest/download", {"with_credentials": "on"} if chosen else {})
    assert (response.status_code, asked) == (503, [chosen])


def played(guest: Client, street: Street, number: int = 2) -> str:
    """The address of the film that the guest opened."""
    page = guest.post(f"/guest/play/{street.answers[0].disclosure_id}/{number}")
    found = re.search(r'<video [^>]*src="([^"]+)"', page.content.decode())
    assert found is not None, page
    return found[1]


@pytest.fixture
def films(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[OpenFilms]:
    memory = tmp_path / "memory"
    memory.mkdir()
    opened_here = OpenFilms(PrivateMemory(memory))
    monkeypatch.setattr(views, "open_films", lambda: opened_here)
    yield opened_here
    opened_here.close()


def test_a_guest_plays_a_chosen_clip_and_each_playing_is_one_entry(street: Street, films: OpenFilms) -> None:
    guest = opened(street)
    address = played(guest, street)
    whole = guest.get(address)
    assert (whole.status_code, whole["Content-Type"], whole["Cache-Control"]) == (200, "video/mp4", "no-store")
    piece = guest.get(address, headers={"range": "bytes=100-199"})
    assert (piece.status_code, piece.content) == (206, whole.getvalue()[100:200])
    assert acts(street) == ["guest.made", "guest.opened", "guest.viewed"]
    entry = Entry.objects.latest("number")
    assert entry.actor.endswith("(A. de Boer, OM)")
    assert (entry.detail["answer"], entry.detail["clip"]) == (street.answers[0].disclosure_id, 2)


def test_a_guest_reads_that_clips_cannot_be_opened_and_no_name_of_a_file(street: Street, films: OpenFilms) -> None:
    guest = opened(street)
    address = played(guest, street)
    films.close()
    (folder_of(street.agency.organisation) / "signing.key").chmod(0o644)
    tries = [
        guest.post(f"/guest/play/{street.answers[0].disclosure_id}/2"), guest.get(address),
        guest.post("/guest/download"),
    ]  # fmt: skip
    for page in tries:
        assert page.status_code == 503
        assert "The clips cannot be opened now." in page.content.decode()
        assert "signing.key" not in page.content.decode()


def test_a_guest_plays_no_other_clip_and_no_other_session_plays_the_film(street: Street, films: OpenFilms) -> None:
    guest = opened(street)
    other = street.answers[1].disclosure_id
    for wrong in (f"{street.answers[0].disclosure_id}/1", f"{other}/2", f"{'5f' * 16}/2"):
        assert guest.post(f"/guest/play/{wrong}").status_code == 404
    address = played(guest, street)
    assert opened(street).get(address).status_code == 404
    assert browser().get(address).status_code == 404
    assert street.agency.client(Role.EVIDENCE_OFFICER).get(address).status_code == 404
    assert guest.get("/guest/films/" + "A" * 43).status_code == 404


@pytest.mark.parametrize("end", ["revoked", "expired", "deleted"])
def test_a_film_ends_with_its_link_and_with_its_footage(street: Street, films: OpenFilms, end: str) -> None:
    guest = opened(street)
    address = played(guest, street)
    if end == "deleted":
        Answer.objects.filter(pk=street.answers[0].pk).update(state="deleted")
    else:
        field = {"revoked": "revoked_at", "expired": "expires_at"}[end]
        GuestLink.objects.update(**{field: timezone.now()})
    assert guest.get(address).status_code == 404
    assert guest.post(f"/guest/play/{street.answers[0].disclosure_id}/2").status_code == 404
    assert acts(street).count("guest.viewed") == 1


def test_a_clip_that_does_not_verify_any_more_is_not_played_and_says_why(street: Street, films: OpenFilms) -> None:
    guest = opened(street)
    requester, disclosure = requester_of(street.agency.organisation), street.answers[0].disclosure_id
    for number in requester.answer(disclosure).sealed():
        change_part(requester, disclosure, number, lambda data: data[:-1])
    page = guest.post(f"/guest/play/{street.answers[0].disclosure_id}/2").content.decode()
    assert 'role="alert"' in page
    assert "<video" not in page


def test_a_token_is_shown_once_and_only_its_hash_is_stored(street: Street) -> None:
    address, client = share(street)
    token = address.rpartition("/")[2]
    assert token not in client.get(f"/cases/{street.case.pk}/share").content.decode()
    assert token not in str(GuestLink.objects.values().get())
    assert token not in str(list(Entry.objects.values()))


def test_looking_at_the_address_uses_nothing_and_opening_it_gives_a_new_session(street: Street) -> None:
    address, _client = share(street)
    guest = browser()
    page = guest.get(address)
    assert (page.status_code, acts(street)) == (200, ["guest.made"])
    assert guest.get("/guest").status_code == 404
    guest.post(address)
    assert guest.get("/guest").status_code == 200


def test_a_guest_has_no_page_of_the_desk_and_a_person_who_opens_a_link_is_signed_out(street: Street) -> None:
    address, client = share(street)
    client.post(address)
    assert client.get("/guest").status_code == 200
    for page in ("/", f"/cases/{street.case.pk}/export", "/custody"):
        assert client.get(page).status_code == 302


def test_a_link_ends_when_it_is_revoked_or_expires_and_never_works_for_another_token(street: Street) -> None:
    guest = opened(street)
    link = GuestLink.objects.get()
    officer = street.agency.client(Role.EVIDENCE_OFFICER)
    assert officer.post(f"/guest-links/{link.pk}/revoke").status_code == 302
    assert officer.post(f"/guest-links/{link.pk}/revoke").status_code == 302
    assert (guest.get("/guest").status_code, guest.post("/guest/download").status_code) == (404, 404)
    assert acts(street).count("guest.revoked") == 1

    address, _client = share(street)
    GuestLink.objects.filter(revoked_at=None).update(expires_at=timezone.now() - datetime.timedelta(seconds=1))
    assert browser().get(address).status_code == 404
    assert browser().post(address).status_code == 404
    assert browser().get("/guest/" + "A" * 43).status_code == 404


def test_a_link_ends_when_its_maker_may_no_longer_share(street: Street) -> None:
    """A colleague who has left may know its address, and the log would name its guest."""
    address, _client = share(street)
    guest = browser()
    assert guest.post(address).status_code == 302
    organisation, officer = street.agency.organisation, street.agency.people[Role.EVIDENCE_OFFICER]
    colleague = street.agency.people[Role.SUPERVISOR]
    Membership.objects.create(organisation=organisation, person=colleague, role=Role.EVIDENCE_OFFICER)
    Membership.objects.filter(organisation=organisation, person=officer).update(role=Role.VIEWER)
    assert (guest.get("/guest").status_code, guest.post("/guest/download").status_code) == (404, 404)
    assert (browser().get(address).status_code, browser().post(address).status_code) == (404, 404)
    page = street.agency.client(Role.SUPERVISOR).get(f"/cases/{street.case.pk}/share").content.decode()
    assert "its maker may no longer share" in page
    assert "/revoke" not in page


def test_clips_that_were_deleted_since_are_gone_for_the_guest_too(street: Street) -> None:
    guest = opened(street)
    street.answers[0].state = "deleted"
    street.answers[0].save()
    assert "1 clip was deleted since" in guest.get("/guest").content.decode()
    assert guest.post("/guest/download").status_code == 404


@pytest.mark.parametrize("state", ["quarantined", "stopped", "receiving"])
def test_a_clip_that_is_kept_but_not_shown_is_not_called_deleted(street: Street, state: str) -> None:
    """A guest who reads of a deletion would tell a court that the evidence is gone."""
    guest = opened(street)
    Answer.objects.filter(pk=street.answers[0].pk).update(state=state)
    page = guest.get("/guest").content.decode()
    assert "deleted" not in page
    assert "1 clip is not shown: its answer is set aside" in page


def test_a_door_has_one_letter_on_the_case_page_for_a_guest_and_in_the_download(street: Street) -> None:
    """The guest gets a clip of the second door only. It stays door B, also in the report of that one clip."""
    second = street.answers[1]
    address, client = share(street, clips=[f"{second.disclosure_id}:2"])
    guest = browser()
    guest.post(address)
    assert "Door B, 15 Jan 2027, " in guest.get("/guest").content.decode()
    shared = client.get(f"/cases/{street.case.pk}/share").content.decode()
    case = client.get(f"/cases/{street.case.pk}").content.decode()
    for page in (shared, case):
        assert page.index("Door A") < page.index("Door B")
    made = unzipped(guest.post("/guest/download").getvalue())
    report = made["case-2027-0114/report.html"].decode()
    assert "Clip B.2, door B" in report
    assert "door A" not in report
    assert '"B.2","B","segment"' in made["case-2027-0114/files.csv"].decode()


def test_a_link_to_clips_of_another_case_cannot_be_made(street: Street, agency: Agency) -> None:
    client = agency.client(Role.EVIDENCE_OFFICER)
    form = {"recipient": "X", "party": "court", "days": "7"}
    for wrong in ({"clips": ["5f" * 16 + ":1"]}, {}, {"clips": [f"{street.answers[0].disclosure_id}:9"]}):
        client.post(f"/cases/{street.case.pk}/share", form | wrong)
    client.post(
        f"/cases/{street.case.pk}/share", form | {"clips": [f"{street.answers[0].disclosure_id}:1"], "days": 999}
    )
    client.post(
        f"/cases/{street.case.pk}/share",
        form | {"clips": [f"{street.answers[0].disclosure_id}:1"], "recipient": "\u202e"},
    )
    assert not GuestLink.objects.exists()


def test_tries_and_downloads_are_limited(street: Street, monkeypatch: pytest.MonkeyPatch) -> None:
    guest = opened(street)
    cache.clear()
    stranger = browser()
    answers = [stranger.get("/guest/" + "A" * 43).status_code for _ in range(30)]
    assert (answers[0], answers[-1]) == (404, 429)
    monkeypatch.setattr(guests, "_USES", 0)
    assert guest.post("/guest/download").status_code == 429
