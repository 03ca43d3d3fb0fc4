"""The app of people. It writes sign-ins into the custody log."""

from __future__ import annotations

from django.apps import AppConfig

__all__ = ["PeopleConfig"]


class PeopleConfig(AppConfig):
    """Connects the listeners of sign-ins when Django starts."""

    name = "desk.people"

    def ready(self) -> None:
        from desk.people import sign_in_log

        sign_in_log.connect()
