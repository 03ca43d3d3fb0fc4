"""The link holds against all that a relay can do with its messages, and each planted mistake is noticed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from agent.wire.link import handshake, schedule, session
from agent.wire.link.session import LinkSession
from tests.properties import link_model
from tests.properties.link_model import handshakes, records


def test_a_relay_with_a_removed_owners_secret_and_one_browsers_key_gets_into_no_session() -> None:
    assert handshakes() == set()


@pytest.mark.parametrize("start", [0, 65_534])
def test_whatever_is_heard_is_the_beginning_of_what_was_said(start: int) -> None:
    """From the first record, and across a change of the key."""
    assert records(start) == set()


def accept_every_knock(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(handshake, "has_knock", lambda _hello, _secret: True)


def trust_every_signature(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(handshake.PublicKey, "verifies", lambda _self, _signature, _message: True)


def sign_no_keys(patch: pytest.MonkeyPatch) -> None:
    for module in (schedule, handshake):
        patch.setattr(module, "device_transcript", lambda _hello, _start: bytes(32))


def the_client_signs_nothing_of_the_handshake(patch: pytest.MonkeyPatch) -> None:
    for module in (schedule, handshake):
        patch.setattr(module, "client_transcript", lambda _before, _sealed: bytes(32))


@pytest.mark.parametrize(
    ("mistake", "noticed"),
    [
        (accept_every_knock, "a stranger gets an answer"),
        (trust_every_signature, "the doorbell takes the attacker for the owner"),
        (trust_every_signature, "the attacker has the keys of the owner's session"),
        (sign_no_keys, "the attacker has the keys of the owner's session"),
        (the_client_signs_nothing_of_the_handshake, "the doorbell takes the attacker for the owner"),
    ],
)
def test_a_mistake_in_the_handshake_is_noticed(
    mistake: Callable[[pytest.MonkeyPatch], None], noticed: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    mistake(monkeypatch)
    assert noticed in handshakes()


def take_repeated_records(patch: pytest.MonkeyPatch) -> None:
    whole = LinkSession.receive

    def receive(self: LinkSession, frame: bytes) -> Any:
        counter = int.from_bytes(frame[1:9], "big")
        before, self._incoming.counter = self._incoming.counter, min(counter, self._incoming.counter)
        heard = whole(self, frame)
        self._incoming.counter = max(before, self._incoming.counter)
        return heard

    patch.setattr(LinkSession, "receive", receive)


def skip_missing_records(patch: pytest.MonkeyPatch) -> None:
    whole = LinkSession.receive

    def receive(self: LinkSession, frame: bytes) -> Any:
        counter = int.from_bytes(frame[1:9], "big")
        if counter > self._incoming.counter and self._incoming.open(frame, counter) is not None:
            self._incoming.counter = counter
        return whole(self, frame)

    patch.setattr(LinkSession, "receive", receive)


def ignore_later_records(patch: pytest.MonkeyPatch) -> None:
    whole = LinkSession.receive

    def receive(self: LinkSession, frame: bytes) -> Any:
        later = int.from_bytes(frame[1:9], "big") > self._incoming.counter
        return None if later else whole(self, frame)

    patch.setattr(LinkSession, "receive", receive)


def use_one_key_for_both_directions(patch: pytest.MonkeyPatch) -> None:
    whole = schedule.HandshakeKeys.traffic_to
    patch.setattr(schedule.HandshakeKeys, "traffic_to", lambda self, _who, transcript: whole(self, b"", transcript))


def use_one_key_for_all_sessions(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(schedule.HandshakeKeys, "traffic_to", lambda _self, who, _transcript: (who * 32)[:32])


def leave_the_counter_out_of_the_seal(patch: pytest.MonkeyPatch) -> None:
    class Unbound:
        def __init__(self, secret: bytes) -> None:
            self._cipher = session.ChaCha20Poly1305(secret)

        def encrypt(self, _nonce: bytes, plain: bytes, _head: bytes) -> bytes:
            return self._cipher.encrypt(bytes(12), plain, None)

        def decrypt(self, _nonce: bytes, sealed: bytes, _head: bytes) -> bytes:
            return self._cipher.decrypt(bytes(12), sealed, None)

    patch.setattr(session, "_cipher", lambda secret: Unbound(schedule.derive(secret, b"key")))


@pytest.mark.parametrize(
    "mistake",
    [
        take_repeated_records,
        skip_missing_records,
        ignore_later_records,
        use_one_key_for_both_directions,
        use_one_key_for_all_sessions,
        leave_the_counter_out_of_the_seal,
    ],
)
def test_a_mistake_in_the_records_is_noticed(
    mistake: Callable[[pytest.MonkeyPatch], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    mistake(monkeypatch)
    assert records() != set()


def test_the_exploration_reaches_every_length_of_what_can_be_heard(monkeypatch: pytest.MonkeyPatch) -> None:
    """A model that reached nothing would find nothing."""
    heard: set[int] = set()
    later_than = link_model.later_than

    def noted(delivered: list[int], count: int) -> bool:
        heard.add(count)
        return later_than(delivered, count)

    monkeypatch.setattr(link_model, "later_than", noted)
    whole = LinkSession.receive
    counters: set[int] = set()

    def receive(self: LinkSession, frame: bytes) -> Any:
        result = whole(self, frame)
        counters.add(self.received)
        return result

    monkeypatch.setattr(LinkSession, "receive", receive)
    records()
    assert counters == {0, 1, 2, 3, 4}
