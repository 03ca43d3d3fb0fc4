"""The installer loads the congestion control that the uplink asks for, now and at every start."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from agent.mqtt.bus_settings import BusSettings

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "scripts"))

from installation import system as installation  # noqa: E402
from installation.places import Places  # noqa: E402


def test_an_installation_loads_the_congestion_control_for_links_that_lose_packets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stock Debian loads no bbr, and the uplink may load no module: 8 MB took 173 s instead of 9 to 19."""
    places, run = Places(tmp_path), list[list[str]]()
    for folder in (places.versions / "1" / "app", places.state / "vault", places.state / "custodian"):
        folder.mkdir(parents=True)
    (places.versions / "1" / "app" / "systemd").symlink_to(ROOT / "systemd")
    places.current.symlink_to(places.versions / "1")
    monkeypatch.setattr(installation, "run", lambda words, *_, **__: run.append(words))
    monkeypatch.setattr(installation.shutil, "which", lambda name: f"/sbin/{name}")
    made = installation.System(places)
    made.alive = True
    made.prepare()
    module = f"tcp_{BusSettings.__dataclass_fields__['congestion'].default.decode()}"
    assert ["modprobe", "--quiet", module] in run
    listed = (tmp_path / "etc/modules-load.d/doorward.conf").read_text().splitlines()
    assert [line for line in listed if not line.startswith("#")] == [module]
