"""Data that is sealed, signed and approved but is no footage: the error names it, it fails alone, and the receipt
leaves it out."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from agent.clients.requester.identity import Requester, SentRequest
from agent.clients.requester.incoming_tips import open_tip
from agent.clients.requester.opened_disclosure import open_disclosure
from agent.clients.requester.verification import CheckKind
from agent.core.media import Gop
from agent.core.vault.manifest import PAYLOAD_TYPE
from agent.errors import FormatError
from agent.wire import strictjson
from agent.wire.disclosures import PartKind, PartRange, ReceiptState
from agent.wire.envelope import pae
from agent.wire.statements import ClipClaim
from tests.cli.conftest import tool as tool
from tests.clients.requester.conftest import DESCRIPTION, NOW_S, filmed
from tests.clients.requester.doors import Door, TestClock
from tests.clients.requester.house import Changes, House, Stored
from tests.clients.requester.test_incoming_tips import TIP, laid, one_of, shown, words
from tests.clients.requester.test_receiving_service import Desk, broker, clock, desk, play
from tests.clients.requester.test_verification import verified
from tests.fake_bus import FakeBroker
from tests.hostile import HOSTILE_FILMS, HOSTILE_SOUNDS, HOSTILE_STILLS, flipped, picture_bomb
from tests.lengths import one_in
from tests.sounds import track

__all__ = ["broker", "clock", "desk", "tool"]

FITTING = sorted(set(HOSTILE_FILMS) - {"a playlist", "a picture"})
"""Made of boxes, so that the context behind them can be read: the others fail before, as no segment at all."""


def second(change: Callable[[bytes], bytes]) -> Callable[[bytes], bytes]:
    """`change`, of the second film that is recorded."""
    seen: list[bytes] = []

    def changed(film: bytes) -> bytes:
        seen.append(film)
        return change(film) if len(seen) == 2 else film

    return changed


def boxed_bomb(_film: bytes) -> bytes:
    png = picture_bomb()
    return (8 + len(png)).to_bytes(4, "big") + b"mdat" + png


def films(house: House) -> list[Stored]:
    return [each for each in house.stored if each.kind is PartKind.SEGMENT]


@pytest.mark.parametrize("name", one_in(3, FITTING))
def test_one_bad_film_among_good_ones_is_received_and_not_acknowledged_as_opened(
    desk: Desk,
    broker: FakeBroker,
    requester: Requester,
    asked: SentRequest,
    gops: list[Gop],
    clock: TestClock,
    name: str,
) -> None:
    house = filmed(gops, Changes(media=second(HOSTILE_FILMS[name])))
    bad = films(house)[1]
    door = Door(broker, requester, house.disclose(asked), clock)
    play(clock, desk, door)
    last = door.receipts[-1]
    number = house.stored.index(bad) + 1
    assert (last.state, last.unopened) == (ReceiptState.COMPLETE, (PartRange(first=number, last=number),))
    made = open_disclosure(requester, door.disclosure.id, now_s=NOW_S)
    assert made.verification.ok
    assert [each.number for each in made.verification.unopened] == [number]
    assert len(made.mp4s) == 2
    assert made.merged is not None
    assert f"part {number}, segment of" in made.report.read_text()
    unopened = json.loads((made.bundle / "bundle.json").read_text())["unopened"]
    (why,) = (each.unopened for each in made.verification.unopened)
    assert why
    assert unopened == [{"id": bad.id, "kind": "segment", "part": number, "why": why}]
    assert not [path for path in made.folder.rglob("*.mp4") if path.read_bytes() == bad.content]
    assert (made.bundle / "parts" / f"{number}.age").is_file()


def test_a_receipt_says_again_after_a_restart_what_did_not_open(
    desk: Desk, broker: FakeBroker, requester: Requester, asked: SentRequest, gops: list[Gop], clock: TestClock
) -> None:
    house = filmed(gops, Changes(media=second(flipped)))
    disclosure = house.disclose(asked)
    door = Door(broker, requester, disclosure, clock)
    play(clock, desk, door)
    desk.crash()
    desk.begin()
    again = Door(broker, requester, disclosure, clock)
    again.newest = door.newest
    play(clock, desk, again)
    assert again.receipts[-1].unopened == door.receipts[-1].unopened != ()


@pytest.mark.parametrize("name", ["a playlist", "a picture"])
def test_a_film_that_is_not_even_made_of_boxes_is_refused(
    requester: Requester, asked: SentRequest, gops: list[Gop], name: str
) -> None:
    verification = verified(requester, asked, filmed(gops, Changes(media=HOSTILE_FILMS[name])).disclose(asked))
    failed = verification.failed
    assert failed is not None
    assert failed.kind is CheckKind.FOOTAGE


def test_a_disclosure_of_which_nothing_opens_is_refused(
    desk: Desk, broker: FakeBroker, requester: Requester, asked: SentRequest, gops: list[Gop], clock: TestClock
) -> None:
    house = filmed(gops, Changes(media=flipped))
    door = Door(broker, requester, house.disclose(asked, films(house)), clock)
    play(clock, desk, door)
    assert door.receipts[-1].state is ReceiptState.REFUSED
    outcome = desk.news[-1]
    assert "No file opens" in outcome.detail


@pytest.mark.parametrize("name", sorted(set(HOSTILE_SOUNDS) - {"a playlist", "nothing"}))
def test_sound_that_is_no_sound_costs_the_sound_alone(
    requester: Requester, asked: SentRequest, gops: list[Gop], name: str
) -> None:
    house = House((NOW_S - 6000) * 1000)
    first = films_of(gops)
    event = house.record(DESCRIPTION, gops[:3], sound=HOSTILE_SOUNDS[name](first))[0].record.record.event  # type: ignore[union-attr]
    house.record(DESCRIPTION, gops[3:6], event=event, poster=False, sound=track(3))
    verification = verified(requester, asked, house.disclose(asked))
    assert verification.ok
    (lost,) = verification.unopened
    assert (lost.item.part.kind, len(verification.sounds)) == (PartKind.SOUND, 1)
    made = open_disclosure(requester, verification.disclosure, now_s=NOW_S)
    (clip,) = made.clips
    assert [path is not None for path in clip.sounds] == [False, True]
    assert clip.mp4 is not None


def films_of(gops: list[Gop]) -> bytes:
    return films(filmed(gops))[0].content


@pytest.mark.parametrize("name", HOSTILE_STILLS)
def test_a_still_that_is_no_picture_costs_the_still_alone(
    requester: Requester, asked: SentRequest, gops: list[Gop], name: str
) -> None:
    verification = verified(
        requester, asked, filmed(gops, Changes(image=lambda _image: HOSTILE_STILLS[name])).disclose(asked)
    )
    assert verification.ok
    assert {each.item.part.kind for each in verification.unopened} == {PartKind.POSTER}
    made = open_disclosure(requester, verification.disclosure, now_s=NOW_S)
    assert all(clip.picture is not None for clip in made.clips), "a frame of the film stands for it"


def test_a_picture_of_twelve_thousand_pixels_square_is_no_segment(
    requester: Requester, asked: SentRequest, gops: list[Gop]
) -> None:
    verification = verified(requester, asked, filmed(gops, Changes(media=second(boxed_bomb))).disclose(asked))
    assert verification.ok
    assert len(verification.unopened) == 1


def test_a_clip_said_to_last_until_the_end_of_time_is_told_without_an_error(
    requester: Requester, asked: SentRequest, gops: list[Gop], tool: Callable[..., Any]
) -> None:
    house = filmed(gops)
    start_ms = films(house)[0].record.record.span.start_ms  # type: ignore[union-attr]
    told = ClipClaim(from_ms=start_ms - 1, to_ms=2**53 - 1, segments=3)
    verification = verified(requester, asked, house.disclose(asked, films(house), told=(told,)))
    assert verification.ok, verification.failed
    done = tool("requester", "open", "--folder", requester.folder)
    assert done.status == 0, done.err
    assert "bug" not in done.err


def at_2_to_the_53(house: House) -> House:
    """Every record dated so, under the device's own signature; ours would not write it."""
    lines = {}
    for each in house.stored:
        outer = json.loads(each.record.line)
        payload = re.sub(rb'"utc_ms":\d+', b'"utc_ms":9007199254740991', strictjson.decode_base64(outer["payload"]))
        signed = {
            "payload": strictjson.encode_base64(payload),
            "sig": strictjson.encode_base64(house.device.sign(pae(PAYLOAD_TYPE, payload))),
        }
        lines[each.record.line] = json.dumps(signed, separators=(",", ":")).encode()
    for each in house.stored:
        each.record = dataclasses.replace(each.record, line=lines[each.record.line])
    return house


def test_a_time_that_no_clock_can_say_is_refused_in_words(
    requester: Requester, asked: SentRequest, gops: list[Gop]
) -> None:
    house = at_2_to_the_53(filmed(gops))
    failed = verified(requester, asked, house.disclose(asked)).failed
    assert failed is not None
    assert failed.kind is CheckKind.RECORDS


def test_one_tip_of_an_impossible_date_does_not_keep_the_others_from_being_read(
    requester: Requester, gops: list[Gop], tool: Callable[..., Any]
) -> None:
    impossible = at_2_to_the_53(filmed(gops))
    laid(requester, *shown(requester, impossible, one_of(impossible, PartKind.SEGMENT)))
    other = "8" * 32
    laid(requester, msgspec.structs.replace(words(requester), tip=other), named=other)
    done = tool("requester", "tips", "--folder", requester.folder)
    assert done.status == 1
    assert f"{other}  A white van." in done.out
    assert f"{TIP}  cannot be read:" in done.out
    done = tool("requester", "tips", "--folder", requester.folder, "--json")
    found = json.loads(done.out)
    assert ([each["tip"] for each in found["tips"]], [each["tip"] for each in found["unread"]]) == ([other], [TIP])


def test_of_a_tip_what_opens_is_written_and_what_does_not_is_named(
    requester: Requester, gops: list[Gop], tool: Callable[..., Any], tmp_path: Path
) -> None:
    house = filmed(gops, Changes(media=second(flipped)))
    laid(requester, *shown(requester, house, *films(house)[:2]))
    done = tool("requester", "tips", "--folder", requester.folder, "--out", tmp_path / "seen")
    assert done.status == 0
    assert done.out.count("cannot be opened") == 1
    assert [path.name for path in (tmp_path / "seen" / TIP).iterdir()] == ["segment-001.mp4"]


def test_a_tip_of_which_nothing_opens_is_refused(requester: Requester, gops: list[Gop]) -> None:
    house = filmed(gops, Changes(media=flipped))
    folder = laid(requester, *shown(requester, house, one_of(house, PartKind.SEGMENT)))
    assert folder.state is ReceiptState.COMPLETE
    with pytest.raises(FormatError, match="No file of this tip opens"):
        open_tip(requester, TIP)


def test_a_tip_of_which_more_is_lost_than_a_receipt_can_list_is_refused(
    requester: Requester, gops: list[Gop], monkeypatch: pytest.MonkeyPatch
) -> None:
    house = filmed(gops, Changes(media=second(flipped)))
    laid(requester, *shown(requester, house, *films(house)[:2]))
    monkeypatch.setattr("agent.clients.requester.incoming_tips.MOST_UNOPENED_RANGES", 1)
    assert sum(bool(each.unopened) for each in open_tip(requester, TIP).files) == 1
    monkeypatch.setattr("agent.clients.requester.incoming_tips.MOST_UNOPENED_RANGES", 0)
    with pytest.raises(FormatError, match="1 of 2 files of this tip do not open"):
        open_tip(requester, TIP)
