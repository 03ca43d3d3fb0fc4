"""A fleet file and its bundles: right or refused by file, key and line; the same every time; and only ever data."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import pytest

from agent.cli.app import doorward
from agent.cli.frame import run
from agent.config import load
from agent.config.derived import page_facts
from agent.config.fleet import bundle_bytes, bundles, load_fleet, parse_bundle, trust_report
from agent.config.schema import configuration_schema, fleet_schema
from agent.errors import ConfigurationError
from tests.config.audited import CERTIFICATE
from tests.config.injuries import untrue
from tests.wire import samples

CONFIG = Path(__file__).parents[2] / "config"
EXAMPLE = (CONFIG / "fleet.example.toml").read_text()
EXAMPLE_ROOT = "ed25519:utccAeiHRlXipR5UtFLreuWv_DzIN36pp4pTt6V1ZPY+mldsa44:d4I-nSkCsEbuCmi_Pq8r-MMGvY6IXVOcX1apUNRgdco"
WEAK_ROOT = "ed25519:" + "A" * 43 + "+mldsa44:" + "A" * 43


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "broker.pem").write_text(CERTIFICATE)
    (tmp_path / "fleet.toml").write_text(EXAMPLE)
    return tmp_path


def test_a_root_key_under_which_anybody_signs_is_in_no_bundle(folder: Path) -> None:
    """All zeros is a point of small order: forged signatures verify under it."""
    (folder / "fleet.toml").write_text(EXAMPLE.replace(EXAMPLE_ROOT, WEAK_ROOT))
    with pytest.raises(ConfigurationError, match=r"roots\[1\]\.key: 'Rijnstad region' has an invalid key"):
        load_fleet(folder / "fleet.toml")
    weak = f'[[roots]]\nname = "r"\nmeans = "m"\nkey = "{WEAK_ROOT}"\n'
    bundle = json.dumps({"v": 1, "name": "a", "configuration": weak, "authority": None})
    with pytest.raises(ConfigurationError, match="has an invalid key"):
        parse_bundle(bundle.encode(), folder / "doorward.bundle")


@pytest.mark.parametrize("key", ["name", "key"])
def test_two_offered_roots_that_look_alike_are_refused(folder: Path, key: str) -> None:
    """A second root of the same name could be ticked for the first one."""
    other = {"name": "Rijnstad", "key": samples.ROOT_KEY.text, "means": "m"}
    other[key] = {"name": "Rijnstad region", "key": EXAMPLE_ROOT}[key]
    text = "".join(f'{name} = "{value}"\n' for name, value in other.items())
    (folder / "fleet.toml").write_text(f"{EXAMPLE}\n[[roots]]\n{text}")
    with pytest.raises(ConfigurationError, match=rf"roots\[2\]\.{key}: two roots have the {key} "):
        load_fleet(folder / "fleet.toml")


@pytest.mark.parametrize(
    ("board", "film", "key"),
    [
        ("zero2w", "size = [3840, 2160]\nfps = 60", "size"),
        ("zero2w", "size = [1920, 1080]\nfps = 15", "size"),
        ("pi4", "size = [1920, 1080]\nfps = 60", "fps"),
    ],
)
def test_what_a_named_board_cannot_film_is_refused(folder: Path, board: str, film: str, key: str) -> None:
    text = EXAMPLE.replace('board = "zero2w"', f'board = "{board}"').replace("size = [1280, 720]\nfps = 15", film)
    (folder / "fleet.toml").write_text(text)
    with pytest.raises(ConfigurationError, match=rf"cameras\[1\]\.{key}: 'mill-lane-1' would not run: .*'{board}'"):
        load_fleet(folder / "fleet.toml")


def fifty() -> str:
    head, _, _ = EXAMPLE.partition("[[cameras]]")
    doorbells = [
        f'[[cameras]]\nname = "door-{number}"\nposition = {{ latitude = 52.1, longitude = 5.{number:02} }}\n'
        'panel = { button = 17, chime = 23 }\n[[cameras.zones]]\nname = "mask"\nkind = "privacy"\n'
        "corners = [[0.0, 0.0], [0.5, 0.0], [0.5, 0.5]]\n"
        for number in range(50)
    ]
    return head + "\n".join(doorbells)


def test_fifty_bundles_come_from_one_file_and_the_same_file_gives_the_same_bundles(folder: Path) -> None:
    (folder / "fleet.toml").write_text(fifty())
    assert run(doorward, ["provision", str(folder / "fleet.toml"), "--out", str(folder / "a")]) == 0
    assert run(doorward, ["provision", str(folder / "fleet.toml"), "--out", str(folder / "b")]) == 0
    made = sorted(path.name for path in (folder / "a").iterdir())
    assert len(made) == 100
    assert all((folder / "a" / name).read_bytes() == (folder / "b" / name).read_bytes() for name in made)


def test_a_time_zone_that_the_preparers_machine_does_not_know_is_noted(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The doorbells may know it: they may have another version of tzdata."""
    path = folder / "fleet.toml"
    path.write_text(EXAMPLE.replace("Europe/Amsterdam", "Europe/Amsterdm"))
    assert run(doorward, ["provision", str(path), "--check"]) == 0
    assert "time_zone: this machine does not know the time zone 'Europe/Amsterdm'." in capsys.readouterr().out
    path.write_text(EXAMPLE)
    assert run(doorward, ["provision", str(path), "--check"]) == 0
    assert "time zone" not in capsys.readouterr().out


def test_a_doorbell_takes_its_bundle_once_and_shows_what_it_was_given(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    etc = folder / "etc"
    etc.mkdir()
    (etc / "doorward.toml").write_text("[device]\n")
    assert run(doorward, ["provision", str(folder / "fleet.toml"), "--out", str(folder / "out")]) == 0
    card = folder / "doorward.bundle"
    card.write_bytes((folder / "out" / "mill-lane-1.bundle").read_bytes())
    assert run(doorward, ["take-bundle", str(card), "--etc", str(etc)]) == 0
    assert 'name = "mill-lane-1"' in (etc / "doorward.toml").read_text()
    assert not card.exists()
    assert (etc / "tls" / "ca.pem").read_text() == CERTIFICATE
    capsys.readouterr()
    assert run(doorward, ["trust-report", "--etc", str(etc)]) == 0
    report = capsys.readouterr().out
    assert "broker.example:8883" in report
    assert "Rijnstad region: ed25519:" in report
    offered = load(etc / "doorward.toml")
    assert offered.device.time_zone == "Europe/Amsterdam"
    facts = page_facts(offered, offered, None)
    means = tomllib.loads(EXAMPLE)["roots"][0]["means"]
    assert facts["roots"] == [{"name": "Rijnstad region", "key": EXAMPLE_ROOT, "means": means}]
    before = (etc / "doorward.toml").read_bytes()
    card.write_bytes((folder / "out" / "mill-lane-3.bundle").read_bytes())
    assert run(doorward, ["take-bundle", str(card), "--etc", str(etc)]) == 0
    assert (etc / "doorward.toml").read_bytes() == before
    assert card.exists()


def bundle_with(folder: Path, old: str, new: str) -> bytes:
    fleet, authority = load_fleet(folder / "fleet.toml")
    made = json.loads(bundle_bytes(next(bundles(fleet, authority))))
    assert old in made["configuration"]
    made["configuration"] = made["configuration"].replace(old, new, 1)
    return json.dumps(made, indent=1).encode()


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('name = "mill-lane-1"', 'name = "x"\nstate_dir = "/etc"'),
        ('kind = "pi"', 'kind = "file"\npath = "/etc/shadow"'),
        ('kind = "pi"', 'kind = "usb"\ndevice = "/dev/sda"'),
        ('ca = "/etc/doorward/tls/ca.pem"', 'ca = "/etc/shadow"'),
        ('key = "/etc/doorward/tls/device.key"', 'key = "/root/.ssh/id"'),
        ('socket = "/run/doorward/bridge/bridge.sock"', 'socket = "/run/systemd/private"'),
        ("start = false", "start = true"),
        ('profile = "zero2w"', 'profile = "zero2w"\nwatchdog = "/dev/sda"'),
        ('name = "mill-lane-1"', 'name = "AGE-SECRET-KEY-1QQQ"'),
        ('name = "mill-lane-1"', 'name = "x"\ncommand = "reboot"'),
        ("[camera]", '[sound]\nkind = "file"\npath = "/etc/shadow"\n[camera]'),
        ("[camera]", "[sound]\ndevice = \"tee:null,'|reboot',raw\"\n[camera]"),
        ("[camera]", '[sound]\ndevice = "file:/etc/passwd,raw"\n[camera]'),
        ("[camera]", '[metrics]\nsocket = "/run/doorward/custodian/control.sock"\n[camera]'),
        ("[camera]", '[home_assistant]\nhost = "h"\nca = "/etc/shadow"\n[camera]'),
        (
            "[camera]",
            f'[remote]\nhost = "h"\nurl = "wss://h.example/mqtt"\nuser = "a"\npassword = "{"k" * 32}"\n[camera]',
        ),
        ("[camera]", '[witness]\n[[witness.addresses]]\nname = "w"\nurl = "https://h.example/"\n[camera]'),
        ("[camera]", "[speaker]\n[camera]"),
        ("[camera]", '[backup]\nfolder = "/srv"\n[camera]'),
        ("[camera]", "[requests]\nshortest_window_minutes = 20\n[camera]"),
        ("[camera]", '[privacy]\n[[privacy.hours]]\nbegins = "00:00"\nends = "23:00"\n[camera]'),
        ("[camera]", "[vault]\nmax_age_days = 3000\n[camera]"),
        ("[camera]", '[object_detection]\nuse = "off"\n[camera]'),
        ("[camera]", '[log]\nlevel = "debug"\n[camera]'),
        ("[page]", '[page]\ndomain = "door.example"'),
        ("[page]", "[page]\nsetup_by_camera = true"),
    ],
)
def test_a_bundle_takes_no_liberties(old: str, new: str, folder: Path) -> None:
    data, path = bundle_with(folder, old, new), folder / "doorward.bundle"
    with pytest.raises(ConfigurationError) as refused:
        parse_bundle(data, path)
    assert untrue(refused.value.message, path, data) == ""
    assert ", line 3, configuration, its line " in refused.value.message


def test_a_bundle_that_is_none_is_refused_by_line_and_key(folder: Path) -> None:
    path = folder / "doorward.bundle"
    whole = bundle_with(folder, "[camera]", "[camera]")
    for data, place in {
        b"": "line 1, the first key: this is not a bundle",
        whole[:-3]: "line 5, v: this is not a bundle",
        whole.replace(b'"v": 1', b'"v": 2'): "line 5, v: 2 does not fit",
        whole.replace(b'"v": 1', b'"w": 1'): "line 5, w: this key is unknown",
        whole.replace(b',\n "v": 1', b""): "line 1, v: this key is missing",
        whole.replace(b'key = \\"ed25519:', b'key = \\"rsa:'): "roots[1].key: ",
        whole.replace(b"Rijn", b"R\xffjn"): "line 3, configuration: this line is not UTF-8",
        b'{\n"v": ' + b"9" * 5000 + b"}": "line 2, v: this is not a bundle",
        b'{\n"v":\n' + b"[" * 50_000: "line 3, v: this is not a bundle",
        whole.replace(b'"v": 1', b'"v": 1' + b" " * (256 << 10)): "v: this is not a bundle: here it passes 256 KiB",
    }.items():
        with pytest.raises(ConfigurationError) as refused:
            parse_bundle(data, path)
        assert place in refused.value.message
        assert untrue(refused.value.message, path, data) == ""


def test_the_trust_report_names_everybody_a_bundle_would_tell_anything(folder: Path) -> None:
    strangers = (
        '[home_assistant]\nhost = "home.example"\n[alerts]\n[[alerts.channels]]\nname = "desk"\n'
        'url = "ntfys://user:hush@push.example/topic"\n[camera]'
    )
    without = EXAMPLE.replace('board = "zero2w"\n', 'board = "zero2w"\nwithout = ["alerts"]\n')
    (folder / "fleet.toml").write_text(without)
    bundle, configuration = parse_bundle(bundle_with(folder, "[camera]", strangers), folder / "doorward.bundle")
    report = trust_report(bundle, configuration)
    assert "home.example:1883" in report
    assert "'desk' receives the events at the door: ntfys://push.example" in report
    assert "hush" not in report


def test_the_trust_report_names_the_address_to_which_each_alert_leads(folder: Path) -> None:
    linked = '[alerts]\nlink = "https://elsewhere.example/door"\n[camera]'
    without = EXAMPLE.replace('board = "zero2w"\n', 'board = "zero2w"\nwithout = ["alerts"]\n')
    (folder / "fleet.toml").write_text(without)
    bundle, configuration = parse_bundle(bundle_with(folder, "[camera]", linked), folder / "doorward.bundle")
    assert "https://elsewhere.example/door" in trust_report(bundle, configuration)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('ca = "broker.pem"', 'ca = "../broker.pem"'),
        ('ca = "broker.pem"', 'ca = "/etc/shadow"'),
        ('kind = "usb"', 'kind = "file"'),
        ('name = "mill-lane-3"', 'name = "mill-lane-1"'),
        ('name = "mill-lane-3"', 'name = "../../etc/passwd"'),
        ('kind = "usb"', 'kind = "rtsp"'),
        ("button = 17, recording_led = 24", "button = 17, recording_led = 17"),
        ("button = 17, recording_led = 24", "button = 17, recording_led = 40"),
        (EXAMPLE_ROOT, WEAK_ROOT),
        ("size = [1280, 720]\nfps = 15", "size = [3840, 2160]\nfps = 60"),
        ("fps = 15", "fps = 60\nsize = [1280, 960]"),
        ("version = 1", 'version = 1\nowner_key = "AGE-SECRET-KEY-1"'),
    ],
)
def test_a_fleet_file_is_refused_by_file_line_and_key(old: str, new: str, folder: Path) -> None:
    assert old in EXAMPLE
    path, text = folder / "fleet.toml", EXAMPLE.replace(old, new, 1)
    path.write_text(text)
    with pytest.raises(ConfigurationError) as refused:
        load_fleet(path)
    assert untrue(refused.value.message, path, text.encode()) == ""


def test_a_private_key_beside_the_authority_goes_into_no_bundle(folder: Path) -> None:
    (folder / "broker.pem").write_text(CERTIFICATE + "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n")
    with pytest.raises(
        ConfigurationError, match=r"line \d+, broker\.ca: broker\.pem must be one certificate and nothing else"
    ):
        load_fleet(folder / "fleet.toml")


def test_a_missing_fleet_file_says_where_to_get_one(folder: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"nope\.toml cannot be read.*copy config/fleet\.example\.toml"):
        load_fleet(folder / "nope.toml")


def test_a_missing_authority_is_told_where_the_fleet_file_names_it(folder: Path) -> None:
    (folder / "broker.pem").unlink()
    with pytest.raises(ConfigurationError, match=r"fleet\.toml, line \d+, broker\.ca: .*broker\.pem cannot be read"):
        load_fleet(folder / "fleet.toml")


def test_what_a_doorbell_would_refuse_is_told_where_the_fleet_file_says_it(folder: Path) -> None:
    (folder / "fleet.toml").write_text(EXAMPLE.replace("size = [1280, 720]", "size = [641, 480]", 1))
    with pytest.raises(ConfigurationError, match=r"line 55, cameras\[1\]\.size: 'mill-lane-1' would not run: 641"):
        load_fleet(folder / "fleet.toml")


def test_the_schemas_for_editors_are_those_of_the_code() -> None:
    for name, made in (("doorward", configuration_schema()), ("fleet", fleet_schema())):
        kept = (CONFIG / f"{name}.schema.json").read_text()
        assert kept == made, "make schemas  writes them anew"
