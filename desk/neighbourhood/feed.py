"""Bulletins as an Atom feed (RFC 4287), for feed readers and other sites.

Each entry states the area of its bulletin (GeoRSS Simple), so a reader's program can choose by place without telling
the desk where it is. Source: https://docs.ogc.org/cs/17-002r1/17-002r1.html
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

from django.utils.feedgenerator import Atom1Feed

from agent.wire.area import Area, Circle
from desk.neighbourhood.published import PublishedBulletin

__all__ = ["GEORSS", "atom"]

GEORSS: Final = "http://www.georss.org/georss"


class _FeedWithAreas(Atom1Feed):
    def root_attributes(self) -> dict[str, str]:
        return {**super().root_attributes(), "xmlns:georss": GEORSS}

    def add_item_elements(self, handler: Any, item: dict[str, Any]) -> None:
        super().add_item_elements(handler, item)
        if item["area"] is not None:
            handler.addQuickElement(*_outline(item["area"]))


def _outline(area: Area) -> tuple[str, str]:
    """Returns the element and its text: degrees of latitude and longitude, and a radius in metres."""
    if isinstance(area, Circle):
        return "georss:circle", f"{area.lat:.7f} {area.lon:.7f} {area.radius_m}"
    return "georss:polygon", " ".join(f"{each.lat:.7f} {each.lon:.7f}" for each in (*area.vertices, area.vertices[0]))


def atom(
    bulletins: Sequence[PublishedBulletin], *, title: str, address: str, feed: str, page_of: Callable[[str], str]
) -> str:
    """Returns the feed. `page_of` gives the address of a bulletin's page by its id."""
    made = _FeedWithAreas(title=title, link=address, description=None, feed_url=feed)
    for each in bulletins:
        made.add_item(
            title=each.message.title,
            link=page_of(each.message.id),
            description=each.message.description,
            author_name=each.organisation.name,
            pubdate=each.signed_at,
            updateddate=each.signed_at,
            unique_id=f"urn:doorward:bulletin:{each.message.id}",
            area=each.message.area,
        )
    return made.writeString("utf-8")
