"""The report says what was asked, received and checked, with numbers in the units that a person reads."""

from __future__ import annotations

import dataclasses
import re
from types import SimpleNamespace
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import pytest

from agent import __version__
from agent.clients.requester.checks import Check, CheckedValue, CheckKind, CheckOutcome
from agent.clients.requester.clips import clips_of
from agent.clients.requester.report import (
    ReportPicture,
    _area_in_words,
    _grouped,
    _length,
    _lines,
    _offsets,
    _size,
    _sketch,
    _TimeFormatter,
    render,
)
from agent.core.timebase import utc_date
from agent.wire.area import Circle, Point, Polygon
from tests.clients.requester.conftest import NOW_S
from tests.clients.requester.full_answer import FullAnswer
from tests.clients.requester.test_opened_disclosure import AMSTERDAM, Tags


@pytest.mark.parametrize(
    ("count", "said"), [(0, "0 kB"), (499, "0 kB"), (1500, "2 kB"), (999_499, "999 kB"), (1_000_000, "1.0 MB")]
)
def test_a_size_is_in_megabytes_from_the_first_one_on(count: int, said: str) -> None:
    assert _size(count) == said


@pytest.mark.parametrize(
    ("seconds", "said"), [(0.0, "0.0 s"), (59.94, "59.9 s"), (60.0, "1 min 0 s"), (150.4, "2 min 30 s")]
)
def test_a_length_is_in_minutes_from_the_first_one_on(seconds: float, said: str) -> None:
    assert _length(seconds) == said


def test_large_numbers_are_grouped_by_three_digits() -> None:
    assert [_grouped(number) for number in (999, 1000, 1_234_567)] == ["999", "1 000", "1 234 567"]


def test_an_area_is_told_by_its_middle_or_by_its_bounds() -> None:
    circle = Circle(lat=52.3702, lon=4.8952, radius_m=300)
    size = _grouped(round(circle.size_m2))
    assert _area_in_words(circle) == f"300 m around 52.37020, 4.89520 ({size} m²)"
    corners = ((52.0, 4.0), (52.0, 4.01), (52.01, 4.01))
    polygon = Polygon(vertices=tuple(Point(lat=lat, lon=lon) for lat, lon in corners))
    size = _grouped(round(polygon.size_m2))
    assert _area_in_words(polygon) == (
        f"a polygon of 3 corners ({size} m²), between 52.00000, 4.00000 and 52.01000, 4.01000"
    )
    assert _sketch(None) is None


def test_each_clip_with_a_film_begins_where_the_films_before_it_end() -> None:
    def shown(number: int, seconds: float, *, video: bool = True) -> Any:
        return SimpleNamespace(clip=SimpleNamespace(number=number), seconds=seconds, video=video)

    pictures = [shown(1, 61.5), shown(2, 9.0, video=False), shown(3, 60.0), shown(4, 1.0)]
    assert _offsets(pictures) == {1: "0:00.0", 3: "1:01.5", 4: "2:01.5"}


def test_times_are_in_the_zone_of_the_request_as_it_is_on_its_day() -> None:
    summer_s, winter_s, last_week_of_winter_s = 1_720_000_000, 1_800_000_000, 1_805_616_000
    amsterdam = ZoneInfo("Europe/Amsterdam")
    assert _TimeFormatter(amsterdam, last_week_of_winter_s).zone_name == "UTC+01:00"
    assert _TimeFormatter(amsterdam, summer_s).zone_name == "UTC+02:00"
    told = _TimeFormatter(amsterdam, winter_s)
    assert told.zone_name == "UTC+01:00"
    at_ms = winter_s * 1000
    assert (told.day(at_ms), told.clock(at_ms), told.minute(at_ms)) == ("Friday 15 January 2027", "09:00:00", "09:00")
    assert (told.both(at_ms), told.utc(at_ms)) == ("2027-01-15 09:00:00 +0100", "2027-01-15 08:00:00 UTC")


def test_a_picture_is_in_the_report_itself_and_none_is_nothing() -> None:
    clip: Any = SimpleNamespace()
    assert ReportPicture(clip, b"jpeg", 1.0, video=True).data_uri == "data:image/jpeg;base64,anBlZw=="
    assert ReportPicture(clip, b"", 1.0, video=True).data_uri == ""


def test_without_a_readable_request_there_is_no_line_of_time() -> None:
    assert _lines(None, [], _TimeFormatter(ZoneInfo("UTC"), 0)) == []


# -- the report of a full answer ---------------------------------------------------------------------------------------


def pictures_of(answer: FullAnswer) -> list[ReportPicture]:
    """Each clip with 3.5 seconds for each film, and a still of the second."""
    return [
        ReportPicture(clip, b"jpeg" if clip.number == 2 else b"", 3.5 * len(clip.segments), bool(clip.segments))
        for clip in clips_of(answer.verification)
    ]


@pytest.fixture(scope="module")
def page(full: FullAnswer) -> str:
    return render(full.verification, pictures_of(full), True, now_s=NOW_S, zone=AMSTERDAM)


def lines_of(page: str) -> list[str]:
    """The lines that a person reads, without the spaces around them."""
    return [" ".join(line.split()) for line in Tags(page).text.splitlines() if line.strip()]


def section(page: str, first: str, after: str) -> list[str]:
    """The lines from one headline up to another."""
    lines = lines_of(page)
    return lines[lines.index(first) : lines.index(after)]


def test_the_report_says_this_of_the_verdict_and_the_request(full: FullAnswer, page: str) -> None:
    assert section(page, "Doorward · verification reportFriday 15 January 2027", "What was received") == [
        "Doorward · verification reportFriday 15 January 2027",
        "Footage disclosed in case 2027-0114",
        "Every check holds.",
        "Its owner redacted 2 of the 6 files before sharing: see “Redacted by the owner”. All others are, frame for "
        "frame, what one camera recorded and signed.",
        "What was asked",
        "Asked byrijnstad-police (police)",
        "Case2027-0114",
        "Incidentburglary",
        "FromFriday 15 January 2027, 07:00:00 (2027-01-15 06:00:00 UTC)",
        "ToFriday 15 January 2027, 08:00:00 (2027-01-15 07:00:00 UTC)",
        "Area300 m around 52.37020, 4.89520 (282 743 m²)",
        "In these wordsA burglary in the street; somebody may have passed your door.",
        "ContactDet. R. Visser, r.visser@rijnstad.example",
        "PromisedKept for 90 days from its arrival, unless a law or a court requires longer. Passed on to: courts and "
        "prosecutors; anyone who asks for it under a public records law.",
        f"Request{full.asked.request.id}",
        "200 m",
        "Area asked about, north up",
    ]


def test_the_report_says_this_of_what_was_received(page: str) -> None:
    received = section(page, "What was received", "What was checked")
    assert received[: received.index("Redacted by the owner")] == [
        "What was received",
        "The owner of one camera shared:",
        "3 segments of video in 2 clips, 10.5 s in all",
        "the sound of 1 segment",
        "1 poster: a still picture of a clip, without its video",
        "1 file that cannot be opened",
        "that 2 clips exist, and when",
        "Times are in UTC+01:00, by the camera's clock. The owner approved on Friday 15 January 2027,",
        "08:20:00, by the owner's clock.",
        "07:0007:1007:2007:3007:4007:5008:00",
        "A closer look:",
        "1",
        "2",
        "3",
        "07:19:5807:20:1007:20:2007:20:3007:20:39",
        "The upper bar is the requested window. Blue is the shared footage.",
        "The owner's statement about the rest is below.",
        "Footage that exists",
        "With the owner's permission the device states that it holds these clips. Only the segments counted as shared "
        "are included.",
        "FromToSegments that matchShared here",
        "2027-01-15 07:20:00 +01002027-01-15 07:20:06 +010032",
        "2027-01-15 07:20:06 +01002027-01-15 07:20:08 +010011",
        "The camera's date and time are in doubt. For some of this footage the clock was not synchronised.",
        "The order of the pictures and the time between them are right. The date and the hour may be wrong. Before you "
        "rely on them,",
        "compare them with an event of known time in the picture.",
        "1 file had been interrupted by a power failure.",
        "The camera signed the sealed file when it found it again at its next start. Its end is known only as an upper "
        "bound,",
        "and its last moments may be missing.",
        "1 file of 6 cannot be opened.",
        "They are bit for bit the files that the owner released, but players cannot open them. They stay sealed in "
        "bundle/parts/",
        "and are not in the clips:",
        "part 4, segment of 2027-01-15 07:20:06 +0100: Its video does not decode.",
    ]
    assert received[received.index("No picture") :] == [
        "No picture",
        "Clip 1 7.0 s",
        "Friday 15 January 2027",
        "07:20:00 to 07:20:06",
        "clock synchronised; 2 segments, with gaps",
        "clips/clip-01.mp4",
        "from 0:00.0 in all.mp4",
        "Clip 2 picture only",
        "Friday 15 January 2027",
        "07:20:06",
        "No picture",
        "Clip 3 3.5 s",
        "Friday 15 January 2027",
        "07:20:08 to 07:20:38",
        "date in doubt, clock not synchronised; 1 segment",
        "clips/clip-03.mp4",
        "from 0:07.0 in all.mp4",
        "Clock synchronised: set by a time source during the recording: accurate to about a second. Clock not "
        "synchronised: order and length are right, date and hour may be wrong. With gaps: at capture, other segments "
        "were signed between them: they were recorded and not shared, or the disk failed.",
        "all.mp4 holds everything one after the other, with the pauses between clips left out.",
        "The files in segments/ are the recorded bytes, or the redacted film that the owner made. Clips are the same "
        "frames in a new container.",
    ]
    assert '<img src="data:image/jpeg;base64,anBlZw==" alt="A still of clip 2">' in page


def test_the_report_lists_each_redaction_with_its_time_and_place(page: str) -> None:
    received = section(page, "Redacted by the owner", "No picture")
    start = "2027-01-15 07:20:00 +0100"
    assert received[-3:] == [
        "PartKind, in the owner's wordsFromToIn the filmWhere in the picture",
        f"1a face{start}2027-01-15 07:20:01 +01000.2 to 1.9 s"
        "40–55 % across, 20–45 % down, then 60–75 % across, 20–45 % down",
        f"2a voice (muted){start}2027-01-15 07:20:01 +01000.5 to 1.5 s",
    ]


ASIDES = {
    CheckKind.ARRIVED: "Counts the parts and compares the first with its announced hash.",
    CheckKind.SEALED: "Only the holder of that key could read it. Broker and network could not.",
    CheckKind.DEVICE: "An Ed25519 and an ML-DSA-44 signature, each over every byte of the list.",
    CheckKind.ANSWERS: "An answer to one request cannot be passed off as an answer to another.",
    CheckKind.OWNERS: "Only their approval counts. The list does not say which household it is.",
    CheckKind.APPROVAL: "It depends on the list of owners above: see there for the evidence.",
    CheckKind.LEDGER: "A later head of this ledger can be checked to continue this one.",
    CheckKind.RECORDS: "Made when the segment was recorded, before the request.",
    CheckKind.WINDOW: "Only requested footage was handed over.",
    CheckKind.PARTS: "Each byte arrived as it was sent.",
    CheckKind.FOOTAGE: "Each frame of a file that is not redacted is as it was recorded.",
}
MANY = " The table of files below has the hashes."


def test_each_check_stands_with_its_words_and_up_to_four_hashes(full: FullAnswer, page: str) -> None:
    expected = ["What was checked", "In this order, from the files alone. The first failure ends the checks."]
    for check in full.verification.checks:
        shown = "".join(proof.label + proof.value for proof in check.proofs)
        in_table = len(check.proofs) > 4
        aside = ASIDES[check.kind] + (MANY if in_table else f" {shown}" if shown else "")
        expected += [check.kind.value, check.said, aside]
    assert section(page, "What was checked", "What is proven") == expected
    assert [len(check.proofs) for check in full.verification.checks] == [1, 1, 3, 1, 2, 3, 2, 6, 0, 6, 6]


def test_four_hashes_of_a_check_are_shown_and_five_are_left_to_the_table(full: FullAnswer) -> None:
    def shown(count: int) -> list[str]:
        proofs = tuple(CheckedValue(f"Part {number}", f"{number:02x}") for number in range(count))
        first, *others = full.verification.checks
        changed = dataclasses.replace(full.verification, checks=(dataclasses.replace(first, proofs=proofs), *others))
        return lines_of(render(changed, [], False, now_s=NOW_S))

    aside = ASIDES[CheckKind.ARRIVED]
    assert f"{aside} Part 000Part 101Part 202Part 303" in shown(4)
    assert aside + MANY in shown(5)


def test_the_commands_by_hand_are_for_the_first_whole_film_that_is_not_redacted(full: FullAnswer, page: str) -> None:
    film, opened = full.shared[2], full.verification.items[2]
    by_hand = section(page, "How to repeat it by hand", "Every file")
    payload_bytes = film.sealed.size - film.sealed.header_size
    assert f"tail --bytes={payload_bytes} bundle/parts/3.age | sha256sum" in by_hand
    assert by_hand[by_hand.index("The file in segments/ is the same:") + 1 :] == [
        "sha256sum segments/segment-002.mp4",
        opened.opened_sha256,
    ]
    assert (
        f"age --decrypt -i reply.identity bundle/parts/3.age | head --bytes={opened.opened_bytes} | sha256sum"
    ) in by_hand


def test_the_table_of_files_has_each_part_with_its_size_time_and_hashes(full: FullAnswer, page: str) -> None:
    rows = lines_of(page)
    rows = rows[rows.index("PartWhat it isRecordedHashes (SHA-256)") + 1 :]
    expected = []
    for number, each in enumerate(full.verification.items, start=1):
        kilobytes = round(len(full.sent.parts[number]) / 1000)
        inside = {"segment": "video", "sound": "sound", "poster": "picture"}[each.item.part.kind.value]
        original = f"sealed original, not shared {each.item.approved.payload_sha256}"
        expected += [
            str(number),
            f"{each.item.part.kind.value}{'redacted by the owner' if each.redactions else ''}{kilobytes} kB",
            f"{utc_date(each.span.start_ms).astimezone(AMSTERDAM):%Y-%m-%d %H:%M:%S %z}"
            f"record no. {each.item.captured.sequence}",
            f"file received {each.item.part.sha256}",
            f"sealed content {each.item.approved.sent_payload_sha256}",
            *([original] if each.redactions else []),
            f"{inside} inside {each.opened_sha256}",
            f"device's record {each.item.captured.sha256}",
        ]
    assert rows[: len(expected)] == expected
    assert rows[len(expected)].startswith("For a United States court, certificate.html beside this report")


def test_a_report_of_an_answer_whose_request_is_unknown_says_which_check_failed_and_nothing_else(
    full: FullAnswer,
) -> None:
    failed = Check(CheckKind.ARRIVED, CheckOutcome.FAILED, "The request is unknown.")
    others = tuple(Check(kind, CheckOutcome.NOT_REACHED) for kind in CheckKind if kind is not CheckKind.ARRIVED)
    lost = dataclasses.replace(
        full.verification, checks=(failed, *others), request=None, request_sha256="", disclosed=None, items=()
    )
    page = render(lost, [], False, now_s=NOW_S, zone=AMSTERDAM)
    lines = lines_of(page)
    headline = lines.index("Doorward · verification reportFriday 15 January 2027")
    assert lines[headline + 1 :] == [
        "A disclosure of footage",
        "This disclosure does not verify. Do not rely on it.",
        f"The check that fails: {CheckKind.ARRIVED.value}. Why: The request is unknown. "
        "No video and no picture was taken from it.",
        "What was checked",
        "In this order, from the files alone. The first failure ends the checks.",
        CheckKind.ARRIVED.value,
        "The request is unknown.",
        *(line for kind in list(CheckKind)[1:] for line in (kind.value, "Not reached.")),
        f"Disclosure {lost.disclosure} · verified 2027-01-15 09:00:00 +0100 by Doorward {__version__},",
        "offline, from the files alone. The same checks as data: bundle/bundle.json.",
    ]
    assert re.search(r"<title>.*: not verified</title>", page)


def test_without_a_still_the_clock_of_the_films_alone_counts(full: FullAnswer) -> None:
    synced, _, unknown = pictures_of(full)
    first = lines_of(render(full.verification, [synced], True, now_s=NOW_S, zone=AMSTERDAM))
    assert "The camera's date and time are in doubt." not in " ".join(first)
    last = " ".join(lines_of(render(full.verification, [unknown], True, now_s=NOW_S, zone=AMSTERDAM)))
    assert "The camera's date and time are in doubt." in last
    assert "Clock not synchronised: order and length" in last
    assert "Clock synchronised:" not in last


def test_the_clock_of_a_still_counts_too(full: FullAnswer) -> None:
    _, still, _ = pictures_of(full)
    shown = " ".join(lines_of(render(full.verification, [still], False, now_s=NOW_S, zone=AMSTERDAM)))
    assert "Clock synchronised: set by a time source" in shown


def test_foreign_words_are_shown_as_they_are_written(full: FullAnswer) -> None:
    assert full.verification.request is not None
    request = msgspec.structs.replace(full.verification.request, case="<b>{{ 7*7 }}</b> & co")
    page = render(dataclasses.replace(full.verification, request=request), [], False, now_s=NOW_S)
    assert "<h1>Footage disclosed in case &lt;b&gt;{{ 7*7 }}&lt;/b&gt; &amp; co</h1>" in page


def test_there_is_a_closer_look_only_if_the_window_is_much_longer_than_the_footage(full: FullAnswer) -> None:
    assert full.verification.request is not None
    clips = pictures_of(full)
    told = _TimeFormatter(AMSTERDAM, NOW_S)
    for window_s, lines in ((168, 2), (167, 1)):  # 38 seconds of footage, and 2 × 1.9 around it
        from_s = NOW_S - 6010
        request = msgspec.structs.replace(full.verification.request, from_s=from_s, to_s=from_s + window_s)
        assert len(_lines(request, clips, told)) == lines
