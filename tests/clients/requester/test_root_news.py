"""News of a root over the broker: what a requester stores, and everything that a broker or a thief sends in vain."""

from __future__ import annotations

import contextlib
import json
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.clients.requester.identity import Requester
from agent.clients.requester.news import ReceiverEvent, ReceiverEventKind
from agent.clients.requester.receiving_service import DisclosureReceiver
from agent.clients.requester.root_news import MOST_HELD, JoinedChunks, RootNews, StoredNews
from agent.clients.requester.roots import KnownRoots
from agent.core.bus import MessageReceived
from agent.core.timebase import NS_PER_S
from agent.errors import ConfigurationError, DoorwardError, StorageError
from agent.wire import strictjson
from agent.wire.broker_directory import BrokerDirectory, CellBroker, directory_sha256
from agent.wire.fields import Kind
from agent.wire.topics import BrokersTopic, TrustTopic
from agent.wire.trust import RequesterEntry, RequesterKey, TrustBundle
from agent.wire.trust_package import split_directory, split_package
from tests.clients.requester.conftest import NOW_S
from tests.clients.requester.doors import TestClock
from tests.clients.requester.test_roots import ELSEWHERE as FAR
from tests.clients.requester.test_roots import HERE, RIJNSTAD, bundle_for
from tests.fake_bus import FakeBroker, FakeBus
from tests.wire import package_vectors, samples

ROOT = samples.ROOT_KEY.id
VECTORS = Path(__file__).parents[2] / "vectors"
DAY_S = 86_400
THIEF = samples.ROOT_SIGNERS[2]


def directory(*hosts: str) -> bytes:
    brokers = tuple(CellBroker(host=host, port=8884, cells=(HERE,)) for host in hosts)
    return strictjson.encode(BrokerDirectory(v=1, root=ROOT, brokers=brokers))


NEAR, BOTH = directory("near.example.org"), directory("near.example.org", "new.example.org")
OTHER = directory("other.example.org")


def bundle(requester: Requester, version: int, brokers: bytes | None, *, key: str = "") -> TrustBundle:
    valid = RequesterKey(key=key or requester.key.text, from_s=NOW_S - 3000 * DAY_S, until_s=NOW_S + 300 * DAY_S)
    entry = RequesterEntry(
        id=requester.id, name="Rijnstad Police", kind=Kind.POLICE, keys=(valid,), regions=(RIJNSTAD,)
    )  # fmt: skip
    named = directory_sha256(brokers) if brokers is not None else None
    return TrustBundle(v=1, root=ROOT, version=version, issued_s=NOW_S, requesters=(entry,), directory_sha256=named)


def package(
    requester: Requester, version: int, brokers: bytes | None, stamp: int = 1, *, key: str = "", **changes: Any
) -> bytes:
    """A package of the root. Its timestamp works for a week from now on."""
    dates = {"issued_s": NOW_S - 10, "expires_s": NOW_S + 7 * DAY_S}
    return samples.package(bundle(requester, version, brokers, key=key), version=stamp, **{**dates, **changes})


def news_of(requester: Requester) -> RootNews:
    return RootNews(KnownRoots(requester), NOW_S)


def hear(
    news: RootNews, data: bytes | None = None, brokers: bytes | None = None, now_s: int = NOW_S
) -> list[StoredNews]:
    """Delivers a directory and a package, chunk by chunk."""
    found = []
    for slot, chunk in enumerate(split_directory(brokers) if brokers else ()):
        found.append(news.take(BrokersTopic(ROOT, slot), chunk, now_s))
    for slot, chunk in enumerate(split_package(data) if data else ()):
        found.append(news.take(TrustTopic(ROOT, slot), chunk, now_s))
    return [each for each in found if each is not StoredNews.NOTHING]


def hosts(requester: Requester) -> list[str]:
    listed = KnownRoots(requester).own_brokers(NOW_S)
    return [each.host for each in listed[1]] if listed is not None else []


@pytest.fixture
def listed(requester: Requester) -> Requester:
    """A requester with the root's package of version 3 and a directory of one broker."""
    data = package(requester, 3, NEAR, 5)
    KnownRoots(requester).accept(samples.ROOT_KEY.text, data, NOW_S, NEAR)
    return requester


def test_a_new_list_of_brokers_is_stored_without_a_file(listed: Requester) -> None:
    assert hosts(listed) == ["near.example.org"]
    assert hear(news_of(listed), package(listed, 4, BOTH, 6), BOTH) == [StoredNews.BROKERS]
    assert hosts(listed) == ["near.example.org", "new.example.org"]


def test_of_a_long_list_a_requester_keeps_its_region_and_two_brokers_do_not_undo_each_other(
    listed: Requester, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each of its brokers has the sections of other cells, with the same head."""
    head = bundle(listed, 4, NEAR)
    own = samples.section("284-369", "284-370", *head.requesters)
    west = samples.section("284-367", "284-369", samples.local(1, 52.1, 3.6, 52.4, 4.8))
    far = samples.section("290-380", "290-380", samples.local(2, 55.1, 10.1, 55.4, 10.4))
    head = msgspec.structs.replace(head, requesters=(), sections=(own[0], west[0], far[0]))
    dates = {"version": 6, "issued_s": NOW_S - 10, "expires_s": NOW_S + 7 * DAY_S}
    whole, near, wide = (
        samples.package(head, sections=tuple(data for _, data in parts), **dates)
        for parts in ((own, west, far), (own, west), (own,))
    )
    roots = KnownRoots(listed)
    roots.accept(samples.ROOT_KEY.text, whole, NOW_S)
    assert samples.local(2, 55.1, 10.1, 55.4, 10.4).name not in str(
        listed.notes.read(f"roots/{ROOT}/bundle.dsse", 1 << 20)
    )
    written: list[str] = []
    change = listed.notes.change
    monkeypatch.setattr(
        listed.notes, "change", lambda name, *more, **named: (written.append(name), change(name, *more, **named))[1]
    )
    news = RootNews(roots, NOW_S)
    for _ in range(3):
        assert [*hear(news, near), *hear(news, wide)] == []
    assert written == []
    assert roots.entry(ROOT, NOW_S) is not None
    with pytest.raises(DoorwardError, match="does not list the key"):
        hear(news, samples.package(head, sections=(far[1],), **dates))


def test_the_package_may_come_before_its_directory_and_both_of_before_stay_meanwhile(listed: Requester) -> None:
    news = news_of(listed)
    assert hear(news, package(listed, 4, BOTH, 6)) == []
    assert hosts(listed) == ["near.example.org"]
    assert hear(news, brokers=directory("evil.example.org")) == []
    assert hosts(listed) == ["near.example.org"]
    hear(news, package(listed, 4, BOTH, 6))
    assert hear(news, brokers=BOTH) == [StoredNews.BROKERS]
    assert hosts(listed) == ["near.example.org", "new.example.org"]


def test_a_list_with_the_same_brokers_needs_no_directory_and_a_timestamp_alone_is_no_news(listed: Requester) -> None:
    news, later = news_of(listed), {"issued_s": NOW_S + 3 * DAY_S, "expires_s": NOW_S + 10 * DAY_S}
    assert hear(news, package(listed, 4, NEAR, 6)) == [StoredNews.LIST]
    assert hear(news, package(listed, 4, NEAR, 7, **later)) == []
    assert KnownRoots(listed).ends_s(ROOT) == NOW_S + 10 * DAY_S
    assert hear(news, package(listed, 5, None, 8)) == [StoredNews.LIST], "it names no brokers: the connection stays"


def test_another_worker_that_stored_the_news_first_does_not_keep_this_one_from_connecting(listed: Requester) -> None:
    mine, theirs, data = news_of(listed), news_of(listed), package(listed, 4, BOTH, 6)
    assert hear(theirs, data, BOTH) == [StoredNews.BROKERS]
    assert hear(mine, data, BOTH) == [StoredNews.BROKERS]
    assert hear(mine, data, BOTH) == []


@pytest.mark.parametrize("fails_at", [1, 2])
def test_a_fault_between_two_writes_leaves_the_brokers_of_before_and_the_news_heals_it(
    listed: Requester, monkeypatch: pytest.MonkeyPatch, fails_at: int
) -> None:
    news, data, write, count = news_of(listed), package(listed, 4, BOTH, 6), listed.notes.write, 0

    def full(*words: Any, **named: Any) -> None:
        nonlocal count
        count += 1
        if count == fails_at:
            raise StorageError("The disk is full.")
        write(*words, **named)

    with monkeypatch.context() as patch:
        patch.setattr(listed.notes, "write", full)
        with pytest.raises(StorageError):
            hear(news, data, BOTH)
    assert hosts(listed) == ["near.example.org"]
    assert hear(news, data, BOTH) == [StoredNews.BROKERS]
    assert hosts(listed) == ["near.example.org", "new.example.org"]


def test_another_worker_that_reads_between_two_writes_has_brokers(
    listed: Requester, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen, write, remove = [], listed.notes.write, listed.notes.remove

    def watched(act: Any) -> Any:
        def acted(*words: Any, **named: Any) -> None:
            act(*words, **named)
            seen.append(len(hosts(Requester.open(listed.folder))))

        return acted

    monkeypatch.setattr(listed.notes, "write", watched(write))
    monkeypatch.setattr(listed.notes, "remove", watched(remove))
    hear(news_of(listed), package(listed, 4, BOTH, 6), BOTH)
    hear(news_of(listed), package(listed, 5, OTHER, 7), OTHER)
    assert seen == [1, 2, 2, 2, 1], "directory, bundle; directory, the oldest directory is removed, bundle"


def test_a_worker_that_is_overtaken_neither_goes_back_nor_removes_the_newer_directory(
    listed: Requester, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has checked its news, and then waits for another worker that stores newer news."""
    change, theirs = listed.notes.change, Requester.open(listed.folder)

    def overtaken(*words: Any, **named: Any) -> None:
        hear(news_of(theirs), package(listed, 5, OTHER, 7), OTHER)
        change(*words, **named)

    monkeypatch.setattr(listed.notes, "change", overtaken)
    with pytest.raises(ConfigurationError, match="another of version 5 was seen before"):
        hear(news_of(listed), package(listed, 4, BOTH, 6), BOTH)
    assert hosts(listed) == ["other.example.org"]


def test_news_heals_a_directory_that_is_missing_or_damaged(listed: Requester) -> None:
    path = listed.folder / "roots" / ROOT / f"brokers-{directory_sha256(NEAR)}.json"
    for damage in (path.unlink, lambda: path.write_bytes(NEAR[:-1] + b"x")):
        damage()
        with pytest.raises(ConfigurationError, match="this folder has none"):
            hosts(listed)
        hear(news_of(listed), package(listed, 3, NEAR, 5), NEAR)
        assert hosts(listed) == ["near.example.org"]


def _attacks(requester: Requester) -> dict[str, tuple[bytes, bytes | None]]:
    evil = directory("evil.example.org")
    stranger = samples.ROOT_SIGNERS[:2]
    return {
        "rollback to an older list": (package(requester, 2, evil, 9), evil),
        "another list of the same version": (package(requester, 3, evil, 9), evil),
        "an older timestamp": (package(requester, 3, NEAR, 4), None),
        "frozen: it has ended": (
            package(requester, 4, evil, 9, issued_s=NOW_S - 9 * DAY_S, expires_s=NOW_S - 1), evil,
        ),
        "signed by one of three": (package(requester, 4, evil, 9, signers=(THIEF,)), evil),
        "signed by the name key": (package(requester, 4, evil, 9, signers=(samples.ROOT,)), evil),
        "root files of the name key": (package(requester, 4, evil, 9, **package_vectors.by_name_key(3)), evil),
        "stamped by a thief": (package(requester, 4, evil, 9, stamper=THIEF), evil),
        "mixed: the timestamp of another list": (
            package(requester, 4, evil, 9, named=bundle(requester, 4, NEAR)), evil,
        ),
        "without this requester": (package(requester, 4, evil, 9, key=samples.DEVICE_KEY.text), evil),
        "a bundle alone": (bundle_for(requester, 4), None),
        "of another root": (
            samples.package(
                msgspec.structs.replace(bundle(requester, 4, evil), root="0" * 16), signers=stranger, version=9,
                issued_s=NOW_S, expires_s=NOW_S + DAY_S,
            ),
            evil,
        ),
    }  # fmt: skip


ATTACKS = (
    "rollback to an older list",
    "another list of the same version",
    "an older timestamp",
    "frozen: it has ended",
    "signed by one of three",
    "signed by the name key",
    "root files of the name key",
    "stamped by a thief",
    "mixed: the timestamp of another list",
    "without this requester",
    "a bundle alone",
    "of another root",
)


@pytest.mark.parametrize("name", ATTACKS)
def test_what_a_broker_or_a_thief_sends_is_refused_and_what_is_stored_stays(listed: Requester, name: str) -> None:
    data, evil = _attacks(listed)[name]
    before = listed.notes.read(f"roots/{ROOT}/bundle.dsse", 1 << 21)
    news = news_of(listed)
    with pytest.raises(ConfigurationError):
        hear(news, data, evil)
    assert listed.notes.read(f"roots/{ROOT}/bundle.dsse", 1 << 21) == before
    assert hosts(listed) == ["near.example.org"]
    # And the honest news still arrives on the same connection.
    assert hear(news, package(listed, 4, BOTH, 6), BOTH) == [StoredNews.BROKERS]


def test_after_a_rotation_retired_keys_lead_no_requester_to_other_brokers(listed: Requester) -> None:
    news, roots = news_of(listed), KnownRoots(listed)
    hear(news, package(listed, 4, NEAR, 1, **package_vectors.TWO_FILES))
    before, evil = listed.notes.read(f"roots/{ROOT}/bundle.dsse", 1 << 21), directory("evil.example.org")
    for chain in (package_vectors.by_name_key(3), package_vectors.by_keys_of_the_first_file(3)):
        thiefs = package(listed, 9, evil, 9, **chain)
        with pytest.raises(ConfigurationError, match="has another root file 2 than") as refused:
            hear(news, thiefs, evil)
        assert "Ask the root in another way" in refused.value.remedy
        with pytest.raises(ConfigurationError, match="has another root file 2 than") as refused:
            roots.accept(samples.ROOT_KEY.text, thiefs, NOW_S, evil)
        assert "Ask the root in another way" in refused.value.remedy
    assert (listed.notes.read(f"roots/{ROOT}/bundle.dsse", 1 << 21), hosts(listed)) == (before, ["near.example.org"])
    assert hear(news, package(listed, 5, BOTH, 1, **package_vectors.THREE_FILES), BOTH) == [StoredNews.BROKERS]


def test_news_of_another_root_is_not_even_joined(listed: Requester) -> None:
    news = news_of(listed)
    for slot, chunk in enumerate(split_package(package(listed, 4, BOTH, 6))):
        assert news.take(TrustTopic("0" * 16, slot), chunk, NOW_S) is StoredNews.NOTHING
    assert hosts(listed) == ["near.example.org"]


def test_a_requester_without_a_root_hears_nothing(requester: Requester) -> None:
    news = news_of(requester)
    assert news.filters == ()
    assert hear(news, package(requester, 4, BOTH, 6), BOTH) == []


def test_after_its_end_the_news_is_known_to_be_old(listed: Requester) -> None:
    assert KnownRoots(listed).ends_s(ROOT) == NOW_S + 7 * DAY_S
    assert KnownRoots(listed).ends_s("0" * 16) == 0


def test_publications_join_as_the_vectors_say() -> None:
    vectors = json.loads((VECTORS / "wire" / "directories.json").read_text())
    for name, each in vectors["published"].items():
        chunks = JoinedChunks(9, 122_880)
        found = [chunks.put(slot, text.encode()) for slot, text in each["messages"]]
        wholes = [data for data in found if data is not None]
        assert wholes[:1] == ([vectors["directory"].encode()] if each["verdict"] == "whole" else []), name


@given(st.randoms(use_true_random=False), st.integers(1, 9), st.integers(1, 4))
def test_chunks_join_in_any_order_beside_those_of_other_brokers(rng: random.Random, parts: int, others: int) -> None:
    """Each broker sends its own publication. The order of all messages is drawn."""

    def cut(data: bytes) -> list[tuple[int, bytes]]:
        length = -(-len(data) // parts)
        head = f"{directory_sha256(data)} {-(-len(data) // length)}\n".encode()
        return [(at // length, head + data[at : at + length]) for at in range(0, len(data), length)]

    publications = [directory(f"b{number}.example.org", "x" * 40) for number in range(others)]
    messages = [each for data in publications for each in cut(data)]
    rng.shuffle(messages)
    chunks = JoinedChunks(9, 122_880)
    found = [whole for slot, data in messages if (whole := chunks.put(slot, data)) is not None]
    assert sorted(found) == sorted(publications)


def test_a_flood_of_chunks_has_a_bound(listed: Requester) -> None:
    chunks = JoinedChunks(9, 122_880)
    for number in range(1000):
        chunks.put(number % 9, f"{number:064x} 9\n".encode() + b"x" * 1000)
    assert len(chunks._held) <= MOST_HELD
    news = news_of(listed)
    for number in range(50):
        hear(news, brokers=directory(f"b{number}.example.org"))
    assert [len(each.whole) for each in news._sources.values()] == [MOST_HELD]


@pytest.mark.parametrize("seed", range(8))
def test_one_hostile_broker_of_two_cannot_keep_the_news_of_the_other_away(listed: Requester, seed: int) -> None:
    """It sends junk under the same hashes, old news, and other whole directories. The order is drawn."""
    rng, package_4, package_5 = random.Random(seed), package(listed, 4, NEAR, 6), package(listed, 5, BOTH, 7)

    def cut(data: bytes, parts: int, topic: type[TrustTopic] | type[BrokersTopic]) -> list[Any]:
        length, head = -(-len(data) // parts), f"{directory_sha256(data)} {parts}\n".encode()
        return [(topic(ROOT, slot), head + data[slot * length : (slot + 1) * length]) for slot in range(parts)]

    honest = [*cut(BOTH, 3, BrokersTopic), *cut(package_5, 3, TrustTopic)]
    junk = [(topic, data.partition(b"\n")[0] + b"\njunk") for topic, data in honest]
    others = [each for n in range(9) for each in cut(directory(f"evil{n}.example.org"), 1, BrokersTopic)]
    hostile = [*junk, *junk, *cut(package_4, 3, TrustTopic), *others]
    messages = [*((each, "near") for each in honest), *((each, "evil") for each in hostile)]
    rng.shuffle(messages)
    news = news_of(listed)
    for (topic, data), source in messages:
        with contextlib.suppress(DoorwardError):
            news.take(topic, data, NOW_S, source)
    assert hosts(listed) == ["near.example.org", "new.example.org"]


def test_a_root_that_is_imported_while_the_receiver_runs_is_heard(requester: Requester) -> None:
    news = news_of(requester)
    assert news.look(NOW_S) is StoredNews.NOTHING
    KnownRoots(requester).accept(samples.ROOT_KEY.text, package(requester, 3, NEAR, 5), NOW_S, NEAR)
    assert news.look(NOW_S) is StoredNews.BROKERS
    assert news.filters
    assert news.look(NOW_S) is StoredNews.NOTHING
    assert hear(news, package(requester, 4, BOTH, 6), BOTH) == [StoredNews.BROKERS]
    assert news.look(NOW_S) is StoredNews.NOTHING, "its own news is no change"
    KnownRoots(requester).accept(samples.ROOT_KEY.text, package(requester, 5, OTHER, 7), NOW_S, OTHER)
    assert news.look(NOW_S) is StoredNews.BROKERS, "a newer file of the same root"


def test_a_root_that_is_chosen_in_place_of_another_is_heard(listed: Requester) -> None:
    """Both bundles are in the folder, and no profile names a root."""
    second, key = samples.OWNER, samples.OWNER_ROOT
    brokers = strictjson.encode(msgspec.structs.replace(strictjson.decode(BOTH, BrokerDirectory), root=key.id))
    made = msgspec.structs.replace(bundle(listed, 1, brokers), root=key.id)
    news, roots = news_of(listed), KnownRoots(listed)
    signed = samples.several(made, second)
    roots.accept(key.text, signed, NOW_S, brokers)
    roots.choose(ROOT)
    assert news.look(NOW_S) is StoredNews.NOTHING
    roots.choose(key.id)
    assert news.look(NOW_S) is StoredNews.BROKERS
    assert all(each.startswith("doorward/v1/") and f"/{key.id}/" in each for each in news.filters)
    assert hosts(listed) == ["near.example.org", "new.example.org"]
    assert hear(news, package(listed, 4, OTHER, 6), OTHER) == [], "the root of before"


def test_a_package_that_waits_for_its_directory_is_dropped_with_its_root(listed: Requester) -> None:
    """Otherwise the next directory of the new root would offer it, and the refusal would name the new root."""
    second, key = samples.OWNER, samples.OWNER_ROOT
    signed = samples.several(msgspec.structs.replace(bundle(listed, 1, None), root=key.id), second)
    news, roots = news_of(listed), KnownRoots(listed)
    assert hear(news, package(listed, 4, BOTH, 6)) == [], "it waits"
    roots.accept(key.text, signed, NOW_S)
    roots.choose(key.id)
    assert news.look(NOW_S) is StoredNews.NOTHING
    for slot, chunk in enumerate(split_directory(OTHER)):
        assert news.take(BrokersTopic(key.id, slot), chunk, NOW_S) is StoredNews.NOTHING


def test_a_list_with_which_the_requester_cannot_connect_keeps_the_connection_of_before(listed: Requester) -> None:
    news, missing = news_of(listed), package(listed, 4, BOTH, 6)
    KnownRoots(listed).accept(samples.ROOT_KEY.text, missing, NOW_S)
    assert news.look(NOW_S) is StoredNews.NOTHING, "the file of brokers was not imported"
    assert hear(news, missing, BOTH) == [StoredNews.BROKERS]
    elsewhere = strictjson.encode(
        BrokerDirectory(v=1, root=ROOT, brokers=(CellBroker(host="far.example.org", port=8884, cells=(FAR,)),))
    )
    assert hear(news, package(listed, 5, elsewhere, 7), elsewhere) == [StoredNews.LIST]
    KnownRoots(listed).accept(samples.ROOT_KEY.text, package(listed, 6, None, 8), NOW_S)
    assert news.look(NOW_S) is StoredNews.NOTHING, "no list to connect by"
    assert hear(news, package(listed, 7, None, 9)) == [StoredNews.LIST]


def test_a_list_of_brokers_that_a_person_imports_after_its_bundle_is_heard(listed: Requester) -> None:
    """The bundle came alone first, so the second import stores the same bundle."""
    news, data = news_of(listed), package(listed, 4, BOTH, 6)
    KnownRoots(listed).accept(samples.ROOT_KEY.text, data, NOW_S)
    assert news.look(NOW_S) is StoredNews.NOTHING
    KnownRoots(listed).accept(samples.ROOT_KEY.text, data, NOW_S, BOTH)
    assert news.look(NOW_S) is StoredNews.BROKERS
    assert news.look(NOW_S) is StoredNews.NOTHING


class Heard:
    """A receiving service on a broker that has the root's news."""

    def __init__(self, requester: Requester) -> None:
        self.events: list[ReceiverEvent] = []
        broker, self.clock = FakeBroker(), TestClock()
        self.bus = FakeBus(broker, requester.id)
        self.bus.start()
        self.receiver = DisclosureReceiver(requester, self.bus, self.clock, tell=self.events.append)
        self.receiver.start()

    def deliver(self, topics: Sequence[tuple[str, bytes]]) -> list[ReceiverEventKind]:
        for topic, data in topics:
            self.receiver._received(MessageReceived(topic, data))
        return [each.kind for each in self.events if each.kind.name.startswith("ROOT_")]


def published(data: bytes, brokers: bytes) -> list[tuple[str, bytes]]:
    return [
        *((str(BrokersTopic(ROOT, slot)), each) for slot, each in enumerate(split_directory(brokers))),
        *((str(TrustTopic(ROOT, slot)), each) for slot, each in enumerate(split_package(data))),
    ]


def test_the_receiving_service_subscribes_says_what_it_heard_and_a_refusal_once(listed: Requester) -> None:
    heard = Heard(listed)
    try:
        assert set(heard.bus._filters) >= {f"doorward/v1/trust/{ROOT}/+", f"doorward/v1/brokers/{ROOT}/+"}
        bad = published(package(listed, 4, BOTH, 6, signers=(THIEF,)), BOTH)
        assert heard.deliver([*bad, *bad]) == [ReceiverEventKind.ROOT_REFUSED]
        assert heard.deliver([(str(TrustTopic(ROOT, 0)), b"")]) == [ReceiverEventKind.ROOT_REFUSED]
        good = published(package(listed, 4, BOTH, 6), BOTH)
        assert heard.deliver(good)[1:] == [ReceiverEventKind.ROOT_BROKERS]
    finally:
        heard.bus.stop()


def test_the_receiving_service_follows_a_root_that_a_person_imports(requester: Requester) -> None:
    heard = Heard(requester)
    try:
        assert not any("/trust/" in each for each in heard.bus._filters)
        KnownRoots(requester).accept(samples.ROOT_KEY.text, package(requester, 3, NEAR, 5), NOW_S, NEAR)
        for _ in range(11):
            heard.clock.boot_ns += NS_PER_S
            heard.receiver.step(0)
        assert set(heard.bus._filters) >= {f"doorward/v1/trust/{ROOT}/+", f"doorward/v1/brokers/{ROOT}/+"}
        assert heard.deliver([]) == [ReceiverEventKind.ROOT_BROKERS]
    finally:
        heard.bus.stop()


def test_the_stored_news_is_what_the_next_start_connects_by(listed: Requester) -> None:
    hear(news_of(listed), package(listed, 4, BOTH, 6), BOTH)
    again = Requester.open(listed.folder)
    assert hosts(again) == ["near.example.org", "new.example.org"]
    with pytest.raises(DoorwardError, match="another of version 4 was seen before"):
        KnownRoots(again).accept(samples.ROOT_KEY.text, package(again, 3, NEAR, 5), NOW_S, NEAR)
