"""Changes that wait for a second person, for the operator of a desk in whose organisation no second person is left."""

from __future__ import annotations

from collections.abc import Iterator

from agent.errors import ConfigurationError
from desk.people import confirmations
from desk.people.models import GuardedChange

__all__ = ["confirm_change", "waiting_lines"]


def waiting_lines() -> Iterator[str]:
    """Yields a line for each change that waits."""
    for change in GuardedChange.objects.filter(state="waits").select_related("organisation", "person", "made_by"):
        yield _line(change)


def confirm_change(number: int) -> str:
    """Confirms a change as the operator. Returns its line. Raises `ConfigurationError` or `RequestError`."""
    change = GuardedChange.objects.filter(pk=number).select_related("organisation", "person", "made_by").first()
    if change is None:
        raise ConfigurationError(f"No change has the number {number}.", remedy="List them: doorward-desk confirm")
    confirmations.confirm(change, None)
    return f"Confirmed: {_line(change)}"


def _line(change: GuardedChange) -> str:
    about = f"{change.person.email}: {', '.join(change.roles)}" if change.person else "one person alone may ask"
    maker = change.made_by.email if change.made_by else "a former person"
    return f"{change.pk}  {change.organisation.requester_id}  {about}  (proposed by {maker})"
