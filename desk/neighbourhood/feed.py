"""Bulletins as an Atom feed (RFC 4287), for feed readers and other sites."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from django.utils.feedgenerator import Atom1Feed

from desk.neighbourhood.published import PublishedBulletin

__all__ = ["atom"]


def atom(
    bulletins: Sequence[PublishedBulletin], *, title: str, address: str, feed: str, page_of: Callable[[str], str]
) -> str:
    """Returns the feed. `page_of` gives the address of a bulletin's page by its id."""
    made = Atom1Feed(title=title, link=address, description=None, feed_url=feed)
    for each in bulletins:
        made.add_item(
            title=each.message.title,
            link=page_of(each.message.id),
            description=each.message.description,
            author_name=each.organisation.name,
            pubdate=each.signed_at,
            updateddate=each.signed_at,
            unique_id=f"urn:doorward:bulletin:{each.message.id}",
        )
    return made.writeString("utf-8")
