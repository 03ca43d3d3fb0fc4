"""Times and lengths, as a report shows them."""

from __future__ import annotations

from typing import Any

from django import template

from desk.export import words
from desk.people.roles import Action, is_allowed

register = template.Library()
register.filter("day_time", words.day_time)
register.filter("utc_time", words.utc_time)
register.filter("clock_time", words.clock_time)
register.filter("long_day", words.long_day)
register.filter("safe_words", words.safe_words)


@register.filter
def film_length(seconds: float) -> str:
    """Returns the length of a film."""
    minutes, rest = divmod(seconds, 60)
    return f"{int(minutes)} min {rest:.0f} s" if minutes else f"{rest:.1f} s"


@register.filter
def plain_number(value: float) -> str:
    """Returns a number as SVG takes it: a point, whatever the language."""
    return f"{value:.1f}"


@register.simple_tag(takes_context=True)
def may(context: dict[str, Any], action: str) -> bool:
    """Returns True if the person's roles allow the action, for example "export"."""
    return is_allowed(context.get("roles") or (), Action(action))
