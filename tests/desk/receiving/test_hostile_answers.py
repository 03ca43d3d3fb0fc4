"""A hostile answer is quarantined with its reason and shown as that, while the answer of another door goes on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from django.db import OperationalError

from agent.clients.opening import HybridIdentity
from agent.clients.requester import incoming, verification
from agent.clients.requester.identity import SentRequest
from agent.clients.requester.news import ReceiverEvent, ReceiverEventKind
from agent.clients.requester.receiving_service import DisclosureReceiver
from agent.core.media import Gop
from agent.wire.topics import UploadTopic, UploadVerb
from desk.cases.models import Answer, Clip
from desk.custody.models import Entry
from desk.people.organisations import requester_of
from desk.people.roles import Role
from desk.receiving import answer_rows
from desk.receiving.answer_rows import AnswerRecorder
from desk.receiving.models import Notice
from desk.receiving.reconcile import reconcile
from tests.clients.requester.conftest import filmed
from tests.clients.requester.doors import Door, TestClock
from tests.clients.requester.house import Changes, Disclosure, House
from tests.clients.requester.test_hostile_answers import DEVICE, unopenable
from tests.clients.requester.test_hostile_media import boxed_bomb, second
from tests.clients.requester.test_verification import STRANGER
from tests.desk.agencies import Agency
from tests.desk.receiving.doors import ask, deliver
from tests.desk.receiving.test_reconcile import LIMITS
from tests.fake_bus import FakeBroker, FakeBus
from tests.hostile import HOSTILE_FILMS

LIES: dict[str, Callable[[], Changes]] = {
    "records that another key signed": lambda: Changes(record_key=STRANGER),
    "an approval by a stranger": lambda: Changes(approval_key=STRANGER),
    "a film that is no film": lambda: Changes(media=lambda media: b"<script>alert(1)</script>" + media[25:]),
    "a manifest for another request": lambda: Changes(
        manifest=lambda manifest: msgspec.structs.replace(manifest, request="0" * 64)
    ),
}


def receive_all(agency: Agency, doors: Callable[[FakeBroker, TestClock], list[Door]]) -> None:
    """Lets the doors send until each has its last receipt, for a quarter of an hour at most."""
    requester = requester_of(agency.organisation)
    broker, clock = FakeBroker(), TestClock()
    sending = doors(broker, clock)
    bus = FakeBus(broker, requester.id)
    bus.start()
    recorder = AnswerRecorder(agency.organisation, requester)
    receiver = DisclosureReceiver(requester, bus, clock, LIMITS, tell=recorder.record)
    receiver.start()
    for _ in range(20_000):  # a liar asks on for ever
        if not any([receiver.step(0) is not None, *(door.step() for door in sending)]):
            clock.boot_ns += 10**9
        if all(door.finished for door in sending) or clock.boot_ns > 19 * 10**11:
            break
    bus.stop()


@pytest.mark.parametrize("lie", LIES)
def test_a_lie_is_quarantined_and_the_other_door_goes_on(agency: Agency, gops: list[Gop], lie: str) -> None:
    requester, asked = ask(agency)
    liar, honest = filmed(gops, LIES[lie](), name="liar"), filmed(gops, name="honest")
    receive_all(
        agency,
        lambda broker, clock: [Door(broker, requester, house.disclose(asked), clock) for house in (liar, honest)],
    )
    answers = {answer.device: answer for answer in Answer.objects.all()}
    assert answers[honest.device_id].state == "complete"
    bad = answers[liar.device_id]
    assert (bad.state, bool(bad.reason)) == ("quarantined", True)
    assert not Clip.objects.filter(answer=bad).exists()
    assert Entry.objects.filter(action="answer.quarantined").count() == 1
    text = page_of(agency, bad)
    assert "This answer failed a check and is not shown:" in text
    opened = agency.client(Role.VIEWER).post(f"/cases/{bad.case_id}/answers/{bad.pk}/clips/1")
    assert opened.status_code == 404


def page_of(agency: Agency, answer: Answer) -> str:
    return agency.client(Role.VIEWER).get(f"/cases/{answer.case_id}").content.decode()


@pytest.mark.parametrize(
    "change", [HOSTILE_FILMS["flipped headers"], boxed_bomb], ids=["flipped headers", "a picture of 144 megapixels"]
)
def test_one_film_that_is_no_film_is_named_and_the_other_films_are_shown(
    agency: Agency, gops: list[Gop], change: Callable[[bytes], bytes]
) -> None:
    """The doorbell sealed and signed it like this, so the answer stands."""
    requester, asked = ask(agency)
    liar = filmed(gops, Changes(media=second(change)))
    receive_all(agency, lambda broker, clock: [Door(broker, requester, liar.disclose(asked), clock)])
    answer = Answer.objects.get()
    assert (answer.state, answer.unopened, answer.shared["segments"]) == ("complete", 1, 2)
    assert "1 file does not open." in page_of(agency, answer)
    for clip in Clip.objects.filter(answer=answer):
        opened = agency.client(Role.VIEWER).post(f"/cases/{answer.case_id}/answers/{answer.pk}/clips/{clip.index}")
        assert (opened.status_code, "film" in opened.json()) == (200, True)


@pytest.mark.parametrize("kind", ["a header of a megabyte", "a header without an end", "a tag that is a path"])
def test_a_first_part_that_does_not_open_leaves_a_notice_and_no_row(agency: Agency, house: House, kind: str) -> None:
    requester, asked = ask(agency)
    bad = Disclosure("b" * 32, DEVICE, [unopenable(asked.request.reply)[kind], b"more"])
    sent = [bad, house.disclose(asked)]
    receive_all(agency, lambda broker, clock: [Door(broker, requester, each, clock) for each in sent])
    assert (Answer.objects.get().device, Answer.objects.get().state) == (house.device_id, "complete")
    notice = Notice.objects.get()
    assert (notice.kind, notice.object, notice.device) == ("dropped", bad.id, DEVICE)
    assert not requester.answer(bad.id).sealed()


@pytest.mark.parametrize("parts", [12_000, 1_000_000])
def test_many_parts_are_announced_for_nothing(agency: Agency, house: House, parts: int) -> None:
    """Twelve uploads of which no part ever comes."""
    requester, asked = ask(agency)
    note = b'{"parts":%d,"sha256":"%b","size_bytes":100,"v":1}' % (parts, b"0" * 64)

    def doors(broker: FakeBroker, clock: TestClock) -> list[Door]:
        bus = FakeBus(broker, DEVICE)
        bus.start()
        for number in range(12):
            topic = UploadTopic(requester.id, DEVICE, f"{number:032x}", 0, UploadVerb.INIT)
            assert bus.publish(str(topic), note, token=number, retain=True)
        return [Door(broker, requester, house.disclose(asked), clock)]

    receive_all(agency, doors)
    assert (Answer.objects.get().device, Answer.objects.get().state) == (house.device_id, "complete")
    assert len(requester.answers) <= 1 + LIMITS.unread_per_device


def test_an_upload_that_answers_no_request_of_ours_leaves_a_notice_and_no_row(agency: Agency, house: House) -> None:
    requester, asked = ask(agency)
    foreign = sealed_to_a_stranger(house, asked)
    receive_all(
        agency,
        lambda broker, clock: [
            Door(broker, requester, foreign, clock),
            Door(broker, requester, house.disclose(asked), clock),
        ],
    )
    assert Answer.objects.get().state == "complete"
    assert Notice.objects.filter(kind="dropped").count() == 1


def sealed_to_a_stranger(house: House, asked: SentRequest) -> Disclosure:
    """An upload that is sealed to another key."""
    stranger = str(HybridIdentity(b"\x07" * 32).recipient())
    other = House(house.start_ms, changes=Changes(reply=lambda _reply: stranger), name="stranger")
    other.stored, other.identity = house.stored, house.identity
    return other.disclose(asked)


def test_an_answer_is_verified_once(agency: Agency, house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    requester, asked = ask(agency)
    monkeypatch.setattr(answer_rows, "examine", None)  # the receiving service hands its verification on
    receive_all(agency, lambda broker, clock: [Door(broker, requester, house.disclose(asked), clock)])
    assert Answer.objects.get().state == "complete"


FAULTS = {
    "a list of parts": (incoming, "read_manifest"),
    "a part": (verification, "open_part"),
    "the grade": (incoming, "summary_of"),
    "the rows of the desk": (answer_rows, "content_of"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_an_error_of_our_own_quarantines_one_answer_and_the_other_door_goes_on(
    agency: Agency, gops: list[Gop], fault: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As if an answer had found a bug: the code that reads it fails, with an error that no check foresees."""
    requester, asked = ask(agency)
    cursed, honest = (filmed(gops, name=name).disclose(asked) for name in ("cursed", "honest"))
    module, name = FAULTS[fault]
    works = getattr(module, name)

    def fails_for_one(*values: Any, **named: Any) -> Any:
        if cursed.device in device_of(values, named):
            raise KeyError("surprise")
        return works(*values, **named)

    def device_of(values: tuple[Any, ...], named: dict[str, Any]) -> str:
        if "device" in named:
            return str(named["device"])
        if isinstance(values[0], bytes):
            return works(*values).manifest.device_key.id
        return values[0].disclosed.manifest.device_key.id

    monkeypatch.setattr(module, name, fails_for_one)
    receive_all(agency, lambda broker, clock: [Door(broker, requester, each, clock) for each in (cursed, honest)])
    reconcile(agency.organisation, requester, AnswerRecorder(agency.organisation, requester))
    answers = {answer.device: answer for answer in Answer.objects.all()}
    assert answers[honest.device].state == "complete"
    bad = answers[cursed.device]
    assert bad.state == "quarantined"
    assert "KeyError" in bad.reason
    assert "KeyError" in agency.client(Role.VIEWER).get(f"/cases/{bad.case_id}").content.decode()
    assert requester.answer(bad.disclosure_id).sealed(), "its sealed files are kept"


def test_a_database_that_is_away_quarantines_nothing(
    agency: Agency, house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    requester, asked = ask(agency)
    event = deliver(requester, asked, house.disclose(asked))
    with monkeypatch.context() as patched:

        def away(_verification: object) -> None:
            raise OperationalError("the connection is closed")

        patched.setattr(answer_rows, "content_of", away)
        with pytest.raises(OperationalError):
            AnswerRecorder(agency.organisation, requester).record(event)
    reconcile(agency.organisation, requester, AnswerRecorder(agency.organisation, requester))
    assert Answer.objects.get().state == "complete"


def test_a_report_that_never_fits_becomes_a_notice_and_the_next_report_is_written(agency: Agency, house: House) -> None:
    requester, asked = ask(agency)
    recorder = AnswerRecorder(agency.organisation, requester)
    recorder.record(ReceiverEvent(ReceiverEventKind.COMPLETE, "e" * 32, "d" * 32, device="a door"))
    assert Notice.objects.get(kind="damaged").object == "e" * 32
    recorder.record(deliver(requester, asked, house.disclose(asked)))
    assert Answer.objects.get().state == "complete"
