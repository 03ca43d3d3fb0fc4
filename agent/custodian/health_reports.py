"""Makes the reports of the doorbell's health for its installer (`wire.health`), if the configuration names one.

The uplink asks at its times, which depend on the clock and on chance. The custodian makes at most one report in ten
minutes and repeats it otherwise, so an uplink that was taken over learns no more by asking often. The report is sealed
to the installer before the uplink gets it.
"""

from __future__ import annotations

import hashlib
import threading
import unicodedata
from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from agent import __version__
from agent.config import Configuration
from agent.config.reading import shown
from agent.core.health import HealthWatch
from agent.core.timebase import NS_PER_S
from agent.core.vault.age.recipients import parse_recipient
from agent.core.vault.age.sealing import Sealer
from agent.ports import Clock, Entropy
from agent.wire import envelope, strictjson
from agent.wire.health import HealthReport, HealthWord, UpdateWord, padded
from agent.wire.identities import public_key_of

__all__ = ["HealthReporter", "settings_sha256"]

_AGAIN_NS: Final = 600 * NS_PER_S
_SECRET_BYTES: Final = 16
_OF_THE_HOUSEHOLD: Final = ("alerts", "backup", "home_assistant", "privacy", "remote", "requests", "witness")
"""Sections that say how a household lives and decides, such as its private hours and who is told what."""


class HealthReporter:
    """`report` may be called from any thread."""

    def __init__(
        self,
        key: Ed25519PrivateKey,
        configuration: Configuration,
        recipient: str,
        clock: Clock,
        entropy: Entropy,
        status: Callable[[], Mapping[str, Any]],
        outcome: Callable[[], tuple[str, str] | None],
        version: str = __version__,
    ) -> None:
        """`configuration`: the file's, without the owner's settings. `status`: as `doorward status` shows it.
        `outcome`: the version of the newest installation, and how it ended."""
        self._key = key
        # The wire format takes NFC only. The file's editor may have written a composed letter in two parts.
        self._name = unicodedata.normalize("NFC", configuration.device.name)
        self._configuration = settings_sha256(configuration)
        self._recipient = parse_recipient(recipient)
        self._clock = clock
        self._entropy = entropy
        self._status = status
        self._outcome = outcome
        self._version = version
        self._watch = HealthWatch()
        self._lock = threading.Lock()
        self._sealed = b""
        self._made_ns = 0

    def report(self) -> bytes:
        """Returns the sealed report, a new one if the last is older than ten minutes."""
        with self._lock:
            now_ns = self._clock.now().boot_ns
            # The same bytes otherwise: a new report at each question would tell a taken uplink when something changes.
            if not self._sealed or now_ns - self._made_ns >= _AGAIN_NS:
                self._sealed, self._made_ns = self._seal(self._make()), now_ns
            return self._sealed

    def _make(self) -> HealthReport:
        now, status = self._clock.now(), self._status()
        recorder = status["recorder"]
        words = self._watch.equipment(recorder)
        health = (status.get("panel") or {}).get("health") or {}
        weak = health.get("under_voltage")
        tried, ended = self._outcome() or (None, "none")
        return HealthReport(
            v=1,
            device=public_key_of(self._key).text,
            name=self._name,
            at=max(0, now.utc_ns // NS_PER_S),
            clock=now.quality,
            uptime=now.boot_ns // NS_PER_S,
            version=self._version,
            configuration=self._configuration,
            has_owner=bool(status["owners"]),
            recorder=words.recorder,
            camera=words.camera,
            storage=words.storage,
            supply=HealthWord.UNKNOWN if weak is None else HealthWord.FAULT if weak else HealthWord.OK,
            throttle=min(9, health.get("throttle_level") or 0),
            wifi_dbm=_within(health.get("wifi_dbm")),
            update=UpdateWord(ended),
            update_version=tried,
        )

    def _seal(self, report: HealthReport) -> bytes:
        signed = envelope.sign(HealthReport.PAYLOAD_TYPE, strictjson.encode(report), self._key)
        sealer = Sealer(self._entropy.token(_SECRET_BYTES), [self._recipient], nonce=self._entropy.token(_SECRET_BYTES))
        # Padded, so that the length tells the broker nothing of the words inside.
        return b"".join((sealer.header, sealer.update(padded(signed)), sealer.finish()))


def settings_sha256(configuration: Configuration) -> str:
    """Returns the SHA-256 of a configuration's settings, as 64 hex digits. Order and comments of the file do not
    count.

    Nor do position, secrets and `_OF_THE_HOUSEHOLD`. The installer knows all other settings, so it could try each place
    of a street, each hour of a day, or each word of a dictionary, until the hash fits (docs/security/promises.md,
    promise 6).
    """
    without_place = msgspec.structs.replace(configuration.device, position=None)
    # A secret counts as a mark that there is one.
    settings = shown(msgspec.structs.replace(configuration, device=without_place))
    for section in _OF_THE_HOUSEHOLD:
        del settings[section]
    return hashlib.sha256(msgspec.json.encode(settings, order="sorted")).hexdigest()


def _within(dbm: int | None) -> int | None:
    return None if dbm is None else max(-200, min(0, dbm))
