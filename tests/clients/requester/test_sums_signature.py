"""The requester's key signs a list of hashes as it stands, and nothing else in that way."""

from __future__ import annotations

import pytest

from agent.clients.requester.identity import Requester
from agent.errors import ConfigurationError
from agent.wire.envelope import pae
from agent.wire.identities import PublicKey, private_key_from_seed

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
