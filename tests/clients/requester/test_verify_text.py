"""A stranger follows VERIFY.txt with `openssl` and `age`, in a folder without anything of ours."""

from __future__ import annotations

import importlib.util
import random
import re
import shutil
from pathlib import Path

import msgspec
import pytest

from agent.core.media import Gop
from agent.wire.fields import SegmentIdText
from agent.wire.time_proofs import ConfirmerName
from tests.clients.requester.evidence_folder import (
    AUTHORITY,
    Stranger,
    commands_in,
    flipped,
    has_openssl_with_mldsa,
    stranger_who_followed,
)
from tests.lengths import one_in

pytestmark = [
    pytest.mark.interop,
    pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not installed"),
]
SLICES = 24
_BINARY = re.compile(r"(tail -c \+(?P<from>\d+)|head -c (?P<size>\d+)) (?P<name>\S+)")


@pytest.fixture(scope="module")
def stranger(tmp_path_factory: pytest.TempPathFactory, gops: list[Gop]) -> Stranger:
    """One who has followed the text as far as `age`: each test restores what it changes."""
    return stranger_who_followed(tmp_path_factory, gops)[0]


def test_each_command_of_the_text_holds_and_says_so(stranger: Stranger) -> None:
    said = stranger.said
    assert list(said) == stranger.commands
    assert [command for command, done in said.items() if done.returncode] == []
    assert all(re.search(rb"same|OK|Successfully", done.stdout + done.stderr) for done in said.values())
    assert {command.split()[0] for command in said} >= {"openssl", "age", "sha256sum"}
    second = [command for command in said if "mldsa" in command]
    assert len(second) == (20 if has_openssl_with_mldsa() else 0)
    assert sum("pkeyutl -verify" in command for command in said if command not in second) == 16
    assert sum(command.startswith("age ") for command in said) == 8
    assert sum(command.startswith("openssl ts -verify") for command in said) == 2
    copies = {path.name for path in (stranger.bundle.parent / "c2pa").glob("*.*")} - {"LEFT-OUT.txt"}
    assert sum(command.startswith("c2patool ") for command in said) == len(copies)


@pytest.mark.parametrize("part", one_in(SLICES, range(SLICES)))
def test_each_command_fails_after_one_bit_of_what_it_covers_has_changed(stranger: Stranger, part: int) -> None:
    for number, command in list(enumerate(stranger.commands))[part::SLICES]:
        for name in covered_by(stranger, command):
            noticed, tries = change_a_bit(stranger, command, name, random.Random(number))
            assert noticed, (command, name)
            # C2PA leaves some bytes of a copy out (docs/evidence.md).
            is_loose = name.endswith((".pem", ".tsr", "SHA256SUMS", ".sha256")) or name.startswith("../c2pa/")
            assert tries == 1 or is_loose, (command, name)


def covered_by(stranger: Stranger, command: str) -> list[str]:
    """The files that a command covers: all that it names, without what a stranger brings and what it writes."""
    if command.startswith("age "):
        return [command.split()[6]]
    return [name for name in stranger.names(command) if name != AUTHORITY]


def change_a_bit(stranger: Stranger, command: str, name: str, chance: random.Random) -> tuple[bool, int]:
    """Returns whether the command fails after a change, and after how many bits: PEM, ASN.1 and hex have bits that say
    the same either way."""
    path, tries = stranger.bundle / name, 0
    whole = path.read_bytes()
    first, last = covered(stranger, command, name)
    try:
        while tries < 12:
            tries += 1
            path.write_bytes(flipped(whole, chance.randrange(8 * first, 8 * last)))
            if not stranger.holds(command):
                return True, tries
        return False, tries
    finally:
        path.write_bytes(whole)


def covered(stranger: Stranger, command: str, name: str) -> tuple[int, int]:
    """The first byte of a file that a command reads, and the byte behind the last."""
    size = (stranger.bundle / name).stat().st_size
    place = re.search(r" \| grep -\S+ - (\S+) && echo same$", command)
    if place is not None and place[1] == name:
        pattern = stranger.run(command[: place.start()]).stdout.strip()
        at = (stranger.bundle / name).read_bytes().index(pattern)
        return at, at + len(pattern)
    if (within := re.search(r"cmp - (redactions\S+)", command)) is not None and within[1] != name:
        pattern = (stranger.bundle / within[1]).read_bytes()
        at = (stranger.bundle / name).read_bytes().index(pattern)
        return at, at + len(pattern)
    for found in _BINARY.finditer(command):
        if found["name"] == name:
            if found["size"] is not None:
                return 0, int(found["size"])
            return int(found["from"]) - 1, size
    if (lines := re.search(r"head -n 3 (\S+)", command)) is not None and lines[1] == name:
        return 0, len(b"".join((stranger.bundle / name).read_bytes().splitlines(keepends=True)[:3]))
    if (line := re.search(r"sed -n (\d+)p (\S+)", command)) is not None and line[2] == name:
        rows = (stranger.bundle / name).read_bytes().splitlines(keepends=True)
        begin = len(b"".join(rows[: int(line[1]) - 1]))
        return begin, begin + len(rows[int(line[1]) - 1]) - 1
    return 0, size


@pytest.mark.parametrize("part", one_in(SLICES, range(SLICES)))
def test_no_command_holds_if_a_file_that_it_names_is_missing_or_empty(stranger: Stranger, part: int) -> None:
    """Most commands look for what others print. If these print nothing, it must not be found everywhere."""
    for command in stranger.commands[part::SLICES]:
        for name in covered_by(stranger, command):
            for content in (None, b"", b"\n"):
                path = stranger.bundle / name
                whole = path.read_bytes()
                try:
                    path.unlink() if content is None else path.write_bytes(content)
                    assert not stranger.holds(command), (command, name, content)
                finally:
                    path.write_bytes(whole)


def test_no_text_of_others_is_in_a_command(stranger: Stranger) -> None:
    """A name of an owner, a doorbell or a case could hold a second command."""
    for command in stranger.commands:
        words = re.sub(r"""'s/\.\*/("\w+":"(ed25519:&|&|\w+)",?)+("\w+":")?/'""", "FIELD", command)
        for text in ('"key":"ed25519:', '","mldsa":"', '","name":"'):
            words = words.replace(f"printf '{text}'", "TEXT")
        words = words.replace("printf '\\000doorward-time/1\\n'", "BEAT")
        words = words.replace('\'^  "validation_state": "Valid"\'', "VALID")
        words = words.replace('\'s/.*"redactions":\\(\\[.*\\]\\),"segment":.*/\\1/\'', "LIST")
        words = re.sub(r"(printf|tr -d) '(subtree/v1\\n)?\\(000|001|031|n)'", "BYTE", words)
        words = words.replace("printf '%016x' $(", "HEX (").replace('printf "\\\\$(printf %03o 0x$b)"', "OCTAL")
        assert re.fullmatch(r"[\w ./|&+=();-]+", words), command


def section(stranger: Stranger, title: str) -> tuple[str, str, list[str]]:
    """The words of a check about what it shows and what it does not show, and its commands."""
    text = (stranger.bundle / "VERIFY.txt").read_text(encoding="utf-8")
    (found,) = re.findall(rf"^\d+\. {title}\n(.*?)(?=^\d+\. |\Z)", text, re.MULTILINE | re.DOTALL)
    words = " ".join(line for line in found.splitlines() if not line.startswith("    "))
    shows, _, shows_not = words.partition("Does not show: ")
    return shows, shows_not, commands_in(found)


def test_the_text_claims_no_more_for_a_covered_file_than_its_commands_check(stranger: Stranger) -> None:
    shows, shows_not, commands = section(stranger, "The sealed files")
    named: dict[str, set[str]] = {}
    for command in commands:
        part, statement = re.findall(r"parts/(\d)\.age|by-hand/([a-z]+)", command)
        named.setdefault(part[0], set()).add(statement[1])
    assert named == {
        part: {"manifest", "approval"} if part in "12" else {"manifest", "approval", "record"} for part in "1234567"
    }
    assert "A file that is not covered is also the one that the doorbell recorded." in shows
    assert shows.count("recorded") == 1
    assert "that a covered film or sound is the recorded one" in shows_not


def test_the_text_follows_a_clip_from_one_shown_film_to_the_next_and_counts_those_between(stranger: Stranger) -> None:
    _, shows_not, commands = section(stranger, "The records made at capture")
    follows = {command.split()[-4]: command for command in commands if "prev_in_clip" in command}
    assert {name: command.count("left-out") for name, command in follows.items()} == {
        "by-hand/record-002.signed": 1,
        "by-hand/record-005.signed": 0,
    }
    assert all(map(stranger.holds, follows.values()))
    step = " | (printf '\\001'; cat - by-hand/record-002.left-out-01)"
    left_out = follows["by-hand/record-002.signed"]
    assert step in left_out
    hidden = left_out.replace(" | openssl dgst -sha256 -binary" + step, "")
    assert not stranger.holds(hidden), "a film that was left out cannot be denied"
    other = left_out.replace("record-002.signed", "record-003.signed").replace("sed -n 1p", "sed -n 2p")
    assert not stranger.holds(other), "a record of another clip"
    assert "has no command with" in shows_not


def test_the_text_claims_nothing_of_a_joined_film_that_no_command_opens(stranger: Stranger) -> None:
    shows, shows_not, commands = section(stranger, "The films are the content of the sealed files")
    places = {each for command in commands for each in re.findall(r"\.\./(\w+)", command)}
    assert places == {"segments", "sounds", "pictures"}
    assert "each film of segments/, each sound, and each shared still" in shows
    assert "anything about joined films (clips/, all.mp4)" in shows_not


@pytest.mark.parametrize("text", ["a;b", "$(a)", "a b", "a\nb", "a'b", "a`b", "../a", "-rf", "A"])
def test_a_word_of_a_doorbell_in_a_command_is_one_word_for_a_shell(text: str) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(text, ConfirmerName)
    for part in (text, text.ljust(26, "a")):
        with pytest.raises(msgspec.ValidationError):
            msgspec.convert(part, SegmentIdText)


def test_the_text_stays_within_what_the_folder_holds(stranger: Stranger, tmp_path: Path) -> None:
    text = (stranger.bundle / "VERIFY.txt").read_text(encoding="utf-8")
    assert max(len(line) for line in text.splitlines() if not line.startswith("    ")) <= 120
    assert [int(n) for n in re.findall(r"^(\d+)\. ", text, re.MULTILINE)] == list(
        range(1, 16 if importlib.util.find_spec("c2pa") else 15)
    )
    named = {name for command in stranger.commands for name in re.findall(r"\.\./[\w./-]+|by-hand/[\w.-]+", command)}
    assert all((stranger.bundle / name).is_file() for name in named)
