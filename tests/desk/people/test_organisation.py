"""Setting up an organisation: keys, trust root, certificate for the broker, and the words about what is missing."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import override_settings

from agent.clients.broker.broker_pki import BrokerPki
from agent.clients.requester.keys import FileSigner, load_key, make_trust_key, trust_key_of
from agent.clients.requester.roots import KnownRoots
from agent.clients.requester.trust_bundles import make_bundle, make_directory
from agent.errors import ConfigurationError
from desk.config import Broker, DeskConfig
from desk.custody.models import Entry
from desk.people import organisations, readiness
from desk.people.forms import OrganisationForm
from desk.people.models import Membership
from desk.people.roles import Role
from desk.receiving.broker_connection import open_bus
from desk.reminders.due import due_reminders
from tests.desk.agencies import Agency

NOW = datetime.now(UTC)
LIST = """
version = 1
[[requesters]]
id = "{id}"
name = "Rijnstad Police"
kind = "police"
regions = [{{ south = 52.27, west = 4.72, north = 52.44, east = 5.08 }}]
[[requesters.keys]]
key = "{key}"
from = 2020-01-01
until = 2199-12-31
"""


def bundle_for(agency: Agency, folder: Path, key: str = "") -> tuple[str, bytes]:
    """A root that vouches for the agency: its public key and its bundle."""
    root = make_trust_key(folder / "root.key")
    requester = organisations.requester_of(agency.organisation)
    listed = folder / "list.toml"
    listed.write_text(LIST.format(id=requester.id, key=key or requester.key.text))
    return root.text, make_bundle(listed, FileSigner(load_key(folder / "root.key")), issued_s=int(NOW.timestamp()))


def steps_of(agency: Agency) -> dict[str, bool]:
    agency.organisation.refresh_from_db()
    return {step.name: step.done for step in readiness.steps(agency.organisation)}


@pytest.fixture
def broker() -> Iterator[None]:
    with override_settings(DESK=DeskConfig(broker=Broker(host="broker.example.org", worker="desk"))):
        yield


def upload(agency: Agency, path: str, files: dict[str, bytes], **more: str) -> Any:
    sent: dict[str, Any] = {name: SimpleUploadedFile(name, data) for name, data in files.items()}
    return agency.client(Role.ADMIN).post(path, sent | more)


def test_the_page_says_what_a_new_organisation_needs(agency: Agency) -> None:
    page = agency.client(Role.ADMIN).get("/organisation").content.decode()
    assert steps_of(agency) == {
        "Signing key": True,
        "Trust root": False,
        "Broker": False,
        "Certificate for the broker": False,
        "A person who asks": True,
        "Another person who approves": True,
    }
    assert "Send the lines below to the root" in page
    assert organisations.requester_of(agency.organisation).key.text in page
    assert "Before the first request" in agency.client(Role.ADMIN).get("/").content.decode()
    assert "Before the first request" not in agency.client(Role.ASKER).get("/").content.decode()


def test_a_step_that_is_done_on_another_page_leads_there(agency: Agency) -> None:
    Membership.objects.exclude(role=Role.ADMIN).delete()
    page = agency.client(Role.ADMIN).get("/").content.decode()
    assert '<a href="/people">A person who asks</a>' in page
    assert '<a href="/people">Another person who approves</a>' in page


def test_an_open_invitation_says_for_which_roles(agency: Agency) -> None:
    page = agency.client(Role.ADMIN).post("/people", {"email": "kim@example.org", "roles": ["supervisor", "viewer"]})
    assert "<td>kim@example.org</td><td>Supervisor, Viewer</td>" in page.content.decode()


def test_the_root_s_bundle_is_imported(agency: Agency, tmp_path: Path) -> None:
    root, bundle = bundle_for(agency, tmp_path)
    answer = upload(agency, "/organisation/trust-root", {"bundle": bundle}, root=f" {root}\n")
    assert answer.status_code == 302
    assert steps_of(agency)["Trust root"]
    entry = Entry.objects.get(action="organisation.trust-root")
    assert entry.detail["key"] == root, "another pair can have this id"


BROKERS = """
[[brokers]]
host = "near.example.org"
port = 8884
areas = [{ south = 52.0, west = 4.5, north = 53.0, east = 5.5 }]
[[brokers]]
host = "far.example.org"
port = 8884
areas = [{ south = 10.0, west = 4.5, north = 11.0, east = 5.5 }]
"""


def test_with_the_root_s_list_of_brokers_the_desk_needs_none_in_its_file(agency: Agency, tmp_path: Path) -> None:
    root, _ = bundle_for(agency, tmp_path)
    path, signer = tmp_path / "list.toml", FileSigner(load_key(tmp_path / "root.key"))
    path.write_text(path.read_text() + BROKERS)
    bundle = make_bundle(path, signer, issued_s=int(NOW.timestamp()))
    brokers = make_directory(path, trust_key_of(signer))
    assert brokers is not None
    wrong = upload(agency, "/organisation/trust-root", {"bundle": bundle, "brokers": brokers[:-1]}, root=root)
    assert "names another broker directory" in wrong.content.decode()
    assert not steps_of(agency)["Trust root"]
    assert (
        upload(agency, "/organisation/trust-root", {"bundle": bundle, "brokers": brokers}, root=root).status_code == 302
    )
    assert steps_of(agency)["Broker"]
    page = agency.client(Role.ADMIN).get("/organisation").content.decode()
    assert "near.example.org:8884" in page
    assert "far.example.org" not in page
    with pytest.raises(ConfigurationError, match=r"tls/certificate\.pem|certificate"):
        open_bus(organisations.requester_of(agency.organisation))  # it has no certificate yet


def test_the_desk_connects_by_the_root_whose_bundle_it_took_last(agency: Agency, tmp_path: Path) -> None:
    for name in ("first", "second"):
        folder = tmp_path / name
        folder.mkdir()
        root, _ = bundle_for(agency, folder)
        path, signer = folder / "list.toml", FileSigner(load_key(folder / "root.key"))
        path.write_text(path.read_text() + BROKERS.replace("near", name))
        bundle = make_bundle(path, signer, issued_s=int(NOW.timestamp()))
        brokers = make_directory(path, trust_key_of(signer))
        assert brokers is not None
        organisations.import_bundle(agency.organisation, agency.people[Role.ADMIN], root, bundle, brokers)
        listed = KnownRoots(organisations.requester_of(agency.organisation)).own_brokers(int(NOW.timestamp()))
        assert listed is not None
        assert [each.host for each in listed[1]] == [f"{name}.example.org"]


def test_a_bundle_for_another_key_is_refused_with_the_remedy(agency: Agency, tmp_path: Path) -> None:
    stranger = make_trust_key(tmp_path / "stranger.key").ed25519
    root, bundle = bundle_for(agency, tmp_path, key=stranger.text)
    page = upload(agency, "/organisation/trust-root", {"bundle": bundle}, root=root).content.decode()
    assert "does not list the key" in page
    assert not steps_of(agency)["Trust root"]
    garbage = upload(agency, "/organisation/trust-root", {"bundle": b"x" * 4_000_000}, root=root)
    assert garbage.status_code == 200


def test_the_broker_s_operator_signs_the_key_that_stays_here(agency: Agency, broker: None, tmp_path: Path) -> None:
    client = agency.client(Role.ADMIN)
    request = client.get("/organisation/request.csr").content
    pki = BrokerPki.create(tmp_path / "broker", NOW)
    signed = pki.add_requester("rijnstad-police.desk", NOW, request=request)
    given = {"certificate": signed.certificate.read_bytes(), "authority": signed.authority.read_bytes()}
    assert upload(agency, "/organisation/certificate", given).status_code == 302
    assert steps_of(agency)["Certificate for the broker"]
    assert steps_of(agency)["Broker"]
    tls = organisations.folder_of(agency.organisation) / "tls"
    assert (tls / "certificate.pem").read_bytes() == given["certificate"]
    assert (tls / "key.pem").stat().st_mode & 0o077 == 0


def test_a_wrong_certificate_replaces_nothing(
    agency: Agency, other_agency: Agency, broker: None, tmp_path: Path
) -> None:
    request = agency.client(Role.ADMIN).get("/organisation/request.csr").content
    pki = BrokerPki.create(tmp_path / "broker", NOW)
    worker = pki.add_requester("rijnstad-police.laptop", NOW, request=request)
    authority = worker.authority.read_bytes()
    for certificate, words in (
        (worker.certificate.read_bytes(), "is for rijnstad-police.laptop"),
        (authority, "is not for the key"),
        (b"no certificate", "not a certificate"),
    ):
        answer = upload(agency, "/organisation/certificate", {"certificate": certificate, "authority": authority})
        assert words in answer.content.decode().replace("&#x27;", "'")
    assert not (organisations.folder_of(agency.organisation) / "tls" / "certificate.pem").exists()


def test_brokers_of_two_operators_have_one_certificate_each_with_its_end(agency: Agency, tmp_path: Path) -> None:
    root, _ = bundle_for(agency, tmp_path)
    path, signer = tmp_path / "list.toml", FileSigner(load_key(tmp_path / "root.key"))
    path.write_text(
        path.read_text() + BROKERS.replace("south = 10.0", "south = 52.0").replace("north = 11.0", "north = 53.0")
    )
    bundle, brokers = (
        make_bundle(path, signer, issued_s=int(NOW.timestamp())),
        make_directory(path, trust_key_of(signer)),
    )
    assert brokers is not None
    upload(agency, "/organisation/trust-root", {"bundle": bundle, "brokers": brokers}, root=root)
    request = agency.client(Role.ADMIN).get("/organisation/request.csr").content
    names = ("near.example.org", "far.example.org")
    for number, host in enumerate(names, start=1):
        assert steps_of(agency)["Certificate for the broker"] is False
        signed = BrokerPki.create(tmp_path / host, NOW).add_requester(
            "rijnstad-police", NOW, 20 * number, request=request
        )
        given = {"certificate": signed.certificate.read_bytes(), "authority": signed.authority.read_bytes()}
        assert upload(agency, "/organisation/certificate", given, host=host).status_code == 302
        tls = organisations.folder_of(agency.organisation) / "tls" / host
        assert (tls / "authority.pem").read_bytes() == given["authority"]
    steps = steps_of(agency)
    assert "Certificate for the broker" not in steps
    assert (steps["Certificate for near.example.org"], steps["Certificate for far.example.org"]) == (False, True)
    page = agency.client(Role.ADMIN).get("/organisation").content.decode()
    assert page.count("The certificate works until") == 2
    ends = [each for each in due_reminders(agency.organisation, NOW) if "certificate" in each.words]
    assert [each.words.count("near.example.org") for each in ends] == [1]
    for wrong in ("elsewhere.example.org", "../../evil", ".."):
        answer = upload(agency, "/organisation/certificate", given, host=wrong)
        assert answer.status_code == 200
        assert not (organisations.folder_of(agency.organisation) / "tls" / wrong / "certificate.pem").exists()


def test_with_the_two_person_rule_one_person_is_not_enough(agency: Agency) -> None:
    for role, person in agency.people.items():
        if role not in (Role.ADMIN, Role.SUPERVISOR):
            person.memberships.all().delete()
    assert steps_of(agency)["A person who asks"]  # a supervisor may ask
    assert not steps_of(agency)["Another person who approves"]
    agency.organisation.two_person_rule = False
    agency.organisation.save()
    assert "Another person who approves" not in steps_of(agency)


def test_the_rules_are_changed_and_logged_and_the_name_is_not(agency: Agency) -> None:
    words = {
        "name": "Rijnstad Politie",
        "requester_id": "evil",
        "kind": "court",
        "language": "nl",
        "retention_days": "14",
    }
    agency.people[Role.SUPERVISOR].memberships.all().delete()  # so that the admin ends the rule of two persons alone
    assert agency.client(Role.ADMIN).post("/organisation", words).status_code == 302
    agency.organisation.refresh_from_db()
    found = agency.organisation
    assert (found.name, found.requester_id, found.kind) == ("Rijnstad Politie", "rijnstad-police", "police")
    assert (found.language, found.two_person_rule, found.retention_days) == ("nl", False, 14)
    entry = Entry.objects.get(action="organisation.changed")
    assert entry.detail["two_person_rule"] == {"from": True, "to": False}
    assert entry.detail["retention_days"] == {"from": 30, "to": 14}


def test_a_new_organisation_begins_with_days_to_keep_footage() -> None:
    assert 'value="30"' in str(OrganisationForm()["retention_days"])
