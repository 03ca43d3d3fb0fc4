"""People without a doorbell: tips from browsers, through the real views and the relay of the desk, during the faults.

A tip that the desk accepted is in the inbox once in the end, with the bytes that the browser sealed. A browser that
hears no answer sends the same tip again, as the page does.
"""

from __future__ import annotations

import hashlib
import itertools
import secrets
import time
from collections import Counter
from typing import Any

from agent.errors import DoorwardError
from agent.wire import strictjson
from agent.wire.disclosures import TIP_PADDED_BYTES, TipManifest, TipText
from tests.scale.desk_side import AGENCY, DeskSide

__all__ = ["Tipsters", "worked"]

_TRIES = 200


class Tipsters:
    def __init__(self, desk: DeskSide) -> None:
        self._desk = desk
        self.accepted: dict[str, str] = {}
        """Tip → SHA-256 of its sealed bytes."""
        self.refused: Counter[int] = Counter()

    def send(self, words: str) -> None:
        """Seals a tip, and sends it until the desk has answered."""
        from tests.clients.requester.test_incoming_tips import sealed

        tip = secrets.token_hex(16)
        message = strictjson.encode_base64(sealed(self._desk.requester, strictjson.encode(TipText(v=1, text=words))))
        manifest = TipManifest(v=1, tip=tip, trust_root=self._desk.root_id, message=message)
        data = sealed(self._desk.requester, strictjson.encode(manifest).ljust(TIP_PADDED_BYTES))
        for _ in range(_TRIES):
            status = self._desk.again(lambda: self._post(tip, data))
            if status == 202:
                self.accepted[tip] = hashlib.sha256(data).hexdigest()
                return
            self.refused[status] += 1
            time.sleep(0.2)

    def release(self) -> None:
        """Moves the waiting tips into the inbox, as the desk does each hour: here at once."""
        from desk.neighbourhood import tip_relay

        with self._desk.lock:
            self._desk.again(lambda: tip_relay.release(int(time.time()) + 2 * tip_relay.HOUR_S))

    def broken(self) -> list[str]:
        """Returns each accepted tip that is not in the inbox once, as it was sealed."""
        from desk.tips.models import Tip

        found = []
        for tip, digest in self.accepted.items():
            rows = self._desk.again(lambda tip=tip: Tip.objects.filter(disclosure_id=tip).count())  # type: ignore[misc]
            try:
                data = b"".join(self._desk.requester.answer(tip).pieces_of(0))
            except DoorwardError as error:
                found.append(f"lost: tip {tip}: {error}")
                continue
            if rows != 1 or hashlib.sha256(data).hexdigest() != digest:
                found.append(f"not once: tip {tip} has {rows} rows")
        return found

    def _post(self, tip: str, data: bytes) -> int:
        from django.db import close_old_connections

        from tests.desk.agencies import browser

        close_old_connections()  # a server does it before each request, and the test client does not
        client = browser()
        client.raise_request_exception = False
        asked: Any = client.get(f"/tip-to/{AGENCY}/token")
        if asked.status_code != 200:
            return int(asked.status_code)
        token, bits = asked.json()["token"], asked.json()["bits"]
        headers = {"tip-token": token, "tip-nonce": worked(token, tip.encode() + data, bits)}
        sent = client.post(
            f"/tip-to/{AGENCY}/{tip}", data, content_type="application/octet-stream", headers=headers
        )  # fmt: skip
        return int(sent.status_code)


def worked(token: str, data: bytes, bits: int) -> str:
    """Returns the first nonce that does, as the page's program finds it."""
    begun = hashlib.sha256(f"{token}.{hashlib.sha256(data).hexdigest()}.".encode())
    for nonce in map(str, itertools.count()):
        tried = begun.copy()
        tried.update(nonce.encode())
        if int.from_bytes(tried.digest()) >> (256 - bits) == 0:
            return nonce
    raise AssertionError
