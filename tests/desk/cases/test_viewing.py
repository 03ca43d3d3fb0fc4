"""Footage for the viewer comes from memory, for one person, with an entry in the custody log, and is wiped."""

from __future__ import annotations

import datetime
import fcntl
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import av
import msgspec
import pytest
import uvicorn
from django.conf import settings
from django.test import Client, RequestFactory
from django.utils import timezone

from desk import server
from desk.cases import views
from desk.cases.film_response import film_response
from desk.cases.films import OpenFilms, PrivateMemory, close_films, open_films
from desk.cases.models import Answer, Case, Clip, FilmView
from desk.config import Web
from desk.custody.models import Entry
from desk.people.organisations import requester_of
from desk.people.roles import Role
from tests.clients.requester.house import House
from tests.desk.agencies import Agency
from tests.desk.kept import change_part, spoil
from tests.desk.receiving.doors import ask, receive
from tests.ports import free_port
from tests.traces import traces


@pytest.fixture
def memory(tmp_path: Path) -> Path:
    folder = tmp_path / "memory"
    folder.mkdir()
    return folder


@pytest.fixture
def films(memory: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[OpenFilms]:
    opened = OpenFilms(PrivateMemory(memory))
    monkeypatch.setattr(views, "open_films", lambda: opened)
    yield opened
    opened.close()


@pytest.fixture
def answer(agency: Agency, house: House) -> Answer:
    requester, asked = ask(agency)
    receive(agency, house, requester, asked)
    return Answer.objects.get()


def open_film(client: Client, answer: Answer, index: int = 1) -> str:
    response = client.post(f"/cases/{answer.case_id}/answers/{answer.pk}/clips/{index}")
    assert response.status_code == 200, response.content
    return str(response.json()["film"])


def test_a_film_comes_whole_or_in_pieces_and_is_never_stored(agency: Agency, answer: Answer, films: OpenFilms) -> None:
    client = agency.client(Role.VIEWER)
    address = open_film(client, answer)
    whole = client.get(address)
    assert (whole.status_code, whole["Content-Type"], whole["Cache-Control"]) == (200, "video/mp4", "no-store")
    assert whole.streaming
    content = whole.getvalue()
    assert whole["Content-Length"] == str(len(content))
    with av.open(BytesIO(content)) as film:
        assert sum(1 for _ in film.decode(video=0)) == 50
    piece = client.get(address, headers={"range": "bytes=100-199"})
    assert (piece.status_code, piece["Content-Range"]) == (206, f"bytes 100-199/{len(content)}")
    assert piece.content == content[100:200]
    assert client.get(address, headers={"range": f"bytes={len(content)}-"}).status_code == 416


def test_each_opening_is_one_entry_however_many_pieces_the_browser_reads(
    agency: Agency, answer: Answer, films: OpenFilms
) -> None:
    client = agency.client(Role.VIEWER)
    address = open_film(client, answer)
    for first in range(0, 500, 100):
        client.get(address, headers={"range": f"bytes={first}-{first + 99}"})
    (entry,) = Entry.objects.filter(action="clip.opened")
    assert agency.people[Role.VIEWER].email in entry.actor
    clip = Clip.objects.get(index=1)
    assert (entry.detail["clip"], entry.detail["from_ms"]) == (1, clip.from_ms)
    open_film(client, answer)
    assert Entry.objects.filter(action="clip.opened").count() == 2


def test_stills_of_an_answer_are_one_entry(agency: Agency, answer: Answer, films: OpenFilms) -> None:
    client = agency.client(Role.VIEWER)
    found = client.post(f"/cases/{answer.case_id}/answers/{answer.pk}/stills").json()["stills"]
    assert len(found) == 2
    assert "Door A" in found[0]["label"]
    for still in found:
        response = client.get(still["address"])
        assert (response["Content-Type"], response["Cache-Control"]) == ("image/jpeg", "no-store")
        assert response.content[:2] == b"\xff\xd8"
    assert Entry.objects.get(action="stills.opened").detail["stills"] == 2


def test_an_address_works_for_one_person_and_one_hour(
    agency: Agency, other_agency: Agency, answer: Answer, films: OpenFilms
) -> None:
    address = open_film(agency.client(Role.VIEWER), answer)
    assert agency.client(Role.ASKER).get(address).status_code == 404
    assert other_agency.client(Role.VIEWER).get(address).status_code == 404
    assert agency.client().get(address).status_code == 302
    FilmView.objects.update(expires_at=timezone.now() - datetime.timedelta(seconds=1))
    assert agency.client(Role.VIEWER).get(address).status_code == 404


def test_the_database_holds_no_address(agency: Agency, answer: Answer, films: OpenFilms) -> None:
    token = open_film(agency.client(Role.VIEWER), answer).rsplit("/", 1)[1]
    assert token not in FilmView.objects.get().token_sha256


def test_a_film_of_a_deleted_answer_is_gone_at_once(agency: Agency, answer: Answer, films: OpenFilms) -> None:
    client = agency.client(Role.EVIDENCE_OFFICER)
    address = open_film(client, answer)
    deleted = client.post(f"/cases/{answer.case_id}/answers/{answer.pk}/delete", {"reason": "A bystander"})
    assert deleted.status_code == 302
    assert client.get(address).status_code == 404
    again = client.post(f"/cases/{answer.case_id}/answers/{answer.pk}/clips/1")
    assert again.status_code == 404


def test_an_answer_that_does_not_verify_any_more_is_not_shown_and_says_why(
    agency: Agency, answer: Answer, films: OpenFilms
) -> None:
    change_part(requester_of(agency.organisation), answer.disclosure_id, 1, spoil)
    response = agency.client(Role.VIEWER).post(f"/cases/{answer.case_id}/answers/{answer.pk}/clips/1")
    assert response.status_code == 409
    assert response.json()["message"]


def test_opened_footage_is_only_in_the_private_folder_and_wiped(
    agency: Agency, answer: Answer, data: Path, memory: Path, house: House
) -> None:
    opened = OpenFilms(PrivateMemory(memory))
    requester = requester_of(agency.organisation)
    with opened.film(requester, answer.disclosure_id, 1) as film:
        assert film.read(8)[4:] == b"ftyp"
        content = house.stored[0].content[-400:-200].hex()
        assert [path for path in memory.iterdir() if path.stat().st_mode & 0o077 == 0] == list(memory.iterdir())
        assert traces(data, [content]) == []
        opened.forget(answer.disclosure_id)
        assert list(memory.glob("*/doorward-*")) == []
        assert film.read(1)  # the one who was reading goes on
    opened.close()
    assert list(memory.iterdir()) == []


def test_idle_answers_are_wiped_and_only_a_few_stay_open(agency: Agency, answer: Answer, memory: Path) -> None:
    now = [0.0]
    opened = OpenFilms(PrivateMemory(memory), lambda: now[0])
    requester = requester_of(agency.organisation)
    opened.film(requester, answer.disclosure_id, 1).close()
    now[0] += 599
    opened.sweep()
    assert len(list(memory.glob("*/doorward-*"))) == 1
    now[0] += 2
    opened.sweep()
    assert list(memory.glob("*/doorward-*")) == []
    opened.film(requester, answer.disclosure_id, 1).close()  # opens it again
    opened.close()


def test_a_start_wipes_what_a_killed_process_left_and_nothing_else(memory: Path) -> None:
    living = PrivateMemory(memory)
    killed = memory / "doorward-desk-killed"
    killed.mkdir()
    (killed / "owner.lock").touch()
    (killed / "1.part").write_bytes(b"footage")
    other = memory / "doorward-other"
    other.mkdir()
    PrivateMemory(memory).close()
    assert living.path.is_dir()
    assert other.is_dir()
    assert not killed.exists()
    with (living.path / "owner.lock").open("rb") as lock, pytest.raises(BlockingIOError):
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    living.close()


def test_a_film_opens_in_a_process_whose_service_has_ended(
    agency: Agency, answer: Answer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For example, in a process that tests share. The service wipes its folder, and a later use makes a new one."""
    client, folders = agency.client(Role.VIEWER), list[Path]()

    def serve(_server: uvicorn.Server) -> None:
        open_film(client, answer)
        folders.append(open_films()._memory.path)
        assert list(folders[0].glob("doorward-*"))

    monkeypatch.setattr(uvicorn.Server, "run", serve)
    server.run(msgspec.structs.replace(settings.DESK, web=Web(port=free_port())), lambda _line: None)
    assert not folders[0].exists()
    open_film(client, answer)
    close_films()


def test_a_case_page_alone_opens_nothing(agency: Agency, answer: Answer, films: OpenFilms) -> None:
    assert agency.client(Role.VIEWER).get(f"/cases/{Case.objects.get().pk}").status_code == 200
    assert not FilmView.objects.exists()


class CountedFilm(BytesIO):
    """A film that notes the largest piece that was read of it."""

    most = 0

    def read(self, size: int | None = -1) -> bytes:
        data = super().read(size)
        self.most = max(self.most, len(data))
        return data


def test_a_whole_film_is_read_while_it_is_sent_and_closed_when_the_browser_leaves() -> None:
    film = CountedFilm(bytes(5 << 20))
    response = film_response(RequestFactory().get("/"), film)
    assert film.most == 0
    assert b"".join(response) == bytes(5 << 20)  # type: ignore[arg-type]
    assert 0 < film.most <= 1 << 20
    assert film.closed
    left = CountedFilm(bytes(5 << 20))
    response = film_response(RequestFactory().get("/"), left)
    next(iter(response))
    response.close()
    assert left.closed


@pytest.mark.parametrize("header", ["bytes=0-9", "bytes=99-"])
def test_a_piece_closes_the_film(header: str) -> None:
    film = BytesIO(bytes(50))
    film_response(RequestFactory().get("/", headers={"range": header}), film)
    assert film.closed
