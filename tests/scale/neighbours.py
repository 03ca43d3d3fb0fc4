"""Neighbours of a run: notices and requests under a neighbourhood, which its moderators accept, at the real views.

Each neighbour has a browser's key and token. A notice is on the public page once a moderator has accepted it, and gone
once it is removed (`promises.NoticeBook`). A request goes out after two moderators. Doorbells answer to the
neighbour's key, so the neighbour opens the answers in the end, and the desk cannot.
"""

from __future__ import annotations

import hashlib
import json
import re
import secrets
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from agent.clients.opening import HybridIdentity, open_bytes
from agent.errors import OpenError
from tests.scale.desk_side import NEIGHBOURHOOD, DeskSide
from tests.scale.people import worked
from tests.scale.promises import Book, NoticeBook, sha256_of

__all__ = ["MOST_ASKED", "Neighbourhood"]

MOST_ASKED = 10
"""Requests that a neighbourhood sends in a day."""
_HERE = f"/neighbours/{NEIGHBOURHOOD}"
_CONTACT = {"contact_name": "Kerkstraat neighbours", "contact_email": "moderators@kerkstraat.example"}
_TRIES = 200
_PATIENCE_S = 300.0
"""A database that is killed again as it recovers is away for a minute."""
_PAUSE_S = 0.2
_REMOVE_EACH = 4
"""One of this many notices is removed again."""


class _Neighbour:
    """The browser of a person without an account."""

    def __init__(self) -> None:
        self.identity = HybridIdentity(secrets.token_bytes(32))
        self.token = secrets.token_hex(32)

    @property
    def token_sha256(self) -> str:
        return hashlib.sha256(self.token.encode()).hexdigest()


class Neighbourhood:
    """`notices`: the promises about them. A server error is tried again, as people do."""

    def __init__(self, desk: DeskSide) -> None:
        self._desk = desk
        self.notices = NoticeBook()
        self.refused = self.opened = 0
        """Steps that were tried again, and answers that their neighbours opened."""
        self.asked: dict[str, _Neighbour] = {}
        """Request → who asked."""
        self._moderators = [desk.moderator(number) for number in range(2)]

    def write_notice(self, number: int, west: float) -> None:
        """Has a notice written and accepted, and some of them removed later."""
        from desk.neighbourhood.models import Submission

        neighbour, title = _Neighbour(), f"Notice {number} of the street"
        self._send(neighbour, west, kind="notice", title=title, description="A tame parrot flew in.")
        row = self._row(neighbour)
        self.read()  # it must not be there before a moderator has said yes
        self.notices.accepting(title, time.monotonic())
        self._moderate(row, "accept", "published", _CONTACT)
        self.notices.accepted(title, time.monotonic())
        if number % _REMOVE_EACH == _REMOVE_EACH - 1:
            old = self.notices.oldest
            found = self._desk.again(lambda: Submission.objects.get(title=old, state="published"))
            self.notices.removing(old)
            self._moderate(found, "remove", "removed", {"reason": "The parrot is back."})
            self.notices.removed(old, time.monotonic())

    def ask(self, west: float) -> str:
        """Has a request written, and accepted by two moderators. Returns its id."""
        neighbour = _Neighbour()
        self._send(
            neighbour, west, kind="request", description="A parcel is gone. Did your camera see who took it?",
            incident="parcel-theft", from_s=self._desk.began_s - 7200, to_s=int(time.time()),
            reply=str(neighbour.identity.recipient()),
        )  # fmt: skip
        row = self._row(neighbour)
        for number, state in enumerate(("seconded", "published")):
            self._moderate(row, "accept", state, _CONTACT, number)
        self._desk.again(row.refresh_from_db)
        message = str(row.message_id)
        self._desk.of_neighbours.add(message)
        self.asked[message] = neighbour
        return message

    def read(self) -> None:
        """Reads the public feed once."""
        self._desk.once(self._read)

    def broken(self, book: Book) -> list[str]:
        """Returns each broken promise: about notices, and answers that their neighbour does not get or cannot open."""
        found = self.notices.broken()
        for request, neighbour in self.asked.items():
            shown = self._call(neighbour, "state").json()["answers"]
            sent = {name: each for name, each in book.sent.items() if each.request == request}
            listed = sorted(each["id"] for each in shown)
            whole = sorted(name for name, each in sent.items() if each.state == "complete")
            if listed != whole:
                found.append(f"not shown: {request}: its neighbour reads {len(listed)} of {len(whole)} answers")
            for name in set(listed) & sent.keys():
                found += self._fault(neighbour, name, sent[name].sha256)
        return found

    def _fault(self, neighbour: _Neighbour, disclosure: str, sha256: tuple[str, ...]) -> list[str]:
        for number, wanted in enumerate(sha256):
            data = b"".join(self._call(neighbour, f"{disclosure}/{number}").streaming_content)
            if sha256_of(data) != wanted:
                return [f"lost: part {number} of {disclosure} is another one for its neighbour"]
            try:
                open_bytes(data, [neighbour.identity])
            except OpenError as error:
                return [f"not opened: part {number} of {disclosure}: {error}"]
        self.opened += 1
        return []

    def _send(self, neighbour: _Neighbour, west: float, **fields: Any) -> None:
        place = {"lat": 52.25, "lon": west + 0.25, "radius_m": 300, "language": "en"}
        body = json.dumps({"token_sha256": neighbour.token_sha256, **place, **fields}).encode()

        def post() -> int:
            asked = self._browser().get(f"{_HERE}/token")
            if asked.status_code != 200:
                return int(asked.status_code)
            token, bits = asked.json()["token"], asked.json()["bits"]
            headers = {"work-token": token, "work-nonce": worked(token, body, bits)}
            kind = "application/octet-stream"
            return int(self._browser().post(f"{_HERE}/send", body, content_type=kind, headers=headers).status_code)

        self._until(lambda: post() == 202, "a submission")

    def _moderate(self, row: Any, step: str, state: str, words: dict[str, str], number: int = 0) -> None:
        """The state decides: the desk may have done the step and died before its answer."""

        def act() -> bool:
            self._browser(self._moderators[number]).post(f"/moderation/{row.pk}/{step}", words)
            row.refresh_from_db()
            return bool(row.state == state)

        self._until(act, f"{step} of {row.kind} {row.pk}")

    def _row(self, neighbour: _Neighbour) -> Any:
        from desk.neighbourhood.models import Submission

        return self._desk.again(lambda: Submission.objects.get(token_sha256=neighbour.token_sha256))

    def _read(self) -> None:
        began_s = time.monotonic()
        answer = self._browser().get(f"{_HERE}/notices.atom")
        if answer.status_code == 200:
            titles = set(re.findall(r"<title>(Notice [0-9]+ of the street)</title>", answer.content.decode()))
            self.notices.read(began_s, time.monotonic(), titles)

    def _call(self, neighbour: _Neighbour, path: str) -> Any:
        for _ in range(_TRIES):
            answer = self._browser().post(
                f"{_HERE}/mine/{path}", "", content_type="application/octet-stream",
                headers={"neighbour-token": neighbour.token},
            )  # fmt: skip
            if answer.status_code < 500:
                return answer
            time.sleep(_PAUSE_S)
        raise SystemExit(f"The desk does not answer to a neighbour: {answer.status_code}")

    def _until(self, holds: Callable[[], bool], what: str) -> None:
        from django.contrib.sessions.backends.base import UpdateError

        deadline_s = time.monotonic() + _PATIENCE_S
        while time.monotonic() < deadline_s:
            with suppress(UpdateError):  # the session of a moderator who signed in as the database died
                if self._desk.again(holds):
                    return
            self.refused += 1
            time.sleep(_PAUSE_S)
        raise SystemExit(f"The desk did not take {what}.")

    @staticmethod
    def _browser(person: Any = None) -> Any:
        from django.db import close_old_connections

        from tests.desk.agencies import browser

        close_old_connections()  # a server does it before each request, and the test client does not
        client = browser()
        client.raise_request_exception = False
        if person is not None:
            client.force_login(person, backend="allauth.account.auth_backends.AuthenticationBackend")
        return client
