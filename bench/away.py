"""Live view, talk and an alert on a phone in another network, over a relay.  `python -m bench away` (root, Linux).

Home behind NAT, relay and phone are network namespaces (tests/away_networks.py). Between phone and relay a process
delays and drops packets, because some kernels lack netem. Each picture of the film carries its number, as in
`bench.live`, and the browser reads it from the screen: camera, encoder, sealing, recorder, custodian, uplink,
mosquitto, page and decoder are in the figure. The phone is locked: it opens Live with its glance key, as after a tap
on an alert.

The limit of the same run: the page on the home network (HTTPS, no relay). The peer: the same film over WebRTC with
aiortc, installed from requirements/webrtc.txt into `.cache/webrtc`; it goes to the phone without a relay. The push
service is the tests' own, and its time is not in the figure. `python -m bench away roles` measures roles as separate
processes while 0, 1 and 3 sessions of the link watch. `python -m bench.away joins` measures only how long the first
picture takes if an unlocked page in a session comes back to Live. Needs Chromium, nftables and `npm ci` in
tests/browser.
"""

from __future__ import annotations

import heapq
import itertools
import json
import mmap
import os
import random
import re
import select
import shutil
import signal
import statistics
import struct
import subprocess
import sys
import tempfile
import threading
import time
import venv
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import structlog

from agent.clients.broker.broker_pki import BrokerPki
from agent.clients.broker.private_broker import PrivateBroker
from agent.clients.broker.relay import set_account
from agent.clients.owner.keys import OwnerKeys
from agent.clients.owner.link_session import OwnerSession
from agent.clients.owner.relay_routes import learn_route, route_to
from agent.clients.relay_carrier import RelayCarrier, RelayPlace
from agent.core.media import EncodedPacket, StreamDescription
from agent.platform.system_clock import SystemClock
from agent.recorder import translation
from agent.recorder.capture.camera_file import FileCamera
from agent.recorder.live_view import LiveEncoder
from agent.wire.control import Frame
from agent.wire.identities import parse_public_key
from agent.wire.link.schedule import address_of
from bench import live, talk
from bench.lossy import _packets, _tun
from tests.away_networks import Networks
from tests.browser.away_home import AwayHome, an_away_home
from tests.browser.test_who_rings import deliver, switch_alerts_on
from tests.scenarios.street import a_street, until
from tests.scenarios.test_roles_apart import Apart
from tests.uplink.test_push_sender import Browser

WAYS = (*itertools.product((0, 60, 200), (0.0, 0.01, 0.03), (0.0,)), (60, 0.0, 5.0), (60, 0.0, 1.0))
"""Round trip in ms, loss in each direction, limit in Mbit/s (0: none)."""
PRESSES = 5
_FEWEST = 20
_LINE = "ddd"
"""Seconds in one direction, loss in one direction, bytes a second (0: no limit)."""
_MOST_QUEUED_S = 0.5
_LENGTH_S = 540
"""Numbers of thirteen bits last as long."""
_PINS = Path(__file__).parents[1] / "requirements" / "webrtc.txt"
_PHONE = "10.99.0.2"
_OFFER = """await page.goto("about:blank");
   return page.evaluate(async () => {
     const connection = window.connection = new RTCPeerConnection();
     connection.addTransceiver("video", {direction: "recvonly"});
     document.body.innerHTML = '<video class="stage" autoplay muted></video>';
     connection.ontrack = ({track}) => {
       document.querySelector("video").srcObject = new MediaStream([track]);
     };
     await connection.setLocalDescription();
     if (connection.iceGatheringState !== "complete")
       await new Promise((resolve) => connection.addEventListener("icegatheringstatechange", () => {
         if (connection.iceGatheringState === "complete") resolve();
       }));
     return connection.localDescription.toJSON();
   });"""
_ANSWERED = """await page.evaluate((answer) => connection.setRemoteDescription(answer), args.answer);"""
_AT_HOME = (
    """await page.waitForFunction(() => document.querySelector("video.stage")?.currentTime > 1, null,
     {timeout: 90_000});
   await page.waitForTimeout(3000);
   return page.evaluate(async () => {"""
    + live._READ.replace("20_000", "10_000")
    + "});"
)
_AWAY = 'await page.goto(args.url + "/live");' + _AT_HOME
_CLOSE = """await page.evaluate(async () => {
   for (const each of await (await navigator.serviceWorker.ready).getNotifications()) each.close();
});"""


class Filmed:
    """When each picture of the film was to be taken, and when the recorder had it encoded, in ms."""

    def __init__(self, first_ns: int, began_ms: float) -> None:
        self._first_ns = first_ns
        self._began_ms = began_ms
        self.encoded_ms: dict[int, float] = {}

    def due_ms(self, number: int) -> float:
        return self._began_ms + 1000 * number / live.FRAMES_PER_S

    def note(self, sensor_ns: int) -> None:
        self.encoded_ms[round((sensor_ns - self._first_ns) / 1e9 * live.FRAMES_PER_S)] = time.time() * 1000


class Line:
    """The phone's way to the relay. `set` changes it while it is in use."""

    def __init__(self, folder: Path) -> None:
        path = folder / "line"
        path.write_bytes(bytes(struct.calcsize(_LINE)))
        self._path = path
        with path.open("r+b") as file:
            self._shared = mmap.mmap(file.fileno(), 0)
        self._process: subprocess.Popen[bytes] | None = None

    def set(self, round_trip_ms: float, loss: float, bytes_per_s: float = 0.0) -> None:
        self._shared[:] = struct.pack(_LINE, round_trip_ms / 2000, loss, bytes_per_s)

    def lay(self, networks: Networks) -> None:
        near, far = _tun("slow"), _tun("slow-isp")
        for device, name, address in (("slow", "phone", "10.99.0.2/30"), ("slow-isp", "relay", "10.99.0.1/30")):
            networks.take(device, name, address)
        words = [sys.executable, "-m", "bench.away", "line", str(near), str(far), str(self._path)]
        self._process = subprocess.Popen(words, pass_fds=(near, far))
        os.close(near)
        os.close(far)

    def close(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
        self._shared.close()


class WebRtcPeer:
    """The same film, sent to the phone by aiortc at home. Signalling is this process's, outside the networks."""

    def __init__(self, python: Path, home: AwayHome, film: Path, filmed: Filmed) -> None:
        self._words = [str(python), str(Path(__file__).with_name("webrtc_peer.py")), str(film)]
        self._home = home
        self._filmed = filmed
        with home.networks.within("relay"):
            Path("/proc/sys/net/ipv4/ip_forward").write_text("1")

    @staticmethod
    def installed() -> Path | None:
        """The interpreter that has aiortc. It is installed before the networks are made, which reach no registry."""
        place = _PINS.parents[1] / ".cache" / "webrtc"
        python = place / "bin" / "python"
        if not python.exists():
            venv.create(place, with_pip=True)
            words = [str(python), "-m", "pip", "install", "--quiet", "--require-hashes", "-r", str(_PINS)]
            if subprocess.run(words, check=False).returncode:
                shutil.rmtree(place)
                print("Left out: WebRTC; aiortc could not be installed.", flush=True)
                return None
        return python

    def seen(self) -> dict[int, float]:
        offer = self._home.people.run("ana", _OFFER)
        # Browsers hide their address behind a name, which only their own network can look up.
        offer["sdp"] = re.sub(r"[0-9a-f-]{36}\.local", _PHONE, offer["sdp"])
        with self._home.networks.within("home"):
            words = [*self._words, str(self._filmed.due_ms(0) / 1000)]
            peer = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert peer.stdin is not None
        assert peer.stdout is not None
        try:
            peer.stdin.write(json.dumps(offer) + "\n")
            peer.stdin.flush()
            self._home.people.run("ana", _ANSWERED, answer=json.loads(peer.stdout.readline()))
            return _seen(self._home, _AT_HOME)
        finally:
            peer.kill()
            peer.communicate()


def pass_on(near: int, far: int, path: Path) -> None:
    """The process between. The losses are the same in every run."""
    with path.open("rb") as file:
        shared = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    chance, order = random.Random(7), itertools.count()
    under_way: list[tuple[float, int, int, bytes]] = []
    free_s = {near: 0.0, far: 0.0}
    while True:
        wait_s = max(0.0, under_way[0][0] - time.monotonic()) if under_way else None
        ready = select.select([near, far], [], [], wait_s)[0]
        delay_s, loss, bytes_per_s = struct.unpack(_LINE, shared[:])
        for handle in ready:
            other = far if handle == near else near
            for packet in _packets(handle):
                now_s = time.monotonic()
                begins_s = max(now_s, free_s[handle])
                if chance.random() < loss or begins_s - now_s > _MOST_QUEUED_S:
                    continue
                free_s[handle] = begins_s + (len(packet) / bytes_per_s if bytes_per_s else 0.0)
                heapq.heappush(under_way, (free_s[handle] + delay_s, next(order), other, packet))
        while under_way and under_way[0][0] <= time.monotonic():
            _, _, handle, packet = heapq.heappop(under_way)
            os.write(handle, packet)


def main() -> int:
    if sys.argv[1:2] == ["line"]:
        pass_on(int(sys.argv[2]), int(sys.argv[3]), Path(sys.argv[4]))
    if sys.argv[1:2] == ["watch"]:
        watch(Path(sys.argv[2]), int(sys.argv[3]))
    if sys.argv[1:2] == ["roles"]:
        roles()
        return 0
    if os.geteuid() != 0:
        print("Error: this needs root.\n  What to do: sudo .venv/bin/python -m bench away")
        return 2
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(40))
    if sys.argv[1:2] == ["joins"]:
        joins()
        return 0
    python = WebRtcPeer.installed()
    with tempfile.TemporaryDirectory(prefix="doorward-bench-") as name:
        folder = Path(name)
        ear = talk._Ear()
        make = translation.make_speaker
        packet, filmed_by = LiveEncoder.packet, list[Filmed]()

        def noted(encoder: LiveEncoder, each: EncodedPacket, description: StreamDescription) -> None:
            for filmed in filmed_by:
                filmed.note(each.sensor_ns)
            packet(encoder, each, description)

        translation.make_speaker = lambda _settings: ear  # type: ignore[assignment]
        LiveEncoder.packet = noted  # type: ignore[assignment, method-assign]
        try:
            with _home(folder) as (home, line):
                _measure(home, line, ear, folder, filmed_by, python)
        finally:
            translation.make_speaker, LiveEncoder.packet = make, packet  # type: ignore[method-assign]
    return 0


@contextmanager
def _home(folder: Path) -> Iterator[tuple[AwayHome, Line]]:
    with ExitStack() as stack:
        line = Line(folder)
        stack.callback(line.close)
        home = stack.enter_context(an_away_home(folder, more="\n[alerts]\n[speaker]\nvolume = 100\n", prepare=line.lay))
        yield home, line


def _measure(
    home: AwayHome, line: Line, ear: talk._Ear, folder: Path, filmed_by: list[Filmed], python: Path | None
) -> None:
    live.LENGTH_S = _LENGTH_S
    film = live._film(folder / "clock.mp4")
    home.pair()
    browser = Browser()
    switch_alerts_on(home.people, browser)
    until(lambda: bool(home.house.solo._recording.pictures._browsers), "the recorder to have the key")
    home.house.solo.recorder._loop._open_camera = lambda: FileCamera(film, paced=True)
    reading = SystemClock().now()
    filmed = Filmed(reading.boot_ns, time.time() * 1000)
    filmed_by.append(filmed)
    with home.filming(reading.boot_ns):
        home.people.go("ana", "/live")
        _row("at home, HTTPS (limit)", filmed, _seen(home, _AT_HOME))
        home.leave()
        home.networks.use_instead("phone", "slow", "10.99.0.1")
        peer = WebRtcPeer(python, home, film, filmed) if python is not None else None
        for round_trip_ms, loss, mbit_per_s in WAYS:
            line.set(round_trip_ms, loss, mbit_per_s * 1e6 / 8)
            limit = f", {mbit_per_s:g} Mbit/s" if mbit_per_s else ""
            way = f"{round_trip_ms} ms, {loss:.0%} loss{limit}"
            _row(f"relay, {way}", filmed, _seen(home, _AWAY))
            if peer is not None:
                _row(f"WebRTC, {way}", filmed, peer.seen())
        line.set(60, 0.0)
        _talk(home, ear)
        _alerts(home, browser)
        line.set(60, 0.0, 5e6 / 8)
        _unlock(home)
        _timeline(home)
        _joins(home, line)


def _talk(home: AwayHome, ear: talk._Ear) -> None:
    home.people.run("ana", "await page.goto(args.url + '/live');", url=home.house.url)
    home.people.run("ana", "await page.evaluate(`(async (args) => {${args.script}})(${JSON.stringify(args)})`);",
                    script=talk._SPEAK, pitch=talk.PITCH_HZ)  # fmt: skip
    home.people.run(
        "ana",
        """await page.locator("button.talk").focus();
           await page.keyboard.press("Enter");
           await page.getByText("Speak now.").waitFor();
           await page.waitForTimeout(1500);""",
    )
    spoken = home.people.run(
        "ana", "return page.evaluate(({words, word, pause}) => globalThis.speak(words, word, pause), args);",
        words=talk.WORDS, word=1000 * talk.WORD_S, pause=1000 * talk._PAUSE_S,
    )  # fmt: skip
    time.sleep(2.0)
    talk._row("relay, 60 ms", talk._delays_ms(spoken, ear))


def _alerts(home: AwayHome, browser: Browser) -> None:
    """From the press to the notification, without the time in which the message is the push service's."""
    home.people.run("ana", "await page.goto(args.url + '/timeline');", url=home.house.url)
    took_ms = []
    for _ in range(PRESSES):
        known, begins_s = len(home.push.taken), time.monotonic()
        home.house.solo.press_button()
        until(lambda known=known: len(home.push.taken) > known, "the push message")  # type: ignore[misc]
        sent_s = time.monotonic() - begins_s
        ring = browser.open(home.push.taken[-1][1])
        begins_s = time.monotonic()
        deliver(home.people, home.house, ring)
        took_ms.append(1000 * (sent_s + time.monotonic() - begins_s))
        home.people.run("ana", _CLOSE)
        time.sleep(6.0)
    median, most = statistics.median(took_ms), max(took_ms)
    print(f"a press until its picture is shown away {median:6.0f} ms (most: {most:.0f} ms), {len(took_ms)} presses")


def joins() -> None:
    live.LENGTH_S = 180
    with tempfile.TemporaryDirectory(prefix="doorward-bench-") as name, _home(Path(name)) as (home, line):
        film = live._film(Path(name) / "clock.mp4")
        home.pair()
        home.house.solo.recorder._loop._open_camera = lambda: FileCamera(film, paced=True)
        with home.filming():
            home.leave()
            home.networks.use_instead("phone", "slow", "10.99.0.1")
            _unlock(home)
            _joins(home, line)


def _joins(home: AwayHome, line: Line) -> None:
    """The film has a keyframe every sixteen seconds."""
    for round_trip_ms in (0, 60, 200):
        line.set(round_trip_ms, 0.0)
        took_ms = live.times_to_join_ms(home.people)
        median, most = statistics.median(took_ms), max(took_ms)
        print(f"from the tap on Live to the first picture, relay, {round_trip_ms} ms: median {median:.0f} ms, "
              f"most of {live.JOINS} {most:.0f} ms", flush=True)  # fmt: skip


def _unlock(home: AwayHome) -> None:
    home.people.run("ana", """await page.goto(args.url + "/timeline");
        await page.getByRole("heading", {name: /Welcome back/}).waitFor();""", url=home.house.url)  # fmt: skip
    home.people.unlock("ana")


def _timeline(home: AwayHome) -> None:
    people = home.people
    people.go("ana", "/requests")
    took_ms = people.run(
        "ana",
        """const began = Date.now();
           await page.locator('nav a[href="/timeline"]').click();
           await page.locator(".tile img[src^=blob]").first().waitFor();
           await page.waitForFunction(() => [...document.querySelectorAll(".tile img")].every((each) => each.complete));
           return [Date.now() - began, await page.locator(".tile img[src^=blob]").count()];""",
    )
    print(f"today's events away, 60 ms, 5 Mbit/s: {took_ms[0]} ms until {took_ms[1]} stills are shown", flush=True)


def _seen(home: AwayHome, script: str) -> dict[int, float]:
    """Returns when each picture was first on the screen, by its number, in ms."""
    seen = home.people.run("ana", script, url=home.house.url)
    return {int(number): at_ms for number, at_ms, _ in reversed(seen)}


def roles() -> None:
    """Memory and CPU of each role, recording 640 × 480 at 15 pictures a second, while sessions of the link watch."""
    with tempfile.TemporaryDirectory(prefix="doorward-bench-") as name, ExitStack() as stack:
        folder = Path(name)
        for each in ("custodian", "recorder"):
            (folder / "device" / each).mkdir(parents=True, mode=0o700)
        street = stack.enter_context(a_street(folder))
        pki = BrokerPki.create(folder / "relay", street.now)
        broker = stack.enter_context(PrivateBroker(folder / "relay", relay=True))
        password, files = set_account(pki, street.device.id), pki.add_device(street.device.id, street.now)
        broker.stop()
        broker.start()
        live.LENGTH_S = 150
        film = live._film(folder / "clock.mp4")
        apart = Apart(street, folder, f'kind = "file"\npath = "{film}"')
        with apart._configuration.open("a") as file:
            file.write(
                f'[page]\nhost = "127.0.0.1"\nport = 0\naddresses = ["127.0.0.1"]\nmdns = false\n[remote]\n'
                f'host = "127.0.0.1"\nport = {broker.link_port}\nca = "{files.authority}"\n'
                f'certificate = "{files.certificate}"\nkey = "{files.key}"\n'
                f'url = "wss://127.0.0.1:{broker.web_port}"\npassword = "{password}"\n'
            )
        for role in ("custodian", "recorder", "uplink"):
            apart.start(role)
            stack.callback(apart.end, role, signal.SIGKILL)
        until(street._answers, "the custodian to answer")
        street.enrol_and_trust()
        until(lambda: apart.status()["recorder"]["state"] == "watching", "a film")  # type: ignore[index]
        with street.owners_link() as link:
            learn_route(link, street.owner, str(pki.directory / "authorities" / "broker.pem"))
        time.sleep(10.0)  # the uplink looks for the address of its new owner
        for count in (0, 1, 3):
            _print_roles(apart, street.owner.folder, count)


def _print_roles(apart: Apart, folder: Path, count: int) -> None:
    words = [sys.executable, "-m", "bench.away", "watch", str(folder), str(count)]
    viewers = subprocess.Popen(words, stdout=subprocess.PIPE)
    assert viewers.stdout is not None
    try:
        assert viewers.stdout.readline() == b"watching\n"
        time.sleep(5.0)
        before, begins_s = {role: _cpu_s(each.pid) for role, each in apart.processes.items()}, time.monotonic()
        time.sleep(15.0)
        took_s = time.monotonic() - begins_s
        shares = {role: (_cpu_s(each.pid) - before[role]) / took_s for role, each in apart.processes.items()}
        sizes = {role: _memory_mb(each.pid) for role, each in apart.processes.items()}
    finally:
        viewers.kill()
        seen = viewers.communicate()[0].split(b"\n")[-2].decode()
    told = ", ".join(f"{role} {100 * shares[role]:.1f} % of a core, {sizes[role]:.1f} MB" for role in sorted(sizes))
    print(f"{count} watch: {told}; parts that each saw in 20 s: {seen}", flush=True)


def watch(folder: Path, count: int) -> None:
    """The viewers, in a separate process: they ask for live parts until they are killed."""
    keys = OwnerKeys.load(folder)
    route = route_to(folder, "scenario")
    secret, device = bytes.fromhex(route.secret), parse_public_key(route.device)
    place = RelayPlace(route.url, route.account, route.password, address_of(secret), route.ca)

    seen = [0] * count

    def look(number: int, session: OwnerSession) -> None:
        after = 0
        while True:
            answer = session.exchange(Frame({"op": "live", "after": after}))
            after = max([after, *answer.head["result"]["numbers"]])
            seen[number] += len(answer.head["result"]["numbers"])

    sessions = [OwnerSession(RelayCarrier(place), secret, device, keys.approval) for _ in range(count)]
    for number, each in enumerate(sessions):
        threading.Thread(target=look, args=(number, each), daemon=True).start()
    print("watching", flush=True)
    while True:
        time.sleep(1.0)
        print(*seen, flush=True)


def _cpu_s(process: int) -> float:
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _memory_mb(process: int) -> float:
    """Its share of the memory (PSS)."""
    (found,) = re.findall(r"^Pss:\s+(\d+) kB", Path(f"/proc/{process}/smaps_rollup").read_text(), re.MULTILINE)
    return int(found) / 1000


def _row(name: str, filmed: Filmed, seen: dict[int, float]) -> None:
    behind_ms = [at_ms - filmed.due_ms(number) for number, at_ms in seen.items() if number in filmed.encoded_ms]
    camera_ms = [filmed.encoded_ms[number] - filmed.due_ms(number) for number in seen if number in filmed.encoded_ms]
    if len(behind_ms) < _FEWEST:
        print(f"live {name:28} only {len(behind_ms)} pictures", flush=True)
        return
    median, p95 = statistics.median(behind_ms), statistics.quantiles(behind_ms, n=20)[-1]
    camera = f"{statistics.median(camera_ms):.0f} ms of it before they were encoded"
    print(
        f"live {name:28} {median:6.0f} ms behind (95 %: {p95:.0f} ms), {camera}, {len(behind_ms)} pictures", flush=True
    )


if __name__ == "__main__":
    raise SystemExit(main())
