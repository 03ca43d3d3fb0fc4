"""Trust bundles: what a device accepts, and mistakes named with file, line and key."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.clients.opening import HybridIdentity
from agent.clients.requester.keys import FileSigner
from agent.clients.requester.trust_bundles import _place_of, make_bundle, make_directory, read_bundle
from agent.errors import ConfigurationError, FormatError
from agent.wire.broker_directory import open_directory
from agent.wire.identities import private_key_from_seed, public_key_of
from agent.wire.topics import cell_of
from agent.wire.trust import MAX_REGIONS, TrustStore
from tests.clients.requester.conftest import NOW_S

ROOT = FileSigner(private_key_from_seed(b"r" * 32))
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
    store, difference = TrustStore().with_root(ROOT.public_key).accept(data)
    assert difference.added == ("rijnstad-police",)
    key_id = public_key_of(private_key_from_seed(b"k" * 32)).id
    resolved = store.resolve(ROOT.public_key.id, "rijnstad-police", key_id, NOW_S)
    assert resolved is not None
    assert (resolved.name, resolved.limits.window_max_s) == ("Rijnstad Police", 14400)


def test_a_list_with_brokers_makes_the_directory_that_its_bundle_names(tmp_path: Path) -> None:
    path = listed(tmp_path, GOOD + BROKERS)
    bundle = read_bundle(make_bundle(path, ROOT, issued_s=NOW_S), ROOT.public_key)
    data = make_directory(path, ROOT.public_key)
    assert data is not None
    directory = open_directory(data, ROOT.public_key.id, bundle.directory_sha256)
    north, south = (each.address for each in directory.brokers)
    served = {at: directory.brokers_of(cell_of(*at)) for at in ((52.0, 4.0), (52.99, 5.99), (51.99, 4.0), (53.0, 5.0))}
    assert served == {(52.0, 4.0): (north,), (52.99, 5.99): (north,), (51.99, 4.0): (south,), (53.0, 5.0): ()}


def test_a_list_without_brokers_has_no_directory(tmp_path: Path) -> None:
    path = listed(tmp_path, GOOD)
    assert make_directory(path, ROOT.public_key) is None
    assert read_bundle(make_bundle(path, ROOT, issued_s=NOW_S), ROOT.public_key).directory_sha256 is None


def test_a_date_is_meant_to_its_end_in_utc(tmp_path: Path) -> None:
    (key,) = read_bundle(signed(tmp_path, GOOD), ROOT.public_key).requesters[0].keys
    assert (key.from_s, key.until_s) == (1_767_225_600, 1_830_297_599)


def test_a_time_may_be_given_with_its_offset_instead(tmp_path: Path) -> None:
    text = GOOD.replace("from = 2026-01-01", "from = 2026-01-01T01:00:00+01:00")
    assert read_bundle(signed(tmp_path, text), ROOT.public_key).requesters[0].keys[0].from_s == 1_767_225_600


def test_a_bundle_may_vouch_for_nobody_any_more(tmp_path: Path) -> None:
    assert read_bundle(signed(tmp_path, "version = 4\n"), ROOT.public_key).requesters == ()


def test_a_version_that_is_not_higher_is_refused_before_any_device_sees_it(tmp_path: Path) -> None:
    first = signed(tmp_path, GOOD)
    with pytest.raises(ConfigurationError, match="version = 4"):
        signed(tmp_path, GOOD, previous=first)
    assert (
        read_bundle(signed(tmp_path, GOOD.replace("version = 3", "version = 4"), first), ROOT.public_key).version == 4
    )


def twice(text: str) -> str:
    return text + text[text.index("[[requesters]]") :]


MISTAKES = {
    "no version": (GOOD.replace("version = 3", ""), "line 1", "version"),
    "version zero": (GOOD.replace("version = 3", "version = 0"), "line 1", "version"),
    "not TOML": (GOOD.replace('kind = "police"', "kind = police"), "line 6", "TOML"),
    "unknown key": (GOOD.replace("name =", "nam ="), "line", "nam"),
    "unknown kind": (GOOD.replace('"police"', '"army"'), "line 6", "kind"),
    "bad id": (GOOD.replace('"rijnstad-police"', '"Rijnstad Police"'), "line 4", "id"),
    "a name that pretends": (GOOD.replace('"Rijnstad Police"', '"police.example"'), "line 5", "name"),
    "corners swapped": (GOOD.replace("south = 52.27", "south = 53.27"), "line 7", "regions"),
    "off the earth": (GOOD.replace("south = 52.27", "south = 95.0"), "line 7", "south"),
    "no regions": (
        GOOD.replace("regions = [{ south = 52.27, west = 4.72, north = 52.44, east = 5.08 }]", ""),
        "line 3",
        "regions",
    ),
    "a limit that is none": (GOOD.replace("window_max_s", "window_longest_s"), "line 8", "window_longest_s"),
    "a key that is none": (GOOD.replace(KEY, "ed25519:abc"), "line 11", "key"),
    "a key in another spelling": (GOOD.replace(KEY, KEY[:-1] + OTHER_END), "line 11", "requesters[1].keys[1].key: "),
    "a date in quotes": (GOOD.replace("from = 2026-01-01", 'from = "2026-01-01"'), "line 12", "no quotes"),
    "a time without offset": (GOOD.replace("2026-01-01", "2026-01-01T00:00:00"), "line 12", "from"),
    "validity turned round": (GOOD.replace("2027-12-31", "2025-12-31"), "line 13", "until"),
    "a tips key that is none": (
        GOOD.replace('kind = "police"', 'kind = "police"\ntips = "age1nothing"'),
        "line 7",
        "requesters[1].tips",
    ),
    "too many regions": (
        GOOD.replace(
            "regions = [", "regions = [" + "{ south = 1.0, west = 1.0, north = 2.0, east = 2.0 }, " * MAX_REGIONS
        ),
        "line 7",
        "requesters[1].regions",
    ),
    "a broker with a capital": (GOOD + BROKERS.replace("north.", "North."), "line 16", "brokers[1].host"),
    "a broker's port": (GOOD + BROKERS.replace("8884", "88840", 1), "line 17", "brokers[1].port"),
    "a broker's corners": (GOOD + BROKERS.replace("south = 52,", "south = 54,"), "line 18", "wrong side"),
    "a broker across 180 degrees": (GOOD + BROKERS.replace("west = 4,", "west = 179,"), "line 18", "Write two areas"),
    "a broker without areas": (GOOD + BROKERS.replace("areas = [{", "areas = []  # [{", 1), "line 18", "areas"),
    "a broker twice": (GOOD + BROKERS.replace("south.", "north."), "line 20", "entry 1, too"),
    "an id twice": (twice(GOOD), "line 15", "entry 1, too"),
    "a key twice in one entry": (GOOD + GOOD[GOOD.index("[[requesters.keys]]") :], "line 10", "entry 1, too"),
    "a key twice": (
        twice(GOOD.replace('id = "rijnstad-police"\nname = "Rijnstad Police"', 'id = "a"\nname = "A"')).replace(
            '"a"\nname = "A"', '"b"\nname = "B"', 1
        ),
        "line",
        "entry 1, too",
    ),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_named_with_file_line_and_key(mistake: str, tmp_path: Path) -> None:
    text, line, words = MISTAKES[mistake]
    with pytest.raises(ConfigurationError) as raised:
        signed(tmp_path, text)
    said = str(raised.value)
    assert "requesters.toml" in said
    assert line in said, said
    assert words in said, said
    assert raised.value.remedy


@pytest.mark.parametrize(
    ("north", "east", "last"),
    [("53", "6", "285-371"), ("53.0000001", "6", "286-371"), ("53", "6.0000001", "285-372"), ("52", "4", "284-368")],
)
def test_an_area_takes_a_cell_along_only_if_it_reaches_beyond_its_edge(
    tmp_path: Path, north: str, east: str, last: str
) -> None:
    text = GOOD + BROKERS.replace("north = 53, east = 6", f"north = {north}, east = {east}", 1)
    bundle = read_bundle(signed(tmp_path, text), ROOT.public_key)
    data = make_directory(listed(tmp_path, text), ROOT.public_key)
    assert data is not None
    (cells,) = open_directory(data, ROOT.public_key.id, bundle.directory_sha256).brokers[0].cells
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
        assert read_bundle(signed(tmp_path, text), ROOT.public_key).requesters[0].tips == recipient
    assert read_bundle(signed(tmp_path, GOOD), ROOT.public_key).requesters[0].tips is None
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
