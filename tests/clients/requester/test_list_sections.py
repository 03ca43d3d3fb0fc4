"""A root with the agencies of a country: its list in sections, each broker's part, and what a doorbell makes of it."""

from __future__ import annotations

import functools
import hashlib
import shutil
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.clients.requester.keys import FileSigner
from agent.clients.requester.list_sections import WHOLE_BYTES, split_list
from agent.clients.requester.package_publisher import publish_package
from agent.clients.requester.root_folder import RootFolder
from agent.core.trust_chunks import TrustChunks
from agent.errors import ConfigurationError, FormatError
from agent.wire import strictjson
from agent.wire.broker_directory import BrokerAddress, CellRange
from agent.wire.identities import private_key_from_seed, public_key_of
from agent.wire.topics import TrustTopic, cell_of, parse_topic
from agent.wire.trust import RequesterEntry, TrustSection, TrustStore, of_cell
from agent.wire.trust_package import PUBLISHED_LIMIT_BYTES, TRUST_SLOTS, split_package
from tests.clients.requester.test_package_publisher import SlotBus
from tests.clients.requester.test_root_folder import NOW_S, ONLINE, PEOPLE, root_file
from tests.wire import samples

OF_THE_COUNTRY = 5


def corner(region: int) -> tuple[float, float]:
    """South and west of a region: five beside each other, each of two rows and two columns of cells."""
    return 48.0 + region // 5, 5.0 + region % 5


def agency(number: int, regions: int) -> tuple[str, float, float, float, float]:
    """Id and rectangle of an agency. Some are of the whole country, and some of two regions."""
    name, (south, west) = f"agency-{number}", corner(number % regions)
    if number < OF_THE_COUNTRY:
        return name, 48.01, 5.01, 47.99 + regions // 5, 9.99
    if number % 20 == 7 and number % regions % 5 < 4:
        return name, south + 0.2, west + 0.8, south + 0.3, west + 1.2
    return name, south + 0.1, west + 0.1, south + 0.7, west + 0.9


@functools.cache
def key(number: int) -> str:
    return public_key_of(private_key_from_seed(number.to_bytes(32, "big"))).text


def text_of(agencies: int, regions: int, version: int = 1, revoked: tuple[int, ...] = ()) -> str:
    """A list as people write it, with a broker for each region."""
    entries = []
    for number in range(agencies):
        name, south, west, north, east = agency(number, regions)
        entries.append(
            f'[[requesters]]\nid = "{name}"\nname = "Police of Town {number}"\nkind = "police"\n'
            f"regions = [{{ south = {south:.2f}, west = {west:.2f}, north = {north:.2f}, east = {east:.2f} }}]\n"
            f'[[requesters.keys]]\nkey = "{key(number)}"\nfrom = 2026-01-01\nuntil = 2030-12-31\n'
            f"revoked = {str(number in revoked).lower()}\n"
        )
    brokers = []
    for region in range(regions):
        south, west = corner(region)
        brokers.append(
            f'[[brokers]]\nhost = "b{region}.example.org"\nport = 8884\n'
            f"areas = [{{ south = {south}, west = {west}, north = {south + 1}, east = {west + 1} }}]\n"
        )
    return f"version = {version}\n" + "".join(entries) + "".join(brokers)


def publish(folder: Path, agencies: int, regions: int, version: int = 1, **changes: tuple[int, ...]) -> RootFolder:
    """Proposes, signs and stamps a list, as the commands do."""
    root = RootFolder(folder / "root")
    if version == 1:
        first = root.found(root_file())
        for person in PEOPLE[:2]:
            root.sign(first, FileSigner(person))
    source = folder / f"list-{version}.toml"
    source.write_text(text_of(agencies, regions, version, **changes), encoding="utf-8")
    payload = root.propose(source, NOW_S)
    for person in PEOPLE[:2]:
        root.sign(payload, FileSigner(person))
    root.stamp(FileSigner(ONLINE), NOW_S, 7)
    return root


def at(broker: str) -> BrokerAddress:
    return BrokerAddress(broker, 8884)


def read_at(root: RootFolder, region: int) -> tuple[bytes, int]:
    """Returns the package that a doorbell on the broker of that region reads, and the bytes of all messages."""
    bus, chunks = SlotBus(), TrustChunks()
    publish_package(bus, root.name_key.id, root.package_for(at(f"b{region}.example.org")), 60.0)  # type: ignore[arg-type]
    retained = {topic: data for topic, data, _ in bus.published if data}
    assert len(retained) <= TRUST_SLOTS + 1, "and an index"
    for topic, data in retained.items():
        where = parse_topic(topic)
        if isinstance(where, TrustTopic):
            chunks.put(where, data, [root.name_key.id])
    whole = chunks.whole(root.name_key.id)
    assert whole is not None
    return whole, sum(len(topic) + len(data) for topic, data in retained.items())


def expected(agencies: int, regions: int, cell: str) -> set[str]:
    """Returns the agencies that may ask in the cell, worked out from the rectangles alone."""
    row, column = map(int, cell.split("-"))
    found = set()
    for number in range(agencies):
        name, south, west, north, east = agency(number, regions)
        if int((south + 90) * 2) <= row <= int((north + 90) * 2) and int((west + 180) * 2) <= column <= int(
            (east + 180) * 2
        ):
            found.add(name)
    return found


def trusted(root: RootFolder, package: bytes, cell: str) -> set[str]:
    store, _ = TrustStore(cell=cell).with_root(root.name_key).accept(package, NOW_S)
    assert not store.open(package).lacks
    return {each.id for each in store.bundles[root.name_key.id].requesters}


def cells_of(region: int) -> list[str]:
    south, west = corner(region)
    return [cell_of(south + row, west + column) for row in (0.25, 0.75) for column in (0.25, 0.75)]


def tell(tmp_path: Path, agencies: int, regions: int, looked: list[int]) -> None:
    root = publish(tmp_path, agencies, regions)
    for region in looked:
        package, size_bytes = read_at(root, region)
        # A connection reads 64 KiB of it, and the next ones the pieces that lack (docs/decisions/0104).
        assert size_bytes <= PUBLISHED_LIMIT_BYTES
        assert len(package) <= PUBLISHED_LIMIT_BYTES
        for cell in cells_of(region):
            assert trusted(root, package, cell) == expected(agencies, regions, cell) != set()
            # A file with the whole list gives the same.
            if cell == cells_of(region)[0] and region in (looked[0], looked[-1]):
                assert trusted(root, root.package(), cell) == trusted(root, package, cell)
    near, far = looked[0], looked[-1]
    taken = next(n for n in range(OF_THE_COUNTRY, agencies) if n % regions == near and n % 20 != 7)
    again = publish(tmp_path, agencies, regions, version=2, revoked=(taken,))
    for region, is_theirs in ((near, True), (far, False)):
        package, _ = read_at(again, region)
        store, _ = TrustStore(cell=cells_of(region)[0]).with_root(root.name_key).accept(package, NOW_S)
        seen = {each.id: each.keys[0].revoked for each in store.bundles[root.name_key.id].requesters}
        assert seen.get(f"agency-{taken}") is (True if is_theirs else None)


def test_the_agencies_of_ten_regions_reach_their_doorbells_and_no_others(tmp_path: Path) -> None:
    tell(tmp_path, 320, 10, [0, 9])


@pytest.mark.at_length("make test-long")
def test_three_thousand_agencies_in_forty_regions_reach_their_doorbells_and_no_others(tmp_path: Path) -> None:
    tell(tmp_path, 3_000, 40, list(range(40)))


def test_each_requester_is_in_the_bundle_or_in_one_section_of_all_its_cells() -> None:
    entries = [_entry(number) for number in range(300)]
    head, sections = split_list(entries)
    opened = [(name, strictjson.decode(data, TrustSection, limit_bytes=1 << 20).requesters) for name, data in sections]
    everyone = [*head, *(each for _, found in opened for each in found)]
    assert sorted(each.id for each in everyone) == sorted(each.id for each in entries)
    assert 1 < len(sections) < 64
    for (name, data), (_, found) in zip(sections, opened, strict=True):
        assert name.sha256 == hashlib.sha256(data).hexdigest()
        for entry in found:
            for region in entry.regions:
                low, high = region.south_west, region.north_east
                box = CellRange(south_west=cell_of(low.lat, low.lon), north_east=cell_of(high.lat, high.lon))
                assert name.cells.holds(box.south_west)
                assert name.cells.holds(box.north_east)


def _entry(number: int, *, south: float = 0.0, west: float = 0.0, size: float = 0.3) -> RequesterEntry:
    south, west = south or 48 + number % 17 * 0.37, west or 5 + number % 23 * 0.31
    return samples.local(number, round(south, 4), round(west, 4), round(south + size, 4), round(west + size, 4))


@settings(max_examples=5, deadline=None)
@given(
    st.lists(
        st.tuples(st.floats(-80, 79), st.floats(-179, 170), st.sampled_from([0.01, 0.4, 3.0])),
        min_size=150,
        max_size=200,
    )
)
def test_however_regions_lie_the_split_list_says_the_same_in_each_cell(
    places: list[tuple[float, float, float]],
) -> None:
    entries = [_BASE[number](place) for number, place in enumerate(places)]
    head, sections = split_list(entries)
    whole = samples.bundle(requesters=tuple(entries))
    for south, west, _ in places[:5]:
        cell = cell_of(round(south, 4), round(west, 4))
        near = [
            each
            for name, data in sections
            if name.cells.holds(cell)
            for each in strictjson.decode(data, TrustSection, limit_bytes=1 << 20).requesters
        ]
        joined = of_cell(samples.bundle(requesters=(*head, *near)), cell)
        assert {each.id for each in joined.requesters} == {each.id for each in of_cell(whole, cell).requesters}


def _moved(number: int, place: tuple[float, float, float]) -> RequesterEntry:
    south, west, size = place
    return _entry(number, south=round(south, 4), west=round(west, 4), size=size)


_BASE = [functools.partial(_moved, number) for number in range(200)]


def test_a_short_list_stays_whole_and_a_list_of_national_agencies_is_split_though_no_cut_helps() -> None:
    few = [_entry(number) for number in range(20)]
    assert split_list(few) == (tuple(few), ())
    national = [_entry(number, south=48.1, west=5.1, size=4.0) for number in range(WHOLE_BYTES // 200)]
    head, sections = split_list(national)
    assert len(head) + len(strictjson.decode(sections[0][1], TrustSection, limit_bytes=1 << 20).requesters) == len(
        national
    )
    assert len(sections) == 1


def test_too_many_agencies_for_one_broker_are_refused_before_anything_is_published(tmp_path: Path) -> None:
    source = tmp_path / "list.toml"
    crowded = text_of(400, 10).replace("[[brokers]]", "", 0)
    source.write_text(crowded[: crowded.index("[[brokers]]")], encoding="utf-8")
    root = RootFolder(tmp_path / "root")
    first = root.found(root_file())
    payload = root.propose(source, NOW_S)
    for each in (first, payload):
        for person in PEOPLE[:2]:
            root.sign(each, FileSigner(person))
    package = root.stamp(FileSigner(ONLINE), NOW_S, 7)
    assert root.package_for(at("b0.example.org")) == package, "without a directory it is the whole list"
    with pytest.raises(FormatError, match="122880 can be published"):
        split_package(root.package_for(at("b0.example.org")))


def test_a_signer_is_asked_for_the_sections_that_a_bundle_names(tmp_path: Path) -> None:
    root = RootFolder(tmp_path / "root")
    root.found(root_file())
    source = tmp_path / "list.toml"
    source.write_text(text_of(200, 10), encoding="utf-8")
    payload = root.propose(source, NOW_S)
    sections = tmp_path / "root" / "sections-1.jsonl"
    signer = FileSigner(PEOPLE[0])
    root.sign(payload, signer)
    kept = sections.read_bytes()
    for wrong in (b"", kept.replace(b"Town 7", b"Town 8"), kept.partition(b"\n")[2]):
        sections.write_bytes(wrong)
        with pytest.raises(ConfigurationError, match="has not the sections that bundle 1 names"):
            root.sign(payload, signer)
    sections.unlink()
    with pytest.raises(ConfigurationError, match="has not the sections"):
        root.sign(payload, signer)


def test_a_folder_from_a_backup_takes_a_list_in_sections_back_from_the_brokers_together(tmp_path: Path) -> None:
    root = publish(tmp_path, 200, 5)
    folder = RootFolder(tmp_path / "put-back")
    folder.folder.mkdir()
    shutil.copy(root.folder / "root.pub", folder.folder)
    packages = [root.package_for(at(f"b{region}.example.org")) for region in range(5)]
    lacking = [folder.take_back(each, root.directory()).lacking for each in packages[:-1]]
    assert lacking == sorted(lacking, reverse=True)
    assert 0 < lacking[-1] < lacking[0]
    with pytest.raises(ConfigurationError, match="is missing"):
        folder.package()
    assert folder.take_back(packages[-1], root.directory()).lacking == 0
    assert folder.package() == root.package()
    stamped = folder.stamp(FileSigner(ONLINE), NOW_S + 1, 7)
    with pytest.raises(ConfigurationError, match="something newer than list 1"):
        folder.take_back(packages[0])
    assert folder.package() == stamped
