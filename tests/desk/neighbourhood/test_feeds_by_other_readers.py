"""Other programs read what we publish: OASIS' schema judges CAP 1.2, and feedparser reads the Atom feed.

`scripts/public_vectors.py` fetches the schema. It is the one of OASIS as the World Meteorological Organization packs
it.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import feedparser
import pytest
import xmlschema
from django.test import Client

from desk.neighbourhood.models import Submission
from tests import public_vectors
from tests.desk.agencies import Agency
from tests.desk.neighbourhood.test_neighbours import Neighbour, published, second, street
from tests.desk.neighbourhood.test_public_bulletins import get
from tests.desk.neighbourhood.test_public_bulletins import published as published_bulletin

__all__ = ["second", "street"]

CORNERS = "52.1, 5.1\n52.1, 5.12\n52.11, 5.12"


@cache
def schema() -> xmlschema.XMLSchema:
    (file,) = public_vectors.folder("cap").iterdir()
    return xmlschema.XMLSchema(str(file))


@pytest.mark.parametrize(
    "area", [{}, {"shape": "polygon", "corners": CORNERS}, {"description": "Tap & <b>boil</b> ]]> until ten."}]
)
def test_the_schema_of_oasis_accepts_each_bulletin(agency: Agency, area: dict[str, str]) -> None:
    bulletin = published_bulletin(agency, **area)
    alert = get(f"/bulletins/{bulletin.bulletin_id}.cap").content
    schema().validate(alert)
    read: Any = schema().to_dict(alert)
    info = read["info"][0]
    assert (read["identifier"], info["headline"], info["description"]) == (
        bulletin.bulletin_id, bulletin.title, bulletin.description,
    )  # fmt: skip
    assert info["area"][0]["polygon" if "corners" in area else "circle"]


def test_the_schema_of_oasis_accepts_each_notice_of_a_neighbour(street: Agency, second: Client) -> None:
    neighbour = Neighbour()
    row: Submission = published(street, second, neighbour.notice(), neighbour)
    schema().validate(get(f"/neighbours/kerkstraat/notices/{row.message_id}.cap").content)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"<urgency>Unknown</urgency>", b""),
        (b"<scope>Public</scope>", b"<scope>Everyone</scope>"),
        (b"-00:00</sent>", b"Z</sent>"),
        (b"<headline>", b"<contact>x</contact><headline>"),
    ],
)
def test_the_schema_refuses_an_alert_that_is_wrong_in_one_thing(agency: Agency, old: bytes, new: bytes) -> None:
    bulletin = published_bulletin(agency)
    alert: bytes = get(f"/bulletins/{bulletin.bulletin_id}.cap").content
    assert alert.count(old) == 1
    with pytest.raises(xmlschema.XMLSchemaValidationError):
        schema().validate(alert.replace(old, new))


def test_feedparser_reads_the_feed_of_bulletins(agency: Agency) -> None:
    first = published_bulletin(agency, title="Water & gas off", description="Boil <everything>.")
    second_one = published_bulletin(agency, title="Bridge closed", shape="polygon", corners=CORNERS)
    answer = get("/bulletins.atom")
    read = feedparser.parse(answer.content, response_headers={"content-type": answer["Content-Type"]})
    assert not read.bozo, read.get("bozo_exception")
    assert read.version == "atom10"
    assert read.feed.title
    assert read.feed.updated_parsed
    assert [each.id for each in read.entries] == [
        f"urn:doorward:bulletin:{each.bulletin_id}" for each in (second_one, first)
    ]
    bridge, water = read.entries
    assert (water.title_detail.type, water.title) == ("text/plain", "Water & gas off")
    assert water.author == "Rijnstad Police"
    assert water.link.endswith(f"/bulletins/{first.bulletin_id}")
    assert water.published_parsed == water.updated_parsed
    assert bridge.where["type"] == "Polygon"
    assert bridge.where["coordinates"][0][0] == (5.1, 52.1)


def test_feedparser_reads_the_feed_of_notices(street: Agency, second: Client) -> None:
    neighbour = Neighbour()
    row = published(street, second, neighbour.notice(), neighbour)
    answer = get("/neighbours/kerkstraat/notices.atom")
    read = feedparser.parse(answer.content, response_headers={"content-type": answer["Content-Type"]})
    assert not read.bozo, read.get("bozo_exception")
    assert read.version == "atom10"
    (entry,) = read.entries
    assert entry.id == f"urn:doorward:bulletin:{row.message_id}"
