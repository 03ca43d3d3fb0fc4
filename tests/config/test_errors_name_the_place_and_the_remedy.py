"""A mistake in a configuration is reported with file, line, key and remedy."""

import re
from pathlib import Path

import pytest

from agent.config import load, parse
from agent.errors import ConfigurationError

SOURCE = Path("/etc/doorward/doorward.toml")

WRONG = {
    "a misspelt key": ("[camera]\n\nfsp = 3", 3, "camera.fsp", "Did you mean 'fps'?"),
    "an unknown section": ("[device]\nname = 'x'\n[kamera]\nfps = 3", 3, "kamera", "Did you mean 'camera'?"),
    "a key like no other": ("[log]\nzzz = 1", 2, "log.zzz", "Known here: level, format."),
    "a number too small": ("[camera]\nfps = 0", 2, "camera.fps", "Give a whole number from 1 to 60."),
    "text for a number": ("[camera]\nfps = 'many'", 2, "camera.fps", "Give a whole number from 1 to 60."),
    "a fraction for a whole number": ("[camera]\nfps = 1.5", 2, "camera.fps", "Give a whole number from 1 to 60."),
    "not a number": ("[motion]\nsensitivity = nan", 2, "motion.sensitivity", "Give a number from 0.1 to 10."),
    "an unknown choice": (
        "[camera]\nkind = 'ubs'",
        2,
        "camera.kind",
        'Give one of "usb", "pi", "rtsp", "file", "scripted".',
    ),
    "a number for a path": ("[device]\nstate_dir = 3", 2, "device.state_dir", "Give a path in quotes."),
    "a value for a table": ("camera = 3", 1, "camera", "Give a table with kind, device"),
    "a corner outside the picture": (
        "[[motion.zones]]\nname='a'\ncorners=[[0,0],[1,0],[1,1]]\n[[motion.zones]]\nname='b'\ncorners=[[0,0],[1,2],[1,1]]",
        6,
        "motion.zones[2].corners[2][2]",
        "Give a number from 0 to 1.",
    ),
    "a zone without an area": (
        "[[motion.zones]]\nname='a'\ncorners=[[0.1,0.1],[0.5,0.5],[0.9,0.9]]",
        3,
        "motion.zones[1].corners",
        "Give at least three corners in order around an area.",
    ),
    "a zone that goes there and back": (
        "[[motion.zones]]\nname='a'\ncorners=[[0,0],[1,0],[1,1],[1,0]]",
        3,
        "motion.zones[1].corners",
        "Give at least three corners in order around an area.",
    ),
    "a second camera": ("[[camera]]\nkind = 'usb'", 1, "camera", "Write [camera], with single brackets."),
    "a section beside the camera": ("[camera.second]\nkind = 'usb'", 1, "camera.second", "Known here: kind,"),
    "a number with its unit": (
        "[clips]\npre_roll_s = '5 s'",
        2,
        "clips.pre_roll_s",
        "Give a number from 0 to 60. The unit is seconds.",
    ),
    "gigabytes for bytes": (
        "[vault]\nmax_bytes = 20",
        2,
        "vault.max_bytes",
        "The unit is bytes: 20 GB is 20_000_000_000.",
    ),
    "two zones of one name": (
        "[[motion.zones]]\nname='a'\ncorners=[[0,0],[1,0],[1,1]]\n[[motion.zones]]\nname='a'\ncorners=[[0,0],[1,0],[1,1]]",
        5,
        "motion.zones[2].name",
        "Give each zone a different name",
    ),
    "a place off the Earth": (
        "[device]\nposition = { latitude = 91, longitude = 0 }",
        2,
        "device.position.latitude",
        "Give a number from -90 to 90.",
    ),
    "a relay without a page": (
        "[remote]\nhost = 'a'\nurl = 'wss://a'\npassword = 'long-enough'",
        2,
        "remote.host",
        "Add [page], or remove [remote].",
    ),
    "a relay without certificates": (
        "[page]\n[remote]\nhost = 'a'\nurl = 'wss://a'\npassword = 'long-enough'",
        3,
        "remote.host",
        "Give ca, certificate and key in [remote].",
    ),
    "a relay with one certificate of three": (
        "[page]\n[broker]\nhost = 'b'\nca = 'a'\ncertificate = 'b'\nkey = 'c'\n"
        "[remote]\nhost = 'a'\nurl = 'wss://a'\npassword = 'long-enough'\nca = 'a'",
        11,
        "remote.ca",
        "Give all three, or none to use those of [broker].",
    ),
    "a broker with a certificate and no key": (
        "[broker]\nhost = 'b'\nca = 'a'\ncertificate = 'b'",
        4,
        "broker.certificate",
        "Give both, or none.",
    ),
    "a broker that cannot know the doorbell": (
        "[broker]\nhost = 'b'\nca = 'a'",
        2,
        "broker.host",
        "password_file for a service that takes no certificates",
    ),
    "a user of a broker without a password": (
        "[broker]\nhost = 'b'\nca = 'a'\ncertificate = 'b'\nkey = 'c'\nuser = 'd'",
        6,
        "broker.user",
        "Add one of them, or remove user.",
    ),
    "a relay that would need the certificate of a broker with a password": (
        "[page]\n[broker]\nhost = 'b'\nca = 'a'\npassword_file = 'p'\n"
        "[remote]\nhost = 'a'\nurl = 'wss://a'\npassword = 'long-enough'",
        7,
        "remote.host",
        "Give ca, certificate and key in [remote].",
    ),
    "a relay without encryption for browsers": (
        "[page]\n[remote]\nhost = 'a'\nurl = 'ws://a'\npassword = 'long-enough'",
        4,
        "remote.url",
        "Give a wss:// address in quotes.",
    ),
    "an account that would widen a topic": (
        "[page]\n[remote]\nhost = 'a'\nurl = 'wss://a'\nuser = 'a/b'",
        5,
        "remote.user",
        "Give a name of letters, digits, - and _.",
    ),
    "a page at a public address": (
        "[page]\naddresses = ['192.168.1.20', '203.0.113.7']",
        2,
        "page.addresses",
        "To reach the page from outside, use a VPN",
    ),
    "a page that listens at a public address": ("[page]\nhost = '203.0.113.7'", 2, "page.host", "use a VPN"),
    "a doorbell whose name makes no address": ("[device]\nname = '門'\n[page]", 3, "page.name", "Give one: name ="),
    "a film that the named board cannot make": (
        "[camera]\nsize = [3840, 2160]\n[board]\nprofile = 'zero2w'",
        2,
        "camera.size",
        "Give at most [1280, 720]",
    ),
    "half a broker": ("[broker]\nhost = 'a'", 1, "broker.ca", "Add it; it is a path in quotes."),
    "a host with a blank": (
        "[broker]\nhost = 'a b'\nca='c'\ncertificate='c'\nkey='c'",
        2,
        "broker.host",
        "Give a host name or address in quotes, without https:// and port.",
    ),
    "a host that goes on in a line of its own": (
        "[broker]\nhost = 'a'\nca='c'\ncertificate='c'\nkey='c'".replace("'a'", '"a\\n"'),
        2,
        "broker.host",
        "Give a host name or address in quotes, without https:// and port.",
    ),
    "a port behind a broker's host": (
        "[broker]\nhost = 'broker.example:8883'\nca='c'\ncertificate='c'\nkey='c'",
        2,
        "broker.host",
        "Give the host alone, and its port as port.",
    ),
    "a port behind Home Assistant's host": (
        "[home_assistant]\nhost = '192.168.1.5:1883'",
        2,
        "home_assistant.host",
        "Give the host alone",
    ),
    "the home of a user who is not there": (
        "[device]\nstate_dir = '~no-such-user/state'",
        2,
        "device.state_dir",
        "Give the whole path.",
    ),
    "a time zone that is a path": (
        "[device]\ntime_zone = '../../etc/passwd'",
        2,
        "device.time_zone",
        'Give a time zone in quotes, like "Europe/Amsterdam".',
    ),
    "a limit loosened past the protocol": (
        "[requests]\nlongest_look_back_days = 46",
        2,
        "requests.longest_look_back_days",
        "Give a whole number from 1 to 45.",
    ),
    "limits that let nothing through": (
        "[requests]\nsmallest_area_m2 = 200000\nlargest_area_m2 = 100000",
        2,
        "requests.smallest_area_m2",
        "opt out",
    ),
    "a file camera without a file": ('[camera]\nkind = "file"', 1, "camera.path", 'Give path = "footage.mp4".'),
    "a Pi camera's own sound": (
        '[camera]\nkind = "pi"\n[sound]\nkind = "camera"',
        4,
        "sound.kind",
        'Set kind = "alsa"',
    ),
    "an odd picture": ("[camera]\nsize = [1281, 720]", 2, "camera.size", "[1282, 720]"),
    "a pre-roll that does not fit its memory": (
        "[clips]\npre_roll_s = 60",
        1,
        "clips.pre_roll_max_bytes",
        "Give at least 30500000",
    ),
    "a clip shorter than its pre-roll": (
        "[clips]\npre_roll_s = 8\nlongest_clip_s = 10",
        3,
        "clips.longest_clip_s",
        "Give at least 13",
    ),
    "an unfinished text": ("[device]\nname = 'x", 2, "device.name", "put text in quotes"),
    "a key given twice": ("[log]\nlevel='info'\nlevel='info'", 3, "log.level", "Keep one of the two."),
    "a section given twice": ("[log]\nlevel='info'\n[log]\nformat='json'", 3, "log", "Keep one of the two."),
    "a mask on a stream that is kept as it comes": (
        "[camera]\nkind='rtsp'\nurl='rtsp://a/b'\n"
        "[[motion.zones]]\nname='a'\nkind='privacy'\ncorners=[[0,0],[1,0],[1,1]]",
        6,
        "motion.zones[1].kind",
        "Set the mask in the camera itself",
    ),
    "private hours that end as they begin": (
        "[[privacy.hours]]\nbegins='10:00'\nends='10:00'",
        3,
        "privacy.hours[1].ends",
        "For a whole day, use two spans: 00:00 to 12:00, and 12:00 to 00:00.",
    ),
    "an unfinished list": ("[camera]\nsize = [1, 2\n\n", 2, "camera.size", "Compare the line"),
    "brackets without end": ("[camera]\nsize = " + "[" * 5000, 2, "camera.size", "Compare the line"),
}


@pytest.mark.parametrize(("text", "line", "key", "remedy"), WRONG.values(), ids=WRONG)
def test_a_mistake_is_named_with_file_line_key_and_remedy(text: str, line: int, key: str, remedy: str) -> None:
    with pytest.raises(ConfigurationError) as raised:
        parse(text, SOURCE)
    assert raised.value.message.startswith(f"{SOURCE}, line {line}, {key}: ")
    assert remedy in raised.value.remedy


def test_a_missing_file_says_where_to_get_one(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"doorward\.toml cannot be read: No such file.*config/doorward\.toml"):
        load(tmp_path / "doorward.toml")


def test_a_file_that_is_not_text_is_named_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "doorward.toml"
    path.write_bytes(b"[device]\nname = '\xff'\n")
    with pytest.raises(ConfigurationError, match=re.escape(f"{path}, line 2, device.name: this line is not UTF-8.")):
        load(path)


def test_what_stands_twice_is_told_with_both_lines() -> None:
    with pytest.raises(ConfigurationError, match=r"line 4, camera\.fps: this key appears twice, first in line 2\."):
        parse("[camera]\nfps = 3\nsize = [640, 480]\nfps = 4\n[log]\n", SOURCE)


def test_a_mark_that_editors_put_in_front_of_utf8_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "doorward.toml"
    path.write_bytes(b"\xef\xbb\xbf[camera]\nfps = 7\n")
    assert load(path).camera.fps == 7
    path.write_bytes(b"\xef\xbb\xbf[device]\nname = '\xff'\n")
    with pytest.raises(ConfigurationError, match=r"line 2, device\.name: this line is not UTF-8"):
        load(path)


@pytest.mark.parametrize("host", ["::1", "fe80::1", "2001:db8::5", "192.168.1.5", "broker.example", "b_1.lan"])
def test_a_host_is_a_name_or_an_address(host: str) -> None:
    text = f"[broker]\nhost = '{host}'\nca='c'\ncertificate='c'\nkey='c'\n[home_assistant]\nhost = '{host}'"
    assert parse(text, SOURCE).broker is not None


def test_a_file_without_end_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="exceeds 1 MiB"):
        load(Path("/dev/zero"))


def test_a_huge_file_is_refused_unread(tmp_path: Path) -> None:
    path = tmp_path / "doorward.toml"
    path.write_bytes(b"[camera]\nfps = 3\n#" + b"#" * (1 << 21))
    with pytest.raises(ConfigurationError, match=r"line 3, camera\.fps: the file exceeds 1 MiB here"):
        load(path)


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("[camera]\nfps = 3\nquality = " + "9" * 5000 + "\n[log]\n", "line 3, camera.quality"),
        ("[camera]\nfps = 3\nsize = " + "[" * 5000 + "\n[log]\n", "line 3, camera.size"),
        ("[camera]\nfps = 3\n[device]\nname = '''a\n[log]\n", "line 5, device.name"),
    ],
    ids=["an endless number", "a bottomless list", "an open string"],
)
def test_what_is_no_toml_is_told_where_it_begins_to_be_none(text: str, place: str) -> None:
    with pytest.raises(ConfigurationError, match=re.escape(f"{SOURCE}, {place}: this is not TOML")):
        parse(text, SOURCE)


@pytest.mark.parametrize("device", ["tee:null,'|id',raw", "file:/etc/passwd,raw", "hw:0,0|id", "{type file}", "a b"])
def test_a_microphones_name_can_start_nothing_and_write_nothing(device: str) -> None:
    with pytest.raises(ConfigurationError, match=r"line 2, sound\.device"):
        parse(f'[sound]\ndevice = "{device}"', SOURCE)


@pytest.mark.parametrize("device", ["default", "hw:1", "hw:1,0", "plughw:CARD=Device,DEV=0", "sysdefault:CARD=Device"])
def test_a_microphone_has_the_names_that_arecord_lists(device: str) -> None:
    sound = parse(f'[sound]\ndevice = "{device}"', SOURCE).sound
    assert sound is not None
    assert sound.device == device


def test_relative_paths_are_relative_to_the_file(tmp_path: Path) -> None:
    text = "[device]\nstate_dir = 'state'\n[camera]\nkind='file'\npath='/footage/a.mp4'"
    configuration = parse(text, tmp_path / "doorward.toml")
    assert configuration.device.state_dir == tmp_path / "state"
    assert configuration.camera.path == Path("/footage/a.mp4")


@pytest.mark.parametrize("header", ['[camera how much, "and which"', "[camera '' x", "[camera", "[camera # x"])
def test_a_header_that_is_broken_off_is_named_by_the_names_before_the_break(header: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        parse(f"{header}\n", Path("doorward.toml"))
    assert str(caught.value).startswith("doorward.toml, line 1, camera: this is not TOML")
