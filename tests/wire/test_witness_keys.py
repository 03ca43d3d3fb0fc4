"""Verifier keys of witnesses: one spelling, and nothing else is read."""

from __future__ import annotations

import pytest

from agent.errors import FormatError
from agent.wire import witness_keys
from tests.time_services import LocalWitness

ONE = LocalWitness()
KNOWN = witness_keys.parse_witness(ONE.verifier_key)


def test_a_verifier_key_has_one_spelling() -> None:
    assert (KNOWN.verifier_key, KNOWN.name) == (ONE.verifier_key, "witness.test/w1")
    name, key_hash, key = ONE.verifier_key.split("+", 2)
    for wrong in (
        f"{name}+00000000+{key}",
        f"{name}x+{key_hash}+{key}",
        f"{name}+{key_hash}+{key[:-4]}",
        f"{name}+{key_hash}",
        "",
        f"{name}+{key_hash}+AX{key[2:]}",
        f"{name}+{key_hash}+AQ{key[2:]}",  # type 01, an Ed25519 key that signs no time
    ):
        with pytest.raises(FormatError):
            witness_keys.parse_witness(wrong)
    with pytest.raises(FormatError, match="1 to 128"):
        witness_keys.Witness("a witness", KNOWN.key)
