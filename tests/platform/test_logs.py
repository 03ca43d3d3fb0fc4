"""Secrets stay out of the log for every caller; every line of it can be read by a machine."""

from __future__ import annotations

import errno
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

from agent.config.settings import LogConfig, LogFormat, LogLevel
from agent.errors import StorageError
from agent.platform.logs import redact, set_up

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
    set_up(LogConfig(level=LogLevel.DEBUG, format=LogFormat.JSON), out)
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
    assert line["fault"].startswith("KeyError at tests/platform/test_logs.py:")
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
    set_up(LogConfig(level=LogLevel.WARNING, format=LogFormat.JSON), out)
    log = structlog.get_logger("x")
    log.info("minor")
    log.warning("major")
    assert [line["event"] for line in lines(out)] == ["major"]


def test_a_terminal_gets_plain_lines_that_no_text_can_break() -> None:
    out = io.StringIO()
    set_up(LogConfig(format=LogFormat.CONSOLE), out)
    structlog.get_logger("recorder").info("segment sealed", segment="abc", note="two words", evil="a\nb\x1b[31m")
    [line] = out.getvalue().splitlines()
    assert line.endswith('info     recorder    segment sealed  segment=abc  note="two words"  evil=a\\nb\\x1b[31m')


def test_no_text_moves_a_terminals_cursor_or_turns_its_letters_round() -> None:
    """A recorder that was taken over gives the words of its alerts, and they are logged."""
    out = io.StringIO()
    set_up(LogConfig(format=LogFormat.CONSOLE), out)
    structlog.get_logger("owner").info("told", says="gone\r\x9b2K\x08\u202edne\x7f")
    (line,) = out.getvalue().splitlines()
    assert line.endswith(r"says=gone\r\x9b2K\x08\u202edne\x7f")


def test_no_text_in_json_moves_the_cursor_of_a_terminal_that_shows_it(written: io.StringIO) -> None:
    """JSON escapes only the characters below 0x20. `cat` writes the others to the terminal."""
    says = "gone\r\x9b2K\x08\u202edne\x7f"
    structlog.get_logger("owner").info("told", says=says)
    assert written.getvalue().removesuffix("\n").isprintable()
    assert lines(written)[0]["says"] == says


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


class Watch:
    """Seconds that pass when the test says so."""

    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def told_in_time() -> tuple[io.StringIO, Watch]:
    out, watch = io.StringIO(), Watch()
    set_up(LogConfig(level=LogLevel.DEBUG, format=LogFormat.JSON), out, watch)
    return out, watch


def test_a_trouble_that_lasts_for_a_day_is_some_lines_and_says_how_often_it_came(
    told_in_time: tuple[io.StringIO, Watch],
) -> None:
    out, watch = told_in_time
    log = structlog.get_logger("recorder")
    for _ in range(43_200):
        log.warning("custodian_away", error="No custodian answers.")
        watch.now_s += 2
    found = lines(out)
    assert len(found) == 144
    assert [line.get("repeated", 0) for line in found] == [0, *[299] * 143]


def test_what_comes_back_is_told_again_and_another_word_at_once(told_in_time: tuple[io.StringIO, Watch]) -> None:
    out, watch = told_in_time
    log = structlog.get_logger("recorder")
    for error, after_s in (("first", 0), ("second", 0), ("first", 100), ("first", 1), ("second", 61)):
        watch.now_s += after_s
        log.error("disk_refused", error=error)
    structlog.get_logger("scrub").error("disk_refused", error="second")
    assert [(line["part"], line["error"]) for line in lines(out)] == [
        ("recorder", "first"),
        ("recorder", "second"),
        ("recorder", "first"),
        ("recorder", "second"),
        ("scrub", "second"),
    ]


def test_what_is_no_trouble_is_told_each_time(told_in_time: tuple[io.StringIO, Watch]) -> None:
    out, _ = told_in_time
    for _ in range(5):
        structlog.get_logger("solo").info("button_pressed", press=1)
    assert len(lines(out)) == 5


def test_what_is_remembered_of_warnings_is_bounded(told_in_time: tuple[io.StringIO, Watch]) -> None:
    out, _ = told_in_time
    for number in range(1000):
        structlog.get_logger("owner").warning("channel_failed", failures=number)
    assert len(lines(out)) == 1000
    (repeats,) = [each for each in structlog.get_config()["processors"] if hasattr(each, "_known")]
    assert len(repeats._known) <= 128


def test_a_log_that_cannot_be_written_costs_its_line_and_nothing_else() -> None:
    """It is a file on a full disk, or a pipe without a reader."""

    class Full(io.StringIO):
        def write(self, _text: str) -> int:
            raise OSError(errno.ENOSPC, "No space left on device")

    set_up(LogConfig(format=LogFormat.JSON), Full())
    structlog.get_logger("writer").error("disk_refused", error="The disk is full.")
    logging.getLogger("paho").warning("cannot write")


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner) | st.tuples(inner),
    max_leaves=20,
)


@given(st.dictionaries(st.text(min_size=1), anything))
def test_whatever_is_logged_becomes_json(fields: dict[str, Any]) -> None:
    json.dumps(redact(None, "info", {"event": "something happened", **fields}))
