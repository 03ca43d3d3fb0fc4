"""A proof of time holds at least one statement, and a stamp at least one byte."""

from __future__ import annotations

import pytest

from agent.errors import FormatError
from agent.wire.time_proofs import TimeProof, TimeStamp


def test_a_proof_without_a_statement_and_an_empty_stamp_are_refused() -> None:
    with pytest.raises(FormatError, match="at least one cosignature or stamp"):
        TimeProof(checkpoint="a note")
    with pytest.raises(FormatError, match="response: empty"):
        TimeStamp(name="stamper", response="")


def test_two_stamps_of_one_name_are_refused() -> None:
    stamp = TimeStamp(name="stamper", response="AAAA")
    assert stamp.der == bytes(3)
    with pytest.raises(FormatError, match="stamps"):
        TimeProof(checkpoint="a note", stamps=(stamp, stamp))
