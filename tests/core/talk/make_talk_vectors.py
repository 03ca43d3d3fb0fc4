"""Writes tests/vectors/talk/session.json: an offer, frames, and frames that a recorder refuses.

`python -m tests.core.talk.make_talk_vectors`, after a change of the format. Sealing draws randomness, so each run
writes another offer.
"""

from __future__ import annotations

import hashlib
import json
import secrets
from pathlib import Path
from typing import Any

from agent.clients.opening import HybridIdentity
from agent.core.talk.offers import TalkOffer, TalkSecret
from agent.core.vault.age import recipients
from agent.core.vault.age.sealing import seal_bytes
from agent.wire import envelope, strictjson
from agent.wire.identities import private_key_from_seed, public_key_of
from tests.talkers import FrameWriter, mulaw_tone

PATH = Path(__file__).parents[2] / "vectors" / "talk" / "session.json"
SEED = hashlib.sha256(b"talk").digest()
DEVICE = private_key_from_seed(SEED)
KEY, SESSION, CHALLENGE = bytes(range(32)), bytes(range(16, 32)), "0f" * 16
REPLIES = ("chime", "Bitte später")


def contents() -> list[tuple[int, bytes]]:
    opus = [bytes([0x48]) + hashlib.sha512(bytes([n])).digest()[: 59 + n % 3] for n in range(3)]
    return [
        (4, b"\x46"),
        *((1, packet) for packet in opus),
        (2, mulaw_tone(440, 0.02)[0]),
        (5, b""),
        (3, REPLIES[1].encode()),
        (1, bytes(range(256)) + bytes(200)),
    ]


def offer(identity: HybridIdentity) -> dict[str, Any]:
    secret = TalkSecret(v=1, session=SESSION.hex(), key=strictjson.encode_base64(KEY), volume=80, replies=REPLIES)
    sealed = seal_bytes(
        strictjson.encode(secret),
        (identity.recipient(),),
        file_key=secrets.token_bytes(16),
        nonce=secrets.token_bytes(16),
    )
    signed = TalkOffer(
        v=1,
        device=public_key_of(DEVICE).text,
        challenge=CHALLENGE,
        session=SESSION.hex(),
        sealed_sha256=hashlib.sha256(sealed).hexdigest(),
    )
    return {
        "envelope": envelope.sign(TalkOffer.PAYLOAD_TYPE, strictjson.encode(signed), DEVICE).decode(),
        "sealed": strictjson.encode_base64(sealed),
    }


def refused() -> list[dict[str, str]]:
    """Frames after the good ones, each with the reason."""
    writer = FrameWriter(KEY, SESSION)
    good = writer.seal_plain(100, bytes([5]) + bytes(127))
    plains = {
        "padding of ones": bytes([1, 0, 1, 7]) + bytes(123) + b"\1",
        "one block too many": bytes([1, 0, 1, 7]) + bytes(252),
        "length beyond the frame": bytes([1, 0, 126]) + bytes(125),
        "unknown kind": bytes([9, 0, 1, 1]) + bytes(124),
        "a short block": bytes([2, 0, 100]) + bytes(125),
        "louder than 100": bytes([4, 0, 1, 101]) + bytes(124),
        "an empty packet": bytes([1, 0, 0]) + bytes(125),
        "a pause with content": bytes([5, 0, 1, 1]) + bytes(124),
    }
    rows = {why: writer.seal_plain(200 + number, plain) for number, (why, plain) in enumerate(plains.items())}
    rows["a changed bit"] = good[:20] + bytes([good[20] ^ 1]) + good[21:]
    rows["another counter"] = (101).to_bytes(8, "big") + good[8:]
    rows["cut"] = good[:-1]
    rows["counter 0"] = writer.seal_plain(0, bytes([5]) + bytes(127))
    rows["counter beyond 2^48"] = writer.seal_plain(2**48 + 1, bytes([5]) + bytes(127))
    rows["another session"] = FrameWriter(KEY, bytes(16)).seal_plain(100, bytes([5]) + bytes(127))
    rows["again"] = FrameWriter(KEY, SESSION).seal(*contents()[0])
    return [{"why": why, "frame": frame.hex()} for why, frame in rows.items()]


def vector(identity: HybridIdentity) -> dict[str, Any]:
    writer = FrameWriter(KEY, SESSION)
    return {
        "identity": recipients.bech32_encode("age-secret-key-pq-", identity.seed).upper(),
        "device": public_key_of(DEVICE).text,
        "challenge": CHALLENGE,
        **offer(identity),
        "session": SESSION.hex(),
        "key": strictjson.encode_base64(KEY),
        "volume": 80,
        "replies": list(REPLIES),
        "frames": [
            {"kind": kind, "content": content.hex(), "frame": writer.seal(kind, content).hex()}
            for kind, content in contents()
        ],
        "refused": refused(),
    }


if __name__ == "__main__":
    PATH.parent.mkdir(exist_ok=True)
    PATH.write_text(json.dumps(vector(HybridIdentity(SEED)), ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
