"""What the program in the browser may ask for: the control socket's operations as they are, and the page's own few.

`CONTROL` gives each operation of the control socket its mark; one that is not in it is not reachable from a browser.
None of the page's own operations touches footage, requests or consent.
"""

from __future__ import annotations

import hashlib
import re
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from agent.custodian.control_handler import Control
from agent.custodian.enrolment import Enrolments
from agent.custodian.page.access_levels import AccessLevel, Caller
from agent.custodian.page.sessions import CODE_LIFE_S, Session, Sessions, code_text
from agent.custodian.timeline import Timeline
from agent.errors import DoorwardError, FormatError, OpenError, RequestError
from agent.ports import Entropy
from agent.wire import envelope, strictjson
from agent.wire.control import Frame
from agent.wire.fields import DeviceKeyText, Sha256, Version1

__all__ = ["CONTROL", "PAGE", "ElevatedSession", "Login", "PageOperations"]

_SMALL: Final = 64 << 10
_STATEMENT: Final = 32 << 20
_BUNDLE: Final = 2 << 20

CONTROL: Final[Mapping[str, tuple[AccessLevel, int]]] = {
    "device": (AccessLevel.PAIRED, _SMALL),
    "enrolment": (AccessLevel.PAIRED, _SMALL),
    "enrolments": (AccessLevel.PAIRED, _SMALL),
    # Of no use to anybody who cannot sign as an owner:
    "nonce": (AccessLevel.PAIRED, _SMALL),
    "enrol": (AccessLevel.UNCLAIMED, _SMALL),
    # Sealed to one recipient, and good for nothing but to be opened by them:
    "enrol_test": (AccessLevel.PAIRED, _SMALL),
    "enrol_confirm": (AccessLevel.PAIRED, _SMALL),
    "status": (AccessLevel.OWNER, _SMALL),
    "requests": (AccessLevel.OWNER, _SMALL),
    "request": (AccessLevel.OWNER, _SMALL),
    "asked": (AccessLevel.OWNER, _SMALL),
    "gaps": (AccessLevel.OWNER, _SMALL),
    "place": (AccessLevel.OWNER, _SMALL),
    "bulletins": (AccessLevel.OWNER, _SMALL),
    "tips": (AccessLevel.OWNER, _SMALL),
    "shared": (AccessLevel.OWNER, _SMALL),
    "segment": (AccessLevel.OWNER, _SMALL),
    "poster": (AccessLevel.OWNER, _SMALL),
    "sound": (AccessLevel.OWNER, _SMALL),
    "live": (AccessLevel.OWNER, _SMALL),
    "list": (AccessLevel.OWNER, _SMALL),
    "kept": (AccessLevel.OWNER, _SMALL),
    "settings": (AccessLevel.OWNER, _SMALL),
    "statement": (AccessLevel.OWNER, _STATEMENT),
    "trust": (AccessLevel.OWNER, _SMALL),
    "trust_bundle": (AccessLevel.OWNER, _BUNDLE),
    "checkpoint": (AccessLevel.OWNER, _SMALL),
    "ledger": (AccessLevel.OWNER, _SMALL),
    "alerts_test": (AccessLevel.OWNER, _SMALL),
    # Alerts in this browser, by its push service: offered by a doorbell that has [alerts].
    "push_key": (AccessLevel.OWNER, _SMALL),
}
"""By name: who may, and the largest body."""

PAGE: Final[Mapping[str, tuple[AccessLevel, int]]] = {
    "page_hello": (AccessLevel.PAIRED, _SMALL),
    "page_challenge": (AccessLevel.PAIRED, _SMALL),
    "page_prove": (AccessLevel.PAIRED, _SMALL),
    "page_leave": (AccessLevel.PAIRED, _SMALL),
    "page_card": (AccessLevel.PAIRED, _SMALL),
    "page_cards": (AccessLevel.OWNER, _SMALL),
    "page_invite": (AccessLevel.OWNER, _SMALL),
    "page_browsers": (AccessLevel.OWNER, _SMALL),
    "page_end": (AccessLevel.OWNER, _SMALL),
    "page_facts": (AccessLevel.OWNER, _SMALL),
    "page_now": (AccessLevel.OWNER, _SMALL),
    "events": (AccessLevel.OWNER, _SMALL),
}

_CHALLENGE_LIFE_S: Final = 120.0
_MOST_WAITING: Final = 64
_WAITING: Final = frozenset({"pending", "waiting for another owner"})
_CAMERA_CHARS: Final = 32
_CARD: Final = re.compile(r"[\x20-\x7e]{1,8192}")


class Login(strictjson.Message, frozen=True):
    """What an owner's browser signs to be taken for one: of no use anywhere else, nor a second time."""

    PAYLOAD_TYPE = "application/vnd.doorward.page-login+json"

    v: Version1
    device: DeviceKeyText
    origin: str
    challenge: Sha256


@dataclass(frozen=True, slots=True)
class ElevatedSession:
    """The caller's session is an owner's; `token` replaces its cookie."""

    token: str


@dataclass(frozen=True, slots=True)
class PageFacts:
    """What the page shows of the doorbell's settings.  Nothing secret."""

    values: Mapping[str, Any]


class PageOperations:
    """`answer` for the control socket's operations and the page's.  Raises `DoorwardError`."""

    def __init__(
        self,
        control: Control,
        enrolments: Enrolments,
        timeline: Timeline,
        visitors: Sessions,
        entropy: Entropy,
        *,
        facts: Callable[[], Mapping[str, Any]],
        program: str,
        trust: Callable[[], Mapping[str, str]],
    ) -> None:
        """`program`: which version of the program is served, so that a page left open over an upgrade finds out.

        `trust`: where another browser gets the authority, and its fingerprint.
        """
        self._control = control
        self._enrolments = enrolments
        self._timeline = timeline
        self._visitors = visitors
        self._entropy = entropy
        self._facts = facts
        self._program = program
        self._trust = trust
        self._challenges: OrderedDict[str, tuple[str, float]] = OrderedDict()
        self._cards: OrderedDict[str, str] = OrderedDict()
        self._own: Mapping[str, Callable[[Frame, Caller], dict[str, Any]]] = {
            "page_hello": self._hello,
            "page_challenge": self._challenge,
            "page_leave": lambda _frame, caller: {"ended": self._visitors.end(_session(caller).id)},
            "page_card": self._offer_card,
            "page_cards": lambda _frame, _caller: {"cards": list(self._cards.values())},
            "page_invite": self._invite,
            "page_browsers": self._browsers,
            "page_end": lambda frame, _caller: {"ended": self._visitors.end(str(frame.head.get("id")))},
            "page_facts": lambda _frame, _caller: dict(self._facts()),
            "page_now": self._now,
            "events": self._events,
        }

    def caller(self, token: str | None) -> Caller:
        """Who a cookie stands for.  An owner who was removed is none from that moment."""
        enrolment = self._enrolments.current
        session = self._visitors.session(token) if token else None
        key = session.owner_key if session else None
        owner = enrolment is not None and key is not None and key in enrolment.approver_keys
        return Caller(session, owner, enrolment is not None)

    def answer(self, name: str, frame: Frame, caller: Caller) -> Frame:
        if name in CONTROL:
            return self._control.answer(Frame({**frame.head, "op": name}, frame.body))
        return Frame({"ok": True, "result": self._own[name](frame, caller)})

    def prove(self, frame: Frame, caller: Caller, origin: str) -> ElevatedSession:
        """Take the session for an owner's, if the challenge was signed with a key of an owner in force."""
        session = _session(caller)
        bucket = f"prove {session.id}"
        self._visitors.rate_limit(bucket)
        enrolment = self._enrolments.current
        expected = self._challenges.pop(session.id, None)
        try:
            if enrolment is None or expected is None or time.monotonic() > expected[1]:
                raise OpenError("This challenge is over.")
            data = str(frame.head.get("envelope")).encode("ascii", "replace")
            opened = envelope.open_envelope(data, Login.PAYLOAD_TYPE, enrolment.approver_keys)
            login = strictjson.decode(opened.payload, Login)
            if (login.challenge, login.origin, login.device) != (expected[0], origin, enrolment.device):
                raise OpenError("This was signed for something else.")
        except (FormatError, RequestError) as error:
            self._visitors.failed(bucket)
            raise OpenError(
                "This browser's key is not one of this doorbell's owners.", remedy="Ask an owner to add it."
            ) from error
        return ElevatedSession(self._visitors.elevate(session, opened.key_id))

    def _hello(self, _frame: Frame, caller: Caller) -> dict[str, Any]:
        enrolment = self._enrolments.current
        return {
            "claimed": enrolment is not None,
            "device": self._control.answer(Frame({"op": "device"})).head["result"]["device"],
            "owner": caller.owner,
            "session": _session(caller).id,
            "doorbell": self._facts().get("name", ""),
            "program": self._program,
        }

    def _now(self, _frame: Frame, _caller: Caller) -> dict[str, Any]:
        """How many requests wait and what the camera does, always in as many bytes.

        Open pages ask every few seconds.  If the answer grew with a request, its time could be read from the network.
        """
        listed = self._control.answer(Frame({"op": "requests"})).head["result"]["requests"]
        waiting = sum(each["state"] in _WAITING for each in listed)
        camera = str(self._control.answer(Frame({"op": "status"})).head["result"]["recorder"].get("state", ""))
        return {"waiting": f"{min(waiting, 999):03}", "camera": camera.ljust(_CAMERA_CHARS)[:_CAMERA_CHARS]}

    def _challenge(self, _frame: Frame, caller: Caller) -> dict[str, Any]:
        session = _session(caller)
        challenge = hashlib.sha256(self._entropy.token(32)).hexdigest()
        self._challenges[session.id] = (challenge, time.monotonic() + _CHALLENGE_LIFE_S)
        self._challenges.move_to_end(session.id)
        _trim(self._challenges)
        return {"challenge": challenge}

    def _offer_card(self, frame: Frame, caller: Caller) -> dict[str, Any]:
        card = frame.head.get("card")
        if not isinstance(card, str) or not _CARD.fullmatch(card):
            raise RequestError("card: an owner's card is missing.")
        self._cards[_session(caller).id] = card
        _trim(self._cards)
        return {}

    def _invite(self, _frame: Frame, _caller: Caller) -> dict[str, Any]:
        code = code_text(self._visitors.make_code("invitation"))
        return {"code": code, "life_s": CODE_LIFE_S, **self._trust()}

    def _browsers(self, _frame: Frame, caller: Caller) -> dict[str, Any]:
        enrolment = self._enrolments.current
        names = {key.id: name for name, key in _approvers(enrolment)} if enrolment else {}
        return {
            "browsers": [
                {
                    "id": each.id,
                    "browser": each.browser,
                    "made_s": each.made_s,
                    "seen_s": each.seen_s,
                    "owner": names.get(each.owner_key or ""),
                    "this": each.id == _session(caller).id,
                }
                for each in self._visitors.sessions()
            ]
        }

    def _events(self, frame: Frame, _caller: Caller) -> dict[str, Any]:
        from_ms, to_ms = (frame.head.get(name) for name in ("from_ms", "to_ms"))
        if not isinstance(from_ms, int) or not isinstance(to_ms, int):
            raise RequestError("from_ms and to_ms: numbers are missing.")
        return {"events": self._timeline.events(from_ms, to_ms), "gaps": self._timeline.gaps(from_ms, to_ms)}


def _approvers(enrolment: Any) -> list[tuple[str, Any]]:
    keys = list(enrolment.approver_keys.values())
    return [(named.name, key) for named, key in zip(enrolment.approvers, keys, strict=True)]


def _session(caller: Caller) -> Session:
    if caller.session is None:
        raise RequestError("This browser is not paired.")
    return caller.session


def _trim(waiting: OrderedDict[str, Any]) -> None:
    while len(waiting) > _MOST_WAITING:
        waiting.popitem(last=False)


def refusal(error: DoorwardError) -> Frame:
    """An error as the browser gets it: our words, never a stack."""
    return Frame({"ok": False, "kind": type(error).__name__, "error": error.message, "remedy": error.remedy})
