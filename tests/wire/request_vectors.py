"""Footage requests for a second implementation to judge: each named after its defect, or after the bound it just keeps.

A verdict is one of
  accepted            it may be matched
  over limit: <which> well-formed and signed by a trusted requester, listed as blocked
  malformed           signed by a trusted requester or not, it is no footage request
  unsigned            no trusted key of the named requester under the named root signed it
All are judged at the time and under the bundle of `wire/trust.json`, against the hard limits, by a device that heard
the request on a topic naming its id.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator
from typing import Any

from msgspec import to_builtins as builtins

from agent.wire import envelope, strictjson
from agent.wire.messages import FootageRequest
from tests.wire import samples

__all__ = ["vectors"]

NOW, HOUR, DAY = samples.NOW_S, 3600, 86_400
TYPE = FootageRequest.PAYLOAD_TYPE
ACCEPTED, MALFORMED, UNSIGNED = "accepted", "malformed", "unsigned"
GOOD: dict[str, Any] = json.loads(strictjson.encode(samples.request()))
ABSENT = object()


def written(value: dict[str, Any]) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), sort_keys=True).encode("utf-8", "surrogatepass")


def payload(**changes: Any) -> bytes:
    kept = {**GOOD, **{key.rstrip("_"): value for key, value in changes.items()}}
    return written({key: value for key, value in kept.items() if value is not ABSENT})


def signed(data: bytes, by: Any = samples.REQUESTER) -> bytes:
    return envelope.sign(TYPE, data, by)


def reframed(**changes: Any) -> bytes:
    """The good request in an envelope with changed members."""
    return written({**json.loads(signed(payload())), **changes})


def window(length_s: int, ends_s: int = NOW - HOUR) -> dict[str, int]:
    return {"from_": ends_s - length_s, "to": ends_s}


def circle(radius_m: Any, lat: Any = 53.5461, lon: Any = 9.9661) -> dict[str, Any]:
    return {"area": {"shape": "circle", "lat": lat, "lon": lon, "radius_m": radius_m}}


def outline(*corners: tuple[float, float]) -> dict[str, Any]:
    """A polygon from (north, east) thousandths of a degree around the harbour."""
    vertices = [{"lat": round(53.5 + n / 1000, 7), "lon": round(10.0 + e / 1000, 7)} for n, e in corners]
    return {"area": {"shape": "polygon", "vertices": vertices}}


_PARK_AND_NEEDLE = (
    (0, 0), (0, 4.8), (1.5, 4.8), (1.5, 27), (1.8, 27), (1.8, 26.993), (1.505, 26.993), (1.505, 4.8), (3, 4.8), (3, 0)
)  # fmt: skip


def _two_rooms(side: float) -> list[tuple[float, float]]:
    """Two squares of `side` thousandths of a degree of latitude, joined by a neck of one metre."""
    wide, neck = side / 0.6, (side / 2, side / 2 + 0.01)
    far = wide + 2
    return [
        *((0, 0), (0, wide), (neck[0], wide), (neck[0], far), (0, far), (0, far + wide)),
        *((side, far + wide), (side, far), (neck[1], far), (neck[1], wide), (side, wide), (side, 0)),
    ]


def _star(points: int) -> list[tuple[float, float]]:
    """Its spikes are as large as the smallest area together, and each is narrow."""
    corners = []
    for number in range(2 * points):
        reach = 0.6 if number % 2 else 4.3
        turn = math.pi * number / points
        corners.append((reach * math.cos(turn), reach * math.sin(turn) / 0.6))
    return corners


def over(which: str) -> str:
    return f"over limit: {which}"


def _accepted() -> Iterator[tuple[str, dict[str, Any]]]:
    yield "good", {}
    yield "window exactly 15 minutes", window(15 * 60)
    yield "window exactly 12 hours", window(12 * HOUR)
    yield "window that ends now", window(HOUR, NOW)
    yield "window that ends within the clock slack", window(HOUR, NOW + 300)
    yield "look-back exactly 45 days", {"from_": NOW - 45 * DAY, "to": NOW - 45 * DAY + HOUR}
    yield "expires this second", {"not_after": NOW}
    yield "expires in exactly 30 days", {"not_after": NOW + 30 * DAY}
    yield "circle of 144 m", circle(144)
    yield "circle of 642 m", circle(642)
    yield "whole degrees without a fraction", circle(300, lon=10)
    yield "triangle", outline((0, 0), (0, 10), (6, 5))
    yield "polygon clockwise", outline((0, 0), (5, 0), (5, 9), (0, 9))
    yield "polygon with a vertex within a side", outline((0, 0), (0, 4), (0, 9), (5, 9), (5, 0))
    yield "polygon like a strip of 125 m", outline((0, 0), (0, 14), (1.125, 14), (1.125, 0))
    yield "polygon of two rooms and a neck", outline(*_two_rooms(3.0))
    yield "polygon of a large park and a needle", outline(*((n, e) for n, e in _PARK_AND_NEEDLE))
    yield "polygon with a hollow", outline((0, 0), (9, 6), (0, 12), (3, 6))
    for kind in ("other", "fire", "traffic", "missing-person", "lost-pet"):
        yield f"incident {kind}", {"incident": kind}
    yield "description of 500 characters", {"description": "ä" * 500}
    yield "description in other scripts", {"description": "自転車 велосипед دراجة"}
    yield "case of 64 characters", {"case": "7" * 64}
    yield "contact by phone only", {"contact": {"name": "Ada Krüger", "phone": "+49 40 1234"}}
    yield "contact by email only", {"contact": {"name": "Ada Krüger", "email": "a@police.example"}}
    yield "kept for one day", {"retention_days": 1}
    yield "kept for exactly ten years", {"retention_days": 3653}
    yield "passed on to nobody", {"onward": {"to": []}}
    yield (
        "passed on to each kind",
        {
            "onward": {
                "to": ["abroad", "agencies", "appeal", "contractors", "court", "defence", "parties", "records"],
                "basis": "ä" * 120,
            }
        },
    )
    for tag in ("nl-BE", "zh-Hant-TW", "es-419", "haw"):
        yield f"language {tag}", {"language": tag}
    yield "sequence number 1", {"seq": 1}
    yield "sequence number 2^53 - 1", {"seq": 2**53 - 1}


def _over_limit() -> Iterator[tuple[str, dict[str, Any], str]]:
    yield "window one second under 15 minutes", window(15 * 60 - 1), "window too short"
    yield "window of one second", window(1), "window too short"
    yield "window one second over 12 hours", window(12 * HOUR + 1), "window too long"
    yield "window of 45 days", {"from_": NOW - 45 * DAY, "to": NOW}, "window too long"
    yield "window that ends beyond the clock slack", window(HOUR, NOW + 301), "window in the future"
    yield "window tomorrow", window(HOUR, NOW + DAY), "window in the future"
    yield (
        "look-back one second over 45 days",
        {"from_": NOW - 45 * DAY - 1, "to": NOW - 44 * DAY - 14 * HOUR},
        ("look-back too far"),
    )
    yield "window in 1970", window(HOUR, 2 * HOUR), "look-back too far"
    yield "expired one second ago", {"not_after": NOW - 1}, "expired"
    yield "expired in 1970", {"not_after": 0}, "expired"
    yield "expires one second over 30 days", {"not_after": NOW + 30 * DAY + 1}, "expires too late"
    yield "expires in the year 9999", {"not_after": 253_402_300_799}, "expires too late"
    yield "kept for one day over ten years", {"retention_days": 3654}, "kept too long"
    yield "kept for a hundred years", {"retention_days": 36_525}, "kept too long"
    yield "circle of 143 m", circle(143), "area too small"
    yield "circle of 1 m", circle(1), "area too small"
    yield "circle of 643 m", circle(643), "area too large"
    yield "circle of 1700 m", circle(1700), "area too large"
    yield "polygon around one house", outline((0, 0), (0, 0.3), (0.2, 0.3), (0.2, 0)), "area too small"
    yield "polygon around a district", outline((0, 0), (0, 30), (20, 30), (20, 0)), "area too large"
    yield "polygon like a needle", outline((0, 0), (0, 40), (0.1, 40), (0.1, 0)), "area too small"
    yield "polygon of a small park and a needle", {"area": builtins(samples.NEEDLE)}, "area too small"
    yield "polygon of eight needles", outline(*_star(8)), "area too small"
    yield "polygon like a strip of 119 m", outline((0, 0), (0, 14), (1.07, 14), (1.07, 0)), "area too small"
    yield "south of the requester's region", circle(300, lat=52.0, lon=10.0), "outside the region of this requester"
    yield "across the border of the region", circle(300, lat=54.0, lon=10.0), "outside the region of this requester"
    yield (
        "on the other side of the world",
        circle(300, lat=-53.5461, lon=-170.0),
        "outside the region of this requester",
    )


def _malformed_fields() -> Iterator[tuple[str, dict[str, Any]]]:
    for key in sorted(GOOD):
        yield f"without {key}", {key: ABSENT}
    for key in sorted(GOOD):
        yield f"null for {key}", {key: None}
    yield "version 0", {"v": 0}
    yield "version 2", {"v": 2}
    yield "version as text", {"v": "1"}
    yield "version as fraction", {"v": 1.0}
    yield "version true", {"v": True}
    yield "unknown key", {"urgent": True}
    yield "emergency flag", {"emergency": "yes"}
    yield "id in capitals", {"id": "0123456789ABCDEF0123456789ABCDEF"}
    yield "id too short", {"id": "0" * 31}
    yield "id too long", {"id": "0" * 33}
    yield "id with a newline", {"id": "0" * 32 + "\n"}
    yield "id as a number", {"id": 5}
    yield "requester with a slash", {"requester": "harbour/police"}
    yield "requester with a wildcard", {"requester": "+"}
    yield "requester in capitals", {"requester": "Harbour-Police"}
    yield "requester empty", {"requester": ""}
    yield "requester ending in a hyphen", {"requester": "harbour-"}
    yield "requester of 33 characters", {"requester": "h" * 33}
    yield "sequence number 0", {"seq": 0}
    yield "sequence number negative", {"seq": -7}
    yield "sequence number 2^53", {"seq": 2**53}
    yield "sequence number as fraction", {"seq": 7.0}
    yield "sequence number as text", {"seq": "7"}
    yield "trust root too short", {"trust_root": "0" * 15}
    yield "kind unknown", {"kind": "army"}
    yield "kind in capitals", {"kind": "Police"}
    yield "kind is not the requester's", {"kind": "fire"}
    yield "incident unknown", {"incident": "suspicious person"}
    yield "case empty", {"case": ""}
    yield "case of 65 characters", {"case": "7" * 65}
    yield "case with a newline", {"case": "HH\n2027"}
    yield "description empty", {"description": ""}
    yield "description of 501 characters", {"description": "x" * 501}
    yield "description with a link", {"description": "see https://police.example"}
    yield "description with a bare domain", {"description": "see bit.ly/abc"}
    yield "description with a fullwidth dot", {"description": "see example\uff0ecom"}
    yield "description with an override", {"description": "a\u202eb"}
    yield "description with an isolate", {"description": "a\u2067b"}
    yield "description with a zero-width space", {"description": "a\u200bb"}
    yield "description with a null", {"description": "a\x00b"}
    yield "description with an escape sequence", {"description": "a\x1b[2Jb"}
    yield "description with two spaces", {"description": "a  b"}
    yield "description not in form C", {"description": "e\u0301"}
    yield "description with an unseen mark in a link", {"description": "see evil.c\u034fom"}
    yield "description of an unseen letter", {"description": "\u3164"}
    yield "description with piled marks", {"description": "x" + "\u0335\u0336\u0337\u0338\u0334"}
    yield "window backwards", {"from_": NOW - HOUR, "to": NOW - 2 * HOUR}
    yield "window empty", {"from_": NOW - HOUR, "to": NOW - HOUR}
    yield "from negative", {"from_": -1}
    yield "from as a date", {"from_": "2027-01-15T08:00:00Z"}
    yield "to in milliseconds", {"to": (NOW - HOUR) * 1000}
    yield "not_after beyond 9999", {"not_after": 253_402_300_800}
    yield "reply not hybrid", {"reply": samples.X25519_RECIPIENT}
    yield "reply too short", {"reply": samples.REPLY[:-1]}
    yield "reply too long", {"reply": samples.REPLY + "q"}
    yield "reply in capitals", {"reply": samples.REPLY.upper()}
    yield "reply an identity", {"reply": "AGE-SECRET-KEY-PQ-1" + "Q" * 58}
    yield "contact without a way", {"contact": {"name": "Ada"}}
    yield "contact without a name", {"contact": {"phone": "+49 40 1234"}}
    yield "contact as text", {"contact": "Ada"}
    yield "contact with a link for a name", {"contact": {"name": "www.police", "phone": "+49 40 1234"}}
    yield "contact with a bad address", {"contact": {"name": "Ada", "email": "ada"}}
    yield "contact with words for a phone", {"contact": {"name": "Ada", "phone": "call me"}}
    yield "kept for no day", {"retention_days": 0}
    yield "kept for more than a hundred years", {"retention_days": 36_526}
    yield "kept for ever", {"retention_days": "ever"}
    yield "passed on to an unknown kind", {"onward": {"to": ["press"]}}
    yield "passed on twice to one kind", {"onward": {"to": ["court", "court"]}}
    yield "passed on out of order", {"onward": {"to": ["defence", "court"]}}
    yield "passed on without a list", {"onward": {"basis": "Police data act"}}
    yield "passed on as text", {"onward": "court"}
    yield "passed on with an unknown key", {"onward": {"to": [], "never": True}}
    yield "passed on under a law of 121 characters", {"onward": {"to": ["court"], "basis": "x" * 121}}
    yield "passed on under an empty law", {"onward": {"to": ["court"], "basis": ""}}
    yield "passed on under a link", {"onward": {"to": ["court"], "basis": "see law.example"}}
    yield "language in words", {"language": "English"}
    yield "language in capitals", {"language": "EN"}
    yield "language with a region in small letters", {"language": "nl-be"}
    yield "language with a newline", {"language": "en\n"}
    yield "language with an underscore", {"language": "nl_BE"}
    yield "language empty", {"language": ""}
    yield "contact with an unknown key", {"contact": {"name": "Ada", "phone": "+49 40 1234", "fax": "1"}}


def _malformed_areas() -> Iterator[tuple[str, dict[str, Any]]]:
    yield "area without a shape", {"area": {"lat": 53.5, "lon": 10.0, "radius_m": 300}}
    yield "area of an unknown shape", {"area": {"shape": "star"}}
    yield "area as a place", {"area": {"lat": 53.5, "lon": 10.0}}
    yield "circle of 0 m", circle(0)
    yield "circle of a negative radius", circle(-300)
    yield "circle of a fractional radius", circle(300.5)
    yield "circle beyond the plane", circle(2500)
    yield "circle at the pole", circle(300, lat=90.0)
    yield "circle beyond 80 degrees", circle(300, lat=79.9999)
    yield "circle on the antimeridian", circle(300, lon=179.9999)
    yield "circle off the Earth", circle(300, lat=90.1)
    yield "circle too far east", circle(300, lon=180.1)
    yield "circle with eight decimals", circle(300, lat=53.54612345)
    yield "circle with text for a place", circle(300, lat="53.5")
    yield "polygon of two vertices", outline((0, 0), (5, 5))
    yield "polygon of 33 vertices", outline(*((n % 2, n) for n in range(33)))
    yield "polygon closed by its first vertex", outline((0, 0), (0, 9), (5, 9), (0, 0))
    yield "polygon like a bow tie", outline((0, 0), (5, 9), (5, 0), (0, 9))
    yield "polygon that touches itself", outline((0, 0), (0, 10), (10, 10), (10, 0), (0, 5))
    yield "polygon with a spike folded back", outline((0, 0), (0, 9), (0, 4), (5, 4))
    yield "polygon without an inside", outline((0, 0), (0, 4), (0, 9))
    yield "polygon longer than 5 km", outline((0, 0), (0, 90), (3, 90), (3, 0))
    yield "polygon of pairs", {"area": {"shape": "polygon", "vertices": [[53.5, 10.0], [53.5, 10.01], [53.51, 10.0]]}}
    yield (
        "polygon across the antimeridian",
        {
            "area": {
                "shape": "polygon",
                "vertices": [{"lat": 0, "lon": 179.99}, {"lat": 0, "lon": -179.99}, {"lat": 0.01, "lon": 179.99}],
            }
        },
    )


def _malformed_bytes() -> Iterator[tuple[str, bytes]]:
    good = payload()
    yield "payload empty", b""
    yield "payload not JSON", b"please"
    yield "payload a list", b"[" + good + b"]"
    yield "payload with a trailing comma", good[:-1] + b",}"
    yield "payload twice", good + good
    yield "payload with a byte-order mark", b"\xef\xbb\xbf" + good
    yield "payload in UTF-16", good.decode().encode("utf-16")
    yield "payload in Latin-1", good.decode().encode("latin-1")
    yield "payload with overlong UTF-8", good.replace(b"2027/0815", b"2027\xc0\xaf0815")
    yield "payload with half a surrogate pair", good.replace(b"2027/0815", b"2027\\ud800")
    yield "payload with a duplicate key", good[:-1] + b',"v":1}'
    yield "payload with a duplicate key by escape", good[:-1] + b',"\\u0076":1}'
    yield "payload with a duplicate key inside", good.replace(b'"name":', b'"name":"x","name":')
    yield "payload with NaN", good.replace(b'"seq":7', b'"seq":NaN')
    yield "payload with an exponent", good.replace(b'"seq":7', b'"seq":7e0')
    yield "payload with minus zero", good.replace(b'"seq":7', b'"seq":-0')
    yield "payload with a leading zero", good.replace(b'"seq":7', b'"seq":07')
    yield "payload with an endless integer", good.replace(b'"seq":7', b'"seq":' + b"9" * 4000)
    yield "payload with a comment", good + b"//"
    yield "payload too deep", good[:-1] + b',"x":' + b"[" * 3000 + b"]" * 3000 + b"}"
    yield "payload one byte over 8 KiB", good + b" " * (strictjson.REQUEST_LIMIT_BYTES + 1 - len(good))


def _envelopes() -> Iterator[tuple[str, bytes, str]]:
    good = json.loads(signed(payload()))
    signature = good["signatures"][0]
    raw = strictjson.decode_base64(signature["sig"])
    flipped = strictjson.encode_base64(bytes([raw[0] ^ 1]) + raw[1:])
    order = 2**252 + 27742317777372353535851937790883648493
    malleated = strictjson.encode_base64(raw[:32] + (int.from_bytes(raw[32:], "little") + order).to_bytes(32, "little"))
    yield "envelope empty", b"", MALFORMED
    yield "envelope noise", bytes(range(256)), MALFORMED
    yield "envelope cut short", signed(payload())[:-2], MALFORMED
    yield "envelope without signatures", reframed(signatures=[]), MALFORMED
    yield "envelope with two signatures", reframed(signatures=[signature, signature]), MALFORMED
    yield "envelope with an unknown key", reframed(note="x"), MALFORMED
    yield "envelope with a duplicate key", signed(payload())[:-1] + b',"payloadType":"x"}', MALFORMED
    yield "envelope of another payload type", reframed(payloadType="application/vnd.doorward.approval+json"), MALFORMED
    yield "envelope of another message kind", reframed(payloadType="application/vnd.doorward.bulletin+json"), UNSIGNED
    unpadded = signed(payload() + b" " * ((1 - len(payload())) % 3)).replace(b'==","payloadType"', b'","payloadType"')
    yield "envelope without padding", unpadded, MALFORMED
    yield "envelope in URL-safe base64", reframed(payload=good["payload"].replace("/", "_") + "_"), MALFORMED
    broken = good["payload"][:76] + "\n" + good["payload"][76:]
    yield "envelope with a line break in its base64", reframed(payload=broken), MALFORMED
    short = {**signature, "sig": strictjson.encode_base64(raw[:63])}
    yield "envelope with a short signature", reframed(signatures=[short]), MALFORMED
    yield "envelope over 12 KiB", signed(payload()) + b" " * 12_288, MALFORMED
    yield (
        "payload changed after signing",
        reframed(payload=strictjson.encode_base64(payload(case="HH 2027/0816"))),
        UNSIGNED,
    )
    yield "signature changed", reframed(signatures=[{**signature, "sig": flipped}]), UNSIGNED
    yield "signature malleated by the group order", reframed(signatures=[{**signature, "sig": malleated}]), UNSIGNED
    yield (
        "signature of zeros",
        reframed(signatures=[{**signature, "sig": strictjson.encode_base64(bytes(64))}]),
        UNSIGNED,
    )
    yield (
        "signature over the bare payload",
        reframed(signatures=[{**signature, "sig": strictjson.encode_base64(samples.REQUESTER.sign(payload()))}]),
        UNSIGNED,
    )
    yield "signed by an unknown key", signed(payload(), samples.OWNER), UNSIGNED
    yield "signed by the root itself", signed(payload(), samples.ROOT), UNSIGNED
    yield (
        "signed by an unknown key under the known id",
        reframed(
            signatures=[{**signature, "sig": json.loads(signed(payload(), samples.OWNER))["signatures"][0]["sig"]}]
        ),
        UNSIGNED,
    )
    yield "in another requester's name", signed(payload(requester="fire-brigade")), UNSIGNED
    yield "under another root", signed(payload(trust_root="0" * 16)), UNSIGNED


def vectors() -> dict[str, dict[str, str]]:
    """By file name: the verdict, and the envelope as text (or in base64 where it is not UTF-8)."""
    found: dict[str, dict[str, str]] = {}

    def add(name: str, data: bytes, verdict: str) -> None:
        file = name.replace(" ", "_").replace("'", "").replace("^", "").replace("-_", "").lower()
        if file in found:
            raise AssertionError(file)
        found[file] = {"name": name, "verdict": verdict, **_as_text(data)}

    for name, changes in _accepted():
        add(name, signed(payload(**changes)), ACCEPTED)
    for name, changes, which in _over_limit():
        add(name, signed(payload(**changes)), over(which))
    for source in (_malformed_fields, _malformed_areas):
        generate: Callable[[], Iterator[tuple[str, dict[str, Any]]]] = source
        for name, changes in generate():
            add(name, signed(payload(**changes)), MALFORMED)
    for name, data in _malformed_bytes():
        add(name, signed(data), MALFORMED)
    for name, data, verdict in _envelopes():
        add(name, data, verdict)
    return found


def _as_text(data: bytes) -> dict[str, str]:
    try:
        return {"envelope": data.decode("utf-8")}
    except UnicodeDecodeError:
        return {"envelope_base64": strictjson.encode_base64(data)}
