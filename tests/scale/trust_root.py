"""A trust root of three people, by `doorward requester trust-root`. It lists agencies, and brokers with their cells.

`doorward requester trust-root keep` publishes its packages and stays connected, as in an installation.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from agent.clients.requester.keys import load_key
from agent.clients.requester.root_folder import RootFolder
from agent.wire.broker_directory import BrokerAddress
from agent.wire.identities import private_key_from_seed, public_key_of
from agent.wire.trust_keys import trust_key_of_private
from tests.scale.shards import ROOT, RefusedError, Shard, spoken

__all__ = ["TrustRoot", "number_of_town"]


class TrustRoot:
    """Two of three people sign each list. One key is online."""

    def __init__(self, folder: Path, shards: Sequence[Shard]) -> None:
        folder.mkdir()
        self._folder, self._shards = folder, shards
        self.kinds: dict[str, str] = {}
        """Name of a requester → its kind, if it is no police."""
        self._people = [folder / f"person-{number}.key" for number in range(3)]
        self._online = folder / "online.key"
        for key in (*self._people, self._online):
            spoken("requester", "keygen", "--root", "--key", key)
        self.folder = folder / "root"
        words: list[object] = []
        for person in self._people:
            words += ["--key", trust_key_of_private(load_key(person)).text]
        words += ["--timestamp-key", trust_key_of_private(load_key(self._online)).text]
        made = self._say("found", "--folder", self.folder, *words)
        self.key, self.id = str(made["root"]), str(made["root_id"])
        self._sign(made["to_sign"])
        request = self._say("csr", "--folder", self.folder)["csr"]
        for shard in shards:
            shard.admit_root(self.id, Path(request), self.folder / "tls" / shard.host)
        self.version = 0
        self._keeper: subprocess.Popen[str] | None = None
        self._reader = threading.Thread()
        self._at_broker: dict[str, str] = {}
        """Broker → SHA-256 of the package that it had at the last look of `keep`."""
        self._refusals: dict[str, str] = {}
        """Broker → why it takes no package, until its operator does something."""

    def list(self, agencies: dict[str, str], stolen: int = 0) -> None:
        """Signs the next list. `agencies`: id → public key. `stolen`: how many more keys it revokes."""
        self.version += 1
        known = [
            _entry(name, key, revoked=False, kind=self.kinds.get(name, "police"), region=_region_of(name))
            for name, key in agencies.items()
        ]
        keys = [private_key_from_seed(number.to_bytes(32, "big")) for number in range(stolen)]
        known += [_entry(f"agency-{number}", public_key_of(key).text, revoked=True) for number, key in enumerate(keys)]
        text = f"version = {self.version}\n" + "".join(known) + "".join(each.directory_entry for each in self._shards)
        source = self._folder / f"list-{self.version}.toml"
        source.write_text(text)
        made = self._say("list", source, "--folder", self.folder)
        self._sign(made["to_sign"])
        self.directory = Path(made["brokers"])
        self._say("stamp", "--folder", self.folder, "--timestamp-key", self._online)

    @property
    def package(self) -> bytes:
        return (self.folder / "package.json").read_bytes()

    def publish(self, shard: Shard) -> None:
        """Publishes once, without `keep`."""
        self._say("publish", "--folder", self.folder, "--broker", f"{shard.host}:{shard.requester_port}")

    def start(self) -> None:
        """Starts `keep`, or starts it again: it then looks at each broker."""
        self.stop()
        self._at_broker.clear()
        self._refusals.clear()
        words = ("requester", "trust-root", "keep", "--folder", str(self.folder), "--json")
        with (self._folder / "keep.log").open("ab") as log:
            self._keeper = subprocess.Popen(
                [sys.executable, "-P", "-m", "agent.cli", *words], env=os.environ | {"PYTHONPATH": str(ROOT)},
                stdout=subprocess.PIPE, stderr=log, text=True,
            )  # fmt: skip
        self._reader = threading.Thread(target=self._read, args=(self._keeper,), name="trust-root")
        self._reader.start()

    def stop(self) -> None:
        if self._keeper is not None:
            self._keeper.terminate()
            self._keeper.wait()
            self._reader.join()
            assert self._keeper.stdout is not None
            self._keeper.stdout.close()
        self._keeper = None

    @property
    def has_ended(self) -> bool:
        return self._keeper is not None and self._keeper.poll() is not None

    def wait(self, patience_s: float = 600.0) -> None:
        """Returns once each broker has the newest package. Raises `RefusedError` if that is not so in time."""
        wanted, ends_s = self.wanted(), time.monotonic() + patience_s
        while missing := self.missing(wanted):
            if self.has_ended or self.refusals or time.monotonic() > ends_s:
                raise RefusedError(f"The root's package is not at {', '.join(missing)}. {self.refusals}")
            time.sleep(0.05)

    def wanted(self) -> dict[str, str]:
        """Returns the SHA-256 of the newest package by shard, for `missing`."""
        folder = RootFolder(self.folder)
        packages = {each: folder.package_for(BrokerAddress(each.host, each.requester_port)) for each in self._shards}
        return {str(each): hashlib.sha256(package).hexdigest() for each, package in packages.items()}

    def missing(self, wanted: Mapping[str, str]) -> list[str]:
        """Returns the shards that lack the package of `wanted`."""
        at = {str(each): self._at_broker.get(f"{each.host}:{each.requester_port}") for each in self._shards}
        return [name for name, digest in wanted.items() if at[name] != digest]

    @property
    def refusals(self) -> str:
        """Refusals that only an operator can end."""
        return " ".join(sorted(set(self._refusals.values())))

    def _read(self, keeper: subprocess.Popen[str]) -> None:
        assert keeper.stdout is not None
        for line in keeper.stdout:
            told = json.loads(line)
            with (self._folder / "keep.log").open("a") as log:
                log.write(f"{time.monotonic():.1f} {line}")
            if "Ask its operator" in told["fault"]:
                self._refusals[told["broker"]] = told["fault"]
            if told["sha256"]:
                self._at_broker[told["broker"]] = told["sha256"]

    def _sign(self, payload: str) -> None:
        for person in self._people[:2]:
            self._say("sign", payload, "--root-key", person)

    def _say(self, *words: object) -> dict[str, Any]:
        return spoken("requester", "trust-root", *words)


_STRIP = "south = 52.0, west = 4.5, north = 52.5, east = 8.5"
"""The cells of all shards."""


_CELLS_OF_TOWNS = 40
_FIRST_WEST, _WIDTH = 4.5, 0.5


def number_of_town(west: float) -> int:
    """Returns the number of the first town in the shards' cells at that longitude."""
    return round((west - _FIRST_WEST) / _WIDTH) or _CELLS_OF_TOWNS


def _region_of(name: str) -> str:
    """Returns the region of an agency: the strip of the shards, or for one of a town one of 40 cells.

    Eight of these are the strip's, so the doorbells of each have a fortieth of the towns on their list.
    """
    number = name.removeprefix("agency-of-town-")
    if not number.isdecimal():
        return _STRIP
    row, column = divmod(int(number) % _CELLS_OF_TOWNS, 8)
    south, west = 52.05 - 0.5 * row, _FIRST_WEST + 0.05 + _WIDTH * column
    return f"south = {south:.2f}, west = {west:.2f}, north = {south + 0.4:.2f}, east = {west + 0.4:.2f}"


def _entry(name: str, key: str, *, revoked: bool, kind: str = "police", region: str = _STRIP) -> str:
    return (
        f'[[requesters]]\nid = "{name}"\nname = "{name.title()}"\nkind = "{kind}"\n'
        f"regions = [{{ {region} }}]\n"
        f'[[requesters.keys]]\nkey = "{key}"\nfrom = 2020-01-01\nuntil = 2099-12-31\n'
        f"revoked = {str(revoked).lower()}\n"
    )
