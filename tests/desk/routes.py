"""All addresses of the desk, for tests that walk them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from django.urls import URLPattern, URLResolver, get_resolver, reverse

from desk.people.permissions import ACTION_OF
from desk.people.roles import Action


@dataclass(frozen=True, slots=True)
class Route:
    """One address: its name, the action that its view asks for, and whether it holds an object."""

    name: str
    pattern: str
    action: Action | None
    is_csrf_exempt: bool

    @property
    def app(self) -> str:
        return self.name.partition(":")[0] if ":" in self.name else "sign-in"

    @property
    def has_object(self) -> bool:
        return "<" in self.pattern

    def address(self, **kwargs: Any) -> str:
        return reverse(self.name, kwargs=kwargs or None)


def routes() -> list[Route]:
    return list(_walk(get_resolver(), "", ""))


def _walk(resolver: URLResolver, prefix: str, space: str) -> Iterator[Route]:
    for each in resolver.url_patterns:
        pattern = prefix + str(each.pattern)
        if isinstance(each, URLPattern):
            action = getattr(each.callback, ACTION_OF, None)
            exempt = getattr(each.callback, "csrf_exempt", False)
            yield Route(":".join(filter(None, (space, each.name))), pattern, action, exempt)
        else:
            yield from _walk(each, pattern, each.namespace or space)
