"""Attempts from inside a role's sandbox to read, reach, signal, call or become something foreign. All must fail.

Runs in the container as a copy of the role's unit with another ExecStart (`run.py`), and once without a sandbox, as
root, to show that there was something to be had.  Prints JSON: name → "refused: why" or "SUCCEEDED".
"""

from __future__ import annotations

import ctypes
import json
import mmap
import os
import socket
import sys
from collections.abc import Callable
from pathlib import Path

STATE, RUN, ETC = Path("/var/lib/doorward"), Path("/run/doorward"), Path("/etc/doorward")
LIBC = ctypes.CDLL(None, use_errno=True)


def read(path: Path | str) -> Callable[[], object]:
    return lambda: Path(path).open("rb").read(16)


def look_into(path: Path) -> Callable[[], object]:
    def look() -> object:
        found = list(path.iterdir())
        if not found:
            raise FileNotFoundError("nothing is to be seen")
        return found

    return look


def write(path: str) -> Callable[[], object]:
    def do() -> None:
        Path(path).write_text("x")
        Path(path).unlink()

    return do


def connect(path: Path | str) -> Callable[[], object]:
    def do() -> None:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as line:
            line.settimeout(3)
            line.connect(str(path))
            # Taken in and then thrown out is refused, too: what counts is an answer.
            question = b'{"type":"Report","status":{}}'
            line.sendall(len(question).to_bytes(4, "big") + question)
            if not line.recv(1):
                raise ConnectionResetError("thrown out")

    return do


def tcp(host: str, port: int) -> Callable[[], object]:
    return lambda: socket.create_connection((host, port), timeout=3).close()


def opened(family: int, kind: int, protocol: int = 0) -> Callable[[], object]:
    return lambda: socket.socket(family, kind, protocol).close()


def send(host: str) -> Callable[[], object]:
    def do() -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as line:
            line.sendto(b"x", (host, 9))

    return do


def open_device(path: str) -> Callable[[], object]:
    return lambda: os.close(os.open(path, os.O_RDWR))


def bind() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as line:
        line.bind(("0.0.0.0", 4712))


def listen() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as line:
        line.bind(("0.0.0.0", 4711))
        line.listen()


def call(name: str, *arguments: object) -> Callable[[], object]:
    def do() -> None:
        if getattr(LIBC, name)(*arguments) == -1:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))

    return do


def writable_and_executable() -> None:
    mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC).close()


def others() -> list[int]:
    """Processes of the other roles that can be seen."""
    me = os.getuid()
    found = [
        int(entry.name)
        for entry in Path("/proc").iterdir()
        if entry.name.isdigit() and b"agent.cli" in (entry / "cmdline").read_bytes() and entry.stat().st_uid != me
    ]
    if not found:
        raise ProcessLookupError("no process of another role is to be seen")
    return found


def set_user_id_bit() -> None:
    path = Path("/tmp/probe")
    path.write_text("x")
    path.chmod(0o4755)
    if not path.stat().st_mode & 0o4000:
        raise PermissionError("the bit was not set")


COMMON: dict[str, Callable[[], object]] = {
    "read the TLS key in /etc": read(ETC / "tls" / "device.key"),
    "read the passwords": read("/etc/shadow"),
    "see the other roles' processes": others,
    "read the first process's environment": read("/proc/1/environ"),
    "signal the first process": lambda: os.kill(1, 0),
    "change the program": write("/opt/doorward/current/app/probe"),
    "change the system": write("/usr/probe"),
    "change the units": write("/etc/systemd/system/probe"),
    "change the configuration": write("/etc/doorward/probe"),
    "talk to the system bus": connect("/run/dbus/system_bus_socket"),
    "talk to systemd": connect("/run/systemd/private"),
    "be the owner's client": connect(STATE / "custodian" / "control.sock"),
    "open a raw socket": opened(socket.AF_PACKET, socket.SOCK_RAW),
    "mount a file system": call("mount", b"none", b"/tmp", b"tmpfs", 0, None),
    "make a namespace": call("unshare", 0x10000000),
    "become root": lambda: os.setuid(0) if os.getuid() else None,
    "set the clock": call("clock_settime", 0, ctypes.byref((ctypes.c_long * 2)(0, 0))),
    # ADJ_OFFSET with an offset of 0.  A role may ask adjtimex(2) for the state of the clock, and change nothing.
    "slew the clock": call("adjtimex", ctypes.byref((ctypes.c_uint * 64)(0x0001))),
    "set the host's name": call("sethostname", b"probe", 5),
    "make memory writable and executable": writable_and_executable,
    "make a set-user-id program": set_user_id_bit,
    "read the kernel's log": read("/dev/kmsg"),
    "open a device of the system's": open_device("/dev/fuse"),
}
CUSTODIANS = {
    "read the device's key": read(STATE / "custodian" / "device.key"),
    "look into the custodian's folder": look_into(STATE / "custodian"),
}
VAULT = {"look into the vault": look_into(STATE / "vault")}
RECORDERS = {"look into the recorder's folder": look_into(STATE / "recorder")}
OUTBOX = {"look into the outbox": look_into(STATE / "outbox")}
NETWORK = {
    "call the broker": tcp("127.0.0.1", 8883),
    "open an internet socket": opened(socket.AF_INET, socket.SOCK_DGRAM),
}
OUTWARD = {"send to the internet": send("198.51.100.1")}
"""`run.py` gives the loopback that address, so it is there to be reached."""
AS_RECORDER = {"ask as the recorder": connect(RUN / "recorder" / "custodian.sock")}
AS_UPLINK = {"ask as the uplink": connect(RUN / "uplink" / "custodian.sock")}
CONFIGURATION = {"read where the doorbell is": read(ETC / "doorward.toml")}
PROBES: dict[str, dict[str, Callable[[], object]]] = {
    "recorder": COMMON | CUSTODIANS | OUTBOX | NETWORK | AS_UPLINK | {"listen for calls": listen},
    "custodian": COMMON
    | RECORDERS
    | NETWORK
    | {"listen for calls": listen, "look into the folder of TLS keys": look_into(ETC / "tls")}
    | {"write into the vault": write(str(STATE / "vault" / "probe"))},
    "uplink": COMMON
    | CUSTODIANS
    | VAULT
    | RECORDERS
    | AS_RECORDER
    | CONFIGURATION
    | {"listen for calls": listen, "bind a port": bind}
    | {"write into the outbox": write(str(STATE / "outbox" / "probe"))},
    "updater": COMMON
    | CUSTODIANS
    | VAULT
    | RECORDERS
    | OUTBOX
    | AS_RECORDER
    | AS_UPLINK
    | CONFIGURATION
    | {"listen for calls": listen, "bind a port": bind}
    | {"change what root has verified": write(str(STATE / "update" / "probe"))},
    "bridge": COMMON | CUSTODIANS | VAULT | RECORDERS | OUTBOX | NETWORK | AS_RECORDER | AS_UPLINK,
}
# An option (systemd/dropins) opens only the local network; and so can an operator.
PROBES |= {
    "custodian-page": COMMON | RECORDERS | {"call the broker": tcp("127.0.0.1", 8883)} | OUTWARD,
    "recorder-rtsp": COMMON | CUSTODIANS | OUTBOX | AS_UPLINK | OUTWARD,
    "uplink-narrowed": PROBES["uplink"] | OUTWARD,
}


def main() -> None:
    said: dict[str, str] = {}
    for name, attempt in PROBES[sys.argv[1]].items():
        try:
            attempt()
        except Exception as error:  # noqa: BLE001 — whatever refuses
            said[name] = f"refused: {type(error).__name__}: {error}"
        else:
            said[name] = "SUCCEEDED"
    print("PROBES " + json.dumps(said))


if __name__ == "__main__":
    main()
