"""A yes is made of the keys of exactly the chosen segments, for exactly the requester who asked; the rest is a no."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from agent.clients.opening import HybridIdentity, VerifiedPrefix, open_bytes
from agent.clients.owner import decisions
from agent.clients.owner.bulletins import read_bulletins
from agent.clients.owner.decisions import (
    CannotShareError,
    ShareChoice,
    approve,
    co_approve,
    deny,
    gaps_of,
    opt_in,
    opt_out,
    revoke,
)
from agent.clients.owner.enrolment import enrol
from agent.clients.owner.file_keys import POSTER, SEGMENT, SOUND
from agent.clients.owner.responses import FirstApproval
from agent.clients.owner.review import RequestReview
from agent.clients.owner.trust_roots import remove_trust_root
from agent.core.consent import RequestState
from agent.core.vault.age.sealing import seal_bytes
from agent.core.vault.segment import split_media
from agent.errors import ConfigurationError, FormatError, NetworkError, OpenError, RequestError
from agent.media.fmp4 import whole_fragments
from agent.wire import envelope, strictjson
from agent.wire.disclosures import ContactCard, PartKind
from agent.wire.identities import private_key_from_seed
from agent.wire.statements import AbsenceReason, Approval, Denial, FootageAbsence, OptIn, OptOut, Revocation, Scope
from tests.clients.owner.conftest import NOW_MS, REPLY, WINDOW_MS, Home, now, signed_request
from tests.clients.owner.fake_device import FakeDevice
from tests.wire import samples


@pytest.fixture
def review(home: Home) -> RequestReview:
    return RequestReview.fetch(home.device, home.keys, home.request, clock=now)


def last(home: Home) -> object:
    return home.device.statements[-1]


def test_the_requester_opens_exactly_what_was_approved(home: Home, review: RequestReview, media: list[bytes]) -> None:
    chosen = [home.segments[2], home.segments[0]]
    disclosure = approve(home.device, home.keys, review, chosen, clock=now)
    assert home.device.requests[home.request].disclosure == disclosure
    assert [item.id for item in home.device.released] == [home.segments[0], home.segments[2]]
    for name, number in ((home.segments[0], 0), (home.segments[2], 2)):
        assert split_media(open_bytes(home.device.outbox[PartKind.SEGMENT, name], [REPLY]))[0] == media[number]


def test_what_was_not_chosen_stays_closed_to_the_requester(home: Home, review: RequestReview) -> None:
    approve(home.device, home.keys, review, [home.segments[0]], clock=now)
    for name in home.segments:
        with pytest.raises(OpenError):
            open_bytes(home.device.stored[name].sealed, [REPLY])
    assert list(home.device.outbox) == [(PartKind.SEGMENT, home.segments[0])]


def test_pictures_go_without_sound_unless_it_is_said(home: Home, review: RequestReview) -> None:
    approve(home.device, home.keys, review, list(home.segments), clock=now)
    approval = last(home)
    assert isinstance(approval, Approval)
    assert approval.sounds == ()
    assert {kind for kind, _ in home.device.outbox} == {PartKind.SEGMENT}
    sealed = home.device.stored[home.segments[0]].sound
    assert sealed is not None
    with pytest.raises(OpenError):
        open_bytes(sealed, [REPLY])


def test_sound_is_a_key_of_its_own_for_segments_that_are_shared(home: Home, review: RequestReview) -> None:
    approve(home.device, home.keys, review, ShareChoice(home.segments[:2], sound=True), clock=now)
    assert list(home.device.outbox) == [
        (PartKind.SEGMENT, home.segments[0]),
        (PartKind.SEGMENT, home.segments[1]),
        (PartKind.SOUND, home.segments[0]),
    ]
    heard, context = split_media(open_bytes(home.device.outbox[PartKind.SOUND, home.segments[0]], [REPLY]))
    assert heard == review.sound(home.segments[0])
    assert context.segment == home.segments[0]


def test_nobody_is_given_the_sound_of_a_segment_without_its_pictures() -> None:
    with pytest.raises(FormatError, match="only of segments that are shared"):
        samples.approval(segments=(samples.item(0),), sounds=(samples.item(1),))


def test_an_approval_names_request_reply_and_bytes_and_nothing_about_the_owner(
    home: Home, review: RequestReview
) -> None:
    approve(home.device, home.keys, review, [home.segments[0]], clock=now)
    approval = last(home)
    assert isinstance(approval, Approval)
    assert approval.request == home.device.requests[home.request].payload_sha256
    assert approval.reply == str(REPLY.recipient())
    assert approval.owner_time_ms == NOW_MS
    assert approval.contact is None
    assert approval.posters == ()


def test_a_contact_card_is_for_the_requester_alone(home: Home, review: RequestReview) -> None:
    card = ContactCard(v=1, name="Anna Müller", street="Hafenstraße 1")
    approve(home.device, home.keys, review, [home.segments[0]], card, clock=now)
    approval = last(home)
    assert isinstance(approval, Approval)
    assert approval.contact is not None
    sealed = strictjson.decode_base64(approval.contact)
    assert card.name.encode() not in sealed
    assert strictjson.decode(open_bytes(sealed, [REPLY]), ContactCard) == card


def test_choosing_nothing_is_not_a_yes(home: Home, review: RequestReview) -> None:
    with pytest.raises(RequestError, match="You selected nothing"):
        approve(home.device, home.keys, review, [], clock=now)
    assert "statement" not in home.device.asked_ops[-3:]


def test_a_segment_that_is_not_part_of_the_request_cannot_be_shared(
    home: Home, review: RequestReview, media: list[bytes]
) -> None:
    other = home.device.record(media[0], NOW_MS)
    with pytest.raises(RequestError, match="not part of this request"):
        approve(home.device, home.keys, review, [other], clock=now)


def test_a_request_that_is_over_is_not_answered_by_the_owners_clock(home: Home, review: RequestReview) -> None:
    late = (review.request.not_after_s + 1) * 1000
    with pytest.raises(RequestError, match="This request has expired"):
        approve(home.device, home.keys, review, [home.segments[0]], clock=lambda: late)
    assert home.device.requests[home.request].state is RequestState.PENDING


def test_a_segment_swapped_after_the_review_is_not_handed_over(home: Home, review: RequestReview) -> None:
    """The key of B must not leave under the name of A, whatever the device shows after A was looked at."""
    a, b = (home.device.stored[name] for name in (home.segments[0], home.segments[2]))
    a.sealed, a.signed = b.sealed, home.device._record(a.signed.record)
    with pytest.raises(OpenError, match="not the ones the device signed"):
        approve(home.device, home.keys, review, [home.segments[0]], clock=now)
    assert not any(isinstance(statement, Approval) for statement in home.device.statements)


def test_a_header_swapped_alone_is_not_handed_over(home: Home, review: RequestReview) -> None:
    a, b = (home.device.stored[name] for name in (home.segments[0], home.segments[2]))
    head_a, head_b = (each.signed.record.file.header_size for each in (a, b))  # type: ignore[union-attr]
    a.sealed = b.sealed[:head_b] + a.sealed[head_a:]
    with pytest.raises(OpenError):
        approve(home.device, home.keys, review, [home.segments[0]], clock=now)


def test_forged_records_do_not_trick_a_key_out_of_the_owner(home: Home) -> None:
    """A device that re-signs B's header, with A's payload, under A's name still gets no key of B."""
    a, b = (home.device.stored[name] for name in (home.segments[0], home.segments[2]))
    from agent.core.vault.records import digest

    head_a, head_b = (each.signed.record.file.header_size for each in (a, b))  # type: ignore[union-attr]
    a.sealed = b.sealed[:head_b] + a.sealed[head_a:]
    record = a.signed.record
    values = {name: getattr(record, name) for name in record.__struct_fields__}
    a.signed = home.device._record(type(record)(**values | {"file": digest((a.sealed,), head_b)}))
    review = RequestReview.fetch(home.device, home.keys, home.request, clock=now)
    with pytest.raises(FormatError):
        approve(home.device, home.keys, review, [home.segments[0]], clock=now)
    assert not any(isinstance(statement, Approval) for statement in home.device.statements)


def test_a_device_other_than_the_reviewed_one_gets_no_keys(home: Home, review: RequestReview) -> None:
    impostor = FakeDevice(NOW_MS, seed=b"i" * 32)
    impostor.enrolled = home.device.enrolled
    impostor.stored = home.device.stored
    with pytest.raises(ConfigurationError, match="never met"):
        approve(impostor, home.keys, review, [home.segments[0]], clock=now)


def test_a_rolled_back_device_gets_no_keys(home: Home, review: RequestReview) -> None:
    del home.device.leaves[-1:]
    with pytest.raises(OpenError, match="rolled back"):
        approve(home.device, home.keys, review, [home.segments[0]], clock=now)


def test_a_segment_without_its_end_is_shared_up_to_its_last_whole_fragment(home: Home, media: list[bytes]) -> None:
    cut = home.device.cut_short(media[0] + bytes(200_000), WINDOW_MS, 0.8)
    request = home.device.ask_for(signed_request(id="f" * 32, seq=8), [*home.segments, cut])
    review = RequestReview.fetch(home.device, home.keys, request, clock=now)
    assert [each.id for each in review.segments if each.is_cut] == [cut]
    approve(home.device, home.keys, review, [*home.segments, cut], clock=now)
    prefix = VerifiedPrefix(io.BytesIO(home.device.outbox[PartKind.SEGMENT, cut]), [REPLY])
    assert whole_fragments(b"".join(prefix)) == review.open(cut).media == media[0]
    assert not prefix.complete


def test_what_cannot_be_shared_is_named_with_its_reason_and_the_rest_is_one_step_away(
    home: Home, media: list[bytes]
) -> None:
    early = home.device.cut_short(media[0], WINDOW_MS, 0.7)
    request = home.device.ask_for(signed_request(id="f" * 32, seq=8), [*home.segments, early])
    review = RequestReview.fetch(home.device, home.keys, request, clock=now)
    damaged = home.segments[0]
    stored = home.device.stored[damaged]
    stored.sealed = stored.sealed[:-1] + bytes([stored.sealed[-1] ^ 1])
    before = len(home.device.statements)
    with pytest.raises(CannotShareError) as refused:
        approve(home.device, home.keys, review, [*home.segments, early], clock=now)
    assert "Segment 1 cannot be shared: The bytes handed over" in refused.value.message
    assert "Segment 4 cannot be shared: This segment was cut off before its first second" in refused.value.message
    assert len(home.device.statements) == before
    assert refused.value.rest == ShareChoice(tuple(home.segments[1:]))
    approve(home.device, home.keys, review, refused.value.rest, clock=now)
    assert [item.id for item in home.device.released] == list(home.segments[1:])


def test_a_no_stays_on_the_device(home: Home) -> None:
    deny(home.device, home.keys, home.request, clock=now)
    assert isinstance(last(home), Denial)
    assert home.device.requests[home.request].state is RequestState.DENIED
    assert not home.device.outbox


def test_a_no_for_another_request_is_not_given(home: Home) -> None:
    other = home.device.ask_for(signed_request(id="f" * 32, seq=8), home.segments)
    swapped = home.device.on_request(b"", id=other)
    home.device.lies["request"] = lambda result, data: (swapped, data)
    with pytest.raises(OpenError, match="another request"):
        deny(home.device, home.keys, home.request, clock=now)


def test_a_request_from_somebody_no_longer_trusted_can_be_denied(home: Home) -> None:
    remove_trust_root(home.device, home.keys, samples.ROOT_KEY.text, clock=now)
    deny(home.device, home.keys, home.request, clock=now)
    assert home.device.requests[home.request].state is RequestState.DENIED


def test_a_request_from_before_one_was_an_owner_can_be_denied_unread(home: Home) -> None:
    home.device.lies["request"] = lambda result, data: ({**result, "sealed": sealed_to_somebody_else()}, data)
    with pytest.raises(OpenError, match="does not open with your keys"):
        RequestReview.fetch(home.device, home.keys, home.request, clock=now)
    deny(home.device, home.keys, home.request, clock=now)
    assert home.device.requests[home.request].state is RequestState.DENIED


def sealed_to_somebody_else() -> str:
    other = [HybridIdentity(b"o" * 32).recipient()]
    return strictjson.encode_base64(seal_bytes(b"{}", other, file_key=b"k" * 16, nonce=b"n" * 16))


@pytest.mark.parametrize("sealed", [None, "", "no base64", "e30="])
def test_what_is_not_sealed_at_all_is_not_read(home: Home, sealed: object) -> None:
    home.device.lies["request"] = lambda result, data: ({**result, "sealed": sealed}, data)
    with pytest.raises(OpenError, match="does not open with your keys"):
        RequestReview.fetch(home.device, home.keys, home.request, clock=now)


def test_bulletins_from_before_one_was_an_owner_are_left_out(home: Home) -> None:
    bulletin = samples.EVERY_MESSAGE["bulletin"]
    home.device.posted = [envelope.sign(bulletin.PAYLOAD_TYPE, strictjson.encode(bulletin), samples.REQUESTER)]
    others = [*home.device.on_bulletins(b"")["bulletins"], sealed_to_somebody_else()]
    home.device.lies["bulletins"] = lambda _result, data: ({"bulletins": others}, data)
    assert [each.bulletin for each in read_bulletins(home.device, home.keys, clock=now)] == [bulletin]


def test_a_bulletin_counts_only_if_its_requesters_key_signed_it(home: Home) -> None:
    bulletin = samples.EVERY_MESSAGE["bulletin"]
    signed = envelope.sign(bulletin.PAYLOAD_TYPE, strictjson.encode(bulletin), samples.REQUESTER)
    forged = envelope.sign(bulletin.PAYLOAD_TYPE, strictjson.encode(bulletin), private_key_from_seed(b"x" * 32))
    ours, theirs = (json.loads(each) for each in (signed, forged))
    ours["signatures"][0]["sig"] = theirs["signatures"][0]["sig"]
    other = envelope.sign(Approval.PAYLOAD_TYPE, strictjson.encode(bulletin), samples.REQUESTER)
    home.device.posted = [json.dumps(ours).encode(), forged, other]
    assert read_bulletins(home.device, home.keys, clock=now) == ()


def test_a_bulletin_is_shown_until_its_last_second(home: Home) -> None:
    bulletin = samples.EVERY_MESSAGE["bulletin"]
    home.device.posted = [envelope.sign(bulletin.PAYLOAD_TYPE, strictjson.encode(bulletin), samples.REQUESTER)]
    over_ms = (samples.NOW_S + 12 * samples.HOUR_S) * 1000
    (last_second,) = read_bulletins(home.device, home.keys, clock=lambda: over_ms + 999)
    assert last_second.requester.id == "harbour-police"
    assert read_bulletins(home.device, home.keys, clock=lambda: over_ms + 1000) == ()


def window_ms(review: RequestReview) -> tuple[int, int]:
    return review.request.from_s * 1000, review.request.to_s * 1000


def test_gaps_are_what_the_device_says_of_the_window(home: Home, review: RequestReview) -> None:
    begin, end = window_ms(review)
    home.device.gaps = [
        {"from_ms": begin, "to_ms": begin + 1000, "reason": "privacy switch"},
        {"from_ms": end - 1000, "to_ms": end, "reason": "camera lost"},
    ]
    assert gaps_of(home.device, home.keys, review) == (
        FootageAbsence(begin, begin + 1000, AbsenceReason.PRIVACY),
        FootageAbsence(end - 1000, end, AbsenceReason.CAMERA_LOST),
    )  # fmt: skip


@pytest.mark.parametrize(("before_ms", "after_ms"), [(1, 0), (0, 1)], ids=["before", "after"])
def test_gaps_outside_the_window_are_not_shared(
    home: Home, review: RequestReview, before_ms: int, after_ms: int
) -> None:
    begin, end = window_ms(review)
    home.device.gaps = [{"from_ms": begin - before_ms, "to_ms": end + after_ms, "reason": "privacy switch"}]
    with pytest.raises(OpenError, match="more than the requested window"):
        gaps_of(home.device, home.keys, review)


def test_gaps_that_are_none_are_refused(home: Home, review: RequestReview) -> None:
    home.device.gaps = [{"from_ms": -1, "to_ms": 2, "reason": "privacy switch"}]
    with pytest.raises(NetworkError, match="'gaps' cannot be used"):
        gaps_of(home.device, home.keys, review)
    home.device.gaps = [{"from_ms": 1, "to_ms": 2, "reason": "a reason of another version"}]
    with pytest.raises(OpenError, match="is malformed"):
        gaps_of(home.device, home.keys, review)


def test_sound_and_posters_that_cannot_be_shared_are_named_as_such(home: Home, review: RequestReview) -> None:
    stored = home.device.stored[home.segments[0]]
    assert stored.sound is not None
    assert stored.poster is not None
    stored.sound = stored.sound[:-1] + bytes([stored.sound[-1] ^ 1])
    stored.poster = stored.poster[:-1] + bytes([stored.poster[-1] ^ 1])
    choice = ShareChoice(home.segments, posters=review.clips, sound=True)
    with pytest.raises(CannotShareError) as refused:
        approve(home.device, home.keys, review, choice, clock=now)
    assert "The sound of segment 1 cannot be shared: " in refused.value.message
    assert "The poster of segment 1 cannot be shared: " in refused.value.message
    assert refused.value.rest == ShareChoice(home.segments[1:], posters=review.clips[1:], sound=True)
    approve(home.device, home.keys, review, refused.value.rest, clock=now)


def test_a_yes_can_be_taken_back(home: Home, review: RequestReview) -> None:
    disclosure = approve(home.device, home.keys, review, [home.segments[0]], clock=now)
    assert revoke(home.device, home.keys, disclosure, clock=now) == "revoked"
    assert isinstance(last(home), Revocation)
    known = home.keys.memory.device(home.device.key.id)
    assert known is not None
    assert known.ledger.size == len(home.device.leaves), "the device cannot deny it later"


def test_a_device_that_does_not_say_what_became_of_an_approval_is_not_believed(
    home: Home, review: RequestReview
) -> None:
    disclosure = approve(home.device, home.keys, review, [home.segments[0]], clock=now)
    home.device.lies["statement"] = lambda answer, body: ({**answer, "state": None}, body)
    with pytest.raises(OpenError, match="names no state"):
        revoke(home.device, home.keys, disclosure, clock=now)


def test_opting_out_and_in_again(home: Home) -> None:
    root = samples.ROOT_KEY.id
    opt_out(home.device, home.keys, Scope.REQUESTER, "harbour-police", NOW_MS // 1000 + 60, root=root, clock=now)
    statement = last(home)
    assert isinstance(statement, OptOut)
    assert (statement.scope, statement.value, statement.trust_root) == (Scope.REQUESTER, "harbour-police", root)
    opt_in(home.device, home.keys, Scope.REQUESTER, "harbour-police", root=root, clock=now)
    assert isinstance(last(home), OptIn)
    with pytest.raises(ConfigurationError, match="already have expired"):
        opt_out(home.device, home.keys, until_s=NOW_MS // 1000, clock=now)
    for scope, value in ((Scope.KIND, "dentist"), (Scope.REQUESTER, "Nobody!"), (Scope.ALL, "x"), (Scope.KIND, None)):
        with pytest.raises(ConfigurationError):
            opt_out(home.device, home.keys, scope, value, clock=now)


def test_every_statement_has_its_own_nonce_and_is_in_the_ledger_seen(home: Home, review: RequestReview) -> None:
    approve(home.device, home.keys, review, [home.segments[0]], clock=now)
    opt_out(home.device, home.keys, clock=now)
    nonces = [statement.nonce for statement in home.device.statements]
    assert len(set(nonces)) == len(nonces)
    known = home.keys.memory.device(home.device.key.id)
    assert known is not None
    assert known.ledger.size == len(home.device.leaves)


def test_another_device_of_the_same_owner_is_not_the_reviewed_one(home: Home, review: RequestReview) -> None:
    other = FakeDevice(NOW_MS, seed=b"o" * 32)
    enrol(other, home.keys, clock=now)
    other.stored, other.requests = home.device.stored, home.device.requests
    with pytest.raises(OpenError, match="not the device the request was reviewed on"):
        approve(other, home.keys, review, [home.segments[0]], clock=now)


def test_a_poster_of_a_clip_without_one_cannot_be_chosen(home: Home, media: list[bytes]) -> None:
    bare = home.device.record(media[1], WINDOW_MS + 90_000, event=4)
    request = home.device.ask_for(signed_request(id="f" * 32, seq=8), [*home.segments, bare])
    seen = RequestReview.fetch(home.device, home.keys, request, clock=now)
    with pytest.raises(RequestError, match="Clip 3 has no poster"):
        approve(home.device, home.keys, seen, ShareChoice(posters=(seen.clips[2],)), clock=now)
    assert not any(isinstance(statement, Approval) for statement in home.device.statements)


def test_a_choice_is_empty_if_it_shares_and_tells_nothing(review: RequestReview) -> None:
    (clip, *_) = review.clips
    assert ShareChoice().is_empty
    assert ShareChoice(sound=True).is_empty
    for choice in (ShareChoice(("a",)), ShareChoice(posters=(clip,)), ShareChoice(told=(clip,))):
        assert not choice.is_empty


def test_each_reason_why_a_part_cannot_be_shared_is_a_sentence_of_its_own() -> None:
    rest = ShareChoice(("a",))
    error = CannotShareError(["Segment 1 is damaged.", "Segment 2 is cut."], rest)
    assert str(error) == "Segment 1 is damaged. Segment 2 is cut. Share the others."
    assert error.rest is rest


def test_an_approval_that_is_larger_than_a_device_takes_is_not_signed(
    home: Home, review: RequestReview, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decisions, "MOST_STATEMENT_BYTES", 100)
    with pytest.raises(RequestError, match="one approval has room for"):
        approve(home.device, home.keys, review, home.segments[:1], clock=now)
    assert not any(isinstance(statement, Approval) for statement in home.device.statements)


def test_a_gap_beside_one_that_lies_in_the_window_is_judged_too_and_no_gap_is_no_fault(
    home: Home, review: RequestReview
) -> None:
    begin, end = window_ms(review)
    assert gaps_of(home.device, home.keys, review) == ()
    inside = {"from_ms": begin, "to_ms": end, "reason": "privacy switch"}
    home.device.gaps = [inside, {**inside, "to_ms": end + 1}]
    with pytest.raises(OpenError, match="more than the requested window"):
        gaps_of(home.device, home.keys, review)


def test_a_request_that_is_over_is_not_co_approved(home: Home, review: RequestReview) -> None:
    waiting = replace(review, first=FirstApproval("ben", samples.approval(), samples.SHA))
    late = (review.request.not_after_s + 1) * 1000
    before = len(home.device.statements)
    with pytest.raises(RequestError, match="This request has expired"):
        co_approve(home.device, home.keys, waiting, clock=lambda: late)
    assert len(home.device.statements) == before


def test_a_choice_without_what_failed_keeps_everything_else() -> None:
    def clip(still: str | None) -> Any:
        return SimpleNamespace(poster_of=still and SimpleNamespace(id=still))

    posters = clip("a"), clip("b"), clip("c"), clip(None)
    choice = ShareChoice(("a", "b", "c", "d"), posters=posters, told=posters[:1], sound=True)
    failed = {(SEGMENT, "a"), (SOUND, "b"), (POSTER, "c"), (POSTER, "d")}
    assert decisions._without(choice, failed) == replace(choice, segments=("c", "d"), posters=posters[:2])
    assert decisions._without(choice, {(SEGMENT, "a")}) == replace(
        choice, segments=("b", "c", "d"), posters=posters[:3]
    )
