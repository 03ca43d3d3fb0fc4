"""The trusted roots and their requesters: each record in the journal, each notice, and what a start reads again."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import replace
from typing import Any
from unittest import mock

import pytest
from structlog.testing import capture_logs

from agent.core.timebase import NS_PER_S, ClockQuality
from agent.custodian.trust_store import TrustManager, _seen
from agent.errors import RequestError, StorageError
from agent.wire import strictjson
from agent.wire.envelope import pae, with_signatures
from agent.wire.identities import private_key_from_seed, public_key_of
from agent.wire.statements import TrustChange
from agent.wire.trust import OpenedBundle, SeenVersion, TrustStore
from agent.wire.trust_keys import TrustKey
from agent.wire.trust_package import RootFile
from tests.custodian.test_trust_that_travels import package, publish
from tests.custodians import APPROVER, FIRE, NOW_S, POLICE, ROOT, Door, bundle, signed, stated
from tests.recorder.thread_owner_check import plant
from tests.wire import package_vectors, samples

KEY = samples.ROOT_KEY
OTHER = samples.pair(private_key_from_seed(b"o" * 32))
CHANGED = ("trust", "The list of trusted requesters has changed.")
NEW = ("new requester", "A new requester may ask you for footage. Review it.")
HEARD = ("trust news", "A trust root has changed its list. Review it.")
SILENT = ("trust silent", "A trust root has sent no news for too long. Revocations may be missing. Review it.")


@pytest.fixture
def door() -> Iterator[Door]:
    """It has an owner, and no root yet."""
    made = Door()
    made.enrol()
    made.told.news.clear()
    yield made
    made.close()


def trust(door: Door) -> TrustManager:
    return door.custodian.custodian_state.trust


def choose(door: Door, **changes: Any) -> bytes:
    """The signed statement with which an owner changes the roots."""
    change = TrustChange(**stated(), **changes)
    door.obey(change)
    return signed(change, APPROVER)


def kept(door: Door) -> dict[str, bytes]:
    return door.journal.named("trust.")


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def test_a_root_its_bundle_and_those_of_whom_the_owner_was_told_are_in_the_journal_and_go_with_the_root(
    door: Door,
) -> None:
    assert kept(door) == {}
    added = choose(door, roots_added=(KEY.text,))
    assert (trust(door).roots(), trust(door).bundles(), trust(door).changes()) == ([KEY.text], [], [added])
    first = signed(bundle(1), ROOT)
    trust(door).accept(first)
    records = {
        f"root.{KEY.id}": KEY.text.encode(),
        f"bundle.{KEY.id}": first,
        f"newest.{KEY.text}": f"1 {sha256(strictjson.encode(bundle(1)))} 0 0 0 -".encode(),
        f"announced.{KEY.id}": b"harbour-fire harbour-police",
        "signed.00000001": added,
    }
    assert kept(door) == records
    assert trust(door).bundles() == [first]
    other = choose(door, roots_added=(OTHER.text,), roots_removed=(KEY.text,))
    newest = {name: data for name, data in records.items() if name.startswith("newest")}
    signs = {"signed.00000001": added, "signed.00000002": other}
    assert kept(door) == {**newest, **signs, f"root.{OTHER.id}": OTHER.text.encode()}
    assert (trust(door).roots(), trust(door).changes()) == ([OTHER.text], [added, other])
    assert [(each["kind"], each.get("version")) for each in door.entries()][-3:] == [
        ("trust-changed", None), ("trust-changed", 1), ("trust-changed", None),
    ]  # fmt: skip


def test_a_line_with_the_id_of_a_chosen_root_and_another_second_key_removes_nothing(door: Door) -> None:
    choose(door, roots_added=(KEY.text,))
    trust(door).accept(signed(bundle(1), ROOT))
    choose(door, roots_removed=(replace(KEY, mldsa_sha256=OTHER.mldsa_sha256).text,))
    assert trust(door).roots() == [KEY.text]
    assert trust(door).store.bundles[KEY.id].version == 1


def test_a_list_of_a_false_pair_with_the_id_of_a_root_locks_the_root_out_no_longer_than_it_is_chosen(
    door: Door,
) -> None:
    false, highest = package_vectors.FORGED, (1 << 53) - 1
    forged = package_vectors.by_forged_pair(bundle(highest))
    choose(door, roots_added=(false.text,))
    trust(door).accept(forged)
    true = package(bundle(2))
    publish(door, true)
    assert trust(door).bundles() == [forged], "the package of the root itself is refused"
    choose(door, roots_removed=(false.text,))
    choose(door, roots_added=(KEY.text,))
    assert trust(door).heard() == [true], "it was published before, and is judged again"
    trust(door).accept(true)
    door.start()
    assert trust(door).store.bundles[KEY.id].version == 2
    newest = {name: data.split()[0] for name, data in kept(door).items() if name.startswith("newest")}
    assert newest == {f"newest.{false.text}": b"%d" % highest, f"newest.{KEY.text}": b"2"}
    choose(door, roots_removed=(KEY.text,))
    choose(door, roots_added=(false.text,))
    with pytest.raises(RequestError, match="was seen before"):
        trust(door).accept(package_vectors.by_forged_pair(bundle(highest - 1)))
    choose(door, roots_removed=(false.text,))
    choose(door, roots_added=(KEY.text,))
    with pytest.raises(RequestError, match="was seen before"):
        trust(door).accept(package(bundle(1)))


@pytest.mark.parametrize("before", [package_vectors.FORGED, KEY])
def test_a_package_that_was_judged_while_its_root_was_taken_out_is_judged_when_the_root_is_chosen(
    door: Door, before: TrustKey
) -> None:
    choose(door, roots_added=(before.text,))
    hear = trust(door).hear

    def removing(data: bytes) -> bool:
        try:
            return hear(data)
        finally:
            choose(door, roots_removed=(before.text,))

    with mock.patch.object(trust(door), "hear", removing):
        publish(door, package(bundle(1)))
    choose(door, roots_added=(KEY.text,))
    assert len(trust(door).heard()) == 1


@pytest.mark.parametrize("before", [package_vectors.FORGED, KEY])
def test_the_verdict_on_a_package_ends_with_the_choice_of_its_root_also_if_two_changes_come_at_once(
    door: Door, before: TrustKey
) -> None:
    """The look after the first change may come after the second one. The broker repeats what it retains."""
    choose(door, roots_added=(before.text,))
    retained = package(bundle(1))
    publish(door, retained)
    with mock.patch.object(door.custodian._trust_news, "look"):
        choose(door, roots_removed=(before.text,))
        choose(door, roots_added=(KEY.text,))
    assert trust(door).heard() == []
    door.custodian._trust_news.look()
    assert trust(door).heard() == [retained]


def test_a_notice_about_a_false_pair_with_the_id_of_a_root_takes_the_place_of_none_about_the_root(door: Door) -> None:
    """The false pair may sign the very payloads of the root."""
    payload = strictjson.encode(samples.root_file())
    signed = pae(RootFile.PAYLOAD_TYPE, payload)
    signatures = {public_key_of(key).id: samples.root_signature(key, signed) for key in samples.ROOT_SIGNERS[:2]}
    signatures[package_vectors.FORGED.id] = package_vectors.forged_signature(signed)
    forged = with_signatures(RootFile.PAYLOAD_TYPE, payload, signatures)
    told = []
    for root, of_pair in ((package_vectors.FORGED, {"roots": (forged,)}), (KEY, {})):
        door.told.onces.clear()
        choose(door, roots_added=(root.text,))
        publish(door, samples.package(bundle(2), **of_pair))
        trust(door).accept(samples.package(bundle(2), **of_pair))
        publish(door, samples.package(bundle(3, FIRE), version=2, **of_pair))
        door.clock.advance(8 * 86_400)
        trust(door).on_time()
        told.append({(kind, once) for kind, once in door.told.onces if once})
        door.clock.advance(-8 * 86_400)
        choose(door, roots_removed=(root.text,))
    assert [len(each) for each in told] == [3, 3], "what waits, what is gone, and that the root is silent"
    assert not told[0] & told[1]


def test_a_package_of_a_pair_that_was_exchanged_while_it_was_verified_is_judged_again(door: Door) -> None:
    """An owner may take a false pair out at that moment, and its package would count as one of the root."""
    choose(door, roots_added=(KEY.text,))
    verified = TrustStore.open

    def exchanging(store: TrustStore, data: bytes) -> OpenedBundle:
        found = verified(store, data)
        if trust(door).roots() == [KEY.text]:
            choose(door, roots_removed=(KEY.text,))
            choose(door, roots_added=(package_vectors.FORGED.text,))
        return found

    with mock.patch.object(TrustStore, "open", exchanging):
        assert not trust(door).hear(package(bundle(1)))
    assert trust(door).heard() == []
    assert not [name for name in kept(door) if name.startswith("newest")]


def test_a_newer_bundle_is_recorded_by_the_hash_of_its_envelope_and_who_comes_back_is_new_again(door: Door) -> None:
    choose(door, roots_added=(KEY.text,))
    requesters = {"harbour-fire", "harbour-police"}
    for version, keys, announced, told in (
        (1, (POLICE,), b"harbour-police", NEW),
        (2, (POLICE, FIRE), b"harbour-fire harbour-police", NEW),
        (3, (FIRE,), b"harbour-fire", CHANGED),
        (4, (POLICE, FIRE), b"harbour-fire harbour-police", NEW),
        (5, (FIRE, POLICE), b"harbour-fire harbour-police", CHANGED),
    ):
        door.told.news.clear()
        envelope = signed(bundle(version, *keys), ROOT)
        trust(door).accept(envelope)
        entry = door.entries()[-1]
        assert (entry["kind"], entry["version"], entry["subject"]) == ("trust-changed", version, sha256(envelope))
        assert door.journal.get(f"trust.announced.{KEY.id}") == announced
        assert door.told.news == [told]
        now = {each.id for each in trust(door).store.bundles[KEY.id].requesters}
        assert {name for name in requesters if trust(door).name_of(KEY.id, name).endswith("bundle)")} == (
            requesters - now
        )


def test_a_requester_is_called_by_its_name_in_the_bundle(door: Door) -> None:
    choose(door, roots_added=(KEY.text,))
    trust(door).accept(signed(bundle(1, POLICE), ROOT))
    assert trust(door).name_of(KEY.id, "harbour-police") == "Harbour Police"
    gone = "harbour-fire (no longer in a trust bundle)"
    assert trust(door).name_of(KEY.id, "harbour-fire") == trust(door).name_of(OTHER.id, "harbour-fire") == gone


def test_a_start_reads_everything_again_and_tells_of_nobody_twice(door: Door) -> None:
    choose(door, roots_added=(KEY.text,))
    trust(door).accept(signed(bundle(1), ROOT))
    before, records = trust(door).store, kept(door)
    door.told.news.clear()
    door.start()
    assert (trust(door).store, kept(door), door.told.news) == (before, records, [])
    door.journal.put(f"trust.announced.{KEY.id}", b"harbour-fire")
    door.start()
    assert door.told.news == [NEW], "a power cut came between the change and the notice"
    assert kept(door) == records


def test_a_notice_that_fails_is_logged_and_repeated_at_the_next_start(door: Door) -> None:
    choose(door, roots_added=(KEY.text,))
    failing = mock.Mock(side_effect=StorageError("The queue of alerts is full."))
    tell = trust(door)._tell
    plant(trust(door), _tell=failing)
    with capture_logs() as logs:
        trust(door).accept(signed(bundle(1), ROOT))
    assert [each for each in logs if each["log_level"] == "warning"] == [
        {"event": "requesters_not_announced", "log_level": "warning", "error": "The queue of alerts is full."}
    ]
    assert door.journal.get(f"trust.announced.{KEY.id}") is None
    plant(trust(door), _tell=tell)
    door.told.news.clear()
    door.start()
    assert door.told.news == [NEW]
    assert door.journal.get(f"trust.announced.{KEY.id}") == b"harbour-fire harbour-police"


def test_a_package_that_gives_waits_beside_the_agreed_one_and_an_owners_yes_takes_its_place(door: Door) -> None:
    choose(door, roots_added=(KEY.text,))
    agreed, wider = package(bundle(1, POLICE)), package(bundle(2, POLICE, FIRE))
    trust(door).accept(agreed)
    door.told.news.clear()
    assert trust(door).hear(wider)
    assert (trust(door).bundles(), trust(door).heard(), door.told.news) == ([agreed], [wider], [HEARD])
    seen = trust(door).store.open(wider).seen
    left = trust(door).store.bundles[KEY.id]
    assert {name: data for name, data in kept(door).items() if name.startswith(("heard", "rights", "newest"))} == {
        f"heard.{KEY.id}": wider,
        f"rights.{KEY.id}": strictjson.encode(left),
        f"newest.{KEY.text}": f"2 {seen.sha256} 1 {seen.timestamp} {seen.ends_s} {seen.root_sha256}".encode(),
    }
    assert [entry.id for entry in left.requesters] == ["harbour-police"]
    door.start()
    assert trust(door).store.bundles[KEY.id] == left
    trust(door).accept(wider)
    assert (trust(door).bundles(), trust(door).heard()) == ([wider], [])
    assert door.journal.get(f"trust.rights.{KEY.id}") is None


def test_a_package_that_takes_away_is_in_force_and_in_the_ledger_at_once(door: Door) -> None:
    choose(door, roots_added=(KEY.text,))
    trust(door).accept(package(bundle(1)))
    door.told.news.clear()
    narrower = package(bundle(2, POLICE))
    assert trust(door).hear(narrower)
    assert (trust(door).bundles(), trust(door).heard(), door.told.news) == ([narrower], [], [HEARD])
    entry = door.entries()[-1]
    assert (entry["kind"], entry["version"], entry["reason"]) == ("trust-changed", 2, "tightened")
    assert entry["subject"] == trust(door).store.open(narrower).sha256
    assert door.journal.get(f"trust.announced.{KEY.id}") == b"harbour-police"
    before, kinds = kept(door), door.kinds()
    assert trust(door).hear(narrower), "it is here already"
    assert (kept(door), door.kinds()) == (before, kinds)


def test_a_bundle_that_is_no_package_and_one_of_a_root_that_was_not_chosen_change_nothing(door: Door) -> None:
    choose(door, roots_added=(KEY.text,))
    before = kept(door)
    with pytest.raises(RequestError, match="Only packages of a root"):
        trust(door).hear(signed(bundle(1), ROOT))
    assert kept(door) == before


def test_a_renewed_timestamp_is_written_once_in_ten_minutes_and_a_new_bundle_at_once(door: Door) -> None:
    """A thief of the timestamp's key must not wear out the disk."""
    choose(door, roots_added=(KEY.text,))
    assert trust(door).hear(package(bundle(1, POLICE)))
    assert not trust(door).hear(package(bundle(1, POLICE)))
    door.clock.boot_ns += 600 * NS_PER_S - 1
    assert not trust(door).hear(package(bundle(1, POLICE)))
    door.clock.boot_ns += 1
    assert trust(door).hear(package(bundle(1, POLICE)))
    assert not trust(door).hear(package(bundle(1, POLICE)))
    assert trust(door).hear(package(bundle(2, POLICE)))


def test_an_owner_is_told_once_of_a_root_whose_newest_package_has_ended(door: Door) -> None:
    choose(door, roots_added=(KEY.text,))
    trust(door).accept(package(bundle(1)))
    ends_s = trust(door).store.newest[KEY.text].ends_s
    door.told.news.clear()

    def told_at(at_s: int) -> list[Any]:
        door.told.news.clear()
        door.clock.utc_offset_ns = at_s * NS_PER_S - door.clock.boot_ns
        plant(trust(door), _clock=door.clock)  # its date needs no confirmation
        trust(door).on_time()
        return list(door.told.news)

    assert ends_s > NOW_S
    assert told_at(ends_s) == []
    door.clock.quality = ClockQuality.UNKNOWN
    assert told_at(ends_s + 1) == []
    door.clock.quality = ClockQuality.SYNCED
    assert told_at(ends_s + 1) == [SILENT]
    assert told_at(ends_s + 2) == []
    choose(door, roots_removed=(KEY.text,))
    assert told_at(ends_s + 3) == []


@pytest.mark.parametrize(
    "text", [
        b"", b"1", b"1 ab 0 0 -", b"1 ab 0 0 0 0 -", b"x ab 0 0 0 -", b"1 ab x 0 0 -", b"1 ab 0 0 x -",
        b"-1 ab 0 0 0 -", b"1 ab 0 0 0", b"1 ab 1 2 3", b"1 ab 1 2 3 -", b"1 ab 0 0 0 cd",
    ],
)  # fmt: skip
def test_a_record_of_the_newest_package_that_is_damaged_is_named(text: bytes) -> None:
    with pytest.raises(StorageError, match="trust records are damaged"):
        _seen(text)


def test_a_record_of_the_newest_package_is_read_as_it_was_written() -> None:
    assert _seen(b"7 abcd 2 3 99 ef01") == SeenVersion(7, "abcd", 2, 3, 99, "ef01")
    assert _seen(b"7 abcd 0 0 0 -") == SeenVersion(7, "abcd")
