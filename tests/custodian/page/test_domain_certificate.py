"""The page with a certificate of the household's own domain, renewed while it runs."""

from __future__ import annotations

import contextlib
import datetime
import socket
import ssl
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from click.testing import CliRunner
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from agent.cli.checks.finding import CheckStatus
from agent.cli.checks.page_domain import check_page_domain
from agent.cli.page import page as page_commands
from agent.config import Configuration
from agent.config.settings import DeviceConfig, PageConfig
from agent.custodian.page.domain_certificate import FILE, DomainCertificate, checked_pem
from agent.custodian.page.server import PageDeps, PageServer
from agent.errors import ConfigurationError, StorageError
from agent.wire.control import Frame
from tests.vaults import SteppedClock

DOMAIN = "door.example.org"
NOW = datetime.datetime.now(datetime.UTC).replace(microsecond=0)
"""The TLS library compares dates with the real clock."""
PEM = serialization.Encoding.PEM


class Authority:
    """Stands for a public authority. Each call is a renewal."""

    def __init__(self) -> None:
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "A public authority")])
        self.certificate = self._signed(self.name, self.key.public_key(), [], NOW, 3650, is_authority=True)
        self.pem = self.certificate.public_bytes(PEM)

    def issue(self, *names: str, begins: datetime.datetime = NOW, days: int = 90) -> tuple[bytes, bytes]:
        """Returns the key and the chain, as an ACME client writes them."""
        key = ec.generate_private_key(ec.SECP256R1())
        leaf = self._signed(x509.Name([]), key.public_key(), list(names), begins, days, is_authority=False)
        private = key.private_bytes(PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        return private, leaf.public_bytes(PEM) + self.pem

    def self_signed(self, name: str) -> tuple[bytes, bytes]:
        """Returns a key and a certificate that no authority signed."""
        own = self._signed(self.name, self.key.public_key(), [name], NOW, 90, is_authority=False)
        key = self.key.private_bytes(PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        return key, own.public_bytes(PEM)

    def _signed(
        self,
        subject: x509.Name,
        key: Any,
        names: list[str],
        begins: datetime.datetime,
        days: int,
        *,
        is_authority: bool,
    ) -> x509.Certificate:
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self.name)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(begins - datetime.timedelta(hours=1))
            .not_valid_after(begins + datetime.timedelta(days=days))
            .add_extension(x509.BasicConstraints(ca=is_authority, path_length=None), critical=True)
        )
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName(list(map(x509.DNSName, names))), critical=False)
        return builder.sign(self.key, hashes.SHA256())


@pytest.fixture
def authority() -> Authority:
    return Authority()


@pytest.fixture
def page(tmp_path: Path) -> Iterator[PageServer]:
    """A page on loopback with a domain; it is not started."""
    parts: dict[str, Any] = {
        "control": SimpleNamespace(answer=lambda frame: Frame({"ok": True})),
        "enrolments": SimpleNamespace(current=None, has_left=lambda _key: False), "manifest": None,
        "clock": SteppedClock(utc_offset_ns=int(NOW.timestamp()) * 10**9),
        "entropy": SimpleNamespace(token=lambda size: b"\7" * size), "facts": dict,
        "live": lambda _viewer, _asked: ({}, b""),
    }  # fmt: skip
    settings = PageConfig(host="127.0.0.1", port=0, addresses=("127.0.0.1",), mdns=False, domain=DOMAIN)
    made = PageServer(settings, tmp_path / "page", "Front door", PageDeps(**parts))
    yield made
    made.stop()
    made.close()


def shown(page: PageServer, name: str, trusted: bytes) -> x509.Certificate:
    """Connects as a browser that trusts this authority only. Raises `ssl.SSLCertVerificationError`."""
    context = ssl.create_default_context(cadata=trusted.decode())
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT  # the authority of this test lacks key identifiers
    with (
        socket.create_connection(("127.0.0.1", page.port), timeout=20) as plain,
        context.wrap_socket(plain, server_hostname=name) as link,
    ):
        return x509.load_der_x509_certificate(link.getpeercert(binary_form=True) or b"")


def put(page_folder: Path, data: bytes) -> None:
    making = page_folder / "making"
    making.write_bytes(data)
    making.rename(page_folder / FILE)


def test_a_browser_that_asks_for_the_domain_gets_its_certificate_and_others_the_doorbells_own(
    page: PageServer, authority: Authority, tmp_path: Path
) -> None:
    key, chain = authority.issue(DOMAIN)
    put(tmp_path / "page", checked_pem(DOMAIN, key, chain, NOW))
    page.start()
    assert shown(page, DOMAIN, authority.pem).issuer == authority.name
    with pytest.raises(ssl.SSLCertVerificationError):
        shown(page, "front-door.local", authority.pem)
    own = ssl.DER_cert_to_PEM_cert(page.certificates.authority_der).encode()
    assert shown(page, "front-door.local", own).issuer != authority.name
    assert page.url == f"https://{DOMAIN}:{page.port}/"


def test_a_renewed_certificate_is_shown_without_a_restart_and_a_damaged_one_changes_nothing(
    page: PageServer, authority: Authority, tmp_path: Path
) -> None:
    page.start()
    assert page.url == f"https://front-door.local:{page.port}/"
    serials = []
    for _ in range(2):
        put(tmp_path / "page", checked_pem(DOMAIN, *authority.issue(DOMAIN), NOW))
        page._look()
        serials.append(shown(page, DOMAIN, authority.pem).serial_number)
    assert serials[0] != serials[1]
    whole = (tmp_path / "page" / FILE).read_bytes()
    for damaged in (b"", whole[: len(whole) // 2], whole.replace(b"CERTIFICATE", b"CERT"), authority.issue(DOMAIN)[1]):
        put(tmp_path / "page", damaged)
        page._look()
        assert shown(page, DOMAIN, authority.pem).serial_number == serials[1]


def test_the_code_says_whether_a_phone_needs_the_authority(
    page: PageServer, authority: Authority, tmp_path: Path
) -> None:
    page.start()
    assert page.answer(Frame({"op": "page_code"})).head["result"]["trusted"] is False
    put(tmp_path / "page", checked_pem(DOMAIN, *authority.issue(DOMAIN), NOW))
    page._look()
    assert page.answer(Frame({"op": "page_code"})).head["result"]["trusted"] is True


def test_a_certificate_that_has_expired_no_longer_counts(
    page: PageServer, authority: Authority, tmp_path: Path
) -> None:
    long_ago = NOW - datetime.timedelta(days=100)
    put(tmp_path / "page", checked_pem(DOMAIN, *authority.issue(DOMAIN, begins=long_ago), long_ago))
    page.start()
    assert page.url.startswith("https://front-door.local")
    assert page.answer(Frame({"op": "page_code"})).head["result"]["trusted"] is False


def test_a_certificate_that_does_not_fit_is_refused_before_the_page_sees_it(authority: Authority) -> None:
    key, chain = authority.issue(DOMAIN)
    other_key, other_chain = authority.issue("other.example.org")
    late = NOW + datetime.timedelta(days=91)
    for given, now, said in (
        ((other_key, chain), NOW, "The key is not that of the certificate."),
        ((other_key, other_chain), NOW, f"The certificate is not for {DOMAIN}."),
        ((key, chain), late, "The certificate is valid from"),
        ((chain, key), NOW, "This is not a private key in PEM."),
        ((key, key), NOW, "This is not a chain of certificates in PEM."),
        ((b"", b""), NOW, "This is not a private key in PEM."),
        ((key, chain + other_chain), NOW, "A certificate of the chain was not issued by the next one."),
        ((key, chain.removesuffix(authority.pem) + Authority().pem), NOW, "A certificate of the chain was not issued"),
        (authority.self_signed(DOMAIN), NOW, "No authority signed the certificate, so browsers warn."),
    ):
        with pytest.raises(ConfigurationError, match=said.replace(".", r"\.")):
            checked_pem(DOMAIN, *given, now)


def test_a_certificate_counts_from_its_first_second_until_before_its_last(authority: Authority, tmp_path: Path) -> None:
    key, chain = authority.issue(DOMAIN)
    begins, ends = NOW - datetime.timedelta(hours=1), NOW + datetime.timedelta(days=90)
    second = datetime.timedelta(seconds=1)
    data = checked_pem(DOMAIN, key, chain, begins)
    assert checked_pem(DOMAIN, key, chain, ends - second) == data
    for now in (begins - second, ends):
        with pytest.raises(ConfigurationError) as refused:
            checked_pem(DOMAIN, key, chain, now)
        assert refused.value.message == f"The certificate is valid from {begins:%Y-%m-%d} to {ends:%Y-%m-%d}."
    found = DomainCertificate(tmp_path, DOMAIN)
    assert (found.look(), found.is_valid(NOW), found.context_for(DOMAIN)) == (False, False, None)
    put(tmp_path, data)
    assert (found.look(), found.look()) == (True, False)
    assert [found.is_valid(now) for now in (ends - second, ends)] == [True, False]
    assert found.context_for(DOMAIN.upper()) is not None
    assert (found.context_for(None), found.context_for("example.org")) == (None, None)


def test_a_browser_is_offered_tls_1_3_and_http_1_1_alone(authority: Authority, tmp_path: Path) -> None:
    put(tmp_path, checked_pem(DOMAIN, *authority.issue(DOMAIN), NOW))
    found = DomainCertificate(tmp_path, DOMAIN)
    found.look()
    context = found.context_for(DOMAIN)
    assert context is not None
    browser = ssl.create_default_context()
    browser.check_hostname, browser.verify_mode = False, ssl.CERT_NONE
    browser.set_alpn_protocols(["h2", "http/1.1"])
    to_page, to_browser = ssl.MemoryBIO(), ssl.MemoryBIO()
    one = browser.wrap_bio(to_browser, to_page, server_hostname=DOMAIN)
    other = context.wrap_bio(to_page, to_browser, server_side=True)
    for side in (one, other, one, other):
        with contextlib.suppress(ssl.SSLWantReadError):
            side.do_handshake()
    assert (other.version(), other.selected_alpn_protocol()) == ("TLSv1.3", "http/1.1")


def test_a_certificate_that_cannot_be_read_or_is_damaged_says_so(authority: Authority, tmp_path: Path) -> None:
    found = DomainCertificate(tmp_path, DOMAIN)
    put(tmp_path, authority.issue(DOMAIN)[0] + authority.issue(DOMAIN)[1])
    with pytest.raises(ConfigurationError) as refused:
        found.look()
    assert refused.value.message == f"{tmp_path / FILE} is damaged."
    assert refused.value.remedy == "Run again:  sudo doorward page certificate KEY CHAIN"
    (tmp_path / FILE).unlink()
    (tmp_path / FILE).mkdir()
    with pytest.raises(StorageError) as unread:
        found.look()
    assert unread.value.message == f"{tmp_path / FILE} cannot be read: Is a directory."


def test_a_wildcard_counts_for_one_label(authority: Authority) -> None:
    assert checked_pem(DOMAIN, *authority.issue("*.example.org"), NOW)
    for names in (["*.org"], ["*.door.example.org"], ["example.org"], []):
        with pytest.raises(ConfigurationError):
            checked_pem(DOMAIN, *authority.issue(*names), NOW)


def test_the_doctor_says_until_when_the_certificate_counts(authority: Authority, tmp_path: Path) -> None:
    configuration = Configuration(device=DeviceConfig(state_dir=tmp_path), page=PageConfig(domain=DOMAIN))
    (found,) = check_page_domain(configuration, NOW)
    assert (found.health, DOMAIN in found.message) == (CheckStatus.POOR, True)
    (tmp_path / "page").mkdir()
    put(tmp_path / "page", checked_pem(DOMAIN, *authority.issue(DOMAIN), NOW))
    health = [next(check_page_domain(configuration, NOW + datetime.timedelta(days=day))).health for day in (0, 70, 95)]
    assert health == [CheckStatus.FINE, CheckStatus.POOR, CheckStatus.BAD]
    assert list(check_page_domain(Configuration(page=PageConfig()), NOW)) == []
    put(tmp_path / "page", b"")
    assert next(check_page_domain(configuration, NOW)).health is CheckStatus.BAD, "a damaged file ends no check"


def test_the_command_puts_key_and_chain_into_the_pages_folder(authority: Authority, tmp_path: Path) -> None:
    (tmp_path / "state" / "page").mkdir(parents=True)
    config = tmp_path / "doorward.toml"
    config.write_text(f'[device]\nname = "door"\nstate_dir = "{tmp_path / "state"}"\n[page]\ndomain = "{DOMAIN}"\n')
    for name, data in zip(("privkey.pem", "fullchain.pem"), authority.issue(DOMAIN), strict=True):
        (tmp_path / name).write_bytes(data)
    given = ["certificate", "--config", str(config), str(tmp_path / "privkey.pem"), str(tmp_path / "fullchain.pem")]
    result = CliRunner().invoke(page_commands, given)
    assert result.exit_code == 0, result.output
    assert (tmp_path / "state" / "page" / FILE).stat().st_mode & 0o777 == 0o600
    config.write_text(config.read_text().replace("domain", "# domain"))
    assert isinstance(CliRunner().invoke(page_commands, given).exception, ConfigurationError)
