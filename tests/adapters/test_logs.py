"""What must not be logged is not, whoever tries; what is logged is one line that a machine can read."""

from __future__ import annotations

import io
import json
import logging
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from agent.adapters.logs import redact, set_up
from agent.config import Log, LogFormat, LogLevel
from agent.errors import StorageError

CANARY = "canary-7f3a"


@pytest.fixture(autouse=True)
def leave_logging_as_it_was() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    yield
    structlog.reset_defaults()
    root.handlers = handlers
    root.setLevel(level)


@pytest.fixture
def written() -> io.StringIO:
    out = io.StringIO()
    set_up(Log(level=LogLevel.DEBUG, format=LogFormat.JSON), out)
    return out


def lines(out: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in out.getvalue().splitlines()]


@dataclass
class Holder:
    secret: str = CANARY


SECRETS = {
    "an identity by its look": {"found": "AGE-SECRET-KEY-PQ-1QQQQ" + "A" * 30},
    "an identity inside a sentence": {"found": "read age-secret-key-1qqqqqqqqqqqq from disk"},
    "a private key in PEM": {"found": f"-----BEGIN PRIVATE KEY-----\n{CANARY}\n-----END PRIVATE KEY-----"},
    "a private key in PEM, cut off": {"found": f"-----BEGIN PRIVATE KEY-----\n{CANARY}"},
    "a key by its name": {"key": CANARY},
    "a key by its name in another case": {"File_Key": CANARY},
    "a passphrase": {"passphrase": CANARY},
    "what a requester wrote": {"description": CANARY, "case": CANARY, "incident": CANARY},
    "how an owner is reached": {"contact": {"email": CANARY}},
    "where the camera is": {"position": {"latitude": 52.1234, "longitude": 4.1234}},
    "bytes": {"found": CANARY.encode()},
    "bytes in a list": {"found": [CANARY.encode(), bytearray(CANARY.encode())]},
    "a secret deep inside": {"found": {"a": [{"b": {"secret": CANARY}}]}},
    "deeper than anybody looks": {"found": {"a": {"b": {"c": {"d": {"e": CANARY}}}}}},
    "an object": {"found": Holder()},
    "an object in a tuple": {"found": (Holder(),)},
}


@pytest.mark.parametrize("fields", SECRETS.values(), ids=SECRETS)
def test_a_secret_does_not_get_through(fields: dict[str, Any], written: io.StringIO) -> None:
    structlog.get_logger("recorder").info("something happened", **fields)
    assert len(lines(written)) == 1
    for canary in (CANARY, "52.1234", "AGE-SECRET", "age-secret-key-1q", "BEGIN PRIVATE"):
        assert canary not in written.getvalue()


def test_a_secret_bound_to_a_logger_does_not_get_through(written: io.StringIO) -> None:
    structlog.get_logger("owner").bind(identity=CANARY).warning("identity refused")
    assert CANARY not in written.getvalue()


def test_the_message_of_a_foreign_exception_does_not_get_through(written: io.StringIO) -> None:
    try:
        {}[CANARY]
    except KeyError:
        structlog.get_logger("custodian").exception("message dropped")
    [line] = lines(written)
    assert line["fault"].startswith("KeyError at tests/adapters/test_logs.py:")
    assert CANARY not in written.getvalue()


def test_our_own_errors_are_written_in_their_own_words(written: io.StringIO) -> None:
    structlog.get_logger("recorder").error(
        "segment lost", exc_info=StorageError("The disk is full.", remedy="Make room.")
    )
    assert lines(written)[0]["fault"] == "StorageError: The disk is full. Make room."


def test_an_error_of_the_system_keeps_its_reason(written: io.StringIO) -> None:
    structlog.get_logger("recorder").error("segment lost", reason=OSError(28, "whatever", CANARY))
    assert lines(written)[0]["reason"] == "OSError: No space left on device"
    assert CANARY not in written.getvalue()


def test_bytes_and_arrays_leave_their_size_or_kind(written: io.StringIO) -> None:
    structlog.get_logger("x").info("seen", chunk=b"12345", grid=np.zeros((3, 4), np.uint8))
    [line] = lines(written)
    assert (line["chunk"], line["grid"]) == ("<5 bytes>", "<ndarray>")


def test_long_text_is_cut(written: io.StringIO) -> None:
    structlog.get_logger("x").info("seen", note="a" * 5000)
    assert len(lines(written)[0]["note"]) == 201


def test_a_line_says_when_how_bad_who_and_what(written: io.StringIO) -> None:
    structlog.get_logger("recorder").info("segment sealed", segment="abc", size_bytes=5, key_id="00ff")
    [line] = lines(written)
    assert list(line) == ["at", "level", "part", "event", "segment", "size_bytes", "key_id"]
    assert (line["level"], line["part"], line["event"], line["key_id"]) == (
        "info",
        "recorder",
        "segment sealed",
        "00ff",
    )


def test_what_is_less_important_than_the_level_is_not_written() -> None:
    out = io.StringIO()
    set_up(Log(level=LogLevel.WARNING, format=LogFormat.JSON), out)
    log = structlog.get_logger("x")
    log.info("minor")
    log.warning("major")
    assert [line["event"] for line in lines(out)] == ["major"]


def test_a_terminal_gets_plain_lines_that_no_text_can_break() -> None:
    out = io.StringIO()
    set_up(Log(format=LogFormat.CONSOLE), out)
    structlog.get_logger("recorder").info("segment sealed", segment="abc", note="two words", evil="a\nb\x1b[31m")
    [line] = out.getvalue().splitlines()
    assert line.endswith('info     recorder    segment sealed  segment=abc  note="two words"  evil=a\\nb\\x1b[31m')


def test_warnings_of_libraries_come_without_what_they_quote(written: io.StringIO) -> None:
    logging.getLogger("some.library").warning("cannot read %s", CANARY)
    [line] = lines(written)
    assert (line["part"], line["template"]) == ("some.library", "cannot read %s")


def test_threads_do_not_mix_their_lines(written: io.StringIO) -> None:
    def work(number: int) -> None:
        for _ in range(100):
            structlog.get_logger("x").info("counted", number=number)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(lines(written)) == 400


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner) | st.tuples(inner),
    max_leaves=20,
)


@given(st.dictionaries(st.text(min_size=1), anything))
def test_whatever_is_logged_becomes_json(fields: dict[str, Any]) -> None:
    json.dumps(redact(None, "info", {"event": "something happened", **fields}))
