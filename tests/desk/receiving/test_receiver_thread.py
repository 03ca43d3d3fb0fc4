"""Receivers with a real broker: answers become rows, a lost broker is shown and found again, a fault stays with one."""

from __future__ import annotations

import datetime
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
from django.conf import settings
from django.db import InterfaceError, OperationalError
from django.test import override_settings
from django.utils import timezone

from agent.clients.requester.claims import SoleReceiver
from agent.clients.requester.disclosure_folder import AnswerFolder
from agent.clients.requester.identity import Requester
from agent.clients.requester.news import ReceiverEvent, ReceiverEventKind
from agent.clients.requester.receiving_service import DisclosureReceiver
from agent.clients.requester.roots import KnownRoots
from agent.clients.requester.sealed_parts import FolderParts, PartsAwayError, PartsRefusedError
from agent.core.bus import BusEvent, MessageReceived
from agent.errors import ConfigurationError, NetworkError, StorageError
from agent.platform.system_clock import SystemClock
from desk import sealed_keys
from desk.cases.models import Answer, Case, Clip, SignedRequest
from desk.config import Broker
from desk.custody.models import Entry
from desk.people.organisations import folder_of, requester_of
from desk.people.roles import Role
from desk.receiving import publishing_thread
from desk.receiving.answer_rows import AnswerRecorder
from desk.receiving.broker_connection import files_used, open_bus
from desk.receiving.models import Notice, Receiver
from desk.receiving.publishing_thread import PublishingThread
from desk.receiving.receiver_thread import ReceiverThread
from desk.receiving.supervisor import Supervisor
from desk.reminders.due import due_reminders
from desk.repeating_thread import pause_after
from desk.tips.models import Tip
from tests.brokers import BrokerWithClients, broker_with_clients
from tests.clients.requester.doors import Door
from tests.clients.requester.house import House
from tests.clients.requester.test_root_news import BOTH, NEAR, package, published
from tests.desk.agencies import Agency, make_agency
from tests.desk.conftest import GROWN
from tests.desk.receiving.doors import ask, receive
from tests.desk.served import served_desk
from tests.fake_bus import FakeBroker, FakeBus
from tests.lengths import only
from tests.wire import samples

pytestmark = pytest.mark.broker
PARTS: Any = FolderParts
"""The class of the store of sealed parts that a desk has in these tests."""
if GROWN:
    from desk.storage.s3_parts import S3Parts

    PARTS = S3Parts

PATIENCE_S = 60.0


def until(condition: Callable[[], bool], what: str, step: Callable[[], object] = lambda: time.sleep(0.05)) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, f"waited in vain for {what}"
        step()


def state() -> str:
    return Receiver.objects.get().state if Receiver.objects.exists() else ""


@pytest.fixture
def world(tmp_path: Path) -> Iterator[BrokerWithClients]:
    with broker_with_clients(tmp_path / "broker") as found:
        yield found


def introduce(world: BrokerWithClients, agency: Agency) -> None:
    """Gives an organisation its files for the broker."""
    made = world.settings(agency.organisation.requester_id)
    tls = requester_of(agency.organisation).folder / "tls"
    tls.mkdir()
    for source, name in ((made.authority, "authority"), (made.certificate, "certificate"), (made.key, "key")):
        shutil.copy(source, tls / f"{name}.pem")


@contextmanager
def receiving(world: BrokerWithClients) -> Iterator[None]:
    broker = Broker(host="127.0.0.1", port=world.broker.requester_port)
    chosen = msgspec.structs.replace(settings.DESK, broker=broker)
    with override_settings(DESK=chosen), Supervisor(requester_of, open_bus, look_every_s=0.1):
        yield
    assert not [each.name for each in threading.enumerate() if each.name.startswith("receiver")]


def test_a_request_goes_out_and_its_answer_becomes_a_row(
    agency: Agency, world: BrokerWithClients, house: House
) -> None:
    introduce(world, agency)
    requester, asked = ask(agency)
    bus = world.bus(house.device_id)
    with receiving(world):
        until(lambda: SignedRequest.objects.filter(published_at__isnull=False).exists(), "the publication")
        door = Door(None, requester, house.disclose(asked), SystemClock(), bus=bus)
        until(lambda: door.finished is not None, "the receipt", lambda: door.step() or time.sleep(0.01))
        until(lambda: Answer.objects.filter(state="complete").exists(), "the row")
        assert state() == "connected"
    assert state() == "stopped"
    assert Case.objects.get().number == asked.request.case


@pytest.mark.parametrize("kills", only([1], [1, 3]))
def test_a_desk_that_is_killed_while_an_answer_arrives_has_it_once_in_the_end(
    agency: Agency, world: BrokerWithClients, house: House, data: Path, kills: int
) -> None:
    introduce(world, agency)
    requester, asked = ask(agency)
    disclosure = house.disclose(asked)
    door = Door(None, requester, disclosure, SystemClock(), bus=world.bus(house.device_id))
    broker = f'[broker]\nhost = "127.0.0.1"\nport = {world.broker.requester_port}\n'

    def send() -> None:
        if not door.step():
            time.sleep(0.005)

    for chunks in (4, 1, len(disclosure.parts) + 6)[:kills]:
        with served_desk(data, broker) as desk:
            until(lambda most=chunks: len(door.chunks) >= most or door.finished is not None, "chunks", send)  # type: ignore[misc]
            desk.kill()
    with served_desk(data, broker):
        until(lambda: door.finished is not None, "the receipt", send)
        until(lambda: Answer.objects.filter(state="complete").exists(), "the row")
    assert [answer.disclosure_id for answer in Answer.objects.all()] == [disclosure.id]
    assert Clip.objects.count() == 2
    assert Entry.objects.filter(action="answer.received").count() == 1
    answer = requester.answer(disclosure.id)
    assert [b"".join(answer.pieces_of(number)) for number in range(len(disclosure.parts))] == disclosure.parts


def test_a_root_that_lists_another_broker_makes_the_desk_connect_again(agency: Agency, tmp_path: Path) -> None:
    """The root's news comes over the first connection. The second one is made with the brokers of the new list."""
    requester = requester_of(agency.organisation)
    now_s = int(time.time())
    dates = {"issued_s": now_s - 10, "expires_s": now_s + 86_400}
    KnownRoots(requester).accept(samples.ROOT_KEY.text, package(requester, 3, NEAR, 5, **dates), now_s, NEAR)
    agency.organisation.trust_root = samples.ROOT_KEY.id
    agency.organisation.save()
    connected: list[list[str]] = []
    bus: list[FakeBus] = []

    def connect(who: Requester) -> FakeBus:
        listed = KnownRoots(who).own_brokers(now_s)
        connected.append([each.host for each in listed[1]] if listed else [])
        bus.append(FakeBus(FakeBroker(), who.id))
        bus[-1].start()
        return bus[-1]

    with Supervisor(requester_of, connect, look_every_s=0.1):
        until(lambda: state() == "connected", "the connection")
        forged = package(requester, 4, BOTH, 6, signers=samples.ROOT_SIGNERS[2:], **dates)
        for topic, data in (*published(forged, BOTH), *published(package(requester, 4, BOTH, 6, **dates), BOTH)):
            with bus[0]._changed:
                bus[0]._events.append(MessageReceived(topic, data))
        until(lambda: len(connected) > 1, "the second connection")
    assert connected == [["near.example.org"], ["near.example.org", "new.example.org"]]
    assert Notice.objects.get(kind="root refused").object == samples.ROOT_KEY.id
    assert Entry.objects.get(action="organisation.root-news").detail["brokers"] is True
    later = datetime.datetime.fromtimestamp(now_s + 2 * 86_400, datetime.UTC)
    assert [each.is_over for each in due_reminders(agency.organisation, later) if "hold back" in each.words] == [True]


def test_a_list_after_other_brokers_does_not_keep_the_desk_from_connecting_again(agency: Agency) -> None:
    """Both events may come within one step of the receiver."""
    requester = requester_of(agency.organisation)
    thread = PublishingThread(agency.organisation, requester_of, open_bus, SystemClock(), lambda _error: None)
    for kind in (ReceiverEventKind.ROOT_BROKERS, ReceiverEventKind.ROOT_LIST):
        thread._tell(ReceiverEvent(kind), AnswerRecorder(agency.organisation, requester))
    assert thread._reconnect


@pytest.mark.parametrize(
    ("used", "reconnects"), [([(Path("a"),)], False), ([], False), ([(Path("a"),), (Path("a"),)], True)]
)
def test_a_look_at_the_files_takes_no_new_connection_back_and_an_ended_list_ends_none(
    agency: Agency, monkeypatch: pytest.MonkeyPatch, used: list[tuple[Path]], reconnects: bool
) -> None:
    """Brokers of another list may have the files of the one before. The list after an ended one comes over the bus."""
    thread = PublishingThread(agency.organisation, requester_of, open_bus, SystemClock(), lambda _error: None)
    requester = requester_of(agency.organisation)
    monkeypatch.setattr(publishing_thread, "files_used", lambda _: used)
    thread._files = publishing_thread._contents([(Path("a"),)])
    thread._look_at_files(requester)
    assert thread._reconnect is reconnects
    thread._tell(ReceiverEvent(ReceiverEventKind.ROOT_BROKERS), AnswerRecorder(agency.organisation, requester))
    thread._look_at_files(requester)
    assert thread._reconnect


def test_a_password_that_a_person_gives_later_is_used_without_a_restart(
    agency: Agency, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A connection that waits at a broker which also wants a password would wait for ever with the old files."""
    monkeypatch.setattr(publishing_thread, "_LOOK_AT_FILES_S", 0.0)
    monkeypatch.setattr(publishing_thread, "STEP_S", 0.02)
    used: list[Any] = []

    def connect(requester: Requester) -> FakeBus:
        used.append(files_used(requester))
        bus = FakeBus(FakeBroker(), requester.id)
        bus.start()
        return bus

    chosen = msgspec.structs.replace(settings.DESK, broker=Broker(host="broker.example"))
    with override_settings(DESK=chosen), Supervisor(requester_of, connect, look_every_s=0.1):
        until(lambda: len(used) == 1 and state() == "connected", "the connection")
        own = folder_of(agency.organisation) / "tls" / "broker.example"
        own.mkdir(parents=True)
        (own / "broker.password").write_text("secret")
        until(lambda: len(used) == 2 and state() == "connected", "the second connection")
        (own / "broker.password").write_text("another")
        until(lambda: len(used) > 2, "the connection with the replaced password")
    assert used[-1] == [(own.parent / "authority.pem", None, None, own / "broker.password")]


def test_a_lost_broker_is_shown_and_found_again(agency: Agency, world: BrokerWithClients) -> None:
    introduce(world, agency)
    with receiving(world):
        until(lambda: state() == "connected", "the connection")
        world.broker.stop()
        until(lambda: state() == "disconnected", "the loss")
        text = agency.client(Role.VIEWER).get("/receiving/").content.decode()
        assert "not connected" in text
        world.broker.start()
        until(lambda: state() == "connected", "the reconnection")


def test_a_full_disk_is_shown_with_its_remedy_and_the_answer_arrives_once_there_is_room(
    agency: Agency, world: BrokerWithClients, house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    introduce(world, agency)
    requester, asked = ask(agency)
    written = AnswerFolder.write
    full = threading.Event()
    full.set()

    def write(folder: AnswerFolder, part: int, offset: int, data: bytes) -> None:
        if full.is_set():
            raise StorageError("No space left on device.", remedy="Make room on the disk.")
        written(folder, part, offset, data)

    monkeypatch.setattr(AnswerFolder, "write", write)
    with receiving(world):
        until(lambda: state() == "connected", "the connection")
        door = Door(None, requester, house.disclose(asked), SystemClock(), bus=world.bus(house.device_id))

        def send() -> None:
            if not door.step():
                time.sleep(0.01)

        until(lambda: Notice.objects.filter(kind="error").exists(), "the fault", send)
        assert "Make room on the disk." in agency.client(Role.VIEWER).get("/receiving/").content.decode()
        full.clear()
        until(lambda: door.finished is not None, "the receipt", send)
        until(lambda: Answer.objects.filter(state="complete").exists(), "the row")
    assert Answer.objects.count() == 1


def test_a_request_goes_out_while_the_store_of_sealed_parts_is_away(
    agency: Agency, world: BrokerWithClients, house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An answer that has begun makes each start ask the store, before the receiver connects."""
    introduce(world, agency)
    requester, asked = ask(agency)
    away = threading.Event()

    def guarded(act: Callable[..., Any]) -> Callable[..., Any]:
        def acts(self: Any, *words: Any) -> Any:
            if away.is_set():
                raise PartsAwayError("The S3 store does not answer: 500.")
            return act(self, *words)

        return acts

    for name in ("put", "numbers", "pieces"):
        monkeypatch.setattr(PARTS, name, guarded(getattr(PARTS, name)))
    door = Door(None, requester, house.disclose(asked), SystemClock(), bus=world.bus(house.device_id))

    def send() -> None:
        if not door.step():
            time.sleep(0.01)

    with receiving(world):
        until(lambda: len(door.chunks) > 2, "the first parts", send)
        away.set()
        until(lambda: Notice.objects.filter(kind="error").exists(), "the fault", send)
        _, later = ask(agency, case="2026-1178")
        published = SignedRequest.objects.filter(request_id=later.request.id, published_at__isnull=False)
        until(published.exists, "the publication")
        assert "does not answer" in agency.client(Role.VIEWER).get("/receiving/").content.decode()
        away.clear()
        until(lambda: Receiver.objects.filter(state="connected", detail="").exists(), "all of it again")


@pytest.mark.parametrize("tips", [False, True])
def test_a_store_that_is_away_is_asked_once_however_much_is_due(
    agency: Agency, house: House, monkeypatch: pytest.MonkeyPatch, tips: bool
) -> None:
    """A call to a store that is cut off lasts half a minute, and answers wait for it."""
    requester, asked = ask(agency)
    yesterday = timezone.now() - datetime.timedelta(days=1)
    for number in range(5):
        if tips:
            Tip.objects.create(organisation=agency.organisation, disclosure_id=f"{number:032x}", due_at=yesterday)
        else:
            receive(agency, house, requester, asked)
    Answer.objects.update(due_at=yesterday, keep_until=yesterday)
    calls: list[str] = []

    def away(*_: object) -> None:
        calls.append("store")
        raise PartsAwayError("The S3 store does not answer: 500.")

    thread = ReceiverThread(agency.organisation, requester_of, lambda who: FakeBus(FakeBroker(), who.id), SystemClock())
    monkeypatch.setattr(PARTS, "remove", away)
    monkeypatch.setattr(PARTS, "numbers", away)
    with pytest.raises(PartsAwayError):
        thread._retain(requester)
    assert calls == ["store"]


class Brokers:
    """Connections to one broker, one after the other."""

    def __init__(self) -> None:
        self.broker = FakeBroker()
        self.made: list[FakeBus] = []

    def connect(self, who: Requester) -> FakeBus:
        self.made.append(FakeBus(self.broker, who.id))
        self.made[-1].start()
        return self.made[-1]

    @property
    def is_asked(self) -> bool:
        """Returns True if the broker has a request."""
        return any("/requests/" in topic for topic in self.broker.retained)


def test_a_request_goes_out_and_goes_back_to_its_broker_while_a_call_to_the_store_lasts(
    agency: Agency, house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A store that is cut off answers after half a minute. A broker is killed meanwhile, and has lost its messages."""
    requester, asked = ask(agency)
    receive(agency, house, requester, asked)
    Answer.objects.update(due_at=timezone.now() - datetime.timedelta(days=1), keep_until=timezone.now())
    called, over = threading.Event(), threading.Event()

    def hang(*_: object) -> None:
        called.set()
        over.wait()
        raise PartsAwayError("The S3 store does not answer: timeout.")

    monkeypatch.setattr(PARTS, "remove", hang)
    monkeypatch.setattr(PARTS, "numbers", hang)
    brokers = Brokers()
    with Supervisor(requester_of, brokers.connect, look_every_s=0.1):
        try:
            assert called.wait(PATIENCE_S)
            until(lambda: brokers.is_asked, "the publication")
            brokers.broker.kill()
            brokers.broker.retained.clear()
            brokers.broker.start()
            until(lambda: brokers.is_asked, "the message that the broker had lost")
        finally:
            over.set()
    assert len(brokers.made) == 1


def test_requests_go_out_before_a_new_worker_has_asked_the_store_and_answers_wait_for_it(agency: Agency) -> None:
    """At the start of a worker, a store that is cut off answers after half a minute."""
    ask(agency)
    brokers, checked = Brokers(), threading.Event()
    with Supervisor(requester_of, brokers.connect, look_every_s=0.1, may_receive=checked):
        until(lambda: brokers.is_asked, "the publication")
        assert state() == "starting"
        assert not any("/up/" in each for each in brokers.made[0]._filters)
        checked.set()
        until(lambda: state() == "connected", "the receiver")


@pytest.mark.parametrize("lost", [PartsAwayError("no store"), NetworkError("no database"), OperationalError("ended")])
def test_a_store_or_database_that_was_away_ends_no_connection_to_a_broker(
    agency: Agency, monkeypatch: pytest.MonkeyPatch, lost: Exception
) -> None:
    """A new connection has to ask its brokers again for what they have. With a fault in each ten seconds, and as many
    connections, no question was ever answered."""
    brokers, step = Brokers(), DisclosureReceiver.step
    failed: set[bool] = set()

    def fail_once(self: DisclosureReceiver, timeout_s: float) -> object:
        is_publisher = not self._receives
        if self._connected and is_publisher not in failed and not (is_publisher and isinstance(lost, PartsAwayError)):
            failed.add(is_publisher)
            raise lost
        return step(self, timeout_s)

    monkeypatch.setattr(DisclosureReceiver, "step", fail_once)
    monkeypatch.setattr("desk.repeating_thread.pause_after", lambda *_: 0.0)
    with Supervisor(requester_of, brokers.connect, look_every_s=0.1):
        until(lambda: False in failed, "the fault")
        ask(agency)
        until(lambda: brokers.is_asked, "the publication")
        until(lambda: state() == "connected", "the receiver")
    assert len(brokers.made) == 1


def test_a_publication_without_an_answer_does_not_outlive_the_claim_to_publish(
    agency: Agency, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another worker may publish a newer message of the slot meanwhile, which the old one must not replace."""
    brokers, step = Brokers(), DisclosureReceiver.step
    lost = threading.Event()

    def fail(self: DisclosureReceiver, timeout_s: float) -> object:
        if not self._receives and len(brokers.made) == 1 and brokers.made[0]._unanswered:
            lost.set()
            raise NetworkError("no database")
        return step(self, timeout_s)

    monkeypatch.setattr(DisclosureReceiver, "step", fail)
    monkeypatch.setattr("desk.repeating_thread.pause_after", lambda *_: 0.0)
    with Supervisor(requester_of, brokers.connect, look_every_s=0.1):
        until(lambda: state() == "connected", "the connection")
        brokers.broker.freeze()
        ask(agency)
        assert lost.wait(PATIENCE_S)
        until(lambda: len(brokers.made) > 1, "the second connection")


@pytest.mark.parametrize("is_answered", [True, False])
def test_a_connection_with_an_unanswered_publication_ends_before_the_claim_to_publish(
    agency: Agency, monkeypatch: pytest.MonkeyPatch, is_answered: bool
) -> None:
    """Afterwards another worker publishes, and nothing of this one may leave any more, also at a stop."""
    brokers, connected = Brokers(), list[bool]()
    thread = PublishingThread(agency.organisation, requester_of, brokers.connect, SystemClock(), lambda _error: None)
    monkeypatch.setattr(SoleReceiver, "close", lambda _self: connected.append(thread.has_connection))
    thread.start()
    try:
        until(lambda: thread.is_connected, "the connection")
        if not is_answered:
            brokers.broker.freeze()
            ask(agency)
            until(lambda: bool(brokers.made[0]._unanswered), "the publication")
    finally:
        thread.stop()
        thread.join()
    assert connected == [is_answered]


def test_a_publisher_gets_a_new_connection_if_its_connection_failed_with_an_error_of_the_network(
    agency: Agency, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Such an error of the database ends no connection."""
    brokers, next_event = Brokers(), FakeBus.next_event

    def fail_once(self: FakeBus, *arguments: Any) -> BusEvent | None:
        if self._connected and len(brokers.made) == 1:
            raise NetworkError("a socket that cannot be read")
        return next_event(self, *arguments)

    monkeypatch.setattr(FakeBus, "next_event", fail_once)
    monkeypatch.setattr("desk.repeating_thread.pause_after", lambda *_: 0.1)
    with Supervisor(requester_of, brokers.connect, look_every_s=0.1):
        until(lambda: state() == "connected", "the second connection")
    assert len(brokers.made) == 2


def test_a_store_that_refuses_one_deletion_keeps_back_no_other_and_no_answer(
    agency: Agency, house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A refusal comes at once, so nothing waits for it."""
    requester, asked = ask(agency)
    yesterday = timezone.now() - datetime.timedelta(days=1)
    kept, _ = receive(agency, house, requester, asked), receive(agency, house, requester, asked)
    Answer.objects.update(due_at=yesterday, keep_until=yesterday)
    remove = PARTS.remove

    def refuse(self: Any, disclosure: str) -> None:
        if disclosure == kept.id:
            raise PartsRefusedError("The S3 store refused it (AccessDenied).")
        remove(self, disclosure)

    monkeypatch.setattr(PARTS, "remove", refuse)
    thread = ReceiverThread(agency.organisation, requester_of, open_bus, SystemClock())
    thread._retain(requester)
    assert dict(Answer.objects.values_list("disclosure_id", "state")).pop(kept.id) == "complete"
    assert Answer.objects.filter(state="deleted").count() == 1
    assert "refused" in Notice.objects.get(kind="not deleted").detail


def test_retention_goes_on_after_the_store_is_back_although_no_broker_can_be_reached(
    agency: Agency, house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    requester, asked = ask(agency)
    yesterday = timezone.now() - datetime.timedelta(days=1)
    receive(agency, house, requester, asked)
    Answer.objects.update(due_at=yesterday, keep_until=yesterday)
    remove, failed = PARTS.remove, list[str]()

    def away_once(self: Any, disclosure: str) -> None:
        if not failed:
            failed.append(disclosure)
            raise PartsAwayError("The S3 store does not answer: 500.")
        remove(self, disclosure)

    def no_broker(_: Requester) -> FakeBus:
        if Answer.objects.get().state == "deleted" or len(failed) > 5:
            thread.stop()
        failed.append("broker")
        raise ConfigurationError("There is no certificate for a broker.")

    monkeypatch.setattr(PARTS, "remove", away_once)
    monkeypatch.setattr("desk.repeating_thread.pause_after", lambda *_: 0.01)
    thread = ReceiverThread(agency.organisation, requester_of, no_broker, SystemClock())
    thread._run()
    assert Answer.objects.get().state == "deleted"


@pytest.mark.parametrize("away", [NetworkError("no store"), OperationalError("no database"), InterfaceError("ended")])
def test_a_receiver_looks_soon_for_a_store_or_database_that_was_away(away: Exception) -> None:
    assert [pause_after(away, faults) for faults in (0, 1, 2, 3, 50)] == [0, 1, 5, 5, 5]
    assert [pause_after(StorageError("full"), faults) for faults in (0, 1, 2, 3, 50)] == [0, 1, 5, 30, 30]


def test_an_organisation_without_certificate_fails_alone_and_its_retention_goes_on(
    agency: Agency, world: BrokerWithClients, house: House
) -> None:
    requester, asked = ask(agency)
    receive(agency, house, requester, asked)
    Answer.objects.update(due_at=timezone.now() - datetime.timedelta(days=1), keep_until=timezone.now())
    with receiving(world):
        until(lambda: state() == "failed", "the fault")
        until(lambda: Answer.objects.get().state == "deleted", "the deletion")
        other = make_agency("waterland-police", "Waterland Police")
        introduce(world, other)
        until(
            lambda: Receiver.objects.filter(organisation=other.organisation, state="connected").exists(),
            "the other organisation",
        )
    assert "tls" in Notice.objects.filter(organisation=agency.organisation, kind="error").get().detail


def test_the_page_says_when_no_receiver_runs(agency: Agency) -> None:
    client = agency.client(Role.VIEWER)
    assert "has not run yet" in client.get("/receiving/").content.decode()
    long_ago = timezone.now() - datetime.timedelta(hours=1)
    Receiver.objects.create(organisation=agency.organisation, state="connected", seen_at=long_ago)
    text = client.get("/receiving/").content.decode()
    assert "does not run" in text
    assert "Doorbells keep their answers until then." in text


def test_a_receiver_waits_while_the_signing_key_is_locked_and_says_so(
    agency: Agency, world: BrokerWithClients, monkeypatch: pytest.MonkeyPatch
) -> None:
    introduce(world, agency)
    monkeypatch.setattr(sealed_keys, "_WORK_FACTOR", 10)
    folder = folder_of(agency.organisation)
    sealed_keys.seal(folder, "six words that nobody guesses")
    monkeypatch.setattr(sealed_keys, "_unlocked", {})  # a new start
    with receiving(world):
        until(lambda: state() == "failed", "the locked key")
        assert "locked" in agency.client(Role.VIEWER).get("/receiving/").content.decode()
        sealed_keys.unlock(folder, "six words that nobody guesses")
        until(lambda: state() == "connected", "the connection")
