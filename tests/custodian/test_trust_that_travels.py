"""Packages of trust roots that arrive over the network: they take rights away at once, and give none without an
owner."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.core.consent import RequestState
from agent.core.timebase import ClockQuality
from agent.errors import DoorwardError, OpenError, RequestError, StorageError
from agent.wire import strictjson
from agent.wire.statements import TrustChange
from agent.wire.topics import TrustIndexTopic, TrustTopic
from agent.wire.trust import RequesterEntry, TrustBundle
from agent.wire.trust_package import split_package
from tests import custodians
from tests.custodian.test_owners_and_trust import break_ledger, mend_ledger, trust
from tests.custodians import FIRE, NOW_S, POLICE, Door, bundle, stated
from tests.properties.amounts import amount
from tests.wire import package_vectors, samples

ROOT = samples.ROOT_KEY.id
DAY_S = 86_400


@pytest.fixture
def door() -> Any:
    """It trusts both requesters by a package that an owner agreed to: bundle 1, timestamp 1."""
    made = Door.enrolled()
    trust(made).accept(package(bundle(2)))
    made.told.news.clear()
    yield made
    made.close()


_stamps = itertools.count(2)


def package(listed: TrustBundle, **changes: Any) -> bytes:
    return samples.package(listed, **{"version": next(_stamps), **changes})


def publish(door: Door, data: bytes, root: str = ROOT) -> None:
    """As the broker delivers it."""
    for slot, chunk in enumerate(split_package(data)):
        door.custodian.on_message(str(TrustTopic(root, slot)), chunk)


def listed(door: Door) -> tuple[RequesterEntry, ...]:
    return trust(door).store.bundles[ROOT].requesters


def last(door: Door) -> dict[str, Any]:
    return door.entries()[-1]


def test_a_revoked_key_is_out_at_once_without_an_owner_and_the_ledger_says_so(door: Door) -> None:
    waiting = door.ask(POLICE)
    assert door.state(waiting) is RequestState.PENDING
    publish(door, package(bundle(3, revoked=True)))
    assert door.state(door.ask(POLICE)) is None
    assert door.state(waiting) is not RequestState.PENDING
    entry = next(each for each in door.entries() if each.get("version") == 3)
    assert (entry["kind"], entry["reason"]) == ("trust-changed", "tightened")
    assert trust(door).heard() == []


def test_an_agency_that_is_taken_off_the_list_may_ask_no_longer(door: Door) -> None:
    publish(door, package(bundle(3, POLICE)))
    assert door.state(door.ask(FIRE)) is None
    assert door.state(door.ask(POLICE)) is RequestState.PENDING


def test_a_new_agency_waits_for_one_tap_and_the_tap_gives_exactly_the_new_bundle(door: Door) -> None:
    trust(door).accept(package(bundle(3, POLICE)))
    door.told.news.clear()
    new = bundle(4, POLICE, FIRE)
    publish(door, package(new))
    assert door.state(door.ask(FIRE)) is None
    assert [kind for kind, _ in door.told.news] == ["trust news"]
    [waiting] = trust(door).heard()
    trust(door).accept(waiting)
    assert trust(door).store.bundles[ROOT] == new
    assert trust(door).heard() == []
    assert door.state(door.ask(FIRE)) is RequestState.PENDING


def test_what_is_taken_away_and_what_is_given_in_one_bundle_part_ways(door: Door) -> None:
    trust(door).accept(package(bundle(3, POLICE)))
    publish(door, package(bundle(4, FIRE)))
    assert door.state(door.ask(POLICE)) is None
    assert door.state(door.ask(FIRE)) is None
    trust(door).accept(trust(door).heard()[0])
    assert door.state(door.ask(POLICE)) is None
    assert door.state(door.ask(FIRE)) is RequestState.PENDING


def test_an_alert_of_news_names_nobody_and_waits_before_it_leaves_the_house() -> None:
    from agent.core.alerts.kinds import ALERTS

    for name in ("trust news", "trust keys", "trust silent"):
        assert ALERTS[name].delayed
        assert not {"police", "fire"} & set(ALERTS[name].text.lower().split())
    assert ALERTS["request"].delayed
    assert not ALERTS["trust"].delayed


def test_a_doorbell_that_chose_a_root_after_its_package_came_offers_it_at_once() -> None:
    door = Door.enrolled()
    door.obey(TrustChange(**stated(), roots_removed=(samples.ROOT_KEY.text,)))
    publish(door, package(bundle(3)))
    assert trust(door).heard() == []
    door.obey(TrustChange(**stated(), roots_added=(samples.ROOT_KEY.text,)))
    assert len(trust(door).heard()) == 1
    assert listed(door) == ()
    assert door.state(door.ask()) is None
    trust(door).accept(trust(door).heard()[0])
    assert door.state(door.ask()) is RequestState.PENDING
    door.close()


def test_a_root_that_is_removed_and_chosen_again_gives_nothing_back_by_itself(door: Door) -> None:
    publish(door, package(bundle(3, POLICE)))
    for change in ("roots_removed", "roots_added"):
        door.obey(TrustChange(**stated(), **{change: (samples.ROOT_KEY.text,)}))
    assert door.state(door.ask(POLICE)) is None
    assert len(trust(door).heard()) == 1


def test_a_key_that_was_revoked_over_the_network_does_not_come_back_by_itself(door: Door) -> None:
    publish(door, package(bundle(3, revoked=True)))
    publish(door, package(bundle(4)))
    assert door.state(door.ask(POLICE)) is None
    door.start()
    assert door.state(door.ask(POLICE)) is None
    trust(door).accept(trust(door).heard()[0])
    assert door.state(door.ask(POLICE)) is RequestState.PENDING


def test_a_package_that_is_repeated_writes_nothing(door: Door) -> None:
    data = package(bundle(3, POLICE))
    publish(door, data)
    before = door.journal.named("trust."), door.kinds()
    publish(door, data)
    publish(door, data)
    assert (door.journal.named("trust."), door.kinds()) == before


def test_a_package_that_waits_and_is_repeated_after_a_start_changes_nothing(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    trust(door).accept(package(bundle(3, POLICE)))
    data = package(bundle(4, POLICE, FIRE))
    publish(door, data)
    assert trust(door).heard() == [data]
    door.start()
    changes: list[None] = []
    monkeypatch.setattr(trust(door), "on_change", lambda: changes.append(None))
    publish(door, data)
    assert (trust(door).heard(), changes) == ([data], [])


def test_a_package_that_was_judged_is_judged_again_only_if_its_root_is_chosen_again(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = package(bundle(3, POLICE))
    publish(door, data)
    judged: list[bytes] = []
    hear = trust(door).hear
    monkeypatch.setattr(trust(door), "hear", lambda package: (judged.append(package), hear(package))[1])
    publish(door, data)
    other = samples.pair(OTHER_ROOT).text
    for change in ({"roots_added": (other,)}, {"roots_removed": (other,)}):
        door.obey(TrustChange(**stated(), **change))
    assert judged == []
    for change in ({"roots_removed": (samples.ROOT_KEY.text,)}, {"roots_added": (samples.ROOT_KEY.text,)}):
        door.obey(TrustChange(**stated(), **change))
    assert judged[0] == data


def test_whoever_has_the_key_of_the_timestamp_renews_it_at_most_once_in_ten_minutes(door: Door) -> None:
    for _ in range(20):
        publish(door, package(bundle(2)))
    first = trust(door).store.newest[samples.ROOT_KEY.text].timestamp
    for after_s, renewed in ((599, 0), (1, 21)):
        door.clock.advance(after_s)
        publish(door, package(bundle(2)))
        assert trust(door).store.newest[samples.ROOT_KEY.text].timestamp == first + renewed


def test_a_lost_chunk_or_a_full_disk_only_delays_a_revocation(door: Door) -> None:
    data = package(bundle(3, revoked=True))
    break_ledger(door)
    with pytest.raises(StorageError):
        publish(door, data)
    mend_ledger(door)
    assert door.state(door.ask(POLICE)) is RequestState.PENDING
    publish(door, data)
    assert door.state(door.ask(POLICE)) is None


# -- attacks -----------------------------------------------------------------------------------------------------------


def stolen_root(**changes: Any) -> dict[str, Any]:
    """The package of a thief who has one of three keys and the timestamp's."""
    return {"signers": (package_vectors.STOLEN,), **changes}


OTHER_ROOT = samples.private_key("another root")
THIEFS = samples.bundle(version=9, requesters=(samples.requester(keys=(custodians.bundle().requesters[1].keys[0],)),))
ATTACKS: dict[str, Callable[[], bytes]] = {
    "rollback to an older bundle": lambda: package(bundle(1)),
    "rollback to an older timestamp": lambda: package(bundle(2), version=1),
    "another bundle of the same version": lambda: package(bundle(2, POLICE)),
    "mix and match of an old bundle and a new timestamp": lambda: package(bundle(2), named=bundle(3)),
    "mix and match of a new bundle and an old timestamp": lambda: package(bundle(3, POLICE), named=bundle(2)),
    "one of three root keys stolen": lambda: package(THIEFS, **stolen_root()),
    "one of three root keys and the timestamp's stolen": lambda: package(THIEFS, **stolen_root()),
    "the name key found again": lambda: package(THIEFS, signers=(samples.ROOT,)),
    "a bundle for another root": lambda: package(samples.bundle(root=samples.pair(OTHER_ROOT).id, version=9)),
    "a rotation by one stolen key": lambda: package(
        THIEFS,
        roots=(package_vectors.FIRST, samples.several(package_vectors.ROTATED, package_vectors.STOLEN)),
        root=package_vectors.ROTATED,
        signers=(package_vectors.STOLEN, package_vectors.NEW),
    ),
    "root files of the name key": lambda: package(THIEFS, **package_vectors.by_name_key(1)),
    "root files 1 to 3 of the name key": lambda: package(THIEFS, **package_vectors.by_name_key(3)),
    "junk from another publisher": lambda: b'{"bundle":"junk"}',
    "endless data": lambda: b'{"bundle":' + b"[" * 40_000,
    "a bundle without its package": lambda: custodians.signed(bundle(9, POLICE), samples.ROOT),
}


@pytest.mark.parametrize("name", ATTACKS)
@pytest.mark.parametrize("clock", ["right", "of 1970"])
def test_of_no_attack_anything_takes_effect(door: Door, name: str, clock: str) -> None:
    if clock == "of 1970":
        door.clock.quality, door.clock.utc_offset_ns = ClockQuality.UNKNOWN, 0
    before = door.journal.named("trust."), door.kinds(), trust(door).store
    publish(door, ATTACKS[name]())
    assert (door.journal.named("trust."), door.kinds(), trust(door).store) == before
    assert sum(door.journal.counters().values()) >= 1
    assert door.told.news == []
    assert door.outgoing() == []
    door.start()
    assert trust(door).store == before[2]


def test_a_package_of_another_root_under_the_topic_of_this_one_changes_nothing(door: Door) -> None:
    other = samples.pair(OTHER_ROOT)
    root = samples.root_file(root=other.id)
    theirs = samples.package(
        samples.bundle(root=other.id, version=9), root=root,
        roots=(samples.several(root, OTHER_ROOT, *samples.ROOT_SIGNERS[:2]),),
    )  # fmt: skip
    store = trust(door).store
    publish(door, theirs)
    assert trust(door).store == store
    # Not even if the owner chose that root, too: it takes and gives its own requesters only.
    door.obey(TrustChange(**stated(), roots_added=(other.text,)))
    publish(door, theirs)
    assert trust(door).store.bundles[ROOT] == store.bundles[ROOT]


def test_junk_in_one_slot_delays_a_package_until_the_root_publishes_again(door: Door) -> None:
    data = package(bundle(3, revoked=True))
    publish(door, b"junk")
    publish(door, data)
    assert door.state(door.ask(POLICE)) is None


@pytest.mark.parametrize(
    ("topic", "chunk"),
    [
        (str(TrustTopic(ROOT, 0)), b"no chunk"),
        (str(TrustIndexTopic(ROOT)), b"no index"),
        (f"doorward/v1/trust/{ROOT}/0/more", b"any"),
        ("doorward/v1/trust/no-root/0", b"any"),
    ],
)
def test_what_is_no_chunk_of_a_package_is_counted_and_stands_in_no_packages_way(
    door: Door, topic: str, chunk: bytes
) -> None:
    door.custodian.on_message(topic, chunk)
    assert door.journal.counters() == {"malformed": 1}
    publish(door, package(bundle(3, revoked=True)))
    assert door.state(door.ask(POLICE)) is None


def test_freeze_the_owner_is_told_once_and_an_ended_package_cannot_be_agreed_to(door: Door) -> None:
    data = package(bundle(3), issued_s=NOW_S - 10, expires_s=NOW_S + 60)
    door.clock.advance(8 * DAY_S)
    door.custodian.on_time()
    door.custodian.on_time()
    assert [kind for kind, _ in door.told.news if kind == "trust silent"] == ["trust silent"]
    with pytest.raises(RequestError, match="ended"):
        trust(door).accept(data)
    assert len(listed(door)) == 2  # what the owner agreed to goes on


def test_freeze_what_takes_away_counts_though_its_timestamp_has_ended(door: Door) -> None:
    data = package(bundle(3, revoked=True), issued_s=NOW_S - 10, expires_s=NOW_S - 5)
    publish(door, data)
    assert door.state(door.ask(POLICE)) is None


def test_freeze_ends_with_the_next_package(door: Door) -> None:
    door.clock.advance(8 * DAY_S)
    door.custodian.on_time()
    now_s = door.clock.now().utc_ns // 10**9
    publish(door, package(bundle(2), issued_s=now_s, expires_s=now_s + DAY_S))
    door.told.news.clear()
    door.custodian.on_time()
    door.clock.advance(2 * DAY_S)
    door.custodian.on_time()
    assert [kind for kind, _ in door.told.news] == ["trust silent"]


def test_with_a_clock_of_1970_a_revocation_counts_and_nothing_is_given(door: Door) -> None:
    door.clock.quality, door.clock.utc_offset_ns = ClockQuality.UNKNOWN, 0
    publish(door, package(bundle(3, POLICE, revoked=True)))
    assert door.state(door.ask(POLICE)) is None
    publish(door, package(bundle(4)))
    assert door.state(door.ask(FIRE)) is None
    door.custodian.on_time()
    assert "trust silent" not in [kind for kind, _ in door.told.news]


def test_the_owner_is_told_once_that_other_keys_sign_for_a_root_and_not_of_a_root_file_that_only_lasts_longer(
    door: Door,
) -> None:
    longer = samples.root_file(version=2, expires_s=samples.NOW_S + 700 * DAY_S)
    renewed = samples.several(longer, *samples.ROOT_SIGNERS[:2])
    publish(door, package(bundle(2), roots=(package_vectors.FIRST, renewed), root=longer, version=1))
    assert trust(door).store.seen(ROOT).root_version == 2  # type: ignore[union-attr]
    assert "trust keys" not in [kind for kind, _ in door.told.news]
    changed = msgspec.structs.replace(package_vectors.ROTATED, version=3)
    new = samples.several(changed, *samples.ROOT_SIGNERS[:2], package_vectors.NEW)
    files = {"roots": (package_vectors.FIRST, renewed, new), "root": changed}
    signers = (package_vectors.ONE, package_vectors.NEW)
    for version in (1, 2):
        publish(door, package(bundle(2), **files, signers=signers, version=version))
    assert trust(door).store.seen(ROOT).root_version == 3  # type: ignore[union-attr]
    assert [kind for kind, _ in door.told.news].count("trust keys") == 1
    assert len(listed(door)) == 2, "it gives and takes no right"
    assert trust(door).heard() == []


def test_the_owner_is_told_of_other_keys_also_if_the_list_waits_for_a_yes(door: Door) -> None:
    trust(door).accept(package(bundle(3, POLICE)))
    door.told.news.clear()
    rotated = {"roots": (package_vectors.FIRST, package_vectors.SECOND), "root": package_vectors.ROTATED}
    publish(door, package(bundle(4), **rotated, signers=(package_vectors.ONE, package_vectors.NEW), version=1))
    assert {kind for kind, _ in door.told.news} == {"trust news", "trust keys"}


def test_a_key_that_was_rotated_out_signs_nothing_more(door: Door) -> None:
    rotated = {"roots": (package_vectors.FIRST, package_vectors.SECOND), "root": package_vectors.ROTATED}
    publish(door, package(bundle(3), **rotated, version=1))
    for signers in ((package_vectors.ONE, package_vectors.STOLEN),):
        publish(door, package(bundle(4, POLICE), **rotated, signers=signers))
        publish(door, package(bundle(4, POLICE), signers=signers))
    assert len(listed(door)) == 2
    publish(door, package(bundle(4, POLICE), **rotated, signers=(package_vectors.ONE, package_vectors.NEW)))
    assert len(listed(door)) == 1


@pytest.mark.parametrize("way", ["heard", "agreed to"])
def test_after_a_rotation_neither_the_name_key_nor_retired_keys_sign_other_root_files(door: Door, way: str) -> None:
    rotated = package(bundle(3), **package_vectors.TWO_FILES)
    if way == "heard":
        publish(door, rotated)
    else:
        trust(door).accept(rotated)
    door.start()
    before = door.journal.named("trust."), trust(door).store
    chains = [package_vectors.by_name_key(n) for n in (1, 2, 3)]
    chains += [package_vectors.by_keys_of_the_first_file(n) for n in (2, 3)]
    for chain in chains:
        data = package(THIEFS, **chain)
        publish(door, data)
        with pytest.raises(RequestError):
            trust(door).accept(data)
        with pytest.raises(RequestError):
            trust(door).hear(data)
    assert (door.journal.named("trust."), trust(door).store) == before
    with pytest.raises(RequestError, match="has another root file 2 than one that was seen before") as refused:
        trust(door).accept(package(THIEFS, **chains[-1]))
    assert "Ask the root in another way" in refused.value.remedy
    # An owner who removes the root and chooses it again makes no way for the thief either.
    for change in ("roots_removed", "roots_added"):
        door.obey(TrustChange(**stated(), **{change: (samples.ROOT_KEY.text,)}))
    with pytest.raises(RequestError, match="another root file 2"):
        trust(door).accept(package(THIEFS, **chains[-1]))
    # The root itself goes on: the same keys, and the next ones.
    trust(door).accept(package(bundle(4), **package_vectors.TWO_FILES))
    trust(door).accept(package(bundle(5, POLICE), version=1, **package_vectors.THREE_FILES))
    assert len(listed(door)) == 1


def test_a_doorbell_that_skipped_a_root_file_takes_the_next_one_and_is_bound_by_it(door: Door) -> None:
    publish(door, package(bundle(3, POLICE), version=1, **package_vectors.THREE_FILES))
    assert len(listed(door)) == 1
    store = trust(door).store
    publish(door, package(bundle(4, FIRE), version=9, **package_vectors.by_keys_of_the_first_file(3)))
    publish(door, package(bundle(4, FIRE), version=9, **package_vectors.by_keys_of_the_first_file(4)))
    assert trust(door).store == store


def test_an_old_journal_from_a_backup_takes_the_newest_package_and_no_older_one_than_it_knew(door: Door) -> None:
    """The backup has forgotten newer versions: only the timestamp's end bounds how old a package may be."""
    old = door.journal.named("trust.")
    publish(door, package(bundle(5, POLICE, revoked=True)))
    for name in door.journal.named("trust."):
        door.journal.remove(f"trust.{name}")
    for name, value in old.items():
        door.journal.put(f"trust.{name}", value)
    door.start()
    assert door.state(door.ask(POLICE)) is RequestState.PENDING
    publish(door, package(bundle(1)))
    assert trust(door).store.newest[samples.ROOT_KEY.text].version == 2
    publish(door, package(bundle(5, POLICE, revoked=True)))
    assert door.state(door.ask(POLICE)) is None


# -- the store, crashed at each durable step ---------------------------------------------------------------------------

_PARTIES = (POLICE, FIRE)


@st.composite
def steps(draw: st.DrawFn) -> list[tuple[Any, ...]]:
    step = st.tuples(
        st.sampled_from(("hear", "hear", "agree", "restart", "renew")),
        st.sets(st.integers(0, 1)),
        st.booleans(),
        st.integers(0, 6),
    )
    return draw(st.lists(step, min_size=1, max_size=10))


def rights(store: Any) -> set[tuple[str, str]]:
    found = store.bundles.get(ROOT)
    entries = found.requesters if found else ()
    return {(entry.id, key.key) for entry in entries for key in entry.keys if not key.revoked}


def allowed(found: TrustBundle) -> set[tuple[str, str]]:
    return {(entry.id, key.key) for entry in found.requesters for key in entry.keys if not key.revoked}


@settings(max_examples=amount(8, 200), deadline=None)
@given(steps())
def test_whatever_happens_and_whenever_the_power_fails_no_right_comes_that_no_owner_agreed_to(
    taken: list[tuple[Any, ...]],
) -> None:
    """A model of the store: `have` is in force. A failing disk leaves the old or the new state, never a third."""
    door = Door.enrolled()
    trust(door).accept(package(bundle(2)))
    have, version, newest = rights(trust(door).store), 2, bundle(2)
    for kind, parties, is_revoked, fails_at in taken:
        before = trust(door).store
        if kind == "restart":
            door.start()
            assert trust(door).store == before
            continue
        waiting = trust(door).heard()
        if kind == "hear":
            version += 1
            chosen = [_PARTIES[number] for number in sorted(parties)] or list(_PARTIES)
            newest = bundle(version, *chosen, revoked=is_revoked)
        data = waiting[0] if kind == "agree" and waiting else package(newest)
        expected = allowed(newest) if kind == "agree" else have & allowed(newest)
        act = trust(door).accept if kind == "agree" else trust(door).hear
        door.clock.advance(601)
        failed = failing_at(door, fails_at, lambda act=act, data=data: act(data))
        if failed:
            assert trust(door).store == before
            door.start()
            assert trust(door).store == before
            act = trust(door).accept if kind == "agree" else trust(door).hear
            act(data)
        have = expected
        assert rights(trust(door).store) == have
        door.start()
        assert rights(trust(door).store) == have
        assert trust(door).store.newest[samples.ROOT_KEY.text].version == version
    door.close()


def failing_at(door: Door, number: int, act: Callable[[], object]) -> bool:
    """Runs `act` with a disk that refuses the write of that number. Returns True if that stopped it."""
    count, put = itertools.count(), door.journal.put

    def refusing(name: str, value: bytes, **more: Any) -> None:
        if next(count) == number:
            raise StorageError("The power is gone.")
        put(name, value, **more)

    door.journal.put = refusing  # type: ignore[method-assign]
    try:
        act()
    except StorageError:
        return True
    finally:
        door.journal.put = put  # type: ignore[method-assign]
    return False


def test_damaged_records_of_what_was_heard_are_named_at_start(door: Door) -> None:
    trust(door).accept(package(bundle(3, POLICE)))
    publish(door, package(bundle(4)))
    door.journal.put(f"trust.rights.{ROOT}", b"{}")
    with pytest.raises(DoorwardError):
        door.start()


def test_a_package_in_the_journal_that_is_older_than_what_was_seen_is_named_at_start(door: Door) -> None:
    trust(door).accept(package(bundle(3, POLICE)))
    older = package(bundle(4))
    publish(door, package(bundle(5)))
    assert trust(door).heard()
    door.journal.put(f"trust.heard.{ROOT}", older)
    with pytest.raises(RequestError, match="seen before"):
        door.start()


def test_the_devices_own_note_gives_nothing_beyond_what_an_owner_agreed_to(door: Door) -> None:
    trust(door).accept(package(bundle(3, POLICE)))
    publish(door, package(bundle(4)))
    door.journal.put(f"trust.rights.{ROOT}", strictjson.encode(bundle(4)))
    door.start()
    assert [entry.id for entry in listed(door)] == ["harbour-police"]


def test_a_start_tells_of_a_package_that_waits_though_the_power_failed_before_the_notice(door: Door) -> None:
    trust(door).accept(package(bundle(3, POLICE)))
    publish(door, package(bundle(4)))
    door.told.news.clear()
    door.start()
    assert "trust news" in [kind for kind, _ in door.told.news]


def test_a_stranger_signs_nothing(door: Door) -> None:
    with pytest.raises(OpenError):
        trust(door).hear(package(bundle(9), signers=(package_vectors.THIEF, package_vectors.NEW)))


def test_an_alert_that_cannot_be_sent_undoes_nothing(door: Door) -> None:
    from tests.recorder.thread_owner_check import plant

    def nobody_hears(_kind: str, _text: str, _once: str) -> None:
        raise StorageError("The disk is full.")

    plant(trust(door), _tell_once=nobody_hears)
    publish(door, package(bundle(3, POLICE)))
    assert door.state(door.ask(FIRE)) is None
