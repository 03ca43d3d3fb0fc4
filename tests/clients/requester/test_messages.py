"""A requester's messages: checked before signing, stored whole or not at all, replaced by later ones."""

from __future__ import annotations

import math
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from agent.clients.requester import messages
from agent.clients.requester.identity import Requester, SentRequest
from agent.clients.requester.retained_slots import SlotKind, TopicSlots
from agent.errors import ConfigurationError, DoorwardError, RequestError, StorageError
from agent.platform import files
from agent.wire import envelope, strictjson
from agent.wire.area import MAX_VERTICES, Circle, Point, Polygon
from agent.wire.fields import Kind
from agent.wire.messages import (
    MAX_DESCRIPTION_CHARACTERS,
    MAX_TITLE_CHARACTERS,
    Bulletin,
    Deletion,
    FootageRequest,
    Withdrawal,
)
from agent.wire.topics import REQUEST_SLOTS, BulletinTopic, RequestTopic, cells_of, parse_topic
from tests.clients.requester.conftest import NOW_S, ROOT_ID, question
from tests.wire import samples


def test_a_request_says_what_was_asked_and_is_signed(requester: Requester) -> None:
    signed = messages.make_request(requester, question(), now_s=NOW_S)
    opened = envelope.open_envelope(signed.envelope, FootageRequest.PAYLOAD_TYPE, {requester.key.id: requester.key})
    request = strictjson.decode(opened.payload, FootageRequest)
    assert (request.id, request.requester, request.trust_root) == (signed.id, "rijnstad-police", ROOT_ID)
    assert (request.kind, request.seq, request.case) == (Kind.POLICE, 1, "2027-0114")
    assert (request.from_s, request.to_s) == (NOW_S - 7200, NOW_S - 3600)


def test_a_request_is_published_in_every_cell_its_area_touches(requester: Requester) -> None:
    area = Circle(lat=52.5, lon=5.0, radius_m=300)
    signed = messages.make_request(requester, question(area=area), now_s=NOW_S)
    assert len(signed.topics) == len(cells_of(area)) == 4
    assert all(parse_topic(topic).slot == 0 for topic in signed.topics)  # type: ignore[union-attr]


def test_every_request_has_its_own_reply_key_which_only_its_owner_can_read(requester: Requester) -> None:
    asked = [
        requester.sent_request(messages.make_request(requester, question(case=f"c{n}"), now_s=NOW_S).id)
        for n in range(3)
    ]
    assert len({each.request.reply for each in asked}) == 3
    for each in asked:
        assert str(each.reply_identity().recipient()) == each.request.reply
        folder = requester.folder / "requests" / each.request.id
        assert stat.S_IMODE((folder / "reply.identity").stat().st_mode) == 0o600
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_a_reply_key_that_others_may_read_is_not_used(requester: Requester, asked: SentRequest) -> None:
    (requester.folder / "requests" / asked.request.id / "reply.identity").chmod(0o640)
    with pytest.raises(ConfigurationError, match="chmod 600"):
        asked.reply_identity()


OVER: dict[str, tuple[dict[str, object], str]] = {
    "short": ({"from_s": NOW_S - 4000}, "at least 15 minutes"),
    "long": ({"from_s": NOW_S - 3600 - 12 * 3600 - 1}, "at most 12 hours"),
    "future": ({"to_s": NOW_S + 600}, "not about what will"),
    "old": ({"from_s": NOW_S - 46 * 86_400, "to_s": NOW_S - 46 * 86_400 + 3600}, "last 45 days"),
    "small": ({"area": Circle(lat=52.0, lon=4.0, radius_m=143)}, "larger"),
    "large": ({"area": Circle(lat=52.0, lon=4.0, radius_m=643)}, "smaller"),
    "expired": ({"not_after_s": NOW_S - 1}, "--days"),
    "lives long": ({"not_after_s": NOW_S + 31 * 86_400}, "within 30 days"),
}


@pytest.mark.parametrize("limit", OVER)
def test_an_honest_requester_learns_early_which_limit_a_request_is_over(limit: str, requester: Requester) -> None:
    changes, remedy = OVER[limit]
    with pytest.raises(RequestError, match=remedy):
        messages.make_request(requester, question(**changes), now_s=NOW_S)
    assert list(requester.request_ids()) == []
    assert requester.next_number() == 1, "a refused question uses up no number"


def test_a_third_request_for_one_case_in_one_area_is_refused(requester: Requester) -> None:
    for _ in range(2):
        messages.make_request(requester, question(), now_s=NOW_S)
    with pytest.raises(RequestError, match="Two requests are the most"):
        messages.make_request(requester, question(), now_s=NOW_S)
    messages.make_request(requester, question(case="2027-0115"), now_s=NOW_S)
    elsewhere = Circle(lat=1.0, lon=1.0, radius_m=300)
    messages.make_request(requester, question(area=elsewhere), now_s=NOW_S)  # it concerns none of the same doors


def test_a_test_may_sign_what_no_device_will_consider(requester: Requester) -> None:
    signed = messages.make_request(requester, question(from_s=NOW_S - 3660), now_s=NOW_S, checked=False)
    assert requester.sent_request(signed.id).request.window_s == 60


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"description": ""}, "description"),
        ({"description": "x" * 501}, "description"),
        ({"description": "see https://evil.example"}, "link"),
        ({"case": ""}, "case"),
        ({"from_s": NOW_S, "to_s": NOW_S - 1}, "ends before it begins"),
    ],
)
def test_what_no_request_may_say_is_refused_with_the_field(
    changes: dict[str, object], words: str, requester: Requester
) -> None:
    with pytest.raises(RequestError, match=words):
        messages.make_request(requester, question(**changes), now_s=NOW_S)


def test_harmless_blemishes_of_a_text_are_repaired(requester: Requester) -> None:
    signed = messages.make_request(requester, question(description="  A  burglary\n in the cafe\u0301 "), now_s=NOW_S)
    assert requester.sent_request(signed.id).request.description == "A burglary in the café"


def test_without_a_trust_root_a_request_says_where_to_get_one(tmp_path: Path) -> None:
    requester = Requester.create(tmp_path / "r", "fire-brigade", Kind.FIRE)
    with pytest.raises(ConfigurationError, match="--trust-root"):
        messages.make_request(requester, question(), now_s=NOW_S)
    signed = messages.make_request(requester, question(), now_s=NOW_S, trust_root=ROOT_ID)
    assert requester.sent_request(signed.id).request.trust_root == ROOT_ID


@pytest.mark.parametrize("step", ["reply.identity", "request.dsse", "rename"])
def test_a_crash_while_a_request_is_stored_leaves_the_whole_of_it_or_nothing(
    step: str, requester: Requester, monkeypatch: pytest.MonkeyPatch
) -> None:
    write: Callable[..., None] = files.write

    def dies(path: Path, data: bytes, *, secret: bool = False) -> None:
        if path.name == step:
            raise KeyboardInterrupt
        write(path, data, secret=secret)

    def dies_at_rename(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(files, "write", dies)
    if step == "rename":
        monkeypatch.setattr("pathlib.Path.rename", dies_at_rename)
    with pytest.raises(KeyboardInterrupt):
        messages.make_request(requester, question(), now_s=NOW_S)
    monkeypatch.undo()
    assert list(requester.request_ids()) == []
    assert requester.sent_request(messages.make_request(requester, question(), now_s=NOW_S).id).request.seq == 2


def test_a_withdrawal_goes_where_the_request_stands_with_a_newer_number(
    requester: Requester, asked: SentRequest
) -> None:
    signed = messages.make_withdrawal(requester, asked.request.id, "Solved.")
    opened = envelope.open_envelope(signed.envelope, Withdrawal.PAYLOAD_TYPE, {requester.key.id: requester.key})
    withdrawal = strictjson.decode(opened.payload, Withdrawal)
    assert (withdrawal.request, withdrawal.reason) == (asked.request.id, "Solved.")
    assert withdrawal.language == asked.request.language
    assert withdrawal.seq > asked.request.seq
    assert signed.topics == messages.signed(requester, asked.request.id).topics
    assert requester.sent_request(asked.request.id).withdrawn


@pytest.mark.parametrize(("reason", "language"), [(None, None), ("Opgelost.", "nl")])
def test_a_withdrawal_names_the_language_of_its_reason(
    requester: Requester, asked: SentRequest, reason: str | None, language: str | None
) -> None:
    signed = messages.make_withdrawal(requester, asked.request.id, reason, "nl")
    withdrawal = strictjson.decode(envelope.read_unverified(signed.envelope).payload, Withdrawal)
    assert (withdrawal.reason, withdrawal.language) == (reason, language)


def test_a_deletion_says_when_and_ends_every_wish_for_an_answer(requester: Requester, asked: SentRequest) -> None:
    signed = messages.make_deletion(requester, asked.request.id, NOW_S + 5)
    opened = envelope.open_envelope(signed.envelope, Deletion.PAYLOAD_TYPE, {requester.key.id: requester.key})
    deletion = strictjson.decode(opened.payload, Deletion)
    assert (deletion.request, deletion.deleted_s) == (asked.request.id, NOW_S + 5)
    assert deletion.seq > asked.request.seq
    assert requester.sent_request(asked.request.id).withdrawn
    assert signed.not_after_s == NOW_S + 5 + 30 * 86_400


def test_with_a_deletion_goes_the_key_to_every_answer(requester: Requester, asked: SentRequest) -> None:
    """Otherwise an attacker with a copy of the upload who later takes this folder could open it."""
    other = requester.sent_request(messages.make_request(requester, question(case="2027-0115"), now_s=NOW_S).id)
    secret = asked.reply_identity().secret_text().encode()
    messages.make_deletion(requester, asked.request.id, NOW_S)
    assert not [path for path in requester.folder.rglob("*") if path.is_file() and secret in path.read_bytes()]
    with pytest.raises(ConfigurationError, match="was deleted with everything received"):
        requester.sent_request(asked.request.id).reply_identity()
    assert other.reply_identity()
    messages.make_deletion(requester, asked.request.id, NOW_S + 1)


def test_a_bulletin_is_clean_text_for_a_topic_of_its_own(requester: Requester) -> None:
    signed = messages.make_bulletin(
        requester,
        "  Flood   warning ",
        "Stay off the quay.",
        language="en",
        not_after_s=NOW_S + 60,
        cells=("287-379", "287-380"),
    )
    bulletin = strictjson.decode(envelope.read_unverified(signed.envelope).payload, Bulletin)
    assert bulletin.language == "en"
    assert (bulletin.title, bulletin.id, bulletin.not_after_s) == ("Flood warning", signed.id, NOW_S + 60)
    assert signed.topics == tuple(f"doorward/v1/areas/287-{c}/bulletins/{requester.id}/0" for c in (379, 380))
    with pytest.raises(RequestError, match="link"):
        messages.make_bulletin(
            requester, "Look", "at www.evil.example", language="en", not_after_s=NOW_S + 60, cells=("287-379",)
        )
    with pytest.raises(RequestError, match="narrower than 120 m everywhere"):
        messages.make_bulletin(
            requester,
            "Flood",
            "On the quay.",
            language="en",
            not_after_s=NOW_S + 60,
            area=samples.NARROW["strip of 119 m"],
        )
    (requester.folder / "bulletins" / signed.id / "bulletin.dsse").write_bytes(b"{}")
    with pytest.raises(DoorwardError):
        messages.signed(requester, signed.id)


def test_a_bulletin_for_nowhere_is_refused_and_one_with_an_area_goes_to_its_cells(requester: Requester) -> None:
    with pytest.raises(RequestError, match="needs a place"):
        messages.make_bulletin(requester, "Flood", "Stay in.", language="en", not_after_s=NOW_S + 60)
    area = Circle(lat=53.5, lon=10.0, radius_m=300)
    signed = messages.make_bulletin(requester, "Flood", "Stay in.", language="en", not_after_s=NOW_S + 60, area=area)
    assert len(signed.topics) == len(cells_of(area)) == 4


# -- slots -------------------------------------------------------------------------------------------------------------


def slots_of(signed: messages.SignedMessage) -> list[int]:
    return [parse_topic(topic).slot for topic in signed.topics]  # type: ignore[union-attr]


def test_every_open_request_has_a_slot_of_its_own_and_what_is_said_later_takes_its_place(requester: Requester) -> None:
    made = [messages.make_request(requester, question(case=f"c{n}"), now_s=NOW_S) for n in range(3)]
    assert [slots_of(each) for each in made] == [[0], [1], [2]]
    assert messages.make_withdrawal(requester, made[1].id).topics == made[1].topics
    assert messages.make_deletion(requester, made[0].id, NOW_S).topics == made[0].topics


def test_when_all_slots_are_taken_the_one_that_ends_first_makes_room(requester: Requester) -> None:
    slots, cell = TopicSlots(requester.notes), "287-379"
    ids = [f"{number:032x}" for number in range(REQUEST_SLOTS + 2)]
    for number, name in enumerate(ids[:REQUEST_SLOTS]):
        assert slots.take(SlotKind.REQUESTS, cell, name, 1000 + number) == number
    assert slots.take(SlotKind.REQUESTS, cell, ids[REQUEST_SLOTS], 5000) == 0
    assert slots.held(SlotKind.REQUESTS, cell, ids[0]) is None
    assert slots.take(SlotKind.REQUESTS, cell, ids[1], 9000) == 1  # it has one, and keeps it for longer
    assert slots.take(SlotKind.REQUESTS, cell, ids[REQUEST_SLOTS + 1], 5000) == 2
    assert slots.take(SlotKind.REQUESTS, "287-380", ids[0], 5000) == 0
    assert slots.take(SlotKind.BULLETINS, cell, ids[0], 5000) == 0


def test_what_has_lost_its_slot_is_not_published_in_anothers_place_and_gets_one_to_say_more(
    requester: Requester,
) -> None:
    first = messages.make_request(requester, question(), now_s=NOW_S)
    cell = first.topics[0].split("/")[3]
    for number in range(REQUEST_SLOTS):
        TopicSlots(requester.notes).take(SlotKind.REQUESTS, cell, f"{number:032x}", first.not_after_s + 1 + number)
    assert messages.signed(requester, first.id).topics == ()
    assert messages.make_withdrawal(requester, first.id).topics != ()


def test_a_damaged_list_of_slots_is_named(requester: Requester) -> None:
    signed = messages.make_request(requester, question(), now_s=NOW_S)
    for damage in ("64 " + "0" * 32 + " 5\n", "nonsense\n"):
        (requester.folder / "slots" / f"requests.{signed.topics[0].split('/')[3]}").write_text(damage)
        with pytest.raises(ConfigurationError, match="damaged"):
            messages.signed(requester, signed.id)


def test_a_withdrawal_with_a_reason_that_cannot_travel_signs_nothing(requester: Requester, asked: SentRequest) -> None:
    folder = requester.folder / "requests" / asked.request.id
    before = sorted(each.name for each in folder.iterdir())
    with pytest.raises(RequestError, match="reason"):
        messages.make_withdrawal(requester, asked.request.id, "x" * 100_000)
    assert sorted(each.name for each in folder.iterdir()) == before
    assert not requester.sent_request(asked.request.id).withdrawn


# -- whole messages, whole errors, and what is stored ------------------------------------------------------------------


def opened(requester: Requester, signed: messages.SignedMessage, kind: Any) -> Any:
    data = envelope.open_envelope(signed.envelope, kind.PAYLOAD_TYPE, {requester.key.id: requester.key})
    return strictjson.decode(data.payload, kind)


def error_of(act: Callable[[], object], kind: type[DoorwardError] = RequestError) -> tuple[str, str]:
    with pytest.raises(kind) as raised:
        act()
    return raised.value.message, raised.value.remedy


def files_of(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_a_signed_request_is_stored_with_its_key_and_told_whole(requester: Requester) -> None:
    signed = messages.make_request(requester, question(), now_s=NOW_S)
    folder = requester.folder / "requests" / signed.id
    request = opened(requester, signed, FootageRequest)
    identity = requester.reply_identity(signed.id)
    assert identity is not None
    assert files_of(folder) == {
        "request.dsse": signed.envelope,
        "reply.identity": (f"# opens the answers to footage request {signed.id}\n{identity.secret_text()}\n".encode()),
    }
    assert request == question().request(
        requester=requester.id, kind=Kind.POLICE, trust_root=ROOT_ID, id=signed.id, reply=str(identity.recipient())
    )
    assert signed == messages.SignedMessage(
        signed.id,
        signed.envelope,
        tuple(str(RequestTopic(cell, requester.id, 0)) for cell in cells_of(request.area)),
        request.not_after_s,
        f"requests/{signed.id}/request.published",
        requester.notes,
    )
    assert signed.kind == "request"
    assert requester.register.unsent() == [signed.id]
    signed.mark_published()
    assert (folder / "request.published").read_bytes() == b""


def test_a_request_takes_its_slots_until_it_ends(requester: Requester) -> None:
    signed = messages.make_request(requester, question(), now_s=NOW_S)
    request = requester.sent_request(signed.id).request
    assert list(TopicSlots(requester.notes).all()) == [
        (SlotKind.REQUESTS, cell, 0, signed.id, request.not_after_s) for cell in cells_of(request.area)
    ]


def test_a_withdrawal_is_whole_replaces_the_request_and_is_unsent(requester: Requester, asked: SentRequest) -> None:
    request = asked.request
    messages.signed(requester, request.id).mark_published()
    requester.register.sent(request.id)
    signed = messages.make_withdrawal(requester, request.id, "  Solved   now. ")
    assert opened(requester, signed, Withdrawal) == Withdrawal(
        v=1,
        request=request.id,
        requester=requester.id,
        trust_root=ROOT_ID,
        seq=request.seq + 1,
        reason="Solved now.",
        language="en",
    )
    assert signed == messages.SignedMessage(
        request.id,
        signed.envelope,
        tuple(str(RequestTopic(cell, requester.id, 0)) for cell in cells_of(request.area)),
        request.not_after_s,
        f"requests/{request.id}/withdrawal.published",
        requester.notes,
    )
    assert signed.kind == "withdrawal"
    assert (requester.folder / "requests" / request.id / "withdrawal.dsse").read_bytes() == signed.envelope
    assert requester.register.unsent() == [request.id]
    for reason in (None, ""):
        bare = opened(requester, messages.make_withdrawal(requester, request.id, reason, "nl"), Withdrawal)
        assert (bare.reason, bare.language) == (None, None)


def test_a_deletion_is_whole_and_takes_its_slots_for_thirty_days(requester: Requester, asked: SentRequest) -> None:
    request, late_s = asked.request, asked.request.not_after_s + 5
    signed = messages.make_deletion(requester, request.id, late_s)
    assert opened(requester, signed, Deletion) == Deletion(
        v=1,
        request=request.id,
        requester=requester.id,
        trust_root=ROOT_ID,
        seq=request.seq + 1,
        deleted_s=late_s,
    )
    until_s = late_s + 30 * 86_400
    assert (signed.kind, signed.not_after_s) == ("deletion", until_s)
    assert signed.published == f"requests/{request.id}/deletion.published"
    assert {row[4] for row in TopicSlots(requester.notes).all()} == {until_s}
    early = requester.sent_request(
        messages.make_request(requester, question(case="2", not_after_s=NOW_S + 29 * 86_400), now_s=NOW_S).id
    ).request
    messages.make_deletion(requester, early.id, NOW_S - 10 * 86_400)
    ends = {row[4] for row in TopicSlots(requester.notes).all() if row[3] == early.id}
    assert ends == {early.not_after_s}, "the later end counts"


def test_a_deletion_counts_before_a_withdrawal_and_a_later_one_is_sent_again(
    requester: Requester, asked: SentRequest
) -> None:
    messages.make_withdrawal(requester, asked.request.id)
    first = messages.make_deletion(requester, asked.request.id, NOW_S)
    assert messages.signed(requester, asked.request.id) == first
    first.mark_published()
    requester.register.sent(asked.request.id)
    again = messages.make_deletion(requester, asked.request.id, NOW_S + 1)
    assert messages.signed(requester, asked.request.id) == again
    assert not requester.notes.is_there(again.published)
    assert requester.register.unsent() == [asked.request.id]


def test_a_bulletin_is_whole_stored_and_takes_its_slots(requester: Requester) -> None:
    cells = ("287-379", "287-380")
    signed = messages.make_bulletin(
        requester, " Flood  warning ", " Stay  in. ", language="nl", not_after_s=NOW_S + 60, cells=cells
    )
    assert opened(requester, signed, Bulletin) == Bulletin(
        v=1,
        id=signed.id,
        requester=requester.id,
        trust_root=ROOT_ID,
        seq=1,
        title="Flood warning",
        description="Stay in.",
        language="nl",
        not_after_s=NOW_S + 60,
        area=None,
    )
    assert files_of(requester.folder / "bulletins" / signed.id) == {
        "bulletin.dsse": signed.envelope,
        "cells": b"287-379\n287-380",
    }
    assert signed == messages.SignedMessage(
        signed.id,
        signed.envelope,
        tuple(str(BulletinTopic(cell, requester.id, 0)) for cell in cells),
        NOW_S + 60,
        f"bulletins/{signed.id}/bulletin.published",
        requester.notes,
    )
    assert signed.kind == "bulletin"
    assert list(TopicSlots(requester.notes).all()) == [
        (SlotKind.BULLETINS, cell, 0, signed.id, NOW_S + 60) for cell in cells
    ]
    assert requester.register.unsent() == [signed.id]
    assert messages.is_stored(requester, signed.id)
    area = Circle(lat=53.5, lon=10.0, radius_m=300)
    made = messages.make_bulletin(
        requester, "Flood", "Stay in.", language="en", not_after_s=NOW_S + 60, area=area, trust_root="0f" * 8
    )
    bulletin = opened(requester, made, Bulletin)
    assert (bulletin.area, bulletin.trust_root, bulletin.seq) == (area, "0f" * 8, 2)


def test_a_bulletin_that_cannot_be_made_says_why_and_stores_nothing(requester: Requester) -> None:
    def made(title: str = "Flood", **place: Any) -> Callable[[], object]:
        return lambda: messages.make_bulletin(
            requester, title, "Stay in.", language="en", not_after_s=NOW_S + 60, **place
        )

    assert error_of(made()) == ("A bulletin needs a place.", "Give an area or cells.")
    assert error_of(made(area=samples.NARROW["strip of 119 m"])) == (
        "No door would list this bulletin: its area is narrower than 120 m everywhere.",
        "Draw it wider, or name cells instead.",
    )
    said, _ = error_of(made("www.flood.example", cells=("287-379",)))
    assert said.startswith("title")
    assert requester.notes.names("bulletins") == []
    assert requester.register.unsent() == []


@pytest.mark.parametrize("damage", ["bulletin.dsse", "cells"])
def test_a_bulletin_that_is_missing_or_damaged_is_named(requester: Requester, damage: str) -> None:
    signed = messages.make_bulletin(
        requester, "Flood", "Stay in.", language="en", not_after_s=NOW_S + 60, cells=("287-379",)
    )
    path = requester.folder / "bulletins" / signed.id / damage
    if damage == "cells":
        path.unlink()
        assert error_of(lambda: messages.signed(requester, signed.id), StorageError) == (
            f"{path} is missing.",
            "Restore it from a backup.",
        )
        return
    path.write_bytes(b"{}")
    said, remedy = error_of(lambda: messages.signed(requester, signed.id), ConfigurationError)
    assert said.startswith(f"{path}: ")
    assert remedy == "Restore it from a backup."
    path.unlink()
    assert not messages.is_stored(requester, signed.id)


def test_the_longest_bulletin_fits_into_the_envelope_that_a_door_reads(requester: Requester) -> None:
    turns = [2 * math.pi * number / MAX_VERTICES for number in range(MAX_VERTICES)]
    area = Polygon(
        vertices=tuple(
            Point(lat=round(-52.37 + 0.003 * math.sin(turn), 7), lon=round(-104.89 + 0.005 * math.cos(turn), 7))
            for turn in turns
        )
    )
    signed = messages.make_bulletin(
        requester,
        "\U00010330" * MAX_TITLE_CHARACTERS,
        "\U00010330" * MAX_DESCRIPTION_CHARACTERS,
        language="zh-Hant-TW",
        not_after_s=NOW_S + 60,
        area=area,
    )
    assert opened(requester, signed, Bulletin).area == area


def test_a_damaged_list_of_cells_names_no_cell_that_is_none(requester: Requester) -> None:
    signed = messages.make_bulletin(
        requester, "Flood", "Stay in.", language="en", not_after_s=NOW_S + 60, cells=("287-379", "287-380")
    )
    (requester.folder / "bulletins" / signed.id / "cells").write_bytes(b"287-379\n\xff")
    assert messages.signed(requester, signed.id).topics == signed.topics[:1]


def test_only_messages_that_are_there_are_stored(requester: Requester, asked: SentRequest) -> None:
    assert messages.is_stored(requester, asked.request.id)
    assert not messages.is_stored(requester, "0d" * 16)
    assert not messages.is_stored(requester, "../" + asked.request.id)
    assert messages.mark_published(requester, asked.request.id) == f"requests/{asked.request.id}/request.published"


@pytest.mark.parametrize("what", ["request", "withdrawal", "bulletin"])
def test_a_message_that_an_index_made_again_has_missed_is_listed_as_unsent(
    requester: Requester, asked: SentRequest, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    """Another process makes the index again from the folder, just before the message is there."""
    requester.register.sent(asked.request.id)
    index, writes = requester.register._index, []
    whole = index.write

    def forgets_first(change: Any) -> None:
        writes.append(change)
        if len(writes) > 1:
            whole(change)

    monkeypatch.setattr(index, "write", forgets_first)
    match what:
        case "request":
            made = messages.make_request(requester, question(case="2"), now_s=NOW_S)
        case "withdrawal":
            made = messages.make_withdrawal(requester, asked.request.id)
        case _:
            made = messages.make_bulletin(
                requester, "Flood", "Stay in.", language="en", not_after_s=NOW_S + 60, cells=("287-379",)
            )
    assert requester.register.unsent() == [made.id]
    assert len(writes) == 2


def test_a_message_that_is_listed_is_not_listed_twice(requester: Requester, monkeypatch: pytest.MonkeyPatch) -> None:
    index, writes = requester.register._index, []
    whole = index.write

    def counted(change: Any) -> None:
        writes.append(change)
        whole(change)

    monkeypatch.setattr(index, "write", counted)
    messages.make_request(requester, question(), now_s=NOW_S)
    assert len(writes) == 1


def test_a_root_that_is_missing_or_given_is_the_one_of_the_message(tmp_path: Path) -> None:
    requester = Requester.create(tmp_path / "r", "fire-brigade", Kind.FIRE)
    assert error_of(lambda: messages.make_request(requester, question(), now_s=NOW_S), ConfigurationError) == (
        "A request must name the root that vouches for its requester.",
        "Give the root's key id with --trust-root. 'keygen --root' prints it.",
    )
    other = "ab" * 8
    requester = Requester.create(tmp_path / "s", "fire-brigade", Kind.FIRE, ROOT_ID)
    signed = messages.make_request(requester, question(), now_s=NOW_S, trust_root=other)
    assert requester.sent_request(signed.id).request.trust_root == other, "before the one of the profile"
