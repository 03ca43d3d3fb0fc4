"""A doorbell applies the part of a bundle that takes rights away at once, and gives no right with it."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.core.trust_change import Widening, WideningKind, narrowed, widenings
from agent.wire.area import Circle, Point
from agent.wire.fields import Kind
from agent.wire.identities import public_key_of
from agent.wire.limits import HARD
from agent.wire.trust import EntryLimits, RequesterEntry, RequesterKey, TrustBundle, TrustRegion, TrustStore
from tests.wire import samples

ROOT = samples.ROOT_KEY.id
KEYS = tuple(public_key_of(samples.private_key(f"agency-{number}")) for number in range(4))
NAMES = ("Police", "Fire", "Harbour")
FIELDS = EntryLimits.__struct_fields__


def region(south: float, west: float, north: float, east: float) -> TrustRegion:
    return TrustRegion(south_west=Point(lat=south, lon=west), north_east=Point(lat=north, lon=east))


@st.composite
def regions(draw: st.DrawFn) -> TrustRegion:
    south, north = sorted(draw(st.sets(st.sampled_from((50.0, 51.0, 52.0, 53.0)), min_size=2, max_size=2)))
    west, east = sorted(draw(st.sets(st.sampled_from((4.0, 5.0, 6.0)), min_size=2, max_size=2)))
    return region(south, west, north, east)


@st.composite
def bundles(draw: st.DrawFn) -> TrustBundle:
    keys = draw(st.permutations(KEYS))
    listed = draw(st.lists(st.integers(0, 2), unique=True, max_size=3))
    entries = []
    for place, number in enumerate(listed):
        mine = keys[place - 1 : place] if place else keys[2:]
        entries.append(
            RequesterEntry(
                id=f"agency-{number}",
                name=f"{draw(st.sampled_from(NAMES))} {number}",
                kind=draw(st.sampled_from((Kind.POLICE, Kind.FIRE))),
                keys=tuple(
                    RequesterKey(
                        key=key.text, from_s=draw(st.integers(0, 2)), until_s=draw(st.integers(2, 4)),
                        revoked=draw(st.booleans()),
                    )
                    for key in mine
                ),
                regions=tuple(draw(st.lists(regions(), min_size=1, max_size=3))),
                limits=EntryLimits(**draw(st.dictionaries(st.sampled_from(FIELDS), st.integers(0, 3)))),
                tips=draw(st.sampled_from((None, samples.RECIPIENT, samples.REPLY))),
            )
        )  # fmt: skip
    return TrustBundle(v=1, root=ROOT, version=draw(st.integers(1, 9)), issued_s=1, requesters=tuple(entries))


AREAS = tuple(Circle(lat=lat, lon=lon, radius_m=400) for lat in (50.5, 51.0, 51.5, 52.5) for lon in (4.5, 5.0, 5.5))


def rights(bundle: TrustBundle | None) -> dict[tuple[Any, ...], EntryLimits]:
    """Everything that the bundle lets through, each with its limits: who, by which key, when, of which kind, where."""
    store = TrustStore(bundles={ROOT: bundle} if bundle else {})
    found = {}
    for key in KEYS:
        for at_s in (None, 0, 1, 2, 3, 4, 5):
            for number in range(3):
                who = store.resolve(ROOT, f"agency-{number}", key.id, at_s)
                for area in AREAS if who else ():
                    assert who is not None
                    if who.may_ask_about(area):
                        found[key.id, at_s, who.id, who.kind, area] = who.limits
    return found


def test_everything_is_new_to_a_door_without_a_bundle() -> None:
    bundle = samples.bundle()
    assert widenings(None, bundle) == (Widening("harbour-police", WideningKind.JOINED),)
    assert narrowed(None, bundle).requesters == ()


@given(bundles() | st.none(), bundles())
def test_what_takes_effect_at_once_lets_nothing_through_that_the_old_or_the_new_bundle_refuses(
    old: TrustBundle | None, new: TrustBundle
) -> None:
    before, after = rights(old), rights(new)
    for right, limits in rights(narrowed(old, new)).items():
        assert right in before
        assert right in after
        for tighter in (before[right], after[right]):
            assert limits.applied_to(tighter.applied_to(HARD)) == limits.applied_to(HARD)


@given(bundles(), bundles())
def test_what_both_allow_stays_allowed(old: TrustBundle, new: TrustBundle) -> None:
    assert rights(narrowed(old, new)).keys() == rights(old).keys() & rights(new).keys()


@given(bundles(), bundles())
def test_a_bundle_that_only_takes_away_is_in_force_as_it_is(old: TrustBundle, new: TrustBundle) -> None:
    assert (narrowed(old, new) == new) == (not widenings(old, new)) or narrowed(old, new).requesters == new.requesters
    if rights(new).keys() - rights(old).keys():
        assert widenings(old, new)


@given(bundles(), bundles(), bundles())
def test_what_a_second_bundle_gives_back_waits_too(first: TrustBundle, second: TrustBundle, third: TrustBundle) -> None:
    between = narrowed(first, second)
    assert rights(narrowed(between, third)).keys() <= rights(between).keys()


@given(bundles())
def test_a_bundle_gives_nothing_beyond_itself(bundle: TrustBundle) -> None:
    assert widenings(bundle, bundle) == ()
    assert narrowed(bundle, bundle) == bundle


@given(bundles(), bundles())
def test_tips_go_only_to_a_recipient_that_both_name(old: TrustBundle, new: TrustBundle) -> None:
    lists = [{entry.id: entry.tips for entry in each.requesters} for each in (old, new)]
    for entry in narrowed(old, new).requesters:
        assert entry.tips is None or widenings(old, new) == () or entry.tips == lists[0][entry.id] == lists[1][entry.id]


def entry(**changes: Any) -> TrustBundle:
    return samples.bundle(requesters=(samples.requester(**changes),))


KEY = samples.requester().keys[0]


@pytest.mark.parametrize(
    ("kind", "changes"),
    [
        (WideningKind.KEY, {"keys": (KEY, RequesterKey(key=KEYS[0].text, from_s=0, until_s=9))}),
        (WideningKind.KEY, {"keys": (msgspec.structs.replace(KEY, until_s=KEY.until_s + 1),)}),
        (WideningKind.KEY, {"keys": (msgspec.structs.replace(KEY, from_s=KEY.from_s - 1),)}),
        (WideningKind.REGION, {"regions": (region(53.0, 9.0, 54.1, 11.0),)}),
        (WideningKind.REGION, {"regions": (region(53.5, 9.5, 54.0, 10.0), region(53.0, 9.0, 54.1, 11.0))}),
        (WideningKind.LIMITS, {"limits": EntryLimits()}),
        (WideningKind.KIND, {"kind": Kind.FIRE}),
        (WideningKind.NAME, {"name": "Harbor Police"}),
        (WideningKind.TIPS, {"tips": samples.RECIPIENT}),
    ],
)
def test_each_right_that_is_added_waits_and_is_named(kind: WideningKind, changes: dict[str, Any]) -> None:
    assert widenings(samples.bundle(), entry(**changes)) == (Widening("harbour-police", kind),)


@pytest.mark.parametrize(
    "changes",
    [
        {"keys": (msgspec.structs.replace(KEY, revoked=True),)},
        {"keys": (msgspec.structs.replace(KEY, until_s=KEY.until_s - 1),)},
        {"regions": (region(53.5, 9.5, 54.0, 10.0),)},
        {"regions": (region(53.5, 9.5, 54.0, 10.0), region(53.0, 9.0, 53.1, 9.1))},
        {"limits": EntryLimits(window_max_s=3600, area_min_m2=90_000)},
    ],
)
def test_each_right_that_is_taken_away_needs_nobody(changes: dict[str, Any]) -> None:
    new = entry(**changes)
    assert widenings(samples.bundle(), new) == ()
    assert narrowed(samples.bundle(), new) is new


@pytest.mark.parametrize(
    ("named", "kept"), [(samples.RECIPIENT, samples.RECIPIENT), (samples.REPLY, None), (None, None)]
)
def test_a_recipient_of_tips_stays_if_the_new_bundle_names_the_same(named: str | None, kept: str | None) -> None:
    """A new name of the requester waits, so until then both bundles count."""
    [left] = narrowed(entry(tips=samples.RECIPIENT), entry(tips=named, name="Harbor Police")).requesters
    assert (left.name, left.tips) == (samples.requester().name, kept)


def test_a_key_that_was_revoked_does_not_come_back_by_itself() -> None:
    revoked = entry(keys=(msgspec.structs.replace(KEY, revoked=True),))
    assert widenings(revoked, samples.bundle()) == (Widening("harbour-police", WideningKind.KEY),)
    assert narrowed(revoked, samples.bundle()).requesters[0].keys[0].revoked


def test_a_key_whose_times_have_nothing_in_common_is_revoked() -> None:
    later = entry(keys=(msgspec.structs.replace(KEY, from_s=KEY.until_s + 1, until_s=KEY.until_s + 2),))
    assert narrowed(samples.bundle(), later).requesters[0].keys[0].revoked


@pytest.mark.parametrize("beside", [region(54.0, 9.0, 55.0, 11.0), region(53.0, 11.0, 54.0, 12.0)])
def test_regions_that_only_touch_have_nothing_in_common(beside: TrustRegion) -> None:
    before = entry(regions=(region(53.0, 9.0, 54.0, 11.0),))
    assert narrowed(before, entry(regions=(beside,))).requesters == ()
    assert narrowed(entry(regions=(beside,)), before).requesters == ()


def test_more_common_parts_than_a_bundle_may_have_are_fewer_rights() -> None:
    rows = tuple(region(10.0 + number, 0.0, 10.5 + number, 40.0) for number in range(20))
    columns = tuple(region(0.0, 1.0 + number, 60.0, 1.5 + number) for number in range(20))
    [kept] = narrowed(entry(regions=rows), entry(regions=columns)).requesters
    assert len(kept.regions) == 32
    assert all(any(row.bounds.encloses(part.bounds) for row in rows) for part in kept.regions)
