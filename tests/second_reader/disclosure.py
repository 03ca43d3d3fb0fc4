"""A whole answer, verified and opened as its requester would: PROTOCOL.md, sections 6 and 8."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Sequence
from typing import Any

from tests.second_reader import ledger, vault
from tests.second_reader.age import commitment, open_age, split
from tests.second_reader.envelope import key_id, open_hybrid, open_statement
from tests.second_reader.json_once import refuse_unless
from tests.second_reader.messages import read_message


def read_disclosure(
    parts: Sequence[bytes], reply_identity: str, request_payload: bytes
) -> list[tuple[str, str, bytes]]:
    """Kind, id and content (fMP4 or JPEG) of each part from the second on; part 0 is read and everything verified."""
    request = read_message("footage-request", request_payload)
    sealed = open_age(parts[0], reply_identity)
    manifest = _signed_by_its_device(sealed)
    device = manifest["device"]

    # the owners the device obeys, and their approval of this request for this reply key
    owners = _enrolled(manifest)
    payload = open_statement(manifest["approval"].encode(), "approval", owners["approvers"])
    approval = read_message("approval", payload)
    refuse_unless(approval["device"] == device, "another device")
    refuse_unless(approval["request"] == manifest["request"] == _sha256(request_payload), "another request")
    refuse_unless(approval["reply"] == request["reply"], "another reply key")
    refuse_unless(approval["owner_time_ms"] // 1000 <= request["not_after"], "signed when it was over")

    if owners.get("approvals_needed", 1) == 2:
        refuse_unless("co_approval" in manifest, "one of two")
        _check_seconded(manifest, owners["approvers"], payload, request["not_after"])

    # the ledger says so too
    head = ledger.checkpoint(manifest["ledger"]["checkpoint"], device, manifest["device_mldsa"])
    written = manifest["ledger"]["entry"].encode()
    entry = ledger.entry(written)
    path = [bytes.fromhex(each) for each in manifest["ledger"]["path"]]
    ledger.check_inclusion(ledger.leaf(written), manifest["ledger"]["index"], head[0], path, head[1])
    said = tuple(entry.get(key) for key in ("kind", "request", "requester", "disclosure", "subject"))
    wanted = ("approved", request["id"], request["requester"], manifest["disclosure"], _sha256(payload))
    refuse_unless(said == wanted, "another entry")

    # what was approved is what came, sealed as it was recorded
    items = {("segment", each["id"]): each for each in approval["segments"]}
    items |= {("poster", each["id"]): each for each in approval.get("posters", [])}
    items |= {("sound", each["id"]): each for each in approval.get("sounds", [])}
    listed = manifest["parts"]
    refuse_unless(len(listed) == len(parts) - 1 == len(items), "number of parts")
    refuse_unless({(each["kind"], each["id"]) for each in listed} == set(items), "parts and items")
    records = [vault.record(line.encode(), device)["record"] for line in manifest["records"]]
    recorded = {each["id"]: each for each in records if each["kind"] == "segment"}
    _check_told(manifest, records)
    opened = []
    for part, data in zip(listed, parts[1:], strict=True):
        kind, name = part["kind"], part["id"]
        opened.append((kind, name, _open(part, data, items[kind, name], recorded, request, reply_identity, device)))
    return opened


def _signed_by_its_device(sealed: bytes) -> dict[str, Any]:
    """Both keys are inside what they signed: read them, then demand their signatures over the whole."""
    claimed = read_message("disclosure-manifest", _unverified(sealed))
    payload = open_hybrid(sealed, "disclosure-manifest", claimed["device"], claimed["device_mldsa"], limit=len(sealed))
    return read_message("disclosure-manifest", payload)


def _enrolled(manifest: dict[str, Any]) -> dict[str, Any]:
    """The owners in force: each list follows the one before and is signed by one of its approvers."""
    before: dict[str, Any] = {}
    payload = b""
    for number, text in enumerate(manifest["enrolments"], start=1):
        found = read_message("enrolment", _unverified(text.encode()))
        entitled = before or found
        previous = _sha256(payload) if before else None
        payload = open_statement(text.encode(), "enrolment", entitled["approvers"])
        refuse_unless(found["device"] == manifest["device"], "owners of another device")
        refuse_unless(found["device_mldsa"] == _sha256(manifest["device_mldsa"]), "another second key")
        refuse_unless((found["epoch"], found.get("previous")) == (number, previous), "it does not follow")
        before = found
    return before


def check_known(known: Sequence[str], shown: Sequence[str], owner_time_ms: int) -> None:
    """Checks that a requester who knows the lists `known` of a device may take an approval under the lists `shown`."""
    both = min(len(known), len(shown))
    refuse_unless(list(known[:both]) == list(shown[:both]), "other owners than before")
    if len(shown) < len(known):
        following = read_message("enrolment", _unverified(known[len(shown)].encode()))
        refuse_unless(owner_time_ms <= following["owner_time_ms"] + 600_000, "approved under a list that was over")


def _check_seconded(manifest: dict[str, Any], approvers: Sequence[Any], approval: bytes, not_after: int) -> None:
    """If two are needed, another approver signed that they agree."""
    envelope = manifest["co_approval"].encode()
    payload = open_statement(envelope, "co-approval", approvers)
    found = read_message("co-approval", payload)
    refuse_unless(found["device"] == manifest["device"], "another device")
    refuse_unless((found["request"], found["approval"]) == (manifest["request"], _sha256(approval)), "another approval")
    first, second = (_signer(each) for each in (manifest["approval"].encode(), envelope))
    refuse_unless(first != second, "the same approver twice")
    refuse_unless(found["owner_time_ms"] // 1000 <= not_after, "signed when it was over")


def _check_told(manifest: dict[str, Any], records: Sequence[dict[str, Any]]) -> None:
    """Each record that is shown stands in its clip as it was recorded to."""
    for line, record in zip(manifest["records"], records, strict=True):
        leaf = ledger.leaf(line.encode())
        for clip in manifest.get("clips", []):
            leaves = [bytes.fromhex(each) for each in clip["leaves"]]
            if leaf in leaves and "prev_in_clip" in clip and record["kind"] == "segment":
                reached = bytes.fromhex(clip["prev_in_clip"])
                for before in leaves[: leaves.index(leaf)]:
                    reached = hashlib.sha256(b"\x01" + reached + before).digest()
                refuse_unless(record.get("prev_in_clip") == reached.hex(), "follows something else")


def _unverified(envelope: bytes) -> bytes:
    return base64.b64decode(json.loads(envelope)["payload"])


def _signer(envelope: bytes) -> str:
    return str(json.loads(envelope)["signatures"][0]["keyid"])


def _open(
    part: dict[str, Any], data: bytes, item: dict[str, Any], recorded: dict[str, Any], request: Any, identity: str,
    device: bytes,
) -> bytes:  # fmt: skip
    refuse_unless((len(data), _sha256(data)) == (part["size_bytes"], part["sha256"]), "not as announced")
    header, _, payload = split(data)
    refuse_unless(_sha256(header) == item["header_sha256"], "not the approved header")
    made = item.get("redacted")
    refuse_unless(_sha256(payload) == (made or item)["payload_sha256"], "not the approved payload")
    record = recorded[part["id"]]
    span = record["span"]
    end_ms = span["utc_ms"] + (span["end_us"] - span["start_us"]) // 1000
    refuse_unless(span["utc_ms"] < request["to"] * 1000 and end_ms > request["from"] * 1000, "outside the window")
    of = record if part["kind"] == "segment" else record[part["kind"]]
    refuse_unless(of["file"]["sha256_payload"] == item["payload_sha256"], "another payload")
    refuse_unless(commitment(data, identity) == (made or of)["key"], "another key than was committed to")
    opened = open_age(data, identity)
    read = vault.image_and_context if part["kind"] == "poster" else vault.media_and_context
    media, context = read(opened)
    said = [context[each] for each in ("kind", "device", "segment", "event", "ordinal", "span")]
    wanted = [record[each] for each in ("event", "ordinal", "span")]
    refuse_unless((made is not None) == ("redactions" in context), "redacted without a list, or a list without it")
    refuse_unless(said == [part["kind"], key_id(device), part["id"], *wanted], "says that it is another")
    return media


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
