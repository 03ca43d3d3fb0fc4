"""A film that its owner redacted, from the doorbell through a broker to the requester's report."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.clients.media.redact import require_covered
from agent.clients.owner.decisions import ShareChoice, approve
from agent.clients.owner.redaction import read_plan
from agent.clients.owner.review import RequestReview
from agent.clients.requester.content_credentials import has_c2pa
from agent.clients.requester.opened_disclosure import open_disclosure
from agent.clients.requester.receiving_service import ReceiverEvent
from agent.wire.fields import Kind
from tests.clients.requester.credentials_readers import credentials_are_valid, read_with_c2pa_ts
from tests.clients.requester.evidence_changes import AGE, STATEMENTS, Forger, Laboratory, Layout
from tests.clients.requester.evidence_folder import KEY, Stranger
from tests.lengths import LONG
from tests.scenarios.street import NO_CAMERA, Asker, Street, a_street, until

pytestmark = [pytest.mark.broker, pytest.mark.footage]

PLAN = {"redactions": [{"segment": 2, "kind": "face", "places": [[0, 30, 20, 20, 30], [3, 50, 20, 20, 30]]}]}


MANIPULATIONS = (
    Forger.a_sealed_file_dropped,
    Forger.two_sealed_files_exchanged,
    Forger.a_sealed_film_with_the_end_of_another,
    Forger.a_film_or_still_dropped,
    Forger.two_films_exchanged,
    Forger.two_pictures_of_a_film_exchanged,
    Forger.a_gop_dropped_from_a_film,
    Forger.half_of_another_film,
    Forger.a_film_of_another_doorbell,
    Forger.a_film_with_other_times,
    Forger.a_film_encoded_and_sealed_again,
    Forger.the_covered_film_encoded_and_sealed_again,
    Forger.a_wrong_list_of_covers,
    Forger.a_wrong_list_of_covers_sealed_again,
    Forger.a_record_dropped,
    Forger.two_records_exchanged,
    Forger.a_record_of_another_time_signed_by_the_forger,
    Forger.a_yes_signed_by_the_forger,
    Forger.another_window_of_the_request_signed_by_the_requester,
    Forger.an_entry_of_the_ledger_of_another_time,
)
OF_COPIES = (
    Forger.a_copy_without_its_credentials,
    Forger.the_credentials_of_two_copies_exchanged,
    Forger.another_list_of_covers_in_the_credentials,
    Forger.a_record_of_another_time_in_the_credentials,
    Forger.another_picture_in_a_copy,
)


@pytest.fixture
def street(tmp_path: Path) -> Iterator[Street]:
    with a_street(tmp_path) as found:
        yield found


@pytest.mark.parametrize("one_of", [pytest.param(1, marks=LONG), 8], ids=["all", "share"])
def test_the_requester_gets_the_redacted_film_and_a_stranger_notices_each_manipulation(
    street: Street, footage: Path, tmp_path: Path, one_of: int
) -> None:
    """The street's witness compares each byte that passed the broker with the approval in the ledger.

    `one_of`: with 8, the stranger tries one kind of manipulation in eight.
    """
    police = Asker(street, "rijnstad-police", Kind.POLICE)
    street.record(footage, ring_after_s=10, trusting=[police])
    street.start_agent(street.configuration(NO_CAMERA))
    request = police.ask("2026-1180")
    until(lambda: street.state_of(request) == "pending", "the request to match")
    with street.owners_link() as link:
        review = RequestReview.fetch(link, street.owner, request.id)
        chosen = tuple(each.id for each in review.segments[:3])
        plan = read_plan(json.dumps(PLAN).encode(), review)
        disclosure = approve(link, street.owner, review, ShareChoice(chosen, redactions=plan))
        recorded = [review.open(each, link).media for each in chosen]
    assert disclosure is not None
    news: list[ReceiverEvent] = []
    with police.receiving(news):
        until(lambda: street.state_of(request) == "sent", "the requester's receipt")
    opened = open_disclosure(
        police.requester, disclosure, now_s=request.not_after_s, out=tmp_path / "opened", credentials=has_c2pa()
    )
    assert opened.verification.ok, opened.verification.failed
    assert [bool(each.redactions) for each in opened.verification.segments] == [False, True, False]
    films = [path.read_bytes() for path in opened.mp4s]
    assert (films[0], films[2]) == (recorded[0], recorded[2])
    require_covered(films[1], opened.verification.segments[1].redactions)
    assert opened.merged is not None
    assert "Its owner redacted 1 of the 3 files" in opened.report.read_text()
    (opened.bundle / KEY).write_text(police.requester.sent_request(request.id).reply_identity().secret_text())
    (tmp_path / "requester").symlink_to(police.requester.folder)
    films_by_part = {
        each.number: f"../{path.relative_to(opened.folder)}"
        for each, path in zip(opened.verification.segments, opened.mp4s, strict=True)
    }
    covered = opened.verification.segments[1].number
    layout = Layout(
        {number: name for number, name in films_by_part.items() if number != covered},
        (covered, films_by_part[covered]),
        [name for number, name in films_by_part.items() if number != covered],
        street.device,
    )
    require_each_manipulation_to_be_noticed(tmp_path, layout, recorded[1], one_of)


def require_each_manipulation_to_be_noticed(evidence: Path, layout: Layout, recorded: bytes, one_of: int) -> None:
    """A stranger follows VERIFY.txt. The forger holds all keys of the requester.

    `recorded`: the film without covers, which the forger seals in the place of the covered one.
    """
    (evidence / "stranger").mkdir()
    laboratory = Laboratory(Stranger.with_copy(evidence, evidence / "stranger"), evidence, layout=layout)
    forger = Forger(laboratory, random.Random(20))
    kinds = [*MANIPULATIONS, *(OF_COPIES if has_c2pa() else ())][::one_of]
    unnoticed = [kind.__name__ for kind in kinds if not laboratory.noticed_by(laboratory.forged(kind(forger)))]
    assert unnoticed == []
    uncovered = forger.sealed_film(*layout.covered, recorded)
    assert {STATEMENTS, AGE} <= laboratory.noticed_by(laboratory.forged(uncovered))
    copies = sorted(path for path in laboratory.stranger.bundle.glob("../c2pa/*"))
    assert [path.name for path in copies if not credentials_are_valid(path)] == []
    assert not copies or {each["valid"] for each in read_with_c2pa_ts(copies)} == {True}
