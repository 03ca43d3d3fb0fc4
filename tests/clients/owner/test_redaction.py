"""An owner redacts before the yes: what leaves is a new film, the captured one stays closed, and a plan means what it
says."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from typing import Any

import pytest

from agent.clients.media.confined import ConfinedMedia
from agent.clients.media.face_covers import Followed
from agent.clients.media.redact import compare_films, require_covered, require_muted
from agent.clients.opening import open_bytes, open_file_key
from agent.clients.owner import decisions
from agent.clients.owner.decisions import CannotShareError, ShareChoice, approve
from agent.clients.owner.file_keys import POSTER, SEGMENT, SOUND, ChosenFile, StoredFile
from agent.clients.owner.ledger_reader import read_ledger
from agent.clients.owner.redaction import FileRedactor, Redactions, follow_plan, read_plan
from agent.clients.owner.review import RequestReview, ReviewedSegment
from agent.clients.owner.shared_footage import shared_of
from agent.clients.owner.sync import sync
from agent.core.vault.age.header import split
from agent.core.vault.commitment import key_commitment
from agent.core.vault.records import SegmentRecord
from agent.core.vault.redactions import Place, Redaction, RedactionKind
from agent.core.vault.segment import Content, Context, split_media
from agent.errors import ConfigurationError, FormatError, OpenError, RequestError
from agent.wire.disclosures import PartKind
from agent.wire.statements import Approval, Redacted, SealedItem
from tests.clients.owner.conftest import REPLY, WINDOW_MS, Home, now, signed_request
from tests.hostile import box

FACE = Redaction(
    kind=RedactionKind.FACE, from_ms=0, until_ms=2000, places=(Place(at_ms=0, left=0, top=0, width=5000, height=5000),)
)
VOICE = Redaction(kind=RedactionKind.VOICE, from_ms=1200, until_ms=1800)


@pytest.fixture
def review(home: Home) -> RequestReview:
    return RequestReview.fetch(home.device, home.keys, home.request, clock=now)


def chosen(home: Home, **changes: Any) -> ShareChoice:
    values: dict[str, Any] = {"redactions": Redactions({home.segments[0]: (FACE,)}, {}), **changes}
    return ShareChoice(home.segments[:2], **values)


def test_a_redacted_segment_leaves_as_a_new_film_and_the_others_bit_for_bit(
    home: Home, review: RequestReview, media: list[bytes]
) -> None:
    approve(home.device, home.keys, review, chosen(home), clock=now)
    first, second = (home.device.outbox[PartKind.SEGMENT, name] for name in home.segments[:2])
    film, context = split_media(open_bytes(first, [REPLY]))
    require_covered(film, [FACE])
    assert (context.redactions, context.seen, context.label) == ((FACE,), None, None)
    assert split_media(open_bytes(second, [REPLY]))[0] == media[1]
    captured = home.device.stored[home.segments[1]].sealed
    assert second[split(second) :] == captured[split(captured) :]


def test_an_exact_plan_shares_each_pixel_outside_of_the_covers_as_it_was_recorded(
    home: Home, review: RequestReview, media: list[bytes]
) -> None:
    entry = {"segment": 1, "kind": "face", "places": [[0, 0, 0, 50, 50]]}
    read = read_plan(json.dumps({"exact": True, "redactions": [entry]}).encode(), review)
    approve(home.device, home.keys, review, chosen(home, redactions=read), clock=now)
    film, context = split_media(open_bytes(home.device.outbox[PartKind.SEGMENT, home.segments[0]], [REPLY]))
    assert context.exact
    require_covered(film, [FACE], exact=True)
    found = compare_films(media[0], film, [FACE])
    assert (found.pictures > 1, found.values > 1, found.changed) == (True, True, 0)


def test_the_key_of_the_captured_film_is_wrapped_for_no_one(home: Home, review: RequestReview) -> None:
    approve(home.device, home.keys, review, chosen(home), clock=now)
    captured = home.device.stored[home.segments[0]].sealed
    payload = captured[split(captured) :]
    assert payload not in b"".join(home.device.outbox.values())
    for part in home.device.outbox.values():
        with pytest.raises(OpenError):
            open_bytes(part[: split(part)] + payload, [REPLY])


def test_the_owners_statement_names_the_original_the_new_film_and_its_key(home: Home, review: RequestReview) -> None:
    approve(home.device, home.keys, review, chosen(home), clock=now)
    approval = home.device.statements[-1]
    assert isinstance(approval, Approval)
    first, second = approval.segments
    part = home.device.outbox[PartKind.SEGMENT, home.segments[0]]
    assert first.payload_sha256 == home.device.stored[home.segments[0]].signed.record.file.sha256_payload
    assert first.redacted is not None
    assert first.redacted.payload_sha256 == hashlib.sha256(part[split(part) :]).hexdigest()
    assert second.redacted is None
    assert approval.redacted_items == (first,)


def test_the_new_film_says_which_segment_it_stands_for(home: Home, review: RequestReview) -> None:
    """The requester compares this context with the signed record of the captured film."""
    approve(home.device, home.keys, review, chosen(home), clock=now)
    film, context = split_media(open_bytes(home.device.outbox[PartKind.SEGMENT, home.segments[0]], [REPLY]))
    record = home.device.stored[home.segments[0]].signed.record
    assert isinstance(record, SegmentRecord)
    assert (context.device, context.segment, context.event) == (home.device.key.id, record.id, record.event)
    assert (context.ordinal, context.span, context.media_bytes) == (record.ordinal, record.span, len(film))


def test_a_segment_that_a_power_cut_ended_cannot_be_redacted_and_does_not_leave_as_captured(
    home: Home, media: list[bytes]
) -> None:
    cut = home.device.cut_short(media[0] + bytes(200_000), WINDOW_MS, 0.8)
    request = home.device.ask_for(signed_request(id="f" * 32, seq=8), [*home.segments, cut])
    review = RequestReview.fetch(home.device, home.keys, request, clock=now)
    choice = ShareChoice((home.segments[0], cut), redactions=Redactions({cut: (FACE,)}, {}))
    with pytest.raises(CannotShareError, match="cut by a power failure, and such a file cannot be redacted") as refused:
        approve(home.device, home.keys, review, choice, clock=now)
    assert refused.value.rest.segments == home.segments[:1]
    assert not any(isinstance(each, Approval) for each in home.device.statements)


def test_a_voice_is_muted_only_in_the_sound_and_only_where_the_owner_says(home: Home, review: RequestReview) -> None:
    choice = chosen(home, sound=True, redactions=Redactions({}, {home.segments[0]: (VOICE,)}))
    approve(home.device, home.keys, review, choice, clock=now)
    sound, context = split_media(open_bytes(home.device.outbox[PartKind.SOUND, home.segments[0]], [REPLY]))
    require_muted(sound, [VOICE])
    assert (context.kind, context.redactions) == (Content.SOUND, (VOICE,))
    film, _ = split_media(open_bytes(home.device.outbox[PartKind.SEGMENT, home.segments[0]], [REPLY]))
    assert film == review.open(home.segments[0]).media


def test_a_selection_counts_a_muted_sound_as_redacted_only_if_the_sound_leaves() -> None:
    redactions = Redactions({"a": (FACE,)}, {"a": (VOICE,), "b": (VOICE,), "d": (VOICE,)})
    assert ShareChoice(("a", "b", "c"), sound=True, redactions=redactions).redacted == ("a", "b")
    assert ShareChoice(("a", "b", "c"), redactions=redactions).redacted == ("a",)


def test_the_still_of_a_redacted_clip_does_not_leave(home: Home, review: RequestReview) -> None:
    with pytest.raises(RequestError, match="may show what you cover"):
        approve(home.device, home.keys, review, chosen(home, posters=(review.clips[0],)), clock=now)
    approve(home.device, home.keys, review, chosen(home, posters=(review.clips[1],)), clock=now)
    assert (PartKind.POSTER, home.segments[2]) in home.device.outbox


def test_a_film_that_cannot_be_redacted_is_not_shared_as_captured_instead(
    home: Home, review: RequestReview, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object, **__: object) -> bytes:
        raise FormatError("It does not decode.")

    monkeypatch.setattr(ConfinedMedia, "redact", fails)
    with pytest.raises(CannotShareError, match="Segment 1 cannot be shared") as raised:
        approve(home.device, home.keys, review, chosen(home), clock=now)
    assert raised.value.rest.segments == (home.segments[1],)
    assert not any(isinstance(each, Approval) for each in home.device.statements)


def test_a_cover_that_failed_is_noticed_before_anything_is_signed(
    home: Home, review: RequestReview, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ConfinedMedia, "redact", lambda _self, _content, film, *_, **__: film)
    with pytest.raises(CannotShareError, match="not covered"):
        approve(home.device, home.keys, review, chosen(home), clock=now)
    assert not any(isinstance(each, Approval) for each in home.device.statements)


def test_redacted_films_beyond_the_room_of_an_approval_are_refused_with_a_remedy(
    home: Home, review: RequestReview, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decisions, "MOST_STATEMENT_BYTES", 40_000)
    with pytest.raises(RequestError, match="one approval has room for") as raised:
        approve(home.device, home.keys, review, chosen(home), clock=now)
    assert "fewer" in raised.value.remedy
    assert not any(isinstance(each, Approval) for each in home.device.statements)


def test_the_list_of_what_left_says_which_films_were_redacted(home: Home, review: RequestReview) -> None:
    disclosure = approve(home.device, home.keys, review, chosen(home), clock=now)
    assert disclosure is not None
    met = sync(home.device, home.keys)
    entries = read_ledger(home.device, home.keys).entries
    found = shared_of(home.device, met, entries, disclosure, home.keys.identity)
    assert [(each.id, each.redacted) for each in found.items or ()] == [
        (home.segments[0], True), (home.segments[1], False),
    ]  # fmt: skip


# -- the plan ----------------------------------------------------------------------------------------------------------


def plan(*entries: dict[str, Any]) -> bytes:
    return json.dumps({"redactions": entries}).encode()


def test_a_plan_of_a_segment_means_percent_and_seconds(home: Home, review: RequestReview) -> None:
    read = read_plan(
        plan(
            {"segment": 1, "kind": "face", "from_s": 0.5, "until_s": 1.5, "places": [[0.5, 10, 20, 30, 40.004]]},
            {"segment": 1, "kind": "voice"},
        ),
        review,
    )
    place = Place(at_ms=500, left=1000, top=2000, width=3000, height=4001)
    film = (
        Redaction(kind=RedactionKind.FACE, from_ms=500, until_ms=1500, places=read.films[home.segments[0]][0].places),
    )
    assert dict(read.films) == {home.segments[0]: film}
    assert {each.left for each in film[0].places} == {1000}
    assert all((each.top, each.width, each.height) == (2000, 3000, 4001) for each in film[0].places)
    assert film[0].places[0] == place
    assert [each.kind for each in read.sounds[home.segments[0]]] == [RedactionKind.VOICE]


def test_a_plan_of_a_clip_moves_on_from_segment_to_segment(home: Home, review: RequestReview) -> None:
    """The first clip has two segments of two seconds. The cover moves from 0 % to 40 % in its four seconds."""
    read = read_plan(plan({"clip": 1, "kind": "area", "places": [[0, 0, 0, 10, 10], [4, 40, 0, 10, 10]]}), review)
    first, second = (read.films[name][0] for name in home.segments[:2])
    assert [(each.at_ms, each.left) for each in first.places] == [(0, 0), (2000, 2000)]
    assert [(each.at_ms, each.left) for each in second.places] == [(0, 2000), (2000, 4000)]
    assert home.segments[2] not in read.films


def test_a_plan_is_rounded_so_that_it_covers_more_and_never_less(home: Home, review: RequestReview) -> None:
    places = [[0.5006, 10.005, 20.005, 0.001, 0.001], [1.4994, 99.99, 99.99, 0.01, 0.01]]
    read = read_plan(
        plan({"segment": 1, "kind": "plate", "from_s": 0.5009, "until_s": 1.4991, "places": places}), review
    )
    (found,) = read.films[home.segments[0]]
    assert (found.kind, found.from_ms, found.until_ms) == (RedactionKind.PLATE, 500, 1500)
    assert found.places[1:3] == (
        Place(at_ms=501, left=1000, top=2000, width=1, height=1),
        Place(at_ms=1499, left=9999, top=9999, width=1, height=1),
    )


def test_a_mute_lies_in_the_segments_of_its_time_and_a_little_in_those_that_sound_into_it(
    home: Home, review: RequestReview
) -> None:
    """The first clip has two segments of two seconds. The last packet of a sound is heard after the film has ended."""

    def stretches(**times: float) -> list[tuple[int, int] | None]:
        sounds = read_plan(plan({"clip": 1, "kind": "voice", **times}), review).sounds
        found = [sounds.get(name, ()) for name in home.segments]
        return [(each[0].from_ms, each[0].until_ms) if each else None for each in found]

    assert stretches() == [(0, 2000), (0, 2000), None]
    assert stretches(until_s=2) == [(0, 2000), (0, 300), None]
    assert stretches(until_s=1.9) == [(0, 1900), (0, 200), None]
    assert stretches(until_s=1.7) == [(0, 1700), None, None]
    assert stretches(from_s=2) == [(1700, 2000), (0, 2000), None]
    assert stretches(from_s=2.299) == [(1999, 2000), (299, 2000), None]
    assert stretches(from_s=2.3) == [None, (300, 2000), None]
    assert stretches(from_s=1.5, until_s=2.5) == [(1500, 2000), (0, 500), None]
    assert stretches(from_s=3.9, until_s=900) == [None, (1900, 2000), None]


def test_a_mute_of_one_segment_reaches_into_those_beside_it_in_its_clip(home: Home, review: RequestReview) -> None:
    def stretches(**entry: float) -> list[tuple[int, int] | None]:
        sounds = read_plan(plan({"kind": "voice", **entry}), review).sounds
        found = [sounds.get(name, ()) for name in home.segments]
        return [(each[0].from_ms, each[0].until_ms) if each else None for each in found]

    assert stretches(segment=1) == [(0, 2000), (0, 300), None]
    assert stretches(segment=1, until_s=900) == [(0, 2000), (0, 300), None]
    assert stretches(segment=2) == [(1700, 2000), (0, 2000), None]
    assert stretches(segment=2, from_s=0.1) == [(1800, 2000), (100, 2000), None]
    assert stretches(segment=3) == [None, None, (0, 2000)]


def test_covers_that_are_to_follow_get_their_places_and_all_else_of_a_plan_stays(
    home: Home, review: RequestReview
) -> None:
    asked: list[tuple[list[str], Redaction]] = []
    places = (Place(0, 1000, 2000, 3001, 4000), Place(2570, 2000, 2000, 3001, 4000), Place(3990, 7, 8, 9, 10))

    def follow(segments: Sequence[ReviewedSegment], cover: Redaction) -> Followed:
        asked.append(([each.id for each in segments], cover))
        return Followed(places, ((2000, 2500),))

    drawn = {"clip": 1, "kind": "plate", "follow": True, "until_s": 3.99, "places": [[1, 10, 20, 30, 40]]}
    voice, face = {"segment": 3, "kind": "voice"}, {"segment": 2, "kind": "face", "places": [[0, 1, 2, 3, 4]]}
    data = json.dumps({"exact": True, "redactions": [voice, drawn, face]}).encode()
    with pytest.raises(ConfigurationError, match="Redaction 2 of the plan is to follow, and has not yet"):
        read_plan(data, review)
    made, covers = follow_plan(data, review, follow)
    hand = Place(at_ms=1000, left=1000, top=2000, width=3000, height=4000)
    assert asked == [(list(home.segments[:2]), Redaction(RedactionKind.PLATE, 0, 3990, (hand,)))]
    assert [(each.number, each.kind, each.followed.unsure) for each in covers] == [
        (2, RedactionKind.PLATE, ((2000, 2500),))
    ]
    plan_now = json.loads(made)
    assert plan_now["exact"] is True
    assert [plan_now["redactions"][each] for each in (0, 2)] == [voice, face]
    read = read_plan(made, review)
    first, second = (read.films[name][0].places for name in home.segments[:2])
    assert first[0] == places[0]
    assert second[1:] == (Place(570, 2000, 2000, 3001, 4000), Place(1990, 7, 8, 9, 10))
    # The list has the same keys as one that was drawn: when, where and of which kind.
    assert set(json.loads(made)["redactions"][1]) == {"clip", "kind", "until_s", "places"}


@pytest.mark.parametrize(
    ("entry", "why"),
    [
        ({"segment": 1, "kind": "face", "places": [[0, 1, 2, 3, 4]]}, "No cover of the plan is to follow"),
        ({"segment": 1, "kind": "voice", "follow": True}, "Redaction 1 .* a voice is nowhere in the picture"),
        ({"segment": 1, "kind": "face", "follow": True}, "Redaction 1 .* places"),
        ({"segment": 9, "kind": "face", "follow": True, "places": [[0, 1, 2, 3, 4]]}, "no such clip or segment"),
        (
            {"segment": 1, "kind": "face", "follow": True, "from_s": 3, "until_s": 4, "places": [[3, 1, 2, 3, 4]]},
            "after the end",
        ),
        ({"segment": 1, "kind": "face", "follow": True, "from_s": 1, "places": [[0, 1, 2, 3, 4]]}, "outside of the"),
    ],
)
def test_a_plan_in_which_nothing_can_follow_is_refused_with_its_entry(
    review: RequestReview, entry: dict[str, Any], why: str
) -> None:
    def follow(_segments: Sequence[ReviewedSegment], _cover: Redaction) -> Followed:
        raise FormatError("It does not decode.")

    with pytest.raises(ConfigurationError, match=why):
        follow_plan(plan(entry), review, follow)


def test_a_cover_lies_only_in_the_segments_of_its_time(home: Home, review: RequestReview) -> None:
    for entry, segments in (({"clip": 1, "until_s": 2}, [0]), ({"clip": 1, "from_s": 2}, [1]), ({"segment": 2}, [1])):
        at_s = entry.get("from_s", 0)
        read = read_plan(plan({"kind": "face", "places": [[at_s, 0, 0, 9, 9]], **entry}), review)
        assert list(read.films) == [home.segments[each] for each in segments]


def test_places_beyond_the_limit_are_spread_over_the_segments_of_a_clip(home: Home, review: RequestReview) -> None:
    places = [[n / 25, 0, 0, 9, 9] for n in range(100)]
    read = read_plan(plan({"clip": 1, "kind": "face", "places": places}), review)
    assert [len(read.films[name][0].places) for name in home.segments[:2]] == [51, 51]


def test_a_plan_may_reach_its_limits(home: Home, review: RequestReview) -> None:
    whole = {"segment": 1, "kind": "area", "places": [[0, 0, 0, 100, 100]]}
    many = {"segment": 1, "kind": "face", "places": [[n / 100, 0, 0, 9, 9] for n in range(1, 63)]}
    data = plan(whole, many, *[{"segment": 1, "kind": "voice"}] * 64, *[whole] * 62)
    read = read_plan(data.ljust(1 << 20), review)
    films, sounds = read.films[home.segments[0]], read.sounds[home.segments[0]]
    assert (len(films), len(sounds)) == (64, 64)
    assert films[0].places[0] == Place(at_ms=0, left=0, top=0, width=10_000, height=10_000)
    assert len(films[1].places) == 64


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"{", "malformed"),
        (b'{"redactions":[{"kind":"name","segment":1}]}', "malformed"),
        (b'{"redactions":[{"kind":"face","segment":1,"who":"Anna"}]}', "malformed"),
        (plan({"kind": "voice"}), "a clip or a segment"),
        (plan({"kind": "voice", "clip": 1, "segment": 1}), "not both"),
        (plan({"kind": "voice", "segment": 9}), "no such clip or segment"),
        (plan({"kind": "voice", "clip": 9}), "no such clip or segment"),
        (plan({"kind": "voice", "segment": 1, "from_s": 9}), "ends before it begins"),
        (plan({"kind": "voice", "segment": 1, "from_s": 9, "until_s": 10}), "begins after the end"),
        (plan({"kind": "voice", "clip": 1, "from_s": 4, "until_s": 10}), "Redaction 1 .* begins after the end"),
        (plan({"kind": "voice", "clip": 1}, {"kind": "voice"}), "Redaction 2 "),
        (plan({"kind": "face", "segment": 1}), "every other kind has at least one"),
        (plan({"kind": "face", "segment": 1, "places": [[0, 90, 0, 20, 10]]}), "beyond the picture"),
        (plan({"kind": "face", "segment": 1, "places": [[0, 0, 90, 10, 20]]}), "beyond the picture"),
        (plan({"kind": "face", "segment": 1, "places": [[0, 10, 0, 0, 10]]}), "is empty"),
        (plan({"kind": "face", "segment": 1, "places": [[0, 0, 10, 10, 0]]}), "is empty"),
        (
            plan({"kind": "face", "segment": 1, "places": [[n / 100, 0, 0, 9, 9] for n in range(1, 64)]}),
            "more than 64 places",
        ),
        (plan(*[{"kind": "voice", "segment": 1}] * 65), "more than 64 redactions"),
        (plan(*[{"kind": "area", "segment": 1, "places": [[0, 0, 0, 9, 9]]}] * 65), "more than 64 redactions"),
        (b" " * (8 << 20) + b"{}", "too large"),
    ],
)
def test_a_plan_that_says_something_else_is_refused_with_its_reason(
    data: bytes, why: str, review: RequestReview
) -> None:
    with pytest.raises(ConfigurationError, match=why):
        read_plan(data, review)


# -- one file, call by call --------------------------------------------------------------------------------------------


class NotedMedia:
    """In place of the process with limits: it notes what it is asked, and makes the same film of every one."""

    made = box(b"free", b"covered or muted")

    def __init__(self) -> None:
        self.calls: list[tuple[object, ...]] = []

    def redact(self, *asked: object, exact: bool) -> bytes:
        self.calls.append(("redact", *asked, exact))
        return self.made

    def check_redacted(self, *asked: object, exact: bool) -> None:
        self.calls.append(("check redacted", *asked, exact))

    def check(self, *asked: object) -> None:
        self.calls.append(("check", *asked))


@pytest.mark.parametrize(
    ("file", "content", "redactions"), [(SEGMENT, Content.SEGMENT, (FACE,)), (SOUND, Content.SOUND, (VOICE,))]
)
@pytest.mark.parametrize("wanted", [False, True])
def test_a_redacted_file_is_checked_twice_and_sealed_under_a_key_of_its_own(
    home: Home,
    review: RequestReview,
    file: StoredFile,
    content: Content,
    redactions: tuple[Redaction, ...],
    wanted: bool,
) -> None:
    (name, *_), media = home.segments, NotedMedia()
    record = home.device.stored[name].signed.record
    assert isinstance(record, SegmentRecord)
    captured, sealed = review.open(name).media, record.file
    if file is SOUND:
        assert record.sound is not None
        captured, sealed = review.sound(name) or b"", record.sound.file
    device: Any = home.device
    redactor = FileRedactor(device, home.keys, home.device.key, REPLY.recipient(), media)  # type: ignore[arg-type]
    one, two = (redactor.make(file, ChosenFile(name, "1"), redactions, exact=wanted) for _ in range(2))
    exact = wanted and file is SEGMENT
    assert media.calls == 2 * [
        ("redact", content.value, captured, redactions, 2000, exact),
        ("check redacted", content.value, media.made, redactions, exact),
        ("check", content.value, media.made),
    ]
    assert split(one.header + one.payload) == len(one.header)
    film, context = split_media(open_bytes(one.header + one.payload, [REPLY]))
    assert (film, one.media) == (media.made, media.made)
    assert context == Context(
        kind=content, device=home.device.key.id, segment=name, event=record.event, ordinal=record.ordinal,
        span=record.span, media_bytes=len(film), redactions=redactions, exact=exact,
    )  # fmt: skip
    key = open_file_key(one.header, [REPLY])
    assert one.item == SealedItem(
        id=name, payload_sha256=sealed.sha256_payload, header_sha256=hashlib.sha256(one.header).hexdigest(),
        redacted=Redacted(payload_sha256=hashlib.sha256(one.payload).hexdigest(), key=key_commitment(key)),
    )  # fmt: skip
    assert open_file_key(two.header, [REPLY]) != key, "never the same key twice"
    assert one.payload[:16] != two.payload[:16], "nor the same nonce"


def test_redactions_are_of_the_film_or_of_the_sound_and_of_nothing_else() -> None:
    found = Redactions({"a": (FACE,)}, {"a": (VOICE,)})
    assert [found.of(file, name) for file in (SEGMENT, SOUND, POSTER) for name in ("a", "b")] == [
        (FACE,), (), (VOICE,), (), (), (),
    ]  # fmt: skip


def test_too_many_redactions_in_one_segment_are_refused_beside_a_segment_with_few(review: RequestReview) -> None:
    voices = [{"kind": "voice", "segment": number} for number in (*[1] * 65, 2)]
    with pytest.raises(ConfigurationError) as refused:
        read_plan(plan(*voices), review)
    assert str(refused.value) == "The plan has more than 64 redactions in one segment. Cover a larger area."
