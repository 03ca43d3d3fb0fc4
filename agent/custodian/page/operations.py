"""Answers the program in the browser: the control socket's operations as they are, and the page's own few.

`agent.ipc.control_operations` has the access level of each operation. A browser reaches only operations that have one.
The page's own operations leave footage, requests and consent alone.
"""

from __future__ import annotations

import hashlib
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

from agent.custodian.alerts.push_channels import GlanceHolder
from agent.custodian.control_handler import Answer, Control
from agent.custodian.enrolment import Enrolments
from agent.custodian.live_buffer import Viewer
from agent.custodian.page.request_guard import Caller
from agent.custodian.page.sessions import CODE_LIFE_S, OWNER_IDLE_S, Session, Sessions, code_text
from agent.custodian.timeline import Timeline
from agent.errors import FormatError, OpenError, RequestError, StorageError
from agent.ipc.control_operations import (
    OPERATIONS,
    PAGE,
    BeginTalk,
    GetLiveGops,
    ListEvents,
    OfferCard,
    ProveOwner,
    read_operation,
)
from agent.ports import Entropy
from agent.wire import envelope, strictjson
from agent.wire.control import Frame
from agent.wire.fields import DeviceKeyText, Sha256, Version1
from agent.wire.identities import PublicKey

__all__ = ["ElevatedSession", "GlanceKeys", "Login", "PageOperations"]

_CHALLENGE_LIFE_S: Final = 120.0
_MOST_WAITING: Final = 64
_WAITING: Final = frozenset({"pending", "waiting for another owner"})
_CAMERA_CHARS: Final = 32


class Login(strictjson.Message, frozen=True):
    """Signed by a browser with an owner's key, or with its glance key, to prove itself. It is valid here only, and
    once."""

    PAYLOAD_TYPE = "application/vnd.doorward.page-login+json"

    v: Version1
    device: DeviceKeyText
    origin: str
    challenge: Sha256


@dataclass(frozen=True, slots=True)
class ElevatedSession:
    """The caller's session is an owner's, or a glance key's. `token` replaces its cookie."""

    token: str
    owner: bool


@dataclass(frozen=True, slots=True)
class GlanceKeys:
    """Glance keys of browsers. `signers`: those that may prove themselves now, by key id. `holder`: who has one now."""

    signers: Callable[[], Mapping[str, PublicKey]] = dict
    holder: Callable[[str], GlanceHolder | None] = lambda _key: None


class PageOperations:
    """`answer` for the control socket's operations and the page's.  Raises `DoorwardError`."""

    def __init__(
        self,
        control: Control,
        enrolments: Enrolments,
        timeline: Timeline,
        sessions: Sessions,
        entropy: Entropy,
        *,
        facts: Callable[[], Mapping[str, Any]],
        program: str,
        trust: Callable[[], Mapping[str, str]],
        live: Callable[[Viewer, GetLiveGops], Answer],
        glances: GlanceKeys,
    ) -> None:
        """`program`: which version of the program is served, so that a page left open over an upgrade finds out.

        `trust`: where another browser gets the authority, and its fingerprint.
        """
        self._control = control
        self._enrolments = enrolments
        self._timeline = timeline
        self._sessions = sessions
        self._entropy = entropy
        self._facts = facts
        self._program = program
        self._trust = trust
        self._live = live
        self._glances = glances
        self._at_door: OrderedDict[str, tuple[str, float]] = OrderedDict()
        """Sessions that have proven a glance key (`ed25519:…`), and until when that counts."""
        self._challenges: OrderedDict[str, tuple[str, float]] = OrderedDict()
        self._cards: OrderedDict[str, str] = OrderedDict()
        self._own: Mapping[str, Callable[[Any, Caller], dict[str, Any]]] = {
            "page_hello": self._hello,
            "page_challenge": self._challenge,
            "page_leave": lambda _asked, caller: {"ended": self._sessions.end(_session(caller).id)},
            "page_card": self._offer_card,
            "page_cards": lambda _asked, _caller: {"cards": list(self._cards.values())},
            "page_invite": self._invite,
            "page_browsers": self._browsers,
            "page_end": lambda asked, _caller: {"ended": self._sessions.end(asked.id)},
            "page_facts": lambda _asked, _caller: dict(self._facts()),
            "page_now": self._now,
            "events": self._events,
        }

    def caller(self, token: str | None) -> Caller:
        """Returns the holder of a cookie. An owner loses this level at the moment of removal."""
        enrolment = self._enrolments.current
        session = self._sessions.session(token) if token else None
        # At each request, not when the list changes: the page may have been off then.
        if session is not None and self._is_former_owners(session):
            session = None
        key = session.owner_key if session else None
        owner = enrolment is not None and key is not None and key in enrolment.approver_keys
        glance = self._glance_of(session) if session is not None else None
        return Caller(session, owner, enrolment is not None, glance=glance)

    def _is_former_owners(self, session: Session) -> bool:
        """Signs out a browser whose key has left the list of owners. Otherwise it would stay paired, and read the names
        of the owners who came after. It needs another code, as a stranger's does."""
        enrolment = self._enrolments.current
        if enrolment is None or session.proven is None or session.proven in enrolment.approver_keys:
            return False
        with suppress(StorageError):  # a disk that takes no write: it is out until the next start, and then again
            self._sessions.end(session.id)
        return True

    def _glance_of(self, session: Session) -> GlanceHolder | None:
        """Returns the browser that has proven its glance key in this session, while that key counts."""
        key, until_s = self._at_door.get(session.id, ("", 0.0))
        return self._glances.holder(key) if key and time.monotonic() < until_s else None

    def answer_in_link(self, name: str, frame: Frame, caller: Caller) -> Frame:
        """Answers an operation of a session of the link, if its key may call it. The page's routes check theirs."""
        operation = OPERATIONS.get(name)
        if operation is None or operation.access is None or not caller.may(operation.access):
            raise RequestError("This operation is not for this caller.", remedy="Is it for an owner?")
        return self.answer(name, frame, caller)

    def answer(self, name: str, frame: Frame, caller: Caller) -> Frame:
        if name == "live":
            result, body = self._live(self._viewer(caller), read_operation(name, frame))
            return Frame({"ok": True, "result": result}, body)
        # Before the table of operations is asked: this rule is about the caller, and `Control` does not know who calls.
        if name == "talk_begin":
            self._check_talker(caller, read_operation(name, frame))
        if name not in PAGE:
            return self._control.answer(Frame({**frame.head, "op": name}, frame.body))
        own = self._own.get(name)
        if own is None:
            raise RequestError("This operation is for a session of the page.")
        return Frame({"ok": True, "result": own(read_operation(name, frame), caller)})

    def _viewer(self, caller: Caller) -> Viewer:
        """Viewers are told of each other, so each has the name under which the owners know it."""
        session = caller.session
        if session is None:
            holder = caller.glance
            owner = self._enrolments.owner_name(holder.owner if holder is not None else caller.key)
            return Viewer(f"link {caller.key}", owner or "", holder.glance if holder is not None else "")
        glance = caller.glance
        owner = self._enrolments.owner_name(session.owner_key or (glance.owner if glance is not None else ""))
        return Viewer(session.id, owner or "", glance.glance if glance is not None else "")

    def _check_talker(self, caller: Caller, asked: BeginTalk) -> None:
        """Others are told that the holder of the offer's key talks, so a glance key may name only itself."""
        if not caller.owner and (caller.glance is None or asked.to != caller.glance.glance):
            raise RequestError("This key is another one's.", remedy="Ask with the glance key of this browser.")

    def prove(self, frame: Frame, caller: Caller, origin: str) -> ElevatedSession:
        """Takes the session for an owner's, or for a glance key's, if the challenge was signed with such a key that
        is in force."""
        asked: ProveOwner = read_operation("page_prove", frame)
        session = _session(caller)
        enrolment = self._enrolments.current
        owners = enrolment.approver_keys if enrolment is not None else {}
        # A glance key that is no longer listed is tried at each look at the door. It must not make its owner wait.
        kind = "prove" if any(key_id in asked.envelope for key_id in owners) else "door"
        bucket = f"{kind} {session.id}"
        self._sessions.rate_limit(bucket)
        # Taken out before it is checked, so that one challenge serves one try.
        expected = self._challenges.pop(session.id, None)
        try:
            # The monotonic clock: a doorbell without the time of day must still let its owner in.
            if enrolment is None or expected is None or time.monotonic() > expected[1]:
                raise OpenError("This challenge is over.")
            data = asked.envelope.encode("ascii")
            signers = self._glances.signers()
            keys = {**signers, **enrolment.approver_keys}
            opened = envelope.open_envelope(data, Login.PAYLOAD_TYPE, keys)
            login = strictjson.decode(opened.payload, Login)
            # The origin stops a page that passes a challenge of this doorbell on to an owner's browser and returns the
            # answer.
            if (login.challenge, login.origin, login.device) != (expected[0], origin, enrolment.device):
                raise OpenError("This was signed for something else.")
        # One answer for every reason: which check failed would help only a guesser.
        except (FormatError, RequestError) as error:
            self._sessions.failed(bucket)
            raise OpenError(
                "This browser's key is not one of this doorbell's owners.", remedy="Ask an owner to add it."
            ) from error
        if opened.key_id in enrolment.approver_keys:
            self._enrolments.note_use(opened.key_id)
            return ElevatedSession(self._sessions.elevate(session, opened.key_id), owner=True)
        # In memory only: a browser proves its glance key again after a restart, without a person.
        self._at_door[session.id] = (signers[opened.key_id].text, time.monotonic() + OWNER_IDLE_S)
        self._at_door.move_to_end(session.id)
        _trim(self._at_door)
        # A new cookie at each rise of rights: a cookie that was planted before must not rise with it (session
        # fixation).
        return ElevatedSession(self._sessions.renew(session), owner=False)

    def _hello(self, _asked: object, caller: Caller) -> dict[str, Any]:
        enrolment = self._enrolments.current
        return {
            "claimed": enrolment is not None,
            "device": self._control.answer(Frame({"op": "device"})).head["result"]["device"],
            "owner": caller.owner,
            "session": _session_id(caller),
            "doorbell": self._facts().get("name", ""),
            "program": self._program,
        }

    def _now(self, _asked: object, _caller: Caller) -> dict[str, Any]:
        """Returns how many requests wait and the camera's state, always in as many bytes.

        Open pages ask every few seconds.  If the answer grew with a request, its time could be read from the network.
        """
        listed = self._control.answer(Frame({"op": "requests"})).head["result"]["requests"]
        waiting = sum(each["state"] in _WAITING for each in listed)
        camera = str(self._control.answer(Frame({"op": "status"})).head["result"]["recorder"].get("state", ""))
        return {"waiting": f"{min(waiting, 999):03}", "camera": camera.ljust(_CAMERA_CHARS)[:_CAMERA_CHARS]}

    def _challenge(self, _asked: object, caller: Caller) -> dict[str, Any]:
        session = _session(caller)
        challenge = hashlib.sha256(self._entropy.token(32)).hexdigest()
        self._challenges[session.id] = (challenge, time.monotonic() + _CHALLENGE_LIFE_S)
        self._challenges.move_to_end(session.id)
        _trim(self._challenges)
        return {"challenge": challenge}

    def _offer_card(self, asked: OfferCard, caller: Caller) -> dict[str, Any]:
        # In memory and bounded, because a browser that is merely paired writes it.
        self._cards[_session(caller).id] = asked.card
        _trim(self._cards)
        return {}

    def _invite(self, _asked: object, caller: Caller) -> dict[str, Any]:
        maker = caller.key or _session(caller).owner_key or ""
        code = code_text(self._sessions.make_code("invitation", (maker,)))
        return {"code": code, "life_s": CODE_LIFE_S, **self._trust()}

    def _browsers(self, _asked: object, caller: Caller) -> dict[str, Any]:
        return {
            "browsers": [
                {
                    "id": each.id,
                    "browser": each.browser,
                    "made_s": each.made_s,
                    "seen_s": each.seen_s,
                    "owner": self._enrolments.owner_name(each.owner_key or ""),
                    "this": each.id == _session_id(caller),
                }
                for each in self._sessions.sessions()
                if not self._is_former_owners(each)
            ]
        }

    def _events(self, asked: ListEvents, _caller: Caller) -> dict[str, Any]:
        span = (asked.from_ms, asked.to_ms)
        return {
            "events": self._timeline.events(*span),
            "gaps": self._timeline.gaps(*span),
            "rings": self._timeline.rings(*span),
        }


def _session(caller: Caller) -> Session:
    if caller.session is None:
        raise RequestError("This browser is not paired.")
    return caller.session


def _session_id(caller: Caller) -> str:
    """Returns an empty text in the link, because its sessions differ from the page's."""
    return "" if caller.link else _session(caller).id


def _trim(waiting: OrderedDict[str, Any]) -> None:
    while len(waiting) > _MOST_WAITING:
        waiting.popitem(last=False)
