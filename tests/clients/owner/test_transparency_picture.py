"""The transparency picture and its page, character by character: nothing in them is loaded or left to the browser."""

from __future__ import annotations

from agent.clients.owner.transparency import RequesterStatistics, TransparencyReport, transparency_of
from agent.clients.owner.transparency_picture import draw, page
from tests.clients.owner.test_transparency import story

SVG = """\
<svg xmlns="http://www.w3.org/2000/svg" width="720" height="216" viewBox="0 0 720 216" font-family="system-ui, \
sans-serif" font-size="13" role="img" aria-label="Requests by requester">
<rect width="720" height="216" fill="#fffefb"/>
<text x="16" y="26" font-size="16" font-weight="600" fill="#1d2126">\
Requests to this doorbell, 1 January 1970 to 1 January 1970</text>
<text x="16" y="90" fill="#1d2126">harbour-police</text>
<rect x="190" y="64" width="400" height="14" rx="2" fill="#24507a"/>
<text x="598" y="75" fill="#5b636d">2 asked</text>
<rect x="190" y="83" width="400" height="14" rx="2" fill="#8a5a00"/>
<text x="598" y="94" fill="#5b636d">2 matched</text>
<rect x="190" y="102" width="200" height="14" rx="2" fill="#1c6b45"/>
<text x="398" y="113" fill="#5b636d">1 shared</text>
<text x="16" y="164" fill="#1d2126">harbour-fire</text>
<rect x="190" y="138" width="200" height="14" rx="2" fill="#24507a"/>
<text x="398" y="149" fill="#5b636d">1 asked</text>
<rect x="190" y="157" width="2" height="14" rx="2" fill="#8a5a00"/>
<text x="200" y="168" fill="#5b636d">0 matched</text>
<rect x="190" y="176" width="2" height="14" rx="2" fill="#1c6b45"/>
<text x="200" y="187" fill="#5b636d">0 shared</text>
</svg>
"""

BEFORE = """\
<!doctype html>
<html lang="en"><head><meta charset="utf-8">\
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">\
<meta name="viewport" content="width=device-width, initial-scale=1"><title>\
Requests to this doorbell, 1 January 1970 to 1 January 1970</title><style>body{margin:2rem auto;max-width:62rem;\
padding:0 1rem;color:#1d2126;background:#fffefb}body{font:16px/1.5 system-ui,sans-serif}tr>\
:first-child{text-align:left !important}svg{max-width:100%;height:auto}div{overflow-x:auto}\
table{border-collapse:collapse;font-size:.85rem;width:100%}th,td{text-align:right;padding:.4rem .6rem;\
border-bottom:1px solid #dedad1}</style></head><body><h1>\
Requests to this doorbell, 1 January 1970 to 1 January 1970</h1>
"""

AFTER = """\

<div><table><thead><tr><th>requester</th><th>asked</th><th>blocked</th><th>no match</th><th>matched</th><th>\
shared</th><th>denied</th><th>expired</th><th>opted out</th><th>received</th><th>deleted since</th><th>\
tips from you</th><th>bytes sent</th></tr></thead><tbody><tr><td>harbour-police</td><td>2</td><td>0</td><td>\
0</td><td>2</td><td>1</td><td>1</td><td>0</td><td>0</td><td>1</td><td>1</td><td>0</td><td>5,000,000</td></tr>\
<tr><td>harbour-fire</td><td>1</td><td>1</td><td>1</td><td>0</td><td>0</td><td>0</td><td>0</td><td>0</td><td>\
0</td><td>0</td><td>0</td><td>0</td></tr><tr><td>all</td><td>3</td><td>1</td><td>1</td><td>2</td><td>1</td><td>\
1</td><td>0</td><td>0</td><td>1</td><td>1</td><td>0</td><td>5,000,000</td></tr></tbody></table></div><p>\
Counted from the doorbell's ledger after every entry was verified. Bytes count each disclosure that had begun \
to leave in full.</p></body></html>
"""


def test_the_picture_of_two_requesters() -> None:
    assert draw(transparency_of(story())) == SVG


def test_the_page_has_the_picture_and_each_number_of_each_requester() -> None:
    assert page(transparency_of(story())) == BEFORE + SVG + AFTER


def test_a_name_is_no_markup() -> None:
    found = TransparencyReport(None, None, (RequesterStatistics("<b>&", 1),))
    assert "<b>" not in draw(found) + page(found)
    assert "&lt;b&gt;&amp;" in draw(found)


def test_a_picture_without_requests_says_so_and_one_with_answers_alone_still_has_bars() -> None:
    empty = draw(TransparencyReport(None, None))
    assert (
        '<text x="16" y="26" font-size="16" font-weight="600" fill="#1d2126">Requests to this doorbell</text>' in empty
    )
    assert '<text x="16" y="90" fill="#1d2126">no requests yet</text>' in empty
    answers = draw(TransparencyReport(1, None, (RequesterStatistics("police", matched=1, approved=2),)))
    assert answers.count('<rect x="190" y="83" width="400"') == 1
    assert answers.count('<rect x="190" y="102" width="800"') == 1
    for times in ((1, None), (None, 1)):
        assert ">Requests to this doorbell<" in draw(TransparencyReport(*times))


def test_the_title_names_the_first_and_the_last_day_by_utc() -> None:
    begin_ms, day_ms = 1_800_057_600_000, 86_400_000
    title = "Requests to this doorbell, 16 January 2027 to 17 January 2027"
    for times in ((begin_ms, begin_ms + day_ms), (begin_ms + day_ms - 1, begin_ms + 2 * day_ms - 1)):
        assert f">{title}<" in draw(TransparencyReport(*times))
