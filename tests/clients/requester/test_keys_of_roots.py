"""The second half of a root's key: derived from a signature, also of a key that never leaves its token."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest

from agent.clients.requester.keys import (
    FileSigner,
    load_key,
    make_trust_key,
    sign_for_root,
    trust_key_of,
    trust_signature,
)
from agent.errors import ConfigurationError
from agent.wire.identities import PublicKey
from agent.wire.trust import TrustStore
from tests.wire import samples

SIGNER = FileSigner(samples.ROOT)


class FickleToken:
    """It draws randomness, as RFC 8032 forbids, or it holds another key than its label says."""

    def __init__(self, *keys: object) -> None:
        self._turns = itertools.cycle(FileSigner(key) for key in keys)  # type: ignore[arg-type]

    @property
    def public_key(self) -> PublicKey:
        return SIGNER.public_key

    def sign(self, data: bytes) -> bytes:
        return next(self._turns).sign(data)


def test_each_copy_of_a_key_signs_as_the_same_pair(tmp_path: Path) -> None:
    made = make_trust_key(tmp_path / "root.key")
    again = FileSigner(load_key(tmp_path / "root.key"))
    assert trust_key_of(again) == made
    assert made.verifies(trust_signature(again, b"a list"), b"a list")


def test_a_bundle_is_signed_by_both_halves() -> None:
    store, _ = (
        TrustStore()
        .with_root(trust_key_of(SIGNER))
        .accept(sign_for_root(SIGNER, samples.bundle().PAYLOAD_TYPE, samples.bundle()))
    )
    assert store.newest[trust_key_of(SIGNER).text].version == 3


def test_a_token_that_signs_one_text_in_two_ways_holds_no_key_of_a_root() -> None:
    with pytest.raises(ConfigurationError, match=r"does not fit the key|differently each time"):
        trust_key_of(FickleToken(samples.ROOT, samples.OWNER))


def test_a_token_with_another_key_signs_nothing() -> None:
    with pytest.raises(ConfigurationError, match="does not fit the key"):
        trust_signature(FickleToken(samples.OWNER), b"a list")
