"""A trust root's list: proposed by one person, signed by another, compared, and watched for keys that end."""

from __future__ import annotations

import datetime
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.clients.requester.identity import Requester
from agent.clients.requester.keys import trust_key_of
from agent.clients.requester.trust_bundles import read_bundle
from agent.errors import ConfigurationError
from agent.wire.broker_directory import open_directory
from agent.wire.identities import private_key_from_seed, public_key_of
from agent.wire.trust import TrustBundle
from desk import sealed_keys
from desk.custody.models import Entry
from desk.people.organisations import folder_of, requester_of
from desk.people.roles import Role
from desk.trust import bundles
from desk.trust.models import BundleDraft
from desk.trust.root_keys import make_root_key, open_root_key, root_key_of
from tests.desk.agencies import Agency

PASSPHRASE = "six words that nobody guesses"
NOW_S = 1_800_000_000


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """A small work factor, because each test opens a key."""
    monkeypatch.setattr(sealed_keys, "_WORK_FACTOR", 10)


def listed(requester: Requester, version: int = 1, *, until: str = "2030-12-31") -> str:
    return list_of(requester.id, requester.key.text, version, until)


def list_of(requester_id: str, key: str, version: int, until: str) -> str:
    return f"""version = {version}

[[requesters]]
id = "{requester_id}"
name = "Rijnstad Police"
kind = "police"
regions = [{{ south = 52.27, west = 4.72, north = 52.44, east = 5.08 }}]

[[requesters.keys]]
key = "{key}"
from = 2026-01-01
until = {until}
"""


@pytest.fixture
def root(agency: Agency) -> Agency:
    """An agency that is its own root."""
    make_root_key(folder_of(agency.organisation) / "root", PASSPHRASE)
    return agency


def signed(root: Agency, text: str) -> BundleDraft:
    draft = bundles.propose(root.organisation, root.people[Role.ADMIN], text)
    return bundles.sign(draft, root.people[Role.SUPERVISOR], PASSPHRASE, NOW_S)


def opened(root: Agency, draft: BundleDraft) -> TrustBundle:
    key = root_key_of(folder_of(root.organisation) / "root")
    assert key is not None
    return read_bundle(bytes(draft.envelope), key)


def test_a_second_person_signs_and_the_bundle_is_the_list(root: Agency) -> None:
    requester = requester_of(root.organisation)
    bundle = opened(root, signed(root, listed(requester)))
    assert (bundle.version, bundle.issued_s, [each.id for each in bundle.requesters]) == (1, NOW_S, [requester.id])
    actions = [row.action for row in Entry.objects.order_by("number") if row.action.startswith("bundle.")]
    assert actions == ["bundle.proposed", "bundle.signed"]
    later = opened(root, signed(root, listed(requester, 2)))
    assert later.version == 2


def test_a_list_with_brokers_gives_a_directory_to_download_beside_its_bundle(root: Agency) -> None:
    text = listed(requester_of(root.organisation))
    without = signed(root, text)
    client = root.client(Role.ADMIN)
    assert client.get(f"/trust/{without.pk}/brokers").status_code == 404
    assert "list of brokers" not in client.get("/trust").content.decode()
    areas = "areas = [{ south = 52.0, west = 4.5, north = 53.0, east = 5.5 }]"
    brokers = f'\n[[brokers]]\nhost = "near.example.org"\nport = 8884\n{areas}\n'
    draft = signed(root, listed(requester_of(root.organisation), 2) + brokers)
    answer = client.get(f"/trust/{draft.pk}/brokers")
    assert answer.status_code == 200
    bundle = opened(root, draft)
    directory = open_directory(b"".join(answer), bundle.root, bundle.directory_sha256)
    assert [each.host for each in directory.brokers] == ["near.example.org"]
    assert f"/trust/{draft.pk}/brokers" in client.get("/trust").content.decode()


def test_the_person_who_proposed_cannot_sign_and_a_wrong_passphrase_signs_nothing(root: Agency) -> None:
    person = root.people[Role.ADMIN]
    draft = bundles.propose(root.organisation, person, listed(requester_of(root.organisation)))
    with pytest.raises(ConfigurationError, match="A second person"):
        bundles.sign(draft, person, PASSPHRASE)
    with pytest.raises(ConfigurationError, match="does not open"):
        bundles.sign(draft, root.people[Role.SUPERVISOR], "another passphrase")
    draft.refresh_from_db()
    assert (draft.state, bytes(draft.envelope)) == ("proposed", b"")
    assert bundles.withdraw(draft, person)
    assert not bundles.withdraw(draft, person)
    with pytest.raises(ConfigurationError, match="withdrawn already"):
        bundles.sign(draft, root.people[Role.SUPERVISOR], PASSPHRASE)


def test_a_version_that_is_not_higher_is_refused_at_its_proposal_and_at_its_signing(root: Agency) -> None:
    text = listed(requester_of(root.organisation), 3)
    first, second = (bundles.propose(root.organisation, root.people[Role.ADMIN], text) for _ in range(2))
    bundles.sign(first, root.people[Role.SUPERVISOR], PASSPHRASE)
    with pytest.raises(ConfigurationError, match="not higher than 3"):
        bundles.sign(second, root.people[Role.SUPERVISOR], PASSPHRASE)
    with pytest.raises(ConfigurationError, match="not higher than 3"):
        bundles.propose(root.organisation, root.people[Role.ADMIN], text)


def test_a_list_cannot_read_a_file_of_the_desk_and_its_errors_name_no_folder(root: Agency) -> None:
    text = listed(requester_of(root.organisation)).replace('kind = "police"', 'kind = "police"\ntips = "/etc/hostname"')
    for each in (text, f"\ufeff{text}"):
        with pytest.raises(ConfigurationError, match="a file name"):
            bundles.entries_in(each)
    for wrong in (
        "version = 1\nfoo = 2",
        "version =",
        "[[requesters]]\nid = 5\n",
        "requesters = 5",
        "requesters = [5]",
    ):
        with pytest.raises(ConfigurationError) as failed:
            bundles.entries_in(wrong)
        assert "/tmp" not in str(failed.value)
        assert "list.toml" in str(failed.value)


def test_the_root_key_is_sealed_private_and_never_overwritten(data: Path, tmp_path: Path) -> None:
    folder = tmp_path / "root"
    assert root_key_of(folder) is None
    key = make_root_key(folder, PASSPHRASE)
    assert root_key_of(folder) == key == trust_key_of(open_root_key(folder, PASSPHRASE))
    assert b"PRIVATE KEY" not in b"".join(path.read_bytes() for path in folder.iterdir())
    assert (folder / "root.key.age").stat().st_mode & 0o077 == 0
    with pytest.raises(ConfigurationError, match="has a root key"):
        make_root_key(folder, PASSPHRASE)
    with pytest.raises(ConfigurationError, match="shorter than 16"):
        make_root_key(tmp_path / "other", "short")


def test_reminders_name_a_key_that_ends_soon_and_one_that_has_ended(root: Agency) -> None:
    requester = requester_of(root.organisation)
    today = datetime.datetime.fromtimestamp(NOW_S, datetime.UTC).date()
    for days, expected in ((-2, [True]), (30, [False]), (90, [])):
        text = listed(requester, until=str(today + datetime.timedelta(days=days)))
        found = bundles.reminders(bundles.entries_in(text)[1], NOW_S)
        assert [each.over for each in found] == expected


ANY_LIST = list_of("x", public_key_of(private_key_from_seed(bytes(32))).text, 1, "2030-12-31")


@given(st.sets(st.sampled_from("abcd")), st.sets(st.sampled_from("abcd")))
def test_a_comparison_names_each_requester_once(before: set[str], after: set[str]) -> None:
    entry = bundles.entries_in(ANY_LIST)[1][0]
    old = [msgspec.structs.replace(entry, id=name, name=f"{name}1") for name in sorted(before)]
    new = [msgspec.structs.replace(entry, id=name, name=f"{name}2") for name in sorted(after)]
    found = bundles.compare(old, new)
    assert set(found.added) == after - before
    assert set(found.removed) == before - after
    assert {each.id for each in found.changed} == before & after
    assert all(each.fields == ("name",) for each in found.changed)


def test_the_page_takes_a_root_from_its_key_to_a_signed_bundle(agency: Agency) -> None:
    admin, supervisor = agency.client(Role.ADMIN), agency.client(Role.SUPERVISOR)
    text = listed(requester_of(agency.organisation))
    assert "no trust root" in agency.client(Role.AUDITOR).get("/trust").content.decode()
    for wrong in ({"passphrase": "short", "again": "short"}, {"passphrase": PASSPHRASE, "again": PASSPHRASE + "x"}):
        admin.post("/trust/key", wrong)
        assert root_key_of(folder_of(agency.organisation) / "root") is None
    assert admin.post("/trust/key", {"passphrase": PASSPHRASE, "again": PASSPHRASE}).status_code == 302
    key = root_key_of(folder_of(agency.organisation) / "root")
    assert admin.post("/trust/key", {"passphrase": PASSPHRASE, "again": PASSPHRASE}).status_code == 200
    assert root_key_of(folder_of(agency.organisation) / "root") == key
    page = admin.post("/trust/propose", {"text": text.replace("police", "nonsense")}).content.decode()
    assert "list.toml, line" in page
    assert admin.post("/trust/propose", {"text": text}).status_code == 302
    draft = BundleDraft.objects.get()
    assert "A colleague has to sign it" in admin.get("/trust").content.decode()
    page = admin.post(f"/trust/{draft.pk}/sign", {"passphrase": PASSPHRASE}, follow=True).content.decode()
    assert "A second person signs" in page
    assert supervisor.get(f"/trust/{draft.pk}/bundle").status_code == 404
    assert supervisor.post(f"/trust/{draft.pk}/sign", {"passphrase": PASSPHRASE}).status_code == 302
    data = supervisor.get(f"/trust/{draft.pk}/bundle").content
    draft.refresh_from_db()
    assert data == bytes(draft.envelope)
    assert opened(agency, draft).version == 1
    assert PASSPHRASE not in str(list(Entry.objects.values()))
    assert agency.client(Role.AUDITOR).post(f"/trust/{draft.pk}/withdraw").status_code == 403


def test_a_person_who_signs_reads_which_fields_change_and_that_the_key_knows_no_rule(root: Agency) -> None:
    """A longer life of a key is a right. The person who signs has to see that it is the key that changes."""
    requester = requester_of(root.organisation)
    signed(root, listed(requester))
    bundles.propose(root.organisation, root.people[Role.ADMIN], listed(requester, 2, until="2031-12-31"))
    page = root.client(Role.SUPERVISOR).get("/trust").content.decode()
    assert f"{requester.id} <small>keys</small>" in page
    assert "has one signature" in page
    assert "version = 2\n" in page.split("<textarea")[1], "the next proposal begins with the next version"


def test_the_next_list_differs_in_its_version_only() -> None:
    assert bundles.next_list(ANY_LIST, 1) == ANY_LIST.replace("version = 1", "version = 2")
    assert bundles.next_list("# version = 9\nversion=1_0\nid = 1", 10) == "# version = 9\nversion = 11\nid = 1"


def test_a_person_who_signs_reads_that_the_brokers_change(root: Agency) -> None:
    """Another broker would carry the requests of all agencies of the list."""
    signed(root, listed(requester_of(root.organisation)))
    areas = "areas = [{ south = 52.0, west = 4.5, north = 53.0, east = 5.5 }]"
    brokers = f'\n[[brokers]]\nhost = "near.example.org"\nport = 8884\n{areas}\n'
    for version, more in ((2, ""), (3, brokers)):
        draft = bundles.propose(
            root.organisation, root.people[Role.ADMIN], listed(requester_of(root.organisation), version) + more
        )
        page = root.client(Role.SUPERVISOR).get("/trust").content.decode()
        assert ("changed, see the whole list" in page) == bool(more)
        bundles.withdraw(draft, root.people[Role.ADMIN])
