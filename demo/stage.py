"""Sets the scene: a broker, a device, an owner, two requesters, each with their own folder and their own keys."""

from __future__ import annotations

import datetime
import json
import secrets
import shutil
from dataclasses import dataclass
from pathlib import Path

from agent.clients.broker.broker_pki import BrokerPki, ClientFiles
from agent.clients.broker.private_broker import PrivateBroker
from agent.clients.owner.keys import IdentityKind, OwnerKeys
from agent.clients.requester.identity import TIPS_RECIPIENT, Requester
from agent.clients.requester.keys import FileSigner, load_key, make_trust_key
from agent.clients.requester.trust_bundles import make_bundle
from agent.config import Configuration, load
from agent.custodian.state_folder import StateFolder
from agent.mqtt import BusSettings, MqttBus
from agent.platform.certificates import signing_request
from agent.platform.files import make_folder
from agent.wire.fields import Kind
from agent.wire.identities import PublicKey, private_key_from_seed, public_key_of
from agent.wire.trust_keys import TrustKey

__all__ = ["DOOR", "Asker", "Stage", "toml_text"]

DOOR = (52.0902, 5.1115)
"""The position of the demo's door, in degrees. Only the device's configuration has it."""

_CONFIGURATION = """\
# Made by the demo.  Every key is explained in config/doorward.toml.
[device]
name = "demo-door"
state_dir = {state}
position = {{ latitude = {lat}, longitude = {lon} }}

[camera]
{camera}

[clips]
longest_clip_s = 20.0

[vault]
# A doorbell deletes its oldest footage to keep 5 % of its disk free. This disk has other uses, and may be fuller.
free_floor = 0.01

[broker]
host = "127.0.0.1"
port = {port}
ca = {ca}
certificate = {certificate}
key = {key}

[log]
format = "json"
"""

_BUNDLE = """\
version = 1

[[requesters]]
id = "{id}"
name = "{name}"
kind = "{kind}"
regions = [{{ south = 51.9, west = 4.9, north = 52.3, east = 5.3 }}]
tips = "{tips}"

[[requesters.keys]]
key = "{key}"
from = {start}
until = {end}
"""


def toml_text(value: object) -> str:
    """`value` as TOML writes text, whatever is in it: a folder may have a quote in its name."""
    return json.dumps(str(value), ensure_ascii=False)


@dataclass(frozen=True, slots=True)
class Asker:
    """A requester, the root that vouches for it, and its connection."""

    name: str
    requester: Requester
    root: TrustKey
    bundle: bytes
    bus: MqttBus


class Stage:
    """Everything below `folder`, which is rebuilt at each start."""

    def __init__(self, folder: Path) -> None:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        self.folder = folder
        self.state_dir = folder / "device"
        self._now = datetime.datetime.now(datetime.UTC)
        self._pki = BrokerPki.create(folder / "broker", self._now)
        self.broker = PrivateBroker(folder / "broker", witness=True)

    def device(self, camera: str) -> tuple[Configuration, PublicKey]:
        """Initialises the device. It reads its configuration from the file, as every device does."""
        key = self.door(self.folder / "doorward.toml", self.state_dir, DOOR, camera)
        return load(self.folder / "doorward.toml"), key

    def door(self, path: Path, state_dir: Path, position: tuple[float, float], camera: str) -> PublicKey:
        """Initialises a device in `state_dir`, with its configuration at `path`."""
        key = private_key_from_seed(secrets.token_bytes(32))
        StateFolder(state_dir).initialise(key)
        device = public_key_of(key)
        files = self._pki.add_device(device.id, self._now)
        path.write_text(
            _CONFIGURATION.format(
                state=toml_text(state_dir),
                lat=position[0],
                lon=position[1],
                camera=camera,
                port=self.broker.device_port,
                ca=toml_text(files.authority),
                certificate=toml_text(files.certificate),
                key=toml_text(files.key),
            )
        )
        return device

    def owner(self, kind: IdentityKind) -> OwnerKeys:
        return OwnerKeys.create(self.folder / "owner", name="owner-1", kind=kind)

    def asker(self, requester_id: str, name: str, kind: Kind) -> Asker:
        """Creates a requester and a trust root for it. The owner does not trust the root yet."""
        root = self.root(requester_id)
        requester = Requester.create(self.folder / requester_id, requester_id, kind, trust_root=root.id)
        bundle = self.vouch(requester, name)
        files = self._signed(requester)
        return Asker(name, requester, root, bundle, MqttBus(self._requester_settings(requester_id, files)))

    def root(self, requester_id: str) -> TrustKey:
        """Creates a trust root for a requester."""
        return make_trust_key(self.folder / f"{requester_id}-root" / "root.key")

    def vouch(self, requester: Requester, name: str) -> bytes:
        """Returns the bundle in which the root of `root` lists the requester."""
        folder = self.folder / f"{requester.id}-root"
        listed = folder / "requesters.toml"
        listed.write_text(
            _BUNDLE.format(
                id=requester.id,
                name=name,
                kind=requester.profile.kind.value,
                key=requester.key.text,
                tips=(requester.folder / TIPS_RECIPIENT).read_text().strip(),
                start=(self._now - datetime.timedelta(days=1)).date(),
                end=(self._now + datetime.timedelta(days=365)).date(),
            )
        )
        return make_bundle(listed, FileSigner(load_key(folder / "root.key")), issued_s=int(self._now.timestamp()))

    def sign_certificate(self, name: str, request: bytes) -> ClientFiles:
        """Signs a requester's request for a certificate of the broker."""
        return self._pki.add_requester(name, self._now, request=request)

    def _signed(self, requester: Requester) -> ClientFiles:
        """Lays out key and certificate for the broker as `doorward requester csr` and `accept` do."""
        tls = make_folder(requester.folder / "tls")
        asked = signing_request(tls / "key.pem", requester.id)
        signed = self._pki.add_requester(requester.id, self._now, request=asked)
        shutil.copyfile(signed.authority, tls / "authority.pem")
        shutil.copyfile(signed.certificate, tls / "certificate.pem")
        return ClientFiles(requester.id, tls / "authority.pem", tls / "certificate.pem", tls / "key.pem")

    def _requester_settings(self, name: str, files: ClientFiles) -> BusSettings:
        return BusSettings(
            host=self.broker.host,
            port=self.broker.requester_port,
            name=name,
            authority=files.authority,
            certificate=files.certificate,
            key=files.key,
            inbound_packet_bytes=160 << 10,
            inbound_window=32,
            inbound_queue=256,
            inbound_beat_s=0.0,
        )
