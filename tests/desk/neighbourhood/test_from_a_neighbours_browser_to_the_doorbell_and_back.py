"""A neighbour asks in a browser, two moderators agree, an owner shares, and only that browser opens the clip.

Everything here is real: the agent of the doorbell in its process, mosquitto with certificates, the owner's client, the
desk as `doorward-desk serve` runs it, and Chromium.
"""

from __future__ import annotations

import datetime
import shutil
from pathlib import Path
from typing import Any

import pytest

from agent.clients.opening import HybridIdentity
from agent.clients.owner.decisions import ShareChoice, approve
from agent.clients.owner.review import RequestReview
from agent.clients.requester import messages
from agent.clients.requester.identity import Requester
from agent.platform import files
from agent.wire import strictjson
from desk.cases.models import Answer
from desk.neighbourhood.models import Submission
from desk.people.models import Membership
from desk.people.organisations import import_bundle, requester_of
from desk.people.roles import Role
from tests.browser.browser import Browser
from tests.desk.agencies import Agency, browser, make_agency, make_person
from tests.desk.receiving.test_from_the_doorbell_to_the_case_page import DeskAsker, introduce, street
from tests.desk.served import served_desk
from tests.scenarios.street import DOOR, NO_CAMERA, Street, until

__all__ = ["street"]

pytestmark = [pytest.mark.broker, pytest.mark.footage, pytest.mark.browser]

CONTACT = {"contact_name": "Kerkstraat neighbours", "contact_email": "moderators@kerkstraat.example"}
ASK = """
const page = pages.neighbour;
await page.goto(`${args.desk}/neighbours/kerkstraat`);
await page.getByRole("link", {name: "Ask doorbells for footage"}).click();
await page.getByLabel("Words to the owners").fill("A parcel is gone. Did your camera see who took it?");
await page.getByLabel("Where? Latitude, longitude").fill(args.place);
await page.getByLabel("Radius in metres").selectOption("400");
await page.locator("#from").fill(args.from);
await page.locator("#to").fill(args.to);
await page.getByRole("button", {name: "Send to the moderators"}).click();
await page.getByText("waits for a moderator").waitFor({timeout: 60000});
return [page.url(), await axe(page)];
"""
OPEN = """
const page = pages.neighbour;
await page.getByRole("button", {name: "Look again"}).click();
await page.getByText("Checked in your browser").waitFor();
await page.getByRole("button", {name: /^Open: Film/}).first().click();
await page.waitForFunction(() => document.querySelector("video")?.readyState > 2);
await page.evaluate(() => document.querySelector("video").play());
await page.waitForFunction(() => document.querySelector("video").currentTime > 0.5);
return [await page.evaluate(() => document.querySelector("video").videoWidth), await axe(page)];
"""


def neighbourhood(street: Street) -> tuple[Agency, DeskAsker]:
    made = make_agency("kerkstraat", "Kerkstraat neighbours", kind="neighbour")
    asker = introduce(street, made)
    import_bundle(made.organisation, made.people[Role.ADMIN], asker.root.text, asker.bundle)
    person = make_person("second@kerkstraat.example")
    Membership.objects.create(organisation=made.organisation, person=person, role=Role.MODERATOR)
    return made, asker


@pytest.mark.at_length("make test-browser")
def test_a_neighbour_asks_and_opens_the_clip_that_no_moderator_can_open(
    street: Street, data: Path, footage: Path, tmp_path: Path
) -> None:
    agency, asker = neighbourhood(street)
    street.record(footage, ring_after_s=10, trusting=[asker])  # type: ignore[list-item]
    street.start_agent(street.configuration(NO_CAMERA))
    more = f'[broker]\nhost = "127.0.0.1"\nport = {street.broker.requester_port}\n[public]\nneighbours = true\n'
    (tmp_path / "home").mkdir()
    with (
        served_desk(data, more) as desk,
        Browser(tmp_path / "home", flags=("--autoplay-policy=no-user-gesture-required",)) as chromium,
    ):
        chromium.open("neighbour", locale="en-GB", timezoneId="UTC")
        address, faults = chromium.run(ASK, desk=desk.address, **asked())
        assert faults == []
        row = Submission.objects.get()
        accept(agency, row)
        request = messages.signed(requester_of(agency.organisation), Submission.objects.get().message_id)
        audit_with(street, asker, request.id, address, tmp_path)
        until(lambda: street.state_of(request) == "pending", "the request to match")
        with street.owners_link() as link:
            review = RequestReview.fetch(link, street.owner, request.id)
            assert review.request.kind.value == "neighbour"
            chosen = tuple(each.id for each in review.segments[2:4])
            assert approve(link, street.owner, review, ShareChoice(chosen)) is not None
        until(lambda: Answer.objects.filter(state="complete").exists(), "the answer")
        until(lambda: street.state_of(request) == "sent", "the receipt")
        width, faults = chromium.run(OPEN)
        assert width > 0
        assert faults == []
        assert chromium.troubles("neighbour") == []
    keys = [path.name for path in data.rglob("*") if path.is_file() and b"AGE-SECRET-KEY" in path.read_bytes()]
    assert keys == ["tips.identity"], "the desk has no key to the answer"


def asked() -> dict[str, str]:
    now = datetime.datetime.now(datetime.UTC).replace(microsecond=0)
    since = now - datetime.timedelta(minutes=30)
    place = f"{DOOR[0] + 0.001:.4f}, {DOOR[1]}"
    return {"from": f"{since:%Y-%m-%dT%H:%M:%S}", "to": f"{now:%Y-%m-%dT%H:%M:%S}", "place": place}


def accept(agency: Agency, row: Submission) -> None:
    second = browser()
    person = Membership.objects.exclude(person=agency.people[Role.MODERATOR]).get(
        organisation=agency.organisation, role=Role.MODERATOR
    )
    second.force_login(person.person, backend="allauth.account.auth_backends.AuthenticationBackend")
    for moderator in (agency.client(Role.MODERATOR), second):
        assert moderator.post(f"/moderation/{row.pk}/accept", CONTACT).status_code == 302


def audit_with(street: Street, asker: DeskAsker, request: str, address: str, folder: Path) -> None:
    """Gives the audit of what left the door the key in the neighbour's address, because the desk has none."""
    copied: Any = folder / "audited"
    shutil.copytree(asker.requester.folder, copied, ignore=shutil.ignore_patterns("connection.lock"))
    seed = strictjson.decode_base64(address.partition("#")[2].replace("-", "+").replace("_", "/") + "=")
    secret = HybridIdentity(seed).secret_text()
    files.write(copied / "requests" / request / "reply.identity", f"{secret}\n".encode("ascii"), secret=True)
    audited = DeskAsker(Requester.open(copied), asker.root, asker.bundle)
    street.askers[asker.requester.id] = audited  # type: ignore[assignment]
