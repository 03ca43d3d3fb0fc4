"""`{% load reasons %}{{ answer.reason|reason }}`: stored English words in the reader's language."""

from __future__ import annotations

from django import template
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import get_language

from desk.reasons import in_words

register = template.Library()


@register.filter
def reason(text: str) -> str | SafeString:
    """Returns the words. Words that have no translation are marked as English."""
    found = in_words(str(text))
    is_english = found == text and text and not (get_language() or "en").startswith("en")
    return format_html('<span lang="en">{}</span>', found) if is_english else found
