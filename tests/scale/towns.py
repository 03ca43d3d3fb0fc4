"""Agencies of towns: most are only on the root's list, and the first one of each column of cells publishes sometimes.

A town with a receiver has `doorward requester receive` running, as an agency without a desk has. It publishes what the
town signs, and puts it back if a broker lost it.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from agent.clients.requester import messages
from agent.clients.requester.identity import Requester
from agent.clients.requester.publisher import is_published
from agent.platform.certificates import signing_request
from agent.wire.area import Circle
from agent.wire.fields import Kind
from agent.wire.identities import private_key_from_seed, public_key_of
from tests.scale.shards import ROOT, Shard, command
from tests.scale.trust_root import TrustRoot, number_of_town

__all__ = ["Towns"]

_SEEDS = 1 << 64
"""Where the seeds of the towns' keys begin, so that no doorbell has one of them."""
_A_DAY_S = 86_400


class _Town:
    """A town that publishes, and its receiver."""

    def __init__(self, folder: Path, requester: Requester, shards: Sequence[Shard]) -> None:
        self.requester, self.shards = requester, shards
        self._folder, self._log = folder, folder.with_suffix(".log")
        self._receiver: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        words = ("requester", "receive", "--folder", str(self._folder))
        with self._log.open("ab") as log:
            self._receiver = subprocess.Popen(
                [sys.executable, "-P", "-m", "agent.cli", *words],
                env=os.environ | {"PYTHONPATH": str(ROOT)}, stdout=log, stderr=log,
            )  # fmt: skip

    def tend(self) -> None:
        """Starts the receiver again if it ended, as systemd does."""
        if self._receiver is not None and self._receiver.poll() is not None:
            self.start()

    def stop(self) -> None:
        if self._receiver is not None:
            self._receiver.kill()
            self._receiver.wait()


class Towns:
    """`count`: how many are on the list. `keys`: id → public key. Call `join` once the list is signed."""

    def __init__(self, folder: Path, count: int, root: TrustRoot, shards: Sequence[Shard]) -> None:
        folder.mkdir()
        self._folder = folder
        self._told: dict[str, _Town] = {}
        self.keys: dict[str, str] = {}
        self._towns: dict[float, _Town] = {}
        """By the west edge of their column of cells."""
        west_of = {number_of_town(west): west for west in sorted({each.west for each in shards})}
        for number in range(1, count + 1):
            name = f"agency-of-town-{number}"
            if number not in west_of:
                key = private_key_from_seed((_SEEDS + number).to_bytes(32, "big"))
                self.keys[name] = public_key_of(key).text
                continue
            west = west_of[number]
            requester = Requester.create(folder / name, name, Kind.POLICE, root.id)
            self.keys[name] = requester.key.text
            of_column = [each for each in shards if each.west == west]
            self._towns[west] = _Town(folder / name, requester, of_column)

    @property
    def publishing(self) -> int:
        return len(self._towns)

    def join(self, root: TrustRoot) -> None:
        """Imports the root's list, and gets each town with a receiver its certificates."""
        package = self._folder / "package.json"
        package.write_bytes(root.package)
        for town in self._towns.values():
            folder = town.requester.folder
            command("requester", "root", root.key, package, "--brokers", root.directory, "--folder", folder)
            tls = folder / "tls"
            tls.mkdir(exist_ok=True)
            (tls / "csr.pem").write_bytes(signing_request(tls / "key.pem", town.requester.id))
            for shard in town.shards:
                shard.certify(town.requester.id, tls / "csr.pem", tls / shard.host)

    def start(self) -> None:
        for each in self._towns.values():
            each.start()

    def tend(self) -> None:
        for each in self._towns.values():
            each.tend()

    def stop(self) -> None:
        for each in self._towns.values():
            each.stop()

    def tell(self, west: float, title: str) -> str | None:
        """Signs a bulletin of the town at that longitude. Returns its id, or None if no town publishes there."""
        town = self._towns.get(west)
        if town is None:
            return None
        made = messages.make_bulletin(
            town.requester, title, "The bridge is closed tonight.", language="en",
            not_after_s=int(time.time()) + _A_DAY_S, area=Circle(lat=52.25, lon=west + 0.25, radius_m=300),
        )  # fmt: skip
        self._told[made.id] = town
        return str(made.id)

    def has_told(self, message: str) -> bool:
        return message in self._told

    def is_published(self, message: str) -> bool:
        return bool(is_published(self._told[message].requester, message))
