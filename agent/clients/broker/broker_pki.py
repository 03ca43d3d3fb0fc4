"""Makes the certificates of a broker and its clients: three authorities, one broker, any number of named clients.

Each role has an authority, because the authority *is* the role: the broker gives a client the rights of the listener
with a certificate that its authority signed (`config/mosquitto/`). Rules:

- ECDSA P-256, because managed brokers accept it and reject Ed25519; SHA-256; serial numbers of 160 random bits.
- An authority signs end entities only (path length 0). A broker certificate is invalid for a client, and the reverse.
- Names are checked before they are signed: a `+`, `#` or `/` in a CN would widen an ACL pattern, and a requester with a
  device's name could take over the device's MQTT session. The key id names devices and roots (`wire.topics`).
- Keys are written once, mode 0600, into a directory of mode 0700, and never overwritten.
- A client keeps its key and sends a signing request. Only the key of the request counts; the caller gives the name. A
  requester has no other way, because a copy of its key at the broker could pose as it.
- A requester may have workers: `rijnstad-police.desk-2` is a client of its own with the rights of `rijnstad-police`.
  mosquitto's patterns know whole names only, so the access list has a section for each worker (`_write_access_list`).
- An installer reads the sealed reports of health as `<id>.fleet`, and has no other right.
- A trust root publishes under its own name, `<root>.root`, in the slots that the access list gives it, and nothing
  else. No requester has an id in the form of a key id, so no worker has such a name.
- The digest service connects as `DIGEST_CLIENT`. Its key is made here, because it runs beside the broker. It reads what
  all requesters retain, and writes the pages of digests.
- A revoked client is on its authority's list from then on. A list is always replaced as a whole.

Source: RFC 5280 §4.2 (extensions) and §5 (revocation lists), RFC 2986 (requests), RFC 8446 §4.4.2 (certificates).
"""

from __future__ import annotations

import datetime
import enum
import ipaddress
import os
import re
import secrets
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from agent.errors import ConfigurationError, FormatError
from agent.platform import files
from agent.platform.certificates import key_usage
from agent.wire.broker_enrolment import RENEWAL_DAYS
from agent.wire.topics import ANONYMOUS, HEALTH_FILTER, requester_of
from agent.wire.trust_package import DIRECTORY_SLOTS, TRUST_SLOTS

__all__ = ["DIGEST_CLIENT", "BrokerPki", "ClientFiles", "Role", "requested_key"]

DIGEST_CLIENT = f"{ANONYMOUS}.digest"
"""No key has this id and no requester has an id in the form of a key id, so no worker has this name."""

AUTHORITY_DAYS = 3650
END_ENTITY_DAYS = 397
BACKDATE = datetime.timedelta(days=1)
"""Certificates begin a day early, because a verifier's clock may be slow."""

_KEY_ID = re.compile(r"[0-9a-f]{16}")
_LABEL = r"[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
_HOST = re.compile(rf"(\*\.)?({_LABEL}\.)*{_LABEL}")
_MOST_HOST = 253
_MOST_COMMON_NAME = 64
_SLOTS_OF_A_ROOT = 6
_MOST_ROOTS = 3
"""A doorbell reads the indexes of all roots at each connection, of 16 KiB at most (`uplink.trust_reading`)."""
_ACCESS_LIST = "requesters.acl"
_ROOT_SUFFIX = ".root"
_ROOT_NAME = re.compile(r"[0-9a-f]{16}\.root")
_INSTALLER_SUFFIX = ".fleet"
_INSTALLER_NAME = re.compile(r"[0-9a-f]{16}\.fleet")
_ROOT_SLOT = re.compile(r"^topic write doorward/v1/trust/([0-9a-f]{16})/[0-9]{1,2}$", re.MULTILINE)
_GENERATED_BELOW = (
    "# Workers of requesters, and trust roots.  Written by 'doorward broker': changes below this line are lost.\n"
)
_CONFIGURATION = Path(__file__).with_name("mosquitto")
_DIGEST_RULES = f"""
user {DIGEST_CLIENT}
topic deny doorward/v1/up/#
topic deny doorward/v1/receipts/#
topic deny doorward/v1/areas/+/requests/{DIGEST_CLIENT}/+
topic deny doorward/v1/areas/+/bulletins/{DIGEST_CLIENT}/+
topic read doorward/v1/areas/+/requests/+/+
topic read doorward/v1/areas/+/bulletins/+/+
topic readwrite doorward/v1/areas/+/digest/+
topic read $SYS/broker/#
"""


class Role(enum.Enum):
    """The role of a client at the broker. The value names the authority that signs it."""

    DEVICE = "devices"
    REQUESTER = "requesters"


@dataclass(frozen=True, slots=True)
class ClientFiles:
    """The files of one client as PEM: the trusted authority, its certificate and its private key."""

    name: str
    authority: Path
    certificate: Path
    key: Path


@dataclass(frozen=True, slots=True)
class _BrokerKeyPair:
    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey


class BrokerPki:
    """A directory with a broker's whole identity, laid out as `doorward.conf.template` expects it.

    `authorities/{broker,devices,requesters}.{pem,key}` · `authorities/{devices,requesters}.crl` ·
    `broker.{pem,key}` · `clients/<name>.{pem,key}` · `{renewed,revoked}/<name>-<serial>.pem` ·
    `{devices,requesters}.acl` · `state/`
    """

    def __init__(self, directory: Path) -> None:
        """Opens a folder that `create` made. Raises `ConfigurationError` if the folder is incomplete."""
        if not files.is_file(directory / "broker.pem"):
            raise ConfigurationError(
                f"{directory} holds no broker certificates.",
                remedy="Create them with 'doorward broker init', or name their folder with --dir.",
            )
        self.directory = directory.resolve()

    @classmethod
    def create(
        cls, directory: Path, now: datetime.datetime, hosts: tuple[str, ...] = ("localhost", "127.0.0.1")
    ) -> BrokerPki:
        """Creates the authorities and the broker's certificate for `hosts` (DNS names and addresses).

        `now` is aware. Raises `ConfigurationError` for an invalid host, before it writes anything, and if `directory`
        already has a file of the same name.
        """
        alternatives = x509.SubjectAlternativeName([_general_name(host) for host in hosts])
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        for name in ("authorities", "clients", "renewed", "revoked", "state"):
            (directory / name).mkdir(mode=0o700, exist_ok=True)
        for role in ("broker", "devices", "requesters"):
            _write(directory / "authorities" / role, _authority(f"Doorward {role} authority", now))
        for stem in (directory / "authorities" / role.value for role in Role):
            _write_list(stem, _read(stem), now, [])
        issuer = _read(directory / "authorities" / "broker")
        # A common name holds at most 64 characters. Clients read the alternative names instead.
        name = next((host for host in hosts if len(host) <= _MOST_COMMON_NAME), "doorward-broker")
        _write(directory / "broker", _end_entity(issuer, name, alternatives, ExtendedKeyUsageOID.SERVER_AUTH, now))
        for acl in ("devices.acl", "requesters.acl"):
            shutil.copyfile(_CONFIGURATION / acl, directory / acl)
            (directory / acl).chmod(0o600)
        return cls(directory)

    def require_host(self, host: str) -> None:
        """Raises `ConfigurationError` unless the broker's certificate is for this name or address."""
        made = x509.load_pem_x509_certificate((self.directory / "broker.pem").read_bytes())
        names = made.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        wildcard = x509.DNSName(f"*.{host.partition('.')[2]}")
        if not {_general_name(host), wildcard} & set(names):
            known = ", ".join(str(each.value) for each in names)
            raise ConfigurationError(
                f"The broker's certificate is not for '{host}', so doorbells would refuse it.",
                remedy=f"Give one of its names with --host: {known}.",
            )

    def renew_broker(self, now: datetime.datetime, days: int = END_ENTITY_DAYS) -> x509.Certificate:
        """Signs the broker's certificate again, for the same key and names, so clients need nothing new.

        It ends with the authority at the latest. Raises `ConfigurationError` if that has less than a day left.
        """
        stem = self.directory / "broker"
        before, issuer = _read(stem), _read(self.directory / "authorities" / "broker")
        (name,) = before.certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
        names = before.certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        ends = issuer.certificate.not_valid_after_utc
        days = min(days, (ends - now).days)
        if days < 1:
            raise ConfigurationError(
                f"The authority of this broker ends on {ends:%Y-%m-%d %H:%M} UTC, and its certificates with it.",
                remedy="Make a new folder with 'doorward broker init', and give its certificates to all clients.",
            )
        usage = ExtendedKeyUsageOID.SERVER_AUTH
        made = _certificate(issuer, str(name.value), before.key.public_key(), names, usage, now, days)
        path = stem.with_suffix(".pem")
        files.write(path, made.public_bytes(serialization.Encoding.PEM), like=path)
        return made

    def add_digest(self, now: datetime.datetime) -> ClientFiles:
        """Makes the key and the certificate of the digest service, valid as long as its authority, and its rights."""
        made = self._add(Role.REQUESTER, DIGEST_CLIENT, now, AUTHORITY_DAYS)
        self._write_access_list()
        return made

    def add_device(
        self, key_id: str, now: datetime.datetime, days: int = END_ENTITY_DAYS, *, request: bytes | None = None
    ) -> ClientFiles:
        """Signs a certificate for the device with this key id, valid from a day before `now` until `days` after it.

        `request`: the device's signing request (PEM), if the key stays on the device. Then there is no key file. Raises
        `ConfigurationError` for a taken or malformed name, or an invalid request.
        """
        if not _KEY_ID.fullmatch(key_id):
            raise ConfigurationError(f"{key_id!r} is not a device's name.", remedy="Use its key id: 16 hex digits.")
        return self._add(Role.DEVICE, key_id, now, days, requested_key(request) if request else None)

    def enrol_device(self, device: str, request: bytes, now: datetime.datetime) -> bytes:
        """Returns the certificate (PEM) of a device that proved its key id. The same request gives the same one again,
        until its last `RENEWAL_DAYS`.

        Raises `ConfigurationError` if a certificate for this key was revoked, or if the device has one for another key.
        """
        key = requested_key(request)
        path = self.client(device).certificate
        if files.is_file(path):
            held = x509.load_pem_x509_certificate(path.read_bytes())
            if held.public_key() == key and held.not_valid_after_utc - now >= datetime.timedelta(days=RENEWAL_DAYS):
                return held.public_bytes(serialization.Encoding.PEM)
        return self.add_device(device, now, request=request).certificate.read_bytes()

    def _refuse_revoked(self, name: str, key: ec.EllipticCurvePublicKey) -> None:
        """Raises `ConfigurationError` if a certificate of this client for this key was revoked."""
        # By its key: a new certificate for a revoked key would let its thief in again.
        if any(each.public_key() == key for _, each in self._kept("revoked", name)):
            raise ConfigurationError(
                f"The certificate of {name} for this key was revoked.",
                remedy="Its owner makes a new key (a doorbell: remove device.key in /etc/doorward/tls) and asks again.",
            )

    def _kept(self, folder: str, name: str) -> list[tuple[Path, x509.Certificate]]:
        """Returns the certificates of a client in `renewed` or `revoked`."""
        paths = [self.directory / folder / each for each in files.names_in(self.directory / folder)]
        ours = [path for path in paths if path.stem.rpartition("-")[0] == name]
        return [(path, x509.load_pem_x509_certificate(path.read_bytes())) for path in ours]

    def add_requester(
        self, name: str, now: datetime.datetime, days: int = END_ENTITY_DAYS, *, request: bytes
    ) -> ClientFiles:
        """As `add_device`, for a requester by its id in the trust bundle, or for a worker of it: its id, a dot and the
        worker's name. The broker reads the rights of a new worker on SIGHUP."""
        try:
            requester = requester_of(name)
        except FormatError as error:
            raise ConfigurationError(error.message, remedy=error.remedy) from error
        made = self._add(Role.REQUESTER, name, now, days, requested_key(request), organization=requester)
        self._write_access_list()
        return made

    def add_root(
        self,
        root: str,
        now: datetime.datetime,
        days: int = END_ENTITY_DAYS,
        *,
        request: bytes,
        slots: int | None = None,
    ) -> ClientFiles:
        """Signs a certificate with which a trust root publishes its packages, in `slots` of the broker's twelve slots.

        `slots`: None for those that it has, or six. The broker reads the rights on SIGHUP. Raises `ConfigurationError`
        if fewer slots are left, or if the broker has three other roots.
        """
        if not _KEY_ID.fullmatch(root):
            raise ConfigurationError(f"{root!r} is not a root's id.", remedy="Use its key id: 16 hex digits.")
        given = self._root_slots()
        slots = given.get(root, _SLOTS_OF_A_ROOT) if slots is None else slots
        others = [number for name, number in given.items() if name != root]
        if len(others) >= _MOST_ROOTS:
            raise ConfigurationError(
                f"This broker has {len(others)} roots already.", remedy="Use another broker for this root."
            )
        left = TRUST_SLOTS - sum(others)
        if slots > left:
            raise ConfigurationError(
                f"This broker has {left} of {TRUST_SLOTS} slots left, {slots} are wanted.",
                remedy="Doorbells read all of them. Use another broker for this root.",
            )
        made = self._add(Role.REQUESTER, f"{root}{_ROOT_SUFFIX}", now, days, requested_key(request))
        self._write_access_list({**given, root: slots})
        return made

    def add_installer(
        self, installer: str, now: datetime.datetime, days: int = END_ENTITY_DAYS, *, request: bytes
    ) -> ClientFiles:
        """Signs a certificate with which an installer reads the sealed reports of health of this broker's doorbells.

        `installer`: 16 hex digits. The broker reads the rights on SIGHUP.
        """
        if not _KEY_ID.fullmatch(installer):
            raise ConfigurationError(
                f"{installer!r} is not an installer's id.", remedy="Use the 16 hex digits of 'doorward fleet init'."
            )
        made = self._add(Role.REQUESTER, f"{installer}{_INSTALLER_SUFFIX}", now, days, requested_key(request))
        self._write_access_list()
        return made

    def _root_slots(self) -> dict[str, int]:
        """Returns how many slots the access list gives to each root that has a certificate."""
        text = (self.directory / _ACCESS_LIST).read_text(encoding="utf-8")
        roots = [match[1] for match in _ROOT_SLOT.finditer(text)]
        clients = self.directory / "clients"
        return {root: roots.count(root) for root in roots if files.is_file(clients / f"{root}{_ROOT_SUFFIX}.pem")}

    def workers(self, requester: str) -> list[str]:
        """The names of the workers of a requester that have a certificate."""
        return [name for name in self._workers() if requester_of(name) == requester]

    def _workers(self) -> list[str]:
        others = (_ROOT_NAME, _INSTALLER_NAME)
        return [
            name
            for name in self._clients()
            if "." in name and name != DIGEST_CLIENT and not any(form.fullmatch(name) for form in others)
        ]

    def _clients(self) -> list[str]:
        names = files.names_in(self.directory / "clients")
        return [name.removesuffix(".pem") for name in names if name.endswith(".pem")]

    def _write_access_list(self, roots: Mapping[str, int] | None = None) -> None:
        """Writes a section for each worker and each root below the rules for all requesters. `roots`: their slots."""
        path = self.directory / _ACCESS_LIST
        roots = self._root_slots() if roots is None else roots
        rules = path.read_text(encoding="utf-8").partition(_GENERATED_BELOW)[0]
        sections = "".join(_worker_rules(name, rules) for name in self._workers())
        sections += "".join(_root_rules(root, slots) for root, slots in sorted(roots.items()))
        installers = [name for name in self._clients() if _INSTALLER_NAME.fullmatch(name)]
        sections += "".join(_installer_rules(name) for name in installers)
        sections += _DIGEST_RULES if DIGEST_CLIENT in self._clients() else ""
        files.write(path, f"{rules}{_GENERATED_BELOW}{sections}".encode() if sections else rules.encode(), like=path)

    def revoke(self, name: str, now: datetime.datetime) -> Role:
        """Puts a client's certificate on its authority's list, with those that renewals replaced. Its name may be used
        again, with another key.

        The broker reads the list on SIGHUP and applies it at the next handshake. A connected client stays connected
        until the broker restarts. Raises `ConfigurationError` if there is no such client.
        """
        clients = self.directory / "clients"
        if name not in self._clients():
            raise ConfigurationError(
                f"{name!r} is not a client of this broker.", remedy=f"The clients are in {clients}."
            )
        newest = clients / f"{name}.pem"
        issued = [(newest, x509.load_pem_x509_certificate(newest.read_bytes())), *self._kept("renewed", name)]
        role = next(role for role in Role if issued[0][1].issuer == self._authority_of(role).certificate.subject)
        list_stem = self.directory / "authorities" / role.value
        listed = list(x509.load_pem_x509_crl(list_stem.with_suffix(".crl").read_bytes()))
        known = {each.serial_number for each in listed}
        # The certificates before a renewal are valid as long.
        more = {each.serial_number for _, each in issued} - known
        listed += [_revoked(each, now) for each in sorted(more)]
        _write_list(list_stem, self._authority_of(role), now, listed)
        # Move the files last. After a crash in between, the client is revoked and still has its files, which is the
        # safe order. The newest goes last of them, because the client is known by it.
        for path, certificate in reversed(issued):
            path.replace(self.directory / "revoked" / f"{name}-{certificate.serial_number:x}.pem")
        (clients / f"{name}.key").unlink(missing_ok=True)
        if role is Role.REQUESTER:
            self._write_access_list()
        return role

    def _authority_of(self, role: Role) -> _BrokerKeyPair:
        return _read(self.directory / "authorities" / role.value)

    def _add(
        self,
        role: Role,
        name: str,
        now: datetime.datetime,
        days: int,
        key: ec.EllipticCurvePublicKey | None = None,
        organization: str | None = None,
    ) -> ClientFiles:
        stem = self.directory / "clients" / name
        if key is None:
            own = ec.generate_private_key(ec.SECP256R1())
            _write(stem, _BrokerKeyPair(self._sign(role, name, own.public_key(), now, days), own))
        else:
            self._refuse_revoked(name, key)
            made = self._sign(role, name, key, now, days, organization).public_bytes(serialization.Encoding.PEM)
            path = stem.with_name(f"{name}.pem")
            if files.is_file(path):
                self._keep_renewed(path, name, key)
                files.write(path, made, like=path)
            else:
                _write_once(path, made)
        return self.client(name)

    def _keep_renewed(self, path: Path, name: str, key: ec.EllipticCurvePublicKey) -> None:
        """Keeps the certificate that a renewal replaces: it stays valid, and `revoke` must know it."""
        held = x509.load_pem_x509_certificate(path.read_bytes())
        if held.public_key() != key:
            raise ConfigurationError(
                f"{name} has a certificate for another key.",
                remedy=f"Revoke it first, on the broker: doorward broker revoke {name}",
            )
        folder = self.directory / "renewed"
        folder.mkdir(mode=0o700, exist_ok=True)
        files.write(folder / f"{name}-{held.serial_number:x}.pem", path.read_bytes(), like=path)

    def _sign(
        self,
        role: Role,
        name: str,
        key: ec.EllipticCurvePublicKey,
        now: datetime.datetime,
        days: int,
        organization: str | None = None,
    ) -> x509.Certificate:
        """Returns the certificate of a client."""
        issuer = _read(self.directory / "authorities" / role.value)
        place = x509.UniformResourceIdentifier(f"urn:doorward:{role.value}:{name}")
        usage = ExtendedKeyUsageOID.CLIENT_AUTH
        return _certificate(issuer, name, key, x509.SubjectAlternativeName([place]), usage, now, days, organization)

    @property
    def certificate(self) -> Path:
        """The file of the broker's own certificate."""
        return self.directory / "broker.pem"

    def client(self, name: str) -> ClientFiles:
        """The files of a client added before."""
        stem = self.directory / "clients" / name
        return ClientFiles(
            name,
            self.directory / "authorities" / "broker.pem",
            stem.with_name(f"{name}.pem"),
            stem.with_name(f"{name}.key"),
        )


def _general_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        if len(host) > _MOST_HOST or not _HOST.fullmatch(host):
            raise ConfigurationError(
                f"'{host}' is not a host.", remedy="Give the name or address that clients use, like broker.example.org."
            ) from None
        return x509.DNSName(host)


def requested_key(request: bytes) -> ec.EllipticCurvePublicKey:
    """Returns the key of a signing request (PEM) that its holder signed. Raises `ConfigurationError` for any other."""
    remedy = "Use the file that the device made: a P-256 key's request in PEM."
    try:
        asked = x509.load_pem_x509_csr(request)
        key = asked.public_key()
    except (ValueError, x509.InvalidVersion, UnsupportedAlgorithm) as error:
        raise ConfigurationError("This is not a signing request.", remedy=remedy) from error
    # The request's own signature proves that its sender has the key, or any client could get a certificate for
    # another's.
    if not asked.is_signature_valid or not isinstance(key, ec.EllipticCurvePublicKey) or key.curve.name != "secp256r1":
        raise ConfigurationError("This signing request is invalid.", remedy=remedy)
    return key


def _worker_rules(worker: str, rules: str) -> str:
    """Returns the section of a worker: each rule for its requester's name, and nothing under its own name."""
    requester = requester_of(worker)
    patterns = [line.removeprefix("pattern ") for line in rules.splitlines() if line.startswith("pattern ")]
    own = ("up/%u/#", "areas/+/+/%u/+")
    return "".join(
        (
            f"\nuser {worker}\n",
            # Patterns put each client's whole name in the place of `%u`, so without this a worker would also publish
            # under a name that no doorbell knows.
            *(f"topic deny doorward/v1/{topic.replace('%u', worker)}\n" for topic in own),
            *(f"topic {rule.replace('%u', requester)}\n" for rule in patterns if "%u" in rule),
        )
    )


def _root_rules(root: str, slots: int) -> str:
    """Returns the section of a root: its slots and its index, and reading the news of roots, but no other right of
    requesters, which patterns would give it."""
    denied = (f"up/{root}{_ROOT_SUFFIX}/#", "areas/#", "receipts/#")
    return "".join(
        (
            f"\nuser {root}{_ROOT_SUFFIX}\n",
            *(f"topic deny doorward/v1/{topic}\n" for topic in denied),
            f"topic write doorward/v1/trust/{root}/index\n",
            *(f"topic write doorward/v1/trust/{root}/{slot}\n" for slot in range(slots)),
            *(f"topic write doorward/v1/brokers/{root}/{slot}\n" for slot in range(DIRECTORY_SLOTS)),
        )
    )


def _installer_rules(name: str) -> str:
    """Returns the section of an installer: reports of health, and none of the rights of requesters."""
    denied = (f"up/{name}/#", "areas/#", "receipts/#", "trust/#", "brokers/#")
    lines = (f"\nuser {name}", *(f"topic deny doorward/v1/{topic}" for topic in denied), f"topic read {HEALTH_FILTER}")
    return "".join(f"{line}\n" for line in lines)


def _builder(
    name: str, key: ec.EllipticCurvePublicKey, now: datetime.datetime, days: int, organization: str | None = None
) -> x509.CertificateBuilder:
    organizations = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, organization)] if organization else []
    return (
        x509.CertificateBuilder()
        .subject_name(x509.Name([*organizations, x509.NameAttribute(NameOID.COMMON_NAME, name)]))
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - BACKDATE)
        .not_valid_after(now + datetime.timedelta(days=days))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    )


def _authority(name: str, now: datetime.datetime) -> _BrokerKeyPair:
    key = ec.generate_private_key(ec.SECP256R1())
    certificate = (
        _builder(name, key.public_key(), now, AUTHORITY_DAYS)
        .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(key_usage(signs_certificates=True), critical=True)
        .sign(key, hashes.SHA256())
    )
    return _BrokerKeyPair(certificate, key)


def _end_entity(
    issuer: _BrokerKeyPair,
    name: str,
    alternatives: x509.SubjectAlternativeName,
    usage: x509.ObjectIdentifier,
    now: datetime.datetime,
    days: int = END_ENTITY_DAYS,
) -> _BrokerKeyPair:
    key = ec.generate_private_key(ec.SECP256R1())
    return _BrokerKeyPair(_certificate(issuer, name, key.public_key(), alternatives, usage, now, days), key)


def _certificate(
    issuer: _BrokerKeyPair,
    name: str,
    key: ec.EllipticCurvePublicKey,
    alternatives: x509.SubjectAlternativeName,
    usage: x509.ObjectIdentifier,
    now: datetime.datetime,
    days: int,
    organization: str | None = None,
) -> x509.Certificate:
    authority_key = x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer.key.public_key())
    return (
        _builder(name, key, now, days, organization)
        .issuer_name(issuer.certificate.subject)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(key_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
        .add_extension(alternatives, critical=False)
        .add_extension(authority_key, critical=False)
        .sign(issuer.key, hashes.SHA256())
    )


def _revoked(serial: int, now: datetime.datetime) -> x509.RevokedCertificate:
    return x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(now).build()


def _write_list(
    stem: Path, issuer: _BrokerKeyPair, now: datetime.datetime, revoked: Sequence[x509.RevokedCertificate]
) -> None:
    """Writes `<stem>.crl`, replacing it. The new file keeps the owner of the old one."""
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(issuer.certificate.subject)
        .last_update(now - BACKDATE)
        # As long as the authority is valid, so the list needs no renewal.
        .next_update(issuer.certificate.not_valid_after_utc)
        .add_extension(x509.CRLNumber(len(revoked) + 1), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer.key.public_key()), critical=False)
    )
    for entry in revoked:
        builder = builder.add_revoked_certificate(entry)
    made = builder.sign(issuer.key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
    path = stem.with_suffix(".crl")
    # Root revokes with sudo, and mosquitto reads the list as another user. If it cannot, it keeps the old list, and the
    # revoked client comes in again.
    files.write(path, made, secret=True, like=path)


def _write(stem: Path, pair: _BrokerKeyPair) -> None:
    """Writes `<stem>.key`, then `<stem>.pem`. Existing files stay."""
    key = pair.key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    certificate = pair.certificate.public_bytes(serialization.Encoding.PEM)
    # Only if the file is missing: a lost key of an authority cannot be recovered.
    _write_once(stem.with_name(f"{stem.name}.key"), key)
    _write_once(stem.with_name(f"{stem.name}.pem"), certificate)


def _write_once(path: Path, content: bytes) -> None:
    """Writes the file durably and whole, and never over another one: a link to it fails if the name is taken."""
    unfinished = path.with_name(f"{path.name}.{secrets.token_hex(4)}.part")
    try:
        with os.fdopen(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.link(unfinished, path)
        files.sync_folder(path.parent)
    except FileExistsError as error:
        raise ConfigurationError(
            f"{path} already exists.", remedy="Choose another name, or remove the file if it is unused."
        ) from error
    finally:
        unfinished.unlink(missing_ok=True)


def _read(stem: Path) -> _BrokerKeyPair:
    certificate = x509.load_pem_x509_certificate(stem.with_name(f"{stem.name}.pem").read_bytes())
    key = serialization.load_pem_private_key(stem.with_name(f"{stem.name}.key").read_bytes(), password=None)
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise ConfigurationError(f"{stem}.key is not an ECDSA key.", remedy="Restore the key that this tool made.")
    return _BrokerKeyPair(certificate, key)
