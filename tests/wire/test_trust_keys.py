"""Key pairs of trust roots: a signature by one half, or by halves that do not belong together, is none."""

from __future__ import annotations

import hashlib

import pytest

from agent.errors import FormatError, OpenError, RequestError
from agent.wire import envelope
from agent.wire.identities import MLDSA_KEY_BYTES, SIGNATURE_BYTES, MldsaPublicKey
from agent.wire.trust import TrustBundle, TrustStore
from agent.wire.trust_keys import (
    SEED_MESSAGE,
    TRUST_SIGNATURE_BYTES,
    TrustKey,
    parse_trust_key,
    second_key,
    sign_as_root,
)
from tests.wire import samples

ONE, TWO = samples.ROOT_SIGNERS[:2]
PAIR = samples.pair(ONE)
MADE = sign_as_root(ONE, b"a list")
FIRST, REST = MADE[:SIGNATURE_BYTES], MADE[SIGNATURE_BYTES:]
OF_ANOTHER_LIST, OF_ANOTHER_PERSON = sign_as_root(ONE, b"another list"), sign_as_root(TWO, b"a list")


def test_a_pair_is_read_as_it_is_written() -> None:
    assert parse_trust_key(PAIR.text) == PAIR
    assert str(PAIR) == PAIR.text
    assert PAIR.id == PAIR.ed25519.id
    assert len(PAIR.text) == 103


@pytest.mark.parametrize(
    "text",
    [
        PAIR.ed25519.text,
        PAIR.ed25519.text + "+mldsa44:",
        PAIR.text[:-1],
        PAIR.text + "A",
        PAIR.text.replace("+mldsa44:", "+mldsa65:"),
        PAIR.text.replace("+mldsa44:", " mldsa44:"),
        "ed25519:" + "A" * 43 + PAIR.text[51:],
        PAIR.text[51:],
    ],
)
def test_half_a_pair_is_none(text: str) -> None:
    with pytest.raises(FormatError):
        parse_trust_key(text)


def test_both_halves_have_to_sign_the_same_bytes() -> None:
    assert len(MADE) == TRUST_SIGNATURE_BYTES
    assert PAIR.verifies(MADE, b"a list")
    assert not PAIR.verifies(MADE, b"another list")
    for spoiled in (
        FIRST,
        REST,
        FIRST + REST[:-MLDSA_KEY_BYTES],
        FIRST + OF_ANOTHER_LIST[SIGNATURE_BYTES:],
        OF_ANOTHER_LIST[:SIGNATURE_BYTES] + REST,
        FIRST + OF_ANOTHER_PERSON[SIGNATURE_BYTES:],
        OF_ANOTHER_PERSON[:SIGNATURE_BYTES] + REST,
        FIRST + bytes(len(REST) - MLDSA_KEY_BYTES) + REST[-MLDSA_KEY_BYTES:],
        bytes(SIGNATURE_BYTES) + REST,
        MADE + b"\0",
    ):
        assert not PAIR.verifies(spoiled, b"a list")


def test_the_second_key_is_the_same_each_time_and_no_signature_that_is_shown_gives_it() -> None:
    second = second_key(ONE.sign(SEED_MESSAGE))
    assert hashlib.sha256(MldsaPublicKey.of(second).raw).digest() == PAIR.mldsa_sha256
    assert not envelope.pae("", b"").startswith(SEED_MESSAGE[:8])
    assert MldsaPublicKey.of(second_key(FIRST)) != MldsaPublicKey.of(second)


def test_a_bundle_alone_without_its_second_half_is_refused_by_name() -> None:
    alone = envelope.sign(TrustBundle.PAYLOAD_TYPE, b"{}", samples.ROOT)
    with pytest.raises(OpenError, match=envelope.NO_MLDSA_SIGNATURE):
        TrustStore().with_root(samples.ROOT_KEY).open(alone)


def test_a_forger_of_ed25519_signs_no_bundle_of_a_root_that_was_chosen() -> None:
    store = TrustStore().with_root(samples.ROOT_KEY)
    forged = samples.bundle(version=9)
    payload = envelope.strictjson.encode(forged)
    signed = envelope.pae(TrustBundle.PAYLOAD_TYPE, payload)
    # The forger has the scalar of the name key, and a second key of his own.
    made = samples.ROOT.sign(signed) + sign_as_root(samples.private_key("thief"), signed)[SIGNATURE_BYTES:]
    with pytest.raises(OpenError, match=envelope.NOT_SIGNED):
        store.accept(envelope.with_signatures(TrustBundle.PAYLOAD_TYPE, payload, {samples.ROOT_KEY.id: made}))
    store.accept(samples.several(forged, samples.ROOT))


def test_a_line_with_the_id_of_a_chosen_root_and_another_second_key_takes_no_place() -> None:
    store, thief = TrustStore().with_root(samples.ROOT_KEY), samples.pair(samples.private_key("thief"))
    forged = TrustKey(samples.ROOT_KEY.ed25519, thief.mldsa_sha256)
    with pytest.raises(RequestError, match="another ML-DSA-44 key"):
        store.with_root(forged)
    assert store.with_root(samples.ROOT_KEY) == store
    assert store.without_root(samples.ROOT_KEY.id).with_root(forged).roots == {forged.id: forged}


def test_a_bundle_alone_has_one_signature() -> None:
    both = TrustStore().with_root(samples.ROOT_KEY).with_root(PAIR)
    with pytest.raises(FormatError, match="one signature"):
        both.open(samples.several(samples.bundle(), samples.ROOT, ONE))
