"""Verification: an honest disclosure holds, and a lie in any field is found by the check it belongs to."""

from __future__ import annotations

from agent.requester.answers import AnswerFolder, Origin
from agent.requester.identity import Asked, Requester
from agent.requester.verifying import CheckOutcome, Verification, verify_disclosure
from tests.requester.house import Disclosure, House


def lay_down(requester: Requester, asked: Asked, disclosure: Disclosure) -> AnswerFolder:
    """Put a disclosure on the disk as the receiver would."""
    folder = AnswerFolder(requester.folder, disclosure.id)
    size = disclosure.sizes[0]
    folder.create(
        Origin(
            v=1,
            device=disclosure.device,
            parts=len(disclosure.parts),
            size_bytes=size.size_bytes,
            sha256=size.sha256,
        )
    )
    for number, part in enumerate(disclosure.parts):
        folder.part(number).write_bytes(part)
    folder.adopt(asked.envelope)
    return folder


def verified(requester: Requester, asked: Asked, disclosure: Disclosure) -> Verification:
    lay_down(requester, asked, disclosure)
    return verify_disclosure(requester.folder, disclosure.id)


def test_an_honest_disclosure_holds_in_every_check(requester: Requester, asked: Asked, house: House) -> None:
    verification = verified(requester, asked, house.disclose(asked))
    assert verification.failed is None
    assert verification.ok
    assert [check.outcome for check in verification.checks] == [CheckOutcome.PASSED] * 10
    assert len(verification.segments) == 3
    assert len(verification.posters) == 2
