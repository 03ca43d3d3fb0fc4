"""Alerts, sound, Home Assistant and metrics in a fleet file: for all doorbells, for one, or for all but one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from agent.cli.app import doorward
from agent.cli.frame import run
from agent.config import Configuration
from agent.config.fleet import bundle_bytes, bundles, is_private, load_fleet, parse_bundle, trust_report
from agent.core.alerts.kinds import AlertKind
from agent.errors import ConfigurationError

CANARY = "s3cr3t-canary"
HEAD = "version = 1\n"
DOOR = '[[cameras]]\nname = "a"\n'
SHARED = f"""
[alerts]
language = "nl"
off = ["button"]
[[alerts.channels]]
name = "caretaker"
url = "ntfys://user:{CANARY}@push.example/lane"
kinds = ["tamper", "camera"]
[sound]
device = "plughw:CARD=Device"
[home_assistant]
host = "home.example"
[metrics]
port = 9797
"""


def write(folder: Path, text: str) -> Path:
    path = folder / "fleet.toml"
    path.write_text(text)
    return path


def configurations(folder: Path, text: str) -> dict[str, Configuration]:
    """By name, as each doorbell reads its bundle."""
    fleet, authority = load_fleet(write(folder, text))
    read = (parse_bundle(bundle_bytes(each), folder / "doorward.bundle") for each in bundles(fleet, authority))
    return {bundle.name: configuration for bundle, configuration in read}


def test_a_section_of_the_fleet_is_each_doorbells(tmp_path: Path) -> None:
    found = configurations(tmp_path, f'{HEAD}{SHARED}[[cameras]]\nname = "a"\n[[cameras]]\nname = "b"\n')
    for each in found.values():
        assert each.alerts is not None
        assert each.alerts.language.value == "nl"
        assert each.alerts.off == (AlertKind.BUTTON,)
        (channel,) = each.alerts.channels
        assert (channel.name, channel.kinds) == ("caretaker", (AlertKind.TAMPER, AlertKind.CAMERA))
        assert channel.url.endswith("@push.example/lane")
        assert each.sound is not None
        assert each.sound.device == "plughw:CARD=Device"
        assert each.home_assistant is not None
        assert each.home_assistant.host == "home.example"
        assert each.metrics is not None
        assert each.metrics.port == 9797


def test_a_doorbells_section_replaces_the_fleets_and_without_leaves_it_out(tmp_path: Path) -> None:
    text = (
        f'{HEAD}{SHARED}[[cameras]]\nname = "a"\n[cameras.home_assistant]\nhost = "192.168.1.10"\npassword = "p"\n'
        '[[cameras]]\nname = "b"\nwithout = ["sound", "alerts", "metrics", "home_assistant"]\n[[cameras]]\nname = "c"\n'
    )
    found = configurations(tmp_path, text)
    assert found["a"].home_assistant is not None
    assert (found["a"].home_assistant.host, found["a"].home_assistant.password) == ("192.168.1.10", "p")
    assert found["a"].sound is not None
    b = found["b"]
    assert (b.sound, b.alerts, b.metrics, b.home_assistant) == (None, None, None, None)
    assert found["c"].home_assistant is not None
    assert found["c"].home_assistant.host == "home.example"


@pytest.mark.parametrize(
    ("text", "place", "message"),
    [
        (f'[sound]\nkind = "file"\npath = "a.wav"\n{DOOR}', "line 4, sound.path", "a bundle can only name"),
        (f'[metrics]\nsocket = "m.sock"\n{DOOR}', "line 3, metrics.socket", "a bundle can only name"),
        (f"[metrics]\n{DOOR}", "line 2, metrics.socket", "metrics have no socket and no port"),
        (f'{DOOR}[cameras.home_assistant]\nhost = "h"\nca = "ca.pem"\n', "line 6, cameras[1].home_assistant.ca",
         "a bundle can only name"),
        (f'[sound]\nkind = "camera"\n{DOOR}', "line 3, sound.kind", "has no sound"),
        (f'{DOOR}[cameras.sound]\nkind = "camera"\n', "line 5, cameras[1].sound.kind", "has no sound"),
        (f'{DOOR}without = ["sound"]\n[cameras.sound]\n', "line 4, cameras[1].without[1]", "leaves it out"),
        (f'{DOOR}without = ["camera"]\n', "line 4, cameras[1].without[1]", "does not fit"),
        (f'[alerts]\n[[alerts.channels]]\nname = "x"\nurl = "hook://example"\n{DOOR}',
         "line 5, alerts.channels[1].url", "is not a kind of channel"),
        (f'{DOOR}[cameras.alerts]\n[[cameras.alerts.channels]]\nname = "x"\nurl = "ntfy://a/b"\n'
         '[[cameras.alerts.channels]]\nname = "x"\nurl = "ntfy://a/c"\n', "line 9, cameras[1].alerts.channels[2].name",
         "names two channels"),
        (f"[alerts]\ncooldown = 3\n{DOOR}", "line 3, alerts.cooldown", "unknown"),
    ],
)  # fmt: skip
def test_an_error_names_the_place_in_the_fleet_file_and_a_remedy(
    text: str, place: str, message: str, tmp_path: Path
) -> None:
    with pytest.raises(ConfigurationError) as refused:
        load_fleet(write(tmp_path, HEAD + text))
    assert f"fleet.toml, {place}: " in refused.value.message
    assert message in refused.value.message
    assert refused.value.remedy


@pytest.mark.parametrize(
    "text",
    [
        f'[[alerts.channels]]\nname = "x"\nurl = "hook://u:{CANARY}@h"\n[[cameras]]\nname = "a"\n',
        f'[home_assistant]\nhost = "h"\npassword = ["{CANARY}"]\n[[cameras]]\nname = "a"\n',
        f'[[cameras]]\nname = "a"\n[[cameras.alerts.channels]]\nname = "x"\nurl = "{CANARY}"\n',
    ],
)
def test_no_error_shows_a_password(text: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError) as refused:
        load_fleet(write(tmp_path, HEAD + text))
    assert CANARY not in str(refused.value)


def test_the_trust_report_tells_the_owner_of_sound_and_figures(tmp_path: Path) -> None:
    fleet, authority = load_fleet(write(tmp_path, f'{HEAD}{SHARED}[[cameras]]\nname = "a"\n'))
    bundle, configuration = parse_bundle(bundle_bytes(next(bundles(fleet, authority))), tmp_path / "a")
    report = trust_report(bundle, configuration)
    assert "Sound      is recorded" in report
    assert "Metrics    are shown to every program on the doorbell, at 127.0.0.1:9797." in report
    assert "'caretaker' receives the events at the door: ntfys://push.example" in report
    assert CANARY not in report


def test_bundles_with_a_password_are_private_and_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(tmp_path, f'{HEAD}{SHARED}[[cameras]]\nname = "a"\n[[cameras]]\nname = "b"\nwithout = ["alerts"]\n')
    assert run(doorward, ["provision", str(path), "--out", str(tmp_path / "out"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["private"] == ["a"]
    modes = {each.name: each.stat().st_mode & 0o077 for each in (tmp_path / "out").glob("*.bundle")}
    assert modes["a.bundle"] == 0
    assert modes["b.bundle"] != 0
    assert run(doorward, ["provision", str(path), "--out", str(tmp_path / "out")]) == 0
    assert "Keep these bundles private, because they hold passwords: a." in " ".join(capsys.readouterr().out.split())


def test_only_a_value_makes_a_configuration_private() -> None:
    assert not is_private(Configuration())


def test_a_doorbell_leaves_no_bundle_on_its_card(tmp_path: Path) -> None:
    path = write(tmp_path, f'{HEAD}{SHARED}[[cameras]]\nname = "a"\n')
    assert run(doorward, ["provision", str(path), "--out", str(tmp_path / "out")]) == 0
    etc, card = tmp_path / "etc", tmp_path / "boot"
    etc.mkdir()
    card.mkdir()
    (etc / "doorward.toml").write_text("[device]\n")
    (card / "doorward.bundle").write_bytes((tmp_path / "out" / "a.bundle").read_bytes())
    assert run(doorward, ["take-bundle", str(card / "doorward.bundle"), "--etc", str(etc)]) == 0
    assert list(card.iterdir()) == []
    assert CANARY in (etc / "doorward.toml").read_text()
