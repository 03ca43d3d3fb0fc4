"""Trust: no one out of the box, only the newest bundle of a root the owner picked, and revocation at once."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from agent.errors import DoorwardError, FormatError, OpenError, RequestError
from agent.wire.area import Bounds, Point
from agent.wire.fields import Kind
from agent.wire.identities import public_key_of
from agent.wire.trust import RequesterKey, TrustBundle, TrustDiff, TrustRegion, TrustStore, diff
from tests.wire import samples

NOW = samples.NOW_S
EMPTY = TrustStore().with_root(samples.ROOT_KEY)


def signed(bundle: TrustBundle, by: Ed25519PrivateKey = samples.ROOT) -> bytes:
    return samples.several(bundle, by)


def key(**changes: Any) -> RequesterKey:
    return RequesterKey(**{"key": samples.REQUESTER_KEY.text, "from_s": NOW - 100, "until_s": NOW + 100, **changes})


def resolve(store: TrustStore, at_s: int | None = NOW, **changes: str) -> Any:
    asked = {"root": samples.ROOT_KEY.id, "id": "harbour-police", "key": samples.REQUESTER_KEY.id, **changes}
    return store.resolve(asked["root"], asked["id"], asked["key"], at_s)


STORE, _ = EMPTY.accept(signed(samples.bundle()))


def test_out_of_the_box_nobody_is_trusted() -> None:
    assert resolve(TrustStore()) is None
    with pytest.raises(OpenError):
        TrustStore().accept(signed(samples.bundle()))


def test_a_bundle_of_a_picked_root_says_who_a_requester_is() -> None:
    requester = resolve(STORE)
    assert (requester.root, requester.id, requester.name) == (samples.ROOT_KEY.id, "harbour-police", "Harbour Police")
    assert (requester.kind, requester.key) == (Kind.POLICE, samples.REQUESTER_KEY)
    assert STORE.keys(samples.REQUESTER_KEY.id, NOW) == {samples.REQUESTER_KEY.id: samples.REQUESTER_KEY}


def test_only_that_requester_with_that_key_under_that_root_resolves() -> None:
    assert resolve(STORE, root="0" * 16) is None
    assert resolve(STORE, id="other") is None
    assert resolve(STORE, key=samples.OWNER_KEY.id) is None
    assert STORE.keys(samples.OWNER_KEY.id, NOW) == {}


def test_the_regions_decide_what_a_requester_may_ask_about() -> None:
    requester = resolve(STORE)
    assert requester.may_ask_about(samples.HARBOUR)
    assert not requester.may_ask_about(samples.square(52.0, 10.0))
    assert not requester.may_ask_about(samples.square(54.0, 10.0))


def test_the_owner_reads_who_is_new_who_is_gone_and_who_changed() -> None:
    one, two, other = (samples.requester(id=name, name=name, keys=(key(),)) for name in ("one", "two", "other"))
    renamed = samples.requester(id="one", name="One indeed", keys=(key(),))
    old = samples.bundle(requesters=(one,))
    assert diff(None, old) == TrustDiff(added=("one",))
    assert diff(old, samples.bundle(requesters=(renamed,))) == TrustDiff(changed=("one",))
    assert diff(old, samples.bundle(requesters=(two,))) == TrustDiff(added=("two",), removed=("one",))
    assert diff(old, None) == TrustDiff(removed=("one",))
    assert diff(old, old) == TrustDiff()
    assert other.id == "other"


def test_a_newer_bundle_replaces_the_old_one_whole() -> None:
    store, change = STORE.accept(signed(samples.bundle(version=4, requesters=())))
    assert change == TrustDiff(removed=("harbour-police",))
    assert resolve(store) is None


def test_an_older_bundle_or_another_of_the_same_version_is_refused() -> None:
    for bundle in (samples.bundle(version=2), samples.bundle(requesters=())):
        with pytest.raises(RequestError, match="seen before"):
            STORE.accept(signed(bundle))


def test_the_same_bundle_again_changes_nothing() -> None:
    store, change = STORE.accept(signed(samples.bundle()))
    assert (store, change) == (STORE, TrustDiff())


def test_removing_a_root_removes_everybody_but_not_the_memory() -> None:
    without = STORE.without_root(samples.ROOT_KEY.id)
    assert resolve(without) is None
    with pytest.raises(OpenError):
        without.accept(signed(samples.bundle(version=9)))
    again = without.with_root(samples.ROOT_KEY)
    with pytest.raises(RequestError):
        again.accept(signed(samples.bundle(version=2)))
    restored, change = again.accept(signed(samples.bundle()))
    assert restored == STORE
    assert change == TrustDiff(added=("harbour-police",))


def test_a_store_is_rebuilt_from_what_was_kept() -> None:
    rebuilt, _ = TrustStore(roots=STORE.roots, newest=STORE.newest).accept(signed(samples.bundle()))
    assert rebuilt == STORE


def test_a_bundle_of_one_root_is_not_anothers() -> None:
    other = samples.private_key("another root")
    store = EMPTY.with_root(samples.pair(other))
    with pytest.raises(FormatError, match="another root"):
        store.accept(signed(samples.bundle(), by=other))


def test_a_key_is_usable_from_its_first_to_its_last_second() -> None:
    store, _ = EMPTY.accept(signed(samples.bundle(requesters=(samples.requester(keys=(key(),)),))))
    assert [resolve(store, NOW + second) is not None for second in (-101, -100, 100, 101)] == [False, True, True, False]


def test_a_revoked_key_is_dead_whatever_the_clock_says() -> None:
    store, change = STORE.accept(
        signed(samples.bundle(version=4, requesters=(samples.requester(keys=(key(revoked=True),)),)))
    )
    assert change == TrustDiff(changed=("harbour-police",))
    assert resolve(store) is None
    assert resolve(store, None) is None
    assert resolve(STORE, None) is not None


def test_a_rotated_key_takes_over() -> None:
    new = samples.private_key("new key")
    keys = (key(revoked=True), key(key=public_key_of(new).text))
    store, _ = STORE.accept(signed(samples.bundle(version=4, requesters=(samples.requester(keys=keys),))))
    assert resolve(store, key=public_key_of(new).id) is not None


def test_a_key_two_roots_vouch_for_resolves_under_the_root_that_is_named() -> None:
    other = samples.private_key("another root")
    other_id = public_key_of(other).id
    elsewhere = samples.bundle(root=other_id, requesters=(samples.requester(name="Port Authority"),))
    store, _ = STORE.with_root(samples.pair(other)).accept(signed(elsewhere, by=other))
    assert resolve(store).name == "Harbour Police"
    assert resolve(store, root=other_id).name == "Port Authority"


OTHER_KEYS = tuple(msgspec.structs.replace(key, key=samples.OWNER_KEY.text) for key in samples.requester().keys)


@pytest.mark.parametrize(
    ("twice", "other"),
    [
        ("requesters", {"name": "Other", "keys": OTHER_KEYS}),
        ("requesters.name", {"id": "other", "name": "HARBOUR police", "keys": OTHER_KEYS}),
        ("requesters.keys", {"id": "other", "name": "Other"}),
    ],
)
def test_no_two_requesters_share_an_id_a_name_or_a_key(twice: str, other: dict[str, Any]) -> None:
    with pytest.raises(FormatError, match=rf"^{twice}: .*twice"):
        samples.bundle(requesters=(samples.requester(), samples.requester(**other)))
    assert samples.bundle(
        requesters=(samples.requester(), samples.requester(id="other", name="Other", keys=OTHER_KEYS))
    )


def test_a_region_may_be_a_point_and_a_key_good_for_one_second() -> None:
    corner = Point(lat=1.0, lon=2.0)
    assert TrustRegion(south_west=corner, north_east=corner).bounds == Bounds(1.0, 2.0, 1.0, 2.0)
    assert key(from_s=5, until_s=5).usable_at(5)


def test_a_region_inside_out_and_a_key_that_ends_before_it_begins_are_refused() -> None:
    for south_west, north_east in (((1.0, 0.0), (0.0, 1.0)), ((0.0, 1.0), (1.0, 0.0))):
        with pytest.raises(FormatError):
            TrustRegion(
                south_west=Point(lat=south_west[0], lon=south_west[1]),
                north_east=Point(lat=north_east[0], lon=north_east[1]),
            )
    with pytest.raises(FormatError):
        key(from_s=5, until_s=4)
    with pytest.raises(FormatError):
        key(key="ed25519:" + "A" * 43)
    with pytest.raises(FormatError):
        samples.requester(name="Evil\u202ePolice")


GOOD = signed(samples.bundle(version=4))


@given(st.integers(0, len(GOOD) - 1), st.integers(1, 255))
def test_no_changed_byte_of_a_bundle_is_accepted(at: int, change: int) -> None:
    mutated = GOOD[:at] + bytes([GOOD[at] ^ change]) + GOOD[at + 1 :]
    try:
        store, _ = STORE.accept(mutated)
    except DoorwardError:
        return
    assert store == STORE.accept(GOOD)[0]
