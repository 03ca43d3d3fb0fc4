"""The main job with each role a separate process, as an installation runs it, and each killed on the way.

The sandboxes around them are tests/install's business; here it is shown that nothing needs to be in one process.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from agent.clients.owner.decisions import approve
from agent.clients.owner.device_settings import change_settings
from agent.clients.owner.holds import erase, hold
from agent.clients.owner.live_stream import watch
from agent.clients.owner.review import RequestReview
from agent.clients.requester.opened_disclosure import open_disclosure
from agent.clients.requester.receiving_service import ReceiverEvent
from agent.ipc.control_operations import (
    GetKept,
    GetPageAuthority,
    GetStatus,
    KeptAnswer,
    ListSegments,
    MakePageCode,
)
from agent.wire.fields import Kind, ZoneKind
from agent.wire.statements import PrivateHoursSetting, ZoneSetting
from tests.custodian.page.door import Client
from tests.lengths import LONG
from tests.ports import free_port
from tests.scenarios.street import Asker, Street, a_street, until
from tests.scenarios.walks import WALKS, PageLink, Tracer

pytestmark = [pytest.mark.broker]

SCRIPTED = 'kind = "scripted"\nsize = [320, 240]\nfps = 10'
PAGE = '[page]\nhost = "127.0.0.1"\nport = {port}\naddresses = ["127.0.0.1"]\nmdns = false\n'
ROLES = ("recorder", "uplink", "custodian")
"""In the order in which systemd stops them: the recorder has its last segment signed."""


def catches(process: int, what: signal.Signals) -> bool:
    """proc(5): SigCgt is a mask of the signals that a process has a handler for."""
    (line,) = re.findall(r"^SigCgt:\s*([0-9a-f]+)$", Path(f"/proc/{process}/status").read_text(), re.MULTILINE)
    return bool(int(line, 16) >> (what - 1) & 1)


class Apart:
    """The three processes of one door."""

    def __init__(self, street: Street, folder: Path, camera: str = SCRIPTED) -> None:
        self._street = street
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self.tracer = Tracer(folder / "walks", lambda: {role: each.pid for role, each in self.processes.items()})
        self._runtime = folder / "run"
        for role in ("recorder", "uplink"):
            (self._runtime / role).mkdir(parents=True)
        self._log = folder / "roles.log"
        self._configuration = street.configuration(camera)
        text = self._configuration.read_text()
        self.page_port = free_port()
        page = PAGE.format(port=self.page_port)
        self._configuration.write_text(text.replace("[clips]\n", "[clips]\nsegment_s = 2.0\n") + page)

    @classmethod
    @contextmanager
    def of(cls, street: Street, folder: Path) -> Iterator[Apart]:
        made = cls(street, folder)
        try:
            yield made
        finally:
            for role in list(made.processes):
                made.end(role, signal.SIGKILL)

    def start(self, role: str) -> None:
        words = ["run", "--role", role, "--runtime-dir", str(self._runtime), "--config", str(self._configuration)]
        words += ["--outbox", str(self._street.state_dir / "outbox")]
        with self._log.open("ab") as log:
            self.processes[role] = subprocess.Popen(
                [sys.executable, "-m", "agent.cli", *words],
                env={**os.environ, **self.tracer.environment},
                stdout=log,
                stderr=log,
            )

    def end(self, role: str, how: signal.Signals) -> int:
        """SIGTERM waits until the role listens for it; before that, with nothing to finish, it ends as any process."""
        process = self.processes.pop(role)
        if how is signal.SIGTERM:
            until(lambda: process.poll() is not None or catches(process.pid, how), f"{role} to listen for its end")
        process.send_signal(how)
        return process.wait(timeout=30)

    def status(self) -> dict[str, object]:
        with self._street.owners_link() as link:
            return link.document(GetStatus())

    def log(self) -> str:
        return self._log.read_text()


@pytest.fixture
def street(tmp_path: Path) -> Iterator[Street]:
    for folder in ("custodian", "recorder"):
        (tmp_path / "device" / folder).mkdir(parents=True, mode=0o700)
    with a_street(tmp_path) as found:
        yield found


@pytest.fixture
def apart(street: Street, tmp_path: Path) -> Iterator[Apart]:
    with Apart.of(street, tmp_path) as made:
        yield made


@contextmanager
def page_link(street: Street, apart: Apart) -> Iterator[PageLink]:
    """The owner's browser, let in and proven."""
    with street.owners_link() as link:
        _, authority = link.fetch(GetPageAuthority())
        code = link.ask(MakePageCode()).code
    client = Client(apart.page_port, authority, lambda: code)
    client.host = f"127.0.0.1:{apart.page_port}"
    client.keeps_connection = True

    @contextmanager
    def until_built() -> Iterator[None]:
        with apart.tracer.window("approval"):
            yield
            until(lambda: any((street.state_dir / "outbox").iterdir()), "the outbox object")

    try:
        yield PageLink(client, client.owner(street.owner), until_built)
    finally:
        client.drop_connection()


def the_main_job(street: Street, apart: Apart) -> None:
    """Records, is asked, is told "yes" through the page, and uploads, while each process is killed once."""
    police = Asker(street, "rijnstad-police", Kind.POLICE)
    apart.start("recorder")  # in the wrong order: each waits for what it needs
    apart.start("uplink")
    apart.start("custodian")
    until(street._answers, "the custodian to answer")
    street.enrol_and_trust(police)
    until(lambda: apart.status()["vault"]["segments"] >= 1, "a sealed segment")  # type: ignore[index]
    with apart.tracer.window("frame"):
        begun = apart.status()["vault"]["segments"]  # type: ignore[index]
        until(lambda: apart.status()["vault"]["segments"] >= begun + 2, "a frame to be in a segment")  # type: ignore[index]
    with street.owners_link() as link:
        assert next(gops for gops in watch(link, street.owner) if gops), "live view, from role to role"

    # The custodian dies while the recorder needs a signature; not a segment is lost, and the recorder stays.
    apart.end("custodian", signal.SIGKILL)
    apart.start("custodian")
    until(street._answers, "the custodian to answer again")
    before = apart.status()["vault"]["segments"]  # type: ignore[index]
    until(lambda: apart.status()["vault"]["segments"] > before, "recording to go on")  # type: ignore[index]
    assert apart.processes["recorder"].poll() is None
    until(lambda: apart.status()["link"]["link"] == "connected", "the uplink's report")  # type: ignore[index]

    apart.end("recorder", signal.SIGKILL)
    with apart.tracer.window("request"):
        request = police.ask("2026-7")
        until(lambda: street.state_of(request) == "pending", "the request to match")
    apart.end("uplink", signal.SIGKILL)
    connections = street.connections()
    apart.start("uplink")
    until(lambda: street.connections() > connections, "the uplink to connect again")
    with page_link(street, apart) as page:
        review = RequestReview.fetch(page, street.owner, request.id)
        chosen = [each.id for each in review.segments[:2]]
        disclosure = approve(page, street.owner, review, chosen)
    news: list[ReceiverEvent] = []
    with apart.tracer.window("upload"), police.receiving(news):
        until(lambda: street.state_of(request) == "sent", "the requester's receipt")
    assert disclosure is not None
    opened = open_disclosure(police.requester, disclosure, now_s=request.not_after_s)
    assert opened.verification.ok
    assert [each.item.part.id for each in opened.verification.segments] == chosen
    apart.start("recorder")
    # A role that still starts would end with an error: it never began.
    recorded = apart.status()["vault"]["segments"]  # type: ignore[index]
    until(lambda: apart.status()["vault"]["segments"] > recorded, "the recorder to record again")  # type: ignore[index]
    assert [apart.end(role, signal.SIGTERM) for role in ROLES] == [0, 0, 0]


def test_the_main_job_across_three_processes_each_killed_once(street: Street, apart: Apart) -> None:
    the_main_job(street, apart)
    if apart.tracer.works:
        assert [place for each in WALKS for place in apart.tracer.not_executed(each)] == []
        assert [walk.title for walk in WALKS if len(apart.tracer.files_of(walk)) > walk.at_most] == []


def test_a_role_that_has_no_custodian_can_still_be_stopped(apart: Apart) -> None:
    apart.start("uplink")
    apart.start("recorder")
    assert [apart.end(role, signal.SIGTERM) for role in ("uplink", "recorder")] == [7, 7]


@LONG
def test_what_an_owner_keeps_deletes_and_sets_reaches_the_role_that_does_it(street: Street, apart: Apart) -> None:
    police = Asker(street, "rijnstad-police", Kind.POLICE)
    for role in ("custodian", "recorder"):
        apart.start(role)
    until(street._answers, "the custodian to answer")
    street.enrol_and_trust(police)
    until(lambda: apart.status()["vault"]["segments"] >= 3, "three sealed segments")  # type: ignore[index]
    with street.owners_link() as link:
        first, second = [item.id for item in link.ask(ListSegments(0, 2**50)).segments][:2]
        hold(link, street.owner, [first], int(time.time()) + 86_400)
        erase(link, street.owner, [first, second])
    files = street.state_dir / "vault" / "segments"
    until(lambda: not [path for path in files.rglob("*") if path.name.startswith((first, second))], "the files to go")
    with street.owners_link() as link:
        until(lambda: link.ask(GetKept()) == KeptAnswer(held={}, being_deleted=()), "the custodian to see it")

    def recorder() -> str:
        return str(apart.status()["recorder"]["state"])  # type: ignore[index]

    days, noon = tuple(range(7)), 720
    always = tuple(
        PrivateHoursSetting(days=days, begins_minute=begins, ends_minute=noon - begins) for begins in (0, noon)
    )
    with street.owners_link() as link:
        change_settings(link, street.owner, {"private": always, "max_age_days": 7})
    until(lambda: recorder() == "privacy", "the private hour to close the camera")
    # A recorder that starts again asks before it opens its camera.
    apart.end("recorder", signal.SIGKILL)
    apart.start("recorder")
    until(lambda: recorder() == "privacy", "the new recorder to know")
    mask = ZoneSetting(name="street", kind=ZoneKind.PRIVACY, corners=((0, 0), (10_000, 0), (10_000, 2_000)))
    with street.owners_link() as link:
        change_settings(link, street.owner, {"private": None, "zones": (mask,)})
    until(lambda: recorder() in ("recording", "watching"), "the camera to open again")
    assert apart.log().count("zones_changed") == 1
