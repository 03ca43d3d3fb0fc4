"""The root's key in a PKCS#11 token, tried with SoftHSM: made there, used there, and no other key passes for it."""

from __future__ import annotations

from pathlib import Path

from agent.wire.trust_keys import parse_trust_key
from tests.desk.test_tokens import Token, token

__all__ = ["token"]

MAKE = """
from desk.trust.root_keys import is_sealed, make_token_root, open_root_key, root_key_of
folder = Path("root")
key = make_token_root(folder, TOKEN, "rijnstad.root")
assert key == root_key_of(folder) and not is_sealed(folder)
signer = open_root_key(folder, "", TOKEN, "rijnstad.root")
from agent.clients.requester.keys import trust_signature
print(key.text, trust_signature(signer, b"bundle").hex())
"""
REFUSED = """
from agent.errors import ConfigurationError
from desk.trust.root_keys import make_token_root, open_root_key
for call in (
    lambda: make_token_root(Path("root"), TOKEN, "rijnstad.root"),
    lambda: open_root_key(Path("root"), ""),
    lambda: open_root_key(Path("root"), "", TOKEN, "another.root"),
):
    try:
        call()
    except ConfigurationError as error:
        print(error.message)
"""


def test_a_root_key_in_a_token_signs_and_is_the_only_one_that_does(token: Token) -> None:
    made = token.run(MAKE)
    assert made.returncode == 0, made.stderr
    key, signature = made.stdout.split()
    assert parse_trust_key(key).verifies(bytes.fromhex(signature), b"bundle")
    assert [path.name for path in Path(token.folder, "root").iterdir()] == ["root.pub"]
    refused = token.run(REFUSED)
    assert refused.stdout.splitlines() == [
        "This organisation has a root key.",
        "The root's key is in a token.",
        "This token holds another key.",
    ], refused.stderr


DESTROY = """
from agent.errors import ConfigurationError, DeviceError
from agent.wire.identities import parse_public_key
from desk.tokens import destroy_token_key
root, other = token_signer(TOKEN, "rijnstad.root"), token_signer(TOKEN, "rijnstad.other")
try:
    destroy_token_key(TOKEN, "rijnstad.root", other.public_key)
except ConfigurationError as error:
    print(error.message)
root.sign(b"still here")
for _ in range(2):
    destroy_token_key(TOKEN, "rijnstad.root", root.public_key)
try:
    root.sign(b"a second root file 1")
except DeviceError:
    print("gone")
other.sign(b"another key stays")
print(token_signer(TOKEN, "rijnstad.root").public_key != root.public_key)
"""


def test_a_deleted_root_key_signs_nothing_more_and_no_other_key_is_deleted(token: Token) -> None:
    done = token.run(DESTROY)
    assert done.stdout.splitlines() == ["This token holds another key.", "gone", "True"], done.stderr
