"""From a press of a doorbell to a film on the case page, and to the deletion that its owner's doorbell hears of.

Everything here is real: the agent of the doorbell in its process, mosquitto with certificates, the owner's client, the
desk as `doorward-desk serve` runs it, and Chromium.
"""

from __future__ import annotations

import datetime
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from django.utils import timezone

from agent.clients.owner.decisions import ShareChoice, approve
from agent.clients.owner.ledger_reader import read_ledger
from agent.clients.owner.review import RequestReview
from agent.clients.requester import messages
from agent.clients.requester.identity import Requester
from agent.clients.requester.keys import FileSigner, load_key, make_trust_key
from agent.clients.requester.messages import SignedMessage
from agent.clients.requester.request_builder import RequestDraft
from agent.clients.requester.trust_bundles import make_bundle
from agent.recorder.capture.microphone_file import FileMicrophone
from agent.wire.area import Circle
from agent.wire.fields import Incident, OnwardKind
from agent.wire.identities import PublicKey
from agent.wire.messages import Contact, Onward
from desk.cases.models import Answer, Case, SignedRequest
from desk.custody.models import Entry
from desk.people.organisations import requester_of
from desk.people.roles import Role
from tests.brokers import add_requester
from tests.browser.browser import Browser, require_browser
from tests.contracts.test_microphone import tone, wav
from tests.desk.agencies import Agency
from tests.desk.looking import look
from tests.desk.served import served_desk
from tests.scenarios.street import DOOR, NO_CAMERA, Street, a_street, until

pytestmark = [pytest.mark.broker, pytest.mark.footage, pytest.mark.browser]


@dataclass(frozen=True)
class DeskAsker:
    """The desk's organisation as the street sees it."""

    requester: Requester
    root: PublicKey
    bundle: bytes


@pytest.fixture
def street(tmp_path: Path) -> Iterator[Street]:
    require_browser()
    with a_street(tmp_path) as found:
        yield found


def introduce(street: Street, agency: Agency) -> DeskAsker:
    """Has a root vouch for the organisation, and the broker's operator make its certificate."""
    requester, folder = requester_of(agency.organisation), street.folder / "root"
    root = make_trust_key(folder / "root.key")
    day = datetime.timedelta(days=1)
    listed = folder / "list.toml"
    shutil.copy(requester.folder / "tips.recipient", folder / "tips.recipient")
    listed.write_text(
        f'version = 1\n[[requesters]]\nid = "{requester.id}"\nname = "{agency.organisation.name}"\n'
        f'kind = "{requester.profile.kind.value}"\n'
        "regions = [{ south = 51.9, west = 4.9, north = 52.3, east = 5.3 }]\n"
        f'tips = "tips.recipient"\n[[requesters.keys]]\nkey = "{requester.key.text}"\n'
        f"from = {(street.now - day).date()}\nuntil = {(street.now + 9 * day).date()}\n"
    )
    signer = FileSigner(load_key(folder / "root.key"))
    bundle = make_bundle(listed, signer, issued_s=int(street.now.timestamp()))
    made, tls = add_requester(street.pki, requester.id, street.now), requester.folder / "tls"
    tls.mkdir()
    for source, name in ((made.authority, "authority"), (made.certificate, "certificate"), (made.key, "key")):
        shutil.copy(source, tls / f"{name}.pem")
    return DeskAsker(requester, root, bundle)


def ask(asker: DeskAsker) -> SignedMessage:
    now_s = int(timezone.now().timestamp())
    question = RequestDraft(
        area=Circle(lat=round(DOOR[0] + 0.001, 4), lon=DOOR[1], radius_m=400),
        from_s=now_s - 3600,
        to_s=now_s + 1,
        not_after_s=now_s + 7 * 86_400,
        case="2026-1177",
        incident=Incident.THEFT,
        description="A bicycle was taken.",
        contact=Contact(name="The desk", email="desk@example.org"),
        retention_days=90,
        onward=Onward(to=(OnwardKind.COURT,), basis="Police Act"),
        language="en",
    )
    return messages.make_request(asker.requester, question, now_s=now_s, trust_root=asker.root.id)


def watch(browser: Browser, address: str) -> None:
    """Plays the clip in the case page until a second of it has been shown, and looks at the page."""
    browser.run("await pages.officer.goto(args.address)", address=address)
    browser.run(
        """
        const page = pages.officer;
        await page.getByRole("button", {name: /^Watch Door A/}).first().click();
        await page.waitForFunction(() => document.querySelector(".tiles video").readyState > 2);
        await page.getByRole("button", {name: "Sound of Door A"}).click();
        await page.getByRole("button", {name: "Play", exact: true}).click();
        await page.waitForFunction(() => document.querySelector(".tiles video").currentTime > 1);
        await page.getByRole("button", {name: "Pause", exact: true}).click();
        """
    )
    look(browser, "officer", "real-case")
    shown = browser.run(
        """
        return pages.officer.evaluate(() => {
          const video = document.querySelector(".tiles video");
          return [video.videoWidth, video.videoHeight, video.muted, video.webkitAudioDecodedByteCount > 0];
        })
        """
    )
    assert shown == [768, 576, False, True]
    assert browser.troubles("officer") == []


@pytest.mark.at_length("make test-browser")
def test_an_owner_answers_a_clerk_watches_and_the_deletion_reaches_the_door(
    street: Street, agency: Agency, data: Path, footage: Path, tmp_path: Path
) -> None:
    asker = introduce(street, agency)
    sound = wav(tmp_path / "tone.wav", np.frombuffer(tone(90), "<i2").tobytes())
    street.record(
        footage,
        ring_after_s=10,
        trusting=[asker],  # type: ignore[list-item]
        open_microphone=lambda: FileMicrophone(sound),
        widest_px=1280,
    )
    street.start_agent(street.configuration(NO_CAMERA))
    broker = f'[broker]\nhost = "127.0.0.1"\nport = {street.broker.requester_port}\n'
    request = ask(asker)
    # The audit of what left the door opens it with the reply key, which the desk deletes. So the audit has a copy.
    shutil.copytree(asker.requester.folder, tmp_path / "audited", ignore=shutil.ignore_patterns("connection.lock"))
    audited = DeskAsker(Requester.open(tmp_path / "audited"), asker.root, asker.bundle)
    street.askers[asker.requester.id] = audited  # type: ignore[assignment]

    with served_desk(data, broker) as desk:
        until(lambda: street.state_of(request) == "pending", "the request to match")
        with street.owners_link() as link:
            review = RequestReview.fetch(link, street.owner, request.id)
            chosen = tuple(each.id for each in review.segments[2:5])
            assert approve(link, street.owner, review, ShareChoice(chosen, sound=True)) is not None
        until(lambda: Answer.objects.filter(state="complete").exists(), "the answer")
        until(lambda: street.state_of(request) == "sent", "the receipt")
        assert Case.objects.get().number == "2026-1177"
        (tmp_path / "home").mkdir()
        with Browser(tmp_path / "home", flags=("--autoplay-policy=no-user-gesture-required",)) as browser:
            desk.open(browser, "officer", agency.people[Role.EVIDENCE_OFFICER])
            watch(browser, f"{desk.address}/cases/{Case.objects.get().pk}")
    assert Entry.objects.filter(action="clip.opened").count() == 1

    # The promised days pass while the desk is off. Its next start deletes, and publishes the signed deletion.
    now = timezone.now()
    SignedRequest.objects.update(not_after=now, retention_days=0)
    Answer.objects.update(received_at=now, due_at=now)
    with served_desk(data, broker):
        until(lambda: Answer.objects.get().state == "deleted", "the deletion")
        until(lambda: SignedRequest.objects.get().deletion_published_at is not None, "the publication")
        with street.owners_link() as link:
            until(
                lambda: "deleted" in [entry.kind.value for entry in read_ledger(link, street.owner).entries],
                "the door to hear of the deletion",
            )
    assert not (asker.requester.folder / "disclosures" / Answer.objects.get().disclosure_id).exists()
