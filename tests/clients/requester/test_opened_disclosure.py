"""Opening: MP4s that play and are the signed bytes, a report a person can read, evidence anyone can check again."""

from __future__ import annotations

import datetime
import hashlib
import json
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import cv2
import msgspec
import numpy as np
import pytest

from agent import __version__
from agent.clients.media.confined import ConfinedMedia
from agent.clients.media.join import probe
from agent.clients.requester import messages
from agent.clients.requester.checks import CheckKind
from agent.clients.requester.clips import Continuity
from agent.clients.requester.disclosure_folder import AnswerFolder
from agent.clients.requester.identity import Requester, SentRequest
from agent.clients.requester.opened_disclosure import OpenedClip, OpenedDisclosure, open_disclosure
from agent.core.ledger.merkle import check_inclusion, leaf_hash
from agent.core.media import Gop, StreamDescription
from agent.core.timebase import ClockQuality, utc_date
from agent.errors import ConfigurationError, FormatError, StorageError
from agent.platform import files
from agent.recorder.capture.camera_scripted import ScriptedCamera
from agent.wire import strictjson
from agent.wire.area import Point, Polygon
from agent.wire.disclosures import ContactCard, PartKind, Receipt, ReceiptState
from agent.wire.fields import Kind
from agent.wire.messages import Contact
from agent.wire.statements import AbsenceReason, ClipClaim, FootageAbsence
from tests.cameras import gops_of, play
from tests.clients.requester.conftest import DESCRIPTION, NOW_S, ROOT_ID, filmed, question
from tests.clients.requester.house import Changes, Disclosure, House
from tests.clients.requester.test_verification import STRANGER, last_of, lay_down
from tests.damage import with_another_end
from tests.sounds import heard_from_s, track
from tests.wire import samples

AMSTERDAM = ZoneInfo("Europe/Amsterdam")


def opened(
    requester: Requester, asked: SentRequest, disclosure: Disclosure, out: Path | None = None
) -> OpenedDisclosure:
    lay_down(requester, asked, disclosure)
    return open_disclosure(requester, disclosure.id, now_s=NOW_S, out=out, zone=AMSTERDAM)


@pytest.fixture
def fresh(requester: Requester, asked: SentRequest, house: House) -> OpenedDisclosure:
    """For a test that changes it."""
    return opened(requester, asked, house.disclose(asked, contact=ContactCard(v=1, name="M. Jansen")))


@pytest.fixture(scope="module")
def its_requester(tmp_path_factory: pytest.TempPathFactory) -> Requester:
    return Requester.create(tmp_path_factory.mktemp("good") / "requester", "rijnstad-police", Kind.POLICE, ROOT_ID)


@pytest.fixture(scope="module")
def its_request(its_requester: Requester) -> SentRequest:
    return its_requester.sent_request(messages.make_request(its_requester, question(), now_s=NOW_S).id)


@pytest.fixture(scope="module")
def its_house(gops: list[Gop]) -> House:
    return filmed(gops)


@pytest.fixture(scope="module")
def good(its_requester: Requester, its_request: SentRequest, its_house: House) -> OpenedDisclosure:
    """Opened once, for all the tests that only read it."""
    disclosure = its_house.disclose(its_request, contact=ContactCard(v=1, name="M. Jansen"))
    return opened(its_requester, its_request, disclosure)


# -- footage -----------------------------------------------------------------------------------------------------------


def test_there_is_an_mp4_for_each_segment_each_clip_and_the_whole(good: OpenedDisclosure) -> None:
    assert [probe(path).seconds for path in good.mp4s] == [3.0, 2.0, 3.0]
    assert [(clip.seconds, probe(clip.mp4).seconds) for clip in good.clips if clip.mp4] == [(5.0, 5.0), (3.0, 3.0)]
    assert good.merged is not None
    assert (probe(good.merged).seconds, probe(good.merged).frames) == (8.0, 80)


def test_sound_that_was_shared_is_laid_beside_the_pictures_and_kept_as_signed(
    requester: Requester, asked: SentRequest, gops: list[Gop]
) -> None:
    house = House((NOW_S - 6000) * 1000)
    event = house.record(DESCRIPTION, gops[:3])[0].record.record.event  # type: ignore[union-attr]
    house.record(DESCRIPTION, gops[3:6], event=event, poster=False, sound=track(3, silent_s=1.5))
    made = opened(requester, asked, house.disclose(asked))
    assert made.verification.ok, made.verification.failed
    (clip,) = made.clips
    assert clip.mp4 is not None
    assert made.merged is not None
    for film in (clip.mp4, made.merged):
        (begins_s,) = heard_from_s(film)
        assert abs(begins_s - 4.5) < 0.01, "the second segment's, in time with its pictures"
        assert probe(film).seconds == 6.0
    assert clip.sounds[0] is None
    assert clip.sounds[1] is not None
    assert clip.sounds[1].read_bytes() == house.stored[-1].content
    report = words_of(made.report.read_text())
    assert "the sound of 1 segment" in report
    assert f"sound inside {hashlib.sha256(house.stored[-1].content).hexdigest()}" in report
    mute = opened(requester, asked, house.disclose(asked, [e for e in house.stored if e.kind is not PartKind.SOUND]))
    assert mute.merged is not None
    assert heard_from_s(mute.merged) == []


def test_a_segments_file_is_exactly_what_the_device_sealed(good: OpenedDisclosure, its_house: House) -> None:
    sealed = [each.content for each in its_house.stored if each.kind is PartKind.SEGMENT]
    assert [path.read_bytes() for path in good.mp4s] == sealed


def test_a_clips_picture_is_its_poster_or_else_the_first_frame(
    requester: Requester, asked: SentRequest, house: House
) -> None:
    segments = [each for each in house.stored if each.kind is PartKind.SEGMENT]
    poster = next(each for each in house.stored if each.kind is PartKind.POSTER)
    made = opened(requester, asked, house.disclose(asked, [*segments, poster]))
    first, second = (clip.picture for clip in made.clips)
    assert first is not None
    assert second is not None
    assert first.read_bytes() == poster.content
    picture = cv2.imdecode(np.frombuffer(second.read_bytes(), np.uint8), cv2.IMREAD_COLOR)
    assert picture.shape[:2] == (180, 320)


def test_a_picture_alone_makes_a_clip_without_video(requester: Requester, asked: SentRequest, house: House) -> None:
    poster = next(each for each in house.stored if each.kind is PartKind.POSTER)
    made = opened(requester, asked, house.disclose(asked, [poster]))
    assert (made.mp4s, made.merged) == ((), None)
    assert [clip.mp4 for clip in made.clips] == [None]
    assert "picture only" in made.report.read_text()


def test_that_footage_exists_is_told_as_that_and_no_more(
    requester: Requester, asked: SentRequest, gops: list[Gop]
) -> None:
    at_ms = asked.request.from_s * 1000
    clip = ClipClaim(from_ms=at_ms, to_ms=at_ms + 20_000, segments=4)
    made = opened(requester, asked, filmed(gops).disclose(asked, [], told=(clip,)))
    assert made.verification.ok
    assert (made.clips, made.merged) == ((), None)
    said = words_of(made.report.read_text())
    assert "what one camera's owner chose to say in answer to this request: that there is footage, and when." in said
    assert "The owner of one camera shared: that 1 clip exists, and when" in said
    assert "Segments that match" in said
    for wrong in ("frame for frame", "differ in picture format", "segments/", "certificate.html"):
        assert wrong not in said
    assert not (made.folder / "certificate.html").exists()
    document = json.loads((made.bundle / "bundle.json").read_text())
    assert document["shared"] == {"segments": 0, "posters": 0, "sounds": 0, "clips_told": 1}
    assert document["clips_told"][0]["segments"] == 4
    assert "For some, the order was not signed at capture" in said


def of(house: House, kind: PartKind = PartKind.SEGMENT) -> list[Any]:
    return [each for each in house.stored if each.kind is kind]


@pytest.mark.parametrize(
    ("chosen", "continuity"),
    [((0, 1, 2), "unbroken"), ((1, 2), "unbroken"), ((0, 2), "broken"), ((1,), None)],
)
def test_the_report_says_whether_segments_of_a_clip_follow_one_another_as_they_were_recorded(
    requester: Requester, asked: SentRequest, gops: list[Gop], chosen: tuple[int, ...], continuity: str | None
) -> None:
    house = House((NOW_S - 6000) * 1000)
    for at in range(3):
        house.record(DESCRIPTION, gops[at : at + 1], event="a" * 26, poster=False)
    made = opened(requester, asked, house.disclose(asked, [of(house)[number] for number in chosen]))
    document = json.loads((made.bundle / "bundle.json").read_text())
    assert [clip["continuity"] for clip in document["clips"]] == [continuity]
    said = words_of(made.report.read_text())
    for each in Continuity:
        assert (each.value in said) is (each.name.lower() == continuity)


def test_footage_from_before_still_verifies_and_the_report_says_what_it_lacks(
    requester: Requester, asked: SentRequest, gops: list[Gop]
) -> None:
    house = filmed(gops)
    house.changes = Changes(record=lambda record: msgspec.structs.replace(record, prev_in_clip=None))
    house.record(DESCRIPTION, gops[:1], event=of(house)[0].record.record.event, poster=False)
    made = opened(requester, asked, house.disclose(asked, of(house)))
    assert made.verification.ok
    assert Continuity.UNSIGNED.value in words_of(made.report.read_text())


def test_of_a_clip_that_is_told_of_the_report_says_how_much_was_shared(
    requester: Requester, asked: SentRequest, gops: list[Gop]
) -> None:
    house = filmed(gops)
    spans = [each.record.record.span for each in house.stored if each.kind is PartKind.SEGMENT]
    clip = ClipClaim(from_ms=spans[0].start_ms, to_ms=spans[1].end_ms, segments=2)
    first = next(each for each in house.stored if each.kind is PartKind.SEGMENT)
    poster = next(each for each in house.stored if each.kind is PartKind.POSTER)
    made = opened(requester, asked, house.disclose(asked, [first, poster], told=(clip,)))
    document = json.loads((made.bundle / "bundle.json").read_text())
    assert document["shared"] == {"segments": 1, "posters": 1, "sounds": 0, "clips_told": 1}
    assert (document["clips_told"][0]["segments"], document["clips_told"][0]["shared"]) == (2, 1)
    tree = json.loads((made.bundle / "clip-01-tree.json").read_text())
    (proof,) = tree["proofs"]
    assert (len(tree["leaves"]), proof["index"], proof["segment"]) == (2, 0, first.id)
    path = [bytes.fromhex(node) for node in proof["path"]]
    check_inclusion(leaf_hash(first.record.line), 0, 2, bytes.fromhex(tree["root"]), path)
    assert tree["prev_in_clip"] == "00" * 32
    assert "made at capture, fixes all records before it" in words_of(made.report.read_text())
    stayed = [each for each in house.stored if each.kind is PartKind.SEGMENT][1]
    assert tree["leaves"][1] == leaf_hash(stayed.record.line).hex()  # a hash, and nothing else of it:
    assert stayed.record.line.decode() not in (made.bundle / "records.jsonl").read_text()
    assert tree["root"] in made.report.read_text()
    assert "1 poster: a still picture of a clip, without its video" in words_of(made.report.read_text())


def test_nothing_is_said_of_what_the_owner_sees(good: OpenedDisclosure) -> None:
    """A device could show one requester an invented ledger. One signed head does not rule it out."""
    checks = {check.kind: check for check in good.verification.checks}
    assert "To find out if the owner has this ledger" in checks[CheckKind.LEDGER].said
    report = words_of(good.report.read_text())
    assert "owner sees the same ledger" not in report
    assert "That the owner has this ledger" in report
    assert "before anything left" not in report
    assert "before anything was sent" not in words_of((good.folder / "certificate.html").read_text())


def acknowledged(requester: Requester, asked: SentRequest, disclosure: Disclosure, /, **changes: object) -> None:
    """Keep the receipt beside it, as receiving does."""
    values: dict[str, object] = {"disclosure": disclosure.id, "request": asked.request.id, "requester": requester.id}
    values |= {"state": ReceiptState.COMPLETE, "incomplete": (), "retention_days": 90, "time_s": NOW_S}
    answer = lay_down(requester, asked, disclosure)
    origin = answer.origin()
    assert origin is not None
    receipt = samples.receipt(**{**values, "manifest": origin.sha256, **changes})
    answer.keep_receipt(requester.sign(Receipt.PAYLOAD_TYPE, receipt))


def test_our_own_receipt_stands_in_report_and_bundle(requester: Requester, asked: SentRequest, house: House) -> None:
    disclosure = house.disclose(asked)
    acknowledged(requester, asked, disclosure)
    made = open_disclosure(requester, disclosure.id, now_s=NOW_S, zone=AMSTERDAM)
    assert "kept for 90 days" in words_of(made.report.read_text())
    assert json.loads((made.bundle / "bundle.json").read_text())["receipt"]["retention_days"] == 90
    assert (made.bundle / "by-hand" / "receipt.signature").is_file()
    assert "receipt:requester" in made.report.read_text()
    said = words_of(made.report.read_text())
    assert "This report does not know if the owner's device has received it" in said
    assert "owner has the same receipt" not in said
    loop = ["openssl", "pkeyutl", "-verify", "-pubin", "-inkey", "requester.pem", "-rawin", "-in", "receipt.signed"]
    done = subprocess.run([*loop, "-sigfile", "receipt.signature"], cwd=made.bundle / "by-hand", capture_output=True)
    assert done.returncode == 0


@pytest.mark.parametrize(
    "changes",
    [
        {"disclosure": "e" * 32},
        {"request": "e" * 32},
        {"manifest": "e" * 64},
        {"manifest": None, "state": ReceiptState.PARTIAL},
        {"state": ReceiptState.PARTIAL},
        {"state": ReceiptState.REFUSED},
    ],
    ids=str,
)
def test_a_receipt_for_something_else_or_less_than_all_of_it_proves_nothing(
    requester: Requester, asked: SentRequest, house: House, changes: dict[str, Any]
) -> None:
    disclosure = house.disclose(asked)
    acknowledged(requester, asked, disclosure, **changes)
    made = open_disclosure(requester, disclosure.id, now_s=NOW_S, zone=AMSTERDAM)
    assert made.verification.ok
    assert made.verification.receipt is None
    assert not (made.bundle / "receipt.dsse").exists()


def test_a_certificate_is_filled_in_as_far_as_a_program_can(good: OpenedDisclosure, its_request: SentRequest) -> None:
    page = (good.folder / "certificate.html").read_text()
    said = words_of(page)
    for words in (
        "Federal Rules of Evidence 902(13) and 902(14)",
        "A template, filled in by a program.",
        f"Case {its_request.request.case}",
        good.verification.disclosure,
        "penalty of perjury",
        "I am qualified to make this certificate",
    ):
        assert words in said, words
    assert "<script" not in page
    assert "http" not in page.replace("http-equiv", "")


def test_the_reports_table_gives_each_file_its_hashes_by_their_names(good: OpenedDisclosure) -> None:
    said = words_of(good.report.read_text())
    for each in good.verification.items:
        inside = "video" if each.item.part.kind is PartKind.SEGMENT else "picture"
        row = ("file received", each.item.part.sha256, "sealed content", each.item.approved.sent_payload_sha256,
               f"{inside} inside", each.opened_sha256, "device's record", each.item.captured.sha256)  # fmt: skip
        assert re.search(r"\s*".join(map(re.escape, row)), said), row


def test_a_certificate_names_each_file_with_its_time_and_its_three_hashes(good: OpenedDisclosure) -> None:
    said = words_of((good.folder / "certificate.html").read_text())
    for each in good.verification.items:
        begin, end = (f"{utc_date(ms):%Y-%m-%d %H:%M:%S} UTC" for ms in (each.span.start_ms, each.span.end_ms))
        row = (str(each.number), each.item.part.kind.value, begin, "to", end, "clock synced",
               "opened", each.opened_sha256, "as received", each.item.part.sha256,
               "record", each.item.captured.sha256)  # fmt: skip
        assert re.search(r"\s*".join(map(re.escape, row)), said), row
    assert len({each.opened_sha256 for each in good.verification.items}) == len(good.verification.items)
    for doubt in ("redacted", "cannot be opened", "power failure", "not set by a trusted source"):
        assert doubt not in said


def test_a_certificate_says_what_the_answer_and_its_verification_were(
    good: OpenedDisclosure, its_request: SentRequest
) -> None:
    said = words_of((good.folder / "certificate.html").read_text())
    disclosed, request = good.verification.disclosed, its_request.request
    assert disclosed is not None
    begin, end, verified, agreed = (
        f"{utc_date(ms):%Y-%m-%d %H:%M:%S} UTC"
        for ms in (request.from_s * 1000, request.to_s * 1000, NOW_S * 1000, disclosed.approval.owner_time_ms)
    )
    for words in (
        f"They are the {len(good.verification.items)} files listed below",
        f"footage request {request.id}, which asked for the time from {begin} to {end}",
        f"the public key {disclosed.manifest.device}.",
        f"The key “{disclosed.approver}” of the device's owner signed",
        f"on {agreed} by the owner's clock",
        f"as entry {disclosed.manifest.ledger.index}",
        f"with Doorward {__version__} on {verified}",
        f"All {len(good.verification.checks)} checks passed",
    ):
        assert words in re.sub(r" ([,.])", r"\1", said), words


def test_every_paper_names_the_same_date_of_a_segment_found_after_a_power_cut(
    requester: Requester, asked: SentRequest, house: House
) -> None:
    """The clock was set while it was recorded, so its first and its last word differ by seven minutes."""
    whole = house.stored[3]
    house.power_cut(whole, len(whole.data), begun_late_ms=-420_000)
    made = opened(requester, asked, house.disclose(asked, [last_of(house, whole.id)]))
    assert made.verification.ok, made.verification.failed
    (segment,) = made.verification.segments
    assert segment.context is not None
    assert segment.context.span.start_ms != segment.item.record.span.start_ms
    starts_ms = segment.item.record.span.start_ms
    times = [datetime.datetime.fromtimestamp(ms / 1000, datetime.UTC) for ms in (starts_ms, starts_ms + 3000)]
    certificate = words_of((made.folder / "certificate.html").read_text())
    assert re.search(rf"{times[0]:%Y-%m-%d %H:%M:%S} UTC ?to {times[1]:%Y-%m-%d %H:%M:%S} UTC", certificate)
    report = words_of(made.report.read_text())
    local = [each.astimezone(AMSTERDAM) for each in times]
    assert f"{local[0]:%H:%M:%S} to {local[1]:%H:%M:%S}" in report
    assert f"{local[0]:%Y-%m-%d %H:%M:%S %z}" in report
    document = json.loads((made.bundle / "bundle.json").read_text())
    (clip,) = document["clips"]
    (stated,) = clip["segments"]
    assert (stated["start_ms"], stated["end_ms"]) == (starts_ms, starts_ms + 3000)


def test_nothing_is_certified_that_does_not_verify(requester: Requester, asked: SentRequest, house: House) -> None:
    disclosure = house.disclose(asked)
    disclosure.parts[1] = with_another_end(disclosure.parts[1])
    made = opened(requester, asked, disclosure)
    assert not made.verification.ok
    assert not (made.folder / "certificate.html").exists()


def test_clips_of_different_picture_formats_stand_on_their_own(
    requester: Requester, asked: SentRequest, house: House
) -> None:
    small = gops_of(play(ScriptedCamera([], duration_s=2, size_px=(160, 96)))[1])
    house.record(StreamDescription(160, 96, 10, 160, 96, False), small)
    made = opened(requester, asked, house.disclose(asked))
    assert made.merged is None
    assert len(made.clips) == 3
    assert "differ in picture format" in made.report.read_text()


def test_order_is_the_devices_and_not_its_clocks(requester: Requester, asked: SentRequest, gops: list[Gop]) -> None:
    house = House((NOW_S - 6000) * 1000)
    first = house.record(DESCRIPTION, gops[8:10])
    house.start_ms -= 600_000  # the clock is set back
    second = house.record(DESCRIPTION, gops[0:2])
    made = opened(requester, asked, house.disclose(asked, [*second, *first]))
    assert [clip.segments[0].id for clip in (each.clip for each in made.clips)] == [first[0].id, second[0].id]


def test_a_cut_segment_opens_and_the_report_says_what_is_not_known(
    requester: Requester, asked: SentRequest, house: House, gops: list[Gop]
) -> None:
    last = house.record(DESCRIPTION, gops, poster=False)[0]
    house.power_cut(last, len(last.data) * 2 // 3)
    made = opened(requester, asked, house.disclose(asked, [last_of(house, last.id)]))
    assert 0 < probe(made.mp4s[0]).seconds < 12
    text = made.report.read_text()
    assert "interrupted by a power failure" in text
    assert "date and time are in doubt" in text


def with_gaps(*gaps: FootageAbsence) -> Changes:
    return Changes(approval=lambda approval: msgspec.structs.replace(approval, gaps=gaps))


def test_the_rest_of_the_window_is_told_only_when_the_owner_approved_it(
    requester: Requester, asked: SentRequest, gops: list[Gop]
) -> None:
    start_ms = asked.request.from_s * 1000
    gaps = (
        FootageAbsence(from_ms=start_ms, to_ms=start_ms + 900_000, reason=AbsenceReason.NOTHING),
        FootageAbsence(from_ms=start_ms + 900_000, to_ms=start_ms + 1_000_000, reason=AbsenceReason.PRIVACY),
    )
    made = opened(requester, asked, filmed(gops, with_gaps(*gaps)).disclose(asked))
    assert made.verification.ok
    text = made.report.read_text()
    assert text.index("The rest of the window") < text.index("nothing happened") < text.index("privacy switch")


def test_nothing_is_told_of_the_rest_of_the_window_otherwise(
    requester: Requester, asked: SentRequest, house: House
) -> None:
    text = opened(requester, asked, house.disclose(asked)).report.read_text()
    assert "The rest of the window" not in text
    assert "privacy switch" not in text


def test_a_statement_about_more_than_the_window_does_not_verify(
    requester: Requester, asked: SentRequest, gops: list[Gop]
) -> None:
    start_ms = asked.request.from_s * 1000
    early = FootageAbsence(from_ms=start_ms - 1, to_ms=start_ms + 1000, reason=AbsenceReason.DEVICE_OFF)
    assert not opened(requester, asked, filmed(gops, with_gaps(early)).disclose(asked)).verification.ok


# -- nothing half-believed ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "changes",
    [
        Changes(approval_key=STRANGER),
        Changes(record=lambda record: msgspec.structs.replace(record, key="5e" * 32)),
    ],
    ids=["forged approval", "last segment wrong"],
)
def test_when_a_check_fails_there_is_a_verdict_and_not_one_frame(
    changes: Changes, requester: Requester, asked: SentRequest, gops: list[Gop]
) -> None:
    made = opened(requester, asked, filmed(gops, changes).disclose(asked))
    assert not made.verification.ok
    assert (made.mp4s, made.clips, made.merged) == ((), (), None)
    assert sorted(path.name for path in made.folder.rglob("*") if path.is_file()) == [
        "SHA256SUMS",
        "bundle.json",
        "report.html",
        "request.dsse",
    ]
    text = made.report.read_text()
    assert "This disclosure does not verify. Do not rely on it." in text
    assert "data:image" not in text
    assert json.loads((made.bundle / "bundle.json").read_text())["verdict"]["ok"] is False


def test_opening_again_replaces_what_it_wrote_and_nothing_else(
    requester: Requester, fresh: OpenedDisclosure, tmp_path: Path
) -> None:
    (fresh.folder / "all.mp4").write_bytes(b"spoiled")
    again = open_disclosure(requester, fresh.verification.disclosure, now_s=NOW_S)
    assert again.merged is not None
    assert probe(again.merged).frames == 80
    mine = tmp_path / "holiday"
    mine.mkdir()
    (mine / "film.mp4").write_bytes(b"mine")
    with pytest.raises(ConfigurationError, match="--out"):
        open_disclosure(requester, fresh.verification.disclosure, now_s=NOW_S, out=mine)
    assert (mine / "film.mp4").read_bytes() == b"mine"


def test_an_interrupted_opening_leaves_no_half_folder(
    requester: Requester, asked: SentRequest, house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    def dies(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("agent.clients.requester.opened_disclosure.render", dies)
    with pytest.raises(KeyboardInterrupt):
        opened(requester, asked, house.disclose(asked))
    assert list((requester.folder / "opened").iterdir()) == []


# -- the report --------------------------------------------------------------------------------------------------------


class Tags(HTMLParser):
    """The text that a browser would show."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs

    def handle_data(self, data: str) -> None:
        self.text += data


def words_of(text: str) -> str:
    return " ".join(Tags(text).text.split())


def test_the_report_says_what_was_asked_received_and_checked(good: OpenedDisclosure, its_request: SentRequest) -> None:
    said = words_of(good.report.read_text())
    for words in (
        "Footage disclosed in case 2027-0114",
        "Every check holds.",
        "rijnstad-police (police)",
        "Friday 15 January 2027, 07:00:00 (2027-01-15 06:00:00 UTC)",
        "300 m around 52.37020, 4.89520 (282 743 m²)",
        "A burglary in the street; somebody may have passed your door.",
        "The owner of one camera shared: 3 segments of video in 2 clips, 8.0 s in all",
        "Times are in UTC+01:00",
        "Clip 1 5.0 s Friday 15 January 2027 07:20:00 to 07:20:05",
        "from 0:05.0 in all.mp4",
        "M. Jansen",
        "Clock synchronised: set by a time source",
        "What is proven",
        "What is not proven",
        its_request.request.id,
    ):
        assert words in said, words
    for check in good.verification.checks:
        assert check.kind.value in said
        assert check.said in said


def test_every_hash_that_matters_stands_in_the_report(good: OpenedDisclosure) -> None:
    text = good.report.read_text()
    for each in good.verification.items:
        assert each.item.part.sha256 in text
        assert each.item.approved.payload_sha256 in text
        assert each.opened_sha256 in text
        assert each.item.captured.sha256 in text


def test_the_report_is_one_file_that_loads_and_runs_nothing(good: OpenedDisclosure) -> None:
    text = good.report.read_text()
    seen = Tags(text)
    assert not {"script", "link", "iframe", "object", "embed", "form", "base", "a", "video"} & set(seen.tags)
    assert "default-src 'none'" in text
    for name, value in seen.attributes:
        assert not name.startswith("on")
        assert name not in ("href", "action", "srcset")
        assert name != "src" or (value or "").startswith("data:image/jpeg;base64,")
    assert not re.search(r"https?:|@import|url\(", text)


HOSTILE = "<script>alert(1)</script> <img src=x onerror=alert(1)> {{ 7*7 }} {% raw %} \" ' & </dd></main>"


def test_hostile_texts_are_text(requester: Requester, gops: list[Gop]) -> None:
    asked = requester.sent_request(
        messages.make_request(
            requester,
            question(case=HOSTILE[:64], description=HOSTILE, contact=Contact(name=HOSTILE[:90], phone="0123456")),
            now_s=NOW_S,
        ).id
    )
    card = ContactCard(v=1, name=HOSTILE, street=HOSTILE, email="desk@example.org", note=HOSTILE)
    made = opened(requester, asked, filmed(gops).disclose(asked, contact=card))
    assert made.verification.contact == card
    text = made.report.read_text()
    seen = Tags(text)
    assert "script" not in seen.tags
    assert not any(name.startswith("on") for name, _ in seen.attributes)
    assert seen.text.count(HOSTILE) == 4


@pytest.mark.parametrize(
    ("quality", "words"),
    [
        (ClockQuality.SYNCED, "accurate to about a second"),
        (ClockQuality.HELD, "it may be off by seconds"),
        (ClockQuality.UNKNOWN, "date and hour may be wrong"),
    ],
)
def test_the_report_says_what_the_clock_was_worth(
    quality: ClockQuality, words: str, requester: Requester, asked: SentRequest, gops: list[Gop]
) -> None:
    text = words_of(opened(requester, asked, filmed(gops, quality=quality).disclose(asked)).report.read_text())
    assert words in text
    assert ("date and time are in doubt" in text) is (quality is ClockQuality.UNKNOWN)


def test_a_polygon_is_described_and_drawn(requester: Requester, gops: list[Gop]) -> None:
    corners = ((52.368, 4.89), (52.368, 4.9), (52.374, 4.9), (52.374, 4.89))
    area = Polygon(vertices=tuple(Point(lat=lat, lon=lon) for lat, lon in corners))
    asked = requester.sent_request(messages.make_request(requester, question(area=area), now_s=NOW_S).id)
    text = opened(requester, asked, filmed(gops).disclose(asked)).report.read_text()
    assert "a polygon of 4 corners" in text
    assert 'polygon points="' in text


def test_the_same_disclosure_makes_the_same_report(requester: Requester, fresh: OpenedDisclosure) -> None:
    before = fresh.report.read_bytes()
    again = open_disclosure(requester, fresh.verification.disclosure, now_s=NOW_S, zone=AMSTERDAM)
    assert again.report.read_bytes() == before


# -- the evidence ------------------------------------------------------------------------------------------------------


def test_the_bundle_says_the_verdict_to_machines(good: OpenedDisclosure, its_request: SentRequest) -> None:
    document = json.loads((good.bundle / "bundle.json").read_text())
    assert document["format"] == "doorward-evidence/1"
    assert document["verdict"] == {"ok": True, "failed": None}
    assert document["request"]["id"] == its_request.request.id
    assert [len(clip["segments"]) for clip in document["clips"]] == [2, 1]
    for clip in document["clips"]:
        for segment in clip["segments"]:
            media = (good.folder / segment["mp4"]).read_bytes()
            assert hashlib.sha256(media).hexdigest() == segment["sha256_opened"]
            part = (good.bundle / segment["part"]).read_bytes()
            assert hashlib.sha256(part).hexdigest() == segment["sha256_part"]


def test_the_bundle_holds_no_secret_and_not_what_the_owner_said_of_themselves(
    good: OpenedDisclosure, its_request: SentRequest
) -> None:
    secret = its_request.reply_identity().secret_text().encode()
    for path in good.bundle.rglob("*"):
        if path.is_file():
            data = path.read_bytes()
            assert secret not in data
            assert b"Jansen" not in data
            assert b"PRIVATE" not in data


def test_the_sums_cover_every_other_file(good: OpenedDisclosure) -> None:
    lines = (good.bundle / "SHA256SUMS").read_text().splitlines()
    listed = {line.split("  ", 1)[1]: line.split("  ", 1)[0] for line in lines}
    found = {str(path.relative_to(good.bundle)) for path in good.bundle.rglob("*") if path.is_file()}
    assert found - {"SHA256SUMS", "SHA256SUMS.signature"} == listed.keys()
    for name, digest in listed.items():
        assert hashlib.sha256((good.bundle / name).read_bytes()).hexdigest() == digest


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not installed")
def test_every_signature_repeats_by_hand_with_openssl_as_the_report_says(good: OpenedDisclosure) -> None:
    text = Tags(good.report.read_text()).text
    commands = text[text.index("(cd bundle") : text.index("The signed bytes are readable")]
    for start in ("tail --bytes", "sha256sum segments/"):
        command, _, rest = text[text.index(start) :].partition("\n")
        commands += f'\n[ "$({command} | cut -d " " -f 1)" = {rest.split()[0]} ]'  # where the first has left us
    done = subprocess.run(["sh", "-e", "-c", commands], cwd=good.folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("Signature Verified Successfully") == 3 + 3
    assert "FAILED" not in done.stdout


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not installed")
def test_a_changed_statement_fails_by_hand_too(fresh: OpenedDisclosure) -> None:
    folder = fresh.bundle / "by-hand"
    data = bytearray((folder / "manifest.signed").read_bytes())
    data[-2] ^= 1
    (folder / "manifest.signed").write_bytes(data)
    command = "openssl pkeyutl -verify -pubin -inkey device.pem -rawin -in manifest.signed -sigfile manifest.signature"
    done = subprocess.run(command.split(), cwd=folder, capture_output=True, check=False)
    assert done.returncode != 0


def test_times_are_told_in_the_zone_that_was_asked_for(requester: Requester, fresh: OpenedDisclosure) -> None:
    again = open_disclosure(requester, fresh.verification.disclosure, now_s=NOW_S, zone=datetime.UTC)
    assert "Times are in UTC+00:00" in words_of(again.report.read_text())


@pytest.mark.interop
def test_another_age_implementation_opens_a_received_part_with_the_reply_identity(
    good: OpenedDisclosure, its_requester: Requester, its_request: SentRequest, tmp_path: Path
) -> None:
    interop = Path(__file__).parents[2] / "interop"
    node = shutil.which("node")
    if node is None or not (interop / "node_modules/age-encryption").is_dir():
        pytest.skip("npm age-encryption is not installed: run `npm ci` in tests/interop")
    part = good.bundle / "parts" / "1.age"
    identity = its_requester.folder / "requests" / its_request.request.id / "reply.identity"
    command = [node, "open.mjs", str(identity), str(part), str(tmp_path / "opened")]
    done = subprocess.run(command, cwd=interop, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    first = good.verification.segments[0]
    media = (tmp_path / "opened").read_bytes()[: first.opened_bytes]
    assert hashlib.sha256(media).hexdigest() == first.opened_sha256
    assert f"head --bytes={first.opened_bytes} | sha256sum\n{first.opened_sha256}" in good.report.read_text()
    told = re.search(r"tail --bytes=(\d+) bundle/parts/1.age \| sha256sum\n([0-9a-f]{64})", good.report.read_text())
    assert told is not None
    assert hashlib.sha256(part.read_bytes()[-int(told[1]) :]).hexdigest() == told[2]
    assert f'"sha256_payload":"{told[2]}"' in (good.bundle / "by-hand" / "record-001.signed").read_text()


def test_on_a_disk_without_hard_links_the_bundle_holds_copies(
    requester: Requester, asked: SentRequest, house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_links(*_: object) -> None:
        raise PermissionError("no hard links")

    monkeypatch.setattr("agent.clients.requester.sealed_parts.os.link", no_links)
    disclosure = house.disclose(asked)
    made = opened(requester, asked, disclosure)
    parts = [path for path in made.bundle.rglob("*.age") if path.name == "1.age"]
    assert [path.read_bytes() for path in parts] == [disclosure.parts[1]]
    assert parts[0].stat().st_nlink == 1


def test_the_bundle_holds_each_statement_word_for_word_and_everything_as_it_was_received(
    good: OpenedDisclosure, its_requester: Requester, its_request: SentRequest
) -> None:
    disclosed = good.verification.disclosed
    assert disclosed is not None
    manifest = disclosed.manifest
    texts = {
        "request.dsse": its_request.envelope,
        "manifest.dsse": good.verification.statements,
        "approval.dsse": manifest.approval.encode(),
        "enrolment-001.dsse": manifest.enrolments[0].encode(),
        "ledger-checkpoint.txt": manifest.ledger.checkpoint.encode(),
        "ledger-proof.json": strictjson.encode(manifest.ledger),
        "records.jsonl": "".join(f"{line}\n" for line in manifest.records).encode(),
    }
    answer = AnswerFolder(its_requester.folder, good.verification.disclosure)
    texts |= {f"parts/{number}.age": (answer.path / f"{number}.age").read_bytes() for number in range(6)}
    for name, data in texts.items():
        assert (good.bundle / name).read_bytes() == data, name
    signed = (
        "request",
        "manifest",
        "approval",
        "checkpoint",
        "enrolment-001",
        *(f"record-{number:03}" for number in range(1, 4)),
    )
    by_hand = {f"{name}.{suffix}" for name in signed for suffix in ("signed", "signature")}
    by_hand |= {f"{name}.pem" for name in ("device", "owner", "requester", "enrolment-001")}
    by_hand |= {f"{name}-mldsa.pem" for name in ("device", "owner", "enrolment-001")}
    by_hand |= {f"{name}.mldsa-signature" for name in ("manifest", "approval", "enrolment-001", "checkpoint")}
    by_hand |= {"checkpoint.mldsa-signed", "ledger-entry", "ledger-node-01", "ledger-node-02", "record-002.before"}
    found = {str(path.relative_to(good.bundle)) for path in good.bundle.rglob("*") if path.is_file()}
    sums = {"SHA256SUMS", "SHA256SUMS.signature", "FILES.sha256"}
    assert found == {*texts, "bundle.json", "VERIFY.txt", *sums, *(f"by-hand/{name}" for name in by_hand)}


def test_an_opening_that_fails_leaves_what_was_there_and_nothing_half(
    requester: Requester, asked: SentRequest, house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    disclosure = house.disclose(asked)
    made = opened(requester, asked, disclosure)
    assert made.merged is not None
    assert (made.merged.name, made.merged.parent) == ("all.mp4", made.folder)
    before = made.report.read_bytes()

    def full(*_: object, **__: object) -> None:
        raise StorageError("The disk is full.")

    monkeypatch.setattr("agent.clients.requester.opened_disclosure.render", full)
    with pytest.raises(StorageError):
        open_disclosure(requester, disclosure.id, now_s=NOW_S + 1, zone=AMSTERDAM)
    assert made.report.read_bytes() == before
    assert [path.name for path in made.folder.parent.iterdir()] == [disclosure.id]


def test_what_was_opened_has_its_name_on_the_disk_before_it_is_told(
    requester: Requester, asked: SentRequest, house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[list[str]] = []
    sync = files.sync_folder

    def noted(path: Path) -> None:
        synced.append(sorted(each.name for each in path.iterdir()))
        sync(path)

    monkeypatch.setattr(files, "sync_folder", noted)
    done = opened(requester, asked, house.disclose(asked))
    assert synced[-1] == [done.report.parent.name]


# -- every file, and every path that is told ---------------------------------------------------------------------------


def files_below(folder: Path, but: str = "bundle") -> set[str]:
    found = (path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    return {str(path) for path in found if path.parts[0] != but}


def test_each_file_has_its_name_and_each_path_that_is_told_leads_to_it(
    requester: Requester, asked: SentRequest, gops: list[Gop]
) -> None:
    house = House((NOW_S - 6000) * 1000)
    event = house.record(DESCRIPTION, gops[:2], sound=track(2))[0].record.record.event  # type: ignore[union-attr]
    house.record(DESCRIPTION, gops[2:4], event=event, poster=False)
    house.record(DESCRIPTION, gops[8:10])
    made = opened(requester, asked, house.disclose(asked))
    folder = requester.folder / "opened" / made.verification.disclosure
    first, second = made.clips
    assert made == OpenedDisclosure(
        made.verification, folder, folder / "report.html", folder / "bundle", made.clips, folder / "all.mp4"
    )
    assert first == OpenedClip(
        first.clip,
        folder / "clips/clip-01.mp4",
        (folder / "segments/segment-001.mp4", folder / "segments/segment-002.mp4"),
        folder / "pictures/clip-01.jpg",
        4.0,
        (folder / "sounds/segment-001-sound.mp4", None),
        "",
    )
    assert second == OpenedClip(
        second.clip,
        folder / "clips/clip-02.mp4",
        (folder / "segments/segment-003.mp4",),
        folder / "pictures/clip-02.jpg",
        2.0,
        (None,),
        "",
    )
    assert files_below(folder) == {
        "report.html", "certificate.html", "all.mp4", "clips/clip-01.mp4", "clips/clip-02.mp4",
        "segments/segment-001.mp4", "segments/segment-002.mp4", "segments/segment-003.mp4",
        "sounds/segment-001-sound.mp4", "pictures/clip-01.jpg", "pictures/clip-02.jpg",
    }  # fmt: skip
    assert not (folder / "kept").exists()
    assert made.mp4s == (*first.segments, *second.segments)


def test_opening_clears_what_an_interrupted_one_left_and_what_the_last_one_wrote(
    requester: Requester, asked: SentRequest, house: House, tmp_path: Path
) -> None:
    disclosure, out = house.disclose(asked), tmp_path / "deep" / "out"
    (half := tmp_path / "deep" / "out.making" / "kept").mkdir(parents=True)
    (half / "1").write_bytes(b"half")
    (half.parent / "old.txt").write_bytes(b"half")
    made = opened(requester, asked, disclosure, out)
    assert made.folder == out
    assert "old.txt" not in files_below(out)
    (out / "more.txt").write_text("of an older version")
    again = open_disclosure(requester, disclosure.id, now_s=NOW_S, out=out, zone=AMSTERDAM)
    assert "more.txt" not in files_below(again.folder)
    assert [path.name for path in out.parent.iterdir()] == ["out"]


@pytest.mark.parametrize("there", ["empty folder", "folder with films", "bundle without its list", "file"])
def test_a_place_that_opening_did_not_write_is_left_and_named(
    requester: Requester, asked: SentRequest, house: House, tmp_path: Path, there: str
) -> None:
    out = tmp_path / "out"
    match there:
        case "file":
            out.write_bytes(b"mine")
        case _:
            out.mkdir()
            if there == "folder with films":
                (out / "bundle.json").write_bytes(b"mine")
            if there == "bundle without its list":
                (out / "bundle" / "bundle.json").mkdir(parents=True)
    disclosure = house.disclose(asked)
    with pytest.raises(ConfigurationError) as raised:
        opened(requester, asked, disclosure, out)
    assert raised.value.message == f"{out} exists and holds other files."
    assert raised.value.remedy == "Choose another --out."
    assert out.exists()
    assert not (tmp_path / "out.making").exists()


def test_a_film_that_does_not_open_is_not_written_and_the_rest_of_its_clip_is(
    requester: Requester, asked: SentRequest, gops: list[Gop]
) -> None:
    films = iter([False, True, False])
    house = filmed(gops, Changes(media=lambda film: b"\0\0\0\x08free" if next(films) else film))
    made = opened(requester, asked, house.disclose(asked))
    assert len(made.verification.unopened) == 1
    assert [len(clip.segments) for clip in made.clips] == [1, 1]
    assert {name for name in files_below(made.folder) if name.startswith("segments/")} == {
        "segments/segment-001.mp4",
        "segments/segment-002.mp4",
    }
    assert b"\0\0\0\x08free" not in [(made.folder / name).read_bytes() for name in files_below(made.folder)]


def test_a_clip_of_two_picture_formats_has_no_film_and_says_why(
    requester: Requester, asked: SentRequest, gops: list[Gop]
) -> None:
    house = House((NOW_S - 6000) * 1000)
    event = house.record(DESCRIPTION, gops[:2], poster=False)[0].record.record.event  # type: ignore[union-attr]
    small = gops_of(play(ScriptedCamera([], duration_s=2, size_px=(160, 96)))[1])
    house.record(StreamDescription(160, 96, 10, 160, 96, False), small, event=event, poster=False)
    made = opened(requester, asked, house.disclose(asked))
    (clip,) = made.clips
    assert (clip.mp4, clip.seconds, made.merged) == (None, 0.0, None)
    assert clip.problem
    assert len(clip.segments) == 2
    assert clip.picture == made.folder / "pictures" / "clip-01.jpg"
    assert not [name for name in files_below(made.folder) if name.endswith(("clip-01.mp4", "all.mp4"))]
    assert clip.problem in words_of(made.report.read_text())


def test_a_clip_of_which_no_picture_decodes_has_none(
    requester: Requester, asked: SentRequest, house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    def none(*_: object) -> bytes:
        raise FormatError("No picture decodes.")

    monkeypatch.setattr(ConfinedMedia, "still", none)
    disclosure = house.disclose(asked, [each for each in house.stored if each.kind is PartKind.SEGMENT])
    made = opened(requester, asked, disclosure)
    assert [clip.picture for clip in made.clips] == [None, None]
    assert "data:image" not in made.report.read_text()
    assert not [name for name in files_below(made.folder) if name.startswith("pictures/")]


def test_a_disk_that_fails_while_a_film_is_kept_is_named(
    requester: Requester, asked: SentRequest, house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = Path.write_bytes

    def fails(path: Path, data: bytes) -> int:
        if path.parent.name == "kept":
            raise OSError(28, "No space left on device")
        return whole(path, data)

    disclosure = house.disclose(asked)
    lay_down(requester, asked, disclosure)
    monkeypatch.setattr(Path, "write_bytes", fails)
    made = open_disclosure(requester, disclosure.id, now_s=NOW_S)
    assert not made.verification.ok
    failed = made.verification.failed
    assert failed is not None
    assert "No space left on device" in failed.said
