"""The microphone for talk and own replies, run in node: each refusal is told in words, and nothing stays open."""

from __future__ import annotations

from typing import Any

import pytest

from agent.core.talk.frames import FrameKind
from tests.web.test_the_program import node

pytestmark = pytest.mark.interop

CLOSED = [0, 0]
"""Open microphones, and open contexts of sound."""


@pytest.fixture(scope="module")
def found() -> Any:
    return node("microphone.mjs")


def test_each_refusal_of_the_browser_is_told_by_its_cause_and_leaves_nothing_open(found: Any) -> None:
    failed = "talk.microphone-failed: "
    assert found["refusals"] == {
        "NotAllowedError": ["talk.refused", *CLOSED],
        "SecurityError": ["talk.refused", *CLOSED],
        "NotFoundError": ["talk.no-microphone", *CLOSED],
        "OverconstrainedError": ["talk.no-microphone", *CLOSED],
        "NotReadableError": [f"{failed}NotReadableError: in the browser's words", *CLOSED],
        "context": [f"{failed}Error: no sound here", *CLOSED],
        "worklet": [f"{failed}Error: not loaded", *CLOSED],
        "waits": ["nothing yet", 1, 1],
        "late": [f"{failed}AudioContext", *CLOSED],
        "none": ["open", 1, 1],
    }


def test_what_is_said_before_and_after_an_utterance_is_not_taken(found: Any) -> None:
    assert (found["taken"], found["lost"], found["closed"]) == ([[2, 320]], 1, CLOSED)


def test_a_microphone_that_is_allowed_after_the_button_was_let_go_or_the_page_left_does_not_stay_open(
    found: Any,
) -> None:
    """A person lets go of the button to answer the browser's question. The microphone then stayed open, unused."""
    assert found["panel"] == {
        "allowedAfterLettingGo": CLOSED,
        "refusedAfterLettingGo": [*CLOSED, "talk.refused"],
        "allowedAfterLeaving": CLOSED,
        "leftWhileItBegan": [*CLOSED, "talkBegin", "talkEnd"],
        "pressedTwice": [1, 1, "talking"],
        "staysForAMoment": [1, 1],
        "afterTenSeconds": CLOSED,
    }


def test_the_sound_of_live_view_is_off_while_the_owner_talks_and_back_a_moment_later(found: Any) -> None:
    """Half duplex, with the browser's own echo canceller. A second press that came before the sound was back had taken
    "off" for what the owner wanted, so the sound stayed off."""
    talk = found["talk"]
    assert talk["audio"]["echoCancellation"] is True
    assert talk["heard"] == [False, True, True, False], "muted: before, pressed, let go, 0.4 s later"
    assert talk["kinds"] == [FrameKind.VOLUME, FrameKind.MULAW, FrameKind.PAUSE]
    assert talk["heardAfterTwo"] is True


def test_talk_ends_after_two_minutes_and_when_the_page_is_hidden(found: Any) -> None:
    talk = found["talk"]
    assert (talk["lasts"], talk["atTwoMinutes"], talk["hidden"], talk["closed"]) == (
        "talking",
        "quiet",
        "quiet",
        CLOSED,
    )


def test_the_editor_of_own_replies_says_a_refusal_and_does_not_record_after_the_page_was_left(found: Any) -> None:
    assert found["editor"] == {
        "allowedAfterLeaving": [*CLOSED, "false"],
        "refused": [*CLOSED, "false", "talk.refused"],
    }
