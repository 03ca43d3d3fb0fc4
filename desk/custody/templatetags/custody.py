"""Times and hashes of the log, as a page shows them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Final

from django import template
from django.utils import timezone
from django.utils.formats import date_format

register = template.Library()
_MS_PER_S: Final = 1000


@register.filter
def at_ms(value: int) -> str:
    """Returns the time of the entry in the desk's time zone, to the second."""
    local = timezone.localtime(datetime.fromtimestamp(value / _MS_PER_S, UTC))
    return f"{date_format(local, 'Y-m-d')} {local:%H:%M:%S}"


@register.filter
def pairs(detail: dict[str, Any]) -> list[tuple[str, str]]:
    """Returns the detail of an entry as words. A list is joined by commas."""
    return [(name.replace("_", " "), _words(value)) for name, value in detail.items()]


def _words(value: Any) -> str:
    return ", ".join(map(_words, value)) if isinstance(value, list) else str(value)
