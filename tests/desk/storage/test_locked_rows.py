"""A query that locks rows asks for no lock on a row that may be absent: PostgreSQL refuses it, and SQLite does not.

`make test` runs most pages on SQLite alone.
"""

from __future__ import annotations

import re
from pathlib import Path

from django.apps import apps

import desk

LOCKED = re.compile(r"(\w+)\.objects\.select_for_update\(([^()]*(?:\([^()]*\))?[^()]*)\)((?:\s*\.\w+\([^()]*\))*)")
RELATED = re.compile(r"\.select_related\(([^()]*)\)")


def joins_that_may_be_absent(source: str) -> list[str]:
    """Returns the nullable joins that `source` locks, as `Model: path`."""
    models = {model.__name__: model for model in apps.get_models()}
    found = []
    for name, how, more in LOCKED.findall(source):
        if "of=" in how or name not in models:
            continue
        for path in re.findall(r'"(\w+)"', " ".join(RELATED.findall(more))):
            model, may_be_absent = models[name], False
            for step in path.split("__"):
                field = model._meta.get_field(step)
                may_be_absent |= bool(field.null)
                model = field.related_model
            found += [f"{name}: {path}"] if may_be_absent else []
    return found


def test_no_query_locks_a_row_that_may_be_absent() -> None:
    sources = [path.read_text() for path in sorted(Path(desk.__file__).parent.rglob("*.py"))]
    assert sum(len(LOCKED.findall(each)) for each in sources) > 20, "the pattern reads the desk's queries"
    assert [each for source in sources for each in joins_that_may_be_absent(source)] == []


def test_the_rule_names_such_a_query() -> None:
    wrong = 'GuardedChange.objects.select_for_update().select_related("organisation", "person").get(pk=1)'
    assert joins_that_may_be_absent(wrong) == ["GuardedChange: person"]
    assert joins_that_may_be_absent(wrong.replace("update()", 'update(of=("self",))')) == []
    assert joins_that_may_be_absent(wrong.replace(', "person"', "")) == []
