"""The requester's key signs a list of hashes as it stands, and nothing else in that way."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from agent.clients.requester.evidence import write_bundle
from agent.clients.requester.identity import Requester
from agent.errors import ConfigurationError
from agent.wire.envelope import pae
from agent.wire.identities import PublicKey, private_key_from_seed
from tests.clients.requester.conftest import NOW_S
from tests.clients.requester.full_answer import FullAnswer

SUMS = b"0" * 64 + b"  bundle.json\n"


def test_the_signature_is_over_the_list_as_it_stands(requester: Requester) -> None:
    assert requester.key.verifies(requester.sign_sums(SUMS), SUMS)


@pytest.mark.parametrize(
    "other", [b"", pae("application/vnd.doorward.receipt+json", b"{}"), b"bundle.json\n", SUMS[1:]]
)
def test_other_bytes_are_not_signed_as_a_list(requester: Requester, other: bytes) -> None:
    """A message of the protocol begins with DSSEv1, so a list can never be taken for one."""
    with pytest.raises(ConfigurationError, match="cannot be signed"):
        requester.sign_sums(other)


@pytest.mark.parametrize("other", [b"", SUMS, pae("application/vnd.doorward.receipt+json", b"{}")])
def test_other_bytes_are_not_signed_as_a_certificate(requester: Requester, other: bytes) -> None:
    with pytest.raises(ConfigurationError, match="cannot be signed"):
        requester.sign_certificate(other)


def test_a_token_with_another_key_signs_no_list(requester: Requester, monkeypatch: pytest.MonkeyPatch) -> None:
    key = requester.key

    class Faulty:
        @property
        def public_key(self) -> PublicKey:
            return key

        def sign(self, data: bytes) -> bytes:
            return private_key_from_seed(b"x" * 32).sign(data)

    monkeypatch.setattr(requester, "_signer", Faulty())
    with pytest.raises(ConfigurationError, match="cannot be signed"):
        requester.sign_sums(SUMS)


def test_while_the_key_is_locked_the_evidence_is_written_without_that_signature(
    full: FullAnswer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def locked(_sums: bytes) -> bytes:
        raise ConfigurationError("The signing key is locked.")

    signed = write_bundle(tmp_path / "signed", full.requester, full.verification, NOW_S)
    monkeypatch.setattr(full.requester, "sign_sums", locked)
    unsigned = write_bundle(tmp_path / "unsigned", full.requester, full.verification, NOW_S)
    names = [{path.name for path in folder.iterdir()} for folder in (signed, unsigned)]
    assert names[0] - names[1] == {"SHA256SUMS.signature"}
    assert names[1] < names[0]
    texts = [(folder / "VERIFY.txt").read_text() for folder in (signed, unsigned)]
    assert ["SHA256SUMS.signature" in text for text in texts] == [True, False]
    assert "the list is unsigned" in texts[1]
    line = f"{hashlib.sha256((unsigned / 'VERIFY.txt').read_bytes()).hexdigest()}  VERIFY.txt"
    assert line in (unsigned / "SHA256SUMS").read_text().splitlines()
