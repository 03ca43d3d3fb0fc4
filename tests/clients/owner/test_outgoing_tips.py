"""A tip holds exactly what its owner chose, sealed to the tips key of one requester that this machine verified."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest

from agent.clients.opening import HybridIdentity, open_bytes
from agent.clients.owner.outgoing_tips import CannotTellError, send_tip, taker_names, tip_recipients
from agent.clients.owner.trust_roots import add_trust_root, offer_bundle
from agent.core.vault.age.header import split
from agent.core.vault.records import SegmentRecord
from agent.core.vault.segment import split_media, split_poster
from agent.errors import ConfigurationError, FormatError, OpenError
from agent.wire import strictjson
from agent.wire.disclosures import PartKind, TipText
from agent.wire.identities import private_key_from_seed, public_key_of
from agent.wire.statements import Tip
from agent.wire.trust import RequesterKey
from tests.clients.owner.conftest import NOW_MS, REPLY, Home, now, signed_bundle
from tests.clients.owner.fake_device import JPEG
from tests.wire import samples

POLICE = "harbour-police"
OTHER_ROOT = private_key_from_seed(b"another root".ljust(32, b"."))


def accepts_tips(home: Home, version: int = 9, reply: HybridIdentity = REPLY, **changes: Any) -> None:
    entry = samples.requester(tips=str(reply.recipient()), **changes)
    offer_bundle(home.device, home.keys, signed_bundle(version=version, requesters=(entry,)))


def sent(home: Home) -> Tip:
    tip = home.device.statements[-1]
    assert isinstance(tip, Tip)
    return tip


def signed_nothing(home: Home) -> bool:
    return not any(isinstance(each, Tip) for each in home.device.statements)


def hurt(data: bytes | None) -> bytes:
    assert data is not None
    return data[:-1] + bytes([data[-1] ^ 1])


def test_a_requester_opens_the_words_and_exactly_the_chosen_files(home: Home, media: list[bytes]) -> None:
    accepts_tips(home)
    first, second, third = home.segments
    tip = send_tip(home.device, home.keys, POLICE, "A white van.", segments=[second, third], posters=[first], clock=now)
    assert list(home.device.outbox) == [
        (PartKind.SEGMENT, second),
        (PartKind.SEGMENT, third),
        (PartKind.POSTER, first),
    ]
    for name, film in ((second, media[1]), (third, media[2])):
        assert split_media(open_bytes(home.device.outbox[PartKind.SEGMENT, name], [REPLY]))[0] == film
    assert split_poster(open_bytes(home.device.outbox[PartKind.POSTER, first], [REPLY]))[0] == JPEG
    message = sent(home).message
    assert message is not None
    assert strictjson.decode(open_bytes(strictjson.decode_base64(message), [REPLY]), TipText).text == "A white van."
    assert (sent(home).tip, len(tip)) == (tip, 32)


def test_a_tip_names_its_requester_and_each_file_by_its_signed_hash(home: Home) -> None:
    accepts_tips(home)
    name = home.segments[0]
    send_tip(home.device, home.keys, POLICE, None, segments=[name], posters=[name], clock=now)
    tip, record = sent(home), home.device.stored[name].signed.record
    assert isinstance(record, SegmentRecord)
    assert record.poster is not None
    assert (tip.trust_root, tip.requester, tip.reply) == (samples.ROOT_KEY.id, POLICE, str(REPLY.recipient()))
    assert (tip.owner_time_ms, tip.message) == (NOW_MS, None)
    for item, file, kind in (
        (tip.segments[0], record.file, PartKind.SEGMENT),
        (tip.posters[0], record.poster.file, PartKind.POSTER),
    ):
        part = home.device.outbox[kind, name]
        header = hashlib.sha256(part[: split(part)]).hexdigest()
        assert (item.id, item.payload_sha256, item.header_sha256) == (name, file.sha256_payload, header)


def test_words_alone_take_no_footage_along_and_open_for_the_requester_alone(home: Home) -> None:
    accepts_tips(home)
    send_tip(home.device, home.keys, POLICE, "A white van.", clock=now)
    tip = sent(home)
    assert (tip.segments, tip.posters, home.device.outbox) == ((), (), {})
    assert tip.message is not None
    with pytest.raises(OpenError):
        open_bytes(strictjson.decode_base64(tip.message), [home.keys.identity])
    with pytest.raises(OpenError):
        open_bytes(strictjson.decode_base64(tip.message), [HybridIdentity(b"x" * 32)])


def test_two_tips_have_two_ids_and_two_seals(home: Home) -> None:
    accepts_tips(home)
    tips = []
    for _ in range(2):
        send_tip(home.device, home.keys, POLICE, "A white van.", clock=now)
        tips.append(sent(home))
    assert tips[0].tip != tips[1].tip
    assert tips[0].message != tips[1].message


def test_a_tip_is_sealed_to_the_newest_tips_key_of_the_requester(home: Home) -> None:
    accepts_tips(home)
    new = HybridIdentity(b"n" * 32)
    accepts_tips(home, 10, new)
    send_tip(home.device, home.keys, POLICE, "A white van.", clock=now)
    assert sent(home).reply == str(new.recipient())
    assert sent(home).message is not None
    with pytest.raises(OpenError):
        open_bytes(strictjson.decode_base64(sent(home).message or ""), [REPLY])


def test_a_requester_with_no_key_left_or_without_a_tips_key_is_offered_no_tip(home: Home) -> None:
    assert tip_recipients(home.device, home.keys) == ()
    with pytest.raises(ConfigurationError, match="'harbour-police' accepts no tips") as refused:
        send_tip(home.device, home.keys, POLICE, "A white van.", clock=now)
    assert "none that you trust" in (refused.value.remedy or "")
    gone = RequesterKey(
        key=samples.REQUESTER_KEY.text, from_s=samples.NOW_S - 9, until_s=samples.NOW_S + 9, revoked=True
    )
    accepts_tips(home, keys=(gone,))
    assert tip_recipients(home.device, home.keys) == ()
    fresh = RequesterKey(
        key=public_key_of(private_key_from_seed(b"f" * 32)).text, from_s=samples.NOW_S, until_s=samples.NOW_S + 9
    )
    accepts_tips(home, 10, keys=(gone, fresh))
    assert [(root, entry.id) for root, entry in tip_recipients(home.device, home.keys)] == [
        (samples.ROOT_KEY.id, POLICE)
    ]


def test_an_unknown_requester_is_refused_with_the_names_of_the_known_ones(home: Home) -> None:
    accepts_tips(home)
    with pytest.raises(ConfigurationError, match="'fire-brigade' accepts no tips") as refused:
        send_tip(home.device, home.keys, "fire-brigade", "A white van.", clock=now)
    assert "These accept tips: harbour-police." in (refused.value.remedy or "")
    assert signed_nothing(home)


def test_of_two_requesters_of_one_id_the_owner_names_the_one_that_they_mean_by_its_root(home: Home) -> None:
    """The message said that it accepts no tips."""
    accepts_tips(home)
    other = samples.pair(OTHER_ROOT)
    add_trust_root(home.device, home.keys, other.text, clock=now)
    bundle = samples.bundle(root=other.id, requesters=(samples.requester(tips=str(REPLY.recipient())),))
    offer_bundle(home.device, home.keys, samples.several(bundle, OTHER_ROOT))
    ways = [f"{POLICE}@{root}" for root in sorted((samples.ROOT_KEY.id, other.id))]
    with pytest.raises(
        ConfigurationError, match="'harbour-police' means 2 requesters of different trust roots"
    ) as told:
        send_tip(home.device, home.keys, POLICE, "A white van.", clock=now)
    assert all(way in (told.value.remedy or "") for way in ways)
    with pytest.raises(ConfigurationError, match="accepts no tips") as told:
        send_tip(home.device, home.keys, f"{POLICE}@{'0' * 16}", "A white van.", clock=now)
    assert all(way in (told.value.remedy or "") for way in ways)
    assert signed_nothing(home)
    assert sorted(taker_names(tip_recipients(home.device, home.keys))) == ways
    send_tip(home.device, home.keys, f"{POLICE}@{other.id}", "A white van.", clock=now)
    assert (sent(home).trust_root, sent(home).requester) == (other.id, POLICE)


def test_files_that_do_not_open_are_named_and_the_rest_is_one_step_away(home: Home) -> None:
    accepts_tips(home)
    first, second, third = home.segments
    home.device.stored[first].sealed = hurt(home.device.stored[first].sealed)
    home.device.stored[third].poster = hurt(home.device.stored[third].poster)
    with pytest.raises(CannotTellError) as refused:
        send_tip(home.device, home.keys, POLICE, None, segments=[first, second], posters=[first, third], clock=now)
    assert f"Segment {first} cannot be shared: The bytes handed over" in refused.value.message
    assert f"The poster of segment {third} cannot be shared: The bytes handed over" in refused.value.message
    assert refused.value.remedy == "Send the tip without it."
    assert (refused.value.segments, refused.value.posters) == ((second,), (first,))
    assert signed_nothing(home)


def test_a_poster_that_was_never_recorded_is_named(home: Home) -> None:
    accepts_tips(home)
    poster = home.device.stored[home.segments[0]].poster
    home.device.stored[home.segments[1]].poster = poster
    with pytest.raises(CannotTellError, match="The device signed no poster for this segment"):
        send_tip(home.device, home.keys, POLICE, None, posters=[home.segments[1]], clock=now)
    assert signed_nothing(home)


@pytest.mark.parametrize("kind", ["segment", "poster"])
def test_the_key_of_another_file_does_not_leave_under_the_name_of_the_chosen_one(home: Home, kind: str) -> None:
    accepts_tips(home)
    shown, other = home.segments[0], home.device.stored[home.segments[2]]
    data = other.sealed if kind == "segment" else other.poster
    assert data is not None
    chosen = {f"{kind}s": [shown]}
    home.device.lies[kind] = lambda result, _: (result, data)
    with pytest.raises(CannotTellError, match="not the ones the device signed"):
        send_tip(home.device, home.keys, POLICE, None, **chosen, clock=now)  # type: ignore[arg-type]
    home.device.lies[kind] = lambda _, __: ({"record": other.signed.line.decode()}, data)
    with pytest.raises(CannotTellError, match="about something else"):
        send_tip(home.device, home.keys, POLICE, None, **chosen, clock=now)  # type: ignore[arg-type]
    assert signed_nothing(home)


@pytest.mark.parametrize("text", ["", "x" * 100_000])
def test_words_that_no_tip_may_hold_are_refused_before_anything_is_signed(home: Home, text: str) -> None:
    accepts_tips(home)
    with pytest.raises(ConfigurationError, match="text"):
        send_tip(home.device, home.keys, POLICE, text, clock=now)
    assert signed_nothing(home)


def test_a_tip_of_nothing_is_refused(home: Home) -> None:
    accepts_tips(home)
    with pytest.raises((ConfigurationError, FormatError)):
        send_tip(home.device, home.keys, POLICE, None, clock=now)
    assert signed_nothing(home)


def test_each_reason_why_a_file_cannot_go_with_a_tip_is_a_sentence_of_its_own() -> None:
    error = CannotTellError(["Segment a is damaged.", "Segment b is cut."], ("c",), ("d",))
    assert str(error) == "Segment a is damaged. Segment b is cut. Send the tip without it."
    assert (error.segments, error.posters) == (("c",), ("d",))


def test_a_requester_without_a_tips_key_is_refused_with_those_that_have_one(home: Home) -> None:
    def refusal() -> str:
        with pytest.raises(ConfigurationError) as refused:
            send_tip(home.device, home.keys, "harbour-fire", "A van.", clock=now)
        return str(refused.value)

    assert refusal() == "'harbour-fire' accepts no tips. These accept tips: none that you trust."
    accepts_tips(home)
    assert refusal() == "'harbour-fire' accepts no tips. These accept tips: harbour-police."
