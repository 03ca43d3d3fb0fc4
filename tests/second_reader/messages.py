"""Every message there is, field by field: PROTOCOL.md, sections 5 to 8."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import pairwise
from typing import Any

from tests.second_reader.area import area, place
from tests.second_reader.envelope import mldsa_key, public_key, root_pair
from tests.second_reader.json_once import (
    HEX32,
    HEX64,
    HYBRID,
    KEY_ID,
    LABEL,
    MILLISECONDS,
    RECIPIENT,
    SECONDS,
    SEGMENT,
    V1,
    Check,
    binary,
    distinct,
    fields,
    integer,
    many,
    matching,
    one_of,
    parse,
    refuse_unless,
    text,
)
from tests.second_reader.requests import EMAIL, INCIDENT, KIND, LANGUAGE, footage_request, trust_bundle_entries
from tests.second_reader.trust import root_file, timestamp

__all__ = ["MESSAGES", "read_message"]

VERSION = matching(r"[0-9]{1,5}(\.[0-9]{1,5}){2}")
ANY_TEXT = matching(r"(?s).*")
ENDPOINT, PUSH_KEY = matching(r"(?s).{1,1000}"), matching(r"(?s).{0,128}")
WHY = one_of(
    "no longer kept", "no longer known", "privacy switch", "switched off", "camera lost", "camera covered",
    "storage failed", "nothing happened", "clock unknown", "device off", "not known yet",
)  # fmt: skip
SAID = {"v": V1, "requester": LABEL, "trust_root": KEY_ID, "seq": integer(1)}
STATED = {"v": V1, "device": public_key, "owner_time_ms": MILLISECONDS, "nonce": HEX32}
MINUTE, TEN_THOUSANDTH, PERCENT = integer(0, 1439), integer(0, 10_000), integer(10, 1000)


def of(must: Mapping[str, Check], may: Mapping[str, Check] | None = None) -> Check:
    return lambda value: fields(value, must, may)


REDACTED = of({"payload_sha256": HEX64, "key": HEX64})
ITEM = of({"id": SEGMENT, "payload_sha256": HEX64, "header_sha256": HEX64}, {"redacted": REDACTED})
PART = of({"kind": one_of("segment", "poster", "sound"), "id": SEGMENT, "size_bytes": integer(1), "sha256": HEX64})
LEDGERED = of(
    {
        "checkpoint": matching(r"(?s).{0,16384}"), "entry": matching(r"(?s).{0,2048}"), "index": integer(0),
        "path": many(HEX64, 0, 64),
    }
)  # fmt: skip


def _in_order(ranges: list[Any]) -> None:
    refuse_unless(all(before[1] < after[0] for before, after in pairwise(ranges)), "ranges without gaps between")


def _receipt(value: Any) -> dict[str, Any]:
    def parts(each: Any) -> Any:
        first, last = many(integer(0), 2, 2)(each)
        refuse_unless(first <= last, "range")
        return first, last

    def span(each: Any) -> Any:
        start, end = many(integer(0), 2, 2)(each)
        refuse_unless(start < end, "range")
        return start, end

    found = fields(
        value,
        {**SAID, "disclosure": HEX32, "state": one_of("partial", "complete", "refused")},
        {
            "request": HEX32, "manifest": HEX64, "stored": many(parts, 0, 64), "retention_days": integer(0, 36_525),
            "incomplete": many(of({"part": integer(0), "missing": many(span, 1, 64)}), 0, 64), "time_s": SECONDS,
            "unopened": many(parts, 0, 64), "question": integer(1),
        },
    )  # fmt: skip
    stored, incomplete = found.get("stored", []), found.get("incomplete", [])
    _in_order(stored)
    unopened = found.get("unopened", [])
    _in_order(unopened)
    refuse_unless(not unopened or (found["state"] == "complete" and unopened[0][0] > 0), "unopened")
    for each in incomplete:
        _in_order([(start, end - 1) for start, end in each["missing"]])
    numbers = [each["part"] for each in incomplete]
    refuse_unless(numbers == sorted(set(numbers)), "order of parts")
    refuse_unless(not any(first <= number <= last for number in numbers for first, last in stored), "both")
    refuse_unless(found["state"] != "complete" or ("manifest" in found and not incomplete), "complete, and not")
    refuse_unless("request" in found or found["state"] == "partial", "no request")
    return found


def _enrolment(value: Any) -> dict[str, Any]:
    found = fields(
        value,
        {
            **STATED, "epoch": integer(1, 256), "recovery": RECIPIENT, "device_mldsa": HEX64,
            "recipients": many(of({"name": LABEL, "recipient": RECIPIENT}), 1, 8),
            "approvers": many(of({"name": LABEL, "key": public_key, "mldsa": mldsa_key}), 1, 8),
        },
        {"previous": HEX64, "approvals_needed": one_of(1, 2)},
    )  # fmt: skip
    distinct([each["name"] for each in found["recipients"]])
    distinct([each["name"] for each in found["approvers"]])
    distinct([found["recovery"], *(each["recipient"] for each in found["recipients"])])
    distinct([found["device"], *(each["key"] for each in found["approvers"])])
    distinct([each["mldsa"] for each in found["approvers"]])
    refuse_unless((found["epoch"] == 1) == ("previous" not in found), "previous")
    refuse_unless(len(found["approvers"]) >= found.get("approvals_needed", 1), "fewer approvers than are needed")
    return found


def _items(found: Mapping[str, Any]) -> None:
    lists = [found.get(name, []) for name in ("segments", "posters", "sounds")]
    for items in lists:
        distinct([each["id"] for each in items])
    distinct([each["header_sha256"] for items in lists for each in items])


def _redacted(found: Mapping[str, Any], *lists: str) -> list[dict[str, Any]]:
    return [each for name in lists for each in found.get(name, []) if "redacted" in each]


def _approval(value: Any) -> dict[str, Any]:
    gap = of({"from_ms": MILLISECONDS, "to_ms": MILLISECONDS, "reason": WHY})
    clip = of({"from_ms": MILLISECONDS, "to_ms": MILLISECONDS, "segments": integer(1)})
    found = fields(
        value,
        {**STATED, "request": HEX64, "reply": HYBRID, "segments": many(ITEM, 0, 10_000)},
        {
            "posters": many(ITEM, 0, 10_000), "sounds": many(ITEM, 0, 10_000),
            "contact": binary, "gaps": many(gap, 0, 4096), "clips": many(clip, 0, 4096),
        },
    )  # fmt: skip
    _items(found)
    refuse_unless(any(found.get(name) for name in ("segments", "posters", "sounds", "clips")), "nothing is named")
    made = [each["redacted"]["payload_sha256"] for each in _redacted(found, "segments", "sounds")]
    distinct(made)
    refuse_unless(not _redacted(found, "posters"), "a redacted still")
    stills = {each["id"] for each in found.get("posters", [])}
    refuse_unless(
        all(each["id"] not in stills for each in _redacted(found, "segments")), "the still of a redacted film"
    )
    pictures = {each["id"] for each in found.get("segments", [])}
    refuse_unless(all(each["id"] in pictures for each in found.get("sounds", [])), "sound without its segment")
    distinct([tuple(each.items()) for each in found.get("clips", [])])
    gaps = found.get("gaps", [])
    refuse_unless(all(each["from_ms"] < each["to_ms"] for each in gaps), "an empty stretch")
    refuse_unless(all(before["to_ms"] <= after["from_ms"] for before, after in pairwise(gaps)), "order of gaps")
    return found


def _tip(value: Any) -> dict[str, Any]:
    found = fields(
        value,
        {**STATED, "tip": HEX32, "trust_root": KEY_ID, "requester": LABEL, "reply": HYBRID},
        {"message": binary, "segments": many(ITEM, 0, 10_000), "posters": many(ITEM, 0, 10_000)},
    )
    _items(found)
    refuse_unless(any(found.get(name) for name in ("message", "segments", "posters")), "nothing is named")
    refuse_unless(not _redacted(found, "segments", "posters"), "a redacted tip")
    return found


def _tip_manifest(value: Any) -> dict[str, Any]:
    found = fields(
        value,
        {"v": V1, "tip": HEX32, "trust_root": KEY_ID},
        {
            "message": binary, "device": public_key, "device_mldsa": mldsa_key, "records_mldsa": binary,
            "records": many(ANY_TEXT, 0, 30_000), "parts": many(PART, 0, 30_000),
        },
    )  # fmt: skip
    parts = found.get("parts", [])
    refuse_unless(("device" in found) == bool(parts), "device and parts")
    second = [each in found for each in ("device_mldsa", "records_mldsa")]
    refuse_unless(second == ["device" in found] * 2, "device and its second key")
    refuse_unless(len(found.get("records_mldsa", bytes(2420))) == 2420, "length of the second signature")
    distinct([(each["kind"], each["id"]) for each in parts])
    return found


def _opt(may: Mapping[str, Check]) -> Callable[[Any], dict[str, Any]]:
    clock = "([01][0-9]|2[0-3])[0-5][0-9]"
    values: dict[str, Check] = {
        "requester": LABEL, "kind": KIND, "incident": INCIDENT, "hours": matching(f"{clock}-{clock}"),
        "bulletins": KIND,
    }  # fmt: skip

    def read(value: Any) -> dict[str, Any]:
        found = fields(
            value, {**STATED, "scope": one_of("all", *values)}, {"value": ANY_TEXT, "trust_root": KEY_ID, **may}
        )
        refuse_unless(("trust_root" in found) == (found["scope"] == "requester"), "the root of a requester")
        if found["scope"] == "all":
            refuse_unless("value" not in found, "a value")
        else:
            refuse_unless("value" in found, "no value")
            values[found["scope"]](found["value"])
        return found

    return read


def _kept(more: Mapping[str, Check]) -> Callable[[Any], dict[str, Any]]:
    def read(value: Any) -> dict[str, Any]:
        found = fields(value, {**STATED, "segments": many(SEGMENT, 1, 4096), **more})
        distinct(found["segments"])
        return found

    return read


def _settings(value: Any) -> dict[str, Any]:
    corner = many(TEN_THOUSANDTH, 2, 2)
    must = {"name": text(64), "kind": one_of("include", "exclude", "privacy"), "corners": many(corner, 3, 64)}
    more = {"sensitivity_percent": PERCENT, "smallest_person": integer(0, 8000)}

    def zone(each: Any) -> Any:
        given = [key for key in more if isinstance(each, dict) and key in each]  # without them 100 and 0: never null
        return fields(each, {**must, **{key: more[key] for key in given}})

    hours = {"begins_minute": MINUTE, "ends_minute": MINUTE}
    found = fields(
        value,
        STATED,
        {
            "previous": HEX64, "name": text(64), "position": place, "sensitivity_percent": PERCENT,
            "smallest_person": integer(0, 8000), "zones": many(zone, 0, 32),
            "max_bytes": integer(10_000_000, 10**15), "max_age_days": integer(1, 3650),
            "quiet": of(hours), "private": many(of({"days": many(integer(0, 6), 1, 7), **hours}), 0, 16),
            "updates": one_of("ask", "security"),
        },
    )  # fmt: skip
    distinct([each["name"] for each in found.get("zones", [])])
    for each in found.get("private", []):
        distinct(each["days"])
    return found


def _trust_change(value: Any) -> dict[str, Any]:
    roots = many(root_pair, 0, 16)
    found = fields(value, STATED, {"roots_added": roots, "roots_removed": roots})
    changed = [*found.get("roots_added", []), *found.get("roots_removed", [])]
    refuse_unless(changed, "it changes nothing")
    distinct(changed)
    return found


HEALTH_WORD = one_of("ok", "fault", "unknown")
PROGRAM_VERSION = matching("[0-9A-Za-z.+~-]{1,32}")
_HEALTH = of(
    {
        "v": V1, "device": public_key, "name": matching(r"[^\x00-\x1f\x7f]{1,64}"), "at": SECONDS,
        "clock": one_of("synced", "held", "unknown"), "uptime": integer(0),
        "version": PROGRAM_VERSION,
        "configuration": HEX64, "has_owner": one_of(True, False), "recorder": HEALTH_WORD, "camera": HEALTH_WORD,
        "storage": HEALTH_WORD, "supply": HEALTH_WORD,
    },
    {
        "throttle": integer(0, 9), "wifi_dbm": integer(-200, 0),
        "update": one_of("none", "installed", "rolled back", "refused", "interrupted"),
        "update_version": PROGRAM_VERSION,
    },
)  # fmt: skip


def HEALTH(value: Any) -> dict[str, Any]:
    found = _HEALTH(value)
    refuse_unless((found.get("update", "none") == "none") != ("update_version" in found), "the version of an update")
    return found


def _time_proof(value: Any) -> dict[str, Any]:
    stamp = of({"name": LABEL, "response": binary})
    found = fields(value, {"checkpoint": ANY_TEXT}, {"cosignatures": ANY_TEXT, "stamps": many(stamp, 0, 4)})
    refuse_unless(len(found["checkpoint"]) <= 4096 and len(found.get("cosignatures", "")) <= 8192, "too long")
    stamps = found.get("stamps", [])
    refuse_unless(found.get("cosignatures") or stamps, "confirmed by no one")
    refuse_unless(all(each["response"] for each in stamps), "an empty stamp")
    refuse_unless(all(len(each["response"]) <= 21_848 for each in stamps), "too long")
    distinct([each["name"] for each in stamps])
    return found


def _disclosure_manifest(value: Any) -> dict[str, Any]:
    told = of(
        {"from_ms": MILLISECONDS, "to_ms": MILLISECONDS, "leaves": many(HEX64, 1, 10_000)}, {"prev_in_clip": HEX64}
    )
    found = fields(
        value,
        {
            "v": V1, "disclosure": HEX32, "device": public_key, "device_mldsa": mldsa_key, "request": HEX64,
            "approval": ANY_TEXT,
            "enrolments": many(ANY_TEXT, 1, 256), "ledger": LEDGERED, "records": many(ANY_TEXT, 0, 20_000),
            "second_signatures": many(one_of("covered", "none"), 0, 20_000),
            "parts": many(PART, 0, 30_000),
        },
        {"co_approval": ANY_TEXT, "clips": many(told, 0, 4096), "time": _time_proof},
    )  # fmt: skip
    distinct([(each["kind"], each["id"]) for each in found["parts"]])
    refuse_unless(len(found["second_signatures"]) == len(found["records"]), "one for each record")
    return found


def _withdrawal(value: Any) -> dict[str, Any]:
    found = fields(value, {**SAID, "request": HEX32}, {"reason": text(200), "language": LANGUAGE})
    refuse_unless(("reason" in found) == ("language" in found), "a reason without its language, or the reverse")
    return found


MESSAGES: dict[str, tuple[Callable[[Any], dict[str, Any]], int]] = {
    "footage-request": (footage_request, 8192),
    "withdrawal": (_withdrawal, 8192),
    "deletion": (of({**SAID, "request": HEX32, "deleted_s": SECONDS}), 8192),
    "bulletin": (
        of(
            {
                **SAID,
                "id": HEX32,
                "title": text(100),
                "description": text(500),
                "language": LANGUAGE,
                "not_after": SECONDS,
            },
            {"area": area},
        ),
        8192,
    ),
    "receipt": (_receipt, 8192),
    "enrolment": (_enrolment, 4 << 20),
    "approval": (_approval, 4 << 20),
    "co-approval": (of({**STATED, "request": HEX64, "approval": HEX64}), 4 << 20),
    "tip": (_tip, 4 << 20),
    "denial": (of({**STATED, "request": HEX64}), 4 << 20),
    "opt-out": (_opt({"until_s": SECONDS}), 4 << 20),
    "opt-in": (_opt({}), 4 << 20),
    "revocation": (of({**STATED, "disclosure": HEX32}), 4 << 20),
    "hold": (_kept({"until_s": SECONDS}), 4 << 20),
    "release": (_kept({}), 4 << 20),
    "erasure": (_kept({}), 4 << 20),
    "settings": (_settings, 4 << 20),
    "push-subscription": (
        of(
            {**STATED, "endpoint": ENDPOINT, "p256dh": PUSH_KEY, "auth": PUSH_KEY},
            {"glance": HYBRID, "glance_signer": public_key},
        ),
        4 << 20,
    ),
    "push-unsubscription": (of({**STATED, "endpoint": ENDPOINT}), 4 << 20),
    "update-choice": (of({**STATED, "version": VERSION, "sha256": HEX64}), 4 << 20),
    "update-reversal": (of({**STATED, "version": VERSION, "before": VERSION, "change": HEX32}), 4 << 20),
    "stolen": (of({**STATED, "since_s": SECONDS}), 4 << 20),
    "trust-change": (_trust_change, 4 << 20),
    "trust-bundle": (trust_bundle_entries, 1 << 20),
    "trust-root": (root_file, 4096),
    "trust-timestamp": (timestamp, 4096),
    "disclosure-manifest": (_disclosure_manifest, 48 << 20),
    "health-report": (HEALTH, 2048),
    "tip-manifest": (_tip_manifest, 48 << 20),
    "tip-text": (of({"v": V1, "text": text(2000)}), 8192),
    "contact-card": (
        of({"v": V1}, {"name": text(100), "street": text(200), "email": EMAIL, "note": text(500)}),
        8192,
    ),
}
"""By name: what reads it, and the most bytes it may have."""


def read_message(name: str, payload: bytes) -> dict[str, Any]:
    read, limit = MESSAGES[name]
    return read(parse(payload, limit=limit))
