"""A root of two of three people with keys in a PKCS#11 token (SoftHSM), on the pages that these people use.

SoftHSM reads its settings once for a process, so each story runs in a fork.
"""

from __future__ import annotations

import gc
import os
import traceback
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from django.conf import settings
from django.db import connections
from django.test import override_settings

from agent.clients.requester.keys import FileSigner, load_key, make_trust_key
from agent.clients.requester.root_folder import RootFolder
from agent.wire.trust import TrustStore
from desk.custody.models import Entry
from desk.people.models import Membership, Person
from desk.people.organisations import folder_of, requester_of
from desk.people.roles import Role
from desk.trust import bundles, root_publisher, shared_root
from desk.trust.models import BundleDraft, RootDraft, RootKey
from tests.desk.agencies import Agency, browser, make_person
from tests.desk.test_tokens import Token, token
from tests.desk.trust.test_shared_root import NOW_S, Brokers
from tests.desk.trust.test_trust import list_of
from tests.lengths import LONG, only

__all__ = ["token"]

BACKEND = "allauth.account.auth_backends.AuthenticationBackend"


class People:
    """Three people of one root: the first ones have their keys in the desk's token, and the others elsewhere."""

    def __init__(self, agency: Agency, folder: Path) -> None:
        self.organisation, self.folder = agency.organisation, folder
        third = make_person("third@rijnstad.example")
        Membership.objects.create(organisation=self.organisation, person=third, role=Role.SUPERVISOR)
        self.all: list[Person] = [agency.people[Role.ADMIN], agency.people[Role.SUPERVISOR], third]

    def make_trust_keys(self, in_token: int) -> None:
        for number, person in enumerate(self.all):
            outside = "" if number < in_token else make_trust_key(self.key_file(person)).text
            self.post(person, "/trust/keys/add", outside=outside)

    def key_file(self, person: Person) -> Path:
        return self.folder / f"{person.pk}.key"

    def key(self, person: Person) -> RootKey:
        found = shared_root.active_key(self.organisation, person)
        assert found is not None
        return found

    def post(self, person: Person, address: str, **words: object) -> str:
        client = browser()
        client.force_login(person, backend=BACKEND)
        return client.post(address, words, follow=True).content.decode()

    def propose(self) -> RootDraft:
        keys = [each.pk for each in shared_root.active_keys(self.organisation)]
        self.post(self.all[0], "/trust/keys/propose", keys=keys, threshold=2, days=365)
        return RootDraft.objects.latest("pk")

    def list(self, version: int) -> BundleDraft:
        requester = requester_of(self.organisation)
        text = list_of(requester.id, requester.key.text, version, "2099-12-31")
        return bundles.propose(self.organisation, self.all[0], text)

    def sign(self, draft: BundleDraft | RootDraft, person: Person) -> str:
        name, payload = shared_root.payload_of(draft)
        signature = ""
        if self.key(person).place == "outside":
            (self.folder / name).write_bytes(payload)
            signer = FileSigner(load_key(self.key_file(person)))
            signature = RootFolder(self.folder).sign(self.folder / name, signer).read_text()
        part = "keys/proposals/" if isinstance(draft, RootDraft) else ""
        page = self.post(person, f"/trust/{part}{draft.pk}/sign", signature=signature)
        draft.refresh_from_db()
        return page

    def is_taken(self, version: int) -> bool:
        """Whether a reader that knows only the name key takes the published package with that list."""
        root_publisher.publish_due(Brokers().open, NOW_S)
        folder = shared_root.files_of(self.organisation)
        read, _ = TrustStore().with_root(folder.name_key).accept(folder.package(), NOW_S)
        return [each.version for each in read.bundles.values()] == [version]


@pytest.fixture
def people(agency: Agency, token: Token) -> People:
    return People(agency, token.folder)


def in_fork(token: Token, story: Callable[[], None]) -> None:
    """Runs `story` in a separate process, on a desk with that token."""
    connections.close_all()
    child = os.fork()
    if child == 0:
        # The objects of other threads stay as they are. If they are collected here, their locks may be held for ever.
        gc.disable()
        os.environ["SOFTHSM2_CONF"] = token.environment["SOFTHSM2_CONF"]
        try:
            with override_settings(DESK=msgspec.structs.replace(settings.DESK, token=token.settings)):
                story()
            connections.close_all()
        except BaseException:  # noqa: BLE001 (the parent shows it)
            (token.folder / "fault").write_text(traceback.format_exc())
            os._exit(1)
        os._exit(0)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert status == 0, (token.folder / "fault").read_text()


@pytest.mark.parametrize("in_token", only([2], [1, 2]))
def test_two_of_three_people_found_a_root_and_sign_a_list_with_keys_in_the_token(
    people: People, token: Token, in_token: int
) -> None:
    def story() -> None:
        people.make_trust_keys(in_token)
        first, second, third = people.all
        places = [people.key(each).place for each in people.all]
        assert places == ["token"] * in_token + ["outside"] * (3 - in_token)
        assert len({people.key(each).public_key for each in people.all}) == 3
        root = people.propose()
        people.sign(root, first)
        assert (root.state, shared_root.missing_signatures(root)) == ("proposed", 1)
        people.sign(root, first)
        assert root.state == "proposed", "one person counts once"
        people.sign(root, second)
        assert root.state == "signed"
        listed = people.list(1)
        people.sign(listed, third)
        assert listed.state == "proposed"
        people.sign(listed, first)
        assert listed.state == "signed"
        assert people.is_taken(1)
        assert Entry.objects.filter(action="bundle.signature").count() == 2
        secret = [path.name for path in (folder_of(people.organisation) / "root").rglob("*.age")]
        assert secret == [], "no key of these people is in a file of the desk"

    in_fork(token, story)


def test_a_person_signs_with_no_key_of_another_person_and_a_new_key_is_another_one(
    people: People, token: Token
) -> None:
    def story() -> None:
        people.make_trust_keys(2)
        first, second, third = people.all
        people.sign(people.propose(), first)
        people.sign(RootDraft.objects.get(), third)
        gone = people.key(second)
        keys = [people.key(first).pk, people.key(third).pk]
        people.post(first, "/trust/keys/propose", keys=keys, threshold=2, days=365)
        without = RootDraft.objects.latest("pk")
        people.sign(without, first)
        people.sign(without, third)
        assert without.state == "signed"
        listed = people.list(1)
        assert people.sign(listed, second)
        assert not listed.signatures.exists(), "the key is in the token still, and counts no more"
        people.post(first, f"/trust/keys/{gone.pk}/retire")
        people.post(second, "/trust/keys/add")
        new = people.key(second)
        assert (new.place, new.public_key != gone.public_key) == ("token", True)
        people.sign(listed, second)
        assert not listed.signatures.exists(), "a new key signs once keys with it are in force"
        people.sign(listed, first)
        people.sign(listed, third)
        assert people.is_taken(1)

    in_fork(token, story)


@LONG
def test_a_token_that_is_away_signs_nothing_and_the_person_signs_when_it_is_back(people: People, token: Token) -> None:
    first = people.all[0]

    def prepare() -> None:
        people.make_trust_keys(1)
        people.propose()

    def away() -> None:
        assert "cannot be opened" in people.sign(draft, first)
        assert (draft.state, draft.signatures.count()) == ("proposed", 0)

    def back() -> None:
        people.sign(draft, first)
        assert [each.key for each in draft.signatures.all()] == [people.key(first)]

    in_fork(token, prepare)
    draft = RootDraft.objects.get()
    (token.folder / "tokens").rename(token.folder / "away")
    (token.folder / "tokens").mkdir()
    in_fork(token, away)
    (token.folder / "tokens").rmdir()
    (token.folder / "away").rename(token.folder / "tokens")
    in_fork(token, back)
