"""The templates of what a requester's person reads: report and certificate, filled in without trusting what goes in."""

from __future__ import annotations

import functools

from jinja2 import Environment, PackageLoader, StrictUndefined, Template

__all__ = ["template"]


@functools.cache
def template(name: str) -> Template:
    """Every word is escaped, and a word that is missing is an error: it must not vanish from what a court reads."""
    environment = Environment(
        loader=PackageLoader("agent.clients.requester", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(name)
