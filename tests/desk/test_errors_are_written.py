"""A fault of the desk leaves a line for its operator, and plain words for its user."""

from __future__ import annotations

import logging.config
from typing import NoReturn

import pytest
from django.conf import settings
from django.http import HttpRequest
from django.test import Client, override_settings
from django.urls import include, path


def broken(_request: HttpRequest) -> NoReturn:
    raise ValueError("a fault of the desk")


urlpatterns = [path("broken", broken), path("", include("desk.urls"))]


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
