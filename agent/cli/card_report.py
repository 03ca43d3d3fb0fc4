"""Tells a person with the memory card why its `doorward.setup` did not work: a text beside it, for any computer.

A doorbell on its way into a network has no other place for words: its light can only flash. The text is in each
language, because an owner has yet to choose one. Names and passwords stay out of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from agent.core.languages import LANGUAGES
from agent.core.setup_state import SetupState
from agent.sentences import in_language

__all__ = [
    "NO_CODE",
    "ON_CARD",
    "REPORT",
    "USED_BEFORE",
    "faults_in",
    "remove_report",
    "state_in_words",
    "write_report",
]

ON_CARD: Final = "doorward.setup"
REPORT: Final = "doorward-report.txt"
"""Beside the file. A computer that hides ends of names shows `doorward.setup.txt` as the file itself."""
_SAVE_AGAIN: Final = "Save the file on the set-up page again, copy it here unchanged, and start the doorbell with it."
NO_CODE: Final = ("Line 1 of doorward.setup is no set-up code, or a part of it is missing.", _SAVE_AGAIN)
USED_BEFORE: Final = ("doorward.setup was used before, and each set-up code counts once.", _SAVE_AGAIN)
_STATES: Final[dict[SetupState, tuple[str, str]]] = {
    SetupState.WRONG_PASSWORD: (
        "The Wi-Fi refused the password in doorward.setup.",
        "Make a new code on the set-up page with the right password, copy its file here, and start the doorbell with "
        "it.",
    ),
    SetupState.NO_NETWORK: (
        "The doorbell found no Wi-Fi of the name in doorward.setup.",
        "Compare the name letter by letter, and check that the Wi-Fi reaches the door. Then copy a file with the right "
        "name here, and start the doorbell with it.",
    ),
    SetupState.NO_ADDRESS: (
        "The Wi-Fi gave the doorbell no address.",
        "Restart the router. Then copy the file here again, and start the doorbell with it.",
    ),
}
_FAILED: Final = (
    "The doorbell could not join the Wi-Fi of doorward.setup.",
    "Copy the file here again, and start the doorbell with it.",
)


def faults_in(text: str) -> tuple[str, str] | None:
    """Returns the fault of a file with more than one line, and its remedy."""
    more = [number for number, line in enumerate(text.splitlines(), start=1) if line.strip()][1:]
    if not more:
        return None
    return f"Line {more[0]} of doorward.setup does not belong there: the file has one line.", _SAVE_AGAIN


def state_in_words(state: SetupState) -> tuple[str, str]:
    """Returns why a code of the card did not join, and the remedy."""
    return _STATES.get(state, _FAILED)


def write_report(folder: Path, said: Sequence[str]) -> None:
    """Writes the report beside the file, in each language. Raises `OSError` if the partition cannot be written."""
    blocks = [
        "\r\n".join([language.name, *(in_language(each, code) for each in said), ""])
        for code, language in LANGUAGES.items()
    ]
    # A computer that takes the text for another encoding would show no Arabic: the mark tells that it is UTF-8.
    (folder / REPORT).write_bytes("\r\n".join(blocks).encode("utf-8-sig"))


def remove_report(folder: Path) -> None:
    """Removes the report of an earlier start. Raises `OSError` if the partition cannot be written."""
    (folder / REPORT).unlink(missing_ok=True)
