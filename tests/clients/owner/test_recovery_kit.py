"""The page of a recovery kit, word for word, and the key that is derived from it."""

from __future__ import annotations

import pytest

from agent.clients.opening import X25519Identity
from agent.clients.owner.recovery_kit import _wrapped, kit_approval, kit_name, read_kit, recovery_kit
from agent.errors import FormatError
from agent.wire.identities import public_key_of

IDENTITY = X25519Identity(bytes(range(32)))
PAGE = """\
# DOORWARD RECOVERY KIT
# owner "marta", made 2027-01-15
#
# The last line of this page opens everything that this owner's doorbells
# record, now and later. It is for the day on which your other keys are lost, or
# you are not there to use them.
#
#   1. Print this page now, perhaps twice.
#   2. Keep it where you keep papers that matter. Not near the doorbell.
#   3. Enrol your doorbell. Enrolling tests this key: doorward owner enrol
#   4. Then delete this file from this machine. A person with the last line can
#      open the footage recorded until now. To protect later footage:
#      doorward owner replace-kit
#
# Every page opens. A page decides only if the device lists it so
# (doorward owner status). A page that decides puts new keys in place of lost
# ones, beside the device:
#
#      doorward owner recover --keys NEW-FOLDER --recovery-kit THAT-FILE
#
# To open what is stored: copy the doorbell's disk, type or scan the last line
# into a file, and run:
#
#      doorward owner open --vault COPY --identity THAT-FILE --out FOLDER
#
# Without Doorward, with the tool age (age-encryption.org), one segment:
#
#      age --decrypt --identity THAT-FILE SEGMENT.age > segment.mp4
#
# The key that belongs to it, which doorbells seal to, begins and ends like
# this:
#
#      age13aqvttdk3ujk ... 0sy5p2wh
#
AGE-SECRET-KEY-1QQQSYQCYQ5RQWZQFPG9SCRGWPUGPZYSNZS23V9CCRYDPK8QARC0SWRYDWG
"""


def test_the_page_says_what_the_key_is_for_and_how_to_use_it() -> None:
    assert recovery_kit("marta", IDENTITY, "2027-01-15") == PAGE


def test_the_page_fits_on_paper_and_no_command_is_broken() -> None:
    for language in ("en", "nl", "de", "fr", "es", "it"):
        page = recovery_kit("marta", IDENTITY, "2027-01-15", language)
        *lines, secret, end = page.split("\n")
        assert (secret, end) == (IDENTITY.secret_text(), "")
        assert all(line.startswith("#") and len(line) <= 80 for line in lines)
        commands = ("doorward owner enrol", "doorward owner replace-kit", "doorward owner status")
        assert all(any(command in line for line in lines) for command in commands)


def test_the_page_and_its_last_line_alone_are_the_identity() -> None:
    for text in (PAGE, PAGE.splitlines()[-1]):
        assert str(read_kit(text).recipient()) == str(IDENTITY.recipient())
    line = IDENTITY.secret_text()
    with pytest.raises(FormatError, match="holds one identity, this file holds 2"):
        read_kit(f"{line}\n{X25519Identity(bytes(32)).secret_text()}\n")


def test_a_kit_is_named_by_the_start_and_the_end_of_its_recipient() -> None:
    assert kit_name("age1" + "q" * 13 + "between" + "x" + "12345678") == "age1qqqqqqqqqqqq ... 12345678"


def test_the_approval_key_of_a_kit_is_the_same_on_each_machine() -> None:
    assert public_key_of(kit_approval(IDENTITY)).text == "ed25519:FcFU3bLtNmEiDnOdtTniO5vS9F4mkEusb8r7r4sbml4"


def test_a_command_is_broken_neither_at_its_spaces_nor_at_its_hyphens() -> None:
    """It is typed from paper. A break after `replace-` would come to stand in the 78th column."""
    command = "doorward owner replace-kit"
    assert _wrapped(f"{'a' * 51} {command} b", "1. ", "   ") == [f"1. {'a' * 51}", f"   {command} b"]
    assert _wrapped(f"{'a' * 51} {command}") == [f"{'a' * 51} {command}"], "78 columns are used"
    assert _wrapped(f"{'a' * 52} {command}") == ["a" * 52, command]
