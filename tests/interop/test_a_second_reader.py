"""The documents are enough: a reader written from them alone judges every vector.

`tests/scenarios/test_demo.py` has it open what a real run disclosed.
"""

from __future__ import annotations

import ast
import base64
import hashlib
import json
import re
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

import agent.core.ledger as ledger_of_ours
from agent.errors import DoorwardError
from agent.wire import strictjson
from tests import second_reader
from tests.properties.amounts import amount
from tests.second_reader import digest, directory, enrolment, excerpt, ledger, package, trust, vault
from tests.second_reader.age import open_age
from tests.second_reader.area import area, cell_of, place
from tests.second_reader.certificates import requester_of
from tests.second_reader.disclosure import check_known
from tests.second_reader.envelope import (
    UnsignedError,
    encoding,
    key_id,
    mldsa_key,
    open_envelope,
    open_hybrid,
    open_statement,
    public_key,
    root_pair,
    signed_by_pair,
    signed_by_roots,
)
from tests.second_reader.json_once import RefusedError, parse
from tests.second_reader.messages import read_message
from tests.second_reader.requests import judge, trust_bundle
from tests.wire.samples import EVERY_MESSAGE

PLAIN = {
    "contact-card": "contact-card", "tip-text": "tip-text", "tip-manifest": "tip-manifest",
    "tip-manifest-of-words": "tip-manifest",
}  # fmt: skip
"""Sealed, unsigned texts."""
VECTORS = Path(__file__).parents[1] / "vectors"
REQUESTS = sorted((VECTORS / "wire" / "requests").glob("*.json"))
BAD = sorted((VECTORS / "vault" / "bad").iterdir())
BAD_EXCERPTS = sorted((VECTORS / "excerpt" / "bad").iterdir())


def stated(name: str) -> Any:
    return json.loads((VECTORS / name).read_text(encoding="utf-8"))


def stated_packages() -> Any:
    """`packages.json`, in which `<name>` stands for a signature of `trust_signatures.json`."""
    signatures = stated("wire/trust_signatures.json")
    text = (VECTORS / "wire/packages.json").read_text(encoding="utf-8")
    return json.loads(re.sub(r"<([0-9a-f]{16}-[0-9a-f]{16})>", lambda match: signatures[match[1]], text))


def spoken(value: Any) -> Any:
    """As a message would have it: a degree without an exponent."""
    written = re.sub(r"-?\d+(\.\d+)?e-\d+", lambda match: f"{float(match[0]):.7f}", json.dumps(value))
    return parse(written.encode(), limit=8192)


def test_the_reader_imports_nothing_of_ours() -> None:
    for path in Path(second_reader.__path__[0]).glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [each.name for each in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert not [name for name in names if name.split(".")[0] in ("agent", "demo", "firmware_bridge")], path


@pytest.mark.parametrize("path", REQUESTS, ids=lambda path: path.stem)
def test_it_judges_every_request_vector_as_it_says(path: Path) -> None:
    stated_trust = stated("wire/trust.json")
    bundle = trust_bundle(stated_trust["envelope"].encode(), root_pair(stated_trust["root"]))
    vector = json.loads(path.read_text(encoding="utf-8"))
    data = vector["envelope"].encode() if "envelope" in vector else base64.b64decode(vector["envelope_base64"])
    assert judge(data, bundle, now_s=stated_trust["now_s"]) == vector["verdict"]


@pytest.mark.parametrize(("group", "before"), [("first", None), ("after_seen", "seen"), ("after_rotation", "rotated")])
def test_it_judges_every_trust_package_as_it_says(group: str, before: str | None) -> None:
    vectors = stated_packages()
    root = root_pair(vectors["root"])
    memory: trust.Memory = {}
    if before is not None:
        verdict, memory = trust.judge(vectors[before].encode(), root, memory, now_s=vectors["now_s"])
        assert verdict == "accepted"
    found = {
        name: trust.judge(each["package"].encode(), root, memory, now_s=vectors["now_s"])[0]
        for name, each in vectors[group].items()
    }
    assert found == {name: each["verdict"] for name, each in vectors[group].items()}


def test_it_remembers_the_newest_of_each_of_two_roots_with_one_id() -> None:
    vectors = stated_packages()
    memory: trust.Memory = {}
    for each in vectors["of_one_id"]:
        data, root = each["bundle"].encode(), root_pair(each["root"])
        verdict, memory = trust.judge(data, root, memory, now_s=vectors["now_s"])
        assert verdict == each["verdict"]


def test_it_finds_who_may_ask_in_each_cell_of_a_list_with_sections() -> None:
    vectors = stated_packages()
    root = root_pair(vectors["root"])
    found = {
        name: trust.listed(each["package"].encode(), root, each["cell"]) for name, each in vectors["sections"].items()
    }
    assert found == {name: (each["verdict"], each["requesters"]) for name, each in vectors["sections"].items()}


def test_it_reads_every_broker_directory_as_it_says() -> None:
    vectors = stated("wire/directories.json")
    data = vectors["directory"].encode()
    assert hashlib.sha256(data).hexdigest() == vectors["sha256"]
    brokers = directory.read(data, vectors["root"])
    assert {cell: directory.brokers_of(brokers, cell) for cell in vectors["cells"]} == vectors["cells"]
    found = {}
    for name, each in vectors["verdicts"].items():
        try:
            directory.read(each["directory"].encode(), vectors["root"])
            found[name] = "accepted"
        except RefusedError:
            found[name] = "malformed"
    assert found == {name: each["verdict"] for name, each in vectors["verdicts"].items()}
    for name, each in vectors["published"].items():
        whole = directory.joined([(slot, text.encode()) for slot, text in each["messages"]])
        assert whole == (data if each["verdict"] == "whole" else None), name


def test_it_reads_tickets_and_proofs_of_an_enrolment_as_they_say() -> None:
    vectors = stated("wire/broker-enrolment.json")
    tls_key = base64.b64decode(vectors["tls_key"])
    for name, each in vectors["tickets"].items():
        try:
            enrolment.ticket(each["ticket"].encode())
            found = "accepted"
        except RefusedError:
            found = "malformed"
        assert found == each["verdict"], name
    for name, each in vectors["proofs"].items():
        try:
            device = f"ed25519:{base64.urlsafe_b64encode(enrolment.device_of(each['proof'], tls_key)).decode()[:-1]}"
        except RefusedError:
            device = "refused"
        assert device == each["verdict"], name


SECOND = {each["name"]: mldsa_key(each["public"]) for each in stated("wire/mldsa.json")}
"""The ML-DSA keys of the vectors."""


def test_it_opens_every_signed_message_of_the_vectors() -> None:
    keys = {key["name"]: public_key(key["public"]) for key in stated("wire/keys.json")}
    owner = {"key": keys["owner"], "mldsa": SECOND["owner"]}
    for path in sorted((VECTORS / "wire" / "messages").glob("*.json")):
        vector = json.loads(path.read_text(encoding="utf-8"))
        if "envelope" in vector:
            name = vector["payload_type"].removeprefix("application/vnd.doorward.").removesuffix("+json")
            key = keys[vector["signed_by"]]
            data = vector["envelope"].encode()
            if name == "disclosure-manifest":
                second = read_message(name, vector["payload"].encode())["device_mldsa"]
                assert second == SECOND["device"]
                payload = open_hybrid(data, name, key, second, limit=6 << 20)
            elif vector["signed_by"] == "owner":
                payload = open_statement(data, name, [owner])
            elif vector["signed_by"] == "root":
                payload, signatures = signed_by_roots(data, name, 6 << 20)
                pair, signed = root_pair(stated("wire/trust.json")["root"]), encoding(vector["payload_type"], payload)
                assert signed_by_pair(pair, signatures[key_id(key)], signed)
            else:
                payload = open_envelope(data, name, {key_id(key): key}, limit=6 << 20)
            assert payload == vector["payload"].encode(), path.stem


@pytest.mark.parametrize(("name", "signer"), [("disclosure-manifest", "device"), ("approval", "owner")])
def test_it_refuses_an_answer_or_an_approval_without_a_good_second_signature(name: str, signer: str) -> None:
    vector = json.loads((VECTORS / "wire" / "messages" / f"{name}.json").read_text(encoding="utf-8"))
    good = json.loads(vector["envelope"])
    [key] = [public_key(each["public"]) for each in stated("wire/keys.json") if each["name"] == signer]
    first, second = good["signatures"]
    flipped = bytearray(base64.b64decode(second["sig"]))
    flipped[0] ^= 1
    other = {**second, "sig": base64.b64encode(flipped).decode()}
    for signatures in (
        [first],
        [first, other],
        [second, first],
        [first, first],
        [first, {**second, "keyid": "0" * 16}],
    ):
        data = json.dumps({**good, "signatures": signatures}).encode()
        with pytest.raises((UnsignedError, RefusedError)):
            open_hybrid(data, name, key, SECOND[signer], limit=6 << 20)


STRANGE: tuple[Any, ...] = (
    None, "", 0, -1, 1, True, [], {}, "a  b", "x" * 3000, 2**53, [0], [[]], "ed25519:" + "A" * 43,
)  # fmt: skip


LONG_MESSAGE_BYTES = 2000
SHARE = amount(5, 1)
"""A run puts one in five strange values into a longer message: at each place others of the fourteen.
`make prove-consent` puts all of them."""


def changed(value: Any, one_in: int = 1) -> Iterator[tuple[str, Any]]:
    """`value`, a message, with one thing in it removed, doubled, added or made strange, at every place.

    `one_in`: leaves out all but one of this many strange values.
    """
    text = json.dumps(value)
    for path in places(value):
        for name, change in CHANGES.items():
            copy = json.loads(text)
            if change(at(copy, path[:-1]), path[-1]):
                yield f"{path}: {name}", copy
    for path, strange in [(path, strange) for path in places(value) for strange in STRANGE][::one_in]:
        copy = json.loads(text)
        at(copy, path[:-1])[path[-1]] = strange
        yield f"{path}: {strange!r:.30}", copy


def _without(inside: Any, key: Any) -> bool:
    del inside[key]
    return True


def _twice(inside: Any, key: Any) -> bool:
    if isinstance(inside, list):
        inside.append(inside[key])
    return isinstance(inside, list)


def _another_end(inside: Any, key: Any) -> bool:
    if isinstance(inside[key], str):
        inside[key] = inside[key][:-1] + "q"
    return isinstance(inside[key], str)


def _another_key(inside: Any, key: Any) -> bool:
    if isinstance(inside[key], dict):
        inside[key]["another"] = 1
    return isinstance(inside[key], dict)


CHANGES = {"without": _without, "twice": _twice, "another end": _another_end, "another key": _another_key}


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in inside:
        yield (*path, key)
        yield from places(inner, (*path, key))


def at(value: Any, path: tuple[Any, ...]) -> Any:
    for key in path:
        value = value[key]
    return value


@pytest.mark.parametrize("name", sorted(EVERY_MESSAGE))
def test_it_reads_every_message_and_agrees_with_ours_about_what_is_wrong_with_one(name: str) -> None:
    kind = type(EVERY_MESSAGE[name])
    signed_as = str(getattr(kind, "PAYLOAD_TYPE", ""))
    read_as = signed_as.removeprefix("application/vnd.doorward.").removesuffix("+json") or PLAIN[name]
    good = strictjson.encode(EVERY_MESSAGE[name])
    read_message(read_as, good)

    def ours(data: bytes) -> None:
        strictjson.decode(data, kind, limit_bytes=48 << 20)

    disagreements = []
    for what, value in changed(json.loads(good), SHARE if len(good) > LONG_MESSAGE_BYTES else 1):
        data = json.dumps(value, ensure_ascii=False).encode()
        verdicts = refuses(ours, data, DoorwardError), refuses(partial(read_message, read_as), data, RefusedError)
        if verdicts[0] != verdicts[1]:
            disagreements.append((what, f"refused by ours: {verdicts[0]}, by the second: {verdicts[1]}"))
    assert disagreements == []


def refuses(reader: Callable[[bytes], object], data: bytes, error: type[Exception]) -> bool:
    try:
        reader(data)
    except error:
        return True
    return False


def test_it_measures_areas_and_finds_places_and_cells_as_the_vectors_say() -> None:
    for vector in stated("wire/areas.json"):
        asked = area(spoken(vector["area"]))
        assert asked.size_m2 == pytest.approx(vector["size_m2"], abs=0.01)
        assert sorted(asked.cells()) == sorted(vector["cells"])
        for each in vector["contains"]:
            at = place(spoken({key: each[key] for key in ("lat", "lon")}))
            assert asked.contains(at) is each["inside"]
    for each in stated("wire/topics.json")["cells"]:
        assert cell_of(place(spoken({key: each[key] for key in ("lat", "lon")}))) == each["cell"]


def test_it_knows_whose_rights_a_certificate_has_as_the_vectors_say() -> None:
    for each in stated("wire/topics.json")["certificates"]:
        assert requester_of(each["common_name"]) == each["requester"], each


def test_it_reads_the_digests_of_the_vectors() -> None:
    for each in stated("wire/digests.json"):
        data = base64.b64decode(each["page"])
        if each["verdict"] != "accepted":
            with pytest.raises(RefusedError):
                digest.read(data)
            continue
        pages, messages = digest.read(data)
        found = [[path, hashlib.sha256(message).hexdigest()] for path, message in messages]
        assert (pages, found) == (each["pages"], each["messages"]), each["name"]


def test_it_joins_published_packages_and_judges_indexes_as_the_vectors_say() -> None:
    vectors = stated("wire/indexes.json")
    for each in vectors["published"]:
        index = package.read_index(each["index"].encode())
        held = dict(package.piece(chunk.encode()) for chunk in each["chunks"])
        assert package.whole(index, held) == each["package"].encode()
        assert package.whole(index, dict([*held.items()][1:])) is None
    for name, each in vectors["verdicts"].items():
        if each["verdict"] != "accepted":
            with pytest.raises(RefusedError):
                package.read_index(each["index"].encode())
            continue
        found = package.read_index(each["index"].encode()).pieces
        assert [list(pair) for pair in found] == each["pieces"], name


def test_it_reads_the_ledger_of_the_vectors() -> None:
    for each in stated("ledger/entries.json"):
        ledger.entry(each["leaf"].encode())
        assert ledger.leaf(each["leaf"].encode()).hex() == each["leaf_hash"]
    tree = stated("ledger/merkle.json")
    leaves = [bytes.fromhex(each) for each in tree["leaves"]]
    roots = [bytes.fromhex(each) for each in tree["roots"]]
    assert [ledger.root(leaves[:size]) for size in range(len(roots))] == roots
    size = len(leaves)
    for index, path in enumerate(tree["inclusion"]):
        ledger.check_inclusion(ledger.leaf(leaves[index]), index, size, [bytes.fromhex(x) for x in path], roots[-1])
    for old, path in enumerate(tree["consistency"]):
        ledger.check_consistency(old, size, [bytes.fromhex(each) for each in path], roots[old], roots[-1])
    notes = stated("ledger/checkpoint.json")
    device = base64.b64decode(notes["verifier_key"].split("+", 2)[2])[1:]
    second = base64.b64decode(notes["mldsa_verifier_key"].split("+", 2)[2])[1:]
    for number, note in enumerate(notes["notes"]):
        assert ledger.checkpoint(note, device, second) == (number, roots[number])
        lines = note.splitlines(keepends=True)
        longer = note.replace(f"\n{number}\n", f"\n{number + 1}\n")
        for wrong in ("".join(lines[:5]), "".join([*lines[:4], lines[5]]), note + lines[5], longer):
            with pytest.raises(RefusedError):
                ledger.checkpoint(wrong, device, second)


def test_it_reads_what_others_confirmed_about_the_time() -> None:
    stated_time = stated("ledger/time.json")
    opening, proof = stated_time["opening"], stated_time["opening"]["proof"]
    roots = [bytes.fromhex(each) for each in stated("ledger/merkle.json")["roots"]]
    second = base64.b64decode(stated("ledger/checkpoint.json")["mldsa_verifier_key"].split("+", 2)[2])[1:]
    ledger.opened(opening, second, 5, roots[5])
    name, key = ledger.witness(stated_time["witness"])
    times = ledger.cosigned_s(proof["checkpoint"], proof["cosignatures"], name, key)
    assert times == [stated_time["time_s"]]
    nonce = bytes.fromhex(stated_time["nonce"])
    assert ledger.stamp_request(proof["checkpoint"], nonce).hex() == stated_time["stamp_request"]
    leaves = [bytes.fromhex(each) for each in stated_time["leaves"]]
    body = f"old 1\n{base64.b64encode(leaves[1]).decode()}\n\n{proof['checkpoint']}"
    assert body == stated_time["add_checkpoint"]
    for wrong in ({"blind": "ff" * 32}, {"beat": 0}, {"size": 4}, {"consistency": []}):
        with pytest.raises(RefusedError):
            ledger.opened({**opening, **wrong}, second, 5, roots[5])


def test_it_knows_every_kind_of_entry_that_the_ledgers_document_lists() -> None:
    document = Path(ledger_of_ours.__path__[0], "LEDGER.md").read_text(encoding="utf-8")
    table = document.partition("| kind | must")[2]
    rows = re.findall(r"^\| `([a-z-]+)` \|([^|]*)\|([^|]*)\|$", table, re.MULTILINE)
    stated_there = {kind: tuple(" ".join(re.findall("`([a-z_]+)`", cell)) for cell in cells) for kind, *cells in rows}
    assert stated_there == ledger.MUST_AND_MAY


def test_it_reads_the_vault_of_the_vectors_and_refuses_each_bad_one() -> None:
    device = public_key((VECTORS / "vault" / "device.pub").read_text().strip())
    first, second = ((VECTORS / "vault" / f"manifest.{number}").read_bytes() for number in (0, 1))
    mldsa = base64.b64decode((VECTORS / "vault" / "device.mldsa.pub").read_bytes())
    whole, alone = (
        list(vault.read_manifest(chapters, device, mldsa)) for chapters in ({0: first}, {0: first, 1: second})
    )
    records = whole + alone
    assert {each["kind"] for each in records} == {
        "segment", "recovered", "evicted", "gap", "ring", "coverage", "clock-sync", "boot", "chapter",
    }  # fmt: skip
    assert [each["kind"] for each in alone] == ["chapter", "clock-sync", "segment", "coverage"]
    assert list(vault.read_manifest({1: second}, device)) == alone
    with pytest.raises(RefusedError):
        list(vault.read_manifest({1: second, 3: second}, device))
    assert vault.media_and_context((VECTORS / "vault" / "plaintext.mp4").read_bytes())[1]["label"] == "button"
    assert vault.image_and_context((VECTORS / "vault" / "poster.jpg").read_bytes())[1]["seen"] == ["person"]
    seen = vault.media_and_context((VECTORS / "vault" / "plaintext_seen.mp4").read_bytes())[1]["seen"]
    assert seen == ["person", "vehicle"]
    for path in BAD:
        with pytest.raises(RefusedError):  # noqa: PT012 (which of the two reads it is the file's name)
            if path.suffix == ".mp4":
                vault.media_and_context(path.read_bytes())
            elif path.suffix == ".jpg":
                vault.image_and_context(path.read_bytes())
            else:
                number = int(path.name.startswith("chapter_"))
                list(vault.read_manifest({number: path.read_bytes()}, device, mldsa))


def test_it_reads_the_excerpts_of_the_vectors_and_refuses_each_bad_one() -> None:
    device = public_key((VECTORS / "vault" / "device.pub").read_text().strip())
    mldsa = base64.b64decode((VECTORS / "vault" / "device.mldsa.pub").read_bytes())
    whole = list(vault.read_manifest({0: (VECTORS / "vault" / "manifest.0").read_bytes()}, device, mldsa))
    first, recovered, last = (each for each in whole if each["kind"] in ("segment", "recovered"))
    wanted = {
        "at_capture": [(first, "capture")],
        "carried": [(last, "capture")],
        "at_export": [(first, "capture"), (recovered, "capture"), (last, "export")],
    }
    for name, records in wanted.items():
        assert excerpt.read_excerpt((VECTORS / "excerpt" / name).read_bytes(), device, mldsa) == records
    for path in BAD_EXCERPTS:
        with pytest.raises(RefusedError):
            excerpt.read_excerpt(path.read_bytes(), device, mldsa)


@pytest.mark.parametrize("name", ["segment_hybrid", "segment_x25519"])
def test_it_opens_the_sealed_vectors(name: str) -> None:
    wanted = bytes(each % 251 for each in range(65_537))
    assert open_age((VECTORS / f"{name}.age").read_bytes(), stated(f"{name}.json")["identity"]) == wanted


def test_which_answers_of_a_known_doorbell_count_is_judged_alike() -> None:
    doors = stated("wire/known_doors.json")
    assert {row["accepted"] for row in doors["rows"]} == {True, False}
    for row in doors["rows"]:
        try:
            check_known(doors["chain"][: row["known"]], row["enrolments"], row["owner_time_ms"])
            accepted = True
        except RefusedError:
            accepted = False
        assert accepted == row["accepted"], row
