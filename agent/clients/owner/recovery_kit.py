"""The recovery kit: one page with the recovery identity, to print and then remove from the machine.

It is an age identity file. Its other lines are comments with instructions, in the language of the owner's terminal, so
stock `age -i` accepts the page unchanged.
"""

from __future__ import annotations

import re
import textwrap
from functools import partial

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from agent.clients.opening import HybridIdentity, X25519Identity, parse_identity_file
from agent.core.languages import ENGLISH
from agent.errors import FormatError
from agent.sentences import in_language
from agent.wire.identities import private_key_from_seed

__all__ = ["RECOVERY_NAME", "kit_approval", "kit_name", "read_kit", "recovery_kit"]

RECOVERY_NAME = "recovery"
"""The kit's name among recipients and approvers. An owner cannot use this name."""
_APPROVAL_INFO = b"doorward recovery approval key v1"

_WIDTH = 78
_NO_BREAK = "\N{FIGURE SPACE}"
_TITLE = "DOORWARD RECOVERY KIT"
_MADE = 'owner "{}", made {}'
_ABOUT = (
    "The last line of this page opens everything that this owner's doorbells record, now and later. It is for the day "
    "on which your other keys are lost, or you are not there to use them."
)
_STEPS = (
    "Print this page now, perhaps twice.",
    "Keep it where you keep papers that matter. Not near the doorbell.",
    "Enrol your doorbell. Enrolling tests this key: doorward owner enrol",
    "Then delete this file from this machine. A person with the last line can open the footage recorded until now. To "
    "protect later footage: doorward owner replace-kit",
)
_WAYS = (
    (
        "Every page opens. A page decides only if the device lists it so (doorward owner status). A page that decides "
        "puts new keys in place of lost ones, beside the device:",
        "doorward owner recover --keys NEW-FOLDER --recovery-kit THAT-FILE",
    ),
    (
        "To open what is stored: copy the doorbell's disk, type or scan the last line into a file, and run:",
        "doorward owner open --vault COPY --identity THAT-FILE --out FOLDER",
    ),
    (
        "Without Doorward, with the tool age (age-encryption.org), one segment:",
        "age --decrypt --identity THAT-FILE SEGMENT.age > segment.mp4",
    ),
)
_NAME = "The key that belongs to it, which doorbells seal to, begins and ends like this:"


def recovery_kit(name: str, identity: HybridIdentity | X25519Identity, made: str, language: str = ENGLISH) -> str:
    """The page.  `made`: the date, as text."""
    say = partial(in_language, language=language)
    steps = [f"{number}. {say(each)}" for number, each in enumerate(_STEPS, start=1)]
    lines = [say(_TITLE), say(_MADE).format(name, made), "", *_wrapped(say(_ABOUT)), ""]
    lines += [line for each in steps for line in _wrapped(each, "  ", "     ")]
    for words, command in _WAYS:
        lines += ["", *_wrapped(say(words)), "", f"     {command}"]
    lines += ["", *_wrapped(say(_NAME)), "", f"     {kit_name(str(identity.recipient()))}", ""]
    return "".join(f"# {line}".rstrip() + "\n" for line in lines) + f"{identity.secret_text()}\n"


def _wrapped(text: str, first: str = "", later: str = "") -> list[str]:
    """Returns lines of the page. A command stays in one line, because it is typed from paper."""
    whole = re.sub("doorward(?: [a-z-]+)+", lambda command: command[0].replace(" ", _NO_BREAK), text)
    lines = textwrap.wrap(whole, _WIDTH, initial_indent=first, subsequent_indent=later, break_on_hyphens=False)
    return [line.replace(_NO_BREAK, " ") for line in lines]


def kit_name(recipient: str) -> str:
    """Returns the short name of a kit, on its page and everywhere else: the start and the end of its recipient."""
    return f"{recipient[:16]} ... {recipient[-8:]}"


def kit_approval(identity: HybridIdentity | X25519Identity) -> Ed25519PrivateKey:
    """Derives the approval key of a kit. If a list of owners has it, the paper alone can replace lost keys."""
    seed = HKDF(algorithm=SHA256(), length=32, salt=None, info=_APPROVAL_INFO).derive(identity.secret_text().encode())
    return private_key_from_seed(seed)


def read_kit(text: str) -> HybridIdentity | X25519Identity:
    """The recovery identity of a page, or of its last line alone.  Raises `FormatError`."""
    identities = parse_identity_file(text)
    if len(identities) != 1:
        raise FormatError(f"A recovery kit holds one identity, this file holds {len(identities)}.")
    return identities[0]
