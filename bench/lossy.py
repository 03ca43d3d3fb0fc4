"""Measures an upload over a long lossy link with each control of congestion: `python -m bench lossy` (root, Linux).

`python -m bench lossy [MEGABYTES] [ROUNDS]` (default 8 and 1). The sender is in its own network namespace. A relay
between two TUN devices delays each packet by 100 ms and drops 3 % of the packets, in both directions: some kernels lack
netem. Beyond the link are a mosquitto and a requester that loses nothing. The peer is the kernel's `cubic`, which a
Debian without the module `tcp_bbr` uses. Doorward asks for `bbr`, and the installer loads the module.
"""

from __future__ import annotations

import fcntl
import functools
import heapq
import itertools
import json
import multiprocessing
import os
import random
import select
import statistics
import struct
import subprocess
import sys
import tempfile
import threading
import time
from datetime import UTC, datetime
from pathlib import Path

from agent.clients.broker.broker_pki import BrokerPki
from agent.clients.broker.private_broker import PrivateBroker
from agent.core.requests import OutboxPart, OutboxRecord
from agent.ipc.outbox_files import DiskOutbox
from agent.mqtt import MqttBus
from agent.platform.system_clock import SystemClock
from agent.uplink.uplink import Uplink
from bench import upload

DELAY_S = 0.1
LOSS = 0.03
NEAR, FAR = "10.77.0.1", "10.77.0.2"
CONTROLS = ("bbr", "cubic")
PATIENCE_S = 600.0
_AVAILABLE = Path("/proc/sys/net/ipv4/tcp_available_congestion_control")
_TUNSETIFF, _IFF_TUN, _IFF_NO_PI = 0x400454CA, 1, 0x1000
_INSIDE = "DOORWARD_BENCH_INSIDE"


def main() -> int:
    if os.geteuid() != 0:
        print("Error: this needs root.\n  What to do: sudo .venv/bin/python -m bench lossy")
        return 2
    if _INSIDE not in os.environ:
        inside = os.environ | {_INSIDE: "1"}
        os.execvpe("unshare", ["unshare", "--net", sys.executable, "-m", "bench.lossy", *sys.argv[1:]], inside)
    if sys.argv[1:2] == ["send"]:
        return _send(Path(sys.argv[2]), int(sys.argv[3]), sys.argv[4], json.loads(sys.argv[5]))
    megabytes, rounds = (int(text) for text in (*sys.argv[1:], *("8", "1")[len(sys.argv) - 1 :])[:2])
    controls = [each for each in CONTROLS if each in _AVAILABLE.read_text().split()]
    if "bbr" not in controls:
        print("This kernel has no bbr: `modprobe tcp_bbr` loads it on Debian.")
    with Link() as sender_pid:
        _print(_measure(megabytes << 20, rounds, controls, sender_pid), megabytes)
    return 0


def _measure(size_bytes: int, rounds: int, controls: list[str], sender_pid: int) -> dict[str, list[float]]:
    spawn = multiprocessing.get_context("spawn")
    seconds: dict[str, list[float]] = {control: [] for control in controls}
    with tempfile.TemporaryDirectory(prefix="doorward-bench-") as name:
        folder = Path(name)
        pki = BrokerPki.create(folder / "broker", datetime.now(UTC), ("localhost", "127.0.0.1", FAR))
        pki.add_device(upload.DEVICE, datetime.now(UTC))
        upload.add_requester(pki)
        sizes = upload.fill_outbox(folder / "outbox", size_bytes)
        broker = PrivateBroker(folder / "broker")
        broker.host = "0.0.0.0"
        with broker:
            for _, control in itertools.product(range(rounds), controls):
                ready, end = spawn.Pipe()
                requester = spawn.Process(
                    target=upload.receive, args=(folder, broker.requester_port, sizes, end), daemon=True
                )
                requester.start()
                upload.await_answer(ready)
                words = [sys.executable, "-m", "bench.lossy", "send", str(folder), str(broker.device_port), control]
                subprocess.run(["nsenter", "--net", "--target", str(sender_pid), *words, json.dumps(sizes)], check=True)
                seconds[control].append(float((folder / "took").read_text()))
                ready.send("stop")
                requester.join(PATIENCE_S)
    return seconds


def _print(seconds: dict[str, list[float]], megabytes: int) -> None:
    print(f"\n{megabytes} MB at {2 * DELAY_S * 1000:.0f} ms of round trip and {LOSS:.0%} loss each way, medians:\n")
    print("| control of congestion | seconds | of cubic's |\n|---|---:|---:|")
    for control, took in seconds.items():
        print(f"| {control} | {statistics.median(took):.1f} | {_ratio(seconds, control):.2f} |")


def _ratio(seconds: dict[str, list[float]], control: str) -> float:
    return statistics.median(seconds[control]) / statistics.median(seconds.get("cubic", seconds[control]))


def _send(folder: Path, port: int, control: str, sizes: list[int]) -> int:
    """In the sender's namespace: one upload by the uplink as a device runs it."""
    parts = tuple(
        OutboxPart(number, "", part.size_bytes, part.sha256)
        for number, part in enumerate(upload.part_sizes(folder, sizes))
    )
    custody = upload.Custody(OutboxRecord(upload.DISCLOSURE, "ef" * 16, upload.REQUESTER, parts))
    settings = upload.settings(folder, upload.DEVICE, port, host=FAR, congestion=control.encode())
    outbox = DiskOutbox(folder / "outbox")
    uplink = Uplink(MqttBus(settings), custody, outbox, SystemClock(), device=upload.DEVICE, cell_filter=None)
    thread = threading.Thread(target=uplink.run, name="uplink")
    begins_s = time.monotonic()
    thread.start()
    if not custody.delivered.wait(PATIENCE_S):
        raise SystemExit(f"Error: not delivered within {PATIENCE_S:.0f} s.")
    (folder / "took").write_text(str(time.monotonic() - begins_s))
    uplink.stop()
    thread.join()
    return 0


# The line


class Link:
    """A namespace behind a long lossy link, as long as the block runs; gives a process in it."""

    def __enter__(self) -> int:
        _run("ip", "link", "set", "lo", "up")
        self._inside = subprocess.Popen(["unshare", "--net", "sleep", "infinity"])
        self._await_namespace()
        near, far = _tun("near"), _tun("far")
        _run("ip", "link", "set", "near", "netns", str(self._inside.pid))
        in_namespace = ("nsenter", "--net", "--target", str(self._inside.pid))
        for words, name, address in ((in_namespace, "near", NEAR), ((), "far", FAR)):
            _run(*words, "ip", "address", "add", f"{address}/30", "dev", name)
            _run(*words, "ip", "link", "set", name, "txqueuelen", "20000", "up")
        relay = functools.partial(_relay, near, far)
        self._relay = multiprocessing.get_context("fork").Process(target=relay, daemon=True)
        self._relay.start()
        return self._inside.pid

    def __exit__(self, *_: object) -> None:
        self._relay.kill()
        self._relay.join()
        self._inside.kill()
        self._inside.wait()

    def _await_namespace(self) -> None:
        ours = Path("/proc/self/ns/net").readlink()
        while Path(f"/proc/{self._inside.pid}/ns/net").readlink() == ours:
            time.sleep(0.01)


def _tun(name: str) -> int:
    handle = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(handle, _TUNSETIFF, struct.pack("16sH22x", name.encode(), _IFF_TUN | _IFF_NO_PI))
    return handle


def _relay(near: int, far: int) -> None:
    """Each packet leaves at the other end `DELAY_S` later, or not at all.  The losses are the same in every run."""
    chance, order = random.Random(7), itertools.count()
    under_way: list[tuple[float, int, int, bytes]] = []
    other = {near: far, far: near}
    while True:
        wait_s = max(0.0, under_way[0][0] - time.monotonic()) if under_way else None
        for handle in select.select([near, far], [], [], wait_s)[0]:
            for packet in _packets(handle):
                if chance.random() >= LOSS:
                    heapq.heappush(under_way, (time.monotonic() + DELAY_S, next(order), other[handle], packet))
        while under_way and under_way[0][0] <= time.monotonic():
            _, _, handle, packet = heapq.heappop(under_way)
            os.write(handle, packet)


def _packets(handle: int) -> list[bytes]:
    found: list[bytes] = []
    while len(found) < 64:
        try:
            found.append(os.read(handle, 65_536))
        except BlockingIOError:
            break
    return found


def _run(*words: str) -> None:
    subprocess.run(words, check=True)


if __name__ == "__main__":
    raise SystemExit(main())
