"""Locks of rows on PostgreSQL, which SQLite does not have. `make test` runs most pages on SQLite alone.

- PostgreSQL refuses a lock on a row that may be absent.
- `FOR UPDATE` makes each insertion wait that refers to the row. An act that holds an organisation and waits for its
  custody log, and an entry of the log that waits for the organisation, end in a deadlock (`locks_at_work.py`).
- A query that locks a row and its case locks the row first, while a deletion holds the case and waits for the row.
"""

from __future__ import annotations

import re
from pathlib import Path

from django.apps import apps

import desk

LOCKED = re.compile(
    r"(\w+|type\(\w+\))\.objects\.select_for_update\(([^()]*(?:\([^()]*\))?[^()]*)\)((?:\s*\.\w+\([^()]*\))*)"
)
RELATED = re.compile(r"\.select_related\(([^()]*)\)")


def joins_that_may_be_absent(source: str) -> list[str]:
    """Returns the nullable joins that `source` locks, as `Model: path`."""
    models = {model.__name__: model for model in apps.get_models()}
    found = []
    for name, how, more in LOCKED.findall(source):
        if name not in models:
            continue
        named = set(re.findall(r'"(\w+)"', how))
        for path in re.findall(r'"(\w+)"', " ".join(RELATED.findall(more))):
            if "of=" in how and path not in named:
                continue
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
    assert joins_that_may_be_absent(wrong.replace("update()", 'update(of=("self", "person"))')) == [
        "GuardedChange: person"
    ]
    assert joins_that_may_be_absent(wrong.replace(', "person"', "")) == []


def locks_that_hold_others_up(source: str) -> list[str]:
    """Returns the locks of `source` that make insertions wait: of keys, or of a joined organisation."""
    return [
        f"{name}({how}){more}"
        for name, how, more in LOCKED.findall(source)
        if "no_key=True" not in how or ("organisation" in " ".join(RELATED.findall(more)) and "of=" not in how)
    ]


def test_no_lock_makes_an_insertion_wait_that_refers_to_its_row() -> None:
    sources = [path.read_text() for path in sorted(Path(desk.__file__).parent.rglob("*.py"))]
    assert [each for source in sources for each in locks_that_hold_others_up(source)] == []
    assert sum(source.count("select_for_update(") for source in sources) == sum(
        len(LOCKED.findall(each)) for each in sources
    ), "the pattern reads all of them"


def test_the_rule_names_such_a_lock() -> None:
    sound = 'Draft.objects.select_for_update(of=("self",), no_key=True).select_related("organisation").get(pk=1)'
    assert locks_that_hold_others_up(sound) == []
    for wrong in (sound.replace(", no_key=True", ""), sound.replace('of=("self",), ', "")):
        assert len(locks_that_hold_others_up(wrong)) == 1, wrong


def locks_of_a_row_before_its_case(source: str) -> list[str]:
    """Returns the queries of `source` that lock a row and its case at once."""
    return [
        f"{name}({how}){more}"
        for name, how, more in LOCKED.findall(source)
        if '"case' in (how if "of=" in how else " ".join(RELATED.findall(more)))
    ]


def test_a_case_is_locked_before_what_belongs_to_it() -> None:
    sources = [path.read_text() for path in sorted(Path(desk.__file__).parent.rglob("*.py"))]
    assert [each for source in sources for each in locks_of_a_row_before_its_case(source)] == []


def test_the_rule_names_a_query_that_locks_both() -> None:
    sound = 'Draft.objects.select_for_update(of=("self",), no_key=True).select_related("case").get(pk=1)'
    assert locks_of_a_row_before_its_case(sound) == []
    for wrong in (sound.replace('"self",', '"self", "case"'), sound.replace('of=("self",), ', "")):
        assert len(locks_of_a_row_before_its_case(wrong)) == 1, wrong
