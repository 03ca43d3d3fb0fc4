"""Each app has one migration, and it equals the models. Later ones must let workers of the version before go on."""

from __future__ import annotations

from pathlib import Path

import pytest
from django.apps import apps
from django.core.management import call_command
from django.db import models
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.operations import AddField, AddIndex, CreateModel, RemoveField, RenameField, RunSQL
from django.db.migrations.operations.base import Operation

DESK = Path(__file__).resolve().parents[2] / "desk"


def test_the_migrations_equal_the_models(data: Path) -> None:
    call_command("makemigrations", check=True, dry_run=True, verbosity=0)


def test_each_app_with_models_has_one_migration() -> None:
    """Nothing is released, so a change of a model replaces its migration."""
    with_models = {
        config.label
        for config in apps.get_app_configs()
        if config.name.startswith("desk.")
        if list(config.get_models())
    }
    found = {path.parent.parent.name: path.name for path in sorted(DESK.glob("*/migrations/0*.py"))}
    assert found == dict.fromkeys(sorted(with_models), "0001_initial.py")
    assert len(list(DESK.glob("*/migrations/0*.py"))) == len(found)


def breaks_workers(operation: Operation) -> bool:
    """Returns True if a worker of the version before fails afterwards: docs/desk.md, "To upgrade".

    Django fills the rows of a field with `default` itself and leaves none in the table, so the older worker's next row
    would lack the column. `db_default` stays in the table.
    """
    if isinstance(operation, AddField):
        return not operation.field.null and operation.field.db_default is models.NOT_PROVIDED
    return not isinstance(operation, CreateModel | AddIndex)


def test_workers_go_on_while_a_later_migration_is_applied() -> None:
    """There is none yet. The rule is here before the first one."""
    ours = {config.label for config in apps.get_app_configs() if config.name.startswith("desk.")}
    loader = MigrationLoader(None)
    later = [each for (app, _), each in loader.disk_migrations.items() if app in ours and not each.initial]
    assert [each for each in later if any(map(breaks_workers, each.operations))] == []


@pytest.mark.parametrize(
    ("operation", "breaks"),
    [
        (AddField("case", "later", models.IntegerField(null=True)), False),
        (AddField("case", "later", models.IntegerField(db_default=0)), False),
        (AddField("case", "later", models.IntegerField(default=0)), True),
        (CreateModel("Later", []), False),
        (AddIndex("case", models.Index(fields=("number",), name="later")), False),
        (RemoveField("case", "number"), True),
        (RenameField("case", "number", "name"), True),
        (RunSQL("DELETE FROM cases_case"), True),
    ],
)
def test_the_rule_names_what_breaks_them(operation: Operation, breaks: bool) -> None:
    assert breaks_workers(operation) is breaks
