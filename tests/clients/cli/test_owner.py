"""The owner's commands, in this process, against an honest device behind a real control socket."""

from __future__ import annotations

import hashlib
import io
import json
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import msgspec
import pytest

import agent
from agent.cli import language
from agent.cli.app import doorward
from agent.cli.frame import run
from agent.cli.words import day, window
from agent.clients.cli.owner import COMMANDS, keygen
from agent.clients.media.confined import ConfinedMedia
from agent.clients.media.face_covers import Followed, Suggestion
from agent.clients.media.join import probe
from agent.clients.opening import open_bytes
from agent.clients.owner.keys import KIT, OwnerKeys
from agent.clients.owner.recovery_kit import kit_name
from agent.core.consent import Event, RequestState
from agent.core.languages import ENGLISH, LANGUAGES
from agent.core.ledger.entries import EntryKind
from agent.core.vault.redactions import Place, RedactionKind
from agent.core.vault.segment import split_media
from agent.ipc.rpc_server import control_server
from agent.wire import envelope, strictjson
from agent.wire.disclosures import PartKind, Receipt, ReceiptState, TipText
from agent.wire.identities import private_key_from_seed
from agent.wire.messages import Bulletin, Deletion
from agent.wire.trust import RequesterKey
from tests.clients.owner.conftest import (
    NOW_MS,
    REPLY,
    WINDOW_MS,
    Home,
    enrolled_home,
    furnish,
    seeds,
    signed_bundle,
    signed_request,
)
from tests.clients.owner.conftest import media as media  # the same three segments
from tests.clients.owner.fake_device import FakeDevice
from tests.lengths import only
from tests.wire import package_vectors, samples

Tool = Callable[..., object]


@dataclass
class Doorstep:
    """A device that listens, an owner's folder, and the tool with both filled in."""

    device: FakeDevice
    keys: Path
    socket: Path
    run: Callable[..., object]

    def __call__(self, *arguments: object) -> object:
        return self.run("owner", *arguments, "--keys", self.keys, "--device", self.socket)


@pytest.fixture
def door(tool: Tool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Doorstep]:
    monkeypatch.setattr("agent.clients.owner.clock.time.time_ns", lambda: NOW_MS * 1_000_000)
    monkeypatch.setenv("LC_ALL", "C")
    device = FakeDevice(NOW_MS)

    with tempfile.TemporaryDirectory() as short:  # a socket's path is limited to 107 bytes
        socket = Path(short) / "control.sock"
        control = control_server(socket, device.answer)
        control.start()
        OwnerKeys.create(tmp_path / "owner", name="anna", seeds=seeds("anna"))
        yield Doorstep(device, tmp_path / "owner", socket, tool)
        control.stop()


@pytest.fixture(scope="session")
def furnished(media: list[bytes], tmp_path_factory: pytest.TempPathFactory) -> Home:
    """Enrolled, one root trusted, one request for three segments in two clips. No test may change it."""
    device, keys = enrolled_home(tmp_path_factory.mktemp("asked") / "owner")
    segments = (
        device.record(media[0], WINDOW_MS, event=1, poster=True),
        device.record(media[1], WINDOW_MS + 2000, event=1),
        device.record(media[2], WINDOW_MS + 60_000, event=2),
    )
    asked = signed_request(description="[bold red]Urgent[/] A bicycle was taken.")
    return Home(device, keys, segments, device.ask_for(asked, segments))


@pytest.fixture
def asked(door: Doorstep, furnished: Home) -> tuple[Doorstep, str, tuple[str, ...]]:
    furnish(door.device, door.keys, furnished)
    return door, furnished.request, furnished.segments


def test_a_review_draws_the_area_with_the_door_in_it_and_says_how_close_it_is(
    asked: tuple[Doorstep, str, tuple[str, ...]],
) -> None:
    door, request, _ = asked
    assert "your door's position is unknown" in door("review", request).out
    place = samples.HARBOUR.bounds
    door.device.position = {"lat": (place.south + place.north) / 2, "lon": (place.west + place.east) / 2}
    said = door("review", request).out
    assert "North is up. @ is your door." in said
    assert "% of it is within 200 m of your door" in said
    (row,) = [line for line in said.splitlines() if "#@#" in line]
    assert row.strip("# ") == "@"
    assert 0 < json.loads(door("review", request, "--json").out)["area"]["within_200_m"] < 1
    door.device.position = {"lat": place.north + 0.001, "lon": place.west}
    assert "your door is outside of it" in door("review", request).out


def test_before_the_yes_an_owner_reads_how_long_it_is_kept_and_who_may_get_it(
    asked: tuple[Doorstep, str, tuple[str, ...]],
) -> None:
    door, request, _ = asked
    warned = (
        "Harbour Police states that it keeps what you share for 180 days from its arrival, unless a law or a court "
        "requires longer. Law or policy may make it pass your footage on to: courts and prosecutors; the accused and "
        "their lawyers."
    )
    shown = door("review", request).out
    assert warned in shown
    assert "in their words: Police data act, section 12" in shown
    stated = json.loads(door("review", request, "--json").out)
    assert stated["retention_days"] == 180
    assert stated["onward"] == {"to": ["court", "defence"], "basis": "Police data act, section 12"}
    assert stated["language"] == "en"
    done = door("approve", request, "--segments", "1", "--yes")
    assert warned in done.err
    assert "Parts that have left cannot be called back" in done.err
    assert "leaves: video, " in done.out
    after = door("review", request).out
    assert warned in after[after.index("approved this") :], "it stands beside what was shared"


@pytest.mark.parametrize("language", only(["ar", "nl"], sorted(LANGUAGES)))
def test_before_the_yes_an_owner_reads_the_promises_in_the_language_of_the_terminal(
    asked: tuple[Doorstep, str, tuple[str, ...]], language: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    door, request, _ = asked
    page = json.loads((Path(agent.__file__).parent / "web" / "texts" / f"{language}.json").read_text())
    days = next(
        page[key].replace("{n}", "180")
        for key in ("promise.days.many", "promise.days.other")  # Arabic counts 180 as many
        if key in page
    )
    parties = f"{page['onward.court']}; {page['onward.defence']}"
    wanted = (
        page["promise.keeps"].replace("{who}", "Harbour Police").replace("{days}", days),
        page["promise.onward"].replace("{parties}", parties),
        page["request.may"],
    )
    monkeypatch.setenv("LC_ALL", f"{language}_XX.UTF-8")
    shown = door("review", request).out
    rows = " ".join(shown.split())  # a terminal breaks long ones
    assert page["promise.kept.text"].replace("{days}", days).removesuffix(".") in rows
    assert parties in rows
    warned = door("approve", request, "--segments", "1", "--yes").err
    after = door("review", request).out
    for sentence in wanted:
        assert sentence in shown
        assert sentence in warned
    assert wanted[0] in after[after.rindex("anna") :], "it stands beside what was shared"


def test_after_the_yes_an_owner_reads_which_pictures_left_by_time_id_and_kind(
    asked: tuple[Doorstep, str, tuple[str, ...]],
) -> None:
    door, request, segments = asked
    assert "approved this" not in door("review", request).out
    assert json.loads(door("review", request, "--json").out)["shared"] is None
    door("approve", request, "--segments", "2", "--posters", "1", "--yes")
    said = door("review", request).out
    assert "anna approved this.  Nothing of it has left:" in said
    rows = [line.split() for line in said.splitlines() if line.startswith("    ") and segments[0] in line]
    assert [row[-2:] for row in rows] == [["still", segments[0]]]
    asked_for = door.device.requests[request]
    door.device._advance(asked_for, Event.FIRST_BYTE, disclosure=asked_for.disclosure)
    del door.device.stored[segments[1]]
    asked_for.segments = (segments[0], segments[2])
    said = door("review", request).out
    assert "It began to leave" in said
    (row,) = (line for line in said.splitlines() if segments[1] in line)
    assert "film" in row
    assert row.endswith("no longer stored")
    shown = json.loads(door("review", request, "--json").out)["shared"]
    assert [(each["kind"], each["id"], each["stored"]) for each in shown["items"]] == [
        ("still", segments[0], True),
        ("film", segments[1], False),
    ]
    assert shown["approved_by"] == ["anna"]


def test_what_left_is_read_although_the_requester_is_no_longer_trusted(
    asked: tuple[Doorstep, str, tuple[str, ...]],
) -> None:
    door, request, segments = asked
    door("approve", request, "--segments", "2", "--yes")
    assert door("trust", "remove-root", samples.ROOT_KEY.text).status == 0
    done = door("review", request)
    assert segments[1] in done.out
    assert "harbour-police states that it keeps what you share for 180 days" in done.out
    assert done.status != 0


def test_a_device_that_lies_about_what_left_is_an_alarm(asked: tuple[Doorstep, str, tuple[str, ...]]) -> None:
    door, request, _ = asked
    door("approve", request, "--segments", "2", "--yes")
    door.device.lies["shared"] = lambda answer, body: ({"kept": False}, b"")
    done = door("review", request)
    assert (done.status, "does not show the newest approval" in done.err) == (4, True)


def test_help_of_every_command_is_the_line_in_the_table() -> None:
    for lazy in COMMANDS.values():
        module, _, attribute = lazy.target.partition(":")
        command = getattr(__import__(module, fromlist=[attribute]), attribute)
        assert isinstance(command, click.Command)
        assert command.get_short_help_str(limit=200) == lazy.summary


def test_keygen_says_to_print_the_page(tool: Tool, tmp_path: Path) -> None:
    done = tool("owner", "keygen", "--keys", tmp_path / "new", "--name", "bob")
    assert done.status == 0
    assert "Print this page now" in done.out
    assert "AGE-SECRET-KEY" not in done.out + done.err
    assert (tmp_path / "new" / KIT).exists()


def test_keygen_for_a_script_names_public_halves_only(tool: Tool, tmp_path: Path) -> None:
    done = tool("owner", "keygen", "--keys", tmp_path / "new", "--x25519", "--json")
    assert json.loads(done.out)["recipient"].startswith("age1")
    assert "SECRET" not in done.out


@pytest.fixture
def quick_passphrases(monkeypatch: pytest.MonkeyPatch) -> None:
    """A passphrase costs milliseconds instead of a second."""
    monkeypatch.setitem(OwnerKeys.create.__kwdefaults__, "log2_work_factor", 8)


@pytest.mark.usefixtures("quick_passphrases")
def test_a_passphrase_is_asked_for_and_never_an_argument(
    tool: Tool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []
    monkeypatch.setattr(
        "click.prompt", lambda text, **options: asked.append((text, options.get("hide_input"))) or "correct horse"
    )
    assert tool("owner", "keygen", "--keys", tmp_path / "new", "--passphrase").status == 0
    assert asked == [("Passphrase", True)]
    assert (tmp_path / "new" / "identity.age").read_bytes().startswith(b"age-encryption.org/v1\n-> scrypt ")


def test_a_name_that_cannot_be_is_told_what_one_is_made_of(tool: Tool, tmp_path: Path) -> None:
    done = tool("owner", "keygen", "--keys", tmp_path / "new", "--name", "A. Müller")
    assert done.status == 2
    assert "name: it must be 1 to 32 of a-z, 0-9 and -." in done.err
    assert "  What to do: Use 1 to 32 of a-z, 0-9 and -" in done.err
    assert not (tmp_path / "new").exists()


@pytest.mark.usefixtures("quick_passphrases")
def test_an_empty_passphrase_is_said_to_seal_nothing_and_asked_for_again(
    tool: Tool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    typed = iter(["", "", "correct horse", "correct horse"])
    monkeypatch.setattr("click.termui.hidden_prompt_func", lambda _: next(typed))
    done = tool("owner", "keygen", "--keys", tmp_path / "new", "--passphrase")
    assert done.status == 0
    assert "An empty passphrase gives no protection." in done.err
    assert (tmp_path / "new" / "identity.age").exists()


@pytest.mark.parametrize(
    ("arguments", "words", "remedy"),
    [
        (("trust", "bundle"), "is not a signed bundle.  Root envelope: it is not JSON, at character 0.", "bundle.dsse"),
        (("trust", "diff"), "is not a signed bundle.  Root envelope: it is not JSON, at character 0.", "bundle.dsse"),
        (("enrol", "--add"), "Owner card: it is not JSON, at character 0.", "Ask them for their owner.json."),
    ],
)
def test_another_file_than_the_one_meant_is_named_with_what_to_give(
    door: Doorstep, tmp_path: Path, arguments: tuple[str, ...], words: str, remedy: str
) -> None:
    readme = tmp_path / "README.md"
    readme.write_text("# Something else\n")
    done = door(*arguments, readme)
    assert done.status == 2
    assert str(readme) in done.err
    assert words in done.err
    assert remedy in done.err


def test_what_cannot_be_is_told_with_where_to_look(door: Doorstep, tmp_path: Path) -> None:
    assert door("enrol", "--yes").status == 0
    assert "List them: doorward owner status" in door("enrol", "--remove", "carol", "--yes").err
    done = door.run("ledger", "verify", "--folder", tmp_path)
    assert f"{tmp_path} is not a copy of a ledger.\n" in done.err
    assert "'doorward ledger export'" in done.err


def test_a_root_that_is_no_key_is_refused_before_anybody_is_asked(door: Doorstep) -> None:
    done = door("trust", "add-root", "ed25519:abc")
    assert done.status == 4
    assert "Copy the whole line." in done.err
    assert "ask you for footage?" not in done.err


def test_a_bundle_that_changes_nothing_is_not_asked_about(
    asked: tuple[Doorstep, str, tuple[str, ...]], tmp_path: Path
) -> None:
    door, _, _ = asked
    (tmp_path / "bundle.dsse").write_bytes(signed_bundle())
    done = door("trust", "bundle", tmp_path / "bundle.dsse")
    assert done.status == 0, done.err
    assert "nothing changes" in done.out


def test_enrolling_says_what_was_proven_and_reminds_of_the_page(door: Doorstep) -> None:
    done = door("enrol", "--yes")
    assert done.status == 0
    assert "the test for the recovery key opened" in done.out
    assert "Print it, then delete it" in done.out
    assert door.device.enrolled is not None


def test_a_first_meeting_is_asked_about(door: Doorstep, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(""))
    done = door("enrol")
    assert done.status == 130
    assert door.device.key.id in done.err
    assert door.device.enrolled is None


def test_status_says_that_the_device_only_went_forwards(asked: tuple[Doorstep, str, tuple[str, ...]]) -> None:
    door, _, _ = asked
    done = door("status")
    assert "is the one you enrolled" in done.out
    assert "1 waiting for you" in done.out
    assert json.loads(door("status", "--json").out)["ledger"]["grown"] == 0


def test_the_report_of_a_doorbell_is_for_a_reader(capsys: pytest.CaptureFixture[str]) -> None:
    keygen._say_tree(
        {"in_event": True, "ms": 0.34251641666666666, "rows": [["0.1", 54]], "names": ["ana", "bob"]}, "  "
    )
    assert capsys.readouterr().out == "  in event: yes\n  ms: 0.3425\n  names: ana, bob\n"


REPORT: dict[str, Any] = {
    "device": "Front door",
    "device_id": "ab" * 8,
    "owners": ["mallory"],
    "panel": None,
    "recorder": {
        "state": "watching", "detail": "", "events": 1, "frames": 2000, "frames_dropped": 3,
        "analysis_ms_per_frame": 0.7, "scrub": {"segments": 0, "damaged": [], "fault": ""},
    },
    "vault": {"segments": 8, "stored_bytes": 12_800_000},
    "clock": "synced",
    "clock_jump": None,
    "link": {"link": "connected", "remedy": ""},
}  # fmt: skip


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("en", ["vault   8 segments, 12.8 MB, all sealed", "camera  watching", "link    connected"]),
        ("de", ["8 Segmente, 12,8 MB, alles versiegelt", "Kamera      beobachtet", "  verbunden"]),
    ],
)
def test_the_report_of_a_doorbell_is_in_the_language(
    code: str, words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    language.speak(code)
    try:
        keygen._say_report(REPORT)
    finally:
        language.speak(ENGLISH)
    said = capsys.readouterr().out
    assert [each for each in words if each not in said] == []
    assert "mallory" not in said, "the owners are those of the verified list"


def test_the_report_of_another_version_is_shown_as_it_came(capsys: pytest.CaptureFixture[str]) -> None:
    keygen._say_report({**REPORT, "recorder": {"mood": "fine"}})
    assert "    mood: fine\n" in capsys.readouterr().out


def test_a_rolled_back_device_is_an_alarm_with_a_status(asked: tuple[Doorstep, str, tuple[str, ...]]) -> None:
    door, _, _ = asked
    door("status")
    del door.device.leaves[-2:]
    done = door("status")
    assert done.status == 4
    assert "rolled back or rewritten" in done.err


def test_a_review_reads_neutrally_and_shows_texts_as_texts(asked: tuple[Doorstep, str, tuple[str, ...]]) -> None:
    door, request, _ = asked
    done = door("review", request[:6])
    assert done.status == 0
    assert "Harbour Police (police): a request for footage" in done.out
    assert "[bold red]Urgent[/]" in done.out
    assert "2 clips, 3 segments" in done.out
    assert "they hear nothing" in done.out
    assert not {"urgent!", "left to answer", "hurry", "emergency"} & set(done.out.lower().split("\n"))


def test_the_list_of_requests_says_who_asks(asked: tuple[Doorstep, str, tuple[str, ...]]) -> None:
    door, request, _ = asked
    done = door("review")
    assert request[:8] in done.out
    assert "Harbour Police (police)" in done.out
    door.device.bundles.clear()
    assert "failed verification" in door("review").out


def test_a_review_opens_clips_and_segments_to_look_at(
    asked: tuple[Doorstep, str, tuple[str, ...]], tmp_path: Path
) -> None:
    door, request, segments = asked
    done = door("review", request, "--out", tmp_path / "look", "--json")
    seen = json.loads(done.out)
    assert [len(clip["segments"]) for clip in seen["clips"]] == [2, 1]
    assert [item["id"] for clip in seen["clips"] for item in clip["segments"]] == list(segments)
    assert probe(Path(seen["clips"][0]["video"])).frames == 40
    assert probe(Path(seen["clips"][1]["segments"][0]["video"])).frames == 20
    for clip in seen["clips"]:
        assert Path(clip["still"]).read_bytes().startswith(b"\xff\xd8\xff")


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("--segments", "1,3"), (0, 2)),
        (("--segments", "2-3"), (1, 2)),
        (("--clips", "1"), (0, 1)),
        (("--clips", "2", "--segments", "1"), (0, 2)),
    ],
)
def test_exactly_the_chosen_segments_are_shared(
    asked: tuple[Doorstep, str, tuple[str, ...]], arguments: tuple[str, ...], expected: tuple[int, ...]
) -> None:
    door, request, segments = asked
    done = door("approve", request, *arguments, "--yes", "--json")
    assert done.status == 0, done.err
    assert json.loads(done.out)["segments"] == [segments[number] for number in expected]
    assert [item.id for item in door.device.released] == [segments[number] for number in expected]


def test_segments_can_be_named_by_their_ids(asked: tuple[Doorstep, str, tuple[str, ...]]) -> None:
    door, request, segments = asked
    assert door("approve", request, "--segments", segments[1], "--yes").status == 0
    assert [item.id for item in door.device.released] == [segments[1]]


@pytest.mark.parametrize(
    ("arguments", "words", "status"),
    [
        (("--segments", "4"), "There is no segment 4", 2),
        (("--segments", "3-1"), "runs backwards", 2),
        (("--segments", "one"), "Write 1,3-5", 2),
        (("--segments", "1..2"), "Write 1,3-5", 2),
        (("--clips", "9"), "There is no clip 9", 2),
        (("--segments", ""), "You selected nothing", 3),
        (("--clips", "1", "--email", "x"), "not a plain address", 2),
    ],
)
def test_a_wrong_choice_shares_nothing_and_says_why(
    asked: tuple[Doorstep, str, tuple[str, ...]], arguments: tuple[str, ...], words: str, status: int
) -> None:
    door, request, _ = asked
    done = door("approve", request, *arguments, "--yes")
    assert done.status == status
    assert words in done.err
    assert door.device.requests[request].state is RequestState.PENDING


def test_nothing_is_ticked_for_the_owner(
    asked: tuple[Doorstep, str, tuple[str, ...]], monkeypatch: pytest.MonkeyPatch
) -> None:
    door, request, _ = asked
    monkeypatch.setattr("click.prompt", lambda text, **options: options["default"])
    done = door("approve", request)
    assert done.status == 3
    assert "You selected nothing" in done.err
    assert "Harbour Police" in done.out


def test_without_a_last_yes_nothing_is_shared(
    asked: tuple[Doorstep, str, tuple[str, ...]], monkeypatch: pytest.MonkeyPatch
) -> None:
    door, request, _ = asked
    questions = []

    def no(text: str, **options: object) -> bool:
        questions.append(text)
        raise click.Abort

    monkeypatch.setattr("click.confirm", no)
    assert door("approve", request, "--segments", "1").status == 130
    case = door.device.requests[request].request.case
    assert questions == [
        f"They also learn the labels of your keys.  Case {case}, recorded {window(WINDOW_MS, WINDOW_MS + 2000)}.  "
        "Share 1 of 3 segments (1; 2.0 s) with Harbour Police?"
    ]
    assert door.device.requests[request].state is RequestState.PENDING


def test_a_no_and_a_yes_taken_back(asked: tuple[Doorstep, str, tuple[str, ...]]) -> None:
    door, request, segments = asked
    assert door("approve", request, "--segments", "1", "--yes").status == 0
    done = door("revoke", request[:8])
    assert f"It was the request {request[:8]}.\nRevoked in time" in done.out
    other = door.device.ask_for(signed_request(id="f" * 32, seq=8), segments)
    assert door("deny", other, "--yes").status == 0
    assert door.device.requests[other].state is RequestState.DENIED
    assert door("deny", other, "--yes").status == 3


def test_a_beginning_that_could_mean_a_tip_or_a_request_revokes_neither(
    asked: tuple[Doorstep, str, tuple[str, ...]],
) -> None:
    """It took the first tip that begins so, also for "", and said that nothing would be sent. The request was sent."""
    door, request, _ = asked
    assert door("approve", request, "--segments", "1", "--yes").status == 0
    for number in "23":
        tip = {"id": request[0] + number * 25, "requester": "harbour-police", "state": "approved"}
        door.device.tips.append(tip)
    before = len(door.device.statements)
    for start, words in (("", "There is no request ''"), (request[0], f"ids begin with '{request[0]}'")):
        done = door("revoke", start)
        assert (done.status, len(door.device.statements)) == (2, before)
        assert words in done.err
    assert door("revoke", request[:8]).status == 0
    assert door.device.requests[request].state is RequestState.REVOKED


def test_numbers_mean_the_footage_that_was_reviewed_or_the_owner_reviews_again(
    asked: tuple[Doorstep, str, tuple[str, ...]], plan: Path, tmp_path: Path
) -> None:
    """Another owner may delete the first segment. An altered device could list the footage in another order."""
    door, request, segments = asked
    assert door("review", request).status == 0
    door.device.requests[request].segments = (segments[1], segments[0], segments[2])
    for command in (
        ("approve", request, "--segments", "1", "--yes"),
        ("redact", request, plan, "--out", tmp_path / "look"),
        ("suggest", request, "--out", tmp_path / "covers.json"),
    ):
        done = door(*command)
        assert (done.status, door.device.requests[request].state) == (3, RequestState.PENDING)
        assert "its numbers mean other footage now.\n  What to do: Review it again" in done.err
    assert door("review", request).status == 0
    assert door("approve", request, "--segments", "1", "--yes").status == 0
    assert [item.id for item in door.device.statements[-1].segments] == [segments[1]]


@pytest.mark.parametrize(
    ("state", "said"),
    [
        (RequestState.APPROVED, "It is approved already.\n  What to do: To revoke it: doorward owner revoke {}"),
        (RequestState.SENT, "It has been sent and cannot be called back."),
        (RequestState.DENIED, "You have denied it."),
    ],
)
@pytest.mark.parametrize("arguments", [("approve", "--segments", "1"), ("deny",)])
def test_what_is_decided_is_said_to_be_before_anything_is_asked(
    asked: tuple[Doorstep, str, tuple[str, ...]],
    monkeypatch: pytest.MonkeyPatch,
    arguments: tuple[str, ...],
    state: RequestState,
    said: str,
) -> None:
    door, request, _ = asked
    door.device.requests[request].state = state
    monkeypatch.setattr("click.confirm", lambda *_, **__: pytest.fail("it was asked"))
    done = door(arguments[0], request, *arguments[1:])
    assert done.status == 3
    assert said.format(request[:8]) in done.err
    assert door.device.requests[request].state is state


def test_what_has_been_sent_is_not_taken_back_and_said_so(asked: tuple[Doorstep, str, tuple[str, ...]]) -> None:
    door, request, _ = asked
    assert door("approve", request, "--segments", "1", "--yes").status == 0
    door.device.requests[request].state = RequestState.SENT
    done = door("revoke", request, "--yes")
    assert done.status == 3
    assert "It has been sent and cannot be called back." in done.err
    assert "no longer applies" not in done.err


def test_a_request_that_is_over_cannot_be_approved(
    asked: tuple[Doorstep, str, tuple[str, ...]], monkeypatch: pytest.MonkeyPatch
) -> None:
    door, request, _ = asked
    monkeypatch.setattr("agent.clients.owner.clock.time.time_ns", lambda: (NOW_MS + 8 * 86_400_000) * 1_000_000)
    done = door("approve", request, "--segments", "1", "--yes")
    assert (done.status, door.device.requests[request].state) == (3, RequestState.PENDING)
    assert "This request has expired" in done.err
    assert "expired" in door("review", request).out


def test_opting_out_and_in(asked: tuple[Doorstep, str, tuple[str, ...]]) -> None:
    door, _, _ = asked
    assert "There are no opt-outs" in door("opt-out", "list").out
    assert "all requests, for good" in door("opt-out", "add").out
    done = door("opt-out", "add", "--requester", "harbour-police", "--until", "2030-01-01")
    below = f"of the root {samples.ROOT_KEY.id[:8]}"
    assert f"requests of the requester 'harbour-police' {below}, until" in done.out
    listed = door("opt-out", "list").out
    assert "all requests, for good" in listed
    assert f"'harbour-police' {below}, until Tue 01 Jan 2030" in listed
    assert done.err == ""
    done = door("opt-out", "add", "--requester", "harbor-police")
    assert done.status == 2
    assert "No trusted requester has the id 'harbor-police'." in done.err
    assert "Known: harbour-police" in done.err
    other = samples.OWNER_KEY.id
    assert door("opt-out", "add", "--requester", "harbour-police", "--root", other).status == 0
    done = door("opt-out", "lift", "--requester", "harbour-police")
    assert done.status == 2
    assert "2 roots have a requester with the id 'harbour-police'." in done.err
    assert (
        f"of the root {other[:8]} is lifted"
        in door("opt-out", "lift", "--requester", "harbour-police", "--root", other).out
    )
    assert "Add --requester" in door("opt-out", "add", "--root", other).err
    assert "is lifted" in door("opt-out", "lift", "--requester", "harbour-police").out
    for never in (("--requester", "harbour-police"), ("--kind", "police"), ("--hours", "22:00-07:00")):
        done = door("opt-out", "lift", *never)
        assert (done.status, done.out) == (2, "")
        assert "so nothing is lifted" in done.err
    assert "harbour-police" not in door("opt-out", "list").out
    assert door("opt-out", "add", "--requester", "a", "--kind", "police").status == 2
    assert door("opt-out", "add", "--until", "soon").status == 2
    assert "bulletins of the kind 'neighbour', for good" in door("opt-out", "add", "--bulletins", "neighbour").out
    assert "bulletins of the kind 'neighbour', for good" in door("opt-out", "list").out
    assert "is lifted" in door("opt-out", "lift", "--bulletins", "neighbour").out


def test_quiet_hours_are_written_as_people_write_them(asked: tuple[Doorstep, str, tuple[str, ...]]) -> None:
    door, _, _ = asked
    done = door("opt-out", "add", "--hours", "22:00-7:00")
    assert "only outside the hours 22:00 to 07:00 (for good)" in done.out
    assert "the hours 22:00 to 07:00, for good" in door("opt-out", "list").out
    assert "Write them like 22:00-07:00" in door("opt-out", "add", "--hours", "at night").err
    assert door("opt-out", "add", "--hours", "25:00-07:00").status == 2


def test_a_no_can_be_for_the_next_time_too(asked: tuple[Doorstep, str, tuple[str, ...]]) -> None:
    door, request, _ = asked
    done = door("deny", request, "--yes", "--opt-out", "kind")
    assert "You also opted out of requests of the kind 'police'." in done.out
    assert "requests of the kind 'police', for good" in door("opt-out", "list").out


def test_less_than_footage_can_be_shared(asked: tuple[Doorstep, str, tuple[str, ...]]) -> None:
    door, request, segments = asked
    done = door("approve", request, "--posters", "1", "--exists", "all", "--segments", "3", "--yes")
    assert "Approved: 1 segment, the poster of clip 1 and the existence of clips 1, 2 for Harbour Police" in done.out
    assert set(door.device.outbox) == {(PartKind.SEGMENT, segments[2]), (PartKind.POSTER, segments[0])}
    told = door.device.statements[-1].clips
    assert [(clip.segments, clip.from_ms) for clip in told] == [(2, WINDOW_MS), (1, WINDOW_MS + 60_000)]


PLAN = {"redactions": [{"segment": 1, "kind": "face", "places": [[0, 10, 10, 30, 40]]}]}


@pytest.fixture
def plan(tmp_path: Path) -> Path:
    path = tmp_path / "plan.json"
    path.write_text(json.dumps(PLAN))
    return path


def test_an_owner_sees_the_redacted_film_before_the_yes_and_exactly_that_leaves(
    asked: tuple[Doorstep, str, tuple[str, ...]], plan: Path, tmp_path: Path
) -> None:
    door, request, segments = asked
    seen = door("redact", request, plan, "--out", tmp_path / "look")
    film = (tmp_path / "look" / "segment-001-redacted.mp4").read_bytes()
    assert (tmp_path / "look" / "segment-001-redacted.mp4").stat().st_mode & 0o777 == 0o600
    assert (seen.status, door.device.requests[request].state) == (0, RequestState.PENDING)
    assert "Nothing was sent" in seen.err
    done = door("approve", request, "--segments", "1-2", "--redact", plan, "--yes")
    assert ", of these as redacted by you: 1 for " in done.out
    assert done.out.count("video, redacted by you") == 1
    assert split_media(open_bytes(door.device.outbox[PartKind.SEGMENT, segments[0]], [REPLY]))[0] == film
    left = door("review", request)
    assert left.out.count("redacted by you") == 1


def test_an_owner_reads_that_the_film_of_an_exact_plan_keeps_its_pixels(
    asked: tuple[Doorstep, str, tuple[str, ...]], plan: Path, tmp_path: Path
) -> None:
    door, request, _ = asked
    assert "as recorded" not in door("redact", request, plan, "--out", tmp_path / "look").err
    near = (tmp_path / "look" / "segment-001-redacted.mp4").read_bytes()
    plan.write_text(json.dumps({"exact": True, **PLAN}))
    seen = door("redact", request, plan, "--out", tmp_path / "look")
    assert "Outside of the covers each pixel is as recorded." in seen.err
    assert len((tmp_path / "look" / "segment-001-redacted.mp4").read_bytes()) > len(near)


def test_a_plan_of_a_crowd_may_have_as_many_bytes_as_suggest_writes(
    asked: tuple[Doorstep, str, tuple[str, ...]], plan: Path, tmp_path: Path
) -> None:
    door, request, _ = asked
    plan.write_text(json.dumps(PLAN).ljust(8 << 20))
    assert door("redact", request, plan, "--out", tmp_path / "look").status == 0
    plan.write_text(json.dumps(PLAN).ljust((8 << 20) + 1))
    assert door("redact", request, plan, "--out", tmp_path / "look").status != 0


def test_suggested_covers_are_a_plan_that_redact_takes(
    asked: tuple[Doorstep, str, tuple[str, ...]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    door, request, _ = asked
    looked_at: list[int] = []
    network = tmp_path / "objects.onnx"
    network.write_bytes(b"a network")

    def suggest(
        _media: ConfinedMedia,
        films: list[tuple[bytes, int]],
        *,
        plates: bool,
        people: Path | None,
        vehicles: Path | None,
    ) -> list[Suggestion]:
        assert (people, vehicles) in ((network, network), (None, None))
        looked_at.append(len(films))
        places = Place(0, 1235, 8190, 8765, 1810), Place(900, 7, 3, 29, 1)
        kinds = (RedactionKind.FACE, RedactionKind.PLATE, RedactionKind.AREA)[: 3 if plates else 1]
        return [Suggestion(0, 900, places, 0.875, kind) for kind in kinds]

    monkeypatch.setattr(ConfinedMedia, "suggest", suggest)
    # The second clip is a film by infrared, which has one segment.
    monkeypatch.setattr(ConfinedMedia, "is_colourless", lambda _media, _film: looked_at[-1] == 1)
    plan = tmp_path / "plan.json"
    said = door("suggest", request, "--out", plan)
    assert "Clip 2 has no colour, as by infrared.  Many small faces are missed there: use --people." in said.err
    assert "Clip 1 has no colour" not in said.err
    assert "1. clip 1: a face, 0.00 s – 0.90 s, 88% sure" in said.out
    assert "Nothing was sent" in said.err
    assert looked_at == [2, 1]
    planned = json.loads(plan.read_text())["redactions"]
    assert [each["clip"] for each in planned] == [1, 2]
    assert planned[0]["places"] == [[0.0, 12.35, 81.9, 87.65, 18.1], [0.9, 0.07, 0.03, 0.29, 0.01]]
    sha256 = hashlib.sha256(network.read_bytes()).hexdigest()
    monkeypatch.setattr("agent.clients.cli.owner.suggest.OBJECTS_SHA256", sha256)
    options = ("--plates", "--people", network, "--vehicles", network)
    both = door("suggest", request, *options, "--out", plan)
    assert "1. clip 1: a face or a head, 0.00 s – 0.90 s, 88% sure" in both.out
    assert "has no colour" not in both.err
    told = json.loads(door("suggest", request, "--out", plan, "--json").out)
    assert (told["covers"], told["without_colour"]) == (2, [2])
    door("suggest", request, *options, "--out", plan)
    assert "2. clip 1: a number plate, 0.00 s – 0.90 s, 88% sure" in both.out
    missed = "Many number plates are missed.  --vehicles covers vehicles with theirs"
    assert missed not in said.err + both.err
    assert missed in door("suggest", request, "--plates", "--out", plan).err
    door("suggest", request, *options, "--out", plan)
    assert "3. clip 1: a vehicle or several things, 0.00 s – 0.90 s, 88% sure" in both.out
    assert [each["kind"] for each in json.loads(plan.read_text())["redactions"]][:3] == ["face", "plate", "area"]
    seen = door("redact", request, plan, "--out", tmp_path / "look")
    assert (seen.status, door.device.requests[request].state) == (0, RequestState.PENDING)
    assert sorted(path.name for path in (tmp_path / "look").iterdir()) == [
        "segment-001-redacted.mp4",
        "segment-003-redacted.mp4",
    ]


def test_a_cover_that_is_to_follow_is_refused_until_it_has_and_its_owner_reads_where_it_is_unsure(
    asked: tuple[Doorstep, str, tuple[str, ...]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    door, request, _ = asked
    mine, made = tmp_path / "mine.json", tmp_path / "made.json"
    mine.write_text(json.dumps({"redactions": [{**PLAN["redactions"][0], "follow": True}]}))
    for command in (("redact", request, mine, "--out", tmp_path / "look"),
                    ("approve", request, "--segments", "1", "--redact", mine, "--yes")):  # fmt: skip
        refused = door(*command)
        assert refused.status == 2
        assert "Redaction 1 of the plan is to follow, and has not yet.\n  What to do: Run: doorward owner follow." in (
            refused.err
        )

    def follow(
        _media: ConfinedMedia, films: list[tuple[bytes, int]], hand: Sequence[Place], from_ms: int, until_ms: int
    ) -> Followed:
        assert [length_ms for _film, length_ms in films] == [until_ms]
        assert (from_ms, list(hand)) == (0, [Place(0, 1000, 1000, 3000, 4000)])
        return Followed((*hand, Place(700, 2000, 1000, 3000, 4000)), ((400, 700),))

    monkeypatch.setattr(ConfinedMedia, "follow", follow)
    said = door("follow", request, mine, "--out", made)
    assert said.out.splitlines()[:2] == ["1. 2 places", "    unsure from 0.40 s to 0.70 s: look there"]
    assert "Nothing was sent.  Look at every picture:" in said.err
    assert f"doorward owner redact {request[:8]} {made} --out FOLDER" in said.err
    assert json.loads(door("follow", request, mine, "--out", made, "--json").out)["covers"] == [
        {"redaction": 1, "places": 2, "unsure_s": [[0.4, 0.7]]}
    ]
    assert door("redact", request, made, "--out", tmp_path / "look").status == 0
    assert door.device.requests[request].state is RequestState.PENDING
    again = door("follow", request, made, "--out", made)
    assert (again.status, "No cover of the plan is to follow." in again.err) == (2, True)


def test_a_plan_that_covers_nothing_of_what_is_shared_is_refused(
    asked: tuple[Doorstep, str, tuple[str, ...]], plan: Path
) -> None:
    """Otherwise its owner would believe that a face is covered."""
    door, request, _ = asked
    done = door("approve", request, "--segments", "2", "--redact", plan, "--yes")
    assert (done.status, door.device.requests[request].state) == (2, RequestState.PENDING)
    assert "names nothing that you share" in done.err


def test_that_footage_exists_can_be_all_that_is_shared(asked: tuple[Doorstep, str, tuple[str, ...]]) -> None:
    door, request, _ = asked
    done = door("approve", request, "--exists", "2", "--yes", "--json")
    assert json.loads(done.out)["exists"] == [2]
    assert door.device.outbox == {}
    assert door.device.requests[request].state is RequestState.APPROVED


def test_a_clip_without_a_poster_has_none_to_share(asked: tuple[Doorstep, str, tuple[str, ...]]) -> None:
    door, request, _ = asked
    done = door("approve", request, "--posters", "2", "--yes")
    assert (done.status, door.device.requests[request].state) == (3, RequestState.PENDING)
    assert "Clip 2 has no poster" in done.err


def test_an_approval_that_waits_says_how_long_it_can_be_taken_back(
    asked: tuple[Doorstep, str, tuple[str, ...]],
) -> None:
    door, request, _ = asked
    door.device.requests[request].waits_s = 600
    done = door("approve", request, "--segments", "1", "--yes")
    assert "It leaves in 10 min at the earliest; until then you can revoke it" in done.out
    assert "It leaves in 10 min at the earliest" in door("review", request).out


def test_the_ledger_is_written_down_and_verified_without_the_device(
    asked: tuple[Doorstep, str, tuple[str, ...]], tmp_path: Path
) -> None:
    door, request, _ = asked
    assert door("approve", request, "--segments", "1", "--yes").status == 0
    here = ("--keys", door.keys, "--device", door.socket)
    assert "The ledger continues the one this machine saw before" in door.run("ledger", "verify", *here).out
    assert "received" in door.run("ledger", "list", *here).out
    copy = tmp_path / "copy"
    assert door.run("ledger", "export", copy, *here).status == 0
    assert door.run("ledger", "export", copy, *here).status == 2
    assert "complete, signed by the device" in door.run("ledger", "verify", "--folder", copy).out
    lines = (copy / "entries.jsonl").read_bytes()
    (copy / "entries.jsonl").write_bytes(lines.replace(b'"approved"', b'"denied"'))
    assert door.run("ledger", "verify", "--folder", copy).status == 4
    (copy / "device.txt").write_text("")
    assert door.run("ledger", "verify", "--folder", copy).status == 4


def test_what_was_asked_and_shared_is_counted_as_words_page_and_picture(
    asked: tuple[Doorstep, str, tuple[str, ...]], tmp_path: Path
) -> None:
    door, request, _ = asked
    here = ("--keys", door.keys, "--device", door.socket)
    assert door("approve", request, "--segments", "1", "--yes").status == 0
    files = ("--html", tmp_path / "s.html", "--svg", tmp_path / "s.svg")
    said = door.run("ledger", "summary", *files, *here)
    assert "asked 1, blocked 0" in said.out
    assert "approved 1, denied 0" in said.out
    assert "harbour-police" in (tmp_path / "s.svg").read_text()
    assert "<script" not in (tmp_path / "s.html").read_text()
    counted = json.loads(door.run("ledger", "summary", "--json", *here).out)
    assert (counted["total"]["asked"], counted["total"]["approved"], counted["total"]["sent"]) == (1, 1, 0)


def test_trust_and_ledger_stand_at_the_top_too(door: Doorstep) -> None:
    assert door("enrol", "--yes").status == 0
    assert "no requester may ask" in door.run("trust", "show", "--keys", door.keys, "--device", door.socket).out


# -- tips --------------------------------------------------------------------------------------------------------------


@pytest.fixture
def telling(asked: tuple[Doorstep, str, tuple[str, ...]], tmp_path: Path) -> tuple[Doorstep, tuple[str, ...]]:
    """The police take tips."""
    door, _, segments = asked
    newer = tmp_path / "tips.dsse"
    entry = samples.requester(tips=str(REPLY.recipient()))
    newer.write_bytes(signed_bundle(version=4, requesters=(entry,)))
    assert door("trust", "bundle", newer, "--yes").status == 0
    return door, segments


def test_a_tip_of_words_is_for_its_requester_alone(telling: tuple[Doorstep, tuple[str, ...]]) -> None:
    door, _ = telling
    done = door("tip", "send", "harbour-police", "--message", "A white van.", "--yes")
    assert done.status == 0, done.err
    assert "Until it is sent you can revoke it" in done.out
    sent = door.device.statements[-1]
    assert "white van" not in strictjson.encode(sent).decode()
    text = strictjson.decode(open_bytes(strictjson.decode_base64(sent.message), [REPLY]), TipText)
    assert text.text == "A white van."
    listed = door("tip", "list").out
    assert f"{sent.tip[:8]}  harbour-police: approved" in listed
    assert "No still, film or sound." in listed
    assert "Tips are accepted by: harbour-police (Harbour Police)." in listed
    door.device.tips[-1]["state"] = "sent"
    done = door("revoke", sent.tip)
    assert (
        "It has been sent and cannot be called back.\n  What to do: To see the recipient: doorward owner tip list"
        in done.err
    )


def test_footage_in_a_tip_is_opened_checked_and_wrapped_to_its_requester(
    telling: tuple[Doorstep, tuple[str, ...]], media: list[bytes]
) -> None:
    door, segments = telling
    done = door("tip", "send", "harbour-police", "--segments", segments[1][:9], "--posters", segments[0], "--yes")
    assert done.status == 0, done.err
    sealed = door.device.outbox[PartKind.SEGMENT, segments[1]]
    assert split_media(open_bytes(sealed, [REPLY]))[0] == media[1]
    assert open_bytes(door.device.outbox[PartKind.POSTER, segments[0]], [REPLY]).startswith(b"\xff\xd8\xff")
    listed = door("tip", "list").out
    assert [f"still  {segments[0]}" in listed, f"film   {segments[1]}" in listed] == [True, True]
    sent = json.loads(door("tip", "list", "--json").out)["tips"][0]
    assert [each["kind"] for each in sent["shared"]["items"]] == ["still", "film"]
    door.device.stored[segments[1]].sealed += b"x"
    assert door("tip", "send", "harbour-police", "--segments", segments[1], "--yes").status == 4


def test_footage_that_cannot_be_shared_is_left_out_of_a_tip_by_one_yes(
    telling: tuple[Doorstep, tuple[str, ...]], media: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    door, segments = telling
    early = door.device.cut_short(media[0], WINDOW_MS + 120_000, 0.7)
    door.device.stored[segments[1]].sealed += b"x"
    chosen = ",".join((segments[0], segments[1], early))
    before = len(door.device.statements)
    done = door("tip", "send", "harbour-police", "--segments", chosen, "--yes")
    assert (done.status, len(door.device.statements)) == (4, before)
    assert f"Segment {segments[1]} cannot be shared" in done.err
    assert f"Segment {early} cannot be shared: This segment was cut off before its first second" in done.err
    monkeypatch.setattr("sys.stdin", io.StringIO("y\ny\n"))
    done = door("tip", "send", "harbour-police", "--segments", chosen, "--posters", segments[0])
    assert done.status == 0, done.err
    assert "Leave that out?  Footage identifies its camera.  Send 1 segment and 1 poster" in done.err
    sent = door.device.statements[-1]
    assert [[item.id for item in each] for each in (sent.segments, sent.posters)] == [[segments[0]], [segments[0]]]
    monkeypatch.setattr("sys.stdin", io.StringIO("y\n"))
    nothing = door("tip", "send", "harbour-police", "--segments", early)
    assert (nothing.status, "Leave that out?" in nothing.err) == (4, False)


@pytest.mark.parametrize(
    ("arguments", "words", "status"),
    [
        (("harbour-police",), "needs a message or footage", 2),
        (("harbour-fire", "--message", "x"), "accepts no tips", 2),
        (("harbour-police", "--message", "www.evil.example"), "link", 2),
        (("harbour-police", "--segments", "zzz"), "There is no segment", 2),
    ],
)
def test_a_tip_that_cannot_be_is_not_sent(
    telling: tuple[Doorstep, tuple[str, ...]], arguments: tuple[str, ...], words: str, status: int
) -> None:
    door, _ = telling
    before = len(door.device.statements)
    done = door("tip", "send", *arguments, "--yes")
    assert (done.status, len(door.device.statements)) == (status, before)
    assert words in done.err


# -- two owners --------------------------------------------------------------------------------------------------------


def second_owner(door: Doorstep, tmp_path: Path, *options: str, told: str = "") -> Doorstep:
    """Adds Bob with `options`. His enrolment prints `told`."""
    bob = Doorstep(door.device, tmp_path / "bob", door.socket, door.run)
    OwnerKeys.create(tmp_path / "bob", name="bob", seeds=seeds("bob"))
    assert door("enrol", "--add", tmp_path / "bob" / "owner.json", *options, "--yes").status == 0
    enrolled = bob("enrol", "--yes")
    assert (enrolled.status, told in enrolled.out) == (0, True)
    return bob


@pytest.fixture
def pair(asked: tuple[Doorstep, str, tuple[str, ...]], tmp_path: Path) -> tuple[Doorstep, Doorstep, str]:
    """Anna's door and Bob's: from now on it takes both."""
    door, request, _ = asked
    bob = second_owner(door, tmp_path, "--approvals", "2", told="Sharing takes two owners")
    assert bob("trust", "add-root", samples.ROOT_KEY.text, "--yes").status == 0
    return door, bob, request


def test_a_second_owner_takes_over_the_roots_that_the_first_one_chose(
    asked: tuple[Doorstep, str, tuple[str, ...]], tmp_path: Path
) -> None:
    door, _, _ = asked
    bob = second_owner(door, tmp_path)
    assert "trust take-over" in bob("trust", "show").out
    assert bob("trust", "take-over").status != 0
    assert json.loads(bob("trust", "show", "--json").out)["roots"] == []
    taken = bob("trust", "take-over", "--yes")
    assert f"{samples.ROOT_KEY.text}\n    anna chose it on " in taken.out
    assert "You trust 1 more root." in taken.out
    assert "Harbour Police (police), harbour-police" in bob("trust", "show").out
    assert "no root that this machine does not know" in bob("trust", "take-over").out
    assert json.loads(bob("trust", "take-over", "--json").out)["roots"] == []


def test_a_disputed_root_is_named_and_keeps_no_other_root_from_being_taken_over(
    asked: tuple[Doorstep, str, tuple[str, ...]], tmp_path: Path
) -> None:
    door, _, _ = asked
    bob = second_owner(door, tmp_path)
    true, false = samples.ROOT_KEY.text, package_vectors.FORGED.text
    other = samples.pair_text(private_key_from_seed(b"o" * 32))
    for who, *words in (
        (door, "remove-root", true), (bob, "add-root", false, "--yes"), (door, "remove-root", false),
        (door, "add-root", true, "--yes"), (door, "add-root", other, "--yes"),
    ):  # fmt: skip
        assert who("trust", *words).status == 0
    taken = bob("trust", "take-over", "--yes")
    assert (taken.status, "You trust 1 more root." in taken.out) == (1, True)
    assert f"Disputed, not taken over: {true}\n    anna chose it on " in taken.out
    left = bob("trust", "take-over", "--json")
    told = json.loads(left.out)
    assert (left.status, told["roots"], [each["root"] for each in told["disputed"]]) == (1, [], [true])
    assert bob("trust", "remove-root", false).status == 0
    assert bob("trust", "take-over", "--yes").status == 0
    assert json.loads(bob("trust", "take-over", "--json").out) == {"roots": [], "disputed": []}


def test_it_takes_two_owners_and_each_sees_what_the_other_did(pair: tuple[Doorstep, Doorstep, str]) -> None:
    anna, bob, request = pair
    assert "sharing takes two" in anna("status").out
    assert "It takes two owners: an approval of one waits" in anna("review", request).out
    done = anna("approve", request, "--segments", "1,3", "--posters", "1", "--street", "Example Street 1", "--yes")
    assert "Nothing is sent yet: it takes two owners." in done.out
    assert f"doorward owner co-approve {request[:8]}" in done.out
    assert anna.device.requests[request].state is RequestState.PARTIALLY_APPROVED
    assert not anna.device.outbox
    assert "anna has approved some of it" in bob("review").out
    seen = bob("review", request)
    assert "anna has approved segments 1, 3, the poster of clip 1 and contact data that only the" in seen.out
    assert "To approve the same:  doorward owner co-approve" in seen.out
    assert "first-approval" in seen.out
    assert "You have approved it. It now waits for another owner" in anna("co-approve", request, "--yes").err
    seconded = bob("co-approve", request, "--yes")
    assert seconded.status == 0
    assert "Approved by both of you" in seconded.out
    assert len(anna.device.outbox) == 3
    assert anna.device.requests[request].state is RequestState.APPROVED


def test_what_a_former_owner_approved_waits_for_nobody(pair: tuple[Doorstep, Doorstep, str]) -> None:
    anna, bob, request = pair
    assert anna("approve", request, "--segments", "1", "--yes").status == 0
    removed = bob("enrol", "--remove", "anna", "--approvals", "1", "--yes")
    assert removed.status == 0
    assert "If anna may have seen the recovery page, replace it now. It opens later footage, too.\n" in removed.out
    assert "doorward owner replace-kit" in removed.out
    assert "docs/leaving.md" in removed.out
    seen = bob("review", request)
    assert seen.status == 0, seen.err
    assert "has approved" not in seen.out
    assert "To share some of it" in seen.out
    assert bob("co-approve", request, "--yes").status == 3
    assert bob("deny", request, "--yes").status == 0


def test_nothing_waits_to_be_seconded_before_somebody_approves(pair: tuple[Doorstep, Doorstep, str]) -> None:
    _, bob, request = pair
    done = bob("co-approve", request, "--yes")
    assert done.status == 3
    assert "No approval of this request waits" in done.err


def test_one_owner_alone_cannot_ask_for_two(door: Doorstep) -> None:
    done = door("enrol", "--approvals", "2", "--yes")
    assert done.status == 2
    assert "there is only one" in done.err


def test_the_number_of_owners_it_takes_stays_until_it_is_changed(pair: tuple[Doorstep, Doorstep, str]) -> None:
    anna, bob, request = pair
    assert "Sharing takes two" in anna("enrol", "--yes").out
    assert anna("enrol", "--approvals", "1", "--yes").status == 0
    assert "owners    anna, bob" in bob("status").out
    assert anna("approve", request, "--segments", "1", "--yes").status == 0
    assert anna.device.requests[request].state is RequestState.APPROVED


# -- what the requester has signed -------------------------------------------------------------------------------------


def test_receipt_stated_retention_and_deletion_are_shown(asked: tuple[Doorstep, str, tuple[str, ...]]) -> None:
    door, request, _ = asked
    assert door("approve", request, "--segments", "1", "--yes").status == 0
    kept = door.device.requests[request]
    receipt = samples.receipt(
        disclosure=kept.disclosure, request=request, state=ReceiptState.COMPLETE, incomplete=(), retention_days=90
    )
    deletion = samples.EVERY_MESSAGE["deletion"]
    assert isinstance(deletion, Deletion)
    deletion = msgspec.structs.replace(deletion, request=request)
    kept.receipt, kept.deletion = (said(message, samples.REQUESTER) for message in (receipt, deletion))
    shown = door("review", request).out
    assert "They signed a receipt, for case" in shown
    assert "They state that they keep it for 90 days." in shown
    assert "When you shared" not in shown
    assert "They signed that all of it is deleted" in shown
    kept.receipt = said(msgspec.structs.replace(receipt, retention_days=1095), samples.REQUESTER)
    longer = door("review", request).out
    assert "They state that they keep it for 1095 days (about 3 years)." in longer
    assert "When you shared, they had promised 180 days." in longer
    kept.receipt = said(receipt, samples.OWNER)
    assert "not signed by the key of the request" in door("review", request).err
    kept.receipt = said(msgspec.structs.replace(receipt, disclosure="e" * 32), samples.REQUESTER)
    assert "is for something else" in door("review", request).err


def test_bulletins_are_read_when_their_owner_looks(asked: tuple[Doorstep, str, tuple[str, ...]]) -> None:
    door, _, _ = asked
    assert "There are no bulletins." in door("bulletins").out
    bulletin = samples.EVERY_MESSAGE["bulletin"]
    assert isinstance(bulletin, Bulletin)
    over = msgspec.structs.replace(bulletin, title="Old news", not_after_s=NOW_MS // 1000 - 1)
    forged = msgspec.structs.replace(bulletin, title="Forged")
    door.device.posted = [
        *(said(each, samples.REQUESTER) for each in (bulletin, over)), said(forged, samples.OWNER),
    ]  # fmt: skip
    shown = door("bulletins").out
    assert bulletin.title in shown
    assert "Harbour Police (police)" in shown
    assert "Old news" not in shown
    assert "Forged" not in shown
    listed = json.loads(door("bulletins", "--json").out)["bulletins"]
    assert [(each["title"], each["language"]) for each in listed] == [(bulletin.title, bulletin.language)]


def said(message: Receipt | Deletion | Bulletin, by: object) -> bytes:
    return envelope.sign(message.PAYLOAD_TYPE, strictjson.encode(message), by)  # type: ignore[arg-type]


def test_trust_shows_who_may_ask_and_what_a_bundle_changes(
    asked: tuple[Doorstep, str, tuple[str, ...]], tmp_path: Path
) -> None:
    door, _, _ = asked
    shown = door("trust", "show").out
    assert "Harbour Police (police), harbour-police" in shown
    assert "1 region; window_max_s 21600" in shown
    newer = tmp_path / "newer.dsse"
    newer.write_bytes(signed_bundle(version=4, requesters=()))
    assert "gone: harbour-police" in door("trust", "diff", newer).out
    assert door.device.trust.bundles[samples.ROOT_KEY.id].version == 3
    assert door("trust", "remove-root", samples.ROOT_KEY.text).status == 0
    assert "no requester may ask" in door("trust", "show").out


def test_trust_says_who_joined_and_accept_lets_them_ask(asked: tuple[Doorstep, str, tuple[str, ...]]) -> None:
    door, _, _ = asked
    assert door("trust", "accept").status == 2
    key = RequesterKey(key=samples.OWNER_KEY.text, from_s=0, until_s=2**31)
    joined = samples.requester(id="rijnstad-police", name="Rijnstad Police", keys=(key,))
    wider = samples.requester(limits=samples.EntryLimits())
    door.device.heard[samples.ROOT_KEY.id] = samples.package(samples.bundle(version=4, requesters=(wider, joined)))
    shown = door("trust", "show").out
    assert "Rijnstad Police joined." in shown
    assert "Harbour Police: wider limits." in shown
    assert json.loads(door("trust", "show", "--json").out)["news"] == [samples.ROOT_KEY.id]
    assert door("trust", "accept", "0" * 16).status == 2
    assert door("trust", "accept", package_vectors.FORGED.text, "--yes").status == 2, "only the id is the root's"
    done = door("trust", "accept", samples.ROOT_KEY.text, "--yes")
    assert "new: Rijnstad Police (police), rijnstad-police" in done.out
    assert "Version 4 is in use." in done.out
    assert "joined" not in door("trust", "show").out


def test_a_name_with_letters_that_look_like_others_is_marked_before_the_yes(
    asked: tuple[Doorstep, str, tuple[str, ...]], tmp_path: Path
) -> None:
    door, request, _ = asked
    said = "Some letters in the name Harb\u043eur Police can look like others: \u043e (U+043E)."
    newer = tmp_path / "newer.dsse"
    newer.write_bytes(signed_bundle(version=4, requesters=(samples.requester(name="Harb\u043eur Police"),)))
    assert said in door("trust", "diff", newer).out
    assert said in door("trust", "bundle", newer, "--yes").out
    assert said in door("trust", "show").out
    assert said in " ".join(door("review", request).out.split())


def test_padding_hides_no_entry_in_the_list_of_the_ledger(asked: tuple[Doorstep, str, tuple[str, ...]]) -> None:
    door, _, _ = asked
    for _ in range(30):
        door.device.write(EntryKind.PADDING, subject="ab" * 32)
    listed = door("ledger").out
    assert ("received" in listed, "padding" in listed) == (True, False)
    assert "padding" in door("ledger", "--all").out


def test_a_name_that_another_root_lists_too_is_told_before_the_yes(
    asked: tuple[Doorstep, str, tuple[str, ...]], tmp_path: Path
) -> None:
    """Names are unique in the list of one root. An owner of two roots read the same name for two requesters."""
    door, request, _ = asked
    said = f"the name Harbour Police, too. This one is listed by the root {samples.ROOT_KEY.id}."
    assert said not in " ".join(door("review", request).out.split())
    other, bundle = private_key_from_seed(b"o" * 32), tmp_path / "other.dsse"
    pair = samples.pair(other)
    listed = samples.bundle(root=pair.id, requesters=(samples.requester(id="harbour", name="HARBOUR police"),))
    bundle.write_bytes(samples.several(listed, other))
    assert door("trust", "add-root", pair.text, "--yes").status == 0
    assert door("trust", "bundle", bundle, "--yes").status == 0
    assert said in " ".join(door("review", request).out.split())


def test_trust_says_how_many_keys_sign_for_a_root_and_when_they_changed(
    asked: tuple[Doorstep, str, tuple[str, ...]],
) -> None:
    door, _, _ = asked
    door.device.heard[samples.ROOT_KEY.id] = samples.package(samples.bundle(version=4))
    assert "    2 of 3 keys sign its lists.\n" in door("trust", "show").out
    rotated = {"roots": (package_vectors.FIRST, package_vectors.SECOND), "root": package_vectors.ROTATED}
    signers = (package_vectors.ONE, package_vectors.NEW)
    changed = samples.package(samples.bundle(version=5), **rotated, signers=signers)
    door.device.heard[samples.ROOT_KEY.id] = changed
    day_of_change = day(package_vectors.ROTATED.issued_s * 1000)
    assert f"    2 of 3 keys sign its lists.  They changed on {day_of_change}.\n" in door("trust", "show").out
    (root,) = json.loads(door("trust", "show", "--json").out)["roots"]
    assert root["signers"] == {"keys": 3, "least": 2, "changed_s": package_vectors.ROTATED.issued_s}


def test_trust_says_that_a_root_has_been_silent(asked: tuple[Doorstep, str, tuple[str, ...]]) -> None:
    door, _, _ = asked
    ended = {"issued_s": 1_700_000_000, "expires_s": 1_700_000_100}
    door.device.heard[samples.ROOT_KEY.id] = samples.package(samples.bundle(version=4), **ended)
    shown = door("trust", "show")
    assert f"The root {samples.ROOT_KEY.id} has been silent since" in shown.out
    assert json.loads(door("trust", "show", "--json").out)["silent_since_s"] == {samples.ROOT_KEY.id: 1_700_000_100}
    assert door("trust", "accept", "--yes").status != 0


def test_with_news_of_two_roots_accept_asks_which(asked: tuple[Doorstep, str, tuple[str, ...]]) -> None:
    door, _, _ = asked
    other = samples.OWNER
    assert door("trust", "add-root", samples.OWNER_ROOT.text, "--yes").status == 0
    root = samples.root_file(root=samples.OWNER_KEY.id)
    listed = samples.bundle(version=1, root=samples.OWNER_KEY.id)
    signed = samples.several(root, other, *samples.ROOT_SIGNERS[:2])
    door.device.heard[samples.OWNER_KEY.id] = samples.package(listed, root=root, roots=(signed,))
    door.device.heard[samples.ROOT_KEY.id] = samples.package(samples.bundle(version=4))
    done = door("trust", "accept", "--yes")
    assert done.status == 2
    assert "Several roots have news" in done.err
    assert door("trust", "accept", samples.OWNER_KEY.id, "--yes").status == 0


def test_the_ledger_reads_from_the_first_entry_on(asked: tuple[Doorstep, str, tuple[str, ...]]) -> None:
    door, _, _ = asked
    done = door("ledger")
    assert "received" in done.out
    size = len(door.device.leaves)
    assert f"\n{size} entries, complete, signed by the device" in done.out
    assert "2 of them are shown. To see all of them: --all" in door("ledger", "--last", "2").out
    assert json.loads(door("ledger", "--all", "--json").out)["size"] == len(door.device.leaves)


def test_footage_opens_from_the_device_by_id_and_by_time(
    asked: tuple[Doorstep, str, tuple[str, ...]], tmp_path: Path
) -> None:
    door, _, segments = asked
    done = door("open", segments[0][:8], "--out", tmp_path / "one", "--json")
    assert done.status == 0, done.err
    (clip,) = json.loads(done.out)["clips"]
    assert probe(Path(clip["video"])).frames == 20
    done = door("open", "--from", "2027-01-01", "--out", tmp_path / "all", "--json")
    assert [each["seconds"] for each in json.loads(done.out)["clips"]] == [4.0, 2.0]
    assert door("open", "zzzz", "--out", tmp_path).status == 2
    assert door("open", "--out", tmp_path).status == 2
    assert len(json.loads(door("open", "--list", "--json").out)["segments"]) == 3


def test_a_copied_disk_opens_with_the_recovery_page_alone(
    asked: tuple[Doorstep, str, tuple[str, ...]], tmp_path: Path, media: list[bytes]
) -> None:
    door, _, _ = asked
    earlier = door.device.copy_to(tmp_path / "earlier")
    door.device.cut_short(media[0] + bytes(200_000), WINDOW_MS + 120_000, 0.8)
    copy = door.device.copy_to(tmp_path / "copy")
    nobody = tmp_path / "nobody"
    arguments = ("--vault", copy, "--identity", door.keys / KIT, "--from", "2027-01-01", "--json")
    done = door.run("owner", "open", *arguments, "--out", tmp_path / "out", "--keys", nobody)
    document = json.loads(done.out)
    assert done.status == 1  # something is missing, and it says what
    assert [each["seconds"] for each in document["clips"]] == [4.0, 2.0, 2.0]
    assert "verified to byte" in document["clips"][2]["notes"][0]
    assert "signatures were not checked" in document["notes"][0]
    signed = ("--out", tmp_path / "out", "--signed-by", door.device.key.text)
    (second_key,) = json.loads(door.run("owner", "open", *arguments, *signed).out)["notes"]
    assert f"the hash {samples.MLDSA_KEY.sha256}." in second_key
    arguments = ("--vault", earlier, *arguments[2:])
    _second_key, newest = json.loads(door.run("owner", "open", *arguments, *signed).out)["notes"]
    assert newest.startswith("2 records signed by Ed25519 only.")


def test_the_drill_opens_the_newest_segment_with_both_keys_and_says_which_does_not(
    asked: tuple[Doorstep, str, tuple[str, ...]], tmp_path: Path
) -> None:
    door, _, _ = asked
    done = door("drill", "--recovery", door.keys / KIT, "--json")
    assert done.status == 0, done.err
    assert [(each["key"], each["opens"]) for each in json.loads(done.out)["keys"]] == [
        ("your key", True),
        ("the recovery key", True),
    ]
    assert door.run("owner", "keygen", "--keys", tmp_path / "other").status == 0
    wrong = door("drill", "--recovery", tmp_path / "other" / KIT)
    assert wrong.status == 1
    assert "the recovery key: DOES NOT OPEN" in wrong.out
    assert "age -d -i" in wrong.out
    assert "was not tested" in door("drill").out


def test_a_device_that_is_away_is_a_matter_of_the_link(tool: Tool, door: Doorstep, tmp_path: Path) -> None:
    done = tool("owner", "status", "--keys", door.keys, "--device", tmp_path / "none.sock")
    assert done.status == 7
    assert "ssh -L" in done.err


def test_without_keys_the_remedy_is_keygen(tool: Tool, door: Doorstep, tmp_path: Path) -> None:
    done = tool("owner", "status", "--keys", tmp_path / "none", "--device", door.socket)
    assert done.status == 2
    assert "doorward owner keygen" in done.err


def test_footage_is_held_released_and_deleted_by_event_or_by_segment(
    asked: tuple[Doorstep, str, tuple[str, ...]],
) -> None:
    door, _, (first, second, third) = asked
    event = door.device.stored[first].signed.record.event
    held = json.loads(door("hold", event[:8], "--days", "30", "--json").out)
    assert held == {"segments": [first, second], "until_s": NOW_MS // 1000 + 30 * 86_400}
    assert "No longer kept: 1 segment." in door("release", second).out
    assert "Deleted: 1 segment." in door("delete", third, "--yes").out
    assert [type(each).__name__ for each in door.device.statements[-3:]] == ["Hold", "Release", "Erasure"]
    assert set(door.device.stored) == {first, second}
    assert door("delete", third, "--yes").status != 0


@pytest.mark.parametrize("command", ["hold", "release", "delete", "open"])
def test_without_an_id_the_command_says_what_it_wants_and_where_to_see_it(
    asked: tuple[Doorstep, str, tuple[str, ...]], command: str
) -> None:
    done = asked[0](command)
    assert "No footage is named." in done.err
    assert "List the footage: doorward owner open --list" in done.err


def test_nothing_is_deleted_before_the_owner_says_yes(
    asked: tuple[Doorstep, str, tuple[str, ...]], monkeypatch: pytest.MonkeyPatch
) -> None:
    door, _, segments = asked
    questions: list[str] = []

    def no(question: str, **_: object) -> None:
        questions.append(question)
        raise click.Abort

    monkeypatch.setattr("click.confirm", no)
    assert door("delete", segments[0]).status != 0
    assert questions == ["Permanently delete 1 segment?"]
    assert segments[0] in door.device.stored


def test_settings_are_set_signed_added_to_and_put_back(door: Doorstep, tmp_path: Path) -> None:
    assert door("enrol", "--yes").status == 0
    assert "No setting is changed" in door("settings").out
    zones = tmp_path / "zones.toml"
    zones.write_text('[[zones]]\nname = "street"\nkind = "privacy"\ncorners = [[0, 0], [1, 0], [1, 0.25]]\n')
    first = door("settings", "--zones", zones, "--sensitivity", "1.5", "--quiet", "22:00-07:00", "--yes", "--json")
    assert json.loads(first.out)["zones"][0]["corners"] == [[0, 0], [10_000, 0], [10_000, 2_500]]
    second = json.loads(door("settings", "--private", "sat,sun@10:00-12:30", "--yes", "--json").out)
    shown = door("settings").out
    assert "quiet                22:00–07:00\n" in shown
    assert "private              sat, sun 10:00–12:30\n" in shown
    assert second["sensitivity_percent"] == 150, "what was set before stays"
    assert second["private"] == [{"days": [5, 6], "begins_minute": 600, "ends_minute": 750}]
    assert "zones" not in json.loads(door("settings", "--reset", "zones", "--yes", "--json").out)
    assert json.loads(door("settings", "--reset", "all", "--yes", "--json").out) == {}


@pytest.mark.parametrize(
    "option",
    [
        ("--quiet", "late"),
        ("--private", "someday@10:00-11:00"),
        ("--private", "sat@10:00-10:00"),
        ("--position", "here"),
        ("--position", "91,5"),
        ("--position", "52,181"),
        ("--quiet", "25:00-1:00"),
    ],
)
def test_a_setting_that_makes_no_sense_is_named_and_nothing_is_signed(door: Doorstep, option: tuple[str, str]) -> None:
    assert door("enrol", "--yes").status == 0
    done = door("settings", *option, "--yes")
    assert done.status == 2
    assert option[1] in done.err
    assert door.device.settings is None


MASK = 'name = "street"\nkind = "privacy"\ncorners = [[0, 0], [1, 0], [1, 0.25]]\n'


def test_zones_are_read_as_the_configuration_writes_them(door: Doorstep, tmp_path: Path) -> None:
    assert door("enrol", "--yes").status == 0
    zones = tmp_path / "zones.toml"
    zones.write_text(f"[[motion.zones]]\n{MASK}", encoding="utf-8-sig")
    told = json.loads(door("settings", "--zones", zones, "--yes", "--json").out)
    assert [(zone["name"], zone["kind"]) for zone in told["zones"]] == [("street", "privacy")]
    zones.write_text("zones = []\n")
    assert json.loads(door("settings", "--zones", zones, "--yes", "--json").out)["zones"] == []


@pytest.mark.parametrize(
    ("text", "place", "remedy"),
    [
        ("", "line 1, motion.zones", "zones = [] for none at all"),
        (f"[[motion.zone]]\n{MASK}", "line 1, motion.zone", "Did you mean 'zones'?"),
        (f"[[zone]]\n{MASK}", "line 1, zone", "Did you mean 'zones'?"),
        ("[motion]\nsensitivity = 2\nzones = []\n", "line 2, motion.sensitivity", "Known here: zones."),
        ("[camera]\nfps = 3\n[motion]\nzones = []\n", "line 1, camera", "Known here: motion, zones."),
        ("zones = []\n[motion]\nzones = []\n", "line 1, zones", "Write all of them there."),
    ],
)
def test_a_file_without_zones_takes_none_away(
    door: Doorstep, tmp_path: Path, text: str, place: str, remedy: str
) -> None:
    assert door("enrol", "--yes").status == 0
    zones = tmp_path / "zones.toml"
    zones.write_text(text)
    done = door("settings", "--zones", zones, "--yes")
    assert done.status == 2
    assert f"{zones}, {place}: " in done.err
    assert remedy in done.err
    assert door.device.settings is None


def test_whoever_is_about_to_lose_a_mask_is_asked_in_these_words(
    door: Doorstep, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert door("enrol", "--yes").status == 0
    questions: list[str] = []
    monkeypatch.setattr("click.confirm", lambda question, **_: questions.append(question))
    zones = tmp_path / "zones.toml"
    zones.write_text(f"[[motion.zones]]\n{MASK}")
    door("settings", "--zones", zones)
    zones.write_text("zones = []")
    door("settings", "--zones", zones, "--name", "Back", "--max-age-days", "7")
    door("settings", "--zones", zones)
    zones.write_text(f"[[motion.zones]]\n{MASK}")
    door("settings", "--zones", zones)
    door("settings", "--reset", "zones", "--reset", "name")
    door("settings", "--name", "Front")
    assert questions == [
        "Set 1 zone (1 privacy mask); all zones and privacy masks of the configuration are removed?",
        "Set max_age_days, name and 0 zones (0 privacy masks); removed: 1 privacy mask, 'street'?",
        "Set 0 zones (0 privacy masks)?",
        "Set 1 zone (1 privacy mask)?",
        "As the configuration says: name and zones; removed: 1 privacy mask, 'street'?",
        "Set name?",
    ]


def test_settings_that_no_owner_signed_are_not_built_upon(door: Doorstep) -> None:
    assert door("enrol", "--yes").status == 0
    assert door("settings", "--sensitivity", "2", "--yes").status == 0
    forged = json.loads(door.device.settings or "")
    forged["signatures"][0]["sig"] = "A" * 86 + "=="
    door.device.settings = json.dumps(forged, separators=(",", ":"))
    assert "no present or former owner signed" in door("settings", "--quiet", "22:00-07:00", "--yes").err


def test_what_an_owner_set_who_has_left_stays_while_another_sets_something_else(door: Doorstep, tmp_path: Path) -> None:
    assert door("enrol", "--yes").status == 0
    assert door("settings", "--sensitivity", "2", "--yes").status == 0
    bob = OwnerKeys.create(tmp_path / "bob", name="bob")
    assert door("enrol", "--add", bob.folder / "owner.json", "--yes").status == 0
    theirs = Doorstep(door.device, bob.folder, door.socket, door.run)
    assert theirs("enrol", "--yes").status == 0
    assert theirs("enrol", "--remove", "anna", "--yes").status == 0
    assert theirs("settings", "--quiet", "22:00-07:00", "--yes").status == 0
    shown = theirs("settings").out
    assert "22:00" in shown
    assert "sensitivity" in shown


def test_the_recovery_page_is_replaced_and_each_page_is_called_by_its_name(door: Doorstep, tmp_path: Path) -> None:
    assert door("enrol", "--yes").status == 0
    old = (door.keys / "recovery-kit.txt").read_text()
    said = door("replace-kit", "--yes")
    assert said.status == 0, said.err
    assert (door.keys / "recovery-kit.txt").read_text() != old
    name = kit_name(door.device.enrolment.recovery)
    assert name in said.out
    assert f"recovery  {name}. It only opens footage." in door("status").out
    typed = tmp_path / "old.txt"
    typed.write_text(old)
    typed.chmod(0o600)
    refused = door("enrol", "--recovery-kit", typed, "--yes")
    assert f"the one of this device is {name}" in refused.err
    bob = OwnerKeys.create(tmp_path / "bob", name="bob")
    assert door("enrol", "--add", bob.folder / "owner.json", "--yes").status == 0
    theirs = Doorstep(door.device, bob.folder, door.socket, door.run)
    assert f"is not this device's, which is {name}" in theirs("enrol", "--yes").out


def test_an_owner_without_keys_comes_back_with_the_page_at_the_command_line(door: Doorstep, tmp_path: Path) -> None:
    assert (
        "Choose whether it may also replace lost keys" in door.run("owner", "keygen", "--keys", tmp_path / "other").out
    )
    assert door("enrol", "--yes").status == 0
    page = tmp_path / "page.txt"
    page.write_text((door.keys / KIT).read_text())
    page.chmod(0o600)
    new = Doorstep(door.device, tmp_path / "new", door.socket, door.run)
    assert "recovery  " in door("status").out
    assert "only opens footage.  To let it replace lost keys" in door("status").out
    refused = new("recover", "--recovery-kit", page, "--yes")
    assert refused.status == 2
    assert "the device does not let it replace keys" in refused.err
    assert not new.keys.exists()
    assert door("enrol", "--kit-decides", "--yes").status == 0
    assert "can replace lost keys (doorward owner recover)" in door("status").out
    done = new("recover", "--recovery-kit", page, "--yes")
    assert done.status == 0, done.err
    assert "doorward owner replace-kit" in done.out
    assert [each.name for each in door.device.enrolment.recipients] == ["anna"]
    assert door.device.enrolment.recipients[0].recipient == OwnerKeys.load(new.keys).card.recipient
    assert new("status").status == 0
    assert json.loads(new("recover", "--recovery-kit", page, "--json", "--yes").out)["epoch"] == 3
    assert new("replace-kit", "--yes").status == 0


def test_recovery_asks_whose_keys_are_lost_where_there_are_several_owners(door: Doorstep, tmp_path: Path) -> None:
    assert door("enrol", "--kit-decides", "--yes").status == 0
    bob = OwnerKeys.create(tmp_path / "bob", name="bob")
    assert door("enrol", "--add", bob.folder / "owner.json", "--yes").status == 0
    assert Doorstep(door.device, bob.folder, door.socket, door.run)("enrol", "--yes").status == 0
    new = Doorstep(door.device, tmp_path / "new", door.socket, door.run)
    page = door.keys / KIT

    def recover(*arguments: object) -> object:
        return new("recover", "--recovery-kit", page, "--yes", *arguments)

    assert "This device has 2 owners: anna, bob." in recover().err
    assert "Its owners: anna, bob." in recover("--replaces", "carol").err
    assert "exclude each other" in recover("--replaces", "bob", "--keep-all").err
    assert "is called 'bob'" in recover("--replaces", "anna", "--name", "bob").err
    assert not new.keys.exists()
    assert recover("--keep-all", "--name", "carol").status == 0
    assert [each.name for each in door.device.enrolment.recipients] == ["anna", "bob", "carol"]


@pytest.mark.parametrize(
    ("language", "said"),
    [
        ("en", "is not the network that finds people and vehicles"),
        ("de", "ist nicht das Netz, das Menschen und Fahrzeuge findet"),
    ],
)
@pytest.mark.parametrize("option", ["--people", "--vehicles"])
def test_another_file_than_the_network_of_objects_is_refused_before_a_clip_is_fetched(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], option: str, language: str, said: str
) -> None:
    other = tmp_path / "other.onnx"
    other.write_bytes(b"another")
    arguments = ["owner", "suggest", "ab", "--out", str(tmp_path / "plan"), option, str(other)]
    assert run(doorward, ["--language", language, *arguments]) == 2
    error = " ".join(capsys.readouterr().err.split())
    assert f"{option}:" in error
    assert said in error
    assert "objects.onnx" in error
