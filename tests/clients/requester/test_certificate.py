"""A certificate is filled in from what was verified, and there is none of anything else."""

from __future__ import annotations

import dataclasses
import re

from agent.clients.requester.certificate import render_certificate
from agent.clients.requester.checks import Verification
from agent.core.timebase import utc_date
from tests.clients.requester.conftest import NOW_S
from tests.clients.requester.full_answer import FullAnswer
from tests.clients.requester.test_opened_disclosure import words_of


def certificate(verification: Verification) -> str:
    page = render_certificate(verification, now_s=NOW_S)
    assert page is not None
    return page


def test_the_table_of_a_certificate_has_each_file_with_its_state_its_times_and_its_hashes(full: FullAnswer) -> None:
    states = ["redacted by the owner", "redacted by the owner", "", "cannot be opened", "", ""]
    clocks = ["clock synced"] * 5 + ["clock unknown"]
    rows = re.findall(r"<tr><td>(.*?)</td></tr>", certificate(full.verification), re.DOTALL)
    expected = []
    for each, state, clock in zip(full.verification.items, states, clocks, strict=True):
        begin, end = (f"{utc_date(ms):%Y-%m-%d %H:%M:%S} UTC" for ms in (each.span.start_ms, each.span.end_ms))
        expected.append(
            f"{each.number}<br>{each.item.part.kind.value}{f'<br><b>{state}</b>' if state else ''}</td>"
            f"<td>{begin}<br>to {end}<br>{clock}</td>\n"
            f"<td><code>opened {each.opened_sha256}<br>as received {each.item.part.sha256}<br>"
            f"record {each.item.captured.sha256}</code>"
        )
    assert rows == expected


def test_a_certificate_says_what_does_not_hold_for_all_of_its_files(full: FullAnswer) -> None:
    said = words_of(certificate(full.verification))
    assert "1 of the files had been interrupted by a power failure" in said
    assert "This does not hold for the 2 files marked “redacted”" in said
    assert "The device's clock was not set by a trusted source" in said
    assert "The key “mira” and, as this device's owners require, the key “ben”" in said
    first_seen = "when it was first seen, on 2027-01-14 08:00:00 UTC. \n"
    assert f"{first_seen}The device's clock" in certificate(full.verification)
    sure = dataclasses.replace(full.verification, items=full.verification.items[2:3])
    said = words_of(certificate(sure))
    assert "interrupted by a power failure" not in said
    assert "redacted" not in said
    assert "The times are the device's. Its clock had been set by a time source." in said
    assert "They are the 1 file listed below" in said


def test_there_is_no_certificate_of_an_answer_that_does_not_verify_or_holds_no_file(full: FullAnswer) -> None:
    first, *others = full.verification.checks
    failed = dataclasses.replace(first, outcome=next(o for o in type(first.outcome) if o is not first.outcome))
    for changed in ({"checks": (failed, *others)}, {"disclosed": None}, {"items": ()}):
        assert render_certificate(dataclasses.replace(full.verification, **changed), now_s=NOW_S) is None  # type: ignore[arg-type]
