"""A bulletin as an alert of the Common Alerting Protocol, which warning systems and public feeds read.

Source: OASIS, "Common Alerting Protocol Version 1.2", 1 July 2010. The elements stand in the order of its schema,
which judges each alert in the tests (`tests/desk/neighbourhood/test_feeds_by_other_readers.py`).
Urgency, severity and certainty are "Unknown": a bulletin does not state them, and this page must not invent them.
"""

from __future__ import annotations

import datetime
from typing import Final
from xml.etree import ElementTree

from agent.wire.area import Area, Circle
from desk.neighbourhood.published import PublishedBulletin

__all__ = ["NAMESPACE", "alert"]

NAMESPACE: Final = "urn:oasis:names:tc:emergency:cap:1.2"
_UNKNOWN: Final = "Unknown"


def alert(bulletin: PublishedBulletin, *, host: str, address: str) -> bytes:
    """Returns the alert as XML. `host` makes the sender's name unique, `address` is the bulletin's page."""
    root = ElementTree.Element(f"{{{NAMESPACE}}}alert")
    message = bulletin.message
    for name, value in (
        ("identifier", message.id),
        ("sender", f"{message.requester}@{host}"),
        ("sent", _time(bulletin.signed_at)),
        ("status", "Actual"),
        ("msgType", "Alert"),
        ("scope", "Public"),
    ):
        _add(root, name, value)
    info = _add(root, "info")
    for name, value in (
        ("language", message.language),
        ("category", "Safety"),
        ("event", "Safety bulletin"),
        ("urgency", _UNKNOWN),
        ("severity", _UNKNOWN),
        ("certainty", _UNKNOWN),
        ("expires", _time(bulletin.until)),
        ("senderName", bulletin.organisation.name),
        ("headline", message.title),
        ("description", message.description),
        ("web", address),
    ):
        _add(info, name, value)
    if message.area is not None:
        _add_area(info, message.area)
    ElementTree.register_namespace("", NAMESPACE)
    text: bytes = ElementTree.tostring(root, encoding="utf-8", xml_declaration=True)
    return text


def _add(parent: ElementTree.Element, name: str, value: str = "") -> ElementTree.Element:
    child = ElementTree.SubElement(parent, f"{{{NAMESPACE}}}{name}")
    child.text = value or None
    return child


def _add_area(info: ElementTree.Element, area: Area) -> None:
    element = _add(info, "area")
    if isinstance(area, Circle):
        _add(element, "areaDesc", f"{area.radius_m} m around {area.lat:g}, {area.lon:g}")
        _add(element, "circle", f"{area.lat:.7f},{area.lon:.7f} {area.radius_m / 1000:.3f}")
        return
    bounds = area.bounds
    middle = f"{(bounds.south + bounds.north) / 2:.4f}, {(bounds.west + bounds.east) / 2:.4f}"
    _add(element, "areaDesc", f"{len(area.vertices)} corners around {middle}")
    corners = [f"{each.lat:.7f},{each.lon:.7f}" for each in (*area.vertices, area.vertices[0])]  # closed, section 3.2.4
    _add(element, "polygon", " ".join(corners))


def _time(moment: datetime.datetime) -> str:
    """Returns a time as CAP writes it: whole seconds, and "-00:00" for UTC (section 3.3.2)."""
    return f"{moment.astimezone(datetime.UTC):%Y-%m-%dT%H:%M:%S}-00:00"
