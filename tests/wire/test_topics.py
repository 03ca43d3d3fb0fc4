"""Topics: one text for each meaning, free of home addresses, and parts cannot smuggle in levels."""

from __future__ import annotations

import contextlib
import re
from dataclasses import replace

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from agent.errors import FormatError
from agent.wire import topics
from agent.wire.area import Circle, Polygon
from agent.wire.strictjson import MAX_INTEGER
from agent.wire.topics import (
    BrokersTopic,
    BulletinTopic,
    ChunkVerb,
    DigestTopic,
    HealthTopic,
    ReceiptTopic,
    RequestTopic,
    Topic,
    TopicClass,
    TopicSender,
    TrustIndexTopic,
    TrustTopic,
    UploadTopic,
    UploadVerb,
)
from agent.wire.trust_package import DIRECTORY_SLOTS, TRUST_SLOTS
from tests.wire import samples

VERBS = st.sampled_from(UploadVerb) | st.builds(ChunkVerb, st.integers(0, 2**53 - 1), samples.hexes(64))
CELLS = st.builds("{}-{}".format, st.integers(0, 359), st.integers(0, 719))
TOPICS: st.SearchStrategy[Topic] = st.one_of(
    st.builds(RequestTopic, CELLS, samples.IDS, st.integers(0, topics.REQUEST_SLOTS - 1)),
    st.builds(UploadTopic, samples.IDS, samples.hexes(16), samples.hexes(32), st.integers(0, topics.MAX_PARTS), VERBS),
    st.builds(ReceiptTopic, samples.hexes(16), samples.hexes(32)),
    st.builds(HealthTopic, samples.hexes(16)),
    st.builds(BulletinTopic, CELLS, samples.IDS, st.integers(0, topics.BULLETIN_SLOTS - 1)),
    st.builds(TrustTopic, samples.hexes(16), st.integers(0, TRUST_SLOTS - 1)),
    st.builds(TrustIndexTopic, samples.hexes(16)),
    st.builds(BrokersTopic, samples.hexes(16), st.integers(0, DIRECTORY_SLOTS - 1)),
    st.builds(DigestTopic, CELLS, st.integers(0, topics.DIGEST_PAGES - 1)),
)


def test_the_last_part_and_the_last_offset_have_a_topic_and_those_behind_them_none() -> None:
    chunk = ChunkVerb(MAX_INTEGER, "ab" * 32)
    last = UploadTopic("harbour-police", "cd" * 8, "ef" * 16, topics.MAX_PARTS, chunk)
    assert topics.parse_topic(str(last)) == last
    for behind in (
        replace(last, part=topics.MAX_PARTS + 1),
        replace(last, verb=replace(chunk, offset_bytes=MAX_INTEGER + 1)),
    ):
        with pytest.raises(FormatError):
            topics.parse_topic(str(behind))


@given(TOPICS)
def test_a_topic_survives_being_written_and_suits_every_broker(topic: Topic) -> None:
    text = str(topic)
    assert topics.parse_topic(text) == topic
    assert text.count("/") <= 6
    assert len(text.encode()) <= topics.MAX_TOPIC_BYTES


def test_the_topic_of_an_upload_is_told_before_it_is_read() -> None:
    upload = UploadTopic("rijnstad-police", "ab" * 8, "cd" * 16, 0, UploadVerb.INIT)
    assert topics.is_upload(str(upload))
    assert not topics.is_upload(str(ReceiptTopic("ab" * 8, "cd" * 16)))


@given(TOPICS, st.data())
def test_a_changed_character_is_another_topic_or_none(topic: Topic, data: st.DataObject) -> None:
    text = str(topic)
    at = data.draw(st.integers(0, len(text) - 1))
    changed = text[:at] + data.draw(st.sampled_from("abf019-/+#\x00 $é\ud800")) + text[at + 1 :]
    with contextlib.suppress(FormatError):
        assert str(topics.parse_topic(changed)) == changed


@given(st.text(max_size=80))
def test_any_text_is_a_topic_or_an_error(text: str) -> None:
    with pytest.raises(FormatError):
        topics.parse_topic(text)


HEX = "0" * 32


@pytest.mark.parametrize(
    "topic",
    [
        "doorward/v1/areas/0-0/requests/police/7/",
        "/doorward/v1/areas/0-0/requests/police/7",
        "doorward/v2/areas/0-0/requests/police/7",
        "Doorward/v1/areas/0-0/requests/police/7",
        "doorward/v1/areas/00-0/requests/police/7",
        "doorward/v1/areas/360-0/requests/police/7",
        "doorward/v1/areas/0-720/requests/police/7",
        "doorward/v1/areas/+/requests/police/7",
        "doorward/v1/areas/0-0/commands/police/7",
        "doorward/v1/areas/0-0/requests/police/+",
        "doorward/v1/areas/0-0/requests/police/64",
        "doorward/v1/areas/0-0/requests/police/07",
        "doorward/v1/areas/0-0/requests/police/-1",
        f"doorward/v1/areas/0-0/requests/police/{HEX}",
        f"doorward/v1/receipts/0123456789abcdef/{HEX}\n",
        "doorward/v1/receipts/#",
        "doorward/v1/health/0123456789abcde",
        "doorward/v1/health/+",
        f"doorward/v1/receipts/0123456789abcdef/{HEX}/more",
        "doorward/v1/up/police",
        "doorward/v1/areas/0-0/bulletins/police/16",
        "doorward/v1/areas/0-0/bulletins/police",
        f"doorward/v1/bulletins/0123456789abcdef/police/{HEX}",
        f"doorward/v1/up/police/{'0' * 16}/{HEX}/init",
        f"doorward/v1/up/police/{'0' * 16}/{HEX}-01/init",
        f"doorward/v1/up/police/{'0' * 16}/{HEX}-30001/init",
        f"doorward/v1/up/police/{'0' * 16}/{HEX}-1/INIT",
        f"doorward/v1/up/police/{'0' * 16}/{HEX}-1/0-{'0' * 63}",
        f"doorward/v1/up/police/{'0' * 16}/{HEX}-1/9007199254740992-{'0' * 64}",
        f"doorward/v1/up/pol ice/{'0' * 16}/{HEX}-1/fin",
        f"doorward/v1/up/police/{'0' * 15}/{HEX}-1/fin",
        f"doorward/v1/trust/0123456789abcdef/{TRUST_SLOTS}",
        "doorward/v1/trust/0123456789abcde/0",
        "doorward/v1/trust/+/0",
        "doorward/v1/trust/+/index",
        "doorward/v1/trust/0123456789abcdef/Index",
        "doorward/v1/trust/0123456789abcde/index",
        "doorward/v1/brokers/0123456789abcdef/index",
        "doorward/v1/trust/0123456789abcdef/00",
        "doorward/v1/trust/0123456789abcdef",
        "x" * 257,
    ],
)
def test_what_is_almost_a_topic_is_none(topic: str) -> None:
    with pytest.raises(FormatError):
        topics.parse_topic(topic)


@given(TOPICS)
def test_the_filter_of_a_cell_takes_its_requests_and_bulletins_and_no_other_topic(topic: Topic) -> None:
    wanted = topics.cell_filter("287-380").replace("+", "[^/]*")
    inside = isinstance(topic, RequestTopic | BulletinTopic) and topic.cell == "287-380"
    assert bool(re.fullmatch(wanted, str(topic))) == inside
    if isinstance(topic, RequestTopic | BulletinTopic):
        assert re.fullmatch(wanted, str(replace(topic, cell="287-380")))


@given(TOPICS)
def test_a_sender_is_who_the_access_list_lets_write_there_and_a_receipt_is_of_its_disclosure(topic: Topic) -> None:
    sender = topics.sender_of(str(topic))
    match topic:
        case RequestTopic(requester=who):
            assert sender == TopicSender(f"requests/{who}", TopicClass.CELL)
        case BulletinTopic(requester=who):
            assert sender == TopicSender(f"bulletins/{who}", TopicClass.CELL)
        case ReceiptTopic(disclosure=disclosure):
            assert sender == TopicSender(disclosure, TopicClass.RECEIPTS)
        case TrustTopic(root=root) | TrustIndexTopic(root=root):
            assert sender == TopicSender(root, TopicClass.TRUST)
        case DigestTopic(page=page):
            assert sender == TopicSender(f"digest/{page}", TopicClass.CELL)
        case UploadTopic() | HealthTopic() | BrokersTopic():
            assert sender == TopicSender("", TopicClass.CELL)
    assert topics.sender_of("noise/" + str(topic)).kind is TopicClass.CELL


def test_receipts_of_one_disclosure_are_one_sender() -> None:
    assert topics.sender_of(str(ReceiptTopic("ab" * 8, "cd" * 16))) == TopicSender("cd" * 16, TopicClass.RECEIPTS)


def test_packages_of_one_root_are_one_sender_whatever_their_slot() -> None:
    senders = {topics.sender_of(str(TrustTopic("ab" * 8, slot))) for slot in range(TRUST_SLOTS)}
    assert senders == {TopicSender("ab" * 8, TopicClass.TRUST)}


@given(TOPICS)
def test_the_filter_of_trust_takes_every_root_alike_and_no_other_topic(topic: Topic) -> None:
    wanted = topics.TRUST_FILTER.replace("+", "[^/]*")
    assert bool(re.fullmatch(wanted, str(topic))) == isinstance(topic, TrustIndexTopic)
    if isinstance(topic, TrustTopic | TrustIndexTopic | BrokersTopic):
        own = topics.brokers_filter if isinstance(topic, BrokersTopic) else topics.trust_filter
        assert re.fullmatch(own(topic.root).replace("+", "[^/]*"), str(topic))


def test_the_filters_of_one_root_take_each_slot_of_it_and_no_other_root() -> None:
    root = "ab" * 8
    for own, topic in ((topics.trust_filter, TrustTopic), (topics.brokers_filter, BrokersTopic)):
        assert own(root) == str(topic(root, 0))[:-1] + "+"


@pytest.mark.parametrize(
    "topic",
    [
        RequestTopic("+", "police", 0),
        RequestTopic("0-0", "police", topics.REQUEST_SLOTS),
        RequestTopic("0-0", "police", -1),
        RequestTopic("0-0", "+", 0),
        UploadTopic("a/b", "0" * 16, HEX, 0, UploadVerb.INIT),
        UploadTopic("a", "0" * 16, HEX, -1, UploadVerb.INIT),
        UploadTopic("a", "0" * 16, HEX, 0, ChunkVerb(-1, "0" * 64)),
        ReceiptTopic("0" * 16, "x/y"),
        ReceiptTopic("+", HEX),
        BulletinTopic("+", "police", 0),
        BulletinTopic("0-0", "+", 0),
        BulletinTopic("0-0", "police", topics.BULLETIN_SLOTS),
        DigestTopic("+", 0),
        DigestTopic("0-0", -1),
        DigestTopic("0-0", topics.DIGEST_PAGES),
    ],
)
def test_a_part_that_is_more_than_a_level_is_refused(topic: Topic) -> None:
    with pytest.raises(FormatError):
        str(topic)


@pytest.mark.parametrize(
    ("lat", "lon", "cell"),
    [
        (-90.0, -180.0, "0-0"),
        (90.0, 180.0, "359-719"),
        (0.0, 0.0, "180-360"),
        (-0.0000001, -0.0000001, "179-359"),
        (53.4999999, 9.9999999, "286-379"),
        (53.5, 10.0, "287-380"),
    ],
)
def test_a_cell_begins_at_its_south_western_corner(lat: float, lon: float, cell: str) -> None:
    assert topics.cell_of(lat, lon) == cell


@pytest.mark.parametrize(("lat", "lon"), [(90.6, 0.0), (-91.0, 0.0), (0.0, -181.0), (0.0, 180.6), (0.0, float("nan"))])
def test_a_place_that_is_none_has_no_cell(lat: float, lon: float) -> None:
    with pytest.raises(FormatError):
        topics.cell_of(lat, lon)


@given(samples.areas(), st.data())
def test_every_door_in_an_area_lies_in_one_of_its_cells(area: Polygon | Circle, data: st.DataObject) -> None:
    cells = topics.cells_of(area)
    assert 1 <= len(cells) <= 4
    bounds = area.bounds
    lat = data.draw(st.floats(bounds.south, bounds.north))
    lon = data.draw(st.floats(bounds.west, bounds.east))
    if area.contains(lat, lon):
        assert topics.cell_of(lat, lon) in cells


def test_an_area_on_a_corner_of_cells_is_asked_in_all_four() -> None:
    assert topics.cells_of(Circle(lat=53.5, lon=10.0, radius_m=300)) == ("286-379", "286-380", "287-379", "287-380")


@given(TOPICS)
def test_a_path_in_a_cell_gives_the_topic_back(topic: Topic) -> None:
    if isinstance(topic, RequestTopic | BulletinTopic | DigestTopic):
        path = str(topic).split("/", 4)[4]
        assert topics.in_cell(topics.cell_filter(topic.cell), path) == str(topic)


def test_a_device_hears_its_whole_cell_and_no_other() -> None:
    assert topics.cell_filter("287-380") == "doorward/v1/areas/287-380/+/+/+"
    for cell in ("+", "#", "287", "360-0"):
        for refuse in (topics.cell_filter, topics.cell_place):
            with pytest.raises(FormatError):
                refuse(cell)


@given(samples.IDS, samples.IDS.filter(lambda name: len(name) < 32))
def test_a_worker_has_the_rights_of_its_requester_and_is_never_taken_for_one(requester: str, worker: str) -> None:
    assume(re.fullmatch("[0-9a-f]{16}", requester) is None)
    name = f"{requester}.{worker}"
    assert topics.requester_of(name) == topics.requester_of(requester) == requester
    for topic in (f"doorward/v1/areas/0-0/requests/{name}/0", f"doorward/v1/up/{name}/{'a' * 16}/{'b' * 32}-0/init"):
        with pytest.raises(FormatError):
            topics.parse_topic(topic)


@pytest.mark.parametrize(
    "name", ["a.b.c", "a.", ".a", "A.b", "a.B", "a.-", "0123456789abcdef", "0123456789abcdef.a", ""]
)
def test_another_common_name_gives_no_rights(name: str) -> None:
    with pytest.raises(FormatError, match="requester's certificate"):
        topics.requester_of(name)
