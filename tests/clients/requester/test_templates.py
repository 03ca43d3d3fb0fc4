"""A template escapes each word, leaves no gap for a word that is missing, and no line for a command."""

from __future__ import annotations

import pytest
from jinja2 import Environment, UndefinedError

from agent.clients.requester.templates import template


@pytest.fixture
def environment() -> Environment:
    """The environment of a template that nothing has read before."""
    template.cache_clear()
    return template("certificate.html").environment


def test_a_word_is_escaped_and_a_command_leaves_no_line(environment: Environment) -> None:
    text = "{% if shown %}\n  {% for word in shown %}\n<b>{{ word }}</b>\n  {% endfor %}\n{% endif %}\nend"
    assert environment.from_string(text).render(shown=["<i>", "&"]) == "<b>&lt;i&gt;</b>\n<b>&amp;</b>\nend"


def test_a_word_that_is_missing_is_an_error(environment: Environment) -> None:
    with pytest.raises(UndefinedError, match="'disclosure' is undefined"):
        environment.from_string("{{ disclosure }}").render()


def test_both_papers_have_a_template(environment: Environment) -> None:
    assert template("report.html").name == "report.html"
    assert template("report.html") is template("report.html"), "it is read once"
    assert environment.get_template("certificate.html").name == "certificate.html"
