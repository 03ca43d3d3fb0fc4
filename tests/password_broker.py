"""A mosquitto that takes passwords instead of certificates, with Doorward's rights for each kind of client."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import time
from collections.abc import Iterator

import pytest

from agent.clients.broker.broker_pki import DIGEST_CLIENT, BrokerPki
from agent.clients.broker.private_broker import _free_ports
from agent.platform.certificates import signing_request
from tests.brokers import NOW

__all__ = ["broker_with_passwords"]

_SEARCH_PATH = "/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin"
_PATIENCE_S = 60.0


@contextlib.contextmanager
def broker_with_passwords(
    pki: BrokerPki, device: str, requester: str, root: str, password: str, installer: str = ""
) -> Iterator[tuple[int, int]]:
    """Yields the port for doorbells and the one for all others. It knows a doorbell, a requester, its worker `desk-2`,
    a root and a digest service by name and password, and a doorbell `b2…` with another password.
    Also an installer, if it is named."""
    program, hashes = (shutil.which(each, path=_SEARCH_PATH) for each in ("mosquitto", "mosquitto_passwd"))
    if program is None or hashes is None:
        pytest.skip("mosquitto is not installed")
    folder, ports = pki.directory, _free_ports(2)
    names = (requester, f"{requester}.desk-2", f"{root}.root")
    for name in names[:2]:
        pki.add_requester(name, NOW, request=signing_request(folder / f"{name}.key", name))
    pki.add_root(root, NOW, request=signing_request(folder / "root.key", names[2]))
    pki.add_digest(NOW)
    if installer:
        names = (*names, f"{installer}.fleet")
        pki.add_installer(installer, NOW, request=signing_request(folder / "installer.key", names[-1]))
    passwords = folder / "passwords"
    known = "".join(f"{name}:{password}\n" for name in (device, *names, DIGEST_CLIENT))
    passwords.write_text(f"{known}{'b2' * 8}:{password}-other\n")
    passwords.chmod(0o600)
    subprocess.run([hashes, "-U", str(passwords)], check=True)
    listeners = (
        f"listener {port} 127.0.0.1\nallow_anonymous false\npassword_file {passwords}\ntls_version tlsv1.3\n"
        f"use_username_as_clientid true\nacl_file {folder}/{rights}.acl\n"
        f"certfile {folder}/broker.pem\nkeyfile {folder}/broker.key\n"
        for port, rights in zip(ports, ("devices", "requesters"), strict=True)
    )
    (folder / "by-password.conf").write_text("user root\nper_listener_settings true\n" + "".join(listeners))
    log_path = folder / "by-password.log"
    with log_path.open("wb") as log:
        process = subprocess.Popen([program, "-c", str(folder / "by-password.conf")], stdout=log, stderr=log)
        try:
            ends_s = time.monotonic() + _PATIENCE_S
            while b"running" not in log_path.read_bytes():
                assert time.monotonic() < ends_s, log_path.read_text()
                time.sleep(0.02)
            yield ports[0], ports[1]
        finally:
            process.terminate()
            process.wait(10)
