"""Trust bundles and footage requests, judged as a device judges them: PROTOCOL.md, sections 5 and 7."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tests.second_reader.area import Area, area, place
from tests.second_reader.directory import rectangle
from tests.second_reader.envelope import (
    UnsignedError,
    encoding,
    key_id,
    open_envelope,
    public_key,
    signed_by_pair,
    signed_by_roots,
)
from tests.second_reader.json_once import (
    HEX32,
    HEX64,
    HYBRID,
    KEY_ID,
    LABEL,
    SECONDS,
    V1,
    RefusedError,
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

KIND = one_of("police", "fire", "insurer", "neighbour", "court", "defence")
INCIDENT = one_of(
    "assault", "burglary", "fire", "fraud", "lost-pet", "missing-person", "parcel-theft", "robbery", "theft",
    "traffic", "trespass", "vandalism", "vehicle-crime", "other",
)  # fmt: skip
EMAIL = matching(r"[A-Za-z0-9._+-]{1,64}@[A-Za-z0-9-]{1,63}(\.[A-Za-z0-9-]{1,63}){1,4}")
ONWARD = one_of("court", "defence", "parties", "agencies", "abroad", "contractors", "records", "appeal")
LANGUAGE = matching(r"[a-z]{2,3}(-[A-Z][a-z]{3})?(-([A-Z]{2}|[0-9]{3}))?")
PHONE = matching(r"(?=.{4,32}$)[0-9+][0-9 ]*[0-9]")
DAY_S = 86_400
ACCEPTED = ("footage-request", "withdrawal", "deletion", "receipt", "bulletin")
"""Messages that a device takes over MQTT."""
LIMITS = ("window_min_s", "window_max_s", "look_back_max_s", "area_min_m2", "area_max_m2", "life_max_s",
          "retention_max_days",
          "requests_per_case", "requests_per_requester_per_day")  # fmt: skip


def contact(value: Any) -> dict[str, Any]:
    found = fields(value, {"name": text(100)}, {"email": EMAIL, "phone": PHONE})
    refuse_unless(len(found) > 1, "no way to reach them")
    return found


def onward(value: Any) -> dict[str, Any]:
    found = fields(value, {"to": many(ONWARD, 0, 8)}, {"basis": text(120)})
    refuse_unless(found["to"] == sorted(set(found["to"])), "order of those it is passed on to")
    return found


def footage_request(value: Any) -> dict[str, Any]:
    found = fields(
        value,
        {
            "v": V1, "id": HEX32, "requester": LABEL, "seq": integer(1), "trust_root": KEY_ID, "kind": KIND,
            "case": text(64), "incident": INCIDENT, "description": text(500), "area": area, "from": SECONDS,
            "to": SECONDS, "not_after": SECONDS, "reply": HYBRID, "contact": contact,
            "retention_days": integer(1, 36_525), "onward": onward, "language": LANGUAGE,
        },
    )  # fmt: skip
    refuse_unless(found["from"] < found["to"], "window")
    return found


def requester_entry(value: Any) -> dict[str, Any]:
    def key(each: Any) -> dict[str, Any]:
        must = {"key": public_key, "from_s": SECONDS, "until_s": SECONDS}
        found = fields(each, must, {"revoked": one_of(True, False)})
        refuse_unless(found["from_s"] <= found["until_s"], "it ends before it begins")
        return found

    def region(each: Any) -> dict[str, Any]:
        found = fields(each, {"south_west": place, "north_east": place})
        low, high = found["south_west"], found["north_east"]
        refuse_unless(low[0] < high[0] and low[1] < high[1], "inside out")
        return found

    limits = {name: integer(0) for name in LIMITS}
    return fields(
        value,
        {"id": LABEL, "name": text(100), "kind": KIND, "keys": many(key, 1, 8), "regions": many(region, 1, 32)},
        {
            "limits": lambda each: fields(each, {}, limits),
            "tips": matching("age1pq1[qpzry9x8gf2tvdw0s3jn54khce6mua7l]{1952}"),
        },
    )


def trust_bundle_entries(value: Any) -> dict[str, Any]:
    must = {"v": V1, "root": KEY_ID, "version": integer(1), "issued_s": SECONDS}
    more = {"directory_sha256": HEX64, "sections": many(_named_section, 0, 128)}
    found = fields(value, {**must, "requesters": many(requester_entry, 0, 1024)}, more)
    distinct([each["sha256"] for each in found.get("sections", [])])
    distinct_requesters(found["requesters"])
    return found


def _named_section(value: Any) -> dict[str, Any]:
    return fields(value, {"cells": rectangle, "sha256": HEX64})


def distinct_requesters(listed: list[dict[str, Any]]) -> None:
    distinct([each["id"] for each in listed])
    distinct([each["name"].casefold() for each in listed])
    distinct([key["key"] for each in listed for key in each["keys"]])


def trust_bundle(data: bytes, root: tuple[bytes, bytes]) -> dict[str, Any]:
    payload, signatures = signed_by_roots(data, "trust-bundle", 3 << 19)
    signed = encoding("application/vnd.doorward.trust-bundle+json", payload)
    if list(signatures) != [key_id(root[0])] or not signed_by_pair(root, signatures[key_id(root[0])], signed):
        raise UnsignedError
    found = trust_bundle_entries(parse(payload, limit=1 << 20))
    refuse_unless(found["root"] == key_id(root[0]), "another root")
    return found


def judge(data: bytes, bundle: Mapping[str, Any], *, now_s: int) -> str:
    """The verdict under one bundle, at `now_s`, with the hard limits."""
    listed = {
        key_id(key["key"]): (key["key"], requester)
        for requester in bundle["requesters"]
        for key in requester["keys"]
        if not key.get("revoked") and key["from_s"] <= now_s <= key["until_s"]
    }
    try:
        refuse_unless(_type(data) in ACCEPTED, "a type that no device accepts")
        payload = open_envelope(data, "footage-request", {name: key for name, (key, _) in listed.items()})
        signer = listed[parse(data, limit=12_288)["signatures"][0]["keyid"]][1]
        request = footage_request(parse(payload, limit=8192))
        if request["requester"] != signer["id"] or request["trust_root"] != bundle["root"]:
            return "unsigned"  # the key is not trusted for that requester under that root
        refuse_unless(request["kind"] == signer["kind"], "another kind")
    except UnsignedError:
        return "unsigned"
    except RefusedError:
        return "malformed"
    over = _over(request, signer, now_s)
    return f"over limit: {over}" if over else "accepted"


def _type(data: bytes) -> str:
    outer = parse(data, limit=12_288)
    refuse_unless(isinstance(outer, dict) and isinstance(outer.get("payloadType"), str), "no envelope")
    return str(outer["payloadType"]).removeprefix("application/vnd.doorward.").removesuffix("+json")


def _over(request: Mapping[str, Any], signer: Mapping[str, Any], now_s: int) -> str | None:
    window_s = request["to"] - request["from"]
    size_m2 = request["area"].size_m2
    rows = (
        (window_s < 900, "window too short"),
        (window_s > 43_200, "window too long"),
        (size_m2 > 1_294_994, "area too large"),
        (size_m2 <= 1_294_994 and request["area"].opened_m2 < 64_750, "area too small"),
        (request["retention_days"] > 3653, "kept too long"),
        (request["to"] > now_s + 300, "window in the future"),
        (request["from"] < now_s - 45 * DAY_S, "look-back too far"),
        (request["not_after"] < now_s, "expired"),
        (request["not_after"] > now_s + 30 * DAY_S, "expires too late"),
        (not any(_within(request["area"], each) for each in signer["regions"]), "outside the region of this requester"),
    )
    return next((name for broken, name in rows if broken), None)


def _within(asked: Area, region: Mapping[str, tuple[int, int]]) -> bool:
    south, west, north, east = (each * 10**7 for each in asked.bounds)
    low, high = region["south_west"], region["north_east"]
    return bool(low[0] <= south and low[1] <= west and north <= high[0] and east <= high[1])
