"""A root's rules for a requester: a request that no door would hear is refused before signing."""

from __future__ import annotations

import msgspec
import pytest

from agent.clients.requester import messages
from agent.clients.requester.identity import Requester
from agent.clients.requester.roots import KnownRoots, swapped
from agent.errors import ConfigurationError, FormatError, RequestError
from agent.wire import envelope, strictjson
from agent.wire.area import Area, Circle, Point
from agent.wire.broker_directory import (
    BrokerAddress,
    BrokerDirectory,
    CellBroker,
    CellRange,
    directory_sha256,
)
from agent.wire.fields import Kind
from agent.wire.trust import EntryLimits, RequesterEntry, RequesterKey, TrustBundle, TrustRegion
from tests.clients.requester.conftest import NOW_S, ROOT_ID, question
from tests.wire import samples

RIJNSTAD = TrustRegion(south_west=Point(lat=52.27, lon=4.72), north_east=Point(lat=52.44, lon=5.08))


HERE = CellRange(south_west="284-368", north_east="284-370")
ELSEWHERE = CellRange(south_west="280-300", north_east="280-300")


def bundle_for(
    requester: Requester, version: int = 3, directory: BrokerDirectory | None = None, **changes: object
) -> bytes:
    key = RequesterKey(key=requester.key.text, from_s=NOW_S - 86_400, until_s=NOW_S + 30 * 86_400)
    entry = RequesterEntry(
        id=requester.id, name="Rijnstad Police", kind=Kind.POLICE, keys=(key,), regions=(RIJNSTAD,)
    )  # fmt: skip
    listed = msgspec.structs.replace(entry, **changes)
    made = TrustBundle(v=1, root=samples.ROOT_KEY.id, version=version, issued_s=NOW_S, requesters=(listed,))
    if directory is not None:
        made = msgspec.structs.replace(made, directory_sha256=directory_sha256(strictjson.encode(directory)))
    return envelope.sign(TrustBundle.PAYLOAD_TYPE, strictjson.encode(made), samples.ROOT)


def ask(requester: Requester, trust_root: str | None = samples.ROOT_KEY.id, **changes: object) -> str:
    return messages.make_request(requester, question(**changes), now_s=NOW_S, trust_root=trust_root).id


def test_without_a_bundle_nothing_is_known_and_nothing_refused(requester: Requester) -> None:
    assert KnownRoots(requester).ids() == []
    assert ask(requester, ROOT_ID, area=Circle(lat=4.8952, lon=52.3702, radius_m=300))


@pytest.mark.parametrize(
    ("area", "words"),
    [
        (Circle(lat=4.8952, lon=52.3702, radius_m=300), "latitude and longitude are exchanged"),
        (samples.outline(4.9, 52.37, (0, 0), (0, 600), (600, 600), (600, 0)), "latitude and longitude are exchanged"),
        (Circle(lat=53.5461, lon=9.9661, radius_m=300), "lies outside your regions"),
        (Circle(lat=52.44, lon=4.9, radius_m=300), "lies outside your regions"),
        (Circle(lat=-3.0, lon=120.0, radius_m=300), "lies outside your regions"),
    ],
)
def test_an_area_outside_ones_regions_is_refused_before_a_number_is_used(
    requester: Requester, area: Area, words: str
) -> None:
    KnownRoots(requester).accept(samples.ROOT_KEY.text, bundle_for(requester), NOW_S)
    with pytest.raises(RequestError, match=words):
        ask(requester, area=area)
    assert requester.next_number() == 1
    assert ask(requester)


def test_a_root_that_does_not_know_us_is_refused(requester: Requester) -> None:
    KnownRoots(requester).accept(samples.ROOT_KEY.text, bundle_for(requester), NOW_S)
    with pytest.raises(RequestError, match="has no bundle of the root"):
        ask(requester, ROOT_ID)
    with pytest.raises(ConfigurationError, match="does not list the key"):
        messages.make_request(
            requester, question(), now_s=NOW_S + 31 * 86_400, trust_root=samples.ROOT_KEY.id
        )  # the root lets this key end after thirty days


def test_limits_and_kind_are_those_of_the_list(requester: Requester) -> None:
    roots = KnownRoots(requester)
    roots.accept(samples.ROOT_KEY.text, bundle_for(requester, limits=EntryLimits(window_max_s=1800)), NOW_S)
    with pytest.raises(RequestError, match="window too long"):
        ask(requester)
    roots.accept(samples.ROOT_KEY.text, bundle_for(requester, 4, kind=Kind.FIRE), NOW_S)
    with pytest.raises(RequestError, match="lists this requester as fire, not police"):
        ask(requester)


def test_only_a_newer_bundle_of_that_root_that_lists_us_is_taken(requester: Requester) -> None:
    roots = KnownRoots(requester)
    roots.accept(samples.ROOT_KEY.text, bundle_for(requester, 4), NOW_S)
    for root, data in (
        (samples.ROOT_KEY.text, bundle_for(requester, 3)),
        (samples.OWNER_KEY.text, bundle_for(requester, 5)),
        (samples.ROOT_KEY.text, b"{}"),
        ("no key", bundle_for(requester, 5)),
        (samples.ROOT_KEY.text, bundle_for(requester, 5, id="another")),
    ):
        with pytest.raises(ConfigurationError):
            roots.accept(root, data, NOW_S)
    assert roots.accept(samples.ROOT_KEY.text, bundle_for(requester, 4), NOW_S).name == "Rijnstad Police"
    (requester.folder / "roots" / samples.ROOT_KEY.id / "root.pub").write_text("x")
    with pytest.raises(ConfigurationError, match="Import the bundle again"):
        ask(requester)


def test_what_has_no_other_way_round_is_left_alone() -> None:
    assert swapped(Circle(lat=52.0, lon=120.0, radius_m=300)) is None
    assert swapped(Circle(lat=52.0, lon=5.0, radius_m=300)) == Circle(lat=5.0, lon=52.0, radius_m=300)


def test_our_entry_is_read_from_the_stored_bundle_as_long_as_it_lists_our_key(requester: Requester) -> None:
    roots = KnownRoots(requester)
    roots.accept(samples.ROOT_KEY.text, bundle_for(requester), NOW_S)
    found = roots.entry(samples.ROOT_KEY.id, NOW_S)
    assert found is not None
    assert (found.id, found.regions) == (requester.id, (RIJNSTAD.bounds,))
    assert roots.entry(samples.ROOT_KEY.id, NOW_S + 31 * 86_400) is None


def test_a_bundle_lists_us_until_the_end_of_the_last_key_that_it_does_not_revoke(requester: Requester) -> None:
    roots, root = KnownRoots(requester), samples.ROOT_KEY.id
    assert roots.listed_until_s(root) == 0
    keys = tuple(
        RequesterKey(key=key.text, from_s=NOW_S - 86_400, until_s=NOW_S + days * 86_400, revoked=revoked)
        for key, days, revoked in (
            (requester.key, 30, False), (samples.OWNER_KEY, 20, False), (samples.ROOT_KEY, 90, True)
        )
    )  # fmt: skip
    roots.accept(samples.ROOT_KEY.text, bundle_for(requester, keys=keys), NOW_S)
    assert roots.listed_until_s(root) == NOW_S + 30 * 86_400
    other = envelope.sign(
        TrustBundle.PAYLOAD_TYPE,
        strictjson.encode(TrustBundle(v=1, root=root, version=9, issued_s=NOW_S, requesters=(samples.requester(),))),
        samples.ROOT,
    )
    (requester.folder / "roots" / root / "bundle.dsse").write_bytes(other)
    assert roots.listed_until_s(root) == 0, "it lists another requester only"
    (requester.folder / "roots" / root / "root.pub").unlink()
    with pytest.raises(FormatError, match=r"root\.pub is missing"):
        roots.listed_until_s(root)


def directory(*ranges: CellRange) -> BrokerDirectory:
    return samples.directory(
        brokers=tuple(CellBroker(host=f"{at}.example", port=8884, cells=(each,)) for at, each in enumerate(ranges))
    )


def test_a_requester_connects_to_the_brokers_in_its_regions_only(requester: Requester) -> None:
    roots, listed = KnownRoots(requester), directory(ELSEWHERE, HERE)
    roots.accept(samples.ROOT_KEY.text, bundle_for(requester, 3, listed), NOW_S, strictjson.encode(listed))
    assert roots.brokers(samples.ROOT_KEY.id, NOW_S) == (listed, (BrokerAddress("1.example", 8884),))
    assert roots.own_brokers(NOW_S) == roots.brokers(samples.ROOT_KEY.id, NOW_S)
    assert ask(requester)


def test_a_directory_that_the_bundle_does_not_name_is_refused_and_changes_nothing(requester: Requester) -> None:
    roots, listed = KnownRoots(requester), directory(HERE)
    with pytest.raises(ConfigurationError, match="names another broker directory"):
        roots.accept(
            samples.ROOT_KEY.text, bundle_for(requester, 3, listed), NOW_S, strictjson.encode(directory(ELSEWHERE))
        )
    with pytest.raises(ConfigurationError, match="names no broker directory"):
        roots.accept(samples.ROOT_KEY.text, bundle_for(requester), NOW_S, strictjson.encode(listed))
    assert roots.ids() == []


def test_a_bundle_that_names_a_directory_says_that_it_is_missing(requester: Requester) -> None:
    roots = KnownRoots(requester)
    roots.accept(samples.ROOT_KEY.text, bundle_for(requester, 3, directory(HERE)), NOW_S)
    with pytest.raises(ConfigurationError, match="names a broker directory, and this folder has none"):
        roots.own_brokers(NOW_S)


def test_the_directory_of_an_older_bundle_does_not_count_for_a_newer_one(requester: Requester) -> None:
    roots, old = KnownRoots(requester), directory(HERE)
    roots.accept(samples.ROOT_KEY.text, bundle_for(requester, 3, old), NOW_S, strictjson.encode(old))
    roots.accept(samples.ROOT_KEY.text, bundle_for(requester, 4, directory(HERE, ELSEWHERE)), NOW_S)
    with pytest.raises(ConfigurationError, match="names another broker directory"):
        roots.own_brokers(NOW_S)


def test_regions_without_a_broker_are_told_before_a_request_is_signed(requester: Requester) -> None:
    roots, listed = KnownRoots(requester), directory(ELSEWHERE)
    roots.accept(samples.ROOT_KEY.text, bundle_for(requester, 3, listed), NOW_S, strictjson.encode(listed))
    with pytest.raises(ConfigurationError, match="no broker in your regions"):
        ask(requester)


def test_an_area_in_a_cell_without_a_broker_is_refused_before_a_number_is_used(requester: Requester) -> None:
    beside = CellRange(south_west="284-368", north_east="284-368")
    roots, listed = KnownRoots(requester), directory(beside)
    wide = TrustRegion(south_west=Point(lat=52.27, lon=4.2), north_east=Point(lat=52.44, lon=5.08))
    bundle = bundle_for(requester, 3, listed, regions=(wide,))
    roots.accept(samples.ROOT_KEY.text, bundle, NOW_S, strictjson.encode(listed))
    with pytest.raises(RequestError, match="lists no broker for the cell 284-369"):
        ask(requester)
    assert requester.next_number() == 1


def test_a_package_is_taken_as_a_bundle_is_and_says_until_when_it_lists_us(requester: Requester) -> None:
    roots = KnownRoots(requester)
    assert roots.listed_until_s(samples.ROOT_KEY.id) == 0
    payload = envelope.read_unverified(bundle_for(requester), limit_bytes=1 << 20).payload
    listed = strictjson.decode(payload, TrustBundle)
    roots.accept(samples.ROOT_KEY.text, samples.package(listed), NOW_S)
    assert ask(requester)
    assert roots.listed_until_s(samples.ROOT_KEY.id) == NOW_S + 30 * 86_400
