"""The bytes that pass between a doorbell and a phone, beside what was sealed: for the tests that look for canaries."""

from __future__ import annotations

import random
import threading
from collections.abc import Iterable
from typing import Any

import numpy as np
import pytest

from agent.custodian.live_buffer import LiveBuffer
from agent.custodian.talk_buffer import TalkBuffer
from agent.recorder import alert_pictures
from agent.recorder.live_sealing import LiveSealer
from agent.recorder.talk import TalkService
from agent.uplink.relay_connection import RelayConnection
from agent.wire.control import split_body

__all__ = ["InBetween"]

_SLICE_BYTES = 16
_SLICES = 400


class InBetween:
    """`seen`: the bytes that each of them got. `sealed`: what the recorder and the browser sealed, before that."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._lock = threading.Lock()
        self.seen: dict[str, list[bytes]] = {"relay": [], "uplink": [], "custodian": [], "push service": []}
        self.sealed: dict[str, list[bytes]] = {"pictures and sound": [], "alert pictures": [], "talk": []}
        self._hook(monkeypatch)

    def note(self, who: str, data: Iterable[bytes]) -> None:
        with self._lock:
            self.seen[who] += data

    def assert_nothing_is_open(self) -> None:
        """No stretch of what was sealed is in what each of them saw, and talk has no pitch in it."""
        chance = random.Random(5)
        for what, plain in self.sealed.items():
            assert sum(map(len, plain)) > 500, f"no {what}"
        for who, data in self.seen.items():
            assert data, f"{who} saw nothing"
            joined = b"".join(data)
            for what, plain in self.sealed.items():
                for piece in _slices(plain, chance):
                    assert piece not in joined, f"{who} saw {what}"

    def _hook(self, monkeypatch: pytest.MonkeyPatch) -> None:
        seal, preview = LiveSealer.seal, alert_pictures.preview
        put, send, heard = LiveBuffer.put, TalkBuffer.send, TalkService._put
        receive, publish = RelayConnection._on_message, RelayConnection._publish

        def sealed(sealer: LiveSealer, plaintext: bytes, **options: Any) -> bytes:
            self._keep("pictures and sound", plaintext)
            return seal(sealer, plaintext, **options)

        def shown(*values: Any, **options: Any) -> bytes:
            picture = preview(*values, **options)
            self._keep("alert pictures", picture)
            return picture

        def taken(buffer: LiveBuffer, number: int, piece: int, pieces: int, data: bytes, **options: Any) -> Any:
            self.note("custodian", [data])
            return put(buffer, number, piece, pieces, data, **options)

        def sent(buffer: TalkBuffer, asked: Any, body: bytes) -> Any:
            self.note("custodian", split_body(asked.sizes, body))
            return send(buffer, asked, body)

        def spoken(service: TalkService, session: Any, frame: Any) -> None:
            self._keep("talk", frame.content)
            heard(service, session, frame)

        def received(relay: RelayConnection, topic: str, payload: bytes) -> Any:
            self.note("uplink", [payload])
            return receive(relay, topic, payload)

        def published(relay: RelayConnection, frame: Any) -> None:
            self.note("uplink", [frame.frame])
            publish(relay, frame)

        monkeypatch.setattr(LiveSealer, "seal", sealed)
        monkeypatch.setattr(alert_pictures, "preview", shown)
        monkeypatch.setattr(LiveBuffer, "put", taken)
        monkeypatch.setattr(TalkBuffer, "send", sent)
        monkeypatch.setattr(TalkService, "_put", spoken)
        monkeypatch.setattr(RelayConnection, "_on_message", received)
        monkeypatch.setattr(RelayConnection, "_publish", published)

    def _keep(self, what: str, plaintext: bytes) -> None:
        with self._lock:
            self.sealed[what].append(plaintext)


def _slices(plain: list[bytes], chance: random.Random) -> Iterable[bytes]:
    """Stretches with enough different bytes: zeros are everywhere."""
    long = [each for each in plain if len(each) >= _SLICE_BYTES]
    for _ in range(_SLICES):
        data = chance.choice(long)
        at = chance.randrange(len(data) - _SLICE_BYTES + 1)
        piece = data[at : at + _SLICE_BYTES]
        if len(set(piece)) > _SLICE_BYTES // 2:
            yield piece


def strongest_pitch(data: bytes, kind: str) -> float:
    """How far the strongest frequency of these bytes, taken as samples, stands out: noise has none."""
    samples = np.frombuffer(data[: len(data) // 2 * 2], kind).astype(np.float64)
    spectrum = np.abs(np.fft.rfft(samples - samples.mean())) ** 2
    return float(spectrum.max() / spectrum.mean())
