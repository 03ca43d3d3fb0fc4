"""Home Assistant's address and the figures are those of the configuration, and nothing without it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from agent import __version__
from agent.config import Configuration
from agent.config.settings import DeviceConfig, HomeAssistantConfig, MetricsConfig
from agent.core.home_news import HomeAddress
from agent.core.metrics import render
from agent.custodian import home_setup
from agent.custodian.home_setup import home_address, make_metrics

STATUS = {
    "device": "Door",
    "device_id": "ab" * 8,
    "owners": [],
    "panel": None,
    "recorder": {"state": "watching", "frames": 9, "segments": 2},
    "vault": {"segments": 3, "stored_bytes": 1000},
    "clock": "synced",
    "link": {"link": "off"},
    "messages": {},
    "alerts": None,
}


def configured(**sections: Any) -> Configuration:
    return Configuration(device=DeviceConfig(name="Door", state_dir=Path("/state")), **sections)


def test_without_sections_there_is_no_address_and_no_server_of_figures() -> None:
    assert home_address(configured(), "ab" * 8, "https://door/") == HomeAddress()
    assert make_metrics(configured(), dict) is None


@pytest.mark.parametrize(("ca", "named"), [(None, ""), (Path("/ca.pem"), "/ca.pem")])
def test_the_address_names_the_broker_its_account_the_doorbell_and_its_page(ca: Path | None, named: str) -> None:
    wanted = HomeAssistantConfig(host="hass.example", port=1884, user="u", password="p", ca=ca, prefix="ha")
    found = home_address(configured(home_assistant=wanted), "ab" * 8, "https://door/")
    assert found == HomeAddress(
        host="hass.example", port=1884, user="u", password="p", ca=named, prefix="ha", device="ab" * 8, name="Door",
        version=__version__, page="https://door/",
    )  # fmt: skip


def test_the_figures_are_those_of_the_status_at_the_moment_of_the_question(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[Any] = []
    monkeypatch.setattr(home_setup, "MetricsServer", lambda *given, **named: made.append((given, named)) or "server")
    status = dict(STATUS)
    for section in (MetricsConfig(socket=tmp_path / "metrics.sock"), MetricsConfig(port=9099)):
        assert make_metrics(configured(metrics=section), lambda: status) == "server"
        ((show,), named) = made[-1]
        assert named == {"path": section.socket, "port": section.port}
    assert show() == render(STATUS)
    status["clock"] = "unknown"
    assert show() == render({**STATUS, "clock": "unknown"}) != render(STATUS)
