"""The owner's page with a certificate from a real ACME server, fetched and renewed by a real client.

The server is Let's Encrypt's `pebble`, the client is certbot, both as Debian has them. The steps are those of
docs/install.md, "Your own domain": a record in DNS proves the domain, so the doorbell needs no way in from outside.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import ssl
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from cryptography import x509

from agent.config.settings import PageConfig
from agent.custodian.page.server import PageDeps, PageServer
from agent.custodian.state_folder import StateFolder
from agent.wire.control import Frame
from tests.custodian.page.test_domain_certificate import DOMAIN, NOW, Authority
from tests.ports import free_port
from tests.vaults import SteppedClock

pytestmark = pytest.mark.at_length("make test-long")
_PATIENCE_S = 180.0
_HOOK = """#!/bin/sh
exec {python} -c 'import json, os, urllib.request
record = {{"host": "_acme-challenge." + os.environ["CERTBOT_DOMAIN"] + ".", "value": os.environ["CERTBOT_VALIDATION"]}}
urllib.request.urlopen("http://127.0.0.1:{port}/set-txt", json.dumps(record).encode(), timeout=60).read()'
"""
_DEPLOY = """#!/bin/sh
cd "$RENEWED_LINEAGE"
exec {python} -m agent.cli page certificate --config {config} privkey.pem fullchain.pem
"""


def until(found: Any) -> Any:
    end_s = time.monotonic() + _PATIENCE_S
    while time.monotonic() < end_s:
        try:
            if value := found():
                return value
        except OSError:
            pass
        time.sleep(0.2)
    raise AssertionError("it did not happen in time")


@pytest.fixture
def acme(tmp_path: Path) -> Iterator[SimpleNamespace]:
    """A server of ACME and its DNS. `directory`: its address; `dns`: the port that sets records; `ca`: of its TLS."""
    for program in ("pebble", "pebble-challtestsrv", "certbot"):
        if shutil.which(program) is None:
            pytest.skip(f"not installed: {program}")
    authority = Authority()
    for name, data in zip(("key.pem", "cert.pem"), authority.issue("localhost"), strict=True):
        (tmp_path / name).write_bytes(data)
    (tmp_path / "ca.pem").write_bytes(authority.pem)
    port, management, names, records = (free_port() for _ in range(4))
    listening = {
        "listenAddress": f"127.0.0.1:{port}", "managementListenAddress": f"127.0.0.1:{management}",
        "certificate": str(tmp_path / "cert.pem"), "privateKey": str(tmp_path / "key.pem"),
        "httpPort": 5002, "tlsPort": 5001, "certificateValidityPeriod": 90 * 86_400,
    }  # fmt: skip
    (tmp_path / "pebble.json").write_text(json.dumps({"pebble": listening}))
    off = [f"-{name}=" for name in ("http01", "https01", "tlsalpn01", "doh")]
    with (tmp_path / "log").open("wb") as log:
        commands = (
            ["pebble-challtestsrv", *off, "-dns01", f"127.0.0.1:{names}", "-management", f"127.0.0.1:{records}"],
            ["pebble", "-config", str(tmp_path / "pebble.json"), "-dnsserver", f"127.0.0.1:{names}"],
        )
        surroundings = {**os.environ, "PEBBLE_VA_NOSLEEP": "1"}
        started = [subprocess.Popen(each, stdout=log, stderr=log, env=surroundings) for each in commands]
        try:
            trust = ssl.create_default_context(cafile=tmp_path / "ca.pem")
            trust.verify_flags &= ~ssl.VERIFY_X509_STRICT
            root = f"https://localhost:{management}/roots/0"
            issuer = until(lambda: urllib.request.urlopen(root, context=trust, timeout=20).read())
            yield SimpleNamespace(
                directory=f"https://localhost:{port}/dir", dns=records, ca=tmp_path / "ca.pem", issuer=issuer
            )
        finally:
            for each in started:
                each.terminate()
                each.wait()


def test_a_certificate_by_acme_reaches_the_page_and_its_renewal_too(acme: SimpleNamespace, tmp_path: Path) -> None:
    state = tmp_path / "state"
    config = tmp_path / "doorward.toml"
    config.write_text(f'[device]\nname = "door"\nstate_dir = "{state}"\n[page]\ndomain = "{DOMAIN}"\n')
    for name, text in (("hook", _HOOK), ("deploy", _DEPLOY)):
        (tmp_path / name).write_text(text.format(python=sys.executable, port=acme.dns, config=config))
        (tmp_path / name).chmod(0o755)
    parts: dict[str, Any] = {
        "control": SimpleNamespace(answer=lambda frame: Frame({"ok": True})),
        "enrolments": SimpleNamespace(current=None), "manifest": None,
        "clock": SteppedClock(utc_offset_ns=int(NOW.timestamp()) * 10**9),
        "entropy": SimpleNamespace(token=lambda size: b"\7" * size), "facts": dict,
        "live": lambda _viewer, _asked: ({}, b""),
    }  # fmt: skip
    settings = PageConfig(host="127.0.0.1", port=0, addresses=("127.0.0.1",), mdns=False, domain=DOMAIN)
    page = PageServer(settings, StateFolder(state).page, "Front door", PageDeps(**parts))
    page.start()
    try:
        folders = [f"--{name}-dir={tmp_path / 'certbot' / name}" for name in ("config", "work", "logs")]
        asked = ["--server", acme.directory, "--manual", "--preferred-challenges", "dns"]
        asked += ["--manual-auth-hook", str(tmp_path / "hook"), "--deploy-hook", str(tmp_path / "deploy"), "-d", DOMAIN]
        certbot(acme, "certonly", "--agree-tos", "--register-unsafely-without-email", *asked, *folders)
        first = until(lambda: shown(page, acme.issuer))
        assert page.url == f"https://{DOMAIN}:{page.port}/"
        certbot(acme, "renew", "--force-renewal", "--no-random-sleep-on-renew", *folders)
        until(lambda: (now := shown(page, acme.issuer)) is not None and now != first)
    finally:
        page.stop()
        page.close()


def certbot(acme: SimpleNamespace, *arguments: str) -> None:
    surroundings = {**os.environ, "REQUESTS_CA_BUNDLE": str(acme.ca)}
    done = subprocess.run(
        ["certbot", "--non-interactive", *arguments], env=surroundings, capture_output=True, text=True, timeout=600,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr


def shown(page: PageServer, issuer: bytes) -> int | None:
    """Returns the serial number of what a browser that trusts the ACME server's authority accepts; None before."""
    context = ssl.create_default_context(cadata=issuer.decode())
    try:
        with (
            socket.create_connection(("127.0.0.1", page.port), timeout=20) as plain,
            context.wrap_socket(plain, server_hostname=DOMAIN) as link,
        ):
            return x509.load_der_x509_certificate(link.getpeercert(binary_form=True) or b"").serial_number
    except ssl.SSLCertVerificationError:
        return None
