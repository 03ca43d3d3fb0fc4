"""A root's rules for a requester: a request that no door would hear is refused before signing."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from agent.clients.requester import messages
from agent.clients.requester.identity import Requester
from agent.clients.requester.roots import KnownRoots, swapped
from agent.errors import ConfigurationError, DoorwardError, FormatError, OpenError, RequestError
from agent.wire import envelope, strictjson
from agent.wire.area import Area, Circle, Point, Polygon
from agent.wire.broker_directory import (
    BrokerAddress,
    BrokerDirectory,
    CellBroker,
    CellRange,
    directory_sha256,
)
from agent.wire.fields import Kind
from agent.wire.identities import public_key_of
from agent.wire.limits import HARD
from agent.wire.trust import (
    EntryLimits,
    OpenedBundle,
    RequesterEntry,
    RequesterKey,
    TrustBundle,
    TrustRegion,
    TrustStore,
)
from tests.clients.requester.conftest import NOW_S, ROOT_ID, question
from tests.wire import package_vectors, samples

RIJNSTAD = TrustRegion(south_west=Point(lat=52.27, lon=4.72), north_east=Point(lat=52.44, lon=5.08))


HERE = CellRange(south_west="284-368", north_east="284-370")
ELSEWHERE = CellRange(south_west="280-300", north_east="280-300")


def bundle_of(
    requester: Requester, version: int = 3, directory: BrokerDirectory | None = None, **changes: object
) -> TrustBundle:
    key = RequesterKey(key=requester.key.text, from_s=NOW_S - 86_400, until_s=NOW_S + 30 * 86_400)
    entry = RequesterEntry(
        id=requester.id, name="Rijnstad Police", kind=Kind.POLICE, keys=(key,), regions=(RIJNSTAD,)
    )  # fmt: skip
    listed = msgspec.structs.replace(entry, **changes)
    made = TrustBundle(v=1, root=samples.ROOT_KEY.id, version=version, issued_s=NOW_S, requesters=(listed,))
    if directory is None:
        return made
    return msgspec.structs.replace(made, directory_sha256=directory_sha256(strictjson.encode(directory)))


def bundle_for(
    requester: Requester, version: int = 3, directory: BrokerDirectory | None = None, **changes: object
) -> bytes:
    return samples.several(bundle_of(requester, version, directory, **changes), samples.ROOT)


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
        (samples.OWNER_ROOT.text, bundle_for(requester, 5)),
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


def test_a_stored_root_with_the_same_id_and_another_second_key_is_named_and_can_be_taken_out(
    requester: Requester,
) -> None:
    """An agency that imported the line of a forger of Ed25519 can import the root itself afterwards."""
    roots, highest = KnownRoots(requester), (1 << 53) - 1
    false, true = package_vectors.by_forged_pair(bundle_of(requester, highest)), bundle_for(requester, 4)
    roots.accept(package_vectors.FORGED.text, false, NOW_S)
    message, remedy = error_of(lambda: roots.accept(samples.ROOT_KEY.text, true, NOW_S))
    folder = requester.folder / "roots" / ROOT
    assert message == f"The root {ROOT} is stored with another ML-DSA-44 key."
    assert f"delete {folder} and" in remedy
    shutil.rmtree(folder)
    assert roots.accept(samples.ROOT_KEY.text, true, NOW_S).name == "Rijnstad Police"
    assert error_of(lambda: roots.accept(package_vectors.FORGED.text, false, NOW_S))[0] == message


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
            (requester.key, 30, False), (samples.OWNER_KEY, 20, False), (samples.ROOT_KEY.ed25519, 90, True)
        )
    )  # fmt: skip
    roots.accept(samples.ROOT_KEY.text, bundle_for(requester, keys=keys), NOW_S)
    assert roots.listed_until_s(root) == NOW_S + 30 * 86_400
    other = samples.several(
        TrustBundle(v=1, root=root, version=9, issued_s=NOW_S, requesters=(samples.requester(),)), samples.ROOT
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
    with pytest.raises(ConfigurationError, match="names a broker directory, and this folder has none"):
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
    payload = envelope.read_several(bundle_for(requester), TrustBundle.PAYLOAD_TYPE, limit_bytes=1 << 20).payload
    listed = strictjson.decode(payload, TrustBundle)
    roots.accept(samples.ROOT_KEY.text, samples.package(listed), NOW_S)
    assert ask(requester)
    assert roots.listed_until_s(samples.ROOT_KEY.id) == NOW_S + 30 * 86_400


# -- whole errors, and what is stored ----------------------------------------------------------------------------------

ROOT_TEXT, ROOT = samples.ROOT_KEY.text, samples.ROOT_KEY.id


def error_of(act: Callable[[], object], kind: type[DoorwardError] = ConfigurationError) -> tuple[str, str]:
    with pytest.raises(kind) as raised:
        act()
    return raised.value.message, raised.value.remedy


def test_an_accepted_bundle_is_stored_with_the_key_and_the_directory(requester: Requester) -> None:
    roots, listed = KnownRoots(requester), directory(HERE)
    bundle, data = bundle_for(requester, 3, listed), strictjson.encode(listed)
    found = roots.accept(ROOT_TEXT, bundle, NOW_S, data)
    folder = requester.folder / "roots" / ROOT
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == {
        "root.pub": f"{ROOT_TEXT}\n".encode(),
        f"brokers-{directory_sha256(data)}.json": data,
        "bundle.dsse": bundle,
    }
    assert (found.id, found.name, found.kind) == (requester.id, "Rijnstad Police", Kind.POLICE)
    (requester.folder / "roots" / "notes of a person").mkdir()
    (requester.folder / "roots" / (ROOT + "0")).mkdir()
    assert roots.ids() == [ROOT]


def test_the_directory_is_written_before_the_bundle_that_names_it(
    requester: Requester, monkeypatch: pytest.MonkeyPatch
) -> None:
    roots, listed, written = KnownRoots(requester), directory(HERE), []
    monkeypatch.setattr(requester.notes, "write", lambda name, _data, **_: written.append(name))
    data = strictjson.encode(listed)
    roots.accept(ROOT_TEXT, bundle_for(requester, 3, listed), NOW_S, data)
    its = f"brokers-{directory_sha256(data)}.json"
    assert written == [f"roots/{ROOT}/{name}" for name in ("root.pub", its, "bundle.dsse")]


def test_of_many_directories_that_of_the_bundle_and_of_the_one_before_stay(requester: Requester) -> None:
    roots, folder = KnownRoots(requester), requester.folder / "roots" / ROOT
    listed = [directory(HERE), directory(HERE, ELSEWHERE), directory(ELSEWHERE, HERE)]
    for version, each in enumerate(listed, start=3):
        roots.accept(ROOT_TEXT, bundle_for(requester, version, each), NOW_S, strictjson.encode(each))
    stored = {path.name for path in folder.iterdir() if path.name.startswith("brokers-")}
    assert stored == {f"brokers-{directory_sha256(strictjson.encode(each))}.json" for each in listed[1:]}


def test_a_bundle_that_is_not_taken_says_why_and_changes_nothing(requester: Requester) -> None:
    roots = KnownRoots(requester)
    roots.accept(ROOT_TEXT, bundle_for(requester, 4), NOW_S)
    before = (requester.folder / "roots" / ROOT / "bundle.dsse").read_bytes()
    said, remedy = error_of(lambda: roots.accept(ROOT_TEXT, bundle_for(requester, 3), NOW_S))
    assert said.startswith("This is not a bundle of that root, or the stored one does not let it follow: ")
    assert remedy == "Get the newest bundle from the root."
    said, remedy = error_of(lambda: roots.accept(samples.OWNER_ROOT.text, bundle_for(requester, 5), NOW_S))
    assert remedy == "Ask the root for its public key and its newest bundle.dsse."
    assert error_of(lambda: roots.accept(ROOT_TEXT, bundle_for(requester, 5, id="another"), NOW_S)) == (
        f"The bundle of root {ROOT} does not list the key of 'rijnstad-police' as valid now.",
        "Ask the root to list it, or import its newer bundle: doorward requester root KEY BUNDLE",
    )
    said, _ = error_of(
        lambda: roots.accept(ROOT_TEXT, bundle_for(requester, 5), NOW_S, strictjson.encode(directory(HERE)))
    )
    assert said.startswith("The broker directory: ")
    assert (requester.folder / "roots" / ROOT / "bundle.dsse").read_bytes() == before


def test_each_reason_to_refuse_a_request_is_named_whole(requester: Requester) -> None:
    roots = KnownRoots(requester)
    roots.accept(ROOT_TEXT, bundle_for(requester), NOW_S)
    at_home = Circle(lat=52.37, lon=4.9, radius_m=300)

    def refused(root: str = ROOT, kind: Kind = Kind.POLICE, area: Area = at_home) -> tuple[str, str]:
        return error_of(lambda: roots.limits_for(root, kind, area, NOW_S), RequestError)

    assert refused(ROOT_ID) == (
        f"This folder has no bundle of the root {ROOT_ID}, only of {ROOT}.",
        "Check --trust-root.  If it is right, import its bundle: doorward requester root KEY BUNDLE",
    )
    assert refused(kind=Kind.FIRE) == (
        "The root lists this requester as police, not fire.",
        "Make a folder of the right kind, or ask the root to change its list.",
    )
    assert refused(area=Circle(lat=4.9, lon=52.37, radius_m=300)) == (
        "The area lies outside your regions, but inside if latitude and longitude are exchanged.",
        "Write latitude first: 52.3702,4.8952,300.  (GeoJSON has longitude first.)",
    )
    assert refused(area=Circle(lat=53.5, lon=9.9, radius_m=300)) == (
        "Each door would refuse this request: the area lies outside your regions.",
        "Ask within one of these regions:\n    52.27 to 52.44 north, 4.72 to 5.08 east",
    )
    assert roots.limits_for(ROOT, Kind.POLICE, at_home, NOW_S) == HARD
    (requester.folder / "roots" / ROOT / "bundle.dsse").write_bytes(b"{}")
    said, remedy = error_of(lambda: roots.limits_for(ROOT, Kind.POLICE, at_home, NOW_S))
    assert said.startswith(f"{requester.folder / 'roots' / ROOT}: ")
    assert remedy == "Import the bundle again: doorward requester root KEY BUNDLE"


def test_limits_are_those_of_the_root_and_hard_limits_without_any_bundle(requester: Requester) -> None:
    roots, at_home = KnownRoots(requester), Circle(lat=52.37, lon=4.9, radius_m=300)
    assert roots.limits_for(ROOT_ID, Kind.POLICE, at_home, NOW_S) == HARD
    limits = EntryLimits(window_max_s=1800)
    roots.accept(ROOT_TEXT, bundle_for(requester, limits=limits), NOW_S)
    assert roots.limits_for(ROOT, Kind.POLICE, at_home, NOW_S) == limits.applied_to(HARD)


def test_each_mistake_with_a_directory_is_named_whole(requester: Requester) -> None:
    roots, here = KnownRoots(requester), directory(HERE)
    assert roots.brokers(ROOT, NOW_S) is None
    assert roots.own_brokers(NOW_S) is None
    roots.accept(ROOT_TEXT, bundle_for(requester, 3), NOW_S)
    assert roots.brokers(ROOT, NOW_S) is None, "this bundle names no directory"
    roots.accept(ROOT_TEXT, bundle_for(requester, 4, here), NOW_S)
    assert error_of(lambda: roots.brokers(ROOT, NOW_S)) == (
        f"The bundle of root {ROOT} names a broker directory, and this folder has none.",
        "Import both: doorward requester root KEY BUNDLE --brokers FILE",
    )
    elsewhere = directory(ELSEWHERE)
    roots.accept(ROOT_TEXT, bundle_for(requester, 5, elsewhere), NOW_S, strictjson.encode(elsewhere))
    assert error_of(lambda: roots.brokers(ROOT, NOW_S)) == (
        f"The broker directory of root {ROOT} has no broker in your regions.",
        "Ask the root to list one, or name a broker by its address.",
    )
    beside = directory(CellRange(south_west="284-368", north_east="284-368"))
    wide = TrustRegion(south_west=Point(lat=52.27, lon=4.2), north_east=Point(lat=52.44, lon=5.08))
    roots.accept(ROOT_TEXT, bundle_for(requester, 6, beside, regions=(wide,)), NOW_S, strictjson.encode(beside))
    assert error_of(lambda: ask(requester), RequestError) == (
        "No door would hear this request: the root lists no broker for the cell 284-369.",
        "Ask the root for its newest bundle and list of brokers, or choose another area.",
    )


def test_the_own_brokers_are_those_of_the_profile_s_root_or_of_the_only_one(tmp_path: Path) -> None:
    other = public_key_of(samples.OWNER)

    def with_roots(name: str, profile_root: str | None, *keys: Any) -> KnownRoots:
        requester = Requester.create(tmp_path / name, "rijnstad-police", Kind.POLICE, profile_root)
        roots = KnownRoots(requester)
        for key in keys:
            listed = msgspec.structs.replace(directory(HERE), root=public_key_of(key).id)
            payload = envelope.read_several(
                bundle_for(requester), TrustBundle.PAYLOAD_TYPE, limit_bytes=1 << 20
            ).payload
            bundle = msgspec.structs.replace(
                strictjson.decode(payload, TrustBundle),
                root=public_key_of(key).id,
                directory_sha256=directory_sha256(strictjson.encode(listed)),
            )
            signed = samples.several(bundle, key)
            roots.accept(samples.pair_text(key), signed, NOW_S, strictjson.encode(listed))
        return roots

    only = with_roots("only", None, samples.OWNER).own_brokers(NOW_S)
    assert only is not None
    assert only[0].root == other.id
    assert with_roots("two", None, samples.OWNER, samples.ROOT).own_brokers(NOW_S) is None
    own = with_roots("own", ROOT, samples.OWNER, samples.ROOT).own_brokers(NOW_S)
    assert own is not None
    assert own[0].root == ROOT


def test_a_polygon_is_exchanged_corner_by_corner() -> None:
    area = samples.outline(52.0, 5.0, (0, 0), (0, 600), (600, 600), (600, 0))
    assert isinstance(area, Polygon)
    turned = swapped(area)
    assert turned == Polygon(vertices=tuple(Point(lat=each.lon, lon=each.lat) for each in area.vertices))


def test_a_public_key_of_other_bytes_than_text_is_damaged(requester: Requester) -> None:
    roots = KnownRoots(requester)
    roots.accept(ROOT_TEXT, bundle_for(requester), NOW_S)
    (requester.folder / "roots" / ROOT / "root.pub").write_bytes(b"\xff\xfe")
    _, remedy = error_of(lambda: ask(requester))
    assert remedy == "Import the bundle again: doorward requester root KEY BUNDLE"


def test_a_stored_list_is_verified_once_for_many_looks(requester: Requester, monkeypatch: pytest.MonkeyPatch) -> None:
    """A desk's worker looks each five seconds, and a list of 3 000 agencies takes long to verify."""
    verified: list[bytes] = []

    def counted(store: TrustStore, data: bytes) -> OpenedBundle:
        verified.append(data)
        return plain(store, data)

    plain = TrustStore.open
    first, second = bundle_for(requester, 3), bundle_for(requester, 4, name="Police of Rijnstad")
    known = KnownRoots(requester)
    known.accept(samples.ROOT_KEY.text, first, NOW_S)
    monkeypatch.setattr(TrustStore, "open", counted)
    for _ in range(3):
        found = KnownRoots(requester).entry(samples.ROOT_KEY.id, NOW_S)
        assert found is not None
        assert found.name == "Rijnstad Police"
        known.own_brokers(NOW_S)
        known.ends_s(samples.ROOT_KEY.id)
    assert verified.count(first) <= 1
    known.accept(samples.ROOT_KEY.text, second, NOW_S)
    verified.clear()
    names = {found.name for _ in range(3) if (found := known.entry(samples.ROOT_KEY.id, NOW_S)) is not None}
    assert names == {"Police of Rijnstad"}
    assert verified.count(second) <= 1


def test_a_changed_byte_of_a_stored_list_is_verified_again(requester: Requester) -> None:
    known = KnownRoots(requester)
    known.accept(samples.ROOT_KEY.text, bundle_for(requester), NOW_S)
    assert known.entry(samples.ROOT_KEY.id, NOW_S) is not None
    stored = requester.folder / "roots" / samples.ROOT_KEY.id / "bundle.dsse"
    data = bytearray(stored.read_bytes())
    data[len(data) // 2] ^= 1
    stored.write_bytes(data)
    with pytest.raises((FormatError, OpenError)):
        known.entry(samples.ROOT_KEY.id, NOW_S)


def test_a_verified_list_is_judged_at_the_time_of_each_look(requester: Requester) -> None:
    known = KnownRoots(requester)
    known.accept(samples.ROOT_KEY.text, bundle_for(requester), NOW_S)
    assert known.entry(samples.ROOT_KEY.id, NOW_S) is not None
    assert known.entry(samples.ROOT_KEY.id, NOW_S + 31 * 86_400) is None
