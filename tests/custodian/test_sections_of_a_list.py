"""Lists in sections by region at a doorbell: it needs those of its cell, and counts no requester of another one."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest

from agent.core.consent import RequestState
from agent.errors import RequestError, StorageError
from agent.wire.identities import public_key_of
from agent.wire.statements import TrustChange
from agent.wire.trust import (
    NamedSection,
    OpenedBundle,
    RequesterEntry,
    RequesterKey,
    TrustBundle,
    TrustStore,
    with_sections,
)
from tests import custodians
from tests.custodian.test_owners_and_trust import trust
from tests.custodian.test_trust_that_travels import listed, package, publish
from tests.custodians import FIRE, NAMES, POLICE, Door, signed, stated
from tests.wire import samples

ROOT = samples.ROOT_KEY.id
DAY_S = 86_400
HERE, SOUTH = "287-379", "286-379"
IN_THE_SOUTH = (53.3, 9.7)
COUNTRY = samples.local(1, 50.0, 5.0, 56.0, 14.0)

Section = tuple[NamedSection, bytes]


def agency(key: Any, south: float, north: float, **changes: Any) -> RequesterEntry:
    """The police or the fire brigade of these tests, between two latitudes."""
    name = NAMES[public_key_of(key).id]
    valid = RequesterKey(key=public_key_of(key).text, from_s=0, until_s=custodians.NOW_S * 2, **changes)
    return samples.local(2, south, 9.6, north, 10.4, id=name, name=name.title(), keys=(valid,))


def here(*entries: RequesterEntry) -> Section:
    return samples.section(HERE, "287-380", *entries)


POLICE_HERE = here(agency(POLICE, 53.51, 53.9))
BORDER = samples.section(SOUTH, "287-380", agency(FIRE, 53.2, 53.9))
SOUTHERN = samples.section(SOUTH, "286-380", samples.local(5, 53.1, 9.6, 53.4, 9.9))
NORTHERN = samples.section("288-379", "288-380", samples.local(6, 54.1, 9.6, 54.4, 9.9))
LOCAL = (POLICE_HERE, BORDER)
STRANGE = samples.section(HERE, HERE, samples.local(9, 53.6, 9.7, 53.8, 9.9))


def bundle(version: int, *sections: Section) -> TrustBundle:
    return samples.bundle(version=version, requesters=(COUNTRY,), sections=tuple(name for name, _ in sections))


def sent(number: int, *sections: Section, only: tuple[Section, ...] | None = None, **changes: Any) -> bytes:
    """A package with a list in `sections`, with all of them or only some."""
    given = tuple(data for _, data in (sections if only is None else only))
    return package(bundle(number, *sections), sections=given, **changes)


@pytest.fixture
def door() -> Any:
    """An owner agreed to version 2, from a file with the sections of the whole country."""
    made = Door.enrolled()
    trust(made).accept(sent(2, SOUTHERN, BORDER, POLICE_HERE, NORTHERN))
    made.told.news.clear()
    yield made
    made.close()


@pytest.fixture
def untold() -> Any:
    """Its owner has agreed to no list in sections yet."""
    made = Door.enrolled()
    yield made
    made.close()


def names(door: Door) -> set[str]:
    return {each.id for each in listed(door)}


ALL_HERE = {"local-1", "harbour-police", "harbour-fire"}


def test_a_doorbell_counts_the_requesters_of_its_cell_and_keeps_no_section_of_another(door: Door) -> None:
    assert names(door) == ALL_HERE
    [kept] = trust(door).bundles()
    assert kept == with_sections(kept, lambda cells: cells.holds(HERE))
    assert NORTHERN[1].decode() not in kept.decode().replace("\\", "")
    door.start()
    assert names(door) == ALL_HERE
    assert door.state(door.ask(POLICE)) is RequestState.PENDING
    assert door.state(door.ask(FIRE)) is RequestState.PENDING


def test_a_package_with_only_the_sections_of_its_brokers_cells_is_as_good_as_all(door: Door) -> None:
    sections = (SOUTHERN, BORDER, POLICE_HERE, NORTHERN)
    publish(door, sent(3, *sections, only=LOCAL[::-1]))
    assert (names(door), trust(door).store.newest[samples.ROOT_KEY.text].version) == (ALL_HERE, 3)
    assert trust(door).heard() == []
    assert door.told.news == []


def test_a_key_that_is_revoked_in_a_section_is_out_at_once(door: Door) -> None:
    waiting = door.ask(POLICE)
    revoked = here(agency(POLICE, 53.51, 53.9, revoked=True))
    publish(door, sent(3, SOUTHERN, BORDER, revoked, NORTHERN, only=(BORDER, revoked)))
    assert door.state(door.ask(POLICE)) is None
    assert door.state(waiting) is not RequestState.PENDING
    assert door.state(door.ask(FIRE)) is RequestState.PENDING


def test_a_revocation_elsewhere_tells_this_owner_nothing(door: Door) -> None:
    other = samples.section("288-379", "288-380", samples.local(7, 54.1, 9.6, 54.4, 9.9))
    publish(door, sent(3, SOUTHERN, BORDER, POLICE_HERE, other, only=(BORDER, POLICE_HERE)))
    assert door.told.news == []
    assert trust(door).heard() == []
    assert trust(door).store.newest[samples.ROOT_KEY.text].version == 3


def test_a_new_agency_of_this_cell_waits_for_one_tap_and_one_of_another_cell_is_not_shown(door: Door) -> None:
    new = here(
        agency(POLICE, 53.51, 53.9), samples.local(8, 53.6, 9.7, 53.8, 10.2), samples.local(9, 53.6, 10.1, 53.8, 10.2)
    )
    publish(door, sent(3, SOUTHERN, BORDER, new, NORTHERN, only=(BORDER, new)))
    assert names(door) == ALL_HERE
    [waiting] = trust(door).heard()
    assert trust(door).accept(waiting).added == ("local-8",)  # local-9 lies in cell 287-380 only
    assert names(door) == ALL_HERE | {"local-8"}


def test_a_list_that_is_split_in_another_way_changes_nothing_for_an_owner(door: Door) -> None:
    other = samples.section(
        SOUTH,
        "288-380",
        *(agency(POLICE, 53.51, 53.9), agency(FIRE, 53.2, 53.9)),
        samples.local(6, 54.1, 9.6, 54.4, 9.9),
    )
    publish(door, sent(3, other, SOUTHERN))
    assert names(door) == ALL_HERE
    assert door.told.news == []


def test_a_root_may_begin_to_split_its_list_and_stop_again(door: Door) -> None:
    whole = samples.bundle(version=3, requesters=(COUNTRY, agency(POLICE, 53.51, 53.9), agency(FIRE, 53.2, 53.9)))
    publish(door, package(whole))
    assert names(door) == ALL_HERE
    publish(door, sent(4, *LOCAL))
    assert names(door) == ALL_HERE
    assert door.told.news == []


# -- attacks -----------------------------------------------------------------------------------------------------------

THIEFS = here(agency(POLICE, 53.0, 54.0), agency(FIRE, 53.0, 54.0))
OLDER = here(agency(POLICE, 53.51, 53.9), samples.local(8, 53.6, 9.7, 53.8, 10.2))
ATTACKS: dict[str, Callable[[], bytes]] = {
    "a section is withheld": lambda: sent(3, *LOCAL, only=(BORDER,)),
    "that of the border is withheld": lambda: sent(3, *LOCAL, only=(POLICE_HERE,)),
    "all sections are withheld": lambda: sent(3, *LOCAL, only=()),
    "only those of another cell come": lambda: sent(3, *LOCAL, SOUTHERN, only=(BORDER, SOUTHERN)),
    "an older section in the place of a newer one": lambda: sent(3, *LOCAL, only=(OLDER, BORDER)),
    "an older section beside the newer one": lambda: sent(3, *LOCAL, only=(*LOCAL, OLDER)),
    "a section of another root": lambda: sent(3, *LOCAL, only=(*LOCAL, STRANGE)),
    "a section that a thief made": lambda: sent(3, *LOCAL, only=(THIEFS, BORDER)),
    "a thief's section with a head of one stolen key": lambda: sent(3, THIEFS, signers=samples.ROOT_SIGNERS[2:]),
    "an older head with the newest sections": lambda: sent(1, *LOCAL),
    "another head of the same version": lambda: sent(2, *LOCAL),
    "an older head with a newer timestamp": lambda: sent(2, *LOCAL, named=bundle(3, *LOCAL)),
    "a section twice": lambda: sent(3, *LOCAL, only=(POLICE_HERE, *LOCAL)),
    "junk instead of a section": lambda: sent(3, *LOCAL, only=((POLICE_HERE[0], b"junk"), BORDER)),
    "junk that the root signed": lambda: sent(3, (samples.section(HERE, HERE, COUNTRY)[0], b"[" * 20_000)),
}  # fmt: skip


@pytest.mark.parametrize("name", ATTACKS)
def test_of_no_attack_on_sections_anything_takes_effect(door: Door, name: str) -> None:
    before = door.journal.named("trust."), door.kinds(), trust(door).store
    publish(door, ATTACKS[name]())
    assert (door.journal.named("trust."), door.kinds(), trust(door).store) == before
    assert sum(door.journal.counters().values()) >= 1
    assert (door.told.news, door.outgoing()) == ([], [])
    door.start()
    assert trust(door).store == before[2]


def test_a_broker_that_withholds_a_section_is_noticed_as_one_that_withholds_the_package(door: Door) -> None:
    door.clock.advance(8 * DAY_S)
    publish(door, sent(3, *LOCAL, only=(BORDER,), version=10**9))
    door.custodian.on_time()
    assert [kind for kind, _ in door.told.news] == ["trust silent"]


@pytest.mark.parametrize("agreed", [None, signed(custodians.bundle(2), custodians.ROOT)], ids=["nothing", "no stamp"])
def test_an_owner_is_told_at_once_of_a_withheld_section_if_no_end_of_a_timestamp_will_tell(
    untold: Door, agreed: bytes | None
) -> None:
    """The root was just chosen, or an owner handed over a list without a timestamp, which never ends."""
    door, onces = untold, untold.told.onces
    if agreed is None:
        key = samples.ROOT_KEY.text
        door.obey(TrustChange(**stated(), roots_removed=(key,)))
        door.obey(TrustChange(**stated(), roots_added=(key,)))
    else:
        trust(door).accept(agreed)
    onces.clear()
    before = door.journal.named("trust."), door.kinds(), trust(door).store
    for _ in range(2):
        publish(door, sent(3, *LOCAL, only=(BORDER,)))
    assert {kind for kind, _ in onces} == {"trust silent"}
    assert len({once for _, once in onces}) == 1, "the notifier drops the second one"
    publish(door, sent(4, *LOCAL, only=(BORDER,)))
    assert len({once for _, once in onces}) == 2
    assert (door.journal.named("trust."), door.kinds(), trust(door).store) == before
    assert door.journal.counters()["replayed"] == 3
    onces.clear()
    publish(door, sent(1, *LOCAL, only=(BORDER,)))
    publish(door, sent(4, *LOCAL, only=(BORDER,), signers=samples.ROOT_SIGNERS[2:]))
    assert onces == [], "of one that is older or forged"
    publish(door, sent(5, *LOCAL))
    assert {kind for kind, _ in onces} == {"trust news"}


def test_an_owner_is_told_that_a_file_lacks_this_place(door: Door) -> None:
    with pytest.raises(RequestError, match="lacks the requesters of the doorbell's place"):
        trust(door).accept(sent(3, SOUTHERN, *LOCAL, only=(SOUTHERN,)))
    assert trust(door).store.newest[samples.ROOT_KEY.text].version == 2


# -- moves -------------------------------------------------------------------------------------------------------------


def test_at_another_place_its_requesters_wait_for_a_tap_though_their_sections_are_here(door: Door) -> None:
    everything = sent(3, SOUTHERN, BORDER, POLICE_HERE, NORTHERN)
    publish(door, everything)
    door.custodian.move_to(IN_THE_SOUTH)
    # The memory of the connection still has the package, with the sections of the new cell.
    assert names(door) == {"local-1", "harbour-fire"}
    [waiting] = trust(door).heard()
    assert [kind for kind, _ in door.told.news][-1] == "trust news"
    assert trust(door).accept(waiting).added == ("local-5",)
    assert names(door) == {"local-1", "harbour-fire", "local-5"}
    door.position = IN_THE_SOUTH
    door.start()
    assert names(door) == {"local-1", "harbour-fire", "local-5"}


def test_a_doorbell_that_moved_while_it_was_off_waits_for_the_sections_of_its_place(door: Door) -> None:
    door.position = IN_THE_SOUTH
    door.start()
    assert names(door) == {"local-1", "harbour-fire"}
    newest = trust(door).store.newest[samples.ROOT_KEY.text]
    again = package(
        bundle(2, SOUTHERN, BORDER, POLICE_HERE, NORTHERN), sections=(SOUTHERN[1], BORDER[1]), version=newest.timestamp
    )
    publish(door, again)
    assert names(door) == {"local-1", "harbour-fire"}
    assert trust(door).accept(trust(door).heard()[0]).added == ("local-5",)


def test_an_agreement_at_one_place_holds_at_another_only_for_what_the_owner_saw_there() -> None:
    """A section can hold requesters of several cells, and the owner sees those of one."""
    both = here(agency(POLICE, 53.51, 53.9), samples.local(8, 53.6, 10.1, 53.8, 10.4))
    door = Door.enrolled()
    trust(door).accept(sent(2, both))
    assert names(door) == {"local-1", "harbour-police"}
    assert trust(door).agreed_in() == {ROOT: HERE}
    door.custodian.move_to((53.7, 10.2))
    assert names(door) == {"local-1", "harbour-police"}, "local-8 waits, though its section is stored"
    assert trust(door).agreed_in() == {ROOT: HERE}, "owners' clients show the same"
    door.custodian.move_to(custodians.DOOR)
    assert names(door) == {"local-1", "harbour-police"}
    door.close()


def test_a_doorbell_without_a_place_takes_all_and_forgets_those_elsewhere_once_it_has_one() -> None:
    door = Door.enrolled(position=None)
    trust(door).accept(sent(2, SOUTHERN, BORDER, POLICE_HERE))
    assert names(door) == ALL_HERE | {"local-5"}
    door.custodian.move_to(custodians.DOOR)
    assert names(door) == ALL_HERE
    door.close()


def while_it_is_judged(door: Door, monkeypatch: pytest.MonkeyPatch, data: bytes, act: Callable[[], object]) -> None:
    """Another thread acts after the uplink's thread has opened the package `data`."""
    is_open, has_acted, opens = threading.Event(), threading.Event(), TrustStore.open

    def slow(store: TrustStore, package: bytes) -> OpenedBundle:
        opened = opens(store, package)
        if threading.current_thread() is uplink and not is_open.is_set():
            is_open.set()
            assert has_acted.wait(60)
        return opened

    uplink = threading.Thread(target=publish, args=(door, data), daemon=True)
    with monkeypatch.context() as patched:
        patched.setattr(TrustStore, "open", slow)
        uplink.start()
        assert is_open.wait(60)
        act()
        has_acted.set()
        uplink.join(60)
    assert not uplink.is_alive()


def test_a_package_that_arrives_during_a_move_gives_nothing_that_no_owner_saw(
    untold: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The package takes nothing and gives nothing in the old cell, so it would be agreed to there."""
    sections = (samples.section(SOUTH, SOUTH, samples.local(5, 53.1, 9.6, 53.4, 9.9)), BORDER)
    door = untold
    trust(door).accept(sent(2, *sections))
    while_it_is_judged(door, monkeypatch, sent(3, *sections), lambda: trust(door).move_to(SOUTH))
    assert trust(door).agreed_in() == {ROOT: HERE}
    assert names(door) == {"local-1", "harbour-fire"}
    door.custodian._trust_news.look()
    assert names(door) == {"local-1", "harbour-fire"}
    [waiting] = trust(door).heard()
    door.position = IN_THE_SOUTH
    door.start()
    assert names(door) == {"local-1", "harbour-fire"}
    assert trust(door).accept(waiting).added == ("local-5",)


def test_a_package_that_is_refused_during_a_move_is_judged_again_at_the_new_place(
    untold: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It lacks a section of the old cell. It has all of the new cell, and they take a right away."""
    away = samples.section(SOUTH, SOUTH, samples.local(5, 53.1, 9.6, 53.4, 9.9))
    door = untold
    trust(door).accept(sent(2, BORDER))
    while_it_is_judged(door, monkeypatch, sent(3, POLICE_HERE, away, only=(away,)), lambda: trust(door).move_to(SOUTH))
    door.custodian._trust_news.look()
    assert names(door) == {"local-1"}
    assert len(trust(door).heard()) == 1


def test_a_doorbell_that_cannot_read_its_list_at_a_move_stays_where_it_was(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its cell and its list must be those of one place."""

    def fails(manager: object) -> TrustStore:
        raise StorageError("The disk is gone.")

    with monkeypatch.context() as patched:
        patched.setattr(type(trust(door)), "_load", fails)
        with pytest.raises(StorageError):
            trust(door).move_to(SOUTH)
    assert trust(door).cell == trust(door).store.cell == HERE
    assert trust(door).move_to(SOUTH)
    assert trust(door).store.cell == SOUTH
