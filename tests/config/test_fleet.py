"""A fleet file and its bundles: right or refused by file, key and line; the same every time; and only ever data."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from pathlib import Path

import pytest

from agent.cli.app import doorward
from agent.cli.frame import run
from agent.config.fleet import bundle_bytes, bundles, load_fleet, parse_bundle
from agent.config.schema import configuration_schema, fleet_schema
from agent.errors import ConfigurationError
from tests.config.test_mutated_configurations import mutate

CONFIG = Path(__file__).parents[2] / "config"
EXAMPLE = (CONFIG / "fleet.example.toml").read_text()
CERTIFICATE = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "broker.pem").write_text(CERTIFICATE)
    (tmp_path / "fleet.toml").write_text(EXAMPLE)
    return tmp_path


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
    return json.dumps(made).encode()


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
    ],
)
def test_a_bundle_takes_no_liberties(old: str, new: str, folder: Path) -> None:
    with pytest.raises(ConfigurationError, match="line"):
        parse_bundle(bundle_with(folder, old, new), folder / "doorward.bundle")


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
        ("version = 1", 'version = 1\nowner_key = "AGE-SECRET-KEY-1"'),
    ],
)
def test_a_fleet_file_is_refused_by_file_line_and_key(old: str, new: str, folder: Path) -> None:
    assert old in EXAMPLE
    (folder / "fleet.toml").write_text(EXAMPLE.replace(old, new, 1))
    with pytest.raises(ConfigurationError, match=r"fleet\.toml, line \d+, \w"):
        load_fleet(folder / "fleet.toml")


def test_a_private_key_beside_the_authority_goes_into_no_bundle(folder: Path) -> None:
    (folder / "broker.pem").write_text(CERTIFICATE + "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n")
    with pytest.raises(ConfigurationError, match="no certificate alone"):
        load_fleet(folder / "fleet.toml")


AUDITED = """\
import json, random, sys
from pathlib import Path
from agent.cli.app import COMMANDS  # what the audit must not count
from agent.config.fleet import bundle_bytes, bundles, load_fleet, parse_bundle
from agent.errors import ConfigurationError
from tests.config.test_fleet import BAD_EVENTS, injured
folder = Path(sys.argv[1])
seen = []
ours = {  # the readers of types compile the annotations of our own classes, and nothing else
    text.encode()
    for module in ("agent.config.settings", "agent.config.fleet", "firmware_bridge.settings")
    for each in vars(sys.modules[module]).values() if isinstance(each, type)
    for text in each.__dict__.get("__annotations__", {}).values() if isinstance(text, str)
}
compiled = []
def audit(event, arguments):
    if event == "compile" and arguments[0] in ours:
        compiled.append(event)
    elif event == "exec" and compiled and arguments[0].co_filename == "<string>":
        compiled.clear()
    elif event in BAD_EVENTS or (event == "open" and arguments[1] and set(str(arguments[1])) & set("wax+")):
        seen.append((event, str(arguments)[:100]))
list(bundles(*load_fleet(folder / "fleet.toml")))
sys.addaudithook(audit)
outcomes = {"right": 0, "refused": 0}
for seed in range(1000):
    try:
        injured(seed, folder)
        outcomes["right"] += 1
    except ConfigurationError as error:
        assert str(folder) in error.message and ("line" in error.message or "cannot be read" in error.message
            or "no certificate" in error.message or "256 KiB" in error.message), (seed, error.message)
        outcomes["refused"] += 1
print(json.dumps({"seen": seen, **outcomes}))
"""
BAD_EVENTS = frozenset(
    {"os.system", "subprocess.Popen", "os.exec", "os.posix_spawn", "os.fork", "exec", "compile", "socket.connect"}
)


class Injured(type(Path())):  # type: ignore[misc] # before 3.12 Path itself cannot be
    """A file that is read from memory, so that nothing at all has to be written while the audit runs."""

    data: bytes | None = None

    def read_bytes(self) -> bytes:
        return self.data if self.data is not None else bytes(super().read_bytes())


def injured(seed: int, folder: Path) -> None:
    """Even seeds: an injured fleet file; odd ones: an injured bundle.  Raises `ConfigurationError` or is right."""
    chance = random.Random(seed)
    if seed % 2 == 0:
        path = Injured(folder / "fleet.toml")
        path.data = mutate(EXAMPLE, chance)
        for bundle in bundles(*load_fleet(path)):
            parse_bundle(bundle_bytes(bundle), folder / "doorward.bundle")
        return
    whole = bundle_bytes(next(bundles(*load_fleet(folder / "fleet.toml"))))
    if chance.random() < 0.5:
        made = json.loads(whole)
        made["configuration"] = mutate(made["configuration"], chance).decode("utf-8", "replace")
        whole = json.dumps(made).encode()
    else:
        at = chance.randrange(len(whole))
        whole = whole[:at] + bytes(chance.randrange(256) for _ in range(3)) + whole[at + chance.randrange(20) :]
    parse_bundle(whole, folder / "doorward.bundle")


def test_a_thousand_injured_files_run_nothing_write_nothing_and_are_refused_in_words(folder: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", AUDITED, str(folder)],
        capture_output=True, text=True, check=False, cwd=CONFIG.parent, env={"PYTHONPATH": str(CONFIG.parent)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    said = json.loads(done.stdout)
    assert said["seen"] == []
    assert said["right"] + said["refused"] == 1000
    assert said["refused"] > 500


def test_the_schemas_for_editors_are_those_of_the_code() -> None:
    for name, made in (("doorward", configuration_schema()), ("fleet", fleet_schema())):
        kept = (CONFIG / f"{name}.schema.json").read_text()
        assert kept == made, "make schemas  writes them anew"
