"""Strict JSON: what is refused, that nothing else is ever raised, and that every value survives being written."""

from __future__ import annotations

import contextlib
import json
import re
from typing import Annotated, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Meta

from agent.errors import DoorwardError, FormatError, RequestError
from agent.wire import strictjson
from agent.wire.messages import FootageRequest
from tests.wire import samples


class Inner(strictjson.Message, frozen=True):
    lat: float
    count: int = 0

    def __post_init__(self) -> None:
        if self.count < 0:
            raise FormatError("inner.count: it is negative.", remedy="Count again.")


class Outer(strictjson.Message, frozen=True):
    inner: Inner
    name: str = ""
    numbers: tuple[int, ...] = ()


class Free(strictjson.Message, frozen=True):
    """Takes anything, so that only the rules of `strictjson` itself refuse it."""

    a: Any = None
    lat: Any = None


GOOD = '{"inner":{"count":2,"lat":53.5},"name":"é","numbers":[1,2]}'

DEFECTS = {
    "empty": b"",
    "not JSON": b"{",
    "trailing comma": b'{"inner":{"lat":1},}',
    "two values": b'{"inner":{"lat":1}} {}',
    "comment": b'{"inner":{"lat":1}} // hi',
    "byte-order mark": b'\xef\xbb\xbf{"inner":{"lat":1}}',
    "UTF-16": '{"inner":{"lat":1}}'.encode("utf-16"),
    "bad UTF-8": b'{"inner":{"lat":1},"name":"\xff"}',
    "overlong UTF-8": b'{"inner":{"lat":1},"name":"\xc0\xaf"}',
    "raw control character": b'{"inner":{"lat":1},"name":"\n"}',
    "half a surrogate pair": b'{"inner":{"lat":1},"name":"\\ud800"}',
    "half a surrogate pair in a key": b'{"inner":{"lat":1},"\\udfff":1}',
    "not in form C": '{"inner":{"lat":1},"name":"e\u0301"}'.encode(),
    "duplicate key": b'{"inner":{"lat":1},"inner":{"lat":1}}',
    "duplicate key by escape": b'{"inner":{"lat":1},"\\u0069nner":{"lat":1}}',
    "duplicate key inside": b'{"inner":{"lat":1,"lat":2}}',
    "unknown key": b'{"inner":{"lat":1},"extra":1}',
    "unknown key inside": b'{"inner":{"lat":1,"extra":1}}',
    "missing key": b'{"name":"x"}',
    "wrong type": b'{"inner":{"lat":1},"name":5}',
    "text for a number": b'{"inner":{"lat":"1"}}',
    "true for a number": b'{"inner":{"lat":1,"count":true}}',
    "null for a number": b'{"inner":{"lat":1,"count":null}}',
    "fraction in a count": b'{"inner":{"lat":1,"count":1.5}}',
    "whole fraction in a count": b'{"inner":{"lat":1,"count":1.0}}',
    "whole fraction in a list": b'{"inner":{"lat":1},"numbers":[1.0]}',
    "exponent in a count": b'{"inner":{"lat":1,"count":1e2}}',
    "exponent in a coordinate": b'{"inner":{"lat":5e1}}',
    "eight decimals": b'{"inner":{"lat":1.12345678}}',
    "four digits before the point": b'{"inner":{"lat":1000.5}}',
    "minus zero": b'{"inner":{"lat":1,"count":-0}}',
    "NaN": b'{"inner":{"lat":NaN}}',
    "Infinity": b'{"inner":{"lat":-Infinity}}',
    "2^53": b'{"inner":{"lat":1,"count":9007199254740992}}',
    "endless integer": b'{"inner":{"lat":1,"count":' + b"9" * 5000 + b"}}",
    "leading zero": b'{"inner":{"lat":1,"count":01}}',
    "too deep": b"[" * 9 + b"]" * 9,
    "far too deep": b"[" * 100_000 + b"]" * 100_000,
    "far too deep, objects": b'{"a":' * 50_000 + b"1" + b"}" * 50_000,
    "a list": b"[]",
    "own check": b'{"inner":{"lat":1,"count":-3}}',
}


def test_a_good_value_is_read_and_written_in_one_spelling() -> None:
    value = Outer(inner=Inner(lat=53.5, count=2), name="é", numbers=(1, 2))
    assert strictjson.decode(GOOD.encode(), Outer) == value
    assert strictjson.encode(value) == GOOD.encode()


@pytest.mark.parametrize("defect", DEFECTS)
def test_each_defect_is_the_senders_error(defect: str) -> None:
    with pytest.raises(RequestError, match=r"^Outer: "):
        strictjson.decode(DEFECTS[defect], Outer, limit_bytes=10**6, error=RequestError)


REFUSED = {
    "byte 5 is not UTF-8": b'{"a":\xff}',
    "not JSON, at character 5": b'{"a":}',
    "a key stands twice": b'{"a":1,"a":1}',
    "beyond 2^53 - 1": b'{"a":9007199254740992}',
    "beyond 2^53": b'{"a":-9007199254740992}',
    "2^53 - 1": b'{"a":' + b"9" * 5000 + b"}",
    "zero has no sign": b'{"a":-0}',
    "at most three digits before and seven after": b'{"lat":1.12345678}',
    "three digits": b'{"lat":1e2}',
    "NaN and Infinity are not": b'{"a":NaN}',
    "nested deeper than 8 levels": b'{"a":' + b"[" * 8 + b"]" * 8 + b"}",
    "deeper than 8": b'{"a":' + b'{"b":' * 7 + b"1" + b"}" * 8,
    "a number has a fraction": b'{"a":1.5}',
    "has a fraction, which only lat and lon may": b'{"lat":[1.5]}',
    "a string holds half a surrogate pair": b'{"a":["x\\ud800y"]}',
    "a key holds half a surrogate pair": b'{"a":{"x\\udfffy":1}}',
    "a string is not in Unicode normal form C": '{"a":"xe\u0301"}'.encode(),
    "a key is not in Unicode normal form C": '{"a":{"e\u0301":1}}'.encode(),
    "it has an unknown key.": b'{"b":1}',
}


@pytest.mark.parametrize("words", REFUSED)
def test_each_refusal_says_which_rule_was_broken(words: str) -> None:
    with pytest.raises(FormatError, match=rf"^Free: ([^X]* )?{re.escape(words)}"):
        strictjson.decode(REFUSED[words], Free)


@pytest.mark.parametrize(
    "data",
    [
        b'{"a":-9007199254740991}',
        b'{"a":9007199254740991}',
        b'{"a":' + b"[" * 7 + b"]" * 7 + b"}",
        b'{"a":' + b'{"b":' * 6 + b"1" + b"}" * 7,
        b'{"lat":123.1234567}',
        '{"a":{"\u00e9":"\u00e9 \U0001f600"}}'.encode(),
    ],
)
def test_what_is_just_within_the_rules_is_read(data: bytes) -> None:
    assert strictjson.decode(data, Free)


def test_a_key_nobody_knows_is_told_by_its_place() -> None:
    with pytest.raises(FormatError, match=r"^Outer: inner: it has an unknown key\.$"):
        strictjson.decode(DEFECTS["unknown key inside"], Outer)
    with pytest.raises(FormatError, match=r"^Footage request: kind: its value is unknown\.$"):
        strictjson.decode(
            json.dumps(json.loads(strictjson.encode(samples.request())) | {"kind": "army"}).encode(), FootageRequest
        )


def test_one_byte_over_the_limit_is_refused_and_the_limit_itself_is_not() -> None:
    data = GOOD.encode()
    strictjson.decode(data, Outer, limit_bytes=len(data))
    with pytest.raises(FormatError, match="bytes, allowed are"):
        strictjson.decode(data, Outer, limit_bytes=len(data) - 1)


def test_an_error_names_the_field_and_keeps_its_remedy() -> None:
    with pytest.raises(RequestError, match=r"^Outer: inner\.count: a whole number is wanted, not a text\.$"):
        strictjson.decode(b'{"inner":{"lat":1,"count":"x"}}', Outer, error=RequestError)
    with pytest.raises(RequestError) as caught:
        strictjson.decode(DEFECTS["own check"], Outer, error=RequestError)
    assert (caught.value.message, caught.value.remedy) == ("Outer: inner.count: it is negative.", "Count again.")


class Formed(strictjson.Message, frozen=True):
    """One field for each complaint that msgspec has of a value."""

    email: Annotated[str, strictjson.form(r"^[a-z]+@[a-z]+\Z", "an e-mail address")] = "a@b"
    other: Annotated[str, Meta(pattern="^[a-z]$")] = "a"
    short: Annotated[str, Meta(min_length=1, max_length=2)] = "a"
    few: Annotated[tuple[int, ...], Meta(min_length=1, max_length=2)] = (1,)
    pair: tuple[int, int] = (1, 1)
    lat: Annotated[float, Meta(le=90)] = 0.0
    count: Annotated[int, Meta(ge=-5)] | None = 1
    by_name: dict[Annotated[str, strictjson.form("^[a-z]+$", "small letters")], int] = {}  # noqa: RUF012 (msgspec copies)
    inner: Inner | None = None


IN_WORDS = {
    "email: it must be an e-mail address.": {"email": "x"},
    "other: it must be written otherwise.": {"other": "X"},
    "short: it must have at most 2 characters.": {"short": "abc"},
    "short: it must have at least 1 characters.": {"short": ""},
    "few: it must have at most 2 entries.": {"few": [1, 2, 3]},
    "few.2: a whole number is wanted, not a text.": {"few": [1, "x"]},
    "pair: a list of 2 is wanted.": {"pair": [1]},
    "lat: it must be at most 90.": {"lat": 91},
    "count: it must be at least -5.": {"count": -6},
    "count: a whole number or nothing is wanted, not a list.": {"count": []},
    "by_name: it must be small letters.": {"by_name": {"X": 1}},
    "by_name: a whole number is wanted, not true or false.": {"by_name": {"x": True}},
    "inner.lat: it is missing.": {"inner": {}},
    "inner: an object or nothing is wanted, not a text.": {"inner": "x"},
}


@pytest.mark.parametrize("words", IN_WORDS)
def test_an_error_is_said_in_plain_words_about_the_field(words: str) -> None:
    with pytest.raises(FormatError) as caught:
        strictjson.decode(json.dumps(IN_WORDS[words]).encode(), Formed)
    assert caught.value.message == f"Formed: {words}"


@pytest.mark.parametrize(
    ("field", "words"),
    [("email", "an e-mail address like name@example.org"), ("phone", "a phone number like +31 20 1234567")],
)
def test_what_a_field_of_a_message_must_be_is_said_and_not_its_grammar(field: str, words: str) -> None:
    good = json.loads(strictjson.encode(samples.request()))
    spoiled = json.dumps(good | {"contact": {**good["contact"], field: "x"}}).encode()
    with pytest.raises(FormatError, match=rf"^Footage request: contact\.{field}: it must be {re.escape(words)}\.$"):
        strictjson.decode(spoiled, FootageRequest)


def test_no_error_quotes_what_the_sender_wrote() -> None:
    canary = "canary-7391"
    good = json.loads(strictjson.encode(samples.request()))
    for spoiled in (
        {**good, canary: 1},
        {**good, "kind": canary},
        {**good, "id": canary},
        {**good, "case": canary + "\u202e"},
        {**good, "area": {"shape": canary}},
        {**good, "contact": {**good["contact"], canary: canary}},
    ):
        with pytest.raises(RequestError) as caught:
            strictjson.decode(json.dumps(spoiled, ensure_ascii=False).encode(), FootageRequest, error=RequestError)
        assert canary not in str(caught.value)


def test_a_value_no_message_can_have_is_not_written() -> None:
    with pytest.raises(FormatError):
        strictjson.encode(Outer(inner=Inner(lat=1.0), name=5))  # type: ignore[arg-type]
    with pytest.raises(FormatError):
        strictjson.encode(Inner(lat=1.123456789))


@pytest.mark.parametrize("lat", [0.0, -0.0000001, 51.0, 89.9999999, -12.5])
def test_coordinates_are_written_without_exponent_and_read_back(lat: float) -> None:
    data = strictjson.encode(Inner(lat=lat))
    assert b"e" not in data
    assert strictjson.decode(data, Inner).lat == lat


@given(samples.MESSAGES)
def test_every_message_survives_being_written(message: strictjson.Message) -> None:
    data = strictjson.encode(message)
    read = strictjson.decode(data, type(message), limit_bytes=len(data))
    assert read == message
    assert strictjson.encode(read) == data


@given(samples.MESSAGES, st.data())
def test_a_changed_byte_is_another_message_or_an_error(message: strictjson.Message, data: st.DataObject) -> None:
    good = strictjson.encode(message)
    at = data.draw(st.integers(0, len(good) - 1))
    spoiled = good[:at] + bytes([good[at] ^ data.draw(st.integers(1, 255))]) + good[at + 1 :]
    try:
        read = strictjson.decode(spoiled, type(message), limit_bytes=len(good))
    except DoorwardError:
        return
    # Everything that still parses is a valid message: it can be written and read again.
    assert strictjson.decode(strictjson.encode(read), type(message), limit_bytes=len(good) + 64) == read


@given(st.binary(max_size=400), st.sampled_from(list(samples.EVERY_MESSAGE.values())))
def test_noise_is_an_error(noise: bytes, message: strictjson.Message) -> None:
    with pytest.raises(DoorwardError):
        strictjson.decode(noise, type(message))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(["v", "id", "area", "x"]), inner),
    max_leaves=12,
)


@given(JSON, st.sampled_from(sorted(samples.EVERY_MESSAGE)), st.data())
def test_any_json_in_any_field_is_a_message_or_an_error(value: object, name: str, data: st.DataObject) -> None:
    message = samples.EVERY_MESSAGE[name]
    good = json.loads(strictjson.encode(message))
    good[data.draw(st.sampled_from(sorted(good)))] = value
    with contextlib.suppress(DoorwardError):
        strictjson.decode(json.dumps(good).encode(), type(message), limit_bytes=10**6)
