"""Pictures for alerts: a small picture of the door, sealed in the recorder to the browsers that show alerts.

    news ──▶ AlertPictures: newest picture ─▶ WebP of at most 1.5 kB ─▶ one age file for each browser ──▶ custodian

- The picture comes from the newest GOP, which is filmed anyway and in which masks are already black. If the camera is
  off or its newest picture is older than some seconds, the alert goes without one.
- Each file is sealed to one *glance key*: a key of one browser that opens pictures of alerts and nothing stored. The
  custodian, the uplink and the push service have no key for it.
- A picture never costs an alert: if it fails, the alert is sent without it.
"""

from __future__ import annotations

from typing import Final

import structlog

from agent.core.alerts.alert_messages import AlertPicture, glance_id
from agent.core.timebase import NS_PER_S
from agent.core.vault.age.recipients import Recipient, parse_recipient
from agent.core.vault.age.sealing import Sealer
from agent.errors import DoorwardError
from agent.media.poster import preview
from agent.ports import Clock, Entropy, PictureNotifier
from agent.recorder.live_view import LiveEncoder

__all__ = ["AlertPictures"]

_KINDS: Final = frozenset({"button", "visitor", "person"})
_MOST_BYTES: Final = 1500
"""A push message of 3993 bytes (RFC 8291) holds the age header of 1 650 bytes, the words, and this much in base64."""
_OLDEST_NS: Final = 10 * NS_PER_S
_SECRET_BYTES: Final = 16


class AlertPictures:
    """`ports.Notifier` that adds pictures to news of visitors. From any thread."""

    def __init__(self, notifier: PictureNotifier, live: LiveEncoder, clock: Clock, entropy: Entropy) -> None:
        self._notifier = notifier
        self._live = live
        self._clock = clock
        self._entropy = entropy
        self._browsers: tuple[tuple[str, Recipient], ...] = ()
        self._texts: tuple[str, ...] = ()
        self._log = structlog.get_logger("alerts")

    def show_to(self, recipients: tuple[str, ...]) -> None:
        """Replaces the glance keys. A key that does not parse is left out."""
        if recipients == self._texts:
            return
        found = []
        for text in recipients:
            try:
                found.append((glance_id(text), parse_recipient(text)))
            except DoorwardError as error:
                self._log.warning("glance_key_refused", error=error.message)
        self._texts, self._browsers = recipients, tuple(found)

    def notify(self, kind: str, text: str, once: str = "") -> None:
        self._notifier.notify(kind, text, once, self._pictures() if kind in _KINDS else ())

    def _pictures(self) -> tuple[AlertPicture, ...]:
        if not self._browsers:
            return ()
        try:
            newest = self._live.newest_picture()
            # An old picture would show the wrong visitor.
            if newest is None or (newest.live and self._clock.now().boot_ns - newest.end_ns > _OLDEST_NS):
                return ()
            picture = preview(newest.parts, codec=newest.codec, most_bytes=_MOST_BYTES)
            return tuple(AlertPicture(name, self._sealed(picture, to)) for name, to in self._browsers)
        except DoorwardError as error:
            self._log.warning("alert_without_picture", error=error.message)
            return ()

    def _sealed(self, picture: bytes, to: Recipient) -> bytes:
        token = self._entropy.token
        sealer = Sealer(token(_SECRET_BYTES), (to,), nonce=token(_SECRET_BYTES))
        return sealer.header + sealer.update(picture) + sealer.finish()
