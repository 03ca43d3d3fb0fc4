"""A doorbell's password for its broker: from a file beside the fleet file, into that doorbell's bundle alone."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest

from agent.cli.app import doorward
from agent.cli.frame import run
from agent.clients.broker.broker_pki import BrokerPki
from agent.clients.cli.fleet import _listed, _read
from agent.clients.fleet.installer_keys import InstallerKeys
from agent.config import load
from agent.config.fleet import bundle_bytes, bundles, load_fleet, parse_bundle
from agent.core.bus import BusConnected, PublishAcknowledged, PublishRefused
from agent.custodian.health_reports import settings_sha256
from agent.errors import ConfigurationError
from agent.mqtt import BusSettings, MqttBus
from tests.brokers import NOW
from tests.config.audited import CERTIFICATE
from tests.password_broker import broker_with_passwords

DEVICE, PASSWORD, PATIENCE_S = "a1" * 8, "correct-horse-battery", 60.0
FLEET = f"""version = 1
[broker]
host = "127.0.0.1"
port = PORT
ca = "broker.pem"
[[cameras]]
name = "door-1"
[cameras.broker]
password_file = "door-1.password"
user = "{DEVICE}"
[[cameras]]
name = "door-2"
[cameras.broker]
password_file = "door-2.password"
"""
_SIGNS_IN = re.compile(r"\[cameras\.broker\]|password_file|user")
SECRETS = {"door-1": PASSWORD, "door-2": "eyJ.another"}


def written(folder: Path, text: str = FLEET, authority: str = CERTIFICATE, port: int = 8883) -> Path:
    (folder / "broker.pem").write_text(authority)
    for name, secret in SECRETS.items():
        (folder / f"{name}.password").write_text(f"{secret}\n")
        (folder / f"{name}.password").chmod(0o600)
    (folder / "fleet.toml").write_text(text.replace("PORT", str(port)))
    return folder / "fleet.toml"


def provision(path: Path, *more: str) -> int:
    return run(doorward, ["provision", str(path), "--out", str(path.parent / "out"), *more])


def test_a_password_is_in_its_own_bundle_and_nowhere_else(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = written(tmp_path)
    assert provision(path) == provision(path, "--json") == 0
    said, folder = "".join(capfd.readouterr()), tmp_path / "out"
    assert "they hold passwords: door-1, door-2" in " ".join(said.split())
    for name, secret in SECRETS.items():
        assert secret not in said
        holders = [each.name for each in folder.iterdir() if secret in each.read_text()]
        assert holders == [f"{name}.bundle"]
        assert (folder / f"{name}.bundle").stat().st_mode & 0o077 == 0
        assert secret not in json.loads((folder / f"{name}.bundle").read_text())["configuration"]
    report = (folder / "door-2.trust.txt").read_text()
    assert "signs it in there as 'door-2'" in report, "the owner reads who else knows it"


def test_an_installer_compares_settings_without_the_passwords(tmp_path: Path) -> None:
    """`fleet status` and `broker add-tokens` run on other computers, which have the fleet file and no secrets."""
    path = written(tmp_path)
    assert provision(path) == 0
    _, taken = parse_bundle((tmp_path / "out" / "door-2.bundle").read_bytes(), tmp_path / "doorward.toml")
    for each in tmp_path.glob("*.password"):
        each.unlink()
    assert _listed(path)["door-2"] == settings_sha256(taken)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("door-2.password", "door-1.password", r"cameras\[2\]\.broker\.password_file: 'door-2' has the password of"),
        ('[cameras.broker]\npassword_file = "door-2', f'[cameras.broker]\nuser = "{DEVICE}"\npassword_file = "door-2',
         r"cameras\[2\]\.broker\.user: 'door-2' has the user name of another"),
        ('[cameras.broker]\npassword_file = "door-2.password"\n', "", r"cameras\[2\]\.name: 'door-2' has no password"),
        ('[broker]\nhost = "127.0.0.1"\nport = PORT\nca = "broker.pem"\n', "", "there is no broker"),
        ("door-2.password", "../door-2.password", "does not fit"),
    ],
)  # fmt: skip
def test_a_mistake_in_the_fleet_file_is_named_with_its_place(tmp_path: Path, old: str, new: str, said: str) -> None:
    assert old in FLEET
    with pytest.raises(ConfigurationError, match=said):
        load_fleet(written(tmp_path, FLEET.replace(old, new)))


@pytest.mark.parametrize(
    ("content", "mode", "said"),
    [
        (PASSWORD, 0o600, "'door-2' has the password of 'door-1'"),
        ("two\nlines", 0o600, "must hold one line"),
        ("eyJ.another", 0o644, "can be read by others"),
        (None, 0o600, "cannot be read"),
    ],
)
def test_a_mistake_in_a_password_file_is_named_and_no_bundle_is_written(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], content: str | None, mode: int, said: str
) -> None:
    path, file = written(tmp_path), tmp_path / "door-2.password"
    file.unlink()
    if content is not None:
        file.write_text(content)
        file.chmod(mode)
    assert provision(path) != 0
    error = " ".join(capfd.readouterr().err.split())
    assert said in error
    assert "door-2.password" in error
    assert "What to do:" in error
    assert not any(secret in error for secret in (*SECRETS.values(), "two"))
    assert not (tmp_path / "out").exists()


def test_a_bundle_without_its_password_or_with_an_unnamed_one_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path)
    [first, _] = bundles(*load_fleet(path), SECRETS)
    whole = json.loads(bundle_bytes(first))
    without = {key: value for key, value in whole.items() if key != "broker_password"}
    with pytest.raises(ConfigurationError, match="broker_password: the password is missing"):
        parse_bundle(json.dumps(without).encode(), path)
    for wrong in ("two\nlines", "x" * 20_000, "", 7):
        with pytest.raises(ConfigurationError, match="broker_password: this value does not fit") as raised:
            parse_bundle(json.dumps(whole | {"broker_password": wrong}).encode(), path)
        assert "lines" not in str(raised.value)
    unnamed = whole | {"configuration": "[device]\n"}
    with pytest.raises(ConfigurationError, match="names no file for a password"):
        parse_bundle(json.dumps(unnamed).encode(), path)


@pytest.mark.parametrize("by_password", [True, False])
def test_a_bundle_takes_away_what_opened_another_broker(tmp_path: Path, by_password: bool) -> None:
    text = FLEET if by_password else "".join(line for line in FLEET.splitlines(True) if not _SIGNS_IN.match(line))
    assert provision(written(tmp_path, text)) == 0
    etc, files = tmp_path / "etc", ("broker.password", "device.pem", "device.key")
    (etc / "tls").mkdir(parents=True)
    (etc / "doorward.toml").write_text("[device]\n")
    for name in files:
        (etc / "tls" / name).write_text("of another broker")
    assert run(doorward, ["take-bundle", str(tmp_path / "out" / "door-1.bundle"), "--etc", str(etc)]) == 0
    left = {name: (etc / "tls" / name).read_text() for name in files if (etc / "tls" / name).exists()}
    other = "of another broker"
    assert left == ({"broker.password": f"{PASSWORD}\n"} if by_password else {"device.pem": other, "device.key": other})


@pytest.mark.broker
def test_a_doorbell_takes_it_from_its_card_and_signs_in_at_a_real_broker(tmp_path: Path) -> None:
    pki = BrokerPki.create(tmp_path / "pki", NOW)
    keys = InstallerKeys.create(tmp_path / "installer")
    with broker_with_passwords(pki, DEVICE, "rijnstad-police", "c3" * 8, PASSWORD, installer=keys.id) as ports:
        authority = pki.directory / "authorities" / "broker.pem"
        path = written(tmp_path, authority=authority.read_text(), port=ports[0])
        assert provision(path) == 0
        etc, card = tmp_path / "etc", tmp_path / "doorward.bundle"
        etc.mkdir()
        (etc / "doorward.toml").write_text("[device]\n")
        shutil.copy(tmp_path / "out" / "door-1.bundle", card)
        assert run(doorward, ["take-bundle", str(card), "--etc", str(etc)]) == 0
        assert not card.exists()
        password = etc / "tls" / "broker.password"
        assert (password.read_text(), password.stat().st_mode & 0o777) == (PASSWORD + "\n", 0o600)
        broker = load(etc / "doorward.toml").broker
        assert broker is not None
        assert (str(broker.password_file), broker.certificate) == ("/etc/doorward/tls/broker.password", None)
        bus = MqttBus(
            BusSettings(
                broker.host, broker.port, DEVICE, etc / "tls" / "ca.pem", user=broker.user, password_file=password
            )
        )
        try:
            bus.hurry(True)
            bus.start()
            assert isinstance(bus.next_event(PATIENCE_S), BusConnected)
            for token, device in enumerate((DEVICE, "b2" * 8)):
                assert bus.publish(f"doorward/v1/up/anybody/{device}/x/0", b"x", token=token)
            found = [bus.next_event(PATIENCE_S) for _ in range(2)]
        finally:
            bus.stop()
        assert {type(each) for each in found} == {PublishAcknowledged, PublishRefused}
        own = keys.tls / "127.0.0.1"
        own.mkdir(parents=True)
        shutil.copy(authority, keys.tls / "authority.pem")
        (own / "broker.password").write_text(PASSWORD)
        (own / "broker.password").chmod(0o600)
        assert _read(keys, f"127.0.0.1:{ports[1]}", 30.0) == ([], 0), "the installer signs in with a password, too"
