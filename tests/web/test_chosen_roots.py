"""The page takes over the roots that owners signed, run in node: it believes no doorbell that names others."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from agent.wire import strictjson
from agent.wire.identities import private_key_from_seed
from agent.wire.statements import NamedKey, TrustChange
from tests.custodians import APPROVER, DEVICE, NOW_S, Door, enrolment, sha256_of, signed, stated
from tests.web.test_the_program import node
from tests.wire import package_vectors, samples

pytestmark = pytest.mark.interop

BO = private_key_from_seed(b"b" * 32)
ROOT, OTHER = samples.ROOT_KEY, samples.pair(private_key_from_seed(b"o" * 32))
LIE = "error.unsigned-root"


@pytest.fixture
def door() -> Iterator[Door]:
    """Anna has chosen a root."""
    made = Door.enrolled()
    yield made
    made.close()


def case(door: Door, name: str, *said: tuple[TrustChange, Ed25519PrivateKey], **changes: Any) -> dict[str, Any]:
    """The answer of a doorbell. It adds changes to its answer and to the ledger, which it refused."""
    entries = [
        {"kind": "trust-changed", "subject": hashlib.sha256(strictjson.encode(change)).hexdigest()}
        for change, _ in said
    ]
    shown = [*door.custodian.control._trust.changes(), *(signed(change, by) for change, by in said)]
    return {
        "name": name,
        "shown": [each.decode() for each in shown],
        "entries": [*door.entries(), *entries],
        "enrolments": [each.decode() for each in door.custodian.enrolments.envelopes],
        **changes,
    }


def chosen(tmp_path: Path, *cases: dict[str, Any]) -> dict[str, Any]:
    path = tmp_path / "cases.json"
    path.write_text(json.dumps({"device": samples.DEVICE_KEY.text, "cases": cases}))
    found: dict[str, Any] = node("roots.mjs", str(path))
    return found


@pytest.mark.parametrize("form", ["bundle", "package", "package and news"])
def test_the_page_names_the_requesters_of_a_root_in_whatever_form_it_publishes(tmp_path: Path, form: str) -> None:
    alone = signed(samples.bundle(), samples.ROOT)
    agreed = alone if form == "bundle" else samples.package()
    news = samples.package(samples.bundle(version=4), version=2)
    path = tmp_path / "cases.json"
    heard = [news.decode()] if form == "package and news" else []
    shown = {"root": samples.ROOT_KEY.text, "bundles": [agreed.decode()], "heard": heard}
    path.write_text(json.dumps({"device": samples.DEVICE_KEY.text, "cases": [], "shown": shown}))
    assert node("roots.mjs", str(path)) == {"names": {samples.ROOT_KEY.id: ["Harbour Police"]}}


@pytest.mark.parametrize(
    ("agreed_in", "named"), [("287-379", ["Town 1"]), ("288-379", ["Town 1", "Town 3"]), (None, ["Town 1", "Town 3"])]
)
def test_after_a_move_the_page_names_only_requesters_that_an_owner_agreed_to(
    tmp_path: Path, agreed_in: str | None, named: list[str]
) -> None:
    root = samples.ROOT_KEY.id
    package, *_ = package_vectors.sections()["all, in the north"]
    shown = {
        "root": samples.ROOT_KEY.text,
        "bundles": [package.decode()],
        "heard": [],
        "cell": "288-379",
        "agreed_in": {root: agreed_in} if agreed_in else {},
    }
    path = tmp_path / "cases.json"
    path.write_text(json.dumps({"device": samples.DEVICE_KEY.text, "cases": [], "shown": shown}))
    assert node("roots.mjs", str(path)) == {"names": {root: named}}


def adding(**changes: Any) -> TrustChange:
    return TrustChange(**{**stated(), "roots_added": (OTHER.text,), **changes})


def test_the_page_takes_over_what_owners_of_that_time_signed_and_nothing_else(door: Door, tmp_path: Path) -> None:
    first = {"key": ROOT.text, "id": ROOT.id, "by": "anna", "at": NOW_S * 1000}
    honest = case(door, "honest")
    cases = (
        honest,
        case(door, "of a stranger", (adding(), BO)),
        case(door, "of the doorbell", (adding(), DEVICE)),
        case(door, "for another doorbell", (adding(device=samples.OWNER_KEY.text), APPROVER)),
        {**case(door, "not in the ledger", (adding(), APPROVER)), "entries": door.entries()},
        {**case(door, "twice", (adding(), APPROVER)), "shown": honest["shown"] * 2},
        {**case(door, "removal withheld", (adding(roots_added=(), roots_removed=(ROOT.text,)), APPROVER)),
         "shown": honest["shown"]},
        {**honest, "name": "an unknown list", "enrolments": []},
        {**honest, "name": "dropped", "shown": []},
    )  # fmt: skip
    found = chosen(tmp_path, *cases)
    assert found.pop("honest") == [first]
    assert found.pop("dropped") == []
    assert found == dict.fromkeys((each["name"] for each in cases[1:-1]), LIE)


def test_who_has_left_chooses_no_more_and_what_they_chose_before_stands(door: Door, tmp_path: Path) -> None:
    both = tuple(NamedKey.of(name, key) for name, key in (("anna", APPROVER), ("bo", BO)))
    door.propose(enrolment(epoch=2, previous=sha256_of(door.custodian.enrolments.current), approvers=both))  # type: ignore[arg-type]
    door.custodian.enrolments.confirm({})
    door.obey(adding(), by=BO)
    door.obey(TrustChange(**stated(), roots_removed=(ROOT.text,)))
    last = enrolment(epoch=3, previous=sha256_of(door.custodian.enrolments.current))  # type: ignore[arg-type]
    door.propose(last)
    door.custodian.enrolments.confirm({})
    assert [each["kind"] for each in door.entries()].count("recipients-changed") == 3
    found = chosen(tmp_path, case(door, "honest"), case(door, "later", (adding(), BO)))
    assert [(each["key"], each["by"]) for each in found["honest"]] == [(OTHER.text, "bo")]
    assert found["later"] == LIE
