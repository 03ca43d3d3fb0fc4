"""An error becomes an answer that says by whose fault it was, and a log line only if it was the doorbell's."""

from __future__ import annotations

import pytest
import structlog
from starlette.datastructures import Headers
from starlette.requests import Request

from agent.custodian.page.app import _announced_bytes, _browser, _refused
from agent.custodian.page.sessions import TooManyTriesError
from agent.errors import DoorwardError, FormatError, InternalError, RequestError, StorageError
from agent.wire.control import parse_frame


@pytest.mark.parametrize(
    ("error", "status", "logged"),
    [
        (RequestError("This is yours."), 400, False),
        (FormatError("This is no frame."), 400, False),
        (InternalError("This is a bug."), 400, True),
        (StorageError("The disk is full."), 503, True),
    ],
)
def test_each_error_has_its_status_and_its_words(error: DoorwardError, status: int, logged: bool) -> None:
    with structlog.testing.capture_logs() as lines:
        answer = _refused(error)
    assert answer.status_code == status
    head = parse_frame(bytes(answer.body)).head
    assert (head["ok"], error.message in str(head)) == (False, True)
    assert Headers(raw=answer.raw_headers).get("retry-after") is None
    expected = [{"event": "page_failed", "log_level": "warning", "reason": type(error).__name__}] if logged else []
    assert lines == expected


def test_who_guesses_is_told_how_long_to_wait_and_fills_no_log() -> None:
    with structlog.testing.capture_logs() as lines:
        answer = _refused(TooManyTriesError(7))
    assert (answer.status_code, answer.headers["retry-after"]) == (429, "7")
    assert lines == []


@pytest.mark.parametrize(
    ("agent", "said"),
    [
        ("Mozilla/5.0 (Macintosh; Intel Mac OS X) Chrome/126 Safari/537.36 Edg/126", "Edge, Mac"),
        ("Mozilla/5.0 (X11; Linux x86_64) Gecko Firefox/128.0", "Firefox, Linux"),
        ("<script>", "Browser"),
        ("", "Browser"),
    ],
)
def test_a_browser_has_a_name_of_ours(agent: str, said: str) -> None:
    assert _browser(agent) == said


@pytest.mark.parametrize(
    ("announced", "counted"),
    [(b"0", 0), (b"7", 7), (b"99", 99), (b"100", 99), (b"", 99), (b"-1", 99), (b"1e3", 99), (b"\xb2", 99), (b"x", 99)],
)
def test_a_length_that_cannot_be_true_counts_as_the_most(announced: bytes, counted: int) -> None:
    sent = Request({"type": "http", "headers": [(b"content-length", announced)]})
    assert _announced_bytes(sent, 99) == counted


def test_a_body_without_a_length_counts_as_the_most() -> None:
    assert _announced_bytes(Request({"type": "http", "headers": []}), 99) == 99
