"""Light doorbells for tests of a fleet: a folder each, with a device key and a configuration, and nothing that runs."""

from __future__ import annotations

import datetime
from dataclasses import dataclass
from pathlib import Path

from agent.cli.broker_link import enrol_doorbell
from agent.clients.broker.broker_pki import BrokerPki
from agent.clients.broker.enrolment_tokens import EnrolmentTokens
from agent.clients.broker.est_server import EstServer
from agent.custodian.state_folder import StateFolder
from agent.wire import strictjson
from agent.wire.broker_enrolment import BrokerTicket
from agent.wire.identities import private_key_from_seed, public_key_of

__all__ = ["EstSide", "LightDoor"]


@dataclass(frozen=True)
class LightDoor:
    """A doorbell that can enrol. `number` makes its key."""

    root: Path
    number: int

    def __post_init__(self) -> None:
        self.root.mkdir(parents=True)
        StateFolder(self.state).initialise(private_key_from_seed(self.number.to_bytes(32, "big")))
        self.config.write_text(f'[device]\nname = "door-{self.number}"\nstate_dir = "{self.state}"\n')

    @property
    def state(self) -> Path:
        return self.root / "state"

    @property
    def config(self) -> Path:
        return self.root / "doorward.toml"

    @property
    def tls(self) -> Path:
        return self.root / "tls"

    @property
    def device(self) -> str:
        return public_key_of(StateFolder(self.state).device_key()).id

    def enrol(self, ticket: bytes) -> str | None:
        path = self.root / "doorward.enrol"
        path.write_bytes(ticket)
        return enrol_doorbell(self.config, self.tls, path)


class EstSide:
    """The broker's side on loopback: its folder, its tokens, and the EST server while it is entered."""

    def __init__(self, directory: Path, broker_port: int = 8883) -> None:
        self.pki = (
            BrokerPki(directory)
            if (directory / "broker.pem").exists()
            else BrokerPki.create(directory, datetime.datetime.now(datetime.UTC))
        )
        self.tokens = EnrolmentTokens(self.pki.directory)
        self.broker_port = broker_port
        self.enrolled: list[tuple[str, str]] = []
        self.port = 0

    def __enter__(self) -> EstSide:
        self._server = EstServer(
            self.pki, self.tokens, ("127.0.0.1", self.port), lambda name, device: self.enrolled.append((name, device))
        )
        self.port = self._server.port
        self._server.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.stop()

    def ticket(self, name: str, *, doorbells: int = 1, token: str = "") -> bytes:
        token = token or self.tokens.add(name, doorbells=doorbells, days=1)
        authority = (self.pki.directory / "authorities" / "broker.pem").read_text()
        return strictjson.encode(
            BrokerTicket(
                v=1, host="127.0.0.1", port=self.port, broker_port=self.broker_port, authority=authority, token=token
            )
        )
