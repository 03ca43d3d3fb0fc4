"""Trust bundles: what a device accepts, and mistakes named with file, line and key."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from agent.clients.opening import HybridIdentity
from agent.clients.requester.keys import FileSigner, trust_key_of
from agent.clients.requester.trust_bundles import (
    RequesterList,
    _place_of,
    make_bundle,
    make_directory,
    read_bundle,
    read_list,
)
from agent.errors import ConfigurationError, FormatError
from agent.wire import strictjson
from agent.wire.area import Point
from agent.wire.broker_directory import BrokerDirectory, CellBroker, CellRange, open_directory
from agent.wire.fields import Kind
from agent.wire.identities import private_key_from_seed, public_key_of
from agent.wire.topics import cell_of
from agent.wire.trust import (
    MAX_REGIONS,
    EntryLimits,
    RequesterEntry,
    RequesterKey,
    TrustBundle,
    TrustRegion,
    TrustStore,
)
from tests.clients.requester.conftest import NOW_S

ROOT = FileSigner(private_key_from_seed(b"r" * 32))
ROOT_PAIR = trust_key_of(ROOT)
KEY = public_key_of(private_key_from_seed(b"k" * 32)).text
OTHER_END = chr(ord(KEY[-1]) + 1)
"""In place of the last character: base64 of the same bytes, with other bits behind them."""
GOOD = f"""\
version = 3

[[requesters]]
id = "rijnstad-police"
name = "Rijnstad Police"
kind = "police"
regions = [{{ south = 52.27, west = 4.72, north = 52.44, east = 5.08 }}]
limits = {{ window_max_s = 14400 }}

[[requesters.keys]]
key = "{KEY}"
from = 2026-01-01
until = 2027-12-31
"""
BROKERS = """
[[brokers]]
host = "north.broker.example"
port = 8884
areas = [{ south = 52, west = 4, north = 53, east = 6 }]
[[brokers]]
host = "south.broker.example"
port = 8884
areas = [{ south = 51, west = 4, north = 52, east = 6 }]
"""


def listed(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "requesters.toml"
    path.write_text(text, encoding="utf-8")
    return path


def signed(tmp_path: Path, text: str, previous: bytes | None = None, root: FileSigner = ROOT) -> bytes:
    return make_bundle(listed(tmp_path, text), root, issued_s=NOW_S, previous=previous)


def test_a_bundle_is_what_a_device_that_trusts_the_root_accepts(tmp_path: Path) -> None:
    data = signed(tmp_path, GOOD)
    store, difference = TrustStore().with_root(ROOT_PAIR).accept(data)
    assert difference.added == ("rijnstad-police",)
    key_id = public_key_of(private_key_from_seed(b"k" * 32)).id
    resolved = store.resolve(ROOT_PAIR.id, "rijnstad-police", key_id, NOW_S)
    assert resolved is not None
    assert (resolved.name, resolved.limits.window_max_s) == ("Rijnstad Police", 14400)


def test_a_list_with_brokers_makes_the_directory_that_its_bundle_names(tmp_path: Path) -> None:
    path = listed(tmp_path, GOOD + BROKERS)
    bundle = read_bundle(make_bundle(path, ROOT, issued_s=NOW_S), ROOT_PAIR)
    data = make_directory(path, ROOT_PAIR)
    assert data is not None
    directory = open_directory(data, ROOT_PAIR.id, bundle.directory_sha256)
    north, south = (each.address for each in directory.brokers)
    served = {at: directory.brokers_of(cell_of(*at)) for at in ((52.0, 4.0), (52.99, 5.99), (51.99, 4.0), (53.0, 5.0))}
    assert served == {(52.0, 4.0): (north,), (52.99, 5.99): (north,), (51.99, 4.0): (south,), (53.0, 5.0): ()}


def test_a_list_without_brokers_has_no_directory(tmp_path: Path) -> None:
    path = listed(tmp_path, GOOD)
    assert make_directory(path, ROOT_PAIR) is None
    assert read_bundle(make_bundle(path, ROOT, issued_s=NOW_S), ROOT_PAIR).directory_sha256 is None


def test_a_date_is_meant_to_its_end_in_utc(tmp_path: Path) -> None:
    (key,) = read_bundle(signed(tmp_path, GOOD), ROOT_PAIR).requesters[0].keys
    assert (key.from_s, key.until_s) == (1_767_225_600, 1_830_297_599)


def test_a_time_may_be_given_with_its_offset_instead(tmp_path: Path) -> None:
    text = GOOD.replace("from = 2026-01-01", "from = 2026-01-01T01:00:00+01:00")
    assert read_bundle(signed(tmp_path, text), ROOT_PAIR).requesters[0].keys[0].from_s == 1_767_225_600


def test_a_bundle_may_vouch_for_nobody_any_more(tmp_path: Path) -> None:
    assert read_bundle(signed(tmp_path, "version = 4\n"), ROOT_PAIR).requesters == ()


def test_a_version_that_is_not_higher_is_refused_before_any_device_sees_it(tmp_path: Path) -> None:
    first = signed(tmp_path, GOOD)
    with pytest.raises(ConfigurationError, match="version = 4"):
        signed(tmp_path, GOOD, previous=first)
    assert read_bundle(signed(tmp_path, GOOD.replace("version = 3", "version = 4"), first), ROOT_PAIR).version == 4


def twice(text: str) -> str:
    return text + text[text.index("[[requesters]]") :]


HELP = "'doorward requester bundle --help' shows a correct list."
DATES = "Write 2026-01-31, or 2026-01-31T18:00:00+01:00; no quotes."

MISTAKES = {
    "no version": (GOOD.replace("version = 3", ""), "line 1: Object missing required field 'version'", HELP),
    "version zero": (GOOD.replace("version = 3", "version = 0"), "line 1, version: Expected 'int' >= 1", HELP),
    "unknown key": (
        GOOD.replace("name =", "nam ="),
        "line 3, requesters[1]: Object contains unknown field 'nam'",
        HELP,
    ),
    "unknown kind": (
        GOOD.replace('"police"', '"army"'),
        "line 6, requesters[1].kind: Invalid enum value 'army'",
        "One of police, fire, insurer, neighbour, court, defence.",
    ),
    "bad id": (
        GOOD.replace('"rijnstad-police"', '"Rijnstad Police"'),
        "line 4, requesters[1].id: this has the wrong form.",
        "1 to 32 of a-z, 0-9 and -, with a letter or digit at both ends.",
    ),
    "a name that pretends": (
        GOOD.replace('"Rijnstad Police"', '"police.example"'),
        "line 5, requesters[1].name: the text holds what looks like a link.",
        "Use plain words, no links, single spaces.",
    ),
    "corners swapped": (
        GOOD.replace("south = 52.27", "south = 53.27"),
        "line 7, requesters[1].regions: a corner is on the wrong side.",
        "Give south-west, then north-east.",
    ),
    "off the earth": (
        GOOD.replace("south = 52.27", "south = 95.0"),
        "line 7, requesters[1].regions[1].south: Expected 'float' <= 90.0",
        HELP,
    ),
    "no regions": (
        GOOD.replace("regions = [{ south = 52.27, west = 4.72, north = 52.44, east = 5.08 }]", ""),
        "line 3, requesters[1]: Object missing required field 'regions'",
        HELP,
    ),
    "a limit that is none": (
        GOOD.replace("window_max_s", "window_longest_s"),
        "line 8, requesters[1].limits: Object contains unknown field 'window_longest_s'",
        HELP,
    ),
    "a key that is none": (
        GOOD.replace(KEY, "ed25519:abc"),
        "line 11, requesters[1].keys[1].key: this has the wrong form.",
        "It is the line ed25519:… that 'doorward requester keygen' printed.",
    ),
    "a key in another spelling": (
        GOOD.replace(KEY, KEY[:-1] + OTHER_END),
        "line 11, requesters[1].keys[1].key: ed25519:…: This URL-safe base64 is not in its canonical form.",
        "Copy the whole line.",
    ),
    "a key in another spelling that is valid for one second": (
        GOOD.replace(KEY, KEY[:-1] + OTHER_END)
        .replace("from = 2026-01-01", "from = 2026-01-01T00:00:00Z")
        .replace("until = 2027-12-31", "until = 2026-01-01T00:00:00Z"),
        "line 11, requesters[1].keys[1].key: ed25519:…: This URL-safe base64 is not in its canonical form.",
        "Copy the whole line.",
    ),
    "a date in quotes": (
        GOOD.replace("from = 2026-01-01", 'from = "2026-01-01"'),
        "line 12, requesters[1].keys[1].from: not a date.",
        DATES,
    ),
    "a time without offset": (
        GOOD.replace("2026-01-01", "2026-01-01T00:00:00"),
        "line 12, requesters[1].keys[1].from: not a date.",
        DATES,
    ),
    "an end that is no date": (
        GOOD.replace("until = 2027-12-31", "until = 2027"),
        "line 13, requesters[1].keys[1].until: not a date.",
        DATES,
    ),
    "validity turned round": (
        GOOD.replace("2027-12-31", "2025-12-31"),
        "line 13, requesters[1].keys[1].until: until_s: the key's validity ends before it begins.",
        HELP,
    ),
    "a tips key that is none": (
        GOOD.replace('kind = "police"', 'kind = "police"\ntips = "age1nothing"'),
        "line 7, requesters[1].tips: it must be an age recipient, age1pq1….",
        HELP,
    ),
    "too many regions": (
        GOOD.replace(
            "regions = [", "regions = [" + "{ south = 1.0, west = 1.0, north = 2.0, east = 2.0 }, " * MAX_REGIONS
        ),
        "line 7, requesters[1].regions: it must have at most 32 entries.",
        HELP,
    ),
    "a broker with a capital": (
        GOOD + BROKERS.replace("north.", "North."),
        "line 16, brokers[1].host: this has the wrong form.",
        "A name in small letters like north.broker.example, or an address.",
    ),
    "a broker's port": (
        GOOD + BROKERS.replace("8884", "88840", 1),
        "line 17, brokers[1].port: Expected 'int' <= 65535",
        HELP,
    ),
    "a broker's corners": (
        GOOD + BROKERS.replace("south = 52,", "south = 54,"),
        "line 18, brokers[1].areas[1].south: the corners are on the wrong side.",
        "South is larger than north: exchange the two.",
    ),
    "a broker across 180 degrees": (
        GOOD + BROKERS.replace("west = 4,", "west = 179,"),
        "line 18, brokers[1].areas[1].west: the corners are on the wrong side.",
        "West is larger than east. Write two areas if it crosses 180 degrees.",
    ),
    "a broker without areas": (
        GOOD + BROKERS.replace("areas = [{", "areas = []  # [{", 1),
        "line 18, brokers[1].areas: Expected 'array' of length >= 1",
        HELP,
    ),
    "a broker twice": (
        GOOD + BROKERS.replace("south.", "north."),
        "line 20, brokers[2].host: north.broker.example:8884 is in entry 1, too.",
        "Give all areas of a broker in one entry.",
    ),
    "an id twice": (twice(GOOD), "line 15, requesters[2].id: this is in entry 1, too.", "Each is unique."),
    "a name twice, but for its capitals": (
        twice(GOOD).replace('"rijnstad-police"\nname = "Rijnstad Police"', '"b"\nname = "rijnstad police"', 1),
        "line 16, requesters[2].name: this is in entry 1, too.",
        "Each is unique.",
    ),
    "a key twice in one entry": (
        GOOD + GOOD[GOOD.index("[[requesters.keys]]") :],
        "line 10, requesters[1].keys: this is in entry 1, too.",
        "Each is unique.",
    ),
    "a key twice": (
        twice(GOOD.replace('id = "rijnstad-police"\nname = "Rijnstad Police"', 'id = "a"\nname = "A"')).replace(
            '"a"\nname = "A"', '"b"\nname = "B"', 1
        ),
        "line 21, requesters[2].keys: this is in entry 1, too.",
        "Each is unique.",
    ),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_named_with_file_line_key_and_remedy(mistake: str, tmp_path: Path) -> None:
    text, said, remedy = MISTAKES[mistake]
    for act in (signed, lambda folder, text: make_directory(listed(folder, text), ROOT_PAIR)):
        with pytest.raises(ConfigurationError) as raised:
            act(tmp_path, text)
        assert raised.value.message == f"{tmp_path / 'requesters.toml'}, {said}"
        assert raised.value.remedy == remedy


def test_a_list_that_is_no_toml_is_named_with_the_reason(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError) as raised:
        signed(tmp_path, GOOD.replace('kind = "police"', "kind = police"))
    assert raised.value.message == (
        f"{tmp_path / 'requesters.toml'}: this is not TOML: Invalid value (at line 6, column 8)."
    )
    assert raised.value.remedy == "Compare it with 'doorward requester bundle --help'."


def test_a_list_is_read_with_all_its_values(tmp_path: Path) -> None:
    recipient = str(HybridIdentity(b"t" * 32).recipient())
    text = GOOD.replace('kind = "police"', f'kind = "police"\ntips = "{recipient}"') + "revoked = true\n" + BROKERS
    found = read_list(listed(tmp_path, text))
    assert found == read_list(listed(tmp_path, f"\ufeff{text}")), "with the mark that editors put in front of UTF-8"
    assert found == RequesterList(
        version=3,
        requesters=(
            RequesterEntry(
                id="rijnstad-police",
                name="Rijnstad Police",
                kind=Kind.POLICE,
                keys=(RequesterKey(key=KEY, from_s=1_767_225_600, until_s=1_830_297_599, revoked=True),),
                regions=(TrustRegion(south_west=Point(lat=52.27, lon=4.72), north_east=Point(lat=52.44, lon=5.08)),),
                limits=EntryLimits(window_max_s=14_400),
                tips=recipient,
            ),
        ),
        brokers=(
            CellBroker(
                host="north.broker.example", port=8884, cells=(CellRange(south_west="284-368", north_east="285-371"),)
            ),
            CellBroker(
                host="south.broker.example", port=8884, cells=(CellRange(south_west="282-368", north_east="283-371"),)
            ),
        ),
    )
    directory = strictjson.encode(BrokerDirectory(v=1, root=ROOT_PAIR.id, brokers=found.brokers))
    assert make_directory(tmp_path / "requesters.toml", ROOT_PAIR) == directory
    data = make_bundle(tmp_path / "requesters.toml", ROOT, issued_s=NOW_S)
    assert read_bundle(data, ROOT_PAIR) == TrustBundle(
        v=1,
        root=ROOT_PAIR.id,
        version=3,
        issued_s=NOW_S,
        requesters=found.requesters,
        directory_sha256=hashlib.sha256(directory).hexdigest(),
    )
    assert read_list(listed(tmp_path, GOOD)).requesters[0].keys[0].revoked is False


@pytest.mark.parametrize("version", [3, 2])
def test_a_version_that_devices_would_refuse_is_named_with_the_next_one(tmp_path: Path, version: int) -> None:
    first = signed(tmp_path, GOOD)
    with pytest.raises(ConfigurationError) as raised:
        signed(tmp_path, GOOD.replace("version = 3", f"version = {version}"), previous=first)
    assert raised.value.message == (
        f"{tmp_path / 'requesters.toml'}: version: {version} is not higher than 3, the last bundle's version."
    )
    assert raised.value.remedy == "Set version = 4. Devices accept only newer bundles."


@pytest.mark.parametrize(
    ("north", "east", "last"),
    [("53", "6", "285-371"), ("53.0000001", "6", "286-371"), ("53", "6.0000001", "285-372"), ("52", "4", "284-368")],
)
def test_an_area_takes_a_cell_along_only_if_it_reaches_beyond_its_edge(
    tmp_path: Path, north: str, east: str, last: str
) -> None:
    text = GOOD + BROKERS.replace("north = 53, east = 6", f"north = {north}, east = {east}", 1)
    bundle = read_bundle(signed(tmp_path, text), ROOT_PAIR)
    data = make_directory(listed(tmp_path, text), ROOT_PAIR)
    assert data is not None
    (cells,) = open_directory(data, ROOT_PAIR.id, bundle.directory_sha256).brokers[0].cells
    assert (cells.south_west, cells.north_east) == ("284-368", last)


def test_a_list_that_is_not_there_or_no_text_is_the_operators_to_mend(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="nowhere"):
        make_bundle(tmp_path / "nowhere.toml", ROOT, issued_s=NOW_S)
    (tmp_path / "requesters.toml").write_bytes(b"version = 3 # \xff\n")
    with pytest.raises(ConfigurationError, match="UTF-8"):
        make_bundle(tmp_path / "requesters.toml", ROOT, issued_s=NOW_S)


def test_a_tips_key_is_given_as_text_or_as_the_name_of_its_file(tmp_path: Path) -> None:
    recipient = str(HybridIdentity(b"t" * 32).recipient())
    (tmp_path / "tips.recipient").write_text(recipient + "\n")
    for said in (recipient, "tips.recipient"):
        text = GOOD.replace('kind = "police"', f'kind = "police"\ntips = "{said}"')
        assert read_bundle(signed(tmp_path, text), ROOT_PAIR).requesters[0].tips == recipient
    assert read_bundle(signed(tmp_path, GOOD), ROOT_PAIR).requesters[0].tips is None
    text = GOOD.replace('kind = "police"', 'kind = "police"\ntips = "missing.recipient"')
    with pytest.raises(ConfigurationError, match=r"requesters\[1\]\.tips: .*missing\.recipient") as refused:
        signed(tmp_path, text)
    assert refused.value.remedy == "Name the requester's tips.recipient."


def test_a_list_that_makes_no_bundle_is_named_with_its_file(tmp_path: Path) -> None:
    source = listed(tmp_path, GOOD)
    with pytest.raises(ConfigurationError, match=r"requesters\.toml: "):
        make_bundle(source, ROOT, issued_s=-1)


@pytest.mark.parametrize(
    ("words", "path", "said"),
    [
        ("Nothing is named.", (), "Nothing is named."),
        ("Requester entry: name: it is empty.", ("name",), "it is empty."),
        ("Trust bundle: requesters.keys.1.key: no: key.", ("keys", 0, "key"), "no: key."),
    ],
)
def test_the_place_of_an_error_is_the_key_that_it_names(words: str, path: tuple[object, ...], said: str) -> None:
    assert _place_of(FormatError(words)) == (path, said)


def test_a_mistake_without_a_remedy_of_its_own_leads_to_a_correct_list(tmp_path: Path) -> None:
    for mistake, remedy in (
        ("unknown key", "'doorward requester bundle --help' shows a correct list."),
        ("an id twice", "Each is unique."),
    ):
        with pytest.raises(ConfigurationError) as raised:
            signed(tmp_path, MISTAKES[mistake][0])
        assert raised.value.remedy == remedy
