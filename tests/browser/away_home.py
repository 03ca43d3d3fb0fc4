"""A home, a relay and a phone in three networks, for the tests of what works away from home.

The relay is made with the commands of docs/remote.md. Doorbell and relay are real, and so is the browser. The push
service is the tests' own, because Chromium would ask its maker's.
"""

from __future__ import annotations

import datetime
import json
import re
import secrets
import shutil
import signal
import ssl
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from agent.clients.broker.broker_pki import BrokerPki
from agent.core.bus import BusConnected, MessageReceived
from agent.core.timebase import BootNs
from agent.mqtt import BusSettings, MqttBus
from agent.ports import Microphone
from tests.away_networks import DOORBELL, RELAY, Networks, require_networks
from tests.browser.browser import require_browser
from tests.browser.house import House, Phones, phones
from tests.relays import RelayBrowser
from tests.scenarios.street import ROOT, Street, a_street, until
from tests.uplink.test_push_sender import PushService

__all__ = ["AwayHome", "Relay", "an_away_home"]

LINK_PORT, WEB_PORT = 8885, 8886
URL = f"wss://{RELAY}:{WEB_PORT}"
_START_S = 60.0
_FLAGS = (
    # The name of the doorbell is known to the phone from the time at home.
    f"--host-resolver-rules=MAP *.local {DOORBELL}",
    "--autoplay-policy=no-user-gesture-required",
)


class Witness:
    """Hears every frame at the relay, in both directions, as its operator could."""

    def __init__(self, relay: Relay, account: str, password: str, note: Callable[[bytes], None]) -> None:
        files = relay.folder / "clients"
        self._stopping = threading.Event()
        self._bus = MqttBus(
            BusSettings(
                RELAY,
                LINK_PORT,
                secrets.token_hex(8),
                relay.folder / "authorities" / "broker.pem",
                files / f"{account}.pem",
                files / f"{account}.key",
                inbound_packet_bytes=1 << 20,
                inbound_queue=4096,
                inbound_bytes=1 << 26,
                inbound_window=64,
                inbound_beat_s=0.0,
            )
        )
        self._bus.start()
        assert isinstance(self._bus.next_event(_START_S), BusConnected)
        self._bus.subscribe(f"doorward/v1/link/{account}/+/+/in")
        self._browser = RelayBrowser(relay, account, password)
        self._browser.subscribe(f"doorward/v1/link/{account}/+/+/out")
        self._note = note
        self._thread = threading.Thread(target=self._hear, name="witness")
        self._thread.start()

    def close(self) -> None:
        self._stopping.set()
        self._thread.join()
        self._browser.close()
        self._bus.stop()

    def _hear(self) -> None:
        while not self._stopping.is_set():
            event = self._bus.next_event(0.05)
            if isinstance(event, MessageReceived):
                self._note(event.payload)
            while (came := self._browser.take()) is not None:
                self._note(came[1])


class Relay:
    """A mosquitto in the network of the relay, with what `doorward broker` wrote for it."""

    def __init__(self, folder: Path, networks: Networks) -> None:
        self.folder = self.directory = folder
        self.host, self.web_port = RELAY, WEB_PORT
        self.password = ""
        self._networks = networks
        self._process: subprocess.Popen[bytes] | None = None
        self._command("init", "--host", RELAY, "--user", "root")
        self._command("add-relay", "--link-port", str(LINK_PORT), "--web-port", str(WEB_PORT))

    def _command(self, *words: str) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "agent.cli", "broker", *words, "--dir", str(self.folder)],
            capture_output=True,
            text=True,
            cwd=ROOT,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def section(self, device: str) -> str:
        """Makes the doorbell's certificate and the household's account. Returns `[remote]` for the doorbell."""
        files = json.loads(self._command("add-device", device, "--json"))
        self.password = str(json.loads(self._command("add-account", device, "--json"))["password"])
        return (
            f'\n[remote]\nhost = "{RELAY}"\nport = {LINK_PORT}\nurl = "{URL}"\npassword = "{self.password}"\n'
            + "".join(f'{name} = "{files[name]}"\n' for name in ("ca", "certificate", "key"))
        )

    @property
    def authority(self) -> bytes:
        """The one that signed its certificate, in DER."""
        return ssl.PEM_cert_to_DER_cert((self.folder / "authorities" / "broker.pem").read_text())

    @property
    def log(self) -> str:
        path = self.folder / "mosquitto.log"
        return path.read_text(errors="replace") if path.exists() else ""

    def start(self) -> None:
        program = shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin")
        if program is None:
            pytest.skip("mosquitto is not installed")
        before = len(re.findall(r"mosquitto version \S+ running", self.log))
        with (self.folder / "mosquitto.log").open("ab") as log, self._networks.within("relay"):
            command = [program, "-c", str(self.folder / "mosquitto.conf")]
            self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        until(lambda: len(re.findall(r"mosquitto version \S+ running", self.log)) > before, "the relay to run")

    def start_with_another_certificate(self) -> None:
        """As if another machine answered at this address."""
        other = BrokerPki.create(self.folder.with_name("other"), datetime.datetime.now(datetime.UTC), (RELAY,))
        for name in ("broker.pem", "broker.key"):
            (self.folder / name).write_bytes((other.directory / name).read_bytes())
        self.start()

    def change_password(self, device: str) -> None:
        self._command("add-account", device, "--json")
        assert self._process is not None
        self._process.send_signal(signal.SIGHUP)

    def stop(self) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait(_START_S)
            self._process = None


@dataclass
class AwayHome:
    """Ana's doorbell and phone. `away` and `back` move the phone."""

    networks: Networks
    relay: Relay
    house: House
    people: Phones
    push: PushService

    @contextmanager
    def witnessed(self, note: Callable[[bytes], None]) -> Iterator[None]:
        """`note` gets each frame that passes the relay."""
        with self.networks.within("relay"):
            witness = Witness(self.relay, self.house.solo.device.id, self.relay.password, note)
        try:
            yield
        finally:
            witness.close()

    def pair(self) -> None:
        """At home: a new owner, who lets this browser show alerts where `[alerts]` is set."""
        self.people.pair("ana")
        self.people.claim("ana")
        self.people.run("ana", 'await page.getByRole("button", {name: "See the timeline"}).click();')

    def leave(self) -> None:
        """Out of the Wi-Fi. The doorbell listens at the relay for its present owners before."""
        link, relay = self.house.solo.link, self.house.solo._relay
        assert link is not None
        assert relay is not None
        until(lambda: self.relay_status() == "connected", "the doorbell at the relay")
        until(lambda: relay._addresses == link.addresses(), "the doorbell at its address")
        self.networks.leave_home()

    def relay_status(self) -> str:
        return str(self.house.solo.status()["link"]["relay"])

    @contextmanager
    def filming(self, first_ns: BootNs | None = None) -> Iterator[None]:
        """The camera films in real time."""
        failures: list[BaseException] = []

        def film() -> None:
            try:
                self.house.solo.record(first_ns)
            except BaseException as error:  # noqa: BLE001 — shown to the test
                failures.append(error)

        thread = threading.Thread(target=film, name="camera")
        thread.start()
        try:
            yield
        finally:
            self.house.solo.recorder.stop()
            thread.join()
        assert not failures


@contextmanager
def an_away_home(
    folder: Path,
    *,
    open_microphone: Callable[[], Microphone] | None = None,
    more: str = "",
    flags: tuple[str, ...] = (),
    prepare: Callable[[Networks], None] = lambda _networks: None,
    kind: str = "chromium",
) -> Iterator[AwayHome]:
    """The test's own thread is at home meanwhile. The phone is at home too, in the Wi-Fi. `kind`: its browser."""
    require_browser(kind)
    require_networks()
    with ExitStack() as stack:
        networks = stack.enter_context(Networks())
        prepare(networks)
        relay = Relay(folder / "relay", networks)
        stack.callback(relay.stop)
        with networks.within("relay"):
            push = stack.enter_context(PushService(RELAY))
        stack.enter_context(networks.within("home"))
        street: Street = stack.enter_context(a_street(folder / "street"))
        section = relay.section(street.device.id)
        relay.start()
        house = House(street, None, open_microphone=open_microphone, more=more + section, address=DOORBELL)
        stack.callback(house.close)
        if house.solo._delivery is not None:
            house.solo._delivery._sender._push._connect = push.connect  # type: ignore[attr-defined]
        with networks.within("phone"):
            given = (*(_FLAGS if kind == "chromium" else ()), *flags)
            people = stack.enter_context(phones(house, folder, kind, flags=given, authorities=(relay.authority,)))
        yield AwayHome(networks, relay, house, people, push)
