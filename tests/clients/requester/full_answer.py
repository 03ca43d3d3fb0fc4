"""One answer with everything that an answer can hold, for the tests of the papers that are made of it.

    part   clip   what it is
    1      a      a film, redacted by its owner (FACE)
    2      a      its sound, redacted (VOICE)
    3      a      a film after one that stayed with the owner
    4      e      a film that no player opens
    5      e      its still
    6      i      a film that a power failure cut off

Two owners approved it, by the second list of owners. They named the clips a (three segments) and e (one).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from agent.clients.requester import messages
from agent.clients.requester.disclosure_folder import AnswerFolder
from agent.clients.requester.identity import Requester, SentRequest
from agent.clients.requester.known_doorbells import DoorbellHistory
from agent.clients.requester.verification import Verification, examine
from agent.core.media import Gop
from agent.core.vault.redactions import Place, Redaction, RedactionKind
from agent.wire.disclosures import Receipt, ReceiptState
from agent.wire.fields import Kind
from agent.wire.statements import ClipClaim
from tests.clients.requester.conftest import DESCRIPTION, NOW_S, ROOT_ID, question
from tests.clients.requester.house import Changes, Disclosure, House, Stored
from tests.clients.requester.test_two_owners import seconded, two_owners
from tests.clients.requester.test_verification import lay_down
from tests.sounds import track
from tests.wire import samples

FACE = Redaction(
    kind=RedactionKind.FACE,
    from_ms=200,
    until_ms=1900,
    places=(
        Place(at_ms=200, left=4000, top=2000, width=1500, height=2500),
        Place(at_ms=1900, left=6000, top=2000, width=1500, height=2500),
    ),
)
VOICE = Redaction(kind=RedactionKind.VOICE, from_ms=500, until_ms=1500)
DOOR = DoorbellHistory(seen_s=NOW_S - 86_400, stolen_since_s=NOW_S - 60)
"""The doorbell was seen a day before, and declared stolen after the approval."""
_NO_FILM = b"\0\0\0\x08free"


@dataclass
class FullAnswer:
    """The answer as its house made it, and as its requester verified it."""

    requester: Requester
    asked: SentRequest
    house: House
    shared: list[Stored]
    """In the order of the parts, from part 1."""
    hidden: Stored
    """The film of clip a that stayed with the owner."""
    told: tuple[ClipClaim, ...]
    sent: Disclosure
    answer: AnswerFolder
    verification: Verification


def full_answer(folder: Path, gops: Sequence[Gop]) -> FullAnswer:
    """Makes the answer, and its requester in the new folder `folder`."""
    requester = Requester.create(folder, "rijnstad-police", Kind.POLICE, ROOT_ID)
    asked = requester.sent_request(messages.make_request(requester, question(), now_s=NOW_S).id)
    house = House((NOW_S - 6000) * 1000, changes=Changes(enrolment=two_owners, manifest=seconded()), epoch=2)
    film, sound = house.record(DESCRIPTION, gops[0:2], event="a" * 26, poster=False, sound=track(2.0))
    (hidden,) = house.record(DESCRIPTION, gops[2:4], event="a" * 26, poster=False)
    (third,) = house.record(DESCRIPTION, gops[4:6], event="a" * 26, poster=False)
    house.changes.media = lambda _: _NO_FILM
    closed, still = house.record(DESCRIPTION, gops[6:8], event="e" * 26)
    house.changes.media = lambda media: media
    (whole,) = house.record(DESCRIPTION, gops[8:11], event="i" * 26, poster=False)
    cut = house.power_cut(whole, len(whole.data) - 1)
    shared = [film, sound, third, closed, still, cut]
    told = tuple(
        ClipClaim(from_ms=one.record.record.span.start_ms, to_ms=last.record.record.span.end_ms, segments=count)
        for one, last, count in ((film, third, 3), (closed, closed, 1))
    )
    redactions = {(film.kind, film.id): (FACE,), (sound.kind, sound.id): (VOICE,)}
    sent = house.disclose(asked, shared, told=told, redactions=redactions)
    answer = lay_down(requester, asked, sent)
    receipt = samples.receipt(
        disclosure=sent.id,
        request=asked.request.id,
        requester=requester.id,
        state=ReceiptState.COMPLETE,
        manifest=sent.sizes[0].sha256,
        incomplete=(),
        retention_days=90,
        time_s=NOW_S - 1,
    )
    answer.keep_receipt(requester.sign(Receipt.PAYLOAD_TYPE, receipt))
    verification = examine(requester, sent.id)
    assert verification.ok, verification.failed
    return FullAnswer(requester, asked, house, shared, hidden, told, sent, answer, replace(verification, door=DOOR))
