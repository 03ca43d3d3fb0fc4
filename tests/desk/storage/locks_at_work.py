"""Locks of a desk's pages on PostgreSQL: foreign keys wait for locked rows. `test_a_grown_desk` runs this file."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest
from django.db import connection

from agent.clients.requester.keys import Signer, make_trust_key
from desk import sealed_keys
from desk.custody import log
from desk.custody.models import Entry
from desk.people.models import Organisation, Person
from desk.trust import shared_root
from desk.trust.models import RootKey
from tests.desk.agencies import Agency, make_person
from tests.desk.trust.test_shared_root import Root


class Beside:
    """An act of another process, on its own connection."""

    def __init__(self, act: Any) -> None:
        self.fault: Exception | None = None
        self._act = act
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        try:
            self._act()
        except Exception as error:  # noqa: BLE001 (the test compares it)
            self.fault = error
        finally:
            connection.close()

    def start(self, wait_s: float) -> None:
        """Returns once the act is done, or waits for a lock."""
        self._thread.start()
        self._thread.join(wait_s)

    def end(self) -> Exception | None:
        self._thread.join(60)
        assert not self._thread.is_alive()
        return self.fault


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sealed_keys, "_WORK_FACTOR", 10)


@pytest.fixture
def root(agency: Agency, tmp_path: Path) -> Root:
    made = Root(agency, tmp_path)
    made.found()
    return made


def test_the_log_goes_on_while_a_person_signs_with_a_slow_key(root: Root, monkeypatch: pytest.MonkeyPatch) -> None:
    slow, beside = shared_root._signer, Beside(lambda: log.record(root.organisation, "receiver", "tried", "beside"))

    def signer(key: RootKey, passphrase: str) -> Signer:
        beside.start(2)
        return slow(key, passphrase)

    draft = root.list()
    monkeypatch.setattr(shared_root, "_signer", signer)
    root.sign(draft, root.people[0])
    assert beside.end() is None
    actions = Entry.objects.filter(action__in=("tried", "bundle.signature")).order_by("number")
    assert list(actions.values_list("action", flat=True)) == ["tried", "bundle.signature"]


def test_keys_come_into_force_while_a_person_retires_another_key(root: Root, monkeypatch: pytest.MonkeyPatch) -> None:
    fourth = make_person("fourth@rijnstad.example")
    draft = root.sign(root.propose(), root.people[0])
    spare = shared_root.add_key(root.organisation, fourth, outside=make_trust_key(root.folder / "fourth.key").text)
    write, beside = log.record, Beside(lambda: shared_root.retire_key(spare, root.people[0]))

    def record(organisation: Organisation, actor: Person | str, action: str, object: str, **detail: Any) -> Entry:
        entry = write(organisation, actor, action, object, **detail)
        if action == "root-file.signature":
            beside.start(1)
        return entry

    monkeypatch.setattr(log, "record", record)
    assert root.sign(draft, root.people[1]).state == "signed"
    assert beside.end() is None
    spare.refresh_from_db()
    assert spare.retired_at is not None
