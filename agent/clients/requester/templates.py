"""Templates of the report and the certificate, filled in with untrusted text."""

from __future__ import annotations

import functools

from jinja2 import Environment, PackageLoader, StrictUndefined, Template

__all__ = ["template"]


@functools.cache
def template(name: str) -> Template:
    """Returns a template that escapes each word. A missing word is an error, because a court must see all of them."""
    environment = Environment(
        loader=PackageLoader("agent.clients.requester", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(name)
