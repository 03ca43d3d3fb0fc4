"""Each app has one migration, and it equals the models."""

from __future__ import annotations

from pathlib import Path

from django.apps import apps
from django.core.management import call_command

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
