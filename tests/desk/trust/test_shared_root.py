"""A root with keys of several people: m of n sign, keys rotate, and the desk publishes what doors take."""

from __future__ import annotations

import json
import shutil
import threading
import time
from collections import deque
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from django.conf import settings
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import OperationalError, connections, transaction
from django.test import override_settings
from django.utils import translation

from agent.clients.broker.broker_pki import BrokerPki
from agent.clients.opening import HybridIdentity
from agent.clients.requester import root_folder
from agent.clients.requester.broker_files import password_hosts
from agent.clients.requester.keys import FileSigner, load_key, make_trust_key
from agent.clients.requester.root_folder import RootFolder
from agent.clients.requester.root_news import JoinedChunks
from agent.core.bus import (
    BusConnected,
    BusDisconnected,
    BusEvent,
    LinkFault,
    MessageReceived,
    PublishAcknowledged,
    PublishRefused,
    Subscribed,
)
from agent.errors import ConfigurationError, DoorwardError, NetworkError, OpenError, RequestError, StorageError
from agent.wire import envelope, strictjson
from agent.wire.broker_directory import BrokerAddress
from agent.wire.identities import PublicKey, private_key_from_seed
from agent.wire.topics import trust_filter
from agent.wire.trust import TrustBundle, TrustStore
from agent.wire.trust_keys import parse_trust_key
from agent.wire.trust_package import MAX_CHUNK_BYTES, MAX_ROOT_FILES, PACKAGE_LIMIT_BYTES, TRUST_SLOTS, TrustPackage
from desk import sealed_keys
from desk.backup import make_backup, restore_backup
from desk.config import Broker, Token, load
from desk.custody.models import Entry
from desk.people.broker_certificates import make_request, store_certificate
from desk.people.models import Membership, Person
from desk.people.organisations import folder_of, requester_of
from desk.people.roles import Role
from desk.reminders.due import due_reminders
from desk.trust import bundles, root_keys, root_publisher, shared_root
from desk.trust.models import BundleDraft, Publication, RootDraft, RootKey
from tests.brokers import broker_with_clients
from tests.desk.agencies import Agency, browser, make_person
from tests.desk.conftest import GROWN
from tests.desk.trust.test_trust import PASSPHRASE, list_of

NOW_S = int(time.time())
DAY_S = 86_400
NEAR = BrokerAddress("near.example.org", 8884)
BROKERS = """
[[brokers]]
host = "near.example.org"
port = 8884
areas = [{ south = 52.0, west = 4.5, north = 53.0, east = 5.5 }]
"""


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """A small work factor, because each signature opens a key."""
    monkeypatch.setattr(sealed_keys, "_WORK_FACTOR", 10)


class Root:
    """An agency with three people who sign for its root: two here, and one elsewhere."""

    def __init__(self, agency: Agency, folder: Path, *, keys: int = 3) -> None:
        self.agency, self.organisation, self.folder = agency, agency.organisation, folder
        self.third = make_person(f"third@{agency.organisation.requester_id}.example")
        Membership.objects.create(organisation=self.organisation, person=self.third, role=Role.SUPERVISOR)
        self.people: list[Person] = [agency.people[Role.ADMIN], agency.people[Role.SUPERVISOR], self.third][:keys]
        for person in self.people[:2]:
            shared_root.add_key(self.organisation, person, self.words(person))
        if keys > 2:
            shared_root.add_key(self.organisation, self.third, outside=make_trust_key(folder / "third.key").text)

    def words(self, person: Person) -> str:
        return f"{PASSPHRASE} of {person.email}"

    def propose(self, threshold: int = 2, **more: Any) -> RootDraft:
        keys = shared_root.active_keys(self.organisation)
        return shared_root.propose_root(self.organisation, self.people[0], keys, threshold, 730, now_s=NOW_S, **more)

    def sign(self, draft: Any, *people: Person) -> Any:
        for person in people:
            key = shared_root.active_key(self.organisation, person)
            assert key is not None
            made = self.elsewhere(draft) if key.place == "outside" else ""
            draft = shared_root.add_signature(draft, person, self.words(person), made)
        return draft

    def elsewhere(self, draft: Any) -> str:
        """The third person signs the downloaded file on a computer of theirs."""
        name, data = shared_root.payload_of(draft)
        (self.folder / name).write_bytes(data)
        made = RootFolder(self.folder).sign(self.folder / name, FileSigner(load_key(self.folder / "third.key")))
        return made.read_text()

    def found(self) -> None:
        self.sign(self.propose(), *self.people[:2])

    def list(self, version: int = 1, more: str = "") -> BundleDraft:
        requester = requester_of(self.organisation)
        text = list_of(requester.id, requester.key.text, version, "2099-12-31") + more
        return bundles.propose(self.organisation, self.people[0], text)

    @property
    def trust(self) -> TrustStore:
        """A reader that knows the root by its name key only."""
        return TrustStore().with_root(shared_root.files_of(self.organisation).name_key)


class KeepingBus:
    """The part of a connection that publishes: each message is kept and acknowledged."""

    def __init__(self, retained: dict[str, bytes]) -> None:
        self.retained = retained
        self.published = 0
        self._events: deque[BusEvent] = deque()

    def come_back(self) -> None:
        self._events.append(BusConnected(1 << 20, 16))

    def go_away(self) -> None:
        error = NetworkError("The broker does not answer.", remedy="Wait.")
        self._events.append(BusDisconnected(LinkFault.LOST, error, 1.0))

    def unsubscribe(self, _topic_filter: str) -> None:
        """Nothing more comes."""

    def stop(self) -> None:
        """Nothing here runs."""

    def hurry(self, _now: bool) -> None:
        """Nothing here waits."""

    def publish(self, topic: str, payload: bytes, *, token: int, retain: bool) -> bool:
        assert retain
        self.published += 1
        self.retained[topic] = payload
        self._events.append(PublishAcknowledged(token, heard=True))
        return True

    def subscribe(self, topic_filter: str) -> None:
        begins = topic_filter.removesuffix("+")
        found = [MessageReceived(topic, data) for topic, data in self.retained.items() if topic.startswith(begins)]
        self._events.extend([*(each for each in found if each.payload), Subscribed(topic_filter)])

    def next_event(self, timeout_s: float) -> BusEvent | None:
        if self._events:
            return self._events.popleft()
        time.sleep(min(max(timeout_s, 0.0), 0.01))  # a reader that waits for more asks again and again
        return None


class Brokers:
    """Brokers by their address. `away`: those that fail to answer."""

    def __init__(self) -> None:
        self.retained: dict[str, dict[str, bytes]] = {}
        self.away: set[str] = set()
        self.connected: list[str] = []
        self.buses: list[KeepingBus] = []

    def open(self, _organisation: object, address: BrokerAddress) -> Any:
        self.connected.append(str(address))
        if str(address) in self.away:
            raise NetworkError("The broker does not answer.", remedy="Wait.")
        self.buses.append(KeepingBus(self.retained.setdefault(str(address), {})))
        return self.buses[-1]


@pytest.fixture
def root(agency: Agency, tmp_path: Path) -> Root:
    return Root(agency, tmp_path)


def test_one_person_alone_signs_no_key_and_no_list_and_two_of_three_do(root: Root) -> None:
    draft = root.propose()
    assert not shared_root.is_shared(root.organisation)
    assert root.sign(draft, root.people[0]).state == "proposed"
    assert shared_root.missing_signatures(draft) == 1
    with pytest.raises(ConfigurationError, match="You have signed this"):
        root.sign(draft, root.people[0])
    assert root.sign(draft, root.third).state == "signed"
    listed = root.list()
    assert root.sign(listed, root.people[1]).state == "proposed"
    root_publisher.publish_due(Brokers().open, NOW_S)
    assert not root_publisher.stamped_until_s(root.organisation), "a list of one signature is in no package"
    signed = root.sign(listed, root.third)
    assert (signed.state, shared_root.missing_signatures(signed)) == ("signed", 0)
    root_publisher.publish_due(Brokers().open, NOW_S)
    package = shared_root.files_of(root.organisation).package()
    store, _ = root.trust.accept(package, NOW_S)
    assert [each.version for each in store.bundles.values()] == [1]
    assert [row.action for row in Entry.objects.filter(action__contains="signature").order_by("number")] == [
        "root-file.signature", "root-file.signature", "bundle.signature", "bundle.signature",
    ]  # fmt: skip


def test_a_stolen_desk_folder_and_one_passphrase_sign_nothing_that_doors_take(root: Root) -> None:
    """The thief has the folder, the online key and the first person's passphrase."""
    root.found()
    root.sign(root.list(), *root.people[:2])
    root_publisher.publish_due(Brokers().open, NOW_S)
    good = strictjson.decode(shared_root.files_of(root.organisation).package(), TrustPackage, limit_bytes=1 << 20)
    listed = root.list(2)
    root.sign(listed, root.people[0])
    alone = envelope.with_signatures(TrustBundle.PAYLOAD_TYPE, bytes(listed.payload), shared_root._counted(listed))
    folder = shared_root.files_of(root.organisation)
    (folder.folder / "bundle-2.json").write_bytes(bytes(listed.payload))
    ((key_id, made),) = shared_root._counted(listed).items()
    (folder.folder / f"bundle-2.json.{key_id}.sig").write_text(strictjson.encode_base64(made))
    with pytest.raises(ConfigurationError, match="Doorbells would refuse"):
        folder.stamp(shared_root.timestamp_signer(root.organisation), NOW_S, 7)
    forged = strictjson.encode(TrustPackage(v=1, roots=good.roots, bundle=alone.decode(), timestamp=good.timestamp))
    with pytest.raises((OpenError, RequestError)):
        root.trust.accept(forged, NOW_S)


def test_a_person_without_a_key_and_a_signature_of_another_file_are_refused(root: Root) -> None:
    draft = root.propose()
    with pytest.raises(ConfigurationError, match="no key that signs"):
        shared_root.add_signature(draft, root.agency.people[Role.AUDITOR], "x")
    with pytest.raises(ConfigurationError, match="does not open"):
        shared_root.add_signature(draft, root.people[0], "another passphrase")
    for wrong in ("nonsense", "", "AAAA"):
        with pytest.raises(ConfigurationError, match=r"no signature|not of this file"):
            shared_root.add_signature(draft, root.third, "", wrong)
    made = root.elsewhere(draft)
    shared_root.withdraw_root(draft, root.people[0])
    with pytest.raises(ConfigurationError, match="withdrawn already"):
        shared_root.add_signature(draft, root.third, "", made)
    with pytest.raises(ConfigurationError, match="not of this file"):
        shared_root.add_signature(root.propose(), root.third, "", made)


def test_two_keys_of_one_person_a_key_of_two_people_and_a_threshold_of_one_are_refused(
    root: Root, agency: Agency, tmp_path: Path
) -> None:
    with pytest.raises(ConfigurationError, match="has a key of this root"):
        shared_root.add_key(root.organisation, root.third, PASSPHRASE)
    auditor = agency.people[Role.AUDITOR]
    with pytest.raises(ConfigurationError, match="Another person has this key"):
        shared_root.add_key(root.organisation, auditor, outside=RootKey.objects.get(person=root.third).public_key)
    for keys, threshold in ((shared_root.active_keys(root.organisation)[:1], 2), (RootKey.objects.all(), 1),
                            (RootKey.objects.all(), 4)):  # fmt: skip
        with pytest.raises(ConfigurationError, match="At least two people"):
            shared_root.propose_root(root.organisation, auditor, keys, threshold, 730)
    root.found()
    with pytest.raises(ConfigurationError, match="in force include"):
        shared_root.retire_key(RootKey.objects.get(person=root.third), root.people[0])


def test_a_form_for_a_key_that_is_sent_twice_at_once_makes_one_key(root: Root, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = shared_root.root_folder(root.organisation) / "people"
    before = sorted(folder.iterdir())
    monkeypatch.setattr(shared_root, "active_key", lambda *_: None)  # both looked before either had made one
    with pytest.raises(ConfigurationError, match="This person has a key of this root"):
        shared_root.add_key(root.organisation, root.people[0], root.words(root.people[0]))
    assert sorted(folder.iterdir()) == before, "the second sealed key is gone"
    assert RootKey.objects.filter(organisation=root.organisation, person=root.people[0]).count() == 1


def test_keys_rotate_with_old_and_new_signatures_and_the_new_people_sign_the_list_again(root: Root) -> None:
    root.found()
    root.sign(root.list(), *root.people[:2])
    root_publisher.publish_due(Brokers().open, NOW_S)
    first = shared_root.files_of(root.organisation).package()
    reader, _ = root.trust.accept(first, NOW_S)
    auditor = make_person("fourth@rijnstad.example")
    Membership.objects.create(organisation=root.organisation, person=auditor, role=Role.ADMIN)
    shared_root.add_key(root.organisation, auditor, root.words(auditor))
    keys = [each for each in shared_root.active_keys(root.organisation) if each.person in (root.third, auditor)]
    draft = shared_root.propose_root(root.organisation, auditor, keys, 2, 730, now_s=NOW_S + 5)
    root.sign(draft, root.third, auditor)
    draft.refresh_from_db()
    assert draft.state == "proposed", "one more of the keys in force has to sign"
    root.sign(draft, root.people[0])
    root_file = shared_root.root_file_of(root.organisation)
    assert root_file is not None
    assert (root_file.version, len(root_file.keys)) == (2, 2)
    assert root_file.timestamp_keys != shared_root.proposed_file(RootDraft.objects.get(version=1)).timestamp_keys
    current = bundles.newest_signed(root.organisation)
    assert current is not None
    assert shared_root.missing_signatures(current) == 2
    before = root_publisher.package_sha256(root.organisation, NEAR)
    root_publisher.publish_due(Brokers().open, NOW_S + 10)
    assert root_publisher.package_sha256(root.organisation, NEAR) == before
    root.sign(current, root.third, auditor)
    root_publisher.publish_due(Brokers().open, NOW_S + 10)
    package = shared_root.files_of(root.organisation).package()
    reader, _ = reader.accept(package, NOW_S + 10)
    with pytest.raises(RequestError):
        reader.accept(first, NOW_S + 10)
    shared_root.retire_key(RootKey.objects.get(person=root.people[0]), auditor)
    with pytest.raises(ConfigurationError, match="no key that signs"):
        root.sign(root.list(2), root.people[1])


def test_a_key_that_a_proposal_lists_is_not_retired_so_that_no_one_loses_the_root(root: Root) -> None:
    draft = root.propose(threshold=3)
    root.sign(draft, *root.people[:2])
    first = RootKey.objects.get(person=root.people[0])
    with pytest.raises(ConfigurationError, match="A proposal of keys includes this one"):
        shared_root.retire_key(first, root.people[1])
    page = root.agency.client(Role.SUPERVISOR).post(f"/trust/keys/{first.pk}/retire", follow=True).content.decode()
    assert "A proposal of keys includes this one" in page
    RootKey.objects.filter(pk=first.pk).update(retired_at=datetime.now(UTC))
    with pytest.raises(ConfigurationError, match="A key of this proposal is retired"):
        root.sign(draft, root.third)
    assert not shared_root.is_shared(root.organisation)
    shared_root.withdraw_root(draft, root.third)
    with pytest.raises(ConfigurationError, match="A key of this proposal is retired"):
        shared_root.propose_root(root.organisation, root.third, RootKey.objects.all(), 3, 730)
    RootKey.objects.filter(pk=first.pk).update(retired_at=None)
    shared_root.retire_key(first, root.people[1])


def test_after_fewer_have_to_sign_the_list_is_published_without_signatures_of_keys_that_are_gone(root: Root) -> None:
    root.sign(root.propose(threshold=3), *root.people)
    listed = root.sign(root.list(), *root.people)
    root_publisher.publish_due(Brokers().open, NOW_S)
    reader, _ = root.trust.accept(shared_root.files_of(root.organisation).package(), NOW_S)
    fourth = make_person("fourth@rijnstad.example")
    Membership.objects.create(organisation=root.organisation, person=fourth, role=Role.ADMIN)
    shared_root.add_key(root.organisation, fourth, root.words(fourth))
    keys = [each for each in shared_root.active_keys(root.organisation) if each.person != root.people[0]]
    draft = shared_root.propose_root(root.organisation, fourth, keys, 2, 730, now_s=NOW_S + 5)
    root.sign(draft, root.third, *root.people[:2])
    listed.refresh_from_db()
    assert shared_root.missing_signatures(listed) == 0
    opened = envelope.read_several(bytes(listed.envelope), TrustBundle.PAYLOAD_TYPE, limit_bytes=1 << 20)
    assert len(opened.signatures) == 2, "the envelope, too, has no signature of the key that is gone"
    root_publisher.publish_due(Brokers().open, NOW_S + 10)
    reader.accept(shared_root.files_of(root.organisation).package(), NOW_S + 10)


def test_a_withdrawn_proposal_keeps_no_signature_that_one_more_person_could_complete(
    agency: Agency, tmp_path: Path
) -> None:
    root_keys.make_root_key(folder_of(agency.organisation) / "root", PASSPHRASE)
    root = Root(agency, tmp_path)
    draft = root.propose(passphrase=PASSPHRASE)
    root.sign(draft, root.people[0])
    shared_root.withdraw_root(draft, root.people[0])
    draft.refresh_from_db()
    assert (bytes(draft.name_signature), draft.signatures.count()) == (b"", 0)
    root.sign(root.propose(passphrase=PASSPHRASE), *root.people[:2])
    listed = root.list()
    root.sign(listed, root.people[0])
    bundles.withdraw(listed, root.people[0])
    assert not listed.signatures.exists()


def test_the_one_key_in_a_token_is_deleted_there_before_several_keys_are_in_force(
    agency: Agency, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The token here is a dictionary: `test_root_in_a_token` has the real one."""
    held = {shared_root.root_label(agency.organisation): FileSigner(private_key_from_seed(b"\x05" * 32))}
    asked: list[tuple[str, PublicKey]] = []
    fault = ConfigurationError("The token did not delete the key 'x': gone.", remedy="Delete it.")

    def destroy(_token: object, label: str, public_key: PublicKey) -> None:
        asked.append((label, public_key))
        if len(asked) == 1:
            raise fault
        del held[label]

    monkeypatch.setattr("desk.tokens.token_signer", lambda _token, label: held[label])
    monkeypatch.setattr("desk.tokens.destroy_token_key", destroy)
    token = Token(Path("/none.so"), "desk", Path("/none.pin"))
    with override_settings(DESK=msgspec.structs.replace(settings.DESK, token=token)):
        ((label, signer),) = held.items()
        root_keys.make_token_root(folder_of(agency.organisation) / "root", token, label)
        root = Root(agency, tmp_path)
        assert "The desk deletes it there" in agency.client(Role.ADMIN).get("/trust").content.decode()
        draft = root.sign(root.propose(), root.people[0])
        without = msgspec.structs.replace(settings.DESK, token=None)
        with override_settings(DESK=without), pytest.raises(ConfigurationError, match="must be deleted there"):
            root.sign(draft, root.people[1])
        with pytest.raises(ConfigurationError, match="did not delete"):
            root.sign(draft, root.people[1])
        assert not shared_root.is_shared(root.organisation), "a key that is still there could found a second root"
        assert not shared_root.files_of(root.organisation).folder.exists(), "no file has all signatures yet"
        root.sign(draft, root.people[1])
        assert shared_root.is_shared(root.organisation)
    assert (held, asked) == ({}, [(label, signer.public_key)] * 2)


def test_the_last_sets_of_keys_are_announced_and_no_set_is_proposed_that_no_package_holds(root: Root) -> None:
    for number in range(MAX_ROOT_FILES):
        assert shared_root.root_files_left(root.organisation) == MAX_ROOT_FILES - number
        if number == MAX_ROOT_FILES - 3:
            assert "3 more sets of keys" in root.agency.client(Role.ADMIN).get("/trust").content.decode()
        root.sign(root.propose(), *root.people[1:])
    with pytest.raises(ConfigurationError, match="at most 16 sets of keys"):
        root.propose()
    dutch = root.agency.client(Role.ADMIN).get("/trust", headers={"accept-language": "nl"}).content.decode()
    assert "nog 0 stellen sleutels" in dutch
    root.sign(root.list(), *root.people[1:])
    root_publisher.publish_due(Brokers().open, NOW_S)
    root.trust.accept(shared_root.files_of(root.organisation).package(), NOW_S)


def test_the_page_announces_the_last_sets_of_keys_for_which_a_broker_has_room(
    root: Root, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each set of keys takes 10 kB of the 120 KiB of a broker. A root without room cannot publish a revocation."""
    root.found()
    root.sign(root.list(), *root.people[:2])
    root_publisher.publish_due(Brokers().open, NOW_S)
    page = root.agency.client(Role.ADMIN).get("/trust").content.decode()
    assert "more set" not in page
    package = shared_root.files_of(root.organisation).package()
    (root_file,) = json.loads(package)["roots"]
    for room, said in ((2.5, "2 more sets of keys"), (1, "1 more set of keys"), (-3, "0 more sets of keys")):
        limit = len(package) + int(room * len(root_file))
        monkeypatch.setattr(root_folder, "PUBLISHED_LIMIT_BYTES", limit)
        assert said in root.agency.client(Role.ADMIN).get("/trust").content.decode()


def test_files_that_the_command_adds_to_the_folder_keep_the_desk_from_nothing(root: Root, tmp_path: Path) -> None:
    root.found()
    root.sign(root.list(), *root.people[:2])
    root_publisher.publish_due(Brokers().open, NOW_S)
    folder = shared_root.files_of(root.organisation)
    requester = requester_of(root.organisation)
    (tmp_path / "list.toml").write_text(list_of(requester.id, requester.key.text, 2, "2099-12-31"))
    made = folder.propose(tmp_path / "list.toml", NOW_S)
    (folder.folder / "bundle-1.json.0011223344556677.sig").write_text("AAAA\n")
    root_publisher.publish_due(Brokers().open, NOW_S + 86_400)
    assert root_publisher.stamped_until_s(root.organisation) == NOW_S + 8 * 86_400
    folder.sign(made, FileSigner(load_key(tmp_path / "third.key")))
    for later_s in (2 * 86_400, 2 * 86_400 + 60):
        root_publisher.publish_due(Brokers().open, NOW_S + later_s)
    assert root_publisher.stamped_until_s(root.organisation) == NOW_S + 9 * 86_400, "one stamp a day"


def test_a_root_with_one_key_becomes_one_of_several_and_its_owners_keep_it(agency: Agency, tmp_path: Path) -> None:
    place = folder_of(agency.organisation) / "root"
    name = root_keys.make_root_key(place, PASSPHRASE)
    root = Root(agency, tmp_path)
    with pytest.raises(ConfigurationError, match="does not open"):
        root.propose(passphrase="wrong")
    sealed = (place / "root.key.age").read_bytes()
    draft = root.sign(root.propose(passphrase=PASSPHRASE), root.people[0])
    with transaction.atomic():
        root.sign(draft, root.people[1])
        transaction.set_rollback(True)
    assert (place / "root.key.age").exists(), "a proposal that is withdrawn needs it again"
    root.sign(draft, root.people[1])
    assert not (place / "root.key.age").exists(), "the one key signs no more"
    (place / "root.key.age").write_bytes(sealed)  # as a kill in between leaves it
    root_publisher.publish_due(Brokers().open, NOW_S)
    assert not (place / "root.key.age").exists()
    assert shared_root.files_of(agency.organisation).name_key == name
    root.sign(root.list(), *root.people[1:])
    root_publisher.publish_due(Brokers().open, NOW_S)
    store, _ = TrustStore().with_root(name).accept(shared_root.files_of(agency.organisation).package(), NOW_S)
    assert name.id in store.bundles


def test_the_desk_looks_if_each_broker_still_has_the_list_and_publishes_it_again(root: Root) -> None:
    """A broker that is killed loses what it had acknowledged within the last minutes: a revocation, for example."""
    root.found()
    root.sign(root.list(1, BROKERS), *root.people[:2])
    brokers, now_s = Brokers(), [1000.0]
    connections = root_publisher.RootConnections(brokers.open, lambda: now_s[0])

    def go_round(later_s: float) -> None:
        now_s[0] += later_s
        root_publisher.publish_due(None, NOW_S + 30, connections=connections)

    go_round(0.0)
    (kept,), (bus,) = brokers.retained.values(), brokers.buses
    before = dict(kept)
    kept.clear()
    go_round(9.0)
    assert kept == {}, "it looks ten seconds after a change"
    go_round(1.0)
    assert kept == before
    for _ in range(14):
        go_round(40.0)
    kept.clear()
    go_round(599.0)
    assert kept == {}, "doorbells read each package, so it looks first, and not all the time"
    go_round(1.0)
    assert kept == before
    writes = bus.published
    go_round(700.0)
    assert bus.published == writes, "it is there"
    assert brokers.buses == [bus]
    bus.go_away()
    go_round(700.0)
    assert "does not answer" in Publication.objects.get(broker="near.example.org:8884").problem
    bus.come_back()
    go_round(1.0)
    assert Publication.objects.get(broker="near.example.org:8884").problem == ""
    connections.stop()


def test_the_desk_repeats_a_change_soon_and_every_40_s_for_ten_minutes_and_then_every_ten(
    root: Root, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As `trust-root keep`: a doorbell of a RabbitMQ cluster misses a change if its node has died, and hears it
    within a minute of its return. Such a broker keeps a package, and gives none to the publisher's wildcard."""
    root.found()
    root.sign(root.list(1, BROKERS), *root.people[:2])
    brokers, times_s = Brokers(), list[float]()
    rounds = Rounds(brokers)

    def publish(bus: KeepingBus, topic: str, payload: bytes, *, token: int, retain: bool) -> bool:
        times_s.extend([rounds.now_s] if payload and topic.endswith("/index") else [])
        bus._events.append(PublishAcknowledged(token, heard=retain))
        return True

    monkeypatch.setattr(KeepingBus, "publish", publish)
    rounds.run(1900.0)
    looks_s = [0.0, *(10.0 + 40.0 * each for each in range(15)), 1170.0, 1770.0]
    assert times_s == pytest.approx([1000.0 + each for each in looks_s], abs=2.0)
    times_s.clear()
    root.sign(root.list(2, BROKERS), *root.people[:2])
    began_s = rounds.now_s
    rounds.run(300.0)
    expected_s = [0.0, *(10.0 + 40.0 * each for each in range(8))]
    assert [each - times_s[0] for each in times_s] == pytest.approx(expected_s[: len(times_s)], abs=2.0)
    assert len(times_s) >= 7
    assert times_s[0] - began_s <= 60.0
    rounds.thread._end()


def test_the_desk_looks_at_once_at_a_broker_that_has_come_back(root: Root) -> None:
    """A broker that is killed a second after it acknowledged a revocation has lost it, and doorbells come back."""
    root.found()
    root.sign(root.list(1, BROKERS), *root.people[:2])
    brokers = Brokers()
    connections = root_publisher.RootConnections(brokers.open)

    def returned() -> frozenset[tuple[int, str]]:
        return frozenset(place for place, _, _ in connections.due())

    def go_round(**words: Any) -> None:
        root_publisher.publish_due(None, NOW_S + 30, connections=connections, **words)

    go_round()
    (kept,), (bus,) = brokers.retained.values(), brokers.buses
    before = dict(kept)
    bus.come_back()
    assert returned() == frozenset(), "over this one it published"
    kept.clear()
    go_round()
    assert kept == {}, "nothing happened, and it looked half a minute ago"
    bus.come_back()
    go_round(only=returned())
    assert kept == before
    assert brokers.buses == [bus], "it is one connection, which stays"
    go_round(only=frozenset())
    assert returned() == frozenset()
    root.sign(root.list(2, BROKERS.replace("near", "far")), *root.people[:2])
    go_round()
    bus.come_back()
    assert returned() == frozenset(), "a broker that is listed no more is left alone"
    opened = len(brokers.buses)
    own = root_publisher.connection_of(root.organisation)[0] / "tls" / "far.example.org"
    own.mkdir(parents=True)
    (own / "broker.password").write_text("secret")
    (kept,) = [each for broker, each in brokers.retained.items() if "far" in str(broker)]
    kept.clear()
    go_round()
    assert len(brokers.buses) == opened + 1, "a connection keeps its files, so a new password needs a new one"
    connections.stop()


class Rounds:
    """The publisher's thread, step by step. Its waits pass at once, on a separate clock."""

    def __init__(self, brokers: Brokers) -> None:
        self.now_s, self.steps = 1000.0, 0
        self.thread = root_publisher._RootPublisher(brokers.open, lambda: self.now_s)
        self.thread._woken = self  # type: ignore[assignment]

    def clear(self) -> None:
        """Nothing wakes it."""

    def wait(self, for_s: float) -> None:
        self.now_s += for_s

    def run(self, for_s: float) -> None:
        ends_s = self.now_s + for_s
        while self.now_s < ends_s:
            self.steps += 1
            assert self.steps < 1000, "it goes round without a pause"
            self.thread._publish()


def test_a_broker_that_came_back_while_a_key_is_away_makes_the_publisher_wait_for_its_round(
    root: Root, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each try may count as one with a wrong PIN at a token."""
    root.found()
    root.sign(root.list(1, BROKERS), *root.people[:2])
    brokers = Brokers()
    rounds = Rounds(brokers)
    rounds.run(1.0)
    ((kept,), (bus,)) = brokers.retained.values(), brokers.buses
    before, tries = dict(kept), list[float]()

    def fail(*_args: object) -> None:
        tries.append(rounds.now_s)
        raise StorageError("The token with the key for stamps is away.")

    with monkeypatch.context() as broken:
        broken.setattr(root_publisher, "_renew_package", fail)
        kept.clear()
        bus.come_back()
        rounds.run(600.0)
        assert 2 <= len(tries) <= 12, "one at its return, and one in each round"
        bus.come_back()
        rounds.run(1.0)
    rounds.run(61.0)
    assert kept == before


def test_a_broker_that_refuses_the_desks_list_is_asked_every_ten_minutes_and_at_once_for_a_new_list(
    root: Root, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A service bills or bans a client that connects and publishes without end."""
    root.found()
    root.sign(root.list(1, BROKERS), *root.people[:2])
    brokers, sent = Brokers(), list[str]()

    def publish(bus: KeepingBus, topic: str, _payload: bytes, *, token: int, retain: bool) -> bool:
        assert retain
        sent.append(topic)
        bus._events.append(
            PublishRefused(token, 0x87, "Not authorized") if "/trust/" in topic else PublishAcknowledged(token, True)
        )
        return True

    def opened(organisation: object, address: BrokerAddress) -> Any:
        bus = brokers.open(organisation, address)
        bus.come_back()
        return bus

    rounds = Rounds(SimpleNamespace(open=opened))  # type: ignore[arg-type]
    with monkeypatch.context() as refusing:
        refusing.setattr(KeepingBus, "publish", publish)
        rounds.run(3600.0)
        directories = [each for each in sent if "/brokers/" in each]
        assert len(directories) == len(set(directories)) > 0, "it goes out once"
        assert len(brokers.buses) <= 8
        assert "refuses slot" in Publication.objects.get(broker=str(NEAR)).problem
    root.sign(root.list(2, BROKERS), *root.people[:2])
    rounds.run(61.0)
    assert Publication.objects.get(broker=str(NEAR)).problem == ""


@pytest.mark.parametrize("damaged", [b"", b"{}", b'{"v":1,"roots":[],"bundle":"e30","timestamp":"e30"}', bytes(500)])
def test_a_damaged_package_is_made_again_and_ends_no_page(root: Root, damaged: bytes) -> None:
    root.found()
    root.sign(root.list(1, BROKERS), *root.people[:2])
    brokers = Brokers()
    root_publisher.publish_due(brokers.open, NOW_S)
    (shared_root.files_of(root.organisation).folder / "package.json").write_bytes(damaged)
    assert [
        each for each in due_reminders(root.organisation, datetime.now(UTC)) if each.keys == ("root package",)
    ] == []
    assert root.agency.client(Role.ADMIN).get("/trust", follow=True).status_code == 200
    root_publisher.publish_due(brokers.open, NOW_S + 60)
    assert root_publisher.stamped_until_s(root.organisation) == NOW_S + 60 + 7 * DAY_S
    assert not Publication.objects.exclude(problem="").exists()


@pytest.mark.parametrize("damaged", [None, b"", b"{}", bytes(500)])
def test_a_missing_or_damaged_broker_directory_is_made_again_and_ends_no_page(
    root: Root, damaged: bytes | None
) -> None:
    root.found()
    root.sign(root.list(1, BROKERS), *root.people[:2])
    brokers = Brokers()
    root_publisher.publish_due(brokers.open, NOW_S)
    (kept,) = brokers.retained.values()
    before = dict(kept)
    kept.clear()
    path = shared_root.files_of(root.organisation).directory_path(1)
    path.unlink()
    if damaged is not None:
        path.write_bytes(damaged)
    assert root.agency.client(Role.ADMIN).get("/trust", follow=True).status_code == 200
    root_publisher.publish_due(None, NOW_S + 60, connections=root_publisher.RootConnections(brokers.open))
    assert kept == before
    assert not Publication.objects.exclude(problem="").exists()


if not GROWN:  # the backup of a desk with PostgreSQL is another one: tests/desk/storage/backups_at_work.py

    def test_a_desk_from_a_backup_brings_nothing_back_that_its_root_has_revoked(
        root: Root, data: Path, tmp_path: Path
    ) -> None:
        """Each door takes the next list: one that saw the newest list before the loss, and a new one."""
        identity, brokers = HybridIdentity(b"b" * 32), Brokers()
        root.found()
        root.sign(root.list(1, BROKERS), *root.people[:2])
        root_publisher.publish_due(brokers.open, NOW_S)
        toml = tmp_path / "desk.toml"
        toml.write_text('data = "data"\n')
        make_backup(load(toml), toml, tmp_path / "desk.age", [identity.recipient()])
        revoking = (
            list_of("rijnstad-police", requester_of(root.organisation).key.text, 2, "2099-12-31") + "revoked = true\n"
        )
        root.sign(bundles.propose(root.organisation, root.people[0], revoking + BROKERS), *root.people[:2])
        root_publisher.publish_due(brokers.open, NOW_S + 10)
        (kept,) = brokers.retained.values()
        newest = dict(kept)
        seen, _ = root.trust.accept(read(kept), NOW_S + 10)
        assert revoked_in(seen)

        connections.close_all()
        shutil.rmtree(data)
        restore_backup(tmp_path / "desk.age", tmp_path / "put-back", [identity])
        (tmp_path / "put-back" / "data").rename(data)
        root_publisher.publish_due(brokers.open, NOW_S + DAY_S)
        assert kept == newest, "the older list stays away from the broker"
        page = root.agency.client(Role.ADMIN).get("/trust").content.decode()
        assert "list 2 is there, and list 1 here" in page
        with pytest.raises(RequestError):
            seen.accept(shared_root.files_of(root.organisation).package())

        another = revoking.replace("Rijnstad Police", "Police of Rijnstad") + BROKERS
        root.sign(bundles.propose(root.organisation, root.people[0], another), *root.people[:2])
        root_publisher.publish_due(brokers.open, NOW_S + DAY_S + 60)
        assert kept == newest, "another list 2 is no newer one"
        third = bundles.next_list(revoking, 2) + BROKERS
        root.sign(bundles.propose(root.organisation, root.people[0], third), *root.people[:2])
        root_publisher.publish_due(brokers.open, NOW_S + DAY_S + 120)
        assert not Publication.objects.exclude(problem="").exists()
        for door in (seen, root.trust):
            took, _ = door.accept(read(kept), NOW_S + DAY_S + 120)
            assert revoked_in(took)
            assert took.bundles.popitem()[1].version == 3


def read(retained: dict[str, bytes]) -> bytes:
    """Returns the package that a doorbell reads from the broker."""
    chunks = JoinedChunks(TRUST_SLOTS, MAX_CHUNK_BYTES)
    ends = ((topic.rpartition("/")[2], data) for topic, data in retained.items() if "/trust/" in topic)
    slots = sorted((int(end), data) for end, data in ends if end != "index")
    return next(whole for slot, data in slots if (whole := chunks.put(slot, data)) is not None)


def revoked_in(store: TrustStore) -> bool:
    (bundle,) = store.bundles.values()
    return bundle.requesters[0].keys[0].revoked


def test_a_package_that_cannot_be_read_ends_no_page_and_the_page_says_so(root: Root) -> None:
    root.found()
    root.sign(root.list(1, BROKERS), *root.people[:2])
    root_publisher.publish_due(Brokers().open, NOW_S)
    (shared_root.files_of(root.organisation).folder / "package.json").write_bytes(bytes(PACKAGE_LIMIT_BYTES + 1))
    assert root.agency.client(Role.ADMIN).get("/trust", follow=True).status_code == 200
    root_publisher.publish_due(Brokers().open, NOW_S + 60)
    page = root.agency.client(Role.ADMIN).get("/trust", follow=True)
    assert (page.status_code, "package.json: longer than" in page.content.decode()) == (200, True)


@pytest.mark.parametrize(
    ("making", "fault"),
    [
        ("stamp", ConfigurationError("bundle-1.json has no signature.", remedy="doorward requester trust-root sign")),
        ("package_for", StorageError("brokers-1.json cannot be read.")),
    ],
)
def test_the_page_says_why_no_package_can_be_made(
    root: Root, monkeypatch: pytest.MonkeyPatch, making: str, fault: DoorwardError
) -> None:
    root.found()
    root.sign(root.list(1, BROKERS), *root.people[:2])
    brokers, said = Brokers(), fault.message
    with monkeypatch.context() as broken:
        broken.setattr(RootFolder, making, lambda *_args, **_more: (_ for _ in ()).throw(fault))
        root_publisher.publish_due(brokers.open, NOW_S)
        page = root.agency.client(Role.ADMIN).get("/trust", follow=True)
        assert (page.status_code, said in page.content.decode()) == (200, True)
    assert brokers.connected == []
    root_publisher.publish_due(brokers.open, NOW_S)
    assert brokers.connected == ["near.example.org:8884"]
    assert said not in root.agency.client(Role.ADMIN).get("/trust", follow=True).content.decode()


def test_the_desk_publishes_on_each_listed_broker_stamps_daily_and_notes_faults(root: Root) -> None:
    root.found()
    other = BROKERS.replace("near.", "far.")
    root.sign(root.list(1, BROKERS + other), *root.people[:2])
    brokers = Brokers()
    brokers.away.add("far.example.org:8884")
    root_publisher.publish_due(brokers.open, NOW_S)
    near = Publication.objects.get(broker="near.example.org:8884")
    far = Publication.objects.get(broker="far.example.org:8884")
    assert near.sha256 == root_publisher.package_sha256(root.organisation, NEAR)
    assert (near.problem, far.sha256) == ("", "")
    assert "does not answer" in far.problem
    name = shared_root.files_of(root.organisation).name_key.id
    kept = brokers.retained["near.example.org:8884"]
    chunks = [kept[f"doorward/v1/trust/{name}/{slot}"] for slot in range(TRUST_SLOTS)]
    whole = b"".join(chunk.partition(b"\n")[2] for chunk in chunks)
    assert whole == shared_root.files_of(root.organisation).package()
    brokers.connected.clear()
    brokers.away.clear()
    root_publisher.publish_due(brokers.open, NOW_S + 3600)
    assert brokers.connected == ["far.example.org:8884"], "the near one has it"
    stamped = root_publisher.stamped_until_s(root.organisation)
    root_publisher.publish_due(brokers.open, NOW_S + 86_400)
    assert root_publisher.stamped_until_s(root.organisation) == stamped + 86_400
    assert len(brokers.connected) == 3
    page = root.agency.client(Role.ADMIN).get("/trust").content.decode()
    assert "near.example.org:8884" in page
    assert "No certificate yet." in page


def test_a_broker_that_is_away_holds_up_no_revocation_at_the_others_and_no_end_of_the_desk(root: Root) -> None:
    root.found()
    other = BROKERS.replace("near.", "far.")
    root.sign(root.list(1, BROKERS + other), *root.people[:2])
    brokers = Brokers()
    brokers.away.add("near.example.org:8884")
    root_publisher.publish_due(brokers.open, NOW_S)
    root_publisher.publish_due(brokers.open, NOW_S + 86_400)
    near, far = "near.example.org:8884", "far.example.org:8884"
    assert brokers.connected == [near, far, far, near]
    ends, opened = threading.Event(), brokers.open

    def stop_meanwhile(organisation: object, address: BrokerAddress) -> Any:
        ends.set()
        return opened(organisation, address)

    root_publisher.publish_due(stop_meanwhile, NOW_S + 2 * 86_400, ends=ends)
    assert brokers.connected[4:] == [far], "it asks no further broker"


def test_a_revocation_that_is_signed_while_brokers_are_away_waits_for_one_of_them_at_most(root: Root) -> None:
    root.found()
    names = ("near", "east", "far")
    listed = "".join(BROKERS.replace("near.", f"{each}.") for each in names)
    near, east, far = (f"{each}.example.org:8884" for each in names)
    root.sign(root.list(1, listed), *root.people[:2])
    brokers = Brokers()
    brokers.away |= {near, east}
    root_publisher.publish_due(brokers.open, NOW_S)
    brokers.connected.clear()

    def sign_meanwhile(organisation: object, address: BrokerAddress) -> Any:
        if str(address) == near:
            root.sign(root.list(2, listed), *root.people[:2])
        return brokers.open(organisation, address)

    root_publisher.publish_due(sign_meanwhile, NOW_S + 60)
    root_publisher.publish_due(brokers.open, NOW_S + 120)
    assert brokers.connected == [near, far, near, east]


def test_brokers_of_one_root_that_are_away_hold_up_no_revocation_of_another_root(
    agency: Agency, other_agency: Agency, tmp_path_factory: pytest.TempPathFactory
) -> None:
    roots = [Root(each, tmp_path_factory.mktemp("root")) for each in (agency, other_agency)]
    for root, name in zip(roots, ("near", "far"), strict=True):
        root.found()
        root.sign(root.list(1, BROKERS.replace("near.", f"{name}.")), *root.people[:2])
    near, far = "near.example.org:8884", "far.example.org:8884"
    brokers = Brokers()
    brokers.away.add(near)
    root_publisher.publish_due(brokers.open, NOW_S)
    roots[1].sign(roots[1].list(2, BROKERS.replace("near.", "far.")), *roots[1].people[:2])
    root_publisher.publish_due(brokers.open, NOW_S + 60)
    assert brokers.connected == [near, far, far, near]


def test_a_list_that_was_proposed_for_one_key_is_proposed_again_for_several(agency: Agency, tmp_path: Path) -> None:
    root_keys.make_root_key(folder_of(agency.organisation) / "root", PASSPHRASE)
    root = Root(agency, tmp_path)
    early = root.list()
    root.sign(root.propose(passphrase=PASSPHRASE), *root.people[:2])
    for sign in (
        lambda: root.sign(early, root.people[1]),
        lambda: bundles.sign(early, root.people[1], PASSPHRASE),
    ):
        with pytest.raises(ConfigurationError, match="Several keys sign"):
            sign()
    assert root.sign(root.list(), *root.people[:2]).state == "signed"


def said(root: Root, at_s: int = NOW_S) -> str:
    return " ".join(each.words for each in due_reminders(root.organisation, day(at_s)))


def test_reminders_name_proposals_that_wait_keys_that_end_and_news_that_ended(root: Root) -> None:
    first = root.propose()
    assert "1 proposal of the trust root waits for signatures." in said(root), "the first keys wait, too"
    root.sign(first, *root.people[:2])
    root.list()
    assert "1 proposal of the trust root waits for signatures." in said(root)
    root.propose()
    (waiting,) = [each for each in due_reminders(root.organisation, day(NOW_S)) if "2 proposals" in each.words]
    assert len(set(waiting.keys)) == 2, "the mail is sent for each"
    shared_root.withdraw_root(RootDraft.objects.get(state="proposed"), root.people[0])
    root.sign(BundleDraft.objects.get(), *root.people[:2])
    root_publisher.publish_due(Brokers().open, NOW_S)
    assert "trust root" not in said(root)
    assert "The trust root's news ends on" in said(root, NOW_S + 5 * DAY_S)
    assert "The trust root's news has ended on" in said(root, NOW_S + 8 * DAY_S)
    assert "The keys of the trust root end on" in said(root, NOW_S + 700 * DAY_S)
    assert "The keys of the trust root have ended on" in said(root, NOW_S + 731 * DAY_S)


def test_a_list_that_the_next_people_have_to_sign_again_is_in_the_reminders(root: Root) -> None:
    root.found()
    root.sign(root.list(), *root.people[:2])
    assert "waits for signatures" not in said(root)
    root.sign(root.propose(threshold=3), *root.people)
    assert "1 proposal of the trust root waits for signatures." in said(root)


def test_a_broker_that_the_desk_does_not_reach_is_in_the_reminders_while_stamps_go_on(root: Root) -> None:
    """The desk stamps its package on each of twelve days, and one of two brokers never takes it."""
    root.found()
    root.sign(root.list(1, BROKERS + BROKERS.replace("near.", "far.")), *root.people[:2])
    certify(root, "near.example.org", "far.example.org")
    brokers = Brokers()
    assert "no news of the trust root" not in said(root), "the publisher has not run yet"
    assert "far.example.org:8884 has no news of the trust root" in said(root, NOW_S + 5 * DAY_S), "it never ran"
    brokers.away.add("far.example.org:8884")
    root_publisher.publish_due(brokers.open, NOW_S)
    assert "far.example.org:8884 has no news of the trust root" in said(root)
    brokers.away = set()
    root_publisher.publish_due(brokers.open, NOW_S)
    assert "far.example.org" not in said(root)
    brokers.away.add("far.example.org:8884")
    for day_number in range(1, 13):
        root_publisher.publish_due(brokers.open, NOW_S + day_number * DAY_S)
        Publication.objects.filter(problem="").update(published_at=day(NOW_S + day_number * DAY_S))
        told = said(root, NOW_S + day_number * DAY_S + 3600)  # the publisher dates by the real clock
        assert ("far.example.org:8884 has had no news of the trust root since" in told) == (day_number >= 4)
        assert "near.example.org" not in told
    assert "The trust root's news" not in told, "the stamp itself is fresh"
    over = [each.is_over for each in due_reminders(root.organisation, day(NOW_S + 12 * DAY_S)) if "far" in each.words]
    assert over == [True]
    with translation.override("nl"):
        assert "far.example.org:8884 heeft sinds" in said(root, NOW_S + 12 * DAY_S)
    Publication.objects.filter(broker__startswith="far").delete()
    assert "far.example.org:8884 has no news of the trust root" in said(root, NOW_S + 12 * DAY_S)


def test_a_missing_and_a_damaged_certificate_and_a_package_that_cannot_be_made_are_in_the_reminders(
    root: Root, monkeypatch: pytest.MonkeyPatch
) -> None:
    root.found()
    root.sign(root.list(1, BROKERS), *root.people[:2])
    root_publisher.publish_due(now_s=NOW_S)
    (missing,) = [each for each in due_reminders(root.organisation, day(NOW_S)) if "near.example.org" in each.words]
    assert "The trust root has no certificate that works for near.example.org" in missing.words
    certify(root, "near.example.org")
    assert "certificate" not in said(root)
    folder = shared_root.files_of(root.organisation).folder / "tls" / "near.example.org"
    (folder / "certificate.pem").write_bytes(b"damaged")
    assert "no certificate that works for near.example.org" in said(root)
    fault = ConfigurationError("bundle-1.json has no signature.", remedy="doorward requester trust-root sign")
    monkeypatch.setattr(RootFolder, "stamp", lambda *_args, **_more: (_ for _ in ()).throw(fault))
    root_publisher.publish_due(Brokers().open, NOW_S + DAY_S)
    assert "The desk cannot make the trust root's package" in said(root)


def certify(root: Root, *hosts: str) -> None:
    """Gives the root a certificate for each of these brokers, which works for 825 days."""
    folder, name = root_publisher.connection_of(root.organisation)
    pki = BrokerPki.create(root.folder / "pki", day(NOW_S))
    made = pki.add_root(name.removesuffix(".root"), day(NOW_S), request=make_request(folder, name))
    for host in hosts:
        files = (made.certificate.read_bytes(), made.authority.read_bytes())
        store_certificate(folder, name, *files, host, record=lambda: None)


def test_a_password_of_the_root_at_a_broker_that_left_its_list_is_shown_and_removed(
    root: Root, monkeypatch: pytest.MonkeyPatch
) -> None:
    root.found()
    root.sign(root.list(1, BROKERS), *root.people[:2])
    folder, _name = root_publisher.connection_of(root.organisation)
    for host in ("near.example.org", "left.example.org"):
        (folder / "tls" / host).mkdir(parents=True)
        (folder / "tls" / host / "broker.password").write_text("sekret\n")
    admin, page = root.agency.client(Role.ADMIN), "/trust/broker-password"
    shown = admin.get("/trust").content.decode()
    assert shown.count("The root does not publish there now.") == 1
    assert 'name="remove" value="left.example.org"' in shown
    assert "sekret" not in shown
    with monkeypatch.context() as patched:
        patched.setattr("desk.custody.log.sign_desk_checkpoint", lambda *_: (_ for _ in ()).throw(OperationalError))
        with pytest.raises(OperationalError):
            admin.post(page, {"remove": "left.example.org"})
    assert password_hosts(folder) == ["left.example.org", "near.example.org"], "without its entry nothing is removed"
    admin.post(page, {"remove": "left.example.org"})
    admin.post(page, {"remove": "../tls/near.example.org"})
    assert password_hosts(folder) == ["near.example.org"]
    removed = Entry.objects.get(action="root.broker-password-removed")
    assert removed.detail["broker"] == "left.example.org"
    assert "left.example.org" not in admin.get("/trust").content.decode()


def day(at_s: int) -> Any:
    return datetime.fromtimestamp(at_s, UTC)


def test_the_page_takes_two_people_from_their_keys_to_a_published_package(agency: Agency, tmp_path: Path) -> None:
    admin, supervisor = agency.client(Role.ADMIN), agency.client(Role.SUPERVISOR)
    words = {"passphrase": PASSPHRASE, "again": PASSPHRASE, "outside": ""}
    assert "Give a passphrase" in admin.post("/trust/keys/add", {"outside": ""}, follow=True).content.decode()
    assert admin.post("/trust/keys/add", words).status_code == 302
    outside = make_trust_key(tmp_path / "own.key").text
    assert supervisor.post("/trust/keys/add", {"outside": outside}).status_code == 302
    keys = list(RootKey.objects.values_list("pk", flat=True))
    proposal = {"keys": keys, "threshold": 2, "days": 365}
    assert "Proposed." in admin.post("/trust/keys/propose", proposal, follow=True).content.decode()
    draft = RootDraft.objects.get()
    path = f"/trust/keys/proposals/{draft.pk}"
    assert "Make the root&#x27;s key" not in admin.get("/trust").content.decode()
    admin.post("/trust/key", {"passphrase": PASSPHRASE, "again": PASSPHRASE})
    assert root_keys.root_key_of(folder_of(agency.organisation) / "root") is None, "the root has keys of several people"
    assert "2 signatures are missing" in supervisor.get("/trust").content.decode()
    shown = admin.post(f"{path}/sign", {"passphrase": "wrong"}, follow=True).content.decode()
    assert "does not open" in shown
    assert Entry.objects.filter(action="root-file.not-signed").count() == 1
    assert "More people" in admin.post(f"{path}/sign", {"passphrase": PASSPHRASE}, follow=True).content.decode()

    def signature(address: str) -> str:
        answer = supervisor.get(address)
        name = answer["Content-Disposition"].split('"')[1]
        (tmp_path / name).write_bytes(b"".join(answer))
        signer = FileSigner(load_key(tmp_path / "own.key"))
        return RootFolder(tmp_path).sign(tmp_path / name, signer).read_text()

    made = signature(f"{path}/payload")
    assert "Signed by all" in supervisor.post(f"{path}/sign", {"signature": made}, follow=True).content.decode()
    requester = requester_of(agency.organisation)
    text = list_of(requester.id, requester.key.text, 1, "2099-12-31")
    assert admin.post("/trust/propose", {"text": text}).status_code == 302
    listed = BundleDraft.objects.get()
    assert "Sign with your key" in admin.get("/trust").content.decode()
    admin.post(f"/trust/{listed.pk}/sign", {"passphrase": PASSPHRASE})
    supervisor.post(f"/trust/{listed.pk}/sign", {"signature": signature(f"/trust/{listed.pk}/payload")})
    assert admin.get("/trust/package").status_code == 404
    root_publisher.publish_due(Brokers().open)
    package = b"".join(admin.get("/trust/package"))
    name = parse_trust_key(RootDraft.objects.get().name_key)
    store, _ = TrustStore().with_root(name).accept(package, int(time.time()))
    assert store.resolve(name.id, requester.id, requester.key.id, int(time.time())) is not None
    dutch = admin.get("/trust", headers={"accept-language": "nl"}).content.decode()
    for said in ("2 van 2 personen", "Op de brokers", "Er is geen broker genoemd", "Pakket voor eigenaars downloaden"):
        assert said in dutch
    assert b"".join(admin.get("/trust/request.csr")).startswith(b"-----BEGIN CERTIFICATE REQUEST")
    assert browser().get("/trust/package").status_code == 302


@pytest.mark.broker
def test_the_desk_publishes_on_a_real_broker_with_the_certificate_of_its_operator(root: Root, tmp_path: Path) -> None:
    root.found()
    root.sign(root.list(), *root.people[:2])
    admin = root.agency.client(Role.ADMIN)
    with broker_with_clients(tmp_path / "broker") as world:
        broker = Broker(host="127.0.0.1", port=world.broker.requester_port)
        with override_settings(DESK=msgspec.structs.replace(settings.DESK, broker=broker)):
            root_publisher.publish_due()
            assert "no certificate for this broker" in Publication.objects.get().problem
            request = b"".join(admin.get("/trust/request.csr"))
            name = shared_root.files_of(root.organisation).name_key.id
            made = world.pki.add_root(name, datetime.now(UTC), request=request)
            world.broker.reload()
            files = {
                each: SimpleUploadedFile(each, getattr(made, each).read_bytes())
                for each in ("certificate", "authority")
            }
            wrong = {**files, "certificate": SimpleUploadedFile("certificate", made.authority.read_bytes())}
            admin.post("/trust/certificate", {**wrong, "host": "127.0.0.1"})
            assert not (shared_root.files_of(root.organisation).folder / "tls" / "127.0.0.1").exists()
            files["authority"].seek(0)
            admin.post("/trust/certificate", {**files, "host": "127.0.0.1"})
            root_publisher.publish_due()
            row = Publication.objects.get()
            assert (row.problem, row.sha256) == ("", root_publisher.package_sha256(root.organisation, NEAR))
            assert "The certificate works until" in admin.get("/trust").content.decode()
            said = admin.post("/trust/broker-password", {"host": "127.0.0.1", "password": "sekret"}, follow=True)
            assert "It also shows a password." in said.content.decode()
            assert b"sekret" not in said.content
            password = shared_root.files_of(root.organisation).folder / "tls" / "127.0.0.1" / "broker.password"
            assert (password.read_text(), password.stat().st_mode & 0o777) == ("sekret\n", 0o600)
            for wrong_host in ("elsewhere.example.org", ".."):
                admin.post("/trust/broker-password", {"host": wrong_host, "password": "sekret"})
            admin.post("/trust/broker-password", {"remove": "127.0.0.1"})
            assert not list(shared_root.files_of(root.organisation).folder.rglob("broker.password"))
            noted = Entry.objects.filter(action__startswith="root.broker-password").order_by("number")
            assert [(each.action, each.detail["broker"]) for each in noted] == [
                ("root.broker-password", "127.0.0.1"), ("root.broker-password-removed", "127.0.0.1"),
            ]  # fmt: skip
        bus = world.bus("rijnstad-police")
        bus.start()
        bus.subscribe(trust_filter(name))
        deadline, data, joined = time.monotonic() + 60, None, JoinedChunks(TRUST_SLOTS, MAX_CHUNK_BYTES)
        while data is None and time.monotonic() < deadline:
            event = bus.next_event(0.5)
            if isinstance(event, MessageReceived) and not event.topic.endswith("/index"):
                data = joined.put(int(event.topic.rpartition("/")[2]), event.payload)
    assert data == shared_root.files_of(root.organisation).package()
