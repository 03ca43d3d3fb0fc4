"""A fault of the desk leaves a line for its operator, and plain words for its user."""

from __future__ import annotations

import logging.config
from typing import NoReturn

import pytest
from django.conf import settings
from django.db import OperationalError
from django.http import HttpRequest
from django.test import Client, override_settings
from django.urls import include, path

from desk.urls import handler500

__all__ = ["handler500"]


def broken(_request: HttpRequest) -> NoReturn:
    raise ValueError("a fault of the desk")


def without_a_database(_request: HttpRequest) -> NoReturn:
    raise OperationalError("connection refused")


urlpatterns = [path("broken", broken), path("away", without_a_database), path("", include("desk.urls"))]


@pytest.mark.usefixtures("data")
@pytest.mark.parametrize(
    ("language", "words"),
    [("en", "The desk could not finish this"), ("nl", "De desk kon dit niet afmaken")],
)
def test_a_fault_is_on_standard_error_and_the_person_reads_of_it_in_their_language(
    capsys: pytest.CaptureFixture[str], language: str, words: str
) -> None:
    with override_settings(ROOT_URLCONF=__name__):
        logging.config.dictConfig(settings.LOGGING)  # the handler takes the standard error of this test
        answer = Client(raise_request_exception=False).get(
            "/broken?case=2026-0417", secure=True, headers={"accept-language": language}
        )
    assert answer.status_code == 500
    page = answer.content.decode()
    assert f"<h1>{words}</h1>" in page
    assert "a fault of the desk" not in page
    said = capsys.readouterr().err
    assert "ERROR django.request: Internal Server Error: /broken" in said
    assert "ValueError: a fault of the desk" in said
    assert "2026-0417" not in said


@pytest.mark.usefixtures("data")
def test_a_page_without_the_database_says_so_and_lets_programs_try_again() -> None:
    with override_settings(ROOT_URLCONF=__name__):
        answer = Client(raise_request_exception=False).get("/away", secure=True, headers={"accept-language": "nl"})
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "10")
    assert "<h1>De database van de desk antwoordt niet</h1>" in answer.content.decode()
    assert "connection refused" not in answer.content.decode()
