"""`doorward requester`: from two new keys to an opened disclosure, over a real broker; and what a person reads else."""

from __future__ import annotations

import datetime
import json
import re
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from agent.clients.broker.broker_pki import BrokerPki
from agent.clients.opening import HybridIdentity
from agent.clients.requester.checks import CheckKind
from agent.clients.requester.identity import Requester, SentRequest
from agent.clients.requester.publisher import LockHolder, connection_lock
from agent.core.bus import BusConnected
from agent.core.media import StreamDescription
from agent.platform.system_clock import SystemClock
from agent.recorder.capture.camera_scripted import ScriptedCamera, Visit
from agent.wire import strictjson
from agent.wire.area import Polygon
from agent.wire.envelope import read_unverified
from agent.wire.messages import Bulletin, FootageRequest, Onward
from agent.wire.topics import cell_filter
from tests.brokers import NOW, BrokerWithClients, add_requester
from tests.cameras import gops_of, play
from tests.clients.requester.doors import Door
from tests.clients.requester.house import Disclosure, House
from tests.clients.requester.test_known_doorbells import owner_of
from tests.clients.requester.test_verification import lay_down
from tests.wire import samples

DESCRIPTION = StreamDescription(160, 96, 10, 160, 96, False)
ASK = (
    "--circle", "52.3702,4.8952,300", "--case", "2027-0114", "--incident", "burglary",
    "--description", "A burglary in the street.", "--contact-name", "Det. Visser", "--contact-phone", "+31 20 1234567",
    "--retention-days", "90", "--onward", "court,defence", "--onward-basis", "Police Act", "--language", "en",
)  # fmt: skip


@pytest.fixture
def made(tool: Callable[..., Any], tmp_path: Path) -> Path:
    """A requester's folder, made with the tool."""
    root = json.loads(tool("requester", "keygen", "--root", "--key", tmp_path / "root.key", "--json").out)
    made = tool(
        "requester", "keygen", "--folder", tmp_path / "police", "--id", "rijnstad-police", "--kind", "police",
        "--trust-root", root["key_id"], "--json",
    )  # fmt: skip
    assert made.status == 0, made.err
    return tmp_path / "police"


def window() -> tuple[str, ...]:
    """The last full hour but one, as the tool takes it."""
    end = datetime.datetime.now(datetime.UTC).replace(microsecond=0) - datetime.timedelta(hours=1)
    return ("--from", (end - datetime.timedelta(hours=1)).isoformat(), "--to", end.isoformat())


def house_of(request: FootageRequest) -> House:
    gops = gops_of(play(ScriptedCamera([Visit(0.2)], duration_s=4, size_px=(160, 96)))[1])
    house = House((request.from_s + 600) * 1000)
    house.record(DESCRIPTION, gops[:2])
    house.record(DESCRIPTION, gops[2:], event=house.stored[0].record.record.event, poster=False)
    return house


def signed_only(tool: Callable[..., Any], folder: Path) -> SentRequest:
    said = tool("requester", "request", "--folder", folder, *window(), *ASK, "--sign-only", "--json")
    assert said.status == 0, said.err
    return Requester.open(folder).sent_request(json.loads(said.out)["request"])


def received(folder: Path, asked: SentRequest, disclosure: Disclosure) -> str:
    lay_down(Requester.open(folder), asked, disclosure)
    return disclosure.id


# -- with a broker -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BrokerWithClients]:
    if shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin") is None:
        pytest.skip("mosquitto is not installed")
    broker = BrokerWithClients(tmp_path_factory.mktemp("broker"))
    broker.broker.start()
    yield broker
    broker.close()


def broker_options(broker: BrokerWithClients) -> tuple[object, ...]:
    settings = broker.settings("rijnstad-police")
    return (
        "--broker", f"{settings.host}:{settings.port}", "--authority", settings.authority,
        "--certificate", settings.certificate, "--tls-key", settings.key,
    )  # fmt: skip


def where(broker: BrokerWithClients) -> str:
    return f"127.0.0.1:{broker.broker.requester_port}"


def until(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline, f"waited in vain for {what}"
        time.sleep(0.02)


class Street:
    """A door in a separate thread that listens and answers with all its footage."""

    def __init__(self, broker: BrokerWithClients, folder: Path) -> None:
        self.requester = Requester.open(folder)
        self.house = House(0)
        self.bus = broker.bus(self.house.device_id)
        self.answered = threading.Event()
        self.stop = threading.Event()
        self.door: Door | None = None
        self.thread = threading.Thread(target=self._run, name="street")

    def listen(self, topic: str) -> None:
        self.bus.start()
        self.bus.subscribe(cell_filter(topic.split("/")[3]))
        self.thread.start()

    def _run(self) -> None:
        while not self.stop.is_set() and self.door is None:
            payload = getattr(self.bus.next_event(0.1), "payload", None)
            if payload:
                self._answer(payload)
        while not self.stop.is_set() and self.door is not None and self.door.finished is None:
            if not self.door.step():
                self.stop.wait(0.02)
        self.answered.set()

    def _answer(self, payload: bytes) -> None:
        request = strictjson.decode(read_unverified(payload).payload, FootageRequest)
        asked = self.requester.sent_request(request.id)
        bus = self.bus
        bus.start = lambda: None  # type: ignore[method-assign]  # it runs already
        self.door = Door(None, self.requester, house_of(request).disclose(asked), SystemClock(), bus=bus)
        self.door.sender.connected(147_456)

    def close(self) -> None:
        self.stop.set()
        self.thread.join()
        self.bus.stop()


def test_a_request_for_a_neighbour_leaves_no_key_to_its_answers_in_the_folder(
    tool: Callable[..., Any], made: Path
) -> None:
    neighbour = HybridIdentity(bytes(range(32)))
    asked = ("requester", "request", "--folder", made, *window(), *ASK, "--sign-only", "--json")
    said = tool(*asked, "--reply", str(neighbour.recipient()))
    request = Requester.open(made).sent_request(json.loads(said.out)["request"])
    assert request.relayed
    assert request.request.reply == str(neighbour.recipient())
    assert not list(made.rglob("reply.identity"))
    for wrong in ("age1pq1" + "q" * 1952, "age1" + "q" * 58, "words"):
        refused = tool(*asked, "--reply", wrong)
        assert refused.status == 2
        assert "--reply" in refused.err


@pytest.mark.broker
def test_from_a_request_to_an_opened_disclosure(
    tool: Callable[..., Any], made: Path, broker: BrokerWithClients, tmp_path: Path
) -> None:
    asked = tool("requester", "request", "--folder", made, *window(), *ASK, *broker_options(broker), "--json")
    assert asked.status == 0, asked.err
    published = json.loads(asked.out)
    street = Street(broker, made)
    street.listen(published["topics"][0])
    try:
        got = tool("requester", "receive", "--folder", made, "--count", "1", *broker_options(broker))
        assert got.status == 0, got.err
        assert street.answered.wait(20), "the door was told that everything is here"
    finally:
        street.close()
    assert f"answers request {published['request']}" in got.out
    assert "is complete and verified" in got.out
    opened = tool("requester", "open", "--folder", made, "--out", tmp_path / "opened", "--json")
    assert opened.status == 0, opened.err
    document = json.loads(opened.out)
    assert document["ok"]
    assert document["request"] == published["request"]
    assert len(document["segments"]) == 2
    assert all(Path(path).is_file() for path in [*document["segments"], document["merged"], document["report"]])


@pytest.mark.broker
def test_a_broker_that_does_not_know_us_ends_in_words(
    tool: Callable[..., Any], made: Path, broker: BrokerWithClients, tmp_path: Path
) -> None:
    ours = broker.settings("rijnstad-police")
    stranger = add_requester(BrokerPki.create(tmp_path / "pki", datetime.datetime.now(datetime.UTC)), ours.name)
    said = tool(
        "requester", "request", "--folder", made, *window(), *ASK, "--timeout", "3",
        "--broker", f"localhost:{broker.broker.requester_port}", "--authority", ours.authority,
        "--certificate", stranger.certificate, "--tls-key", stranger.key,
    )  # fmt: skip
    assert said.status == 7
    assert "Error:" in said.err
    assert "What to do:" in said.err


@pytest.mark.broker
def test_three_requests_made_at_once_are_all_published(
    made: Path, broker: BrokerWithClients, tool: Callable[..., Any]
) -> None:
    with connection_lock(Requester.open(made)):
        pass  # a 'receive' ran here and has ended
    options = [str(word) for word in (*window(), *ASK, *broker_options(broker), "--folder", made, "--json")]
    begun = [
        subprocess.Popen(
            [sys.executable, "-m", "agent.cli", "requester", "request", *options, "--case", f"2027-{number}"],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )
        for number in range(3)
    ]  # fmt: skip
    ended = [(each.communicate(timeout=120), each.returncode) for each in begun]
    assert [(status, said[1]) for said, status in ended if status] == []
    documents = [json.loads(said[0]) for said, _ in ended]
    assert all(document["published"] for document in documents)
    assert len({topic for document in documents for topic in document["topics"]}) == 3


@pytest.mark.broker
def test_a_worker_asks_beside_its_requester_that_receives(
    tool: Callable[..., Any], made: Path, broker: BrokerWithClients, tmp_path: Path
) -> None:
    bus = broker.bus("rijnstad-police")
    bus.start()
    assert isinstance(bus.next_event(30), BusConnected)
    copied = shutil.copytree(made, tmp_path / "desk-2")
    asked = tool("requester", "csr", "--folder", copied, "--worker", "desk-2", "--json")
    document = json.loads(asked.out)
    signed = broker.pki.add_requester(document["name"], NOW, request=Path(document["csr"]).read_bytes())
    named = ("--ca", signed.authority, "--certificate", signed.certificate)
    assert tool("requester", "accept", "--folder", copied, *named).status == 0
    broker.broker.reload()
    until(lambda: "Reloading config" in broker.broker.log(), "the broker to read the worker's rights")
    said = tool("requester", "request", "--folder", copied, *window(), *ASK, "--broker", where(broker), "--json")
    assert said.status == 0, said.err
    assert json.loads(said.out)["topics"][0].split("/")[5] == "rijnstad-police"
    assert bus.next_event(0.5) is None, "the connection of the requester goes on"
    bus.stop()


@pytest.mark.broker
def test_with_a_certificate_of_another_no_request_is_signed(
    tool: Callable[..., Any], made: Path, broker: BrokerWithClients
) -> None:
    other = broker.settings("rijnstad-police-2")
    said = tool(
        "requester", "request", "--folder", made, *window(), *ASK, "--broker", where(broker), "--authority",
        other.authority, "--certificate", other.certificate, "--tls-key", other.key,
    )  # fmt: skip
    assert said.status == 2
    assert "is for 'rijnstad-police-2', and not for rijnstad-police" in said.err
    assert list(Requester.open(made).request_ids()) == []


# -- without one -------------------------------------------------------------------------------------------------------


def test_keygen_prints_what_the_root_needs(tool: Callable[..., Any], tmp_path: Path) -> None:
    said = tool("requester", "keygen", "--folder", tmp_path / "r", "--id", "fire-brigade", "--kind", "fire")
    assert said.status == 0
    assert Requester.open(tmp_path / "r").key.text in said.out
    assert "PRIVATE" not in said.out
    again = tool("requester", "keygen", "--folder", tmp_path / "r", "--id", "fire-brigade", "--kind", "fire")
    assert again.status == 2


def test_a_bundle_is_signed_and_its_version_only_grows(tool: Callable[..., Any], made: Path, tmp_path: Path) -> None:
    listed = tmp_path / "requesters.toml"
    listed.write_text(
        '[[requesters]]\nid = "rijnstad-police"\nname = "Rijnstad Police"\nkind = "police"\n'
        "regions = [{ south = 52.27, west = 4.72, north = 52.44, east = 5.08 }]\n"
        f'[[requesters.keys]]\nkey = "{Requester.open(made).key.text}"\nfrom = 2026-01-01\nuntil = 2030-12-31\n'
    )
    options = ("--root-key", tmp_path / "root.key", "--out", tmp_path / "bundle.dsse")
    missing = tool("requester", "bundle", listed, *options)
    assert missing.status == 2
    assert "version" in missing.err
    listed.write_text("version = 1\n" + listed.read_text())
    assert "vouches for 1" in tool("requester", "bundle", listed, *options).out
    again = tool("requester", "bundle", listed, *options)
    assert again.status == 2
    assert "version = 2" in again.err


def test_the_list_in_the_help_of_bundle_is_one_that_bundle_takes(
    tool: Callable[..., Any], made: Path, tmp_path: Path
) -> None:
    shown = tool("requester", "bundle", "--help").out
    example = shown[shown.index("version = 3") : shown.index("Options:")]
    text = "\n".join(line.strip() for line in example.splitlines()).replace("ed25519:…", Requester.open(made).key.text)
    (tmp_path / "list.toml").write_text(text)
    said = tool(
        "requester", "bundle", tmp_path / "list.toml", "--root-key", tmp_path / "root.key", "--out", tmp_path / "b"
    )
    assert said.status == 0, said.err


def test_a_request_over_a_limit_is_refused_with_what_to_do(tool: Callable[..., Any], made: Path) -> None:
    when = ("--from", "2026-01-01T10:00Z", "--to", "2026-01-01T10:01Z")
    said = tool("requester", "request", "--folder", made, *when, *ASK, "--sign-only")
    assert said.status == 3
    assert "Ask for at least 15 minutes." in said.err


def lines_of(outline: Polygon) -> str:
    return "".join(f"{vertex.lat}, {vertex.lon}\n" for vertex in outline.vertices)


def test_with_the_roots_bundle_a_request_elsewhere_is_refused_before_it_is_signed(
    tool: Callable[..., Any], made: Path, tmp_path: Path
) -> None:
    root = json.loads(tool("requester", "keygen", "--root", "--key", tmp_path / "other.key", "--json").out)
    key = Requester.open(made).key.text
    (tmp_path / "list.toml").write_text(
        'version = 1\n[[requesters]]\nid = "rijnstad-police"\nname = "Rijnstad Police"\nkind = "police"\n'
        "regions = [{ south = 52.27, west = 4.72, north = 52.44, east = 5.08 }]\n"
        f'[[requesters.keys]]\nkey = "{key}"\nfrom = 2020-01-01\nuntil = 2099-01-01\n'
    )
    signed = tool("requester", "bundle", tmp_path / "list.toml", "--root-key", tmp_path / "other.key",
                  "--out", tmp_path / "bundle.dsse")  # fmt: skip
    assert signed.status == 0, signed.err
    asked = ("--folder", made, *window(), *ASK, "--sign-only", "--trust-root", root["key_id"])
    blind = tool("requester", "request", *asked, "--circle", "4.8952,52.3702,300")
    assert (blind.status, "This folder has no bundle of a root" in blind.err) == (0, True)
    taken = tool("requester", "root", root["key"], tmp_path / "bundle.dsse", "--folder", made)
    assert "lists you as Rijnstad Police (police).  You may ask in:" in taken.out, taken.err
    assert "52.27 to 52.44 north, 4.72 to 5.08 east" in taken.out
    swapped = tool("requester", "request", *asked, "--circle", "4.8952,52.3702,300")
    assert swapped.status == 3
    assert "inside if latitude and longitude are exchanged" in swapped.err
    unknown = tool("requester", "request", "--folder", made, *window(), *ASK, "--sign-only")
    assert unknown.status == 3
    assert "has no bundle of the root" in unknown.err
    assert tool("requester", "request", *asked).status == 0
    document = json.loads(
        tool("requester", "root", root["key"], tmp_path / "bundle.dsse", "--folder", made, "--json").out
    )
    assert document["regions"][0]["south"] == 52.27


def test_an_outline_whose_needle_pays_for_nothing_is_refused_before_it_is_signed(
    tool: Callable[..., Any], made: Path, tmp_path: Path
) -> None:
    (tmp_path / "needle.txt").write_text(lines_of(samples.NEEDLE))
    asked = [*ASK[: ASK.index("--circle")], *ASK[ASK.index("--circle") + 2 :]]
    said = tool("requester", "request", "--folder", made, *window(), *asked, "--sign-only", "--polygon",
                tmp_path / "needle.txt")  # fmt: skip
    assert said.status == 3, said.err
    assert "Parts narrower than 120 m do not count." in said.err
    assert not (made / "requests").exists()


def test_whoever_draws_narrow_parts_is_told_how_much_asks_no_door(
    tool: Callable[..., Any], made: Path, tmp_path: Path
) -> None:
    wide = samples.outline(52.0, 5.0, (0, 0), (0, 300), (250, 300), (280, 2000), (290, 300), (300, 300), (300, 0))
    (tmp_path / "spike.txt").write_text(lines_of(wide))
    asked = [*ASK[: ASK.index("--circle")], *ASK[ASK.index("--circle") + 2 :]]
    said = tool("requester", "request", "--folder", made, *window(), *asked, "--sign-only", "--polygon",
                tmp_path / "spike.txt")  # fmt: skip
    assert said.status == 0, said.err
    assert "% of this area is narrower than 120 m and asks no door." in said.err


@pytest.mark.parametrize(
    ("changes", "status", "words"),
    [
        (("--from", "yesterday"), 2, "is not a time"),
        (("--circle", "here"), 2, "is no circle"),
        (("--polygon", "nowhere.geojson"), 2, "one of --circle and --polygon"),
        (("--contact-phone", "ask me"), 3, "contact"),
        (("--to", "2026-01-01T10:00Z"), 3, "Give the earlier time first."),
        (("--description", "see www.evil.example"), 3, "link"),
        (("--trust-root", "nobody"), 3, "trust_root"),
        (("--onward", "press"), 2, "does not say to whom you pass footage on"),
        (("--onward-basis", "see law.example"), 2, "onward.basis"),
        (("--language", "English"), 3, "a language like en, nl-BE"),
        (("--retention-days", "3654"), 2, "--retention-days"),
        (("--folder", "elsewhere"), 2, "keygen"),
    ],
)
def test_a_mistake_in_a_request_is_named(
    changes: tuple[str, ...], status: int, words: str, tool: Callable[..., Any], made: Path
) -> None:
    said = tool("requester", "request", "--folder", made, *window(), *ASK, "--sign-only", *changes)
    assert said.status == status, said.err
    assert words in said.err


PROMISES = ASK[ASK.index("--retention-days") :]


@pytest.mark.parametrize(
    ("missing", "words"),
    [
        ("--retention-days", "how long you keep it"),
        ("--onward", "--onward-basis needs --onward"),
        ("--language", "the language of your words"),
    ],
)
def test_no_promise_to_owners_is_made_by_silence(
    missing: str, words: str, tool: Callable[..., Any], made: Path
) -> None:
    at = ASK.index(missing)
    said = tool("requester", "request", "--folder", made, *window(), *ASK[:at], *ASK[at + 2 :], "--sign-only")
    assert said.status == 2
    assert words in said.err
    assert not (made / "requests").exists()


def test_keygen_keeps_promises_for_all_requests_and_a_request_may_make_others(
    tool: Callable[..., Any], tmp_path: Path
) -> None:
    folder = tmp_path / "fire"
    made = tool(
        "requester", "keygen", "--folder", folder, "--id", "fire-brigade", "--kind", "fire", "--trust-root", "0" * 16,
        "--retention-days", "30", "--onward", "none", "--language", "nl",
    )  # fmt: skip
    assert made.status == 0, made.err
    brief = (*window(), *ASK[: ASK.index("--retention-days")], "--sign-only", "--json", "--folder", folder)
    usual, other = (
        Requester.open(folder).sent_request(json.loads(tool("requester", "request", *brief, *more).out)["request"])
        for more in ((), PROMISES)
    )
    assert (usual.request.retention_days, usual.request.onward, usual.request.language) == (30, Onward(to=()), "nl")
    assert (other.request.retention_days, other.request.onward.basis) == (90, "Police Act")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("request", *window(), *ASK, "--sign-only", "--contact-email", "not-an-address"),
         "contact.email: it must be an e-mail address like name@example.org."),
        (("keygen", "--id", "Police.NL", "--kind", "police"), "id: it must be 1 to 32 of a-z, 0-9 and -."),
    ],
)  # fmt: skip
def test_a_word_of_the_wrong_form_is_told_in_plain_words_with_a_remedy(
    tool: Callable[..., Any], made: Path, tmp_path: Path, arguments: tuple[str, ...], words: str
) -> None:
    folder = made if arguments[0] == "request" else tmp_path / "new"
    done = tool("requester", *arguments, "--folder", folder)
    assert words in done.err
    assert "What to do: " in done.err
    assert not any(mark in done.err for mark in ("$", "regex", "Expected"))


def test_a_request_is_named_by_the_beginning_of_its_id(tool: Callable[..., Any], made: Path) -> None:
    assert "has sent no request yet" in tool("requester", "withdraw", "8f07", "--folder", made).err
    asked = signed_only(tool, made)
    for command in ("withdraw", "deleted"):
        done = tool("requester", command, "x", "--folder", made)
        assert (done.status, asked.request.id in done.err) == (2, True)
    with connection_lock(Requester.open(made)):  # a running 'receive' publishes it
        done = tool("requester", "deleted", asked.request.id[:8], "--yes", "--folder", made, "--timeout", "1")
    assert "There is no request" not in done.err
    assert (made / "requests" / asked.request.id / "deletion.dsse").exists()


def test_before_anything_has_come_nothing_is_there_to_be_named(tool: Callable[..., Any], made: Path) -> None:
    for command in ("open", "verify"):
        done = tool("requester", command, "--folder", made)
        assert (
            "Error: No disclosure has arrived yet.\n  What to do: Receive it first: doorward requester receive\n"
            in done.err
        )


@pytest.fixture
def nowhere(tmp_path: Path) -> tuple[object, ...]:
    """A broker that is missing, and certificates for it that are right."""
    pki = BrokerPki.create(tmp_path / "pki", datetime.datetime.now(datetime.UTC))
    files = add_requester(pki, "rijnstad-police", datetime.datetime.now(datetime.UTC))
    tls = ("--authority", files.authority, "--certificate", files.certificate, "--tls-key", files.key)
    return ("--broker", "127.0.0.1:1", *tls)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (("--broker", ""), "No broker is named"),
        (("--broker", "nonsense"), "'nonsense' is not a broker's address"),
        (("--broker", "127.0.0.1:99999"), "is not a broker's address"),
        (("--broker", "a b:8884"), "is not a broker's address"),
        (("--authority", "nowhere.pem"), "nowhere.pem cannot be read"),
        (("--certificate", __file__), "is not a certificate in PEM"),
        (("--certificate", "nowhere.pem"), "There is no certificate nowhere.pem"),
        (("--tls-key", "nowhere.key"), "cannot be used"),
    ],
)
def test_a_broker_that_cannot_be_is_told_before_anything_is_signed(
    tool: Callable[..., Any], made: Path, nowhere: tuple[object, ...], change: tuple[str, str], words: str
) -> None:
    said = tool("requester", "request", "--folder", made, *window(), *ASK, *nowhere, *change)
    assert (said.status, words in said.err) == (2, True), said.err
    assert list(Requester.open(made).request_ids()) == []
    assert Requester.open(made).next_number() == 1, "no number was used up"


def test_a_request_that_no_broker_took_is_said_to_be_kept_and_not_to_be_asked_again(
    tool: Callable[..., Any], made: Path, nowhere: tuple[object, ...]
) -> None:
    said = tool("requester", "request", "--folder", made, *window(), *ASK, *nowhere, "--timeout", "1")
    (kept,) = Requester.open(made).request_ids()
    assert said.status == 7
    assert f"No program listens at 127.0.0.1:1. {kept} is signed and kept, but not published yet." in said.err
    assert "'doorward requester receive' publishes it. Do not sign it again." in said.err


def test_while_receive_runs_a_request_is_left_to_it(tool: Callable[..., Any], made: Path) -> None:
    with connection_lock(Requester.open(made)):
        said = tool("requester", "request", "--folder", made, *window(), *ASK, "--timeout", "1")
    assert said.status == 7
    assert "It publishes it once it is connected" in said.err
    assert next(iter(Requester.open(made).request_ids())) in said.err


def test_deletion_is_stated_only_once_nothing_is_left(tool: Callable[..., Any], made: Path) -> None:
    asked = signed_only(tool, made)
    disclosure = received(made, asked, house_of(asked.request).disclose(asked))
    opened = tool("requester", "open", "--folder", made)
    assert opened.status == 0
    [by_hand] = re.findall(r"to check it without this program: (.+)", opened.out)
    assert "openssl" in Path(by_hand).read_text()
    held = tool("requester", "deleted", "--folder", made, asked.request.id, "--yes")
    assert held.status == 2
    assert "still holds 1 disclosure of this request" in held.err
    with connection_lock(Requester.open(made)):  # a running 'receive' publishes it
        said = tool("requester", "deleted", "--folder", made, asked.request.id, "--yes", "--remove", "--timeout", "1")
    assert said.status == 7
    assert not (made / "disclosures" / disclosure).exists()
    assert not (made / "opened" / disclosure).exists()
    assert Requester.open(made).sent_request(asked.request.id).withdrawn


@pytest.mark.broker
def test_requests_and_receive_at_once_take_their_turns(
    tool: Callable[..., Any], made: Path, broker: BrokerWithClients
) -> None:
    """One request waits for another one that is on its way, and does what a 'receive' that has just ended left."""
    here = ("--folder", made, *broker_options(broker))
    for holder in (LockHolder.ERRAND, LockHolder.SERVICE):
        held, waiting = threading.Event(), threading.Event()

        def other(holder: LockHolder = holder, held: threading.Event = held, go: threading.Event = waiting) -> None:
            with connection_lock(Requester.open(made), holder):
                held.set()
                go.wait(60)

        thread = threading.Thread(target=other, name="other")
        thread.start()
        assert held.wait(60)
        threading.Timer(0.5, waiting.set).start()
        said = tool("requester", "request", *here, *window(), *ASK, "--case", f"2027-{holder.name}", "--json")
        thread.join()
        assert said.status == 0, said.err
        assert json.loads(said.out)["published"]


@pytest.mark.broker
def test_a_bulletin_is_posted_where_doors_look(tool: Callable[..., Any], made: Path, broker: BrokerWithClients) -> None:
    said = tool(
        "requester", "bulletin", "--folder", made, "--title", "Flood", "--description", "Stay off the quay.",
        "--language", "nl", "--around", "53.55,9.99,5",
        *broker_options(broker), "--json",
    )  # fmt: skip
    assert said.status == 0, said.err
    assert {topic.split("/")[3] for topic in json.loads(said.out)["topics"]} == {"287-379", "287-380"}
    assert json.loads(said.out)["published"]
    (written,) = (made / "bulletins").glob("*/bulletin.dsse")
    assert strictjson.decode(read_unverified(written.read_bytes()).payload, Bulletin).language == "nl"


def test_verify_says_each_check_and_exits_by_the_verdict(tool: Callable[..., Any], made: Path) -> None:
    asked = signed_only(tool, made)
    disclosure = house_of(asked.request).disclose(asked)
    received(made, asked, disclosure)
    said = tool("requester", "verify", "--folder", made)
    assert said.status == 0
    assert said.out.count("✓") == len(CheckKind)
    assert "Every check holds." in said.out
    assert "asked     rijnstad-police (police), case 2027-0114" in said.out
    assert "shared    2 segments of video in 1 clip; 1 poster" in said.out
    assert "the rest  not disclosed" in said.out
    assert "receipt   none is kept here" in said.out
    assert "Not proven: the address and person behind the door" in said.out
    part = made / "disclosures" / disclosure.id / "2.age"
    part.write_bytes(part.read_bytes()[:-1])
    spoiled = tool("requester", "verify", "--folder", made, disclosure.id[:6], "--json")
    assert spoiled.status == 1
    document = json.loads(spoiled.out)
    assert (document["ok"], document["failed"]) == (False, "parts")
    opened = tool("requester", "open", "--folder", made, disclosure.id)
    assert opened.status == 1
    assert "Do not rely on it." in opened.out
    assert "report.html" in opened.out


def test_with_several_disclosures_one_is_named_by_the_beginning_of_its_id(tool: Callable[..., Any], made: Path) -> None:
    assert tool("requester", "verify", "--folder", made).status == 2
    asked = signed_only(tool, made)
    house = house_of(asked.request)
    first, second = (received(made, asked, house.disclose(asked)) for _ in range(2))
    said = tool("requester", "verify", "--folder", made)
    assert said.status == 2
    assert first in said.err
    assert second in said.err
    assert tool("requester", "verify", "--folder", made, first[:8]).status == 0
    assert tool("requester", "verify", "--folder", made, "zz").status == 2


def test_doorbells_that_answered_are_listed_declared_stolen_and_forgotten(
    tool: Callable[..., Any], made: Path, tmp_path: Path
) -> None:
    assert "No doorbell has answered" in tool("requester", "doors", "--folder", made).out
    asked = signed_only(tool, made)
    house = house_of(asked.request)
    mira = owner_of(house, tmp_path / "mira")
    notice = tmp_path / "stolen.json"
    said = tool("owner", "stolen", house.device_id[:6], "--keys", mira.folder, "--out", notice, "--yes")
    assert "stolen, signed with your key" in said.out, said.err
    taken = tool("requester", "stolen", notice, "--folder", made)
    assert "mira, an owner of the doorbell" in taken.out, taken.err
    assert "has not answered here yet" in taken.out
    listed = json.loads(tool("requester", "doors", "--folder", made, "--json").out)["doors"]
    assert [(each["device_id"], each["owners"]) for each in listed] == [(house.device_id, ["mira"])]
    assert "stolen as of" in tool("requester", "doors", "--folder", made).out
    assert "is forgotten" in tool("requester", "doors", "--folder", made, "--forget", house.device_id).out
    assert json.loads(tool("requester", "doors", "--folder", made, "--json").out)["doors"] == []
    notice.write_text("{}")
    wrong = tool("requester", "stolen", notice, "--folder", made)
    assert wrong.status != 0
    assert "Ask the owner for the file again" in wrong.err


def test_every_command_has_help(tool: Callable[..., Any]) -> None:
    for command in ("keygen", "bundle", "request", "withdraw", "receive", "verify", "open"):
        said = tool("requester", command, "--help")
        assert said.status == 0
        assert len(said.out.splitlines()) > 5
