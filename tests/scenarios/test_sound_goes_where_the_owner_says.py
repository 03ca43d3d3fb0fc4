"""Sound, from the microphone to a requester's film: in time with its pictures, and only where the owner said so."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from agent.clients.opening import open_bytes
from agent.clients.owner.decisions import ShareChoice, approve
from agent.clients.owner.mp4_export import export_review
from agent.clients.owner.review import RequestReview
from agent.clients.requester.opened_disclosure import open_disclosure
from agent.clients.requester.receiving_service import ReceiverEvent
from agent.errors import DoorwardError, OpenError
from agent.ipc.control_operations import GetSound
from agent.recorder.capture.microphone_file import FileMicrophone
from agent.wire.fields import Kind
from tests.contracts.test_microphone import tone, wav
from tests.lengths import LONG
from tests.scenarios.street import NO_CAMERA, Asker, Street, a_street, until
from tests.sounds import heard_from_s

pytestmark = [pytest.mark.broker, pytest.mark.footage]


@pytest.fixture
def street(tmp_path: Path) -> Iterator[Street]:
    with a_street(tmp_path) as found:
        yield found


def beeps(path: Path, seconds: int) -> Path:
    """Half a second of a tone at every full second of the footage."""
    samples = np.frombuffer(tone(seconds), "<i2").reshape(seconds, 2, -1).copy()
    samples[:, 1] = 0
    return wav(path, samples.tobytes())


@LONG
def test_sound_goes_only_where_the_owner_says(street: Street, footage: Path, tmp_path: Path) -> None:
    police = Asker(street, "rijnstad-police", Kind.POLICE)
    heard = beeps(tmp_path / "beeps.wav", 90)
    street.record(footage, ring_after_s=10, trusting=[police], open_microphone=lambda: FileMicrophone(heard))
    street.start_agent(street.configuration(NO_CAMERA))
    request = police.ask("2026-1178")
    until(lambda: street.state_of(request) == "pending", "the request to match")
    with street.owners_link() as link:
        review = RequestReview.fetch(link, street.owner, request.id)
        assert all(each.has_sound and each.record.silence is None for each in review.segments)  # type: ignore[union-attr]
        chosen = [each.id for each in review.segments[1:3]]
        disclosure = approve(link, street.owner, review, ShareChoice(tuple(chosen), sound=True))
        assert disclosure is not None
        stayed = link.fetch(GetSound(review.segments[3].id))[1]
    news: list[ReceiverEvent] = []
    with police.receiving(news):
        until(lambda: street.state_of(request) == "sent", "the requester's receipt")
    opened = open_disclosure(police.requester, disclosure, now_s=request.not_after_s)
    assert opened.verification.ok, opened.verification.failed
    assert [each.item.part.id for each in opened.verification.sounds] == chosen
    assert opened.merged is not None
    begins_s = heard_from_s(opened.merged)
    assert 8 <= len(begins_s) <= 11
    # The footage has a picture each 100 ms from second 0, and a beep at each full second: so has the film.
    phase = [begin % 1 for begin in begins_s if begin > 0.1]
    assert max(phase) - min(phase) < 0.03
    first_s = (review.segments[1].record.span.start_us - review.segments[0].record.span.start_us) / 1e6
    assert first_s > 1
    with pytest.raises(OpenError):
        open_bytes(stayed, [police.requester.sent_request(request.id).reply_identity()])


@LONG
def test_a_segment_whose_sound_is_gone_can_be_looked_at_and_shared_without_it(
    street: Street, footage: Path, tmp_path: Path
) -> None:
    police = Asker(street, "rijnstad-police", Kind.POLICE)
    heard = beeps(tmp_path / "beeps.wav", 90)
    street.record(footage, ring_after_s=10, trusting=[police], open_microphone=lambda: FileMicrophone(heard))
    street.start_agent(street.configuration(NO_CAMERA))
    request = police.ask("2026-1179")
    until(lambda: street.state_of(request) == "pending", "the request to match")
    with street.owners_link() as link:
        review = RequestReview.fetch(link, street.owner, request.id)
        first, second = (each.id for each in review.segments[:2])
        (street.state_dir / "vault" / "segments" / first[0] / f"{first}.sound.age").unlink()
        (seen, *_rest) = (export_review(review, clip, tmp_path / "seen") for clip in review.clips)
        assert len(seen.segments) == len(seen.clip.segments)
        (note,) = seen.notes
        assert note.startswith("the sound of segment 1 is left out: ")
        with pytest.raises(DoorwardError, match="sound") as refused:
            approve(link, street.owner, review, ShareChoice((first, second), sound=True))
        assert refused.value.remedy
        assert approve(link, street.owner, review, ShareChoice((first, second), sound=False)) is not None
    until(lambda: street.state_of(request) in ("approved", "sending", "sent"), "the pictures to go")
