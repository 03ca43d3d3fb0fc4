"""`{% field form.name attribute="value" %}`: one field with its label, its error, and its attributes in place."""

from __future__ import annotations

from typing import Any

from django import template
from django.forms import BoundField
from django.utils.safestring import SafeString

register = template.Library()


@register.inclusion_tag("asking/field.html")
def field(bound: BoundField, *, depends: bool = False, **attributes: Any) -> dict[str, Any]:
    """Returns the context of one field. Its error is tied to it for screen readers.

    `depends`: another field decides if this one is needed, so it is not called optional.
    """
    described = f"{bound.auto_id}_error" if bound.errors else ""
    if described and not bound.field.widget.use_fieldset:
        attributes |= {"aria-describedby": described, "aria-invalid": "true"}
    widget: SafeString = bound.as_widget(attrs=attributes)
    return {"field": bound, "widget": widget, "error_id": described, "depends": depends}
