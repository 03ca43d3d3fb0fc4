"""The texts that commands print for owners and installers, in each language."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from agent.cli import doctor, frame, language
from agent.cli.app import COMMANDS, doorward
from agent.cli.config import config
from agent.cli.frame import run
from agent.clients.cli.owner import COMMANDS as OWNERS
from agent.clients.cli.owner.selection import shared
from agent.clients.owner.decisions import ShareChoice
from agent.core.consent import RequestState
from agent.core.languages import ENGLISH, LANGUAGES
from agent.core.ledger.entries import EntryKind
from agent.core.object_detection.labels import ObjectLabel
from agent.core.vault.coverage import CoverageState
from agent.custodian.composition import NO_LINK
from agent.errors import OpenError, StorageError
from agent.platform.files import storage_errors
from agent.sentences import in_language, in_terminal, knows, plural
from agent.wire.fields import Kind
from agent.wire.statements import AbsenceReason, Incident
from tests.sentences.shown_texts import (
    counted_nouns,
    finding_subjects,
    help_texts,
    printed_by_click,
    shown_texts,
    sources,
)

OTHERS = sorted(LANGUAGES.keys() - {ENGLISH})
ROOT = Path(__file__).resolve().parents[2]
COMMAND = re.compile(r"(:|\A)\s*(?:sudo |doorward |systemctl |journalctl |ssh |age -)(?:[^:]|:(?! ))*\Z")
"""A command that a reader types, alone or behind the words that name it."""
NOT_SENTENCES = {
    "config/reading.py": (
        "(not shown)",
        "the first key",
        "Expected `path`",
        "at line",
        "\\(at",
        "one of",
        "a list of",
        "at most",
        "a table with",
        "µ names the home",
        "this value",
    ),
    "": ("See what is wrong with", "The panel's settings in", "expected a path"),  # of the bridge, for its log
    "clients/cli/ledger.py": ("ML-DSA-44 sha256:",),
    "clients/cli/fleet.py": ("[installer]", "name = ", "recipient = "),
    "config/fleet.py": ("-----BEGIN", "µ, line µ, configuration"),
    "cli/app.py": ("Exit status:", "2 operator", "what they should be"),
    "cli/checks/broker.py": ("GET ", "Upgrade: ", "Connection: ", "Sec-WebSocket"),
    "cli/checks/memory.py": ('object_detection.use = "off"',),
    "cli/checks/running.py": ("to its end.",),
    "cli/words.py": ("µ min µ s",),
    "clients/media/confined.py": ("import runpy", "An answer is an object."),
    "clients/opening/identities.py": (
        "An age stanza",
        "An argument of an age stanza",
        "The seed of an identity",
    ),
    "wire/identities.py": (
        "An Ed25519 seed",
        "An ML-DSA-44 public key has",
        "An ML-DSA-44 seed has",
        "This is not an unencrypted",
        "This private key is not",
    ),
    "clients/owner/file_keys.py": ("The sound of segment", "The poster of segment"),
    "cli/self_test.py": ("name = ", "kind = ", "realtime = ", "level = "),
    "clients/owner/known_devices.py": ("root_sha256: ",),
    "clients/owner/link_session.py": ("link session",),
    "clients/owner/review.py": ("SegmentRecord | RecoveredRecord",),
    "clients/owner/recovery_kit.py": ("doorward(?:",),
}
"""Protocols, units, a file that a program reads, and beginnings: of what the code compares, and before an id."""
DOCUMENTS = {
    "cli/change_of_owner.py": (
        "unknown: its key", "device key", "journal, ledger", "µ sealed files", "TLS key", "Flash memory",
        "what 'µ' was",
    ),
    "cli/sign.py": ("and sound", "all the time", "if a person rings", "This doorbell records video"),
    "cli/support.py": ("doorward µ, Python", "The configuration is not TOML."),
    "clients/fleet/installer_keys.py": ("# opens",),
    "config/fleet.py": (
        "Settings that the preparer", "Broker   ", "its authority's", "Installer  ", "Updates   ", "Recipients ",
        "Roots   ", "(doorward owner trust", "Position  ", "1 part of the picture", "µ parts of the", "Masks   ",
        "Sound   ", "Home   ", "Link   ", "Alerts   ", "Camera   ", "Metrics   ", "Password   ",
        "they can take over its", "an address that cannot be read",
    ),
    "clients/owner/keys.py": ("# opens", "name: 'recovery'", "recovery: a recovery key"),
    "clients/owner/recovery_kit.py": ("Enrol your doorbell.", "Then delete this file"),
}  # fmt: skip
"""A signed receipt, a file for helpers, key files, the trust report; the sign and the recovery page, which have
separate tests."""
FOR_EXPERTS = {
    "clients/opening/armor.py", "clients/opening/files.py", "clients/opening/live_frames.py",
    "clients/owner/ledger_copy.py", "clients/owner/transparency_picture.py", "cli/status_watch.py",
    "clients/fleet/status_page.py",
}  # fmt: skip
"""Faults inside age files; documents for others, as the page of a fleet's state; the figures of `doorward status
--watch`, which are for Prometheus."""


@pytest.fixture(autouse=True)
def _in_english_again() -> Iterator[None]:
    yield
    language.speak(ENGLISH)


def untranslated(path: str, text: str, code: str) -> bool:
    if any(text.startswith(each) for table in (NOT_SENTENCES, DOCUMENTS) for each in table.get(path, ())):
        return False
    tries = {text, COMMAND.sub(r"\1", text), text.strip("µ "), text.lstrip("µ"), re.sub(r"  µ\Z", "", text)}
    return not any(not re.search("[A-Za-z]", each) or knows(each, code) for each in tries)


@pytest.mark.parametrize("code", OTHERS)
def test_every_text_that_a_command_of_an_owner_can_print_is_in_the_language(code: str) -> None:
    lacking = [
        f"{path.name}:{line}: {text}"
        for path in sources()
        if (name := path.as_posix().partition("/agent/")[2]) not in FOR_EXPERTS
        for line, text in shown_texts(path)
        if untranslated(name, text, code)
    ]
    assert lacking == []


BROKER_FAULTS = sorted(
    text
    for path in ("connection.py", "faults.py")
    for _, text in shown_texts(ROOT / "agent" / "mqtt" / path)
    if re.match(r"(acknowledges|answers|accepts|sends|sent) ", text)
)
"""Faults as `agent.mqtt.faults` gets them, which makes sentences of them."""
AMONG_OTHERS = (
    OpenError().message,
    "This segment was cut off before its first second was whole.",
    "This segment does not end in a context box: it is cut short, or not a Doorward segment.",
    "This is not an age file.",
    "This age file is armored (text). Take the armor off first.",
    "The header of this age file is cut off or longer than any sound one.",
    "This text is too short to be a key, or is not one at all.",
    "The ledger of µ was rolled back or rewritten: its µ entries do not continue the µ seen before.",
    "Keep both checkpoints: together they are the evidence. Treat the device as tampered with.",
    *(f"The broker at µ {what}." for what in BROKER_FAULTS),
    NO_LINK["remedy"],
    "The broker at µ refuses us: µ. Ask who runs the broker to admit this name.",
    "The broker at µ closes the connection before it says why. Look at its log: it may not know this client.",
)
"""Errors that an owner meets, in modules whose other errors concern programs."""
OF_THE_SYSTEM = (
    errno.ENOENT, errno.EACCES, errno.ENOSPC, errno.EISDIR, errno.ENOTDIR, errno.EEXIST, errno.EROFS, errno.EIO,
)  # fmt: skip


@pytest.mark.parametrize("code", OTHERS)
def test_an_error_of_a_file_a_key_or_a_cut_segment_is_in_the_language(code: str) -> None:
    assert len(BROKER_FAULTS) > 7
    assert [each for each in AMONG_OTHERS if not knows(each, code)] == []
    for number in OF_THE_SYSTEM:
        with pytest.raises(StorageError) as caught, storage_errors(Path("/home/ana/door.mp4")):
            raise OSError(number, os.strerror(number))
        said = in_language(caught.value.message, code)
        assert said.startswith("/home/ana/door.mp4: ")
        assert os.strerror(number) not in said
        assert knows(caught.value.remedy, code)


def test_what_an_owner_shares_is_counted_in_the_language() -> None:
    choice = ShareChoice(segments=("a", "b"), sound=True)
    assert shared(choice) == "2 segments and their sound"
    language.speak("de")
    assert shared(choice) == "2 Segmente und ihren Ton"


@pytest.mark.parametrize("code", OTHERS)
def test_every_line_of_the_lists_of_commands_is_in_the_language(code: str) -> None:
    shown = [
        each.summary for table in (COMMANDS, OWNERS) for name, each in table.items() if name not in frame.IN_ENGLISH
    ]
    assert [each for each in (*shown, *printed_by_click()) if not knows(each, code)] == []


@pytest.mark.parametrize("code", OTHERS)
def test_every_paragraph_and_option_that_help_shows_is_in_the_language(code: str) -> None:
    assert sorted({f"{name}: {text}" for name, text in help_texts() if not knows(text, code)}) == []


@pytest.mark.parametrize("code", OTHERS)
def test_every_word_of_a_list_is_in_the_language(code: str) -> None:
    kinds = (RequestState, EntryKind, CoverageState, ObjectLabel, Kind, Incident, AbsenceReason)
    words = {each.value for kind in kinds for each in kind}
    assert sorted(each for each in words if not knows(each, code)) == []


@pytest.mark.parametrize("code", OTHERS)
def test_every_subject_of_the_doctor_is_in_the_language_and_fits_its_column(code: str) -> None:
    said = {each: in_language(each, code) for each in finding_subjects() - {"HDR"}}
    assert len(said) > 20
    assert [each for each in said if not knows(each, code)] == []
    assert [each for each in said.values() if len(each) >= doctor.COLUMN] == []


@pytest.mark.parametrize("code", OTHERS)
def test_the_place_of_a_mistake_in_a_file_is_in_the_language(code: str) -> None:
    said = in_language("/etc/doorward/doorward.toml, line 31, camera.fps: 'x' does not fit.", code)
    assert "line" not in said.split(":")[0].replace("línea", "")
    assert "camera.fps" in said


@pytest.mark.parametrize("code", OTHERS)
def test_every_noun_that_is_counted_has_its_plurals(code: str) -> None:
    for noun in counted_nouns():
        for number in (0, 1, 2, 3, 11, 100):
            said = plural(number, noun, code)
            assert noun not in ("fault", "thing") or noun not in said
            assert str(number) in said or (code == "ar" and number < 3)


def test_the_language_is_that_of_the_option_or_else_of_the_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LC_ALL", "nl_NL.UTF-8")
    assert run(doorward, ["config", "check", "/nonexistent.toml"]) == 2
    assert "Wat te doen:" in capsys.readouterr().err
    assert run(doorward, ["--language", "fr", "config", "check", "/nonexistent.toml"]) == 2
    said = capsys.readouterr().err
    assert "Que faire\N{NO-BREAK SPACE}:" in said
    assert "La configuration /nonexistent.toml est illisible" in said
    assert run(doorward, ["--language", "fr", "config", "check", "/" + 9 * "a-folder/" + "x.toml"]) == 2
    assert "La configuration /a-folder/" in capsys.readouterr().err, "a long path is a value, too"
    monkeypatch.setenv("DOORWARD_LANGUAGE", "de")
    assert run(doorward, ["--help"]) == 0
    assert "Aufruf: doorward" in capsys.readouterr().out


def test_a_wrong_argument_is_explained_in_the_language(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(doorward, ["--language", "de", "owner", "deny"]) == 2
    said = capsys.readouterr().err
    assert "Aufruf: doorward owner deny" in said
    assert "Fehler: Argument 'REQUEST' fehlt." in said


def test_help_is_in_the_language(capsys: pytest.CaptureFixture[str]) -> None:
    run(doorward, ["--language", "nl", "owner", "open", "--help"])
    said = capsys.readouterr().out
    assert "Gebruik: doorward owner open" in said
    assert "--no-sound" in said
    assert "Alleen beeld." in said
    assert "[omgevingsvariabele: DOORWARD_OWNER; standaard:" in " ".join(said.split())
    run(doorward, ["--language", "es", "--help"])
    said = capsys.readouterr().out
    assert "Uso: doorward" in said
    assert "Quitar Doorward de esta máquina." in said


def test_the_commands_of_operators_stay_in_english(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(doorward, ["--language", "de", "requester", "--nonsense"]) == 2
    assert "Error: No such option" in capsys.readouterr().err


def test_a_json_document_is_the_same_in_each_language() -> None:
    said = []
    for code in LANGUAGES:
        language.speak(code)
        said.append(CliRunner().invoke(config, ["check", "/nonexistent.toml", "--json"]).output)
    assert len(set(said)) == 1


@pytest.mark.parametrize(
    ("code", "answer"), [("de", "ja"), ("nl", "J"), ("fr", "o"), ("es", "sí"), ("ar", "نعم"), ("ar", "y")]
)
def test_a_question_takes_yes_in_the_language_and_no_otherwise(code: str, answer: str) -> None:
    @click.command()
    def asks() -> None:
        language.speak(code)
        language.confirm("Is it yours?")
        click.echo("agreed")

    assert "agreed" in CliRunner().invoke(asks, input=f"{answer}\n").output
    for refused in ("", "n", in_language("no", code)):
        assert "agreed" not in CliRunner().invoke(asks, input=f"{refused}\n").output
    assert "agreed" not in CliRunner().invoke(asks, input="perhaps\n\n").output


def test_a_right_to_left_line_and_its_values_are_isolated() -> None:
    said = in_terminal("/mnt/usb is not there, so no backup is made.", "ar")
    assert said.startswith("\N{RIGHT-TO-LEFT ISOLATE}")
    assert "\N{FIRST STRONG ISOLATE}/mnt/usb\N{POP DIRECTIONAL ISOLATE}" in said
    assert said.endswith("\N{POP DIRECTIONAL ISOLATE}")
    typed = in_terminal("To deny it:  doorward owner deny 0123", "ar")
    assert "\N{LEFT-TO-RIGHT ISOLATE}doorward owner deny 0123\N{POP DIRECTIONAL ISOLATE}" in typed


def test_no_mark_of_direction_of_a_translation_is_replaced_and_those_of_strangers_are(
    capsys: pytest.CaptureFixture[str],
) -> None:
    run(doorward, ["--language", "ar", "config", "check", "/\N{RIGHT-TO-LEFT OVERRIDE}x.toml"])
    said = capsys.readouterr().err
    assert "\N{RIGHT-TO-LEFT OVERRIDE}" not in said
    assert said.count("\N{REPLACEMENT CHARACTER}") >= 1
    language.speak("ar")
    assert "\N{REPLACEMENT CHARACTER}" not in language.in_words("--keep-all and --replaces exclude each other.")


FLEET = 'version = 1\n[[cameras]]\nname = "lane-1"\n'


@pytest.mark.parametrize(
    ("text", "said", "remedy"),
    [
        (FLEET + 'kind = "file"\n', "die Kamera einer Flotte kann keine Datei sein.", 'Nehmen Sie "pi", "usb"'),
        (FLEET + FLEET.partition("\n")[2], "'lane-1' ist der Name von zwei Türklingeln.", "Geben Sie jeder Türklingel"),
        (FLEET + "fps = 99\n", "99 passt nicht.", "Geben Sie eine ganze Zahl von 1 bis 60 an."),
        (FLEET + "wavee = 9\n", "dieser Schlüssel ist unbekannt.", "Meinten Sie 'wave'?"),
        (
            FLEET + 'kind = "rtsp"\n',
            "'lane-1' würde nicht laufen: eine Kamera der Art 'rtsp' hat keine Adresse.",
            "Geben Sie url = ",
        ),
        (FLEET + '[broker]\nhost = "b.example"\nca = "no.pem"\n', "no.pem", "Legen Sie die .pem-Datei der Stelle"),
        ('version = 1\n[[cameras]]\nname = "A"\n', "'A' passt nicht.", "Geben Sie bis zu 40 Kleinbuchstaben"),
    ],
)
@pytest.mark.parametrize("command", [["provision"], ["fleet", "update"]])
def test_an_error_about_a_fleet_file_is_in_the_language(
    command: list[str], text: str, said: str, remedy: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "fleet.toml"
    path.write_text(text)
    (tmp_path / "root.json").touch()
    options = ["--fleet", str(path), "--repository", str(tmp_path), "--out", str(tmp_path),
               "--root", str(tmp_path / "root.json")]  # fmt: skip
    assert run(doorward, ["--language", "de", *command, *(options if command[0] == "fleet" else [str(path)])]) != 0
    shown = capsys.readouterr().err
    assert f"{path}, Zeile " in shown
    assert said in shown
    assert f"Was zu tun ist: {remedy}" in shown


def test_an_error_about_a_bundle_is_in_the_language(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "doorward.bundle"
    for content, said in (
        ('{"v": 1, "name": "a", "configuration": "[device]\\nstate_dir = \\"/tmp\\"", "authority": null}',
         "ein Bündel kann nur Dateien nennen, die jede Installation hat."),
        ("{", "das ist kein Bündel: "),
        ("[" * 60_000, "seine Klammern sind zu tief verschachtelt"),
        ('{"v": 1, "name": "a", "configuration": "", "authority": "PRIVATE KEY"}', "es enthält einen privaten"),
    ):  # fmt: skip
        path.write_text(content)
        assert run(doorward, ["--language", "de", "take-bundle", str(path), "--etc", str(tmp_path)]) != 0
        assert said in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "said", "remedy"),
    [
        ('[camera]\nkind = "rtsp"\n', "eine Kamera der Art 'rtsp' hat keine Adresse.", "Geben Sie url = "),
        ("[camera]\nfps = 99\n", "99 passt nicht.", "Geben Sie eine ganze Zahl von 1 bis 60 an."),
        ("[camera]\nfpss = 9\n", "dieser Schlüssel ist unbekannt.", "Meinten Sie 'fps'?"),
        ("[camera]\nfps = \n", "das ist kein TOML: ", "Vergleichen Sie die Zeile mit config/doorward.toml:"),
        ('[log]\nlevel = "x"\n', "'x' passt nicht.", 'Geben Sie eines von "debug", "info", "warning", "error" an.'),
    ],
)
def test_an_error_about_the_configuration_is_in_the_language(
    text: str, said: str, remedy: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "doorward.toml"
    path.write_text(text)
    assert run(doorward, ["--language", "de", "config", "check", str(path)]) != 0
    shown = capsys.readouterr().err
    assert f"{path}, Zeile " in shown
    assert said in shown
    assert f"Was zu tun ist: {remedy}" in shown
