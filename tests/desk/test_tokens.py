"""Signing keys in a PKCS#11 token, tried with SoftHSM."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from agent.clients.requester.identity import Requester
from agent.wire.identities import parse_public_key
from desk import config

ROOT = Path(__file__).resolve().parents[2]
MODULES = (Path("/usr/lib/softhsm/libsofthsm2.so"), Path("/usr/local/lib/softhsm/libsofthsm2.so"))


class Token:
    """A SoftHSM token in a folder. SoftHSM reads its settings once for a process, so each program runs in a new one."""

    def __init__(self, folder: Path, module: Path) -> None:
        self.folder = folder
        (folder / "tokens").mkdir()
        (folder / "softhsm2.conf").write_text(f"directories.tokendir = {folder / 'tokens'}\nlog.level = ERROR\n")
        (folder / "token.pin").write_text("4711\n")
        (folder / "token.pin").chmod(0o600)
        self.environment = {**os.environ, "SOFTHSM2_CONF": str(folder / "softhsm2.conf"), "PYTHONPATH": str(ROOT)}
        make = ["softhsm2-util", "--init-token", "--free", "--label", "desk", "--pin", "4711", "--so-pin", "0815"]
        subprocess.run(make, env=self.environment, check=True, capture_output=True)
        self.settings = config.Token(module, "desk", folder / "token.pin")
        self.given = f"Token(Path({str(module)!r}), 'desk', Path({str(folder / 'token.pin')!r}))"

    def run(self, program: str) -> subprocess.CompletedProcess[str]:
        imports = "from pathlib import Path\nfrom desk.config import Token\nfrom desk.tokens import token_signer\n"
        head = f"{imports}TOKEN = {self.given}\n"
        command = [sys.executable, "-c", head + textwrap.dedent(program)]
        return subprocess.run(command, env=self.environment, cwd=self.folder, capture_output=True, text=True)


@pytest.fixture
def token(tmp_path: Path) -> Token:
    module = next((path for path in MODULES if path.is_file()), None)
    if module is None or shutil.which("softhsm2-util") is None:
        pytest.skip("SoftHSM is missing: install softhsm2")
    return Token(tmp_path, module)


def test_a_key_is_made_once_and_signs(token: Token) -> None:
    sign = "signer = token_signer(TOKEN, 'police')\nprint(signer.public_key.text, signer.sign(b'request').hex())"
    first, second = token.run(sign), token.run(sign)
    assert first.returncode == 0, first.stderr
    key, signature = first.stdout.split()
    assert parse_public_key(key).verifies(bytes.fromhex(signature), b"request")
    assert second.stdout == first.stdout  # the same key; Ed25519 is deterministic
    other = token.run(sign.replace("police", "court"))
    assert other.stdout.split()[0] != key


def test_several_threads_sign_at_once(token: Token) -> None:
    done = token.run("""
        from concurrent.futures import ThreadPoolExecutor
        signers = [token_signer(TOKEN, name) for name in ("police", "court")]
        def check(number):
            signer = signers[number % 2]
            assert signer.public_key.verifies(signer.sign(b"%d" % number), b"%d" % number)
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(check, range(64)))
        print("all")
    """)
    assert done.stdout == "all\n", done.stderr


def test_a_requester_signs_with_the_token_and_its_folder_holds_no_key(token: Token) -> None:
    done = token.run("""
        from agent.clients.requester.identity import Requester
        from agent.wire.fields import Kind
        folder = Path("requester")
        made = Requester.create(folder, "police", Kind.POLICE, signer=token_signer(TOKEN, "police"))
        print(Requester.open(folder, token_signer(TOKEN, "police")).key.text == made.key.text)
    """)
    assert done.stdout == "True\n", done.stderr
    assert not (token.folder / "requester" / "signing.key").exists()
    with pytest.raises(Exception, match="key"):
        Requester.open(token.folder / "requester")


def test_a_key_does_not_leave_the_token(token: Token) -> None:
    done = token.run("""
        import pkcs11
        signer = token_signer(TOKEN, "police")
        session = signer._token.session()
        key = session.get_key(object_class=pkcs11.ObjectClass.PRIVATE_KEY, label="police")
        try:
            print(key[pkcs11.Attribute.VALUE].hex())
        except pkcs11.exceptions.AttributeSensitive:
            print("stays")
    """)
    assert done.stdout == "stays\n", done.stderr


@pytest.mark.parametrize(
    "given",
    ["Token(TOKEN.module, 'another', TOKEN.pin_file)", "Token(Path('/nowhere.so'), 'desk', TOKEN.pin_file)"],
)
def test_a_token_that_is_not_there_is_the_operator_s_fault(token: Token, given: str) -> None:
    done = token.run(f"""
        from agent.errors import ConfigurationError
        try:
            token_signer({given}, "police")
        except ConfigurationError as error:
            print(error.remedy)
    """)
    assert "[token] in desk.toml" in done.stdout, done.stderr


def test_a_wrong_pin_is_the_operator_s_fault(token: Token) -> None:
    (token.folder / "token.pin").write_text("0000")
    done = token.run("""
        from agent.errors import ConfigurationError
        try:
            token_signer(TOKEN, "police")
        except ConfigurationError as error:
            print(error.remedy)
    """)
    assert "pin_file" in done.stdout, done.stderr
