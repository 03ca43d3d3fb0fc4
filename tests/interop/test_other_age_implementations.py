"""Files cross between us and two implementations that share no code with ours, both ways.

Stock `age` (Go, Debian's package) for X25519; npm `age-encryption` for passphrases and for hybrid keys, for which
Debian's `age` is too old.  Each test skips with its reason where the other implementation is not installed.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from agent.clients.opening import (
    HybridIdentity,
    PassphraseIdentity,
    X25519Identity,
    open_bytes,
    parse_identity,
    parse_identity_file,
    rewrap,
)
from agent.clients.opening.armor import armor, dearmor
from agent.core.vault.age.header import split
from agent.core.vault.age.recipients import PassphraseRecipient, parse_recipient
from agent.core.vault.age.sealing import seal_bytes

pytestmark = pytest.mark.interop

HERE = Path(__file__).parent
CHUNK = 64 * 1024
LENGTHS = [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK + 17]
FILE_KEY, NONCE = bytes(range(16)), bytes(range(100, 116))


def plaintext_of(length: int) -> bytes:
    return bytes(i * 31 % 251 for i in range(length))


@pytest.fixture(scope="module")
def age() -> str:
    found = shutil.which("age")
    if found is None:
        pytest.skip("stock age is not installed: apt-get install age")
    return found


@pytest.fixture(scope="module")
def node() -> str:
    found = shutil.which("node")
    if found is None:
        pytest.skip("node is not installed: apt-get install nodejs npm")
    if not (HERE / "node_modules/age-encryption").is_dir():
        pytest.skip("npm age-encryption is not installed: run `npm ci` in tests/interop")
    version = subprocess.run([found, "--version"], capture_output=True, check=True, text=True).stdout.strip()
    if int(version.lstrip("v").split(".")[0]) < 20:
        pytest.skip(f"npm age-encryption needs node 20 or newer, this is {version}")
    return found


def run(*command: str | Path) -> str:
    """The standard output; a failure shows what the other implementation said."""
    done = subprocess.run(command, capture_output=True, text=True, cwd=HERE, stdin=subprocess.DEVNULL)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("length", LENGTHS)
def test_stock_age_opens_what_we_seal_to_x25519(age: str, tmp_path: Path, length: int) -> None:
    identity, other = X25519Identity(b"owner".ljust(32)), X25519Identity(b"recovery".ljust(32))
    sealed, opened, keys = tmp_path / "sealed.age", tmp_path / "opened", tmp_path / "keys.txt"
    recipients = [other.recipient(), identity.recipient()]
    sealed.write_bytes(seal_bytes(plaintext_of(length), recipients, file_key=FILE_KEY, nonce=NONCE))
    keys.write_text(f"# owner\n{identity.secret_text()}\n")
    run(age, "-d", "-i", keys, "-o", opened, sealed)
    # age before 1.2 makes no file for an empty plaintext.
    assert (opened.read_bytes() if opened.exists() else b"") == plaintext_of(length)


@pytest.mark.parametrize("length", LENGTHS)
def test_we_open_what_stock_age_seals_to_x25519(age: str, tmp_path: Path, length: int) -> None:
    keys, plaintext = tmp_path / "keys.txt", tmp_path / "plaintext"
    run("age-keygen", "-o", keys)
    identities = parse_identity_file(keys.read_text())
    recipient = run("age-keygen", "-y", keys).strip()
    assert parse_recipient(recipient) == identities[0].recipient()

    plaintext.write_bytes(plaintext_of(length))
    run(age, "-r", recipient, "-o", tmp_path / "sealed.age", plaintext)
    assert open_bytes((tmp_path / "sealed.age").read_bytes(), identities) == plaintext_of(length)
    run(age, "-a", "-r", recipient, "-o", tmp_path / "armored.age", plaintext)
    assert open_bytes(dearmor((tmp_path / "armored.age").read_bytes()), identities) == plaintext_of(length)


def test_stock_age_opens_our_armor(age: str, tmp_path: Path) -> None:
    identity = X25519Identity(b"owner".ljust(32))
    sealed, keys = tmp_path / "sealed.age", tmp_path / "keys.txt"
    sealed.write_bytes(armor(seal_bytes(b"a face", [identity.recipient()], file_key=FILE_KEY, nonce=NONCE)))
    keys.write_text(identity.secret_text() + "\n")
    assert run(age, "-d", "-i", keys, sealed) == "a face"


def test_stock_age_opens_a_disclosure_with_our_new_header_and_not_a_byte_more_changed(age: str, tmp_path: Path) -> None:
    owner, requester = X25519Identity(b"owner".ljust(32)), X25519Identity(b"requester".ljust(32))
    sealed, keys = tmp_path / "sealed.age", tmp_path / "keys.txt"
    plaintext = plaintext_of(CHUNK + 1)
    original = seal_bytes(plaintext, [owner.recipient()], file_key=FILE_KEY, nonce=NONCE)
    border = split(original)
    sealed.write_bytes(rewrap(original[:border], [owner], [requester.recipient()]) + original[border:])
    keys.write_text(requester.secret_text() + "\n")
    run(age, "-d", "-i", keys, "-o", tmp_path / "opened", sealed)
    assert (tmp_path / "opened").read_bytes() == plaintext


@pytest.fixture(scope="module")
def opened_by_npm_age(node: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of each length that we sealed, opened by npm age. One process, because node starts in a third of a
    second."""
    folder = tmp_path_factory.mktemp("opened")
    identity, other = HybridIdentity(b"owner".ljust(32)), HybridIdentity(b"recovery".ljust(32))
    recipients = [other.recipient(), identity.recipient()]
    (folder / "keys.txt").write_text(f"# owner\n{identity.secret_text()}\n")
    pairs: list[Path] = []
    for length in LENGTHS:
        pairs += (folder / f"{length}.age", folder / str(length))
        pairs[-2].write_bytes(seal_bytes(plaintext_of(length), recipients, file_key=FILE_KEY, nonce=NONCE))
    run(node, "open.mjs", folder / "keys.txt", *pairs)
    return folder


@pytest.fixture(scope="module")
def sealed_by_npm_age(node: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of each length that npm age sealed to our hybrid key."""
    folder = tmp_path_factory.mktemp("sealed")
    pairs: list[Path] = []
    for length in LENGTHS:
        pairs += (folder / str(length), folder / f"{length}.age")
        pairs[-2].write_bytes(plaintext_of(length))
    run(node, "seal.mjs", str(HybridIdentity(b"owner".ljust(32)).recipient()), *pairs)
    return folder


@pytest.mark.parametrize("length", LENGTHS)
def test_npm_age_opens_what_we_seal_to_hybrid_keys(opened_by_npm_age: Path, length: int) -> None:
    assert (opened_by_npm_age / str(length)).read_bytes() == plaintext_of(length)


@pytest.mark.parametrize("length", LENGTHS)
def test_we_open_what_npm_age_seals_to_our_hybrid_key(sealed_by_npm_age: Path, length: int) -> None:
    sealed = (sealed_by_npm_age / f"{length}.age").read_bytes()
    assert open_bytes(sealed, [HybridIdentity(b"owner".ljust(32))]) == plaintext_of(length)


def test_a_hybrid_identity_made_by_npm_age_has_the_same_recipient_here(node: str) -> None:
    identity, recipient = run(node, "keygen.mjs").split()
    assert parse_identity(identity).recipient() == parse_recipient(recipient)
    assert parse_identity(identity).secret_text() == identity
    assert str(parse_recipient(recipient)) == recipient


def test_passphrase_sealed_identity_files_cross_both_ways(node: str, tmp_path: Path) -> None:
    passphrase, secret = "drei Wörter hier", HybridIdentity(b"owner".ljust(32)).secret_text()
    theirs, ours, opened = tmp_path / "theirs.age", tmp_path / "ours.age", tmp_path / "opened"
    recipient = PassphraseRecipient(passphrase, salt=bytes(16), log2_work_factor=10)
    ours.write_bytes(seal_bytes(secret.encode(), [recipient], file_key=FILE_KEY, nonce=NONCE))
    run(node, "passphrase.mjs", "open", passphrase, ours, opened)
    assert opened.read_text() == secret

    run(node, "passphrase.mjs", "seal", passphrase, opened, theirs)
    assert open_bytes(theirs.read_bytes(), [PassphraseIdentity(passphrase)]).decode() == secret
