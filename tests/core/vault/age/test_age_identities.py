"""An identity takes what it can pay for, and is made of a whole seed."""

from __future__ import annotations

import pytest

from agent.clients.opening import HybridIdentity, PassphraseIdentity, X25519Identity, open_bytes
from agent.core.vault.age import recipients
from agent.core.vault.age.recipients import PassphraseRecipient
from agent.core.vault.age.sealing import seal_bytes
from agent.errors import FormatError, InternalError, OpenError


def sealed(log2_work_factor: int) -> bytes:
    recipient = PassphraseRecipient("a word", salt=bytes(16), log2_work_factor=log2_work_factor)
    return seal_bytes(b"identity", [recipient], file_key=bytes(16), nonce=bytes(16))


def test_a_work_factor_is_taken_up_to_the_limit_and_not_above() -> None:
    for most in (11, 12):
        assert open_bytes(sealed(11), [PassphraseIdentity("a word", max_log2_work_factor=most)]) == b"identity"
    with pytest.raises(FormatError, match="malformed or too high"):
        open_bytes(sealed(11), [PassphraseIdentity("a word", max_log2_work_factor=10)])
    with pytest.raises(OpenError):
        open_bytes(sealed(2), [PassphraseIdentity("another word")])


def test_without_a_limit_of_its_own_an_identity_pays_one_gibibyte_at_most() -> None:
    assert PassphraseIdentity("a word").max_log2_work_factor == 20


def test_a_machine_that_lacks_the_memory_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def too_much(*_: object) -> bytes:
        raise MemoryError

    data = sealed(2)
    monkeypatch.setattr(recipients, "scrypt_wrap_key", too_much)
    with pytest.raises(FormatError, match="not enough memory for the work factor"):
        open_bytes(data, [PassphraseIdentity("a word")])


@pytest.mark.parametrize("kind", [HybridIdentity, X25519Identity])
@pytest.mark.parametrize("length", [0, 31, 33, 64])
def test_no_identity_is_made_of_less_or_more_than_a_seed(
    kind: type[HybridIdentity | X25519Identity], length: int
) -> None:
    with pytest.raises(InternalError, match="32 bytes"):
        kind(bytes(length))
