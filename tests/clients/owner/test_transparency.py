"""The owner's transparency report counts what the ledger says, and nothing else."""

from __future__ import annotations

from html.parser import HTMLParser
from xml.etree import ElementTree

from agent.clients.owner.transparency import RequesterStatistics, TransparencyReport, transparency_of
from agent.clients.owner.transparency_picture import draw, page
from agent.core.ledger.entries import EntryKind, LedgerEntry, entry
from agent.core.timebase import BootNs, ClockQuality, ClockReading, UtcNs

BOOT, SHA = "1" * 32, "ab" * 32
POLICE, FIRE = "harbour-police", "harbour-fire"


def at(second: int) -> ClockReading:
    return ClockReading(BootNs(second * 10**9), UtcNs(second * 10**9), ClockQuality.SYNCED)


def wrote(kind: EntryKind, second: int, requester: str = POLICE, number: int = 1, **fields: object) -> LedgerEntry:
    request = {"request": f"{number:032x}", "requester": requester}
    return entry(kind, BOOT, at(second), **{**request, **fields})


def story() -> list[LedgerEntry]:
    named = {"disclosure": "d" * 32}
    return [
        entry(EntryKind.BOOT, BOOT, at(0)),
        wrote(EntryKind.RECEIVED, 1, subject=SHA),
        wrote(EntryKind.MATCHED, 1, segments=3),
        wrote(EntryKind.APPROVED, 2, subject=SHA, segments=2, **named),
        wrote(EntryKind.SEALED, 2, subject=SHA, segments=2, size_bytes=5_000_000, **named),
        wrote(EntryKind.SENDING, 3, **named),
        wrote(EntryKind.RECEIPT, 4, subject=SHA, **named),
        wrote(EntryKind.DELETED, 5, subject=SHA),
        wrote(EntryKind.RECEIVED, 6, FIRE, 2, subject=SHA),
        wrote(EntryKind.NO_MATCH, 6, FIRE, 2),
        wrote(EntryKind.RECEIVED, 7, POLICE, 3, subject=SHA),
        wrote(EntryKind.MATCHED, 7, POLICE, 3, segments=1),
        wrote(EntryKind.DENIED, 8, POLICE, 3),
        entry(EntryKind.BLOCKED, BOOT, at(9), requester=FIRE, reason="too many"),
    ]


def test_every_request_is_counted_once_under_who_asked_and_what_became_of_it() -> None:
    found = transparency_of(story())
    police, fire = found.askings
    assert (police.requester, police.asked, police.matched, police.approved, police.denied) == (POLICE, 2, 2, 1, 1)
    assert (police.sent, police.deleted, police.bytes_sent) == (1, 1, 5_000_000)
    assert (fire.asked, fire.no_match, fire.blocked, fire.bytes_sent) == (1, 1, 1, 0)
    assert (found.total.asked, found.total.bytes_sent) == (3, 5_000_000)
    assert (found.from_ms, found.to_ms) == (0, 9000)


def test_a_tip_is_counted_as_one_and_as_no_answer() -> None:
    named = {"request": "e" * 32, "requester": POLICE, "disclosure": "e" * 32}
    told = [
        entry(EntryKind.TIP, BOOT, at(1), subject=SHA, segments=0, **named),
        entry(EntryKind.SEALED, BOOT, at(1), subject=SHA, segments=0, size_bytes=4000, **named),
        entry(EntryKind.SENDING, BOOT, at(2), **named),
        entry(EntryKind.RECEIPT, BOOT, at(3), subject=SHA, **named),
    ]
    (police,) = transparency_of(told).askings
    assert (police.tips, police.sent, police.asked, police.bytes_sent) == (1, 0, 0, 4000)
    back = [told[0], told[1], entry(EntryKind.REVOKED, BOOT, at(2), **named)]
    assert transparency_of(back).total.taken_back == 0


def test_what_was_sealed_and_never_begun_did_not_leave() -> None:
    kept = [each for each in story() if each.kind not in (EntryKind.SENDING, EntryKind.RECEIPT)]
    assert transparency_of(kept).total.bytes_sent == 0


def test_picture_and_page_show_every_requester_and_load_nothing() -> None:
    found = transparency_of(story())
    for text in (draw(found), page(found)):
        assert POLICE in text
        assert FIRE in text
        assert "<script" not in text
        assert "src=" not in text
    assert "5,000,000" in page(found)


def test_an_empty_ledger_says_that_nobody_asked() -> None:
    assert "no requests yet" in draw(transparency_of([]))
    assert "Requests to this doorbell" in page(transparency_of([]))


def bars(svg: str) -> list[tuple[int, int, int, str]]:
    """Position, width, top and text of each bar, in the order of the picture."""
    names = {"svg": "http://www.w3.org/2000/svg"}
    root = ElementTree.fromstring(svg)
    rects = [each.attrib for each in root.findall("svg:rect", names) if "rx" in each.attrib]
    texts = {(int(each.attrib["x"]), int(each.attrib["y"])): each.text for each in root.findall("svg:text", names)}
    shapes = [(int(each["x"]), int(each["width"]), int(each["y"])) for each in rects]
    return [(x, width, y, texts[x + width + 8, y + 11] or "") for x, width, y in shapes]


def test_each_bar_of_the_picture_is_as_long_as_its_number_and_has_it_behind() -> None:
    found = transparency_of(story())
    drawn = bars(draw(found))
    assert [words.split()[0] for *_, words in drawn] == ["2", "2", "1", "1", "0", "0"]
    longest = drawn[0][1]
    assert [width for _, width, _, _ in drawn] == [longest, longest, *[round(longest / 2)] * 2, 2, 2]
    assert len({top for _, _, top, _ in drawn}) == len(drawn), "no bar covers another"
    assert all(x + width + 8 + 8 * len(words) <= 720 for x, width, _, words in drawn), "and all stands in the picture"


def test_the_picture_has_room_for_its_title_and_for_the_bars_and_the_name_of_each_row() -> None:
    names = {"svg": "http://www.w3.org/2000/svg"}
    root = ElementTree.fromstring(draw(transparency_of(story())))
    back, *rects = [each.attrib for each in root.findall("svg:rect", names)]
    width, height = int(root.attrib["width"]), int(root.attrib["height"])
    assert root.attrib["viewBox"] == f"0 0 {width} {height}"
    assert (int(back["width"]), int(back["height"])) == (width, height)
    tops = [int(each["y"]) for each in rects]
    title, *rows = [int(each.attrib["y"]) for each in root.findall("svg:text", names) if each.attrib["x"] == "16"]
    assert title < tops[0]
    assert len(rows) == len(tops) // 3 == 2
    for row, first in zip(rows, (0, 3), strict=True):
        first_bar, second, last_bar = tops[first : first + 3]
        assert first_bar + 14 < second < second + 14 < last_bar, "three bars, with paper between them"
        assert first_bar < row < last_bar + 14, "the name stands beside its bars"
    assert tops[2] + 14 < tops[3] - 5, "more paper between two requesters"
    assert tops[3] - tops[0] == rows[1] - rows[0], "each row looks the same"
    assert 10 <= height - (tops[-1] + 14) <= 30, "the last bar ends shortly before the picture"


def test_the_page_adds_up_where_there_is_more_than_one_requester() -> None:
    both = page(transparency_of(story()))
    one = page(transparency_of([each for each in story() if each.requester != FIRE]))
    assert [both.count("<tr><td>"), one.count("<tr><td>")] == [3, 1]
    body = both.partition("<tbody>")[2].partition("</tbody>")[0]
    cells = ElementTree.fromstring(f"<table>{body}</table>")
    assert [[cell.text for cell in row][:2] for row in cells] == [[POLICE, "2"], [FIRE, "1"], ["all", "3"]]


class _Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.cells: list[list[str]] = []

    def handle_starttag(self, tag: str, attrs: object) -> None:
        if tag not in ("meta", "rect"):
            self.open.append(tag)
        if tag == "tr":
            self.cells.append([])

    def handle_startendtag(self, tag: str, attrs: object) -> None:
        pass

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] in ("td", "th"):
            self.cells[-1].append(data)
        elif self.open and self.open[-1] in ("table", "thead", "tbody", "tr"):
            assert not data.strip()


def test_the_table_of_the_page_has_a_row_for_each_requester_and_closes_what_it_opens() -> None:
    shown = _Tags()
    shown.feed(page(TransparencyReport(None, None, (RequesterStatistics("fire", 1), RequesterStatistics("police", 2)))))
    assert shown.open == []
    assert [row[0] for row in shown.cells] == ["requester", "fire", "police", "all"]
    assert [row[1] for row in shown.cells[1:]] == ["1", "2", "3"]
    assert {len(row) for row in shown.cells} == {len(shown.cells[0])}


def test_every_end_of_a_request_counts_for_its_requester_and_nothing_else_does() -> None:
    """The whole report, of one entry of each kind that ends a request, twice over for one of them."""
    named = {"disclosure": "d" * 32}
    tip = {"request": "e" * 32, "disclosure": "e" * 32}
    told = [
        wrote(EntryKind.SENDING, 20, **named),
        wrote(EntryKind.EXPIRED, 21, number=2),
        wrote(EntryKind.EXPIRED, 22, number=3),
        wrote(EntryKind.OPTED_OUT, 23, number=4),
        wrote(EntryKind.WITHDRAWN, 24, number=5),
        wrote(EntryKind.REVOKED, 25, number=6, **named),
        wrote(EntryKind.STOPPED, 26, number=7, **named),
        wrote(EntryKind.DENIED, 19, FIRE, 8),
        wrote(EntryKind.RECEIVED, 27, FIRE, 9, subject=SHA),
        wrote(EntryKind.STOPPED, 28, FIRE, **tip),
        entry(EntryKind.CONFIGURATION_CHANGED, BOOT, at(18), subject=SHA),
    ]
    assert transparency_of(told) == TransparencyReport(
        18_000,
        28_000,
        (
            RequesterStatistics(FIRE, asked=1, denied=1),
            RequesterStatistics(POLICE, expired=2, opted_out=1, withdrawn=1, taken_back=1, stopped=1),
        ),
    )
    ends = {"expired": 2, "opted_out": 1, "withdrawn": 1, "taken_back": 1, "stopped": 1}
    assert transparency_of(told).total == RequesterStatistics("all", asked=1, denied=1, **ends)
    assert transparency_of([]) == TransparencyReport(None, None, ())


def test_requesters_with_as_many_requests_stand_in_the_order_of_their_names() -> None:
    told = [wrote(EntryKind.RECEIVED, 1, name, 1, subject=SHA) for name in ("b-town", "a-town", "c-town", "c-town")]
    assert [each.requester for each in transparency_of(told).askings] == ["c-town", "a-town", "b-town"]
