"""The store of a run: SeaweedFS with three volume servers, each object on two of them, and HAProxy with TLS before two
gateways.

Each of its processes can be killed alone. Each client has its own address (`endpoint`), so that it can be cut from the
store alone.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Sequence
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import boto3

from agent.clients.broker.broker_pki import BrokerPki
from tests.seaweed import ACCESS_KEY, SECRET_KEY, _free_port, seaweed_program

__all__ = ["Program", "Store", "store_address"]

VOLUMES, GATEWAYS = 3, 2
_PATIENCE_S = 120.0


class Program:
    """A server's process. `start` returns once it listens on its port."""

    def __init__(self, name: str, words: Sequence[object], folder: Path, host: str, port: int) -> None:
        self.name, self._words, self._folder = name, [str(word) for word in words], folder
        self._place = (host, port)
        self._process: subprocess.Popen[bytes] | None = None

    def __str__(self) -> str:
        return self.name

    def start(self) -> None:
        log_path = self._folder / f"{self.name}.log"
        with log_path.open("ab") as log:
            self._process = subprocess.Popen(self._words, stdout=log, stderr=log, cwd=self._folder)
        deadline_s = time.monotonic() + _PATIENCE_S
        while not self._listens():
            # A server that ends because another one is away is started again, as systemd does.
            if self._process.poll() is not None:
                time.sleep(0.5)
                with log_path.open("ab") as log:
                    self._process = subprocess.Popen(self._words, stdout=log, stderr=log, cwd=self._folder)
            if time.monotonic() > deadline_s:
                raise SystemExit(f"{self} does not start: {log_path.read_text()[-2000:]}")
            time.sleep(0.05)

    def ended(self) -> bool:
        return self._process is not None and self._process.poll() is not None

    def kill(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait()

    def _listens(self) -> bool:
        with closing(socket.socket()) as knocking:
            knocking.settimeout(1)
            return knocking.connect_ex(self._place) == 0


class Store:
    """`clients`: how many have an address each."""

    def __init__(self, folder: Path, clients: int) -> None:
        folder.mkdir()
        self._folder = folder
        self.proxy_port = _free_port()
        identity = {"accessKey": ACCESS_KEY, "secretKey": SECRET_KEY}
        actions = ["Admin", "Read", "Write", "List", "Tagging"]
        rights = {"identities": [{"name": "desk", "credentials": [identity], "actions": actions}]}
        (folder / "s3.json").write_text(json.dumps(rights))
        own = ["-ip=127.0.0.1", "-ip.bind=127.0.0.1"]
        master, filer = _free_port(), _free_port()
        (folder / "master").mkdir()
        self.master = self._program(
            "master", master, *own, f"-mdir={folder / 'master'}", "-defaultReplication=001", "-volumeSizeLimitMB=64"
        )
        self.volumes = []
        for number in range(VOLUMES):
            (folder / f"volume-{number}").mkdir()
            self.volumes.append(
                self._program(
                    f"volume-{number}", _free_port(), *own, f"-dir={folder / f'volume-{number}'}", "-max=40",
                    f"-master=127.0.0.1:{master}", name="volume",
                )
            )  # fmt: skip
        self.filer = self._program(
            "filer", filer, *own, f"-master=127.0.0.1:{master}", "-defaultReplicaPlacement=001",
            f"-defaultStoreDir={folder}",
        )  # fmt: skip
        hosts = tuple(store_address(client) for client in range(clients))
        pki = BrokerPki.create(folder / "tls", datetime.now(UTC), hosts)
        self.authority = pki.directory / "authorities" / "broker.pem"
        chain = [(pki.directory / name).read_text() for name in ("broker.pem", "broker.key")]
        (folder / "haproxy.pem").write_text("".join(chain))
        gateways = [_free_port() for _ in range(GATEWAYS)]
        self.gateways = [
            self._program(
                f"gateway-{number}", port, "-ip.bind=127.0.0.1", f"-filer=127.0.0.1:{filer}",
                f"-config={folder / 's3.json'}", "-port.iceberg=0", "-port.lance=0", name="s3",
            )
            for number, port in enumerate(gateways)
        ]  # fmt: skip
        self.proxy = self._make_proxy(gateways, hosts)

    @property
    def programs(self) -> list[Program]:
        return [self.master, *self.volumes, self.filer, *self.gateways, self.proxy]

    def endpoint(self, client: int) -> str:
        return f"https://{store_address(client)}:{self.proxy_port}"

    def client(self) -> Any:
        return boto3.client(
            "s3", endpoint_url=self.endpoint(0), aws_access_key_id=ACCESS_KEY, aws_secret_access_key=SECRET_KEY,
            region_name="us-east-1", verify=str(self.authority),
        )  # fmt: skip

    def start(self) -> None:
        for each in self.programs:
            each.start()

    def stop(self) -> None:
        for each in reversed(self.programs):
            each.kill()

    def _program(self, label: str, port: int, *words: object, name: str = "") -> Program:
        command = [seaweed_program(), name or label, f"-port={port}", *words]
        return Program(label, command, self._folder, "127.0.0.1", port)

    def _make_proxy(self, gateways: Sequence[int], hosts: Sequence[str]) -> Program:
        secured = f"ssl crt {self._folder / 'haproxy.pem'}"
        binds = "".join(f"    bind {host}:{self.proxy_port} {secured}\n" for host in hosts)
        servers = "".join(
            f"    server gateway-{number} 127.0.0.1:{port} check inter 500ms fall 2 rise 1\n"
            for number, port in enumerate(gateways)
        )
        path = self._folder / "haproxy.cfg"
        path.write_text(
            "defaults\n    mode http\n    timeout connect 2s\n    timeout client 30s\n    timeout server 30s\n"
            "    retries 2\n    option redispatch\n"
            f"frontend store\n{binds}    default_backend gateways\n"
            f"backend gateways\n    balance roundrobin\n    option httpchk GET /status\n{servers}"
        )
        program = shutil.which("haproxy", path=f"{os.environ['PATH']}:/usr/sbin")
        if program is None:
            raise SystemExit("HAProxy is missing: apt-get install haproxy")
        return Program("haproxy", [program, "-db", "-f", path], self._folder, store_address(0), self.proxy_port)


def store_address(client: int) -> str:
    """Returns the store's address for this client: 0 is the desk, and worker n has n."""
    return f"127.0.5.{client + 1}"
