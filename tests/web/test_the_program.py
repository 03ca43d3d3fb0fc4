"""The page's own modules, run in node: they speak the wire as the device does, and the bundle is what they make."""

from __future__ import annotations

import base64
import hashlib
import json
import math
import os
import re
import shutil
import subprocess
from difflib import SequenceMatcher
from pathlib import Path

import msgspec
import pytest

from agent.clients.opening import HybridIdentity, open_bytes
from agent.core.media import Gop, VideoCodec
from agent.core.timebase import BootNs
from agent.core.vault.age.header import split
from agent.core.vault.age.sealing import seal_bytes
from agent.core.vault.segment import split_poster
from agent.errors import FormatError
from agent.media.fmp4 import FragmentedMp4Writer
from agent.wire.area import Area, Circle, share_near
from agent.wire.disclosures import ContactCard
from agent.wire.envelope import pae
from agent.wire.fields import text_fault
from agent.wire.lookalikes import lookalikes
from tests.cameras import filmed_by_camera
from tests.wire.test_lookalikes import MARKED, PLAIN

pytestmark = pytest.mark.interop

HERE = Path(__file__).parent
WEB = HERE.parents[1] / "agent" / "web"
NOT_STRICT = [
    '{"a":1,"a":2}', '{"a":1,"\\u0061":2}', '{"a":1.0}', '{"a":1e3}', '{"a":-0}', '{"a":01}', '{"a":9007199254740992}',
    '{"a":NaN}', "\ufeff{}", '{"a":"\\ud800"}', '{"a":"e\u0301"}', "{'a':1}", '{"a":1,}', "[" * 9 + "]" * 9, "{} x", "",
    '{"lat":1.12345678}', '{"lat":1234.5}', '{"lat":1e1}', '{"x":52.5}',
]  # fmt: skip
STRICT = ['{"a":[1,"é",null,true]}', '{"lat":52.0902,"lon":-0.5}', ' {"a" : 1 } ', '{"a":9007199254740991}']


def require_node() -> str:
    """Returns the path of node."""
    found = shutil.which("node")
    if found is None or not (WEB / "src" / "node_modules" / "age-encryption").is_dir():
        pytest.skip("node or the page's packages are missing: run `npm ci` in agent/web/src")
    return found


def node(script: str, *arguments: str, zone: str | None = None, many_passphrases: bool = False) -> dict[str, object]:
    """`many_passphrases`: with the scrypt of Node.js in the place of the one in JavaScript, which is slow."""
    found = require_node()
    flags = ["--import", (HERE / "native_scrypt.mjs").as_uri()] if many_passphrases else []
    environment = os.environ | ({"TZ": zone} if zone else {})
    done = subprocess.run(
        [found, *flags, HERE / script, *arguments], capture_output=True, text=True, timeout=300, env=environment
    )
    assert done.returncode == 0, done.stderr
    answer: dict[str, object] = json.loads(done.stdout)
    return answer


OF_THE_MOMENT = {"window in the future", "look-back too far", "expired", "expires too late"}
"""Limits that depend on when a doorbell was asked. The page judges those of them that always hold (`late.json`)."""


def request_verdicts() -> list[tuple[str, str]]:
    """Name and verdict of each footage request of the vectors."""
    found = sorted((HERE.parent / "vectors/wire/requests").glob("*.json"))
    assert len(found) > 200
    return [(each["name"], each["verdict"]) for each in (json.loads(path.read_text()) for path in found)]


def test_the_browser_reads_and_writes_every_vector_of_the_wire_as_we_do() -> None:
    found = node("vectors.mjs", json.dumps(NOT_STRICT + STRICT))
    assert found["keys"] == len(json.loads((HERE.parent / "vectors/wire/keys.json").read_text()))
    assert {"approval.json", "enrolment.json", "opt-out.json", "denial.json", "revocation.json"} <= set(
        found["spelled"]
    )  # type: ignore[call-overload]
    # A recovered record is what a power cut left.
    assert found["records"] == ["segment", "recovered", "segment", "segment"]
    assert found["short"] == ["refused"], "a second signature has its length, also where the page does not verify it"
    assert found["areas"]
    late = json.loads((HERE.parent / "vectors/wire/late.json").read_text())
    assert found["late"] == [row["over"] for row in late]
    assert found["shown"] == {
        name: verdict == "accepted" or verdict.removeprefix("over limit: ") in OF_THE_MOMENT
        for name, verdict in request_verdicts()
    }
    # No requester before an owner agreed, then one, and none again once the root has taken it off its list.
    assert found["narrowed"] == [False, True, False, 0, "error.older-bundle"]
    # A doorbell shows no other chain of root files after a rotation, in whatever place it puts it.
    assert found["forked"] == ["error.forked-package"] * 8
    packages = json.loads((HERE.parent / "vectors/wire/packages.json").read_text())
    assert found["packages"] == {
        f"{group}: {name}": row["verdict"] == "accepted"
        for group in ("first", "after_seen", "after_rotation")
        for name, row in packages[group].items()
    }
    assert found["one_id"] == [row["verdict"] == "accepted" for row in packages["of_one_id"]]
    assert found["taken_over"] == {name: [row["new"], row["disputed"]] for name, row in packages["taken_over"].items()}
    assert found["no_root"] == ["error.not-signed"]
    refused = {"mixed": "error.mixed-package", "malformed": "malformed"}
    agreed, both = ["local-1"], ["local-1", "local-3"]
    assert found["moved"] == [agreed, agreed, both, both], "those that the owner saw at both places"
    assert found["sections"] == {
        name: refused.get(row["verdict"], row["requesters"]) for name, row in packages["sections"].items()
    }
    assert found["roots"] == 8
    assert found["proofs"]
    assert found["broken"] == found["proofs"]
    assert found["checkpoints"]
    assert found["refused"] == dict.fromkeys(NOT_STRICT, True) | dict.fromkeys(STRICT, False)
    assert found["pae"] == pae("t", b"x").hex()
    bad = sorted((HERE.parent / "vectors/vault/bad").glob("plaintext_seen*"))
    assert found["seen"] == {"plaintext.mp4": None, "plaintext_seen.mp4": ["person", "vehicle"]} | {
        f"bad/{path.name}": "refused" for path in bad
    }
    image, _context = split_poster((HERE.parent / "vectors/vault/poster.jpg").read_bytes())
    bad = sorted((HERE.parent / "vectors/vault/bad").glob("*.jpg"))
    assert bad
    refused = {f"bad/{path.name}": "refused" for path in bad}
    assert found["posters"] == {"poster.jpg": [image.hex(), ["person"]]} | refused


TEXTS = [
    "Ada", "", " Ada", "Ada ", "A  b", "a\tb", "a\u00a0b", "a\u202eb", "a\u200db", "e\u0301", "\u00e9", "3.5 a.m.",
    "see bit.ly",
    "www.x", "awww.", "https://x", "tel:1", "hotel: yes", "a\u3002jp", "x" * 40, "x" * 41, "\U0001f600" * 40, "\ue000",
    "q" + "\u0323" * 4,
    "q" + "\u0323" * 5, "No. Really", "no.really", "1.2", "a_b.cd", "a\u2028b", "\ud83d",
    "see x.\u0345om", "\u0345.com", "x.\u03b9om", "a\u0345www.b", "x.\u2160\u2160", "x.\u00bd\u00bd",
    "evil.c\u034fom", "\u3164", "a\u2800b", "\u2764\ufe0f", "evil\u2024com", "evil\ufe52com",
]  # fmt: skip
CARDS = [
    ({"name": "Ada", "street": "Mill Lane 3", "email": "ada@example.org", "note": "Ring twice."}, ""),
    ({}, ""),
    ({"email": "ada@localhost"}, "error.contact-email"),
    ({"email": "a@b.de, c@d.de"}, "error.contact-email"),
    ({"note": "look at bit.ly"}, "error.contact-words"),
    ({"name": "x" * 101}, "error.contact-words"),
]


def test_the_page_says_the_same_share_near_the_door_as_the_command_line(tmp_path: Path) -> None:
    """The areas of the vectors: circles, outlines with narrow parts, outlines in which no place counts."""
    vectors = json.loads((HERE.parent / "vectors" / "wire" / "areas.json").read_text())
    areas: list[Area] = [msgspec.convert(each["area"], Area) for each in vectors]
    cases = []
    for area in areas:
        box = area.bounds
        middle = round((box.south + box.north) / 2, 7), round((box.west + box.east) / 2, 7)
        cases += [(area, *place, metres) for place in (middle, (box.north, box.west)) for metres in (200, 1000)]
    asked = [
        {"area": msgspec.to_builtins(area), "place": {"lat": lat, "lon": lon}, "radius": radius}
        for area, lat, lon, radius in cases
    ]
    (tmp_path / "cases").write_text(json.dumps(asked))
    ours = [share_near(*case) for case in cases]
    assert node("near.mjs", str(tmp_path / "cases"))["shares"] == pytest.approx(ours, abs=1e-6)
    assert len({round(share, 2) for share in ours}) > 10


def test_the_page_draws_the_outline_to_scale_with_the_door_at_its_place(tmp_path: Path) -> None:
    """Each drawing is compared with metres on the ground: east is right, north is up, and the door is where it is."""
    vectors = json.loads((HERE.parent / "vectors" / "wire" / "areas.json").read_text())
    areas: list[Area] = [msgspec.convert(each["area"], Area) for each in vectors]
    doors = []
    for area in areas:
        box = area.bounds
        doors.append((box.south + 0.7 * (box.north - box.south), box.west + 0.2 * (box.east - box.west)))
    asked = [
        {"area": msgspec.to_builtins(area), "place": {"lat": lat, "lon": lon}, "radius": 200}
        for area, (lat, lon) in zip(areas, doors, strict=True)
    ]
    (tmp_path / "cases").write_text(json.dumps(asked))
    found = node("near.mjs", str(tmp_path / "cases"))
    assert found["unknown"] is None, "a door whose place is unknown is not drawn"
    for area, door, drawing in zip(areas, doors, found["drawn"], strict=True):
        box, (wide, high) = area.bounds, (drawing["wide"], drawing["high"])
        shrink = math.cos(math.radians((box.south + box.north) / 2))
        ground = ((box.east - box.west) * shrink, box.north - box.south)
        assert max(wide, high) == pytest.approx(160)
        assert wide / high == pytest.approx(ground[0] / ground[1], rel=0.01)
        at = float(drawing["door"]["cx"]), float(drawing["door"]["cy"])
        assert at == pytest.approx((0.2 * wide, 0.3 * high), abs=0.5), (area, door)
        if isinstance(area, Circle):
            assert drawing["line"]["shape"] == "ellipse"
            middle = {name: float(value) for name, value in drawing["line"]["attributes"].items()}
            halves = {"cx": wide / 2, "cy": high / 2, "rx": wide / 2, "ry": high / 2}
            assert middle == pytest.approx(halves)
            continue
        points = [tuple(map(float, pair.split(","))) for pair in drawing["line"]["attributes"]["points"].split()]
        assert points == [
            pytest.approx(
                (
                    (vertex.lon - box.west) / (box.east - box.west) * wide,
                    (box.north - vertex.lat) / (box.north - box.south) * high,
                ),
                abs=0.1,
            )
            for vertex in area.vertices
        ]


def test_the_browser_takes_for_plain_words_what_a_requester_will() -> None:
    names = [*PLAIN, *MARKED, *TEXTS]
    given = {"texts": TEXTS, "cards": [card for card, _ in CARDS], "names": names}
    found = node("texts_and_cards.mjs", json.dumps(given))
    ours = [1 <= len(words) <= 40 and text_fault(words) is None for words in TEXTS]
    assert found["plain"] == ours
    assert found["lookalikes"] == [list(lookalikes(name)) for name in names]
    assert found["cards"] == [said for _, said in CARDS]
    for card, said in CARDS:
        if said:
            with pytest.raises(FormatError):
                ContactCard(v=1, **card)
        else:
            assert ContactCard(v=1, **card)


def test_the_browser_opens_ours_and_we_open_what_it_rewraps(tmp_path: Path) -> None:
    owner, recovery, requester = (HybridIdentity(name.ljust(32)) for name in (b"owner", b"recovery", b"requester"))
    plain = bytes(i * 31 % 251 for i in range(200_000))
    recipients = [recovery.recipient(), owner.recipient()]
    sealed = seal_bytes(plain, recipients, file_key=bytes(range(16)), nonce=bytes(range(100, 116)))
    (tmp_path / "sealed.age").write_bytes(sealed)
    arguments = (owner.secret_text(), str(tmp_path / "sealed.age"), requester.secret_text(), str(tmp_path / "new.age"))
    found = node("age.mjs", *arguments)
    assert found["border"] == split(sealed)
    assert found["sha256"] == hashlib.sha256(plain).hexdigest()
    assert found["torn"] == [196_608, False]
    assert found["whole"] == [200_000, True]
    rewrapped = (tmp_path / "new.age").read_bytes()
    assert rewrapped[split(rewrapped) :] == sealed[split(sealed) :]
    assert open_bytes(rewrapped, [requester]) == plain


def test_the_shipped_bundle_is_what_the_sources_make(tmp_path: Path) -> None:
    source = WEB / "src"
    if shutil.which("node") is None or not (source / "node_modules" / "esbuild").is_dir():
        pytest.skip("esbuild is not installed: run `npm ci` in agent/web/src")
    subprocess.run(["node", "build.mjs", tmp_path], cwd=source, check=True, timeout=300)
    for made in tmp_path.iterdir():
        assert made.read_bytes() == (WEB / "static" / made.name).read_bytes(), f"{made.name}: run `make page`"


def test_the_browser_keeps_each_file_that_the_page_loads_later() -> None:
    """Away from home, over the relay, the doorbell's files are out of reach: a file that is not kept is missing."""
    (kept,) = re.findall(r"const PROGRAM = (\[[^\]]+\])", (WEB / "src" / "service.js").read_text())
    files = {path.name for path in (WEB / "static").iterdir() if path.suffix in (".js", ".bin", ".css")}
    assert files - {"worker-service.js"} <= set(re.findall(r'"([^"]+)"', kept))


def test_the_bundle_stays_small_and_fetches_nothing_from_elsewhere() -> None:
    program = {name: (WEB / "static" / name).read_bytes() for name in ("app.js", "worker.js", "page.css")}
    assert sum(map(len, program.values())) < 515_000
    for name, data in program.items():
        assert not re.search(
            rb"\b(eval\s*[(`]|importScripts|innerHTML|outerHTML|insertAdjacentHTML|document\.write)", data
        ), name
        addresses = set(re.findall(rb"https?://[a-z0-9.-]+", data)) - {b"http://www.w3.org"}
        assert not addresses, (name, addresses)


def test_the_program_asks_for_nothing_that_the_oldest_browser_it_is_built_for_lacks() -> None:
    """esbuild checks syntax only. Methods, and patterns made of strings, are checked here. See also globals.mjs."""
    assert '"safari16"' in (WEB / "src" / "build.mjs").read_text()
    newer = re.compile(r"\(\?<[=!]|\.(toSorted|toReversed|toSpliced|withResolvers|isWellFormed)\b|AbortSignal\.any")
    for file in [*(WEB / "src").glob("*.js"), *(WEB / "src").glob("[!n]*/*.js")]:
        assert not newer.findall(file.read_text()), file.name


LOOKED_FOR = re.compile(
    r"""(?:getByText|getByLabel|name:|hasText:)\s*\(?\s*"((?:[^"\\]|\\.)+)"|assert "([^"]+)" (?:not )?in """
)
OWN_DATA = re.compile(r'^\w+ = "(.+)"$', re.MULTILINE)
"""Values in a configuration that the test itself writes."""
DATA = re.compile(r": |owner-\w+|The \w+-police|\$?\{.*?\}|\d+")


def nearly_says(text: str, sentence: str) -> bool:
    """Returns True if the text has the sentence, up to a value that the page puts at its end or its beginning."""
    if min(len(text), len(sentence)) < 0.8 * len(sentence):
        return False
    same = SequenceMatcher(None, text, sentence, autojunk=False).find_longest_match()
    return same.size >= 0.8 * len(sentence)


def test_every_sentence_that_a_browser_test_looks_for_is_one_of_the_page_or_the_doorbell() -> None:
    """Those tests run seldom: a changed text must fail here, before it breaks or empties them."""
    texts = json.loads((WEB / "texts" / "en.json").read_text()).values()
    fragments = [part for text in texts for part in re.split(r"\{\w+\}", text)]
    others = [path.read_text() for path in [*WEB.parent.rglob("*.py"), *WEB.parent.rglob("templates/*.html")]]
    missing = []
    for path in sorted((HERE.parent / "browser").glob("*.py")):
        code = path.read_text()
        found = [match[0] or match[1] for match in LOOKED_FOR.findall(code) if match[0] not in OWN_DATA.findall(code)]
        pieces = [piece.strip() for text in found for piece in DATA.split(text.replace("\\'", "'"))]
        sentences = [piece for piece in pieces if len(piece) >= 12 and " " in piece]
        # The slow comparison comes last: it is for the few sentences of which only a part is written somewhere.
        missing += [
            f"{path.name}: {each}"
            for each in sentences
            if not any(each in text for text in (*fragments, *others))
            if not any(nearly_says(part, each) for part in fragments)
        ]
    assert not missing


def test_every_state_entry_and_kind_of_the_device_has_words() -> None:
    from agent.core.bus import LinkFault
    from agent.core.consent import RequestState
    from agent.core.events import EventKind
    from agent.core.ledger.entries import EntryKind
    from agent.core.object_detection.labels import ObjectLabel
    from agent.core.vault.records import GapReason
    from agent.custodian.custodian_process import _NO_RECORDER
    from agent.wire.fields import Incident, Kind, OnwardKind

    english = json.loads((WEB / "texts" / "en.json").read_text())
    for prefix, values in (
        ("state", RequestState), ("ledger", EntryKind), ("kind", Kind), ("onward", OnwardKind),
        ("incident", Incident), ("gap", GapReason),
        ("event", EventKind), ("event", ObjectLabel), ("link", LinkFault),
    ):  # fmt: skip
        missing = [each.value for each in values if f"{prefix}.{each.value}" not in english]
        assert not missing, (prefix, missing)
    assert not [each.value for each in RequestState if f"state.{each.value}.text" not in english]
    assert f"camera.{_NO_RECORDER['state']}" in english
    assert "link.no uplink" in english


def test_whatever_ends_by_itself_has_words_for_why() -> None:
    from agent.custodian.releases import APPROVER_LEFT, REQUESTER_NOT_TRUSTED
    from agent.wire.limits import OverLimit

    english = json.loads((WEB / "texts" / "en.json").read_text())
    known = (WEB / "src" / "pages" / "respond.js").read_text()
    late = (OverLimit.WINDOW_IN_FUTURE, OverLimit.LOOK_BACK_TOO_FAR, OverLimit.LIVES_TOO_LONG)
    for reason in (REQUESTER_NOT_TRUSTED, APPROVER_LEFT, *(each.value for each in late)):
        assert f"reason.{reason}" in english
        assert f'"{reason}"' in known


def test_an_error_of_the_worker_is_the_same_error_on_the_page_once_both_are_minified() -> None:
    assert node("errors.mjs") == [
        ["PageError"],
        ["PageError", "FormatError"],
        ["PageError", "FormatError", "OpenError"],
        ["PageError", "RefusedError"],
        ["PageError", "LostError"],
    ]


def test_a_statement_that_was_overtaken_is_signed_once_more_on_the_page_and_only_at_once() -> None:
    assert node("stating.mjs")["found"] == [
        ["done", 2], ["OvertakenError", 2], ["OvertakenError", 1], ["RequestError", 1],
    ]  # fmt: skip


def test_a_signature_whose_answer_is_lost_is_not_said_to_have_changed_nothing() -> None:
    """A relay that drops the answer alone made an owner believe that nothing was shared, or that no "no" had come."""
    assert node("stating.mjs")["lost"] == [["LostError", "error.lost"], ["LostError", "error.lost-signed"]]


def test_an_event_is_called_by_its_certain_labels_and_otherwise_unsure() -> None:
    assert node("labels.mjs") == [
        ["person"], ["person", "vehicle"], ["motion", "unsure"], ["motion"],
        ["button", "person"], ["button", "unsure"], ["pir"],
    ]  # fmt: skip


def test_the_page_locks_without_a_tap_and_also_while_a_live_view_that_nobody_ends_plays_on() -> None:
    found = node("idle.mjs")
    assert found.pop("minutes") == [15, 60]
    nothing = {"locks": 0, "isTaken": False, "idleMinutes": 0}
    assert found.pop("a tap in time") == nothing
    assert found.pop("a tap on a page without open keys") == nothing
    assert found.pop("a look after a sleep") == {"locks": 1, "isTaken": False, "idleMinutes": 0}
    # The page that was tapped is gone: the tap must not count as a use of open keys, or press a button of theirs.
    assert [*found.values()] == [{"locks": 1, "isTaken": True, "idleMinutes": 0}] * 3


def test_days_have_23_to_25_hours_and_the_slider_means_the_nearest_event() -> None:
    lengths, starts_at_midnight, gap_ends, (short, longer), near = node("days.mjs", zone="Europe/Amsterdam")
    assert lengths == [23, 25, 24]
    assert starts_at_midnight is True
    assert gap_ends == [1000, 500, 90], "an open gap ends at the next record, or now"
    assert short == ["06:06:32", "06:06:42"], "a gap within a minute is told with seconds"
    assert longer == ["06:06", "06:07"]
    assert near == ["earlier", "earlier", None, "later", "later", None]


def test_what_would_have_been_seen_is_who_walked_there_in_the_zones_that_watch_and_only_there() -> None:
    found = node("seen.mjs")
    apart = found["apart"]
    assert isinstance(apart, dict)
    assert apart["right"] == []
    assert 2.9 <= min(apart["left"]) <= 3.5
    assert found["everywhere"] == apart["left"]
    assert found["masked"] == found["tooFar"] == found["dull"] == []
    assert found["near"] == apart["left"], "a person of the height that counts"
    assert found["far"], "while anything counts"


def test_a_player_is_told_h264_and_h265_by_their_names() -> None:
    films = []
    for codec in (VideoCodec.H264, VideoCodec.HEVC):
        description, packets = filmed_by_camera(codec, frames=2)
        gop = Gop(tuple(packets[:1]), BootNs(packets[0].sensor_ns + 1))
        films.append(base64.b64encode(FragmentedMp4Writer(description).begin(gop)).decode())
    found = node("codec.mjs", json.dumps([films[0], films[1]]))
    (avc, hevc) = found["codecs"]  # type: ignore[misc]
    assert re.fullmatch(r"avc1\.[0-9a-f]{6}", avc)
    assert re.fullmatch(r"hvc1\.1\.6\.L60(\.[0-9A-F]{1,2}){1,6}", hevc), "Main profile, level 2"
    assert found["begins"] == ["moof", "moof"]
    assert found["plays"] == ["video/mp4", "video/mp4"]
    assert found["playsNot"] == ["video/mp4", "error.film-h265"], "a platform without H.265 is told so"
