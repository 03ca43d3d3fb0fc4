"""An uninstall of Doorward also removes it from Home Assistant, and reports a failure to do so."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path
from typing import Any

import pytest

from agent.core.home import HomeTopics
from agent.custodian.state_folder import StateFolder
from agent.wire.identities import private_key_from_seed, public_key_of
from tests.home_brokers import PASSWORD, USER, HomeBroker
from tests.scenarios.test_at_home import Consumer, until

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "scripts"))

from installation.places import Places  # noqa: E402

KEY = private_key_from_seed(b"u" * 32)


@pytest.fixture
def installer() -> dict[str, Any]:
    return runpy.run_path(str(ROOT / "scripts" / "installation" / "__main__.py"), run_name="installer")


def installed(root: Path, port: int) -> Places:
    """As much of an installation as taking leave needs."""
    places = Places(root)
    for folder in (places.current / "bin", places.etc, places.state):
        folder.mkdir(parents=True)
    launcher = places.current / "bin" / "doorward"
    launcher.write_text(f'#!/bin/sh\nPYTHONPATH="{ROOT}" exec "{sys.executable}" -m agent.cli "$@"\n')
    launcher.chmod(0o755)
    StateFolder(places.state).initialise(KEY)
    places.configuration.write_text(
        f'[device]\nstate_dir = "{places.state}"\n'
        f'[home_assistant]\nhost = "127.0.0.1"\nport = {port}\nuser = "{USER}"\npassword = "{PASSWORD}"\n'
    )
    return places


@pytest.mark.broker
def test_its_entities_go_with_it(tmp_path: Path, installer: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    topics = HomeTopics(public_key_of(KEY).id)
    (tmp_path / "broker").mkdir()
    with HomeBroker(tmp_path / "broker") as broker:
        consumer = Consumer(broker.port)
        try:
            installer["leave_home"](installed(tmp_path / "root", broker.port))
            until(lambda: consumer.heard.get(topics.discovery) == [b""], "the removal")
        finally:
            consumer.close()
    assert "was removed from Home Assistant" in capsys.readouterr().out


def test_what_cannot_be_done_keeps_nobody_from_leaving(
    tmp_path: Path, installer: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    places = installed(tmp_path, port=1)
    places.configuration.write_text(places.configuration.read_text().replace('host = "127.0.0.1"', 'host = ""'))
    installer["leave_home"](places)
    assert "still shows this doorbell" in capsys.readouterr().out
    (places.current / "bin" / "doorward").unlink()
    installer["leave_home"](places)
    assert "still shows this doorbell" in capsys.readouterr().out


def test_without_home_assistant_nothing_is_said(
    tmp_path: Path, installer: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    places = Places(tmp_path)
    installer["leave_home"](places)
    places.etc.mkdir(parents=True)
    places.configuration.write_text("[device]\n")
    installer["leave_home"](places)
    assert capsys.readouterr().out == ""
