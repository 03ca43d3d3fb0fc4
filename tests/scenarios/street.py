"""A street for the scenarios: a real broker, a device in its own process, an owner, requesters, and a slow link."""

from __future__ import annotations

import datetime
import os
import re
import secrets
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import av

from agent.clients.broker.broker_pki import BrokerPki, ClientFiles
from agent.clients.opening import HybridIdentity
from agent.clients.owner.enrolment import enrol
from agent.clients.owner.keys import OwnerKeys
from agent.clients.owner.trust_roots import add_trust_root, offer_bundle
from agent.clients.requester import messages
from agent.clients.requester.identity import Requester
from agent.clients.requester.keys import FileSigner, load_key, make_trust_key
from agent.clients.requester.messages import SignedMessage
from agent.clients.requester.publisher import publish
from agent.clients.requester.receiving_service import DisclosureReceiver, ReceiverEvent
from agent.clients.requester.request_builder import RequestDraft
from agent.clients.requester.trust_bundles import make_bundle
from agent.config import load
from agent.core.timebase import NS_PER_S, BootNs, seconds
from agent.custodian.state_folder import StateFolder
from agent.errors import DoorwardError
from agent.ipc.control_client import DeviceLink
from agent.ipc.control_operations import GetDevice, ListRequests
from agent.mqtt import BusSettings, MqttBus
from agent.platform.system_clock import SystemClock
from agent.ports import CameraEnd, Microphone
from agent.recorder.capture.camera_file import FileCamera
from agent.recorder.capture.delivery import EncodingSettings
from agent.solo import Solo
from agent.wire.area import Circle
from agent.wire.fields import Incident, Kind, OnwardKind
from agent.wire.identities import private_key_from_seed, public_key_of
from agent.wire.messages import Contact, Onward
from demo.evidence import Published, published_by
from demo.ringing import RingingCamera
from tests.brokers import add_requester
from tests.scenarios.witness import Accounted, Auditor, Witness, WitnessedBroker, ledger_of

ROOT = Path(__file__).resolve().parents[2]
DOOR = (52.0902, 5.1115)
PATIENCE_S = 40.0

CONFIGURATION = """\
[device]
name = "scenario"
state_dir = "{state}"
position = {{ latitude = {lat}, longitude = {lon} }}
[camera]
{camera}
[clips]
longest_clip_s = 20.0
[vault]
free_floor = 0.01
[broker]
host = "127.0.0.1"
port = {port}
ca = "{ca}"
certificate = "{certificate}"
key = "{key}"
chunk_bytes = 16384
"""

NO_CAMERA = 'kind = "usb"\ndevice = "/dev/video-that-is-not-there"'


def until(condition: Callable[[], bool], what: str) -> None:
    """Wait for something that another process does; fail in words when it does not."""
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, f"waited {PATIENCE_S:.0f} s in vain for {what}"
        time.sleep(0.02)


class SlowLink:
    """A TCP relay that lets `bytes_per_s` through towards the broker, and says how many it has let through."""

    def __init__(self, port: int, bytes_per_s: int) -> None:
        self._target = port
        self._rate = bytes_per_s
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.upward_bytes = 0
        self._sockets: list[socket.socket] = []
        self._threads = [threading.Thread(target=self._accept, name="slow-link")]
        self._threads[0].start()

    def close(self) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for each in list(self._sockets):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
                far = socket.create_connection(("127.0.0.1", self._target))
            except OSError:
                return
            self._sockets += [near, far]
            for source, target, counts in ((near, far, True), (far, near, False)):
                thread = threading.Thread(target=self._relay, args=(source, target, counts), name="slow-link")
                self._threads.append(thread)
                thread.start()

    def _relay(self, source: socket.socket, target: socket.socket, counts: bool) -> None:
        with suppress(OSError):
            while data := source.recv(16 << 10):
                target.sendall(data)
                if counts:
                    self.upward_bytes += len(data)
                    time.sleep(len(data) / self._rate)
        for each in (source, target):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()


class Asker:
    """A requester and the root that vouches for it."""

    def __init__(self, street: Street, name: str, kind: Kind, *, called: str = "") -> None:
        """`called`: the name that the root's list gives it, for people."""
        self._street = street
        now = street.now
        root_file = street.folder / f"{name}-root" / "root.key"
        self.root = make_trust_key(root_file)
        self.requester = Requester.create(street.folder / name, name, kind, trust_root=self.root.id)
        listed = street.folder / f"{name}-root" / "list.toml"
        listed.write_text(
            f'version = 1\n[[requesters]]\nid = "{name}"\nname = "{called or f"The {name}"}"\nkind = "{kind.value}"\n'
            "regions = [{ south = 51.9, west = 4.9, north = 52.3, east = 5.3 }]\n"
            f'tips = "../{name}/tips.recipient"\n'
            f'[[requesters.keys]]\nkey = "{self.requester.key.text}"\n'
            f"from = {(now - datetime.timedelta(days=1)).date()}\nuntil = {(now + datetime.timedelta(days=9)).date()}\n"
        )
        self.bundle = make_bundle(listed, FileSigner(load_key(root_file)), issued_s=int(now.timestamp()))
        self._files = add_requester(street.pki, name, now)
        street.askers[name] = self

    @contextmanager
    def connected(self) -> Iterator[MqttBus]:
        bus = MqttBus(
            BusSettings(
                host="127.0.0.1",
                port=self._street.broker.requester_port,
                name=self.requester.id,
                authority=self._files.authority,
                certificate=self._files.certificate,
                key=self._files.key,
                inbound_packet_bytes=160 << 10,
                inbound_window=32,
                inbound_queue=256,
                inbound_beat_s=0.0,
            )
        )
        bus.start()
        try:
            yield bus
        finally:
            bus.stop()

    def ask(self, case: str, *, north: float = 0.0, hours: float = 1.0, checked: bool = True) -> SignedMessage:
        """Sign and publish a request about the last `hours` around the door, or this many degrees north of it."""
        now_s = SystemClock().now().utc_ns // NS_PER_S
        question = RequestDraft(
            area=Circle(lat=round(DOOR[0] + north, 4), lon=DOOR[1], radius_m=400),
            from_s=now_s - int(hours * 3600),
            to_s=now_s + 1,
            not_after_s=now_s + 7 * 86_400,
            case=case,
            incident=Incident.THEFT,
            description="A bicycle was taken.",
            contact=Contact(name="The desk", email="desk@example.org"),
            retention_days=90,
            onward=Onward(to=(OnwardKind.COURT,), basis="Police Act"),
            language="en",
        )
        signed = messages.make_request(self.requester, question, now_s=now_s, checked=checked)
        with self.connected() as bus:
            publish(signed, bus, now_s=now_s)
        return signed

    @contextmanager
    def receiving(self, news: list[ReceiverEvent]) -> Iterator[None]:
        stop = threading.Event()
        with self.connected() as bus:
            receiver = DisclosureReceiver(self.requester, bus, SystemClock(), tell=news.append)
            thread = threading.Thread(target=receiver.run, args=(stop,), name="requester")
            thread.start()
            try:
                yield
            finally:
                stop.set()
                thread.join()


class Street:
    """One broker, one door with its owner, and anyone who asks."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.now = datetime.datetime.now(datetime.UTC)
        self.pki = BrokerPki.create(folder / "broker", self.now)
        self.broker = WitnessedBroker(folder / "broker")
        self.askers: dict[str, Asker] = {}
        self.state_dir = folder / "device"
        key = private_key_from_seed(secrets.token_bytes(32))
        StateFolder(self.state_dir).initialise(key)
        self.device = public_key_of(key)
        self._files: ClientFiles = self.pki.add_device(self.device.id, self.now)
        self.owner = OwnerKeys.create(folder / "owner", name="owner-1")
        self._process: subprocess.Popen[bytes] | None = None

    # the door's agent, as a separate process

    def configuration(self, camera: str, port: int | None = None) -> Path:
        path = self.folder / "doorward.toml"
        path.write_text(
            CONFIGURATION.format(
                state=self.state_dir,
                lat=DOOR[0],
                lon=DOOR[1],
                camera=camera,
                port=port or self.broker.device_port,
                ca=self._files.authority,
                certificate=self._files.certificate,
                key=self._files.key,
            )
        )
        return path

    def start_agent(self, configuration: Path) -> None:
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        with (self.folder / "agent.log").open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "agent.cli", "run", "--config", str(configuration)],
                env=environment,
                stdout=log,
                stderr=log,
            )
        until(self._answers, "the agent to answer its owner")

    def kill_agent(self) -> None:
        """As a power cut: no chance to finish anything."""
        self._end(signal.SIGKILL)

    def stop_agent(self) -> None:
        self._end(signal.SIGTERM)

    def _end(self, how: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.send_signal(how)
            process.wait(timeout=PATIENCE_S)

    def _answers(self) -> bool:
        assert self._process is None or self._process.poll() is None, (self.folder / "agent.log").read_text()[-2000:]
        try:
            with self.owners_link() as link:
                return bool(link.ask(GetDevice()))
        except DoorwardError:
            return False

    def record(
        self, footage: Path, *, ring_after_s: float, trusting: Sequence[Asker] = (),
        open_microphone: Callable[[], Microphone] | None = None, lasts_s: float = 40.0, widest_px: int = 384,
    ) -> None:  # fmt: skip
        """Enrol the owner, then play `footage` as if it had been now; a visitor rings on the way.

        Its first `lasts_s` seconds give eight segments, and each second costs the encoding of ten pictures of that
        width.
        """
        footage = beginning_of(footage, self.state_dir.parent / f"beginning{footage.suffix}", lasts_s)
        camera = FileCamera(footage, settings=EncodingSettings(widest_px=widest_px))
        solo = Solo(
            load(self.configuration(NO_CAMERA)),
            open_camera=lambda: RingingCamera(camera, seconds(ring_after_s), solo.press_button),
            open_microphone=open_microphone,
        )
        solo.start()
        try:
            self.enrol_and_trust(*trusting)
            length_ns = seconds(probe_seconds(footage))
            assert solo.record(BootNs(SystemClock().now().boot_ns - length_ns)) is CameraEnd.END_OF_FOOTAGE
        finally:
            solo.stop()
            solo.close()

    def outbox_bytes(self, disclosure: str) -> list[bytes]:
        """The parts of an approved disclosure as they lie on the device, in order."""
        folder = self.state_dir / "outbox" / disclosure
        return [(folder / str(number)).read_bytes() for number in range(len(list(folder.iterdir())))]

    # the owner

    def owners_link(self) -> DeviceLink:
        return DeviceLink(StateFolder(self.state_dir).control)

    def enrol_and_trust(self, *askers: Asker) -> None:
        with self.owners_link() as link:
            enrol(link, self.owner)
            for asker in askers:
                add_trust_root(link, self.owner, asker.root.text)
                offer_bundle(link, self.owner, asker.bundle)

    def state_of(self, signed: SignedMessage) -> str:
        """Returns the device's state of a request; "" if it knows none."""
        with self.owners_link() as link:
            listed = link.document(ListRequests(all=True))["requests"]
        return next((str(each["state"]) for each in listed if each["id"] == signed.id), "")

    def counted(self) -> dict[str, int]:
        with self.owners_link() as link:
            return link.ask(ListRequests(all=True)).counters

    # the witness

    def published(self) -> list[Published]:
        """Everything the broker ever received from the device, by its own log."""
        return published_by(self.device.id, self.broker.log())

    def connections(self) -> int:
        """How often the device has connected to the broker."""
        return len(re.findall(rf"New client connected from \S+ as {self.device.id}", self.broker.log()))

    def published_bytes(self) -> int:
        return sum(message.size_bytes for message in self.published())

    def hold_against_the_ledger(self, witness: Witness) -> Accounted:
        """Everything the device published.  Raises `Leak`."""
        folder = StateFolder(self.state_dir)
        auditor = Auditor(self.device, ledger_of(folder.journal), self._reply_identity, folder.outbox)
        return auditor.audit(witness.of(self.device.id))

    def _reply_identity(self, requester: str, request: str) -> HybridIdentity:
        asker = self.askers[requester].requester
        if request not in asker.request_ids():
            tips = asker.tips_identity()
            assert tips is not None
            return tips
        return asker.sent_request(request).reply_identity()


def beginning_of(footage: Path, out: Path, lasts_s: float) -> Path:
    """Writes the first seconds of a film. Its pictures stay encoded as they are."""
    with av.open(footage) as source, av.open(out, "w") as target:
        track = source.streams.video[0]
        copied = target.add_stream_from_template(track)
        for packet in source.demux(track):
            if packet.dts is not None and packet.dts * packet.time_base < lasts_s:
                packet.stream = copied
                target.mux(packet)
    return out


def probe_seconds(footage: Path) -> float:
    with av.open(str(footage), mode="r") as container:
        return (container.duration or 0) / av.time_base


@contextmanager
def a_street(folder: Path) -> Iterator[Street]:
    """When the scenario is over, what left the door is held against its ledger, byte for byte."""
    street = Street(folder)
    with street.broker, Witness(street.broker) as witness:
        try:
            yield street
        finally:
            street.kill_agent()
        street.hold_against_the_ledger(witness)
